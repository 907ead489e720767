"""Closing an epoch: reports, and the one function from reports to a block's contents (protocol §3.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from timed.consensus.effects import AskCertificates, Effects, Sign, Tell
from timed.consensus.fastpath import FastPath
from timed.consensus.missing import ASK_AGAIN_US, MAX_ASK
from timed.consensus.signing import signed
from timed.crypto.keys import SigningKey
from timed.errors import InvalidBlock
from timed.events import EpochReported, Equivocation
from timed.params import NetworkParams
from timed.primitives.roster import is_quorum
from timed.primitives.transaction import Transaction
from timed.wire.messages import EpochReport


class Closing:
    """The epoch reports of the current epoch.

    A report counts once certificate and body of every transaction it names are
    held here, parents included; one that cannot be backed is left out.
    """

    def __init__(
        self, params: NetworkParams, operator: SigningKey | None, fastpath: FastPath, effects: Effects
    ) -> None:
        self._params = params
        self._operator = operator
        self._fastpath = fastpath
        self._effects = effects
        self.begin()

    def begin(self) -> None:
        """A new epoch; number, roster and membership are the fast path's."""
        self._signed_report = False
        self.reports: dict[int, EpochReport] = {}
        self._backed: dict[bytes, int] = {}
        """By report hash, how many of its transactions from the first on are backed."""
        self._alone: set[bytes] = set()
        """Certified, with body, and no input made in this epoch: backed in whichever report names them."""
        self._asked_at: dict[bytes, int] = {}
        self._wanting: dict[bytes, EpochReport] = {}
        """By hash, those held or expected that were not backed when last looked at."""
        self._liars: set[int] = set()

    # This member's report

    def close(self) -> None:
        """Slot time: stop voting and acknowledging, then report every certificate held."""
        path = self._fastpath
        if path.closed:
            return
        path.close()
        self.report_held()

    def report_held(self) -> None:
        """Sign the report of the closed epoch, once; at the latest when this member may sign again."""
        path = self._fastpath
        if not path.closed or self._signed_report or not path.may_sign:
            return
        if path.me is None or self._operator is None:
            return
        self._signed_report = True
        unsigned = EpochReport(
            chain_id=self._params.chain_id,
            epoch=path.epoch,
            roster=path.roster.hash,
            member=path.me,
            txids=path.held(),
            signature=bytes(64),
        )
        self._effects.add(Sign(signed(unsigned, self._operator)))

    def own(self, report: EpochReport, now: int) -> None:
        """Our report is durable and on its way."""
        if report.epoch != self._fastpath.epoch:
            return
        self._effects.add(Tell(EpochReported(report.epoch, len(report.txids))))
        self.report(report, now)

    def restore(self, report: EpochReport) -> None:
        """Our report from the log: this epoch is over for this member."""
        if report.epoch != self._fastpath.epoch:
            return
        self._fastpath.close()
        self._signed_report = True
        self.reports[report.member] = self._wanting[report.hash] = report

    # Everybody's reports

    def check_form(self, report: EpochReport) -> None:
        """Raise InvalidBlock unless the report belongs to this epoch and can count."""
        path = self._fastpath
        if report.chain_id != self._params.chain_id or report.epoch != path.epoch:
            raise InvalidBlock("report-epoch")
        if report.roster != path.roster.hash:
            raise InvalidBlock("report-roster")
        if report.member >= len(path.roster.members) or not path.roster.members[report.member].weight:
            raise InvalidBlock("report-member")
        if any(first >= second for first, second in zip(report.txids, report.txids[1:], strict=False)):
            raise InvalidBlock("report-order")

    def report(self, report: EpochReport, now: int) -> None:
        """Take a report whose form and signature have been checked."""
        known = self.reports.setdefault(report.member, report)
        self._wanting.setdefault(known.hash, known)
        if known.hash != report.hash:
            self._equivocation(report)
            if report.hash not in self._wanting:
                return
        self._ask_for_missing(report, now)

    def _equivocation(self, report: EpochReport) -> None:
        """Told once an epoch: a liar's reports come back with every answer to `RoundState`."""
        if report.member not in self._liars:
            self._liars.add(report.member)
            key = self._fastpath.roster.members[report.member].operator_key
            self._effects.add(Tell(Equivocation(key, report.epoch, "epoch-report")))

    def expect(self, report: EpochReport) -> None:
        """A proposal rests on this report: fetch what backs it, even if its member sent us another one."""
        self._wanting[report.hash] = report

    def expect_no_more(self, report: EpochReport) -> None:
        """No proposal under judgement rests on it now; the first report of its member counts all the same."""
        known = self.reports.get(report.member)
        if known is None or known.hash != report.hash:
            self._wanting.pop(report.hash, None)
            self._backed.pop(report.hash, None)
            self._asked_at.pop(report.hash, None)

    def counted(self) -> tuple[EpochReport, ...]:
        """The reports that count now, in roster order."""
        return tuple(
            self.reports[member] for member in sorted(self.reports) if self.backed(self.reports[member])
        )

    def backed(self, report: EpochReport) -> bool:
        """Certificate and body of every named transaction are held, and its parents are named, too.

        What is backed stays so for the epoch: each look goes on where the last one stopped.
        """
        txids = report.txids
        at = self._backed.get(report.hash, 0)
        while at < len(txids) and (txids[at] in self._alone or self._is_backed(txids[at], txids)):
            at += 1
        self._backed[report.hash] = at
        return at == len(txids)

    def _is_backed(self, txid: bytes, named: Sequence[bytes]) -> bool:
        """`named` is in ascending order."""
        tally = self._fastpath.tallies.get(txid)
        if tally is None or not tally.certified or tally.transaction is None:
            return False
        parents = [self._fastpath.created.get(outpoint) for outpoint in tally.transaction.inputs]
        if not any(parents):
            self._alone.add(txid)
        for parent in parents:
            if parent is not None:
                place = bisect_left(named, parent)
                if place == len(named) or named[place] != parent:
                    return False
        return True

    def is_quorum_of(self, reports: Sequence[EpochReport]) -> bool:
        """Distinct members of quorum weight stand behind `reports`."""
        roster = self._fastpath.roster
        members = {report.member for report in reports}
        weight = roster.weight_of(sorted(members))
        return len(members) == len(reports) and is_quorum(weight, roster.total_weight)

    def contents(self, reports: Iterable[EpochReport]) -> list[Transaction]:
        """Every transaction named in `reports` and no other, by txid; all reports are backed.

        Proposer and validator call this same function; the ledger puts parents first.
        """
        named: dict[bytes, None] = {}
        for report in reports:
            named.update(dict.fromkeys(report.txids))
        contents = []
        for txid in sorted(named):
            transaction = self._fastpath.tallies[txid].transaction
            if transaction is None:
                raise InvalidBlock("report-unbacked", txid.hex())
            contents.append(transaction)
        return contents

    # Time

    def clock_set_back(self) -> None:
        """Whatever was asked for when the clock was ahead may be asked for at once."""
        self._asked_at.clear()

    def unbacked(self) -> list[EpochReport]:
        """Those held or expected that wait for something; one that is backed is not looked at again."""
        for report in [one for one in self._wanting.values() if self.backed(one)]:
            del self._wanting[report.hash]
        return list(self._wanting.values())

    def next_deadline(self) -> int | None:
        return min(
            (self._asked_at.get(report.hash, 0) + ASK_AGAIN_US for report in self.unbacked()),
            default=None,
        )

    def wake(self, now: int) -> None:
        for report in self.unbacked():
            self._ask_for_missing(report, now)

    def _ask_for_missing(self, report: EpochReport, now: int) -> None:
        if self.backed(report) or now < self._asked_at.get(report.hash, 0) + ASK_AGAIN_US:
            return
        missing = self._fastpath.lacks(report.txids)
        self._asked_at[report.hash] = now
        for start in range(0, len(missing), MAX_ASK):
            part = missing[start : start + MAX_ASK]
            self._effects.add(AskCertificates(part, (report.member,)))

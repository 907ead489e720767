"""Invariants on what keys sign (protocol §3, §4): once, durably, and backed by what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from timed.consensus.proposer import proposer
from timed.crypto.rule import verify
from timed.errors import InvalidCertificate
from timed.params import NULL_HASH
from timed.primitives.bitmap import indices_of
from timed.primitives.certificate import (
    PRECOMMIT,
    PREVOTE,
    BlockCertificate,
    BundleCertificate,
    CertificateKind,
)
from timed.sim.violation import Violation
from timed.wire.catalogue import encode_record
from timed.wire.messages import BlockProposal, BlockVote, EpochReport, TransactionVote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from timed.primitives.roster import Roster
    from timed.primitives.transaction import OutPoint, Transaction
    from timed.sim.durable import DurableLog

VOTE = int(CertificateKind.VOTE)
ACKNOWLEDGEMENT = int(CertificateKind.ACKNOWLEDGEMENT)


class SigningRules:
    """Everything members have signed so far, and the certificates made of it.

    `body` finds a transaction by id; `unspent_before(outpoint, epoch)` answers
    whether a coin was unspent after the block before `epoch` (None: not known yet).
    `final(txid, epoch)` is told of what a quorum has acknowledged, whether or not anybody knows.
    """

    def __init__(
        self,
        roster: Roster,
        body: Callable[[bytes], Transaction | None],
        unspent_before: Callable[[OutPoint, int], bool | None],
        final: Callable[[bytes, int], object],
    ) -> None:
        self._roster = roster
        self._body = body
        self._unspent_before = unspent_before
        self._final = final
        self._cast: dict[bytes, TransactionVote] = {}
        """Signature -> the bundle it is under."""
        self._locked: dict[tuple[int, OutPoint, int], bytes] = {}
        self._acknowledged: dict[tuple[int, int], dict[bytes, None]] = {}
        self._behind: dict[tuple[int, bytes], dict[int, None]] = {}
        """By epoch and transaction, the members that acknowledged it."""
        self._reports: dict[tuple[int, int], EpochReport] = {}
        self._block_votes: dict[tuple[int, int, int, int], BlockVote] = {}
        self._proposals: dict[tuple[int, int], bytes] = {}
        self._named: dict[bytes, set[bytes]] = {}
        """By the hash of a proposed block, the transactions that its reports name."""
        self._certified: dict[tuple[int, bytes], None] = {}
        self._spent: dict[tuple[int, OutPoint], bytes] = {}
        self._checked: dict[bytes, None] = {}
        self.block_targets: dict[int, bytes] = {}

    # What becomes durable

    def bundle(self, bundle: TransactionVote, log: DurableLog) -> None:
        """A member's own bundle reached its disk; `log` is what the disk holds, this bundle included.

        A bundle that was on its way while the block of its epoch was written stands
        in the next log: what it rests on was in the one before, and counts no more.
        """
        if bundle.signature in self._cast:
            return
        self._signature(bundle.member, bundle.signed_message(), bundle.signature, "bundle")
        self._cast[bundle.signature] = bundle
        if (bundle.member, bundle.epoch) in self._reports:
            self._fail("silent-after-report", bundle.member, f"signed a bundle of kind {bundle.kind} in epoch "
                       f"{bundle.epoch} after its report")  # fmt: skip
        for txid in bundle.entries:
            if bundle.kind == VOTE:
                self._lock(bundle, txid, log)
            else:
                self._acknowledge(bundle, txid, log)

    def _lock(self, bundle: TransactionVote, txid: bytes, log: DurableLog) -> None:
        transaction = self._body(txid)
        if transaction is None:
            self._fail("inputs-available", bundle.member, f"voted for the unknown {_short(txid)}")
        current = log.height + 1 == bundle.epoch
        if current and txid not in log.bodies:
            self._fail(
                "durable-before-send", bundle.member, f"voted for {_short(txid)}, whose body is not durable"
            )
        for outpoint in transaction.inputs:
            first = self._locked.setdefault((bundle.member, outpoint, bundle.epoch), txid)
            if first != txid:
                self._fail("vote-once", bundle.member, f"voted for {_short(first)} and {_short(txid)} on one "
                           f"outpoint in epoch {bundle.epoch}")  # fmt: skip
            if current and not self._available(outpoint, bundle.epoch, log):
                self._fail("inputs-available", bundle.member, f"voted for {_short(txid)} without the certificate "
                           f"of its parent {_short(outpoint.txid)}")  # fmt: skip

    def _available(self, outpoint: OutPoint, epoch: int, log: DurableLog) -> bool:
        return outpoint.txid in log.certified or self._unspent_before(outpoint, epoch) is not False

    def _acknowledge(self, bundle: TransactionVote, txid: bytes, log: DurableLog) -> None:
        if log.height + 1 == bundle.epoch and txid not in log.certified:
            self._fail("durable-before-send", bundle.member, f"acknowledged {_short(txid)}, whose certificate "
                       "is not durable")  # fmt: skip
        acknowledged = self._acknowledged.setdefault((bundle.member, bundle.epoch), {})
        if txid not in acknowledged:
            acknowledged[txid] = None
            self._behind.setdefault((bundle.epoch, txid), {})[bundle.member] = None
            if self._is_quorum(self._behind[bundle.epoch, txid]):
                self._final(txid, bundle.epoch)

    def kept(self, bundle: TransactionVote) -> None:
        """Another member's bundle reached a disk, as part of a certificate."""
        if self._cast.get(bundle.signature) != bundle:
            self._fail("certificate-counts-cast-votes", bundle.member, f"never signed a bundle of kind "
                       f"{bundle.kind} in epoch {bundle.epoch} that counts")  # fmt: skip

    def held(self, certified: Iterable[bytes], bundle: TransactionVote) -> None:
        """With `bundle` on it, a disk holds vote certificates of these, in the order it names them."""
        if bundle.kind == VOTE:
            for txid in certified:
                self._certify(txid, bundle.epoch)

    def report(self, report: EpochReport, log: DurableLog) -> None:
        """A member's own report reached its disk."""
        known = self._reports.setdefault((report.member, report.epoch), report)
        if known.hash != report.hash:
            self._fail("report-once", report.member, f"reported epoch {report.epoch} twice, differently")
        if known is not report:
            return
        self._signature(report.member, report.signed_message(), report.signature, "report")
        named = dict.fromkeys(report.txids)
        for txid in self._acknowledged.get((report.member, report.epoch), {}):
            if txid not in named:
                self._fail("acknowledged-is-reported", report.member, f"acknowledged {_short(txid)} in epoch "
                           f"{report.epoch} and left it out of its report")  # fmt: skip
        for txid in report.txids if log.height + 1 == report.epoch else ():
            if txid not in log.certified or txid not in log.bodies:
                self._fail(
                    "durable-before-send", report.member, f"reported {_short(txid)}, which is not durable"
                )

    def block_vote(self, vote: BlockVote) -> None:
        """A member's own prevote or precommit reached its disk."""
        key = (vote.member, vote.height, vote.round, vote.step)
        known = self._block_votes.get(key)
        if known is None:
            self._signature(vote.member, vote.signed_message(), vote.signature, "block vote")
            self._locking(vote)
            self._block_votes[key] = vote
        elif known.block != vote.block:
            self._fail("block-vote-once", vote.member, f"signed two values at height {vote.height} round "
                       f"{vote.round} step {vote.step}")  # fmt: skip

    def _locking(self, vote: BlockVote) -> None:
        """Who precommits a block has a quorum of its prevotes; who has precommitted one prevotes another only
        with a quorum of prevotes for that which is as new (protocol §4)."""
        if vote.block == NULL_HASH:
            return
        place = f"{_short(vote.block)} at height {vote.height} round {vote.round}"
        if vote.step == PRECOMMIT:
            if not self._is_prevoted(vote.height, vote.round, vote.block):
                self._fail("locking-rule", vote.member, f"precommitted {place} without a quorum of prevotes")
            return
        for round_ in reversed(range(vote.round)):
            if self._is_prevoted(vote.height, round_, vote.block):
                return
            own = self._block_votes.get((vote.member, vote.height, round_, PRECOMMIT))
            if own is not None and own.block not in (NULL_HASH, vote.block):
                self._fail("locking-rule", vote.member, f"prevoted {place}, locked on {_short(own.block)} since "
                           f"round {round_}")  # fmt: skip

    def _is_prevoted(self, height: int, round_: int, block: bytes) -> bool:
        """By a quorum in this round."""
        votes = [
            self._block_votes.get((index, height, round_, PREVOTE))
            for index in range(len(self._roster.members))
        ]
        return self._is_quorum(
            index for index, vote in enumerate(votes) if vote is not None and vote.block == block
        )

    def proposal(self, proposal: BlockProposal) -> None:
        """A proposal reached a disk: its proposer's, or that of a member that votes on it."""
        key = (proposal.header.height, proposal.round)
        member, message = proposer(self._roster, *key), proposal.signed_message()
        if key not in self._proposals:
            self._signature(member, message, proposal.signature, "proposal")
            self._proposals[key] = message
            self._rests_on_reports(proposal, member)
        elif self._proposals[key] != message:
            self._fail("block-vote-once", member, f"proposed twice at height {key[0]} round {key[1]}")

    def _rests_on_reports(self, proposal: BlockProposal, member: int) -> None:
        """Of a quorum, each as it was signed."""
        reports = proposal.reports()
        for report in reports:
            if self._reports.get((report.member, report.epoch)) != report:
                self._fail(
                    "certificate-counts-cast-votes",
                    report.member,
                    "is proposed for with a report it never signed",
                )
        if not self._is_quorum({report.member for report in reports}):
            self._fail("certificate-valid", member, f"proposed a block by {len(reports)} reports")
        self._named[proposal.header.hash] = {txid for report in reports for txid in report.txids}

    def contents(self, block: bytes, txids: Iterable[bytes]) -> None:
        """A certified block holds these transactions beside its coinbase."""
        if self._named.get(block) != set(txids):
            raise Violation("reported-in-block", f"block {_short(block)} is not what its reports name")

    # What leaves a node

    def sent(self, message: object, member: int | None, log: DurableLog) -> None:
        """The node of `member` (None: of nobody) hands `message` to a link: what it signed must be on its disk by
        now, what others signed on theirs."""
        if isinstance(message, (TransactionVote, EpochReport, BlockVote)):
            own = message.member == member
        else:
            own = (
                isinstance(message, BlockProposal)
                and proposer(self._roster, message.header.height, message.round) == member
            )
        if own:
            if encode_record(message) not in log.ever:  # type: ignore[arg-type]
                self._fail(
                    "durable-before-send", member, f"sent a {type(message).__name__} that is not durable"
                )
        elif isinstance(message, TransactionVote):
            self._relayed(self._cast.get(message.signature) == message, member, message)
        elif isinstance(message, EpochReport):
            self._relayed(self._reports.get((message.member, message.epoch)) == message, member, message)
        elif isinstance(message, BlockVote):
            key = (message.member, message.height, message.round, message.step)
            self._relayed(self._block_votes.get(key) == message, member, message)
        elif isinstance(message, BlockProposal):
            known = self._proposals.get((message.header.height, message.round))
            self._relayed(known == message.signed_message(), member, message)

    def _relayed(self, known: bool, member: int | None, message: object) -> None:
        if not known:
            self._fail(
                "certificate-counts-cast-votes", member, f"passed on a {type(message).__name__} nobody signed"
            )

    # Certificates

    def bundle_certificate(self, certificate: BundleCertificate) -> None:
        """A certificate that a node holds, sends or puts on its disk."""
        if self._known(certificate.encode()):
            return
        self._valid(certificate)
        target, epoch = certificate.target, certificate.epoch
        positions = indices_of(certificate.bitmap, len(self._roster.members))
        for member, signer in zip(positions, certificate.signers, strict=True):
            bundle = self._cast.get(signer.signature)
            cast = (
                bundle is not None
                and (bundle.member, bundle.epoch, bundle.kind) == (member, epoch, certificate.kind)
                and bundle.entries[signer.leaf : signer.leaf + 1] == (target,)
            )
            if not cast:
                self._fail("certificate-counts-cast-votes", member, f"is counted for {_short(target)} in epoch "
                           f"{epoch}, kind {certificate.kind}, and never signed that")  # fmt: skip
        if certificate.kind == VOTE:
            self._certify(target, epoch)

    def _certify(self, txid: bytes, epoch: int) -> None:
        if (epoch, txid) in self._certified:
            return
        self._certified[(epoch, txid)] = None
        transaction = self._body(txid)
        if transaction is None:
            raise Violation("parent-certified", f"{_short(txid)} is certified and nobody made it")
        for outpoint in transaction.inputs:
            first = self._spent.setdefault((epoch, outpoint), txid)
            if first != txid:
                raise Violation(
                    "no-conflicting-certificates",
                    f"{_short(first)} and {_short(txid)} spend one output and are both certified in epoch {epoch}",
                )
            if (epoch, outpoint.txid) not in self._certified and self._unspent_before(
                outpoint, epoch
            ) is False:
                raise Violation(
                    "parent-certified",
                    f"{_short(txid)} is certified in epoch {epoch}, its parent {_short(outpoint.txid)} is not",
                )

    def block_certificate(self, certificate: BlockCertificate) -> None:
        """A block certificate that a node holds, sends or puts on its disk."""
        if self._known(certificate.encode()):
            return
        self._valid(certificate)
        height, round_, target = certificate.height, certificate.round, certificate.target
        positions = indices_of(certificate.bitmap, len(self._roster.members))
        for member in positions:
            vote = self._block_votes.get((member, height, round_, PRECOMMIT))
            if vote is None or vote.block != target:
                self._fail("certificate-counts-cast-votes", member, f"is counted for block {_short(target)} at "
                           f"height {height} round {round_} and never precommitted it")  # fmt: skip
        first = self.block_targets.setdefault(height, target)
        if first != target:
            raise Violation(
                "one-block-per-height", f"{_short(first)} and {_short(target)} at height {height}"
            )

    def _known(self, encoded: bytes) -> bool:
        if encoded in self._checked:
            return True
        self._checked[encoded] = None
        return False

    def _valid(self, certificate: BlockCertificate | BundleCertificate) -> None:
        try:
            items = certificate.signature_items(self._roster)
        except InvalidCertificate as error:
            raise Violation("certificate-valid", str(error)) from None
        signers = indices_of(certificate.bitmap, len(self._roster.members))
        if not self._is_quorum(signers):
            raise Violation("certificate-valid", f"{len(signers)} members are no quorum")
        for public, message, signature in items:
            if not verify(public, message, signature):
                raise Violation("certificate-valid", f"a signature of {_short(public)} is wrong")

    def _is_quorum(self, indices: Iterable[int]) -> bool:
        """These members have two thirds of the weight: worked out here, not asked of the code that is checked."""
        members = self._roster.members
        weight = sum(members[index].weight for index in indices)
        return 3 * weight >= 2 * sum(member.weight for member in members)

    def _signature(self, member: int, message: bytes, signature: bytes, what: str) -> None:
        if not verify(self._roster.members[member].operator_key, message, signature):
            self._fail("certificate-valid", member, f"signed a {what} wrongly")

    @staticmethod
    def _fail(name: str, member: int | None, detail: str) -> NoReturn:
        who = "a follower" if member is None else f"member {member}"
        raise Violation(name, f"{who} {detail}")


def _short(identifier: bytes) -> str:
    return identifier.hex()[:12]

"""From one certified block to the next: the epoch's machines, their ledger and their end."""

from __future__ import annotations

from collections.abc import Callable

from timed.consensus.closing import Closing
from timed.consensus.effects import Drop, Effects, Tell
from timed.consensus.fastpath import FastPath
from timed.consensus.judging import Judging
from timed.consensus.rounds import Rounds
from timed.consensus.roundstate import Step
from timed.crypto.keys import SigningKey
from timed.deadlines import earliest
from timed.errors import InvalidBlock
from timed.events import (
    BlockCertified,
    ClockOff,
    ClockRight,
    SafetyFailure,
    TransactionReleased,
)
from timed.interfaces import BlockCommit
from timed.ledger import slots
from timed.ledger.content import BlockEffects
from timed.ledger.genesis import Genesis
from timed.ledger.ledger import Ledger
from timed.ledger.mempool import Mempool
from timed.ledger.rules import largest_size
from timed.node.gate import Checks, Gate
from timed.params import SECOND
from timed.primitives.certificate import BlockCertificate
from timed.primitives.roster import is_quorum
from timed.primitives.transaction import OutPoint, Output, Transaction
from timed.wire.catalogue import encode_record
from timed.wire.message import Message
from timed.wire.messages import (
    BlockProposal,
    BlockVote,
    EpochReport,
    ProposalBody,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionVote,
)

MAX_CLOCK_OFFSET_US = 5 * SECOND
"""Beyond this a member's votes could only harm: its slots and freshness are not the others'."""

CONSIDERED_AT_ONCE = 256
"""Pending transactions that one turn votes on when an epoch begins."""


def base_timeout_us(genesis: Genesis) -> int:
    """The propose timeout of round 0: 3 s, on regtest a tenth of the interval, at least 200 ms."""
    if genesis.params.plain_allowed:
        return max(SECOND // 5, genesis.interval * SECOND // 10)
    return 3 * SECOND


class Chain:
    """The ledger and the machines of the epoch on top of it.

    `carried(txids)` are the messages of the log that must outlive a block of these
    transactions. `advanced(confirmed, live, fetched, now)` is called after each new tip. Applying a block that our own
    rounds decided and applying one that was fetched is the same code.
    """

    def __init__(
        self,
        ledger: Ledger,
        mempool: Mempool,
        operator: SigningKey | None,
        gate: Gate,
        checks: Checks,
        carried: Callable[[tuple[bytes, ...]], list[Message]],
        advanced: Callable[[tuple[bytes, ...], bool, bool, int], None],
        frozen: str | None = None,
    ) -> None:
        self.ledger = ledger
        self.mempool = mempool
        self._gate = gate
        self._carried = carried
        self._advanced = advanced
        self.effects = Effects()
        params = ledger.params
        self.fastpath = FastPath(params, operator, self._spendable, self._size, ledger.prepare, self.effects)
        self.closing = Closing(params, operator, self.fastpath, self.effects)
        self.judging = Judging(params, ledger, self.closing, checks.check)
        self.rounds = Rounds(
            params,
            operator,
            base_timeout_us(ledger.genesis),
            self._fresh,
            self._ripe,
            self._propose,
            self.effects,
        )
        self.committing = False
        self.frozen = frozen
        self.silent = operator is None
        self.paused = False
        self.slot_us = 0
        self._certified_at = 0
        """When the tip was certified, by the clock of then."""
        self._slot_passed = False
        self._unconsidered: list[bytes] = []
        """Pending when the epoch began and not voted on yet, the next one last."""
        self._progress: tuple[int, int] = (0, 0)
        self._proven: bytes | None = None

    @property
    def epoch(self) -> int:
        """The height of the block under preparation."""
        return self.ledger.tip.height + 1

    @property
    def votes(self) -> bool:
        """This node is a member of the current roster."""
        return self.fastpath.me is not None

    # Beginning and end of an epoch

    def begin(self, now: int, *, live: bool) -> None:
        """Set every machine to the epoch on top of the tip.

        `live`: the tip was certified just now. Otherwise nobody here saw when; its
        own time is the earliest it can have been.
        """
        roster = self.ledger.roster(self.epoch)
        self._certified_at = now if live else self.ledger.tip.header.time * SECOND
        self._set_slot()
        signing = not self.silent and self.frozen is None
        self.fastpath.begin(self.epoch, roster, signing=signing)
        self.closing.begin()
        self.judging.begin(roster)
        self.rounds.begin(self.epoch, roster, self.fastpath.me, signing=signing, start_at=self.slot_us)
        self._progress = (self.fastpath.counters.certified, 0)
        self._proven = None

    def _set_slot(self) -> None:
        """The slot time follows from when the tip was certified."""
        genesis, tip = self.ledger.genesis, self.ledger.tip
        first = slots.first_slot_for(genesis.time, genesis.interval, tip.header.time, self._certified_at)
        self.slot_us = first * SECOND
        self._slot_passed = False

    def consider_mempool(self, now: int) -> None:
        """Vote afresh on what is pending, by txid: where two conflict, everybody picks the same.

        So many in this turn, the rest in those that follow at once.
        """
        self._unconsidered = sorted(self.mempool.txids(), reverse=True)
        self._consider_some(now)

    def _consider_some(self, now: int) -> None:
        for txid in self._unconsidered[: -CONSIDERED_AT_ONCE - 1 : -1]:
            transaction = self.mempool.get(txid)
            if transaction is not None:
                self.fastpath.transaction(transaction, now)
        del self._unconsidered[-CONSIDERED_AT_ONCE:]

    def decide(self, block_hash: bytes, certificate: BlockCertificate) -> None:
        """Our rounds, or a commit message, certified a block that we have judged."""
        _, effects = self.judging.blocks[block_hash]
        self.commit(effects, certificate, fetched=False)

    def commit(self, effects: BlockEffects, certificate: BlockCertificate, *, fetched: bool) -> None:
        """Make a certified block durable, then make it the tip; `fetched` from a peer or decided here."""
        if effects.height != self.epoch:
            return
        self.proven(effects.block.hash)
        if self.committing:
            return
        self.committing = True
        carried = self._carried(effects.txids)
        commit = effects.commit(certificate, tuple(map(encode_record, carried)))
        self._gate.commit(commit, lambda now: self._committed(commit, effects, fetched, now))

    def _committed(self, commit: BlockCommit, effects: BlockEffects, fetched: bool, now: int) -> None:
        self.committing = False
        live = not fetched or now < (effects.block.header.time + self.ledger.genesis.interval) * SECOND
        closed = self.fastpath.epoch
        touched = [txid for txid, tally in self.fastpath.tallies.items() if tally.voted or tally.certified]
        self.ledger.advance(commit)
        confirmed = frozenset(effects.txids)
        dropped = self.mempool.remove_confirmed(effects.txids, [outpoint for outpoint, _ in effects.spent])
        expired = self.mempool.expire(self.ledger.tip.height)
        self.mempool.unpin_all()
        header = effects.block.header
        self.effects.add(Tell(BlockCertified(header.height, header.hash, header.time, effects.txids, live)))
        for txid in dropped:
            self.effects.add(Drop(txid, "conflict-confirmed"))
        for txid in expired:
            self.effects.add(Drop(txid, "mempool-expired"))
        for txid in touched:
            if txid not in confirmed and txid in self.mempool:
                self.effects.add(Tell(TransactionReleased(txid, closed)))
        self.begin(now, live=live)
        self.consider_mempool(now)
        self._advanced(effects.txids, live, fetched, now)

    # Restart

    def restore(self, message: object, now: int) -> None:
        """One record of the log, in the order in which it was written."""
        if isinstance(message, TransactionBroadcast):
            self.fastpath.restore_transaction(message.transaction, now)
        elif isinstance(message, TransactionVote):
            self.fastpath.restore_bundle(message, now)
        elif isinstance(message, (TransactionCertified, TransactionFinalized)):
            self.fastpath.restore_certificate(message.certificate, now)
        elif isinstance(message, EpochReport):
            self.closing.restore(message)
        elif isinstance(message, (BlockProposal, BlockVote)):
            self.rounds.restore(message)

    def restored(self) -> None:
        """The whole log is read."""
        self.fastpath.restored()

    def resume(self, now: int) -> None:
        """The log is read: go on where the process stopped."""
        self.consider_mempool(now)
        self.fastpath.resume(now)
        self.rounds.resume(now)

    def abstain(self) -> None:
        """Sign nothing in this epoch: the log may have lost something that was signed."""
        self.fastpath.stop_signing()
        self.rounds.stop_signing()

    def watch_clock(self, offset: int | None, now: int) -> None:
        """Sign nothing while the members' clocks put ours more than 5 s off; go on when it is right."""
        if offset is None or self.paused == (abs(offset) > MAX_CLOCK_OFFSET_US):
            return
        self.paused = not self.paused
        self.fastpath.paused = self.rounds.paused = self.paused
        self.effects.add(Tell(ClockOff(offset) if self.paused else ClockRight(offset)))
        if not self.paused:
            self.fastpath.resume(now)
            self.closing.report_held()
            self.rounds.take_part_again(now)

    def clock_set_back(self, now: int) -> None:
        """The host's clock was ahead: what waits for a time that it showed waits anew, from now."""
        self._certified_at = min(self._certified_at, now)
        self._set_slot()
        self.rounds.start_at = self.slot_us
        self.fastpath.clock_set_back(now)
        self.closing.clock_set_back()
        self.rounds.resume(now)
        self.rounds.take_part_again(now)

    # Safety

    def proven(self, block_hash: bytes) -> None:
        """A checked certificate names this block for the epoch; a second block is a safety failure."""
        if self._proven is None:
            self._proven = block_hash
        elif self._proven != block_hash:
            both = f"{self._proven.hex()} and {block_hash.hex()}"
            self.fail_safely(f"two certified blocks at height {self.epoch}: {both}")

    def fail_safely(self, what: str) -> None:
        """The protocol's promise is broken: stop voting for good and say so."""
        if self.frozen is None:
            self.frozen = what
            self.abstain()
            self.effects.add(Tell(SafetyFailure(what)))

    # Time

    def next_deadline(self) -> int | None:
        if self.committing:
            return None
        deadlines = [self.fastpath.next_deadline(), self.closing.next_deadline(), self.rounds.next_deadline()]
        if not self._slot_passed:
            deadlines.append(self.slot_us)
        if self._unconsidered:
            deadlines.append(0)
        return earliest(*deadlines)

    def wake(self, now: int) -> None:
        if self.committing:
            return
        if now >= self.slot_us and not self._slot_passed:
            self._slot_passed = True
            self.closing.close()
            self.rounds.reports_changed(now)
        self._consider_some(now)
        self.fastpath.wake(now)
        self.closing.wake(now)
        self.rounds.wake(now)

    def settle(self, now: int) -> bool:
        """Let one machine's progress reach the others; False when there was none."""
        if self.rounds.step > Step.WAITING and not self.fastpath.closed:
            self.closing.close()
            return True
        progress = (self.fastpath.counters.certified, len(self.closing.reports))
        if progress != self._progress:
            self._progress = progress
            self.judging.retry(now)
            self.rounds.reports_changed(now)
            return True
        return False

    # What the machines ask

    def _spendable(self, outpoint: OutPoint) -> bool:
        return self.ledger.coin(outpoint) is not None

    def pending_output(self, outpoint: OutPoint) -> Output | None:
        """An output of a pending transaction, in the mempool or certified beyond its bounds."""
        output = self.mempool.output(outpoint)
        if output is None:
            tally = self.fastpath.tallies.get(outpoint.txid)
            transaction = tally.transaction if tally is not None else None
            if transaction is not None and outpoint.index < len(transaction.outputs):
                return transaction.outputs[outpoint.index]
        return output

    def is_proven(self, txid: bytes) -> bool:
        """A quorum has voted for it, by a certificate or by what is counted, whether or not its body is here."""
        path = self.fastpath
        tally = path.tallies.get(txid)
        if tally is None:
            return False
        proven = txid in path.unbacked or tally.certified or tally.final
        return proven or is_quorum(tally.votes.weight, path.roster.total_weight)

    def _size(self, transaction: Transaction) -> int:
        """What it may take in a block. A vote rests on its inputs, so they are all known."""
        coins = [self.ledger.coin(outpoint) for outpoint in transaction.inputs]
        outputs = [
            coin.output if coin is not None else self.pending_output(outpoint)
            for outpoint, coin in zip(transaction.inputs, coins, strict=True)
        ]
        return largest_size(transaction, [output.lock for output in outputs if output is not None])

    def _fresh(self, time: int, now: int) -> bool:
        genesis = self.ledger.genesis
        return slots.acceptable_fresh(genesis.time, genesis.interval, time, now)

    def _ripe(self, now: int) -> bool:
        """A grid point after the parent's is the newest on some clock within the tolerance."""
        genesis = self.ledger.genesis
        latest = slots.newest_slot(genesis.time, genesis.interval, now + slots.tolerance_us(genesis.interval))
        return latest > self.ledger.tip.header.time

    def _propose(self, round_: int, now: int) -> BlockProposal | None:
        """A proposal from the reports that count now, for the newest grid point; None while there is none.

        None, too, while a block is written: the store may have its coins before the ledger has its tip.
        """
        if self.committing:
            return None
        genesis, tip = self.ledger.genesis, self.ledger.tip
        time = slots.newest_slot(genesis.time, genesis.interval, now)
        reports = self.closing.counted()
        me = self.fastpath.me
        if me is None or time <= tip.header.time or not self.closing.is_quorum_of(reports):
            return None
        parent = tip.certificate
        if parent is not None:
            parent = self.rounds.votes.fullest(tip.height, parent)
        try:
            block = self.judging.build(time, round_, me, reports, parent)
        except InvalidBlock as error:
            self.fail_safely(f"certified transactions make no valid block: {error}")
            return None
        return BlockProposal(
            chain_id=self.ledger.params.chain_id,
            round=round_,
            valid_round=0,
            header=block.header,
            body=ProposalBody.of(
                reports,
                attendance=block.attendance,
                evidence=block.evidence,
                parent_certificate=parent,
            ),
            signature=bytes(64),
        )

"""The promises of protocol §3, checked at every event on what really happened.

The checker sees what processes hand to their links, what their disks hold and what
they tell their users; it never asks a node what it believes, except at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timed import events
from timed.events import CommitBlock, NodeEvent, Persist
from timed.interfaces import BlockCommit
from timed.primitives.certificate import BlockCertificate, BundleCertificate
from timed.sim.chain_rules import ChainRules
from timed.sim.durable import DurableLog
from timed.sim.signing_rules import VOTE, SigningRules
from timed.sim.violation import Violation
from timed.wire import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from timed.interfaces import StoredTip
    from timed.peer.conduct import Entry
    from timed.primitives.block import Block
    from timed.primitives.transaction import Transaction
    from timed.sim.cast import Cast
    from timed.sim.host import Process
    from timed.sim.store import LossyStore, Write

BANS = ("banned", "ban")
"""Reasons under which a session ends because one side banned the other."""


class Invariants:
    """Checks every message, write and event of every honest node; raises Violation."""

    def __init__(self, cast: Cast, body: Callable[[bytes], Transaction | None]) -> None:
        roster = cast.genesis.members
        self.chain = ChainRules(cast.genesis)
        self.signing = SigningRules(roster, body, self.chain.unspent_before, self.chain.became_final)
        self.member_of: list[int | None] = [roster.index_of(key.public) for key in cast.operator_keys]
        self.member_of += [None] * (len(cast.node_keys) - len(cast.operator_keys))
        self._honest = {key.public: index for index, key in enumerate(cast.node_keys)}
        self._blamed: list[Entry | None] = [None for _ in cast.node_keys]
        self.logs = [DurableLog(roster) for _ in cast.node_keys]
        self.sessions: list[dict[bytes, None]] = [{} for _ in cast.node_keys]
        """Peers with which each machine's process says it has an open session."""
        self.unwanted = 0
        """Sessions that ended although both sides wanted them; counted at each side."""

    # Disks

    def synced(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        """These writes are durable on the machine of `process`."""
        for write in writes:
            content = write.commit if isinstance(write, CommitBlock) else write.records
            self._written(process.host.index, content, process.host.store.tip())

    def begun(self, index: int, commit: BlockCommit, tip: StoredTip | None) -> None:
        """The disk of a machine was given the genesis block."""
        self._written(index, commit, tip)

    def survived(self, index: int, store: LossyStore) -> None:
        """After a crash the disk holds writes that no sync ever reported: they count, too."""
        for write in store.kept:
            self._written(index, write, store.tip())

    def _written(self, index: int, write: Write, tip: StoredTip | None) -> None:
        if not isinstance(write, BlockCommit):
            self._records(index, write)
            return
        self.logs[index].committed(write.height)
        for record in write.carried:
            self.logs[index].add(record)
        certificate = self.chain.committed(write, tip)
        if certificate is not None:
            self.signing.block_certificate(certificate)
            self.signing.contents(write.block_hash, write.txids[1:])

    def _records(self, index: int, records: tuple[bytes, ...]) -> None:
        """Every record in turn: a log is a sequence, and what stands behind comes later."""
        log, member = self.logs[index], self.member_of[index]
        for record in records:
            message = log.add(record)
            if isinstance(message, messages.TransactionVote):
                if message.member == member:
                    self.signing.bundle(message, log)
                else:
                    self.signing.kept(message)
                if message.epoch == log.height + 1:
                    self.signing.held([txid for txid in message.entries if txid in log.certified], message)
            elif isinstance(message, messages.EpochReport) and message.member == member:
                self.signing.report(message, log)
            elif isinstance(message, messages.BlockVote) and message.member == member:
                self.signing.block_vote(message)
            elif isinstance(message, messages.BlockProposal):
                self.signing.proposal(message)
            self._certificates(message)

    # Links

    def sent(self, process: Process, message: object) -> None:
        """`process` hands `message` to a transport."""
        index = process.host.index
        self.signing.sent(message, self.member_of[index], self.logs[index])
        self._certificates(message)

    def _certificates(self, message: object) -> None:
        for certificate in certificates_in(message):
            if isinstance(certificate, BlockCertificate):
                self.signing.block_certificate(certificate)
            else:
                self.signing.bundle_certificate(certificate)

    # Conduct

    def conduct(self, process: Process) -> None:
        """No honest node does anything that costs it points with another honest node."""
        ledger = process.node.peers.conduct.ledger
        index = process.host.index
        if not ledger or ledger[-1] is self._blamed[index]:
            return
        self._blamed[index] = ledger[-1]
        for entry in ledger:
            if entry.node_id in self._honest:
                accused = self._honest[entry.node_id]
                raise Violation(
                    "no-honest-blame", f"{process.name} blames node {accused}: {entry.event} {entry.detail}"
                )

    # Users

    def published(self, process: Process, event: NodeEvent) -> None:
        """`process` tells its users of `event`."""
        check = _PUBLISHED.get(type(event))
        if check is not None:
            check(self, process, event)

    def started(self, index: int) -> None:
        """A new process: it has no sessions yet."""
        self.sessions[index].clear()

    def _locked(self, process: Process, event: events.TransactionLocked) -> None:
        log, member = self.logs[process.host.index], self.member_of[process.host.index]
        if log.height + 1 == event.epoch and not any(
            vote.member == member and vote.kind == VOTE and event.txid in vote.entries for vote in log.votes
        ):
            self._not_durable(process, event, event.txid)

    def _certified(self, process: Process, event: events.TransactionCertified) -> None:
        log = self.logs[process.host.index]
        if log.height + 1 == event.epoch and event.txid not in log.certified:
            self._not_durable(process, event, event.txid)

    def _final(self, process: Process, event: events.TransactionFinal) -> None:
        log = self.logs[process.host.index]
        if log.height + 1 == event.epoch and event.txid not in log.final:
            self._not_durable(process, event, event.txid)
        self.chain.became_final(event.txid, event.epoch)

    def _block(self, process: Process, event: events.BlockCertified) -> None:
        if self.logs[process.host.index].height < event.height:
            self._not_durable(process, event, event.block_hash)
        if self.chain.blocks[event.height].block_hash != event.block_hash:
            raise Violation("one-block-per-height", f"{process.name} told of another block {event.height}")

    def _released(self, process: Process, event: events.TransactionReleased) -> None:
        if event.txid in self.chain.blocks[event.epoch].txids:
            raise Violation(
                "final-in-block",
                f"{process.name} told that block {event.epoch} left {event.txid.hex()[:12]} out",
            )

    def _not_durable(self, process: Process, event: NodeEvent, name: bytes) -> None:
        what = type(event).__name__
        raise Violation(
            "durable-before-publish", f"{process.name} told of {what} {name.hex()[:12]} too early"
        )

    def _opened(self, process: Process, event: events.PeerOpened) -> None:
        sessions = self.sessions[process.host.index]
        if event.node_id in sessions:
            raise Violation("one-session", f"{process.name} has two sessions with {event.node_id.hex()[:12]}")
        sessions[event.node_id] = None

    def _closed(self, process: Process, event: events.PeerClosed) -> None:
        self.unwanted += event.unwanted
        self.sessions[process.host.index].pop(event.node_id, None)
        if event.reason in BANS and event.node_id in self._honest:
            raise Violation(
                "no-honest-blame", f"{process.name} and {event.node_id.hex()[:12]}: {event.reason}"
            )

    def _safety(self, process: Process, event: events.SafetyFailure) -> None:
        raise Violation("no-alarm", f"{process.name}: {event.what}")

    def _equivocation(self, process: Process, event: events.Equivocation) -> None:
        raise Violation(
            "no-alarm", f"{process.name} holds {event.member.hex()[:12]} for a liar: {event.what}"
        )


def certificates_in(message: object) -> list[BlockCertificate | BundleCertificate]:
    """Every certificate a message carries."""
    if isinstance(
        message, (messages.TransactionCertified, messages.TransactionFinalized, messages.BlockCommit)
    ):
        return [message.certificate]
    if isinstance(message, messages.CertificatesResponse):
        return [entry.certificate for entry in message.entries]
    if isinstance(message, messages.BlockProposal) and message.body.parent_certificate is not None:
        return [message.body.parent_certificate]
    if isinstance(message, messages.HeadersResponse):
        return [entry.certificate for entry in message.headers]
    if isinstance(message, (messages.BlocksResponse, messages.BlockResponse)):
        return [
            *(entry.certificate for entry in message.blocks),
            *_parents(entry.block for entry in message.blocks),
        ]
    if isinstance(message, messages.CompactBlockResponse):
        return _parents(message.blocks)
    return []


def _parents(blocks: Iterable[Block | messages.CompactBlock]) -> list[BlockCertificate | BundleCertificate]:
    """The certificates that blocks bring for their parents: no hash covers them."""
    return [block.parent_certificate for block in blocks if block.parent_certificate is not None]


_PUBLISHED: dict[type, Callable[..., None]] = {
    events.TransactionLocked: Invariants._locked,
    events.TransactionCertified: Invariants._certified,
    events.TransactionFinal: Invariants._final,
    events.BlockCertified: Invariants._block,
    events.TransactionReleased: Invariants._released,
    events.PeerOpened: Invariants._opened,
    events.PeerClosed: Invariants._closed,
    events.SafetyFailure: Invariants._safety,
    events.Equivocation: Invariants._equivocation,
}

"""What gathers until the next tick, and the bundle that is signed then (protocol §3.2)."""

from __future__ import annotations

from timed.consensus.signing import signed
from timed.crypto.keys import SigningKey
from timed.primitives.certificate import CertificateKind
from timed.primitives.roster import Roster
from timed.wire.layouts import MAX_BUNDLE_ENTRIES
from timed.wire.messages import TransactionVote

TICK_US = 2_000
"""How long entries gather before a bundle is signed, with a roster of up to 16."""
TICK_PER_MEMBER_US = 125
SIGNED_AT_ONCE = min(256, MAX_BUNDLE_ENTRIES)
"""Entries of one bundle of ours: what comes of it, here and at every other member, is the work of one turn."""

VOTE = CertificateKind.VOTE
ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


class Bundler:
    """One member's votes and acknowledgements on their way into bundles.

    One write is under way at a time: while the log is busy entries gather, so
    load makes bundles longer instead of more.
    """

    def __init__(self, chain_id: int, operator: SigningKey | None) -> None:
        self._chain_id = chain_id
        self._operator = operator
        self.signed = 0
        self.begin(0, Roster(members=()), None)

    def begin(self, epoch: int, roster: Roster, member: int | None) -> None:
        self._epoch = epoch
        self._roster = roster
        self._member = member
        self._queues: dict[CertificateKind, dict[bytes, None]] = {VOTE: {}, ACKNOWLEDGEMENT: {}}
        self._since: int | None = None
        self._writing = 0
        self.tick = 0

    def put(self, kind: CertificateKind, txid: bytes, now: int) -> None:
        self._queues[kind][txid] = None
        if self._since is None:
            self._since = now

    def clock_set_back(self, now: int) -> None:
        """What gathered when the clock was ahead has gathered since now."""
        if self._since is not None:
            self._since = now

    def clear(self) -> None:
        """Drop what was not signed yet."""
        for queue in self._queues.values():
            queue.clear()
        self._since = None

    def written(self) -> None:
        """A bundle of this epoch is durable."""
        self._writing -= 1

    def deadline(self) -> int | None:
        """When the next bundle is due, None while nothing waits or the log is busy."""
        if self._since is None or self._writing:
            return None
        return self._since + max(TICK_US, TICK_PER_MEMBER_US * len(self._roster.members))

    def due(self, now: int) -> list[TransactionVote]:
        """The bundles to sign now: votes first, then acknowledgements."""
        deadline = self.deadline()
        if deadline is None or now < deadline or self._operator is None or self._member is None:
            return []
        self._since = None
        bundles = []
        for kind, queue in self._queues.items():
            entries = tuple(queue)[:SIGNED_AT_ONCE]  # more wait for the next tick
            for txid in entries:
                del queue[txid]
            if queue:
                self._since = now
            if entries:
                bundles.append(self._sign(kind, entries, self._member, self._operator))
        self._writing += len(bundles)
        return bundles

    def _sign(
        self, kind: CertificateKind, entries: tuple[bytes, ...], member: int, operator: SigningKey
    ) -> TransactionVote:
        self.tick += 1
        self.signed += 1
        unsigned = TransactionVote(
            kind=int(kind),
            chain_id=self._chain_id,
            epoch=self._epoch,
            roster=self._roster.hash,
            tick=self.tick,
            member=member,
            entries=entries,
            signature=bytes(64),
        )
        return signed(unsigned, operator)

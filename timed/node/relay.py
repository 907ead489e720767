"""How a transaction, and what proves it, gets from here to whoever lacks it (protocol §5.9).

Whoever hears of a payment first tells every member, so a member that hears of it
from a member need not tell the others: their votes show within milliseconds that
they have the body. It steps in for those of which nothing was heard after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from timed.consensus.tally import Tally
from timed.deadlines import earliest
from timed.node.fetching import Fetching
from timed.node.inventory import Inventory, Kind
from timed.node.voters import Voters
from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.primitives.certificate import CertificateKind
from timed.primitives.transaction import Transaction
from timed.wire.messages import (
    TransactionAnnouncement,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
)

HOLD_US = SECOND // 2
"""How long a body that a member sent is not passed on to the other members. Their own question for a
body that somebody has voted for comes earlier."""
ANNOUNCED_ABOVE = 4_096
"""Bytes of a transaction beyond which its id is sent, and the body to whoever asks."""
MAX_HELD = 8_192
"""Bodies held back; beyond it the oldest is passed on at once."""

_PROOFS = {
    CertificateKind.VOTE: (Kind.CERTIFIED, TransactionCertified),
    CertificateKind.ACKNOWLEDGEMENT: (Kind.FINAL, TransactionFinalized),
}


class Relay:
    """What each peer is known to have, and the bodies held back.

    `pending` gives a body that still needs to be known, None when it is in a block,
    dropped, or certified: then a quorum has it, and who lacks it asks. `lacks` says
    whether a body is of use and not here.
    """

    def __init__(
        self,
        peers: PeerTable,
        voters: Voters,
        pending: Callable[[bytes], Transaction | None],
        lacks: Callable[[bytes], bool],
    ) -> None:
        self.inventory = Inventory()
        self.fetching = Fetching(peers, lacks)
        self._peers = peers
        self._voters = voters
        self._pending = pending
        self._held: dict[bytes, int] = {}
        """Since when, oldest first."""
        self.passed_on = 0
        """Bodies that had to be passed on to members after all."""
        self.overflow = 0
        """Bodies that were passed on early because too many were held."""

    def __len__(self) -> int:
        return len(self._held)

    def body(self, transaction: Transaction, origin: bytes | None, now: int) -> None:
        """Tell whoever lacks it; the members later when `origin`, a peer, is one of them.

        Without an origin a user has handed it in: who had it before may have dropped it.
        """
        txid = transaction.txid
        if origin is None:
            self.inventory.forget(txid)
        if origin is not None:
            self._peers.useful(origin, now)
        if origin is not None and self._voters.is_voter(origin):
            self._send_body(transaction, self._voters.followers())
            self._hold(txid, now)
        else:
            self._send_body(transaction, (*self._voters.connected(), *self._voters.followers()))

    def again(self, txid: bytes, now: int) -> None:
        """A user repeats what is pending: tell everybody once more, unless nobody was told yet."""
        transaction = self._pending(txid)
        if transaction is not None and self.inventory.forget(txid):
            self.body(transaction, None, now)

    def proof(self, tally: Tally, kind: CertificateKind) -> None:
        """Send a certificate to every peer that does not vote and is not known to have one.

        It is assembled only if there is such a peer.
        """
        known, message = _PROOFS[kind]
        to = self.inventory.lacking(tally.txid, self._voters.followers(), known)
        certificate = tally.certificate(kind) if to else None
        if certificate is not None:
            self._mark(to, tally.txid, known)
            self._peers.broadcast(message(certificate=certificate), to=to)

    # Time

    def next_deadline(self) -> int | None:
        held = next((since + HOLD_US for since in self._held.values()), None)
        return earliest(held, self.fetching.next_deadline())

    def wake(self, now: int) -> None:
        """Pass on what was held back long enough, to the members of which nothing was heard; ask somebody
        else for what was announced and does not come."""
        self.fetching.wake(now)
        for txid, since in list(self._held.items()):
            if now < since + HOLD_US:
                break
            self._release(txid)

    def clock_set_back(self, now: int) -> None:
        """What was held back when the clock was ahead is held back from now."""
        self._held = dict.fromkeys(self._held, now)
        self.fetching.clock_set_back(now)

    # Inside

    def _hold(self, txid: bytes, now: int) -> None:
        self._held.setdefault(txid, now)
        if len(self._held) > MAX_HELD:
            self.overflow += 1
            self._release(next(iter(self._held)))

    def _release(self, txid: bytes) -> None:
        del self._held[txid]
        transaction = self._pending(txid)
        if transaction is not None:
            self.passed_on += self._send_body(transaction, self._voters.connected())

    def _send_body(self, transaction: Transaction, among: Iterable[bytes]) -> int:
        to = self.inventory.lacking(transaction.txid, among)
        if to:
            self._mark(to, transaction.txid, Kind.BODY)
            whole = to
            if transaction.size > ANNOUNCED_ABOVE:
                told = [node_id for node_id in to if self._takes_announcements(node_id)]
                whole = [node_id for node_id in to if node_id not in told]
                self._peers.broadcast(TransactionAnnouncement(txids=(transaction.txid,)), to=told)
            self._peers.broadcast(TransactionBroadcast(transaction=transaction), to=whole)
        return len(to)

    def _takes_announcements(self, node_id: bytes) -> bool:
        handle = self._peers.get(node_id)
        return handle is not None and handle.version >= TransactionAnnouncement.entry().since

    def _mark(self, node_ids: Iterable[bytes], txid: bytes, kind: Kind) -> None:
        for node_id in node_ids:
            self.inventory.mark(node_id, (txid,), kind)

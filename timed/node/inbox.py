"""What each message of a peer does: checked for form and place here, judged by the machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

from timed.errors import InvalidBlock, InvalidCertificate, RemoteError
from timed.node.admission import Offer
from timed.node.future import Future
from timed.node.inventory import Kind
from timed.node.serving import room_of
from timed.peer.values import Incoming, PeerHandle
from timed.primitives.certificate import BundleCertificate, CertificateKind, SignatureItem
from timed.primitives.roster import Roster
from timed.primitives.transaction import Transaction
from timed.wire import messages as wire
from timed.wire.layouts import MAX_CERTIFICATES_ASKED, MAX_TRANSACTIONS_ASKED
from timed.wire.message import Message

if TYPE_CHECKING:
    from timed.node.node import Node

MAX_CHECKS = 16_384
"""Messages whose signatures are being checked; beyond it transactions and certificates of peers are dropped."""
MAX_PENDING_ASKED = 4_096
"""Transactions fetched from one peer's list; the next list brings the rest."""
MAX_RULES = 256
"""Different rules of refusals counted apart; what peers name beyond shares one count."""

Items = tuple[SignatureItem, ...]
Said = dict[bytes, tuple[PeerHandle, Callable[[int], None]]]
"""By what the same signatures stand under: who said it first, and how to go on when they are good."""


class Place(Enum):
    """Where a message's epoch or height lies."""

    PAST = "past"
    CURRENT = "current"
    NEXT = "next"
    FAR = "far"


@attrs.define
class InboxCounters:
    future_kept: int = 0
    future_dropped: int = 0
    misplaced: int = 0
    overload: int = 0
    unhandled: int = 0
    refused: dict[str, int] = attrs.Factory(dict)


class Inbox:
    """Dispatch by message class; one method a message."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.future = Future()
        self._checking: dict[Items, Said] = {}
        self._joined = 0
        """What waits for a check that was begun for something else."""
        self.counters = InboxCounters()
        self._handlers: dict[type, Callable[[PeerHandle, Any, int, int], None]] = {
            wire.TransactionBroadcast: self._transaction,
            wire.TransactionVote: self._bundle,
            wire.TransactionCertified: self._certificate,
            wire.TransactionFinalized: self._certificate,
            wire.TransactionRejected: self._rejected,
            wire.TransactionAnnouncement: self._transactions_announced,
            wire.GetTransactions: self._get_transactions,
            wire.TransactionsResponse: self._transactions,
            wire.GetPendingTransactions: self._get_pending,
            wire.PendingTransactionsResponse: self._pending,
            wire.GetCertificates: self._get_certificates,
            wire.CertificatesResponse: self._certificates,
            wire.EpochReport: self._report,
            wire.UTXOStateQuery: self._utxo_state,
            wire.BlockProposal: self._proposal,
            wire.BlockVote: self._vote,
            wire.BlockCommit: self._commit,
            wire.BlockAnnouncement: self._announcement,
            wire.GetHeaders: self._get_headers,
            wire.HeadersResponse: self._headers,
            wire.GetBlocks: self._get_blocks,
            wire.BlocksResponse: self._blocks,
            wire.BlockRequest: self._get_block,
            wire.GetCompactBlock: self._get_compact,
            wire.CompactBlockResponse: self._compact,
            wire.GetMasternodes: self._get_masternodes,
            wire.RoundState: self._round_state,
            wire.GetProposal: self._get_proposal,
        }

    @property
    def handled(self) -> Collection[type]:
        """The classes of message that have a handler."""
        return self._handlers.keys()

    def deliver(self, incoming: Incoming, now: int) -> None:
        """Handle one message; a RemoteError is counted and reported, never raised."""
        handler = self._handlers.get(type(incoming.message))
        if handler is None:
            self.counters.unhandled += 1
            return
        peers = self._node.peers
        session = peers.session_with(incoming.peer.node_id)
        peers.costs.on(incoming.message.message_type(), None if session is None else session.lanes)
        try:
            handler(incoming.peer, incoming.message, incoming.request_id, now)
        except RemoteError as error:
            self._refuse(incoming.peer, error, now)

    def epoch_began(self, now: int) -> None:
        """Take up what peers sent for the epoch that has just begun."""
        for incoming in self.future.take():
            self.deliver(incoming, now)

    # Place and bounds

    def _place(self, epoch: int) -> Place:
        here = self._node.chain.epoch
        if epoch == here:
            return Place.CURRENT
        if epoch < here:
            return Place.PAST
        return Place.NEXT if epoch == here + 1 else Place.FAR

    def _is_current(self, epoch: int, peer: PeerHandle, message: Message) -> bool:
        """True for the current epoch; the next one's messages are kept for a moment."""
        place = self._place(epoch)
        if place is Place.NEXT:
            self.counters.future_dropped += self.future.keep(Incoming(peer, message, 0, False), message)
            self.counters.future_kept += 1
        elif place is not Place.CURRENT:
            self.counters.misplaced += 1
        return place is Place.CURRENT

    def _overloaded(self) -> bool:
        if len(self._node.checks) + self._joined < MAX_CHECKS:
            return False
        self.counters.overload += 1
        return True

    def _room(self, peer: PeerHandle) -> int:
        """Bytes a reply to this peer may take now (`serving.room_of`)."""
        return room_of(self._node.peers.room(peer.node_id))

    def _refuse(self, peer: PeerHandle, error: RemoteError, now: int) -> None:
        self.counters.refused[error.rule] = self.counters.refused.get(error.rule, 0) + 1
        event = "invalid-certificate" if isinstance(error, InvalidCertificate) else "invalid-block"
        self._node.peers.report(peer.node_id, event, now)

    def _check(
        self,
        peer: PeerHandle,
        items: Sequence[SignatureItem],
        then: Callable[[int], None],
        *,
        target: bytes = b"",
        once: bool = True,
    ) -> None:
        """Continue with `then` when the signatures are good; count against the peer when not.

        What says the same and is being checked already is left out, unless `once` is off. Certificates that rest
        on the same bundles differ in their `target` alone: their signatures are checked once for all of them.
        """
        key = tuple(items)
        under_way = self._checking.get(key) if once else None
        if under_way is not None:
            self._joined += target not in under_way
            under_way.setdefault(target, (peer, then))
            return
        said: Said = {target: (peer, then)}
        if once:
            self._checking[key] = said

        def checked(good: bool, now: int) -> None:
            if once:
                del self._checking[key]
            self._joined -= len(said) - 1
            for speaker, go_on in said.values():
                if good:
                    go_on(now)
                else:
                    self._node.peers.report(speaker.node_id, "invalid-signature", now)

        self._node.checks.check(items, checked)

    def _member_key(self, roster: Roster, roster_hash: bytes, member: int) -> bytes:
        """The operator key behind a roster index, of a member that votes."""
        if roster_hash != roster.hash:
            raise InvalidBlock("roster", "signed for another roster")
        if member >= len(roster.members) or not roster.members[member].weight:
            raise InvalidBlock("member", f"index {member} does not vote")
        return roster.members[member].operator_key

    # Transactions

    def _transaction(
        self, peer: PeerHandle, message: wire.TransactionBroadcast, request: int, now: int
    ) -> None:
        transaction = message.transaction
        self._node.relay.inventory.mark(peer.node_id, (transaction.txid,))
        tally = self._node.chain.fastpath.tallies.get(transaction.txid)
        if (tally is not None and tally.transaction is not None) or self._overloaded():
            return
        self._offer(peer, transaction, now)

    def _offer(self, peer: PeerHandle, transaction: Transaction, now: int) -> None:
        """A peer's transaction; what is proven needs no place in the mempool."""
        certified = self._node.chain.is_proven(transaction.txid)
        self._node.admission.offer(Offer(transaction, peer.node_id, certified), now)

    def _rejected(self, peer: PeerHandle, message: wire.TransactionRejected, request: int, now: int) -> None:
        key = f"by-peer:{message.rule}"
        if key not in self.counters.refused and len(self.counters.refused) >= MAX_RULES:
            key = "by-peer:other"
        self.counters.refused[key] = self.counters.refused.get(key, 0) + 1

    def _transactions_announced(
        self, peer: PeerHandle, message: wire.TransactionAnnouncement, request: int, now: int
    ) -> None:
        self._node.relay.inventory.mark(peer.node_id, message.txids)
        self._node.relay.fetching.announced(peer.node_id, message.txids, now)

    def _get_transactions(
        self, peer: PeerHandle, message: wire.GetTransactions, request: int, now: int
    ) -> None:
        reply = self._node.serving.transactions(message, self._room(peer))
        self._node.relay.inventory.mark(peer.node_id, [one.txid for one in reply.transactions])
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

    def _transactions(
        self, peer: PeerHandle, message: wire.TransactionsResponse, request: int, now: int
    ) -> None:
        txids = [transaction.txid for transaction in message.transactions]
        self._node.relay.inventory.mark(peer.node_id, txids)
        self._node.relay.fetching.answered(peer.node_id, request, txids, now)
        if self._node.catchup.transactions(peer.node_id, request, message.transactions, now):
            return
        for transaction in message.transactions:
            self._offer(peer, transaction, now)

    def _get_pending(
        self, peer: PeerHandle, message: wire.GetPendingTransactions, request: int, now: int
    ) -> None:
        reply = self._node.serving.pending(self._room(peer))
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

    def _pending(
        self, peer: PeerHandle, message: wire.PendingTransactionsResponse, request: int, now: int
    ) -> None:
        """Fetch what the peer has and we lack: bodies, and certificates if we do not vote."""
        self._node.relay.inventory.mark(peer.node_id, message.txids)
        serving = self._node.serving
        unknown = [txid for txid in message.txids if serving.transaction(txid) is None]
        unknown = unknown[:MAX_PENDING_ASKED]
        for start in range(0, len(unknown), MAX_TRANSACTIONS_ASKED):
            part = tuple(unknown[start : start + MAX_TRANSACTIONS_ASKED])
            self._node.peers.request(peer.node_id, wire.GetTransactions(txids=part), now)
        if self._node.chain.votes or message.epoch != self._node.chain.epoch:
            return
        lacking = self._node.chain.fastpath.lacks(message.txids)[:MAX_PENDING_ASKED]
        for start in range(0, len(lacking), MAX_CERTIFICATES_ASKED):
            part = lacking[start : start + MAX_CERTIFICATES_ASKED]
            ask = wire.GetCertificates(epoch=message.epoch, txids=part)
            self._node.peers.request(peer.node_id, ask, now)

    # Votes and certificates

    def _bundle(self, peer: PeerHandle, message: wire.TransactionVote, request: int, now: int) -> None:
        if not self._is_current(message.epoch, peer, message):
            return
        path = self._node.chain.fastpath
        key = self._member_key(path.roster, message.roster, message.member)
        if self._node.voters.is_member(peer.node_id, message.member):
            self._node.relay.inventory.mark(peer.node_id, message.entries)
        if not path.wants(message):
            return

        def counted(later: int) -> None:
            if message.epoch == self._node.chain.epoch:
                path.bundle(message, later)

        self._check(peer, [(key, message.signed_message(), message.signature)], counted)

    def _certificate(
        self,
        peer: PeerHandle,
        message: wire.TransactionCertified | wire.TransactionFinalized,
        request: int,
        now: int,
    ) -> None:
        certificate = message.certificate
        wanted = isinstance(message, wire.TransactionFinalized)
        if (certificate.kind == CertificateKind.ACKNOWLEDGEMENT) != wanted:
            raise InvalidCertificate("certificate-kind")
        if self._is_current(certificate.epoch, peer, message) and not self._overloaded():
            self._take_certificate(peer, certificate)

    def _take_certificate(
        self, peer: PeerHandle, certificate: BundleCertificate, body: Transaction | None = None
    ) -> None:
        """Check it, then count it; `body` comes with it past the mempool's bounds, but not before it."""
        path = self._node.chain.fastpath
        tally = path.tallies.get(certificate.target)
        final = certificate.kind == CertificateKind.ACKNOWLEDGEMENT
        kind = Kind.FINAL if final else Kind.CERTIFIED
        self._node.relay.inventory.mark(peer.node_id, (certificate.target,), kind)
        if tally is not None and (tally.final if final else tally.certified):
            return
        if certificate.chain_id != self._node.params.chain_id:
            raise InvalidCertificate("certificate-chain")

        def proven(later: int) -> None:
            if body is not None and certificate.epoch == self._node.chain.epoch:
                self._node.admission.offer(Offer(body, peer.node_id, certified=True), later)
            path.certificate(certificate, later)

        items = certificate.signature_items(path.roster)
        self._check(peer, items, proven, target=certificate.target, once=body is None)

    def _get_certificates(
        self, peer: PeerHandle, message: wire.GetCertificates, request: int, now: int
    ) -> None:
        reply = self._node.serving.certificates(message, self._room(peer))
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)
        for entry in reply.entries:
            tally = self._node.chain.fastpath.tallies[entry.transaction.txid]
            final = tally.certificate(CertificateKind.ACKNOWLEDGEMENT)
            if final is not None:
                finalized = wire.TransactionFinalized(certificate=final)
                self._node.peers.send_to_peer(peer.node_id, finalized)

    def _certificates(
        self, peer: PeerHandle, message: wire.CertificatesResponse, request: int, now: int
    ) -> None:
        for entry in message.entries:
            certificate = entry.certificate
            if certificate.kind != CertificateKind.VOTE or certificate.target != entry.transaction.txid:
                raise InvalidCertificate("certificate-target")
            if self._place(certificate.epoch) is Place.CURRENT:
                self._take_certificate(peer, certificate, entry.transaction)

    def _report(self, peer: PeerHandle, message: wire.EpochReport, request: int, now: int) -> None:
        if not self._is_current(message.epoch, peer, message):
            return
        closing = self._node.chain.closing
        closing.check_form(message)
        if closing.reports.get(message.member) == message:
            return
        key = self._member_key(self._node.chain.fastpath.roster, message.roster, message.member)

        def counted(later: int) -> None:
            if message.epoch == self._node.chain.epoch:
                closing.report(message, later)

        self._check(peer, [(key, message.signed_message(), message.signature)], counted)

    def _utxo_state(self, peer: PeerHandle, message: wire.UTXOStateQuery, request: int, now: int) -> None:
        states = []
        for outpoint in message.outpoints:
            found = self._node.outpoint_state(outpoint)
            states.append(wire.UTXOState(outpoint=outpoint, state=int(found.state), txid=found.txid))
        self._node.peers.send_to_peer(
            peer.node_id, wire.UTXOStateResponse(states=tuple(states)), reply_to=request
        )

    # Rounds

    def _proposal(self, peer: PeerHandle, message: wire.BlockProposal, request: int, now: int) -> None:
        if not self._is_current(message.header.height, peer, message):
            return
        rounds = self._node.chain.rounds
        if message.round in rounds.proposals and rounds.proposals[message.round] == message:
            return
        if message.chain_id != self._node.params.chain_id:
            raise InvalidBlock("chain")
        key = rounds.roster.members[rounds.proposer(message.round)].operator_key
        items = [(key, message.signed_message(), message.signature)]
        self._check(peer, items, lambda later: rounds.proposal(message, later))

    def _vote(self, peer: PeerHandle, message: wire.BlockVote, request: int, now: int) -> None:
        tip = self._node.ledger.tip
        rounds = self._node.chain.rounds
        late = 0 < message.height == tip.height
        if not (
            rounds.votes.wants_late(message) if late else self._is_current(message.height, peer, message)
        ):
            return
        if message.chain_id != self._node.params.chain_id:
            raise InvalidBlock("chain")
        roster = self._node.ledger.roster(message.height)
        key = self._member_key(roster, message.roster, message.member)
        if rounds.votes.knows(message):
            return
        items = [(key, message.signed_message(), message.signature)]
        self._check(peer, items, lambda later: rounds.vote(message, later))

    def _commit(self, peer: PeerHandle, message: wire.BlockCommit, request: int, now: int) -> None:
        """A certificate: proof of a block that we decide with, fetch, or must refuse to believe."""
        certificate = message.certificate
        ledger = self._node.ledger
        if certificate.chain_id != self._node.params.chain_id:
            raise InvalidCertificate("certificate-chain")
        if certificate.height > ledger.tip.height + 1:
            self._node.catchup.announced(peer.node_id, certificate.height, now)
            return
        known = ledger.header(certificate.height)
        if known is not None and known.hash == certificate.target:
            return
        items = certificate.signature_items(ledger.roster(certificate.height))
        self._check(peer, items, lambda later: self._node.block_proven(peer, certificate, later))

    def _announcement(
        self, peer: PeerHandle, message: wire.BlockAnnouncement, request: int, now: int
    ) -> None:
        self._node.catchup.announced(peer.node_id, message.height, now)

    def _round_state(self, peer: PeerHandle, message: wire.RoundState, request: int, now: int) -> None:
        place = self._place(message.height)
        if place is Place.PAST:
            tip = self._node.ledger.tip
            announcement = wire.BlockAnnouncement(height=tip.height, hash=tip.hash)
            self._node.peers.send_to_peer(peer.node_id, announcement)
            return
        if place is not Place.CURRENT:
            self._node.catchup.announced(peer.node_id, message.height - 1, now)
        if self._is_current(message.height, peer, message):
            self._node.exchange.answer(peer, message.round, now)

    def _get_proposal(self, peer: PeerHandle, message: wire.GetProposal, request: int, now: int) -> None:
        if self._place(message.height) is Place.CURRENT:
            proposal = self._node.chain.rounds.proposals.get(message.round)
            if proposal is not None:
                self._node.peers.send_to_peer(peer.node_id, proposal, reply_to=request)

    # The chain

    def _get_headers(self, peer: PeerHandle, message: wire.GetHeaders, request: int, now: int) -> None:
        reply = self._node.serving.headers(message, self._room(peer))
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

    def _headers(self, peer: PeerHandle, message: wire.HeadersResponse, request: int, now: int) -> None:
        self._node.catchup.headers(peer.node_id, request, message, now)

    def _get_blocks(self, peer: PeerHandle, message: wire.GetBlocks, request: int, now: int) -> None:
        reply = self._node.serving.blocks(message.start, message.count, self._room(peer))
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

    def _blocks(self, peer: PeerHandle, message: wire.BlocksResponse, request: int, now: int) -> None:
        self._node.catchup.blocks(peer.node_id, request, message, now)

    def _get_block(self, peer: PeerHandle, message: wire.BlockRequest, request: int, now: int) -> None:
        reply = self._node.serving.block(message.hash, self._room(peer))
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

    def _get_compact(self, peer: PeerHandle, message: wire.GetCompactBlock, request: int, now: int) -> None:
        reply = self._node.serving.compact(message.hash, self._room(peer))
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

    def _compact(self, peer: PeerHandle, message: wire.CompactBlockResponse, request: int, now: int) -> None:
        self._node.catchup.compact(peer.node_id, request, message, now)

    def _get_masternodes(
        self, peer: PeerHandle, message: wire.GetMasternodes, request: int, now: int
    ) -> None:
        reply = self._node.serving.masternodes(message.height)
        self._node.peers.send_to_peer(peer.node_id, reply, reply_to=request)

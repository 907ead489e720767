"""The one place that knows all machines: events in, actions out (see docs/architecture.rst).

Nothing here waits, reads a clock or draws a random number of its own. A host calls
the methods below with the time and executes what `flush` returns, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from timed.consensus import effects as fx
from timed.errors import InvalidBlock, InvalidTransaction
from timed.events import (
    CERTIFIED,
    FINAL,
    LOCKED,
    Action,
    CommitBlock,
    NodeEvent,
    Persist,
    Publish,
    TransactionAccepted,
    TransactionCertified,
    TransactionDropped,
    TransactionFinal,
    TransactionKept,
    TransactionLocked,
    Verify,
)
from timed.interfaces import IStore
from timed.ledger.ledger import Ledger
from timed.ledger.mempool import Mempool
from timed.node import wiring
from timed.node.admission import Admission, Offer, Verdict, conduct_event
from timed.node.chain import Chain
from timed.node.config import NodeConfig
from timed.node.exchange import Exchange
from timed.node.gate import Checks, Gate
from timed.node.inbox import Inbox
from timed.node.relay import Relay
from timed.node.serving import Serving
from timed.node.submissions import Submissions
from timed.node.views import ConsensusState, OutpointState, TransactionState, Views
from timed.node.voters import Voters
from timed.node.waking import Waking
from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.peer.values import (
    Closed,
    Delivery,
    Incoming,
    Opened,
    PeerAddress,
    PeerHandle,
    RequestFailed,
)
from timed.primitives.certificate import BlockCertificate
from timed.primitives.transaction import OutPoint, Transaction
from timed.sync.catchup import CatchUp, SyncState
from timed.wire import messages as wire
from timed.wire.catalogue import decode_record
from timed.wire.layouts import MAX_TRANSACTIONS_ASKED
from timed.wire.message import Message

if TYPE_CHECKING:
    from random import Random

Items = Sequence[tuple[bytes, bytes, bytes]]


class Node:
    """One node of the network; the host's side of it is described in `timed.events`."""

    def __init__(self, config: NodeConfig, store: IStore, entropy: Random) -> None:
        self.config = config
        self.params = config.genesis.params
        self.now = self._last_turn = 0
        self._actions: list[Action] = []
        if store.tip() is None:
            store.commit(config.genesis.commit())
        self._store = store
        self.ledger = Ledger(store, config.genesis)
        self.mempool = Mempool()
        self.gate = Gate(self._emit)
        self.checks = Checks(self._emit, lambda: self.now)
        operator = config.operator_key
        self.chain = Chain(
            self.ledger, self.mempool, operator if config.vote else None, self.gate, self.checks,
            self._outliving, self._advanced, config.frozen,
        )  # fmt: skip
        self.peers = PeerTable(
            config.identity, entropy, lambda: (self.ledger.tip.height, self.ledger.tip.hash),
            wanted=tuple(PeerAddress(host, port, node_id) for host, port, node_id in config.wanted),
            settings=config.peer_settings,
        )  # fmt: skip
        self.voters = Voters()
        self.serving = Serving(self.ledger, self.mempool, self.chain.fastpath)
        self.relay = Relay(self.peers, self.voters, self._uncertified, self._lacks)
        self.exchange = Exchange(self.chain, self.voters, self.peers)
        self.catchup = CatchUp(self.ledger, self)
        self.admission = Admission(
            self.ledger, self.mempool, self.chain.pending_output, self.checks.check,
            self._accepted, self._refused, self._missing, self._displaced,
        )  # fmt: skip
        self.submissions = Submissions(self.mempool, self.chain.fastpath, self.gate, self._publish)
        self.inbox = Inbox(self)
        self.stopping = False
        self.waking = Waking(self)
        self.views = Views(self.chain, self.serving, self.gate)
        self._executors: dict[type, Callable[[Any], None]] = {
            fx.Sign: self._do_sign,
            fx.Record: self._do_record,
            fx.Tell: lambda effect: self._publish(effect.event),
            fx.Drop: lambda effect: self.submissions.dropped(effect.txid, effect.rule),
            fx.ToVoters: lambda effect: self._to_voters(effect.message),
            fx.ToFollowers: self._do_to_followers,
            fx.AskTransactions: self._do_ask_transactions,
            fx.AskCertificates: self._do_ask_certificates,
            fx.AskProposal: self._do_ask_proposal,
            fx.Judge: self._do_judge,
            fx.Forget: lambda effect: self.chain.judging.forget(effect.block_hash),
            fx.Decide: self._do_decide,
        }
        wiring.check(self.inbox.handled, self._executors)

    # The host's calls

    def start(self, now: int) -> None:
        """Read the log and go on where it ends."""
        self.now = now
        self.chain.begin(now, live=False)
        for record in self._store.replay():
            message = decode_record(record)
            if isinstance(message, wire.TransactionBroadcast) and self.admission.restore(message.transaction):
                self.submissions.restored(message.transaction.txid)
            elif isinstance(message, wire.TransactionRejected):
                self.submissions.ended(message.txid)
            self.chain.restore(message, now)
        if self._store.doubtful:
            self.chain.abstain()
        self.chain.restored()
        self.views.restore()
        for txid in self.views.shown:
            self.mempool.pin(txid)
        self.voters.update(self.chain.fastpath.roster, self.peers)
        self.chain.resume(now)
        self.settle(now)

    def connected(
        self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int, now: int
    ) -> None:
        """A transport is up; `peer_id` is the key that TLS proved, None on a plain link."""
        self.now = now
        self.deliver(self.peers.connected(link, outbound, peer_id, host, port, now))

    def received(self, link: int, data: bytes, now: int) -> None:
        self.now = now
        self.deliver(self.peers.received(link, data, now))

    def disconnected(self, link: int, reason: str, now: int) -> None:
        self.now = now
        self.deliver(self.peers.disconnected(link, reason, now))

    def dial_failed(self, host: str, port: int, reason: str, now: int) -> None:
        self.now = now
        self.deliver(self.peers.dial_failed(host, port, reason, now))

    def drained(self, link: int, now: int) -> None:
        self.now = now
        self.peers.drained(link, now)

    def verified(self, token: int, verdicts: Sequence[bool], now: int) -> None:
        self.now = now
        self.checks.verified(token, verdicts, now)
        self.settle(now)

    def persisted(self, token: int, now: int) -> None:
        self.now = now
        self.gate.persisted(token, now)
        self.settle(now)

    def store_failed(self, token: int, reason: str, now: int) -> None:
        """The disk refused a write: nothing more is signed or committed; sessions and queries go on."""
        self.now = now
        self.gate.failed(token, reason)
        self.chain.abstain()
        self.settle(now)

    def wake(self, now: int) -> None:
        """Whatever was due at `next_wake`."""
        self.now = now
        self.waking.all(now)

    def submit(self, raw: bytes, now: int) -> bytes:
        """Take a user's transaction and return its id; InvalidTransaction says what is wrong.

        The signatures are checked afterwards: `TransactionAccepted` or `TransactionDropped`
        follows. One that is pending is told to everybody again; `TransactionKept` follows.
        """
        self.now = now
        transaction = self.admission.decode(raw)
        if (pending := self.mempool.get(transaction.txid)) is None:
            self.admission.submit(transaction)
        else:
            self.relay.again(pending.txid, now)
            self.submissions.keep(pending, lambda later: self._publish(TransactionKept(pending.txid)))
        self.settle(now)
        return transaction.txid

    def examine(self, raw: bytes, told: Callable[[Verdict], None], now: int) -> None:
        """Tell what `submit` would come to, and nobody else; InvalidTransaction for a wrong encoding."""
        self.now = now
        self.admission.examine(self.admission.decode(raw), told)

    def stop(self, now: int) -> None:
        """Say goodbye to every peer and sign nothing more."""
        self.now = now
        self.stopping = True
        self.chain.abstain()
        self.peers.stop(now)

    def flush(self, now: int) -> list[Action]:
        """The end of a turn: everything to execute, writes to peers last."""
        self.now = now
        if now < self._last_turn - SECOND:
            self.chain.clock_set_back(now)
            self.catchup.clock_set_back(now)
            self.relay.clock_set_back(now)
            self.exchange.clock_set_back(now)
            self.settle(now)
        self._last_turn = now
        self.gate.close()
        actions = [*self._actions, *self.peers.drain(now)]
        self._actions.clear()
        order: dict[type, int] = {CommitBlock: 0, Persist: 0, Verify: 1, Publish: 1}
        actions.sort(key=lambda action: order.get(type(action), 2))
        return actions

    def next_wake(self) -> int | None:
        """When `wake` has something to do, None when nothing is pending."""
        return self.waking.next()

    # What CatchUp needs (timed.sync.surroundings)

    def request(self, node_id: bytes, message: Message, now: int) -> int | None:
        return self.peers.request(node_id, message, now) or None

    def check(self, items: Items, then: Callable[[bool, int], None]) -> None:
        self.checks.check(items, then)

    def misbehaved(self, node_id: bytes, event: str, now: int) -> None:
        self.peers.report(node_id, event, now)

    def votes(self) -> bool:
        return self.chain.votes

    def compacts(self, node_id: bytes) -> bool:
        peer = self.peers.get(node_id)
        return peer is not None and peer.version >= wire.GetCompactBlock.entry().since

    def body(self, txid: bytes) -> Transaction | None:
        return self.serving.transaction(txid)

    def apply(self, block: wire.CertifiedBlock, source: bytes, now: int) -> None:
        """Evaluate a fetched block below its checked certificate, then commit it."""
        height = block.block.header.height
        if self.chain.committing or height != self.chain.epoch:
            return
        try:
            effects = self.ledger.evaluate(block.block)
        except InvalidBlock:
            self.catchup.refused(height, source, now)
            return

        def checked(good: bool, later: int) -> None:
            if good:
                self.peers.useful(source, later, block=True)
                self.chain.commit(effects, block.certificate, fetched=True)
            else:
                self.catchup.refused(height, source, later)

        items = effects.signature_items(self.serving.transaction)
        self.checks.check((*items, *effects.certificate_items), checked)

    # Queries

    def transaction_state(self, txid: bytes) -> TransactionState:
        return self.views.transaction(txid)

    def outpoint_state(self, outpoint: OutPoint) -> OutpointState:
        return self.views.outpoint(outpoint)

    def consensus_state(self) -> ConsensusState:
        return self.views.consensus()

    def sync_state(self) -> SyncState:
        return self.catchup.state()

    # Deliveries and effects

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Handle what the sessions brought, then whatever the machines make of it."""
        for delivery in deliveries:
            if isinstance(delivery, Incoming):
                self.inbox.deliver(delivery, self.now)
            elif isinstance(delivery, Opened):
                self._opened(delivery.peer)
            elif isinstance(delivery, Closed):
                self._closed(delivery)
            elif isinstance(delivery, RequestFailed):
                self.catchup.failed(delivery.peer.node_id, delivery.request_id, self.now)
                self.relay.fetching.failed(delivery.peer.node_id, delivery.request_id, self.now)
        self.settle(self.now)

    def settle(self, now: int) -> None:
        """Execute what the machines ask until they ask for nothing more."""
        while True:
            effects = self.chain.effects.take()
            for effect in effects:
                self._executors[type(effect)](effect)
            if not effects and not self.chain.settle(now):
                break
        if ended := self.peers.take():
            self.deliver(ended)

    def _opened(self, peer: PeerHandle) -> None:
        self.relay.inventory.opened(peer.node_id)
        self.voters.update(self.chain.fastpath.roster, self.peers)
        self.exchange.opened(peer, self.now)
        self.catchup.peer_opened(peer.node_id, peer.handshake.height, self.now)

    def _closed(self, delivery: Closed) -> None:
        peer = delivery.peer
        self.relay.inventory.closed(peer.node_id)
        self.exchange.closed(peer.node_id)
        self.voters.update(self.chain.fastpath.roster, self.peers)
        self.catchup.peer_closed(peer.node_id, self.now)

    def _emit(self, action: Action) -> None:
        self._actions.append(action)

    def _publish(self, event: NodeEvent) -> None:
        shown = _SHOWN.get(type(event))
        if shown is not None and event.epoch == self.chain.epoch:  # type: ignore[union-attr]
            txid: bytes = event.txid  # type: ignore[union-attr]
            self.views.show(txid, shown)
            self.mempool.pin(txid)
        self._emit(Publish(event))

    def _do_sign(self, effect: fx.Sign) -> None:
        message = effect.message

        def durable(now: int) -> None:
            if self.chain.frozen is None and not self.stopping:
                self._to_voters(message)
            self._own(message, now)

        self.gate.persist((*effect.records, message), durable)

    def _own(self, message: fx.OwnMessage, now: int) -> None:
        if isinstance(message, wire.TransactionVote):
            self.chain.fastpath.own(message, now)
        elif isinstance(message, wire.EpochReport):
            self.chain.closing.own(message, now)
        else:
            self.chain.rounds.own(message, now)

    def _do_record(self, effect: fx.Record) -> None:
        def durable(now: int) -> None:
            for one in effect.then:
                self._executors[type(one)](one)

        self.gate.persist(effect.records, durable)

    def _to_voters(self, message: Message) -> None:
        self.peers.broadcast(message, to=self.voters.connected())

    def _do_to_followers(self, effect: fx.ToFollowers) -> None:
        tally = self.chain.fastpath.tallies.get(effect.txid)
        if tally is not None:
            self.relay.proof(tally, effect.kind)

    def _do_ask_transactions(self, effect: fx.AskTransactions) -> None:
        fetching = self.relay.fetching
        if txids := tuple([txid for txid in effect.txids if not fetching.is_coming(txid, self.now)]):
            self._ask(effect.members, wire.GetTransactions(txids=txids))

    def _do_ask_certificates(self, effect: fx.AskCertificates) -> None:
        self._ask(effect.members, wire.GetCertificates(epoch=self.chain.epoch, txids=effect.txids))

    def _do_ask_proposal(self, effect: fx.AskProposal) -> None:
        self._ask(effect.members, wire.GetProposal(height=self.chain.epoch, round=effect.round))

    def _ask(self, members: Sequence[int], message: Message) -> None:
        """Ask one of those that have it, if there is one."""
        node_id = self.voters.choose(members)
        if node_id is not None:
            self.peers.request(node_id, message, self.now)

    def _do_judge(self, effect: fx.Judge) -> None:
        self.chain.judging.judge(effect.proposal, self.chain.rounds.judged, self.now)

    def _do_decide(self, effect: fx.Decide) -> None:
        self.chain.decide(effect.block_hash, effect.certificate)

    # Blocks

    def block_proven(self, peer: PeerHandle, certificate: BlockCertificate, now: int) -> None:
        """A checked certificate for a block that is not ours (yet)."""
        known = self.ledger.header(certificate.height)
        if known is not None:
            if known.hash != certificate.target:
                self.chain.fail_safely(
                    f"two certified blocks at height {certificate.height}: "
                    f"{known.hash.hex()} and {certificate.target.hex()}"
                )
            return
        if certificate.height == self.chain.epoch:
            self.chain.proven(certificate.target)
        if certificate.height == self.chain.epoch and certificate.target in self.chain.judging.blocks:
            self.chain.decide(certificate.target, certificate)
        else:
            self.catchup.announced(peer.node_id, certificate.height, now)

    def _advanced(self, confirmed: tuple[bytes, ...], live: bool, fetched: bool, now: int) -> None:
        """A new tip: tell peers, forget what the old epoch showed, take up the new one."""
        tip = self.ledger.tip
        self.views.clear()
        self.relay.inventory.block(now)
        self.voters.update(self.chain.fastpath.roster, self.peers)
        self.submissions.confirmed(confirmed)
        for txid in confirmed:
            self.admission.known(txid, now)
        if live and tip.certificate is not None:
            self.peers.broadcast(wire.BlockCommit(certificate=tip.certificate), to=self.voters.connected())
        if live:
            announcement = wire.BlockAnnouncement(height=tip.height, hash=tip.hash)
            self.peers.broadcast(announcement, to=self.voters.followers())
        self.catchup.advanced(now)
        self.inbox.epoch_began(now)
        if fetched:
            self.exchange.caught_up()

    # Transactions

    def _accepted(self, offer: Offer, now: int) -> None:
        if offer.transaction.txid in self.views.shown:
            self.mempool.pin(offer.transaction.txid)
        self.chain.fastpath.transaction(offer.transaction, now)
        if offer.origin is None:
            self.submissions.keep(offer.transaction, lambda later: self._announce(offer, later))
        else:
            self._announce(offer, now)

    def _announce(self, offer: Offer, now: int) -> None:
        """Unless it has lost its place while the disk worked: then its sender was told so."""
        if offer.transaction.txid in self.mempool:
            self._publish(TransactionAccepted(offer.transaction.txid))
            self.relay.body(offer.transaction, offer.origin, now)

    def _uncertified(self, txid: bytes) -> Transaction | None:
        """A transaction of the mempool that no quorum is known to have."""
        tally = self.chain.fastpath.tallies.get(txid)
        return None if tally is not None and tally.certified else self.mempool.get(txid)

    def _lacks(self, txid: bytes) -> bool:
        """Nobody here has it, waits with it for a parent, or is looking at it."""
        known = self.serving.transaction(txid) or self.mempool.waiting.get(txid)
        return known is None and not self.admission.is_checking(txid) and self.ledger.locate(txid) is None

    def _refused(self, offer: Offer, error: InvalidTransaction, now: int) -> None:
        txid = offer.transaction.txid
        if offer.origin is None:
            self._publish(TransactionDropped(txid, error.rule))
            return
        self.peers.report(offer.origin, conduct_event(error), now)
        rejected = wire.TransactionRejected(txid=txid, rule=error.rule, detail=error.detail[:200])
        self.peers.send_to_peer(offer.origin, rejected)

    def _missing(self, offer: Offer, parents: tuple[bytes, ...], now: int) -> None:
        if offer.origin is not None:
            ask = wire.GetTransactions(txids=parents[:MAX_TRANSACTIONS_ASKED])
            self.peers.request(offer.origin, ask, now)

    def _displaced(self, txids: tuple[bytes, ...]) -> None:
        """The mempool gave their places to something that pays more."""
        for txid in txids:
            self.chain.fastpath.forget(txid)
            self.submissions.dropped(txid, "mempool-full")

    def _outliving(self, confirmed: tuple[bytes, ...]) -> list[Message]:
        return self.submissions.outliving(confirmed)


_SHOWN: dict[type, str] = {
    TransactionLocked: LOCKED,
    TransactionCertified: CERTIFIED,
    TransactionFinal: FINAL,
}

"""Who dialled makes no difference: every message has the same effect on both kinds of session (F19)."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import example
from tests.node_world import TICK, NodeWorld, Puppet
from timed.errors import LocalError
from timed.events import PeerClosed, PeerOpened, PeerRefused
from timed.node import wiring
from timed.params import NULL_HASH, SECOND
from timed.primitives.certificate import PREVOTE, CertificateKind
from timed.primitives.transaction import Transaction
from timed.wire import messages as wire
from timed.wire.catalogue import BY_NAME, MESSAGES
from timed.wire.message import Direction, Message, MessageType

Spoken = Callable[[NodeWorld, Transaction], Message]
"""A message that means something in `world`, where the member has voted for a payment."""

ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


@functools.cache
def proofs() -> dict[int, Message]:
    """The certificates of that payment, made by another node with the same chain."""
    world, peer, paid = begun(dialled=False)
    follower = world.stranger()
    for kind in (CertificateKind.VOTE, ACKNOWLEDGEMENT):
        peer.say(*(world.bundle(one, paid.txid, kind=kind) for one in (1, 2, 3)))
        world.pass_time(TICK)
    (certified,), (final,) = (
        follower.heard(kind) for kind in (wire.TransactionCertified, wire.TransactionFinalized)
    )
    return {18: certified, 19: final}


@functools.cache
def decided() -> tuple[wire.BlockProposal, wire.BlockCommit, wire.CertifiedBlock]:
    """The next block of that chain: its proposal, its certificate, the whole."""
    world, peer, paid = begun(dialled=False)
    peer.say(*(world.bundle(one, paid.txid) for one in (1, 2)))
    world.certify(peer, paid.txid)
    height = world.node.ledger.tip.height
    block, certificate = world.node.ledger.block(height), world.node.ledger.certificate(height)
    assert block is not None and certificate is not None
    other, speaker, same = begun(dialled=False)
    speaker.say(*(other.bundle(one, same.txid) for one in (1, 2)))
    other.pass_slot()
    proposal = other.proposal(same.txid, round_=other._round_of_others())
    return proposal, wire.BlockCommit(certificate=certificate), wire.CertifiedBlock(block, certificate)


MEANT: dict[str, Spoken] = {
    "Ping": lambda world, paid: wire.Ping(nonce=5, time=0),
    "Goodbye": lambda world, paid: wire.Goodbye(reason="stopping", detail=""),
    "TransactionBroadcast": lambda world, paid: wire.TransactionBroadcast(world.payment(6)),
    "TransactionAnnouncement": lambda world, paid: wire.TransactionAnnouncement((world.payment(7).txid,)),
    "TransactionVote": lambda world, paid: world.bundle(1, paid.txid),
    "TransactionCertified": lambda world, paid: proofs()[18],
    "TransactionFinalized": lambda world, paid: proofs()[19],
    "TransactionRejected": lambda world, paid: wire.TransactionRejected(paid.txid, "fee-low", ""),
    "GetTransactions": lambda world, paid: wire.GetTransactions((paid.txid,)),
    "GetCertificates": lambda world, paid: wire.GetCertificates(1, (paid.txid,)),
    "EpochReport": lambda world, paid: world.report(1),
    "UTXOStateQuery": lambda world, paid: wire.UTXOStateQuery((paid.inputs[0],)),  # type: ignore[arg-type]
    "BlockProposal": lambda world, paid: decided()[0],
    "BlockVote": lambda world, paid: world.vote(1, PREVOTE, NULL_HASH),
    "BlockCommit": lambda world, paid: decided()[1],
    "BlockAnnouncement": lambda world, paid: wire.BlockAnnouncement(9, bytes(32)),
    "GetHeaders": lambda world, paid: wire.GetHeaders(1, 5),
    "GetBlocks": lambda world, paid: wire.GetBlocks(1, 5),
    "BlockRequest": lambda world, paid: wire.BlockRequest(world.genesis.hash),
    "GetCompactBlock": lambda world, paid: wire.GetCompactBlock(world.genesis.hash),
    "GetMasternodes": lambda world, paid: wire.GetMasternodes(1),
    "RoundState": lambda world, paid: wire.RoundState(1, 0, 1, False),
    "TransactionsResponse": lambda world, paid: wire.TransactionsResponse((world.payment(6),)),
    "PendingTransactionsResponse": lambda world, paid: wire.PendingTransactionsResponse(1, (bytes(32),)),
    "HeadersResponse": lambda world, paid: wire.HeadersResponse(()),
    "CompactBlockResponse": lambda world, paid: wire.CompactBlockResponse(()),
    "BlocksResponse": lambda world, paid: wire.BlocksResponse((decided()[2],)),
}

SILENT = {"Pong", "Ack", "UTXOStateResponse", "MasternodesResponse", "BlockResponse", "GetProposal"}
"""What leaves no trace in what follows: nobody waits for it, or there is nothing to say."""


def begun(*, dialled: bool) -> tuple[NodeWorld, Puppet, Transaction]:
    """A member with a payment it voted for, a session of this kind, and two others to pass things on to."""
    world = NodeWorld()
    peer = world.member(1, dialled=dialled)
    world.member(2)
    world.stranger()
    paid = world.payment(5)
    world.submit(paid)
    return world, peer, paid


class DirectionTests(SynchronousTestCase):
    def trace(self, message: Message | Spoken | None, entry: MessageType, *, dialled: bool) -> list[Any]:
        """Everything that follows one message: what all peers hear, what is told, counted and written."""
        world, peer, paid = begun(dialled=dialled)
        if message is not None and not isinstance(message, Message):
            message = message(world, paid)
        for puppet in world.puppets:
            puppet.incoming.clear()
        del world.events[:]
        before = dict(world.node.peers.conduct.counts)
        written = len(list(world.store.replay()))
        heard = [puppet.table.traffic().received for puppet in world.puppets]
        if message is not None:
            self.hand_over(world, peer, message, entry)
        world.pass_time(SECOND)
        return [
            [[self.shown(one.message) for one in puppet.incoming] for puppet in world.puppets],
            [
                Counter(puppet.table.traffic().received) - Counter(earlier)
                for puppet, earlier in zip(world.puppets, heard, strict=True)
            ],
            [len(puppet.closed) for puppet in world.puppets],
            [self.told(event) for event in world.events],
            {
                name: n - before[name]
                for name, n in world.node.peers.conduct.counts.items()
                if n > before[name]
            },
            attrs.asdict(world.node.inbox.counters),
            dict(world.node.peers.violations),
            list(world.store.replay())[written:],
            world.node.ledger.tip.hash,
        ]

    def hand_over(self, world: NodeWorld, peer: Puppet, message: Message, entry: MessageType) -> None:
        """Say it, as a question or as an answer where it is one."""
        if entry.direction is Direction.REQUEST:
            peer.ask(message)
        elif entry.direction is Direction.REPLY:
            asking = next(each for each in MESSAGES if each.reply == entry.name)
            number = world.node.peers.request(peer.node_id, example(asking.number), world.now)
            world.pump()
            peer.say(message, reply_to=number or 0)
        else:
            peer.say(message)

    @staticmethod
    def shown(message: Any) -> Any:
        """A message as it is compared: addresses are learnt where one dials, times are others."""
        name = type(message).__name__
        return name if name in ("PeersResponse", "Ping", "Pong") else (name, message.encode())

    @staticmethod
    def told(event: Any) -> Any:
        """An event as it is compared: those about sessions say who dialled."""
        if isinstance(event, PeerOpened | PeerClosed | PeerRefused):
            return type(event).__name__, getattr(event, "reason", "")
        return event

    def test_every_message_has_the_same_effect_whoever_dialled(self) -> None:
        """[22] Messages that mean something here, and such that only decode."""
        nothing = self.trace(None, BY_NAME["Ping"], dialled=False)
        without_effect = set()
        for entry in MESSAGES:
            for message in (MEANT.get(entry.name), example(entry.number)):
                if message is not None:
                    came = self.trace(message, entry, dialled=False)
                    went = self.trace(message, entry, dialled=True)
                    self.assertEqual(came, went, entry.name)
            if all(
                self.trace(each, entry, dialled=False) == nothing
                for each in (MEANT.get(entry.name), example(entry.number))
                if each is not None
            ):
                without_effect.add(entry.name)
        self.assertLessEqual(without_effect, SILENT)

    def test_every_row_is_tried_with_a_message_that_means_something(self) -> None:
        """A new row of the catalogue belongs in the table above, or among those that say nothing."""
        plain = {"GetPeers", "PeersResponse", "GetPendingTransactions", "CertificatesResponse", "Handshake"}
        self.assertEqual({entry.name for entry in MESSAGES}, MEANT.keys() | SILENT | plain)


class WiringTests(SynchronousTestCase):
    """F20: what is built in and connected to nothing is noticed when the node is made."""

    def test_a_message_without_a_handler_stops_the_start(self) -> None:
        node = NodeWorld().node
        handled = set(node.inbox.handled)
        wiring.check(handled, node._executors)
        for entry in MESSAGES:
            if entry.cls in handled:
                with self.assertRaises(LocalError) as caught:
                    wiring.check(handled - {entry.cls}, node._executors)
                self.assertIn(entry.name, str(caught.exception))

    def test_an_effect_without_an_executor_stops_the_start(self) -> None:
        node = NodeWorld().node
        for effect in node._executors:
            others = [each for each in node._executors if each is not effect]
            with self.assertRaises(LocalError) as caught:
                wiring.check(node.inbox.handled, others)
            self.assertIn(effect.__name__, str(caught.exception))

    def test_it_is_checked_whenever_a_node_is_made(self) -> None:
        asked: list[int] = []
        self.patch(wiring, "check", lambda handlers, executors: asked.append(len(executors)))
        NodeWorld()
        self.assertEqual(len(asked), 1)

"""What a node makes of each message: nothing that does not belong here gets further (protocol §3 to §5)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.layout_strategies import sample
from tests.node_world import TICK, NodeWorld
from timed.codec import interpret
from timed.consensus.tally import Ballot
from timed.events import SafetyFailure
from timed.node import future, inbox
from timed.params import REGTEST, SECOND
from timed.peer.values import Incoming
from timed.primitives.certificate import (
    PRECOMMIT,
    PREVOTE,
    BundleCertificate,
    BundleSigner,
    CertificateKind,
    bitmap_of,
)
from timed.wire.catalogue import MESSAGES
from timed.wire.message import Message
from timed.wire.messages import (
    BlockCommit,
    CertificatesResponse,
    CertifiedTransaction,
    EpochReport,
    GetCertificates,
    RoundState,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionRejected,
    TransactionVote,
)

VOTE, ACKNOWLEDGEMENT = CertificateKind.VOTE, CertificateKind.ACKNOWLEDGEMENT


def second_epoch() -> NodeWorld:
    """Height 1 is certified, the second epoch is under way, a payment is known."""
    world = NodeWorld()
    world.others()
    world.certify(world.puppets[0])
    world.submit(world.payment())
    return world


def certificate(world: NodeWorld, txid: bytes, kind: int = VOTE, **changes: Any) -> BundleCertificate:
    """Of the three puppets, assembled by a node that heard them."""
    twin = NodeWorld(me=None, genesis=world.genesis)
    peer = twin.member(1)
    if world.node.ledger.tip.height:
        twin.store = world.store
        twin = NodeWorld(me=None, genesis=world.genesis, store=world.store, now=world.now)
        peer = twin.member(1)
    peer.say(*(twin.bundle(member, txid, kind=VOTE) for member in (1, 2, 3)))
    body = world.node.mempool.get(txid) or world.payment()
    twin.node.chain.fastpath.transaction(body, twin.now)
    twin.pump()
    peer.say(*(twin.bundle(member, txid, kind=ACKNOWLEDGEMENT) for member in (1, 2, 3)))
    twin.pass_time(TICK)
    tally = twin.node.chain.fastpath.tallies[txid]
    found = tally.certificate(kind)
    assert found is not None
    return msgspec.structs.replace(found, **changes)


def fingerprint(world: NodeWorld) -> tuple[object, ...]:
    """What no message that is refused may change."""
    chain = world.node.chain
    return (
        [(txid, tally.votes.weight, tally.acknowledgements.weight, tally.certified, tally.final)
         for txid, tally in chain.fastpath.tallies.items()],
        dict(chain.closing.reports),
        dict(chain.rounds.proposals),
        [vote.signature for vote in chain.rounds.votes.since(0)],
        chain.ledger.tip,
        chain.frozen,
        len(world.node.mempool),
    )  # fmt: skip


Make = Callable[[NodeWorld], Message]


class ForeignTests(SynchronousTestCase):
    """Of another epoch, chain, roster or member: refused, counted, and nobody is harmed by it."""

    def _counted(self, world: NodeWorld) -> int:
        counters, path, rounds = world.node.inbox.counters, world.node.chain.fastpath, world.node.chain.rounds
        return (
            counters.misplaced
            + sum(counters.refused.values())
            + path.counters.votes_ignored
            + rounds.counters.votes_ignored
            + world.node.checks.refused
        )

    def _refused(self, *makes: Make) -> None:
        for number, make in enumerate(makes):
            world = second_epoch()
            before, counted, kept = (
                fingerprint(world),
                self._counted(world),
                world.node.inbox.counters.future_kept,
            )
            world.puppets[0].say(make(world))
            self.assertEqual(fingerprint(world), before, f"case {number}")
            self.assertGreater(self._counted(world), counted, f"case {number} is counted")
            self.assertEqual(world.node.inbox.counters.future_kept, kept, f"case {number} is not kept")
            self.assertEqual(world.puppets[0].closed, [], "the session lives on")

    def test_bundles(self) -> None:
        txid = b"\7" * 32
        self._refused(
            lambda world: world.bundle(1, txid, epoch=1),
            lambda world: world.bundle(1, txid, epoch=4),
            lambda world: world.bundle(1, txid, chain_id=9),
            lambda world: world.bundle(1, txid, roster=bytes(32)),
            lambda world: world.bundle(1, txid, member=4),
            lambda world: world.bundle(1, txid, member=2),
            lambda world: msgspec.structs.replace(world.bundle(1, txid), signature=bytes(64)),
        )

    def test_certificates(self) -> None:
        def of(make: Callable[..., Message], kind: int = VOTE, **changes: Any) -> Make:
            return lambda world: make(certificate=certificate(world, world.payment().txid, kind, **changes))

        for make, kind in ((TransactionCertified, VOTE), (TransactionFinalized, ACKNOWLEDGEMENT)):
            self._refused(
                of(make, kind, epoch=1), of(make, kind, epoch=4), of(make, kind, chain_id=9),
                of(make, kind, roster=bytes(32)), of(make, kind, bitmap=b"\x01"), of(make, kind, bitmap=b"\x1e"),
                of(make, kind, bitmap=b"\x0e\x00"), of(make, kind, signers=()), of(make, kind, target=b"\1" * 32),
                of(make, VOTE + ACKNOWLEDGEMENT - kind),
            )  # fmt: skip

    def test_reports(self) -> None:
        self._refused(
            lambda world: world.report(1, epoch=1),
            lambda world: world.report(1, epoch=4),
            lambda world: world.report(1, chain_id=9),
            lambda world: world.report(1, roster=bytes(32)),
            lambda world: world.report(1, member=4),
            lambda world: world.report(1, member=2),
            lambda world: msgspec.structs.replace(world.report(1), signature=bytes(64)),
        )

    def test_votes_of_the_rounds(self) -> None:
        block = b"\7" * 32
        self._refused(
            lambda world: world.vote(1, PRECOMMIT, height=4),
            lambda world: world.vote(1, PRECOMMIT, height=0),
            lambda world: world.vote(1, PREVOTE, block, chain_id=9),
            lambda world: world.vote(1, PREVOTE, block, roster=bytes(32)),
            lambda world: world.vote(1, PREVOTE, block, member=4),
            lambda world: world.vote(1, PREVOTE, block, member=2),
            lambda world: msgspec.structs.replace(world.vote(1, PREVOTE, block), signature=bytes(64)),
        )

    def test_proposals(self) -> None:
        def at(world: NodeWorld, height: int) -> Message:
            proposal = world.proposal()
            return world._signed(
                proposal, world.node.chain.rounds.proposer(0), {"header": msgspec.structs.replace(proposal.header, height=height)}
            )  # fmt: skip

        def stolen(world: NodeWorld) -> Message:
            """Signed by a member whose turn it is not."""
            wrong = (world.node.chain.rounds.proposer(0) + 1) % 4
            return world._signed(world.proposal(), wrong, {})

        def swapped(world: NodeWorld) -> Message:
            """Attack: somebody on the way exchanges the reports of a signed proposal."""
            proposal = world.proposal()
            return msgspec.structs.replace(proposal, body=msgspec.structs.replace(proposal.body, reports=()))

        self._refused(
            lambda world: at(world, 1), lambda world: at(world, 4),
            lambda world: world.proposal(chain_id=9), stolen, swapped,
        )  # fmt: skip

    def test_block_certificates(self) -> None:
        def commit(**fields: Any) -> Make:
            return lambda world: BlockCommit(
                certificate=builders.block_certificate(world.genesis.members, 2, b"\5" * 32, **fields)
            )

        def bent(**changes: Any) -> Make:
            return lambda world: BlockCommit(
                certificate=msgspec.structs.replace(
                    builders.block_certificate(world.genesis.members, 2, b"\5" * 32), **changes
                )
            )

        self._refused(
            commit(chain_id=9), commit(signers=(0, 1)), bent(target=b"\6" * 32), bent(roster=bytes(32)),
            bent(bitmap=b"\x1f"), bent(height=1), bent(height=0),
        )  # fmt: skip
        world = second_epoch()
        world.puppets[0].say(bent(height=1)(world), bent(height=0)(world))
        self.assertEqual(world.told(SafetyFailure), [])

    def test_a_certificate_that_the_same_members_signed_on_another_chain(self) -> None:
        """Attack: two networks with one roster; the signatures are good, but not for this one."""

        def elsewhere(world: NodeWorld) -> Message:
            txid = world.payment().txid
            bundles = [world.bundle(member, txid, chain_id=9) for member in (1, 2, 3)]
            signers = tuple(BundleSigner(one.signature, one.tick, 0, ()) for one in bundles)
            return TransactionCertified(
                BundleCertificate(
                    kind=int(VOTE), chain_id=9, epoch=world.node.chain.epoch, target=txid,
                    roster=bundles[0].roster, bitmap=bitmap_of((1, 2, 3), 4), signers=signers,
                )
            )  # fmt: skip

        self._refused(elsewhere)

    def test_what_was_checked_after_its_epoch_counts_in_no_other(self) -> None:
        """§3.4: verification takes time, and the block may come first."""
        world = second_epoch()
        txid = b"\7" * 32
        held: list[Callable[[bool, int], None]] = []
        check = self.patch(world.node.checks, "check", lambda items, then: held.append(then))
        world.puppets[0].say(world.report(1), world.bundle(1, txid))
        check.restore()
        world.certify(world.puppets[1])
        before = fingerprint(world)
        for then in held:
            then(True, world.now)
        world.pump()
        self.assertEqual((len(held), world.node.chain.epoch), (2, 3))
        self.assertEqual(fingerprint(world), before)

    def test_a_strangers_signature_under_a_members_name(self) -> None:
        """The session's operator key proves nothing about what is said: the signature does."""
        world = second_epoch()
        stranger = world.stranger()
        before = fingerprint(world)
        bundle = world.bundle(1, b"\7" * 32)
        stranger.say(msgspec.structs.replace(bundle, signature=stranger.table.identity.node_key.sign(b"x")))
        self.assertEqual(fingerprint(world), before)
        stranger.say(bundle)
        self.assertNotEqual(fingerprint(world), before, "what a member signed counts whoever carries it")

    def test_a_certificate_in_a_reply_that_is_not_its_transactions_brings_nothing_with_it(self) -> None:
        """Attack: the answer to a request carries payments past the bounds of the mempool."""
        for kind, changed, rules in (
            (VOTE, True, {}),
            (VOTE, False, {"certificate-target": 1}),
            (ACKNOWLEDGEMENT, True, {"certificate-target": 1}),
        ):
            world = second_epoch()
            peer = world.puppets[0]
            smuggled = world.payment(5)
            peer.say(world.report(1, smuggled.txid))
            ((number, ask),) = peer.questions(GetCertificates)
            self.assertEqual(ask.txids, (smuggled.txid,))
            changes = {"target": smuggled.txid} if changed else {}
            forged = certificate(world, world.payment().txid, kind, **changes)
            entry = CertifiedTransaction(transaction=smuggled, certificate=forged)
            peer.say(CertificatesResponse(entries=(entry,)), reply_to=number)
            self.assertNotIn(smuggled.txid, world.node.mempool)
            self.assertIsNone(world.node.serving.transaction(smuggled.txid))
            self.assertEqual(world.node.inbox.counters.refused, rules)
            self.assertNotIn(world.payment().txid, world.node.chain.fastpath.held())

    def test_a_certificate_in_a_reply_brings_its_transaction(self) -> None:
        world = second_epoch()
        peer = world.puppets[0]
        paid = world.payment(5)
        peer.say(world.report(1, paid.txid))
        ((number, _),) = peer.questions(GetCertificates)
        entry = CertifiedTransaction(transaction=paid, certificate=certificate_of(world, paid))
        peer.say(CertificatesResponse(entries=(entry,)), reply_to=number)
        self.assertEqual(world.node.transaction_state(paid.txid).state, "certified")
        self.assertEqual(len(world.node.chain.closing.counted()), 1)


def certificate_of(world: NodeWorld, paid: Any) -> BundleCertificate:
    """A certificate for a payment that the node has never heard of."""
    twin = NodeWorld(me=None, genesis=world.genesis, store=world.store, now=world.now)
    peer = twin.member(1)
    twin.node.chain.fastpath.transaction(paid, twin.now)
    peer.say(*(twin.bundle(member, paid.txid) for member in (1, 2, 3)))
    found = twin.node.chain.fastpath.tallies[paid.txid].certificate(VOTE)
    assert found is not None
    return found


class NextEpochTests(SynchronousTestCase):
    """Who is a moment ahead is not lost: its messages wait for this node."""

    def test_messages_of_the_next_epoch_count_when_it_begins(self) -> None:
        world = NodeWorld()
        peers = world.others()
        paid = world.payment()
        ahead = [
            world.bundle(1, paid.txid, epoch=2), world.bundle(2, paid.txid, epoch=2),
            world.report(3, epoch=2), world.vote(1, PREVOTE, height=2),
        ]  # fmt: skip
        peers[0].say(*ahead)
        self.assertEqual(world.node.chain.fastpath.tallies, {})
        self.assertEqual(world.node.inbox.counters.future_kept, 4)
        world.certify(peers[0])
        chain = world.node.chain
        self.assertEqual(chain.fastpath.tallies[paid.txid].votes.weight, 2)
        self.assertEqual(list(chain.closing.reports), [3])
        self.assertEqual(len(chain.rounds.votes.since(0)), 1)

    def test_they_count_once(self) -> None:
        world = NodeWorld()
        peers = world.others()
        bundle = world.bundle(1, b"\7" * 32, epoch=2)
        peers[0].say(bundle, bundle)
        world.certify(peers[0])
        peers[0].say(bundle)
        world.certify(peers[0])
        self.assertEqual(world.node.chain.fastpath.tallies, {}, "and only in their own epoch")

    def test_their_number_is_bounded(self) -> None:
        self.patch(future, "MAX_MESSAGES", 10)
        world = NodeWorld()
        peer = world.others()[0]
        peer.say(*(world.bundle(1, bytes([number]) * 32, epoch=2) for number in range(30)))
        self.assertEqual(world.node.inbox.counters.future_dropped, 20)
        world.certify(peer)
        self.assertEqual(len(world.node.chain.fastpath.tallies), 10)

    def test_their_size_is_bounded(self) -> None:
        """Attack: reports of half a megabyte for the next epoch, from whoever has a session."""
        self.patch(future, "MAX_BYTES", 100_000)
        world = NodeWorld()
        world.others()
        stranger = world.stranger()
        names = tuple(sorted(bytes([number]) * 32 for number in range(250)))
        for member in (1, 2, 3):
            for _ in range(10):
                stranger.say(world.report(member, *names, epoch=2))
        self.assertLessEqual(world.node.inbox.future.bytes, 100_000)
        self.assertGreaterEqual(world.node.inbox.counters.future_dropped, 15)

    def test_a_flood_of_one_peer_does_not_displace_what_the_others_sent(self) -> None:
        """Attack: junk for the next epoch, to make members miss each other's votes."""
        self.patch(future, "MAX_MESSAGES", 10)
        world = NodeWorld()
        peers = world.others()
        paid = world.payment()
        peers[0].say(world.bundle(1, paid.txid, epoch=2))
        liar = world.stranger()
        liar.say(*(world.bundle(3, bytes([number]) * 32, epoch=2) for number in range(50)))
        peers[1].say(world.bundle(2, paid.txid, epoch=2))
        world.certify(peers[0])
        self.assertEqual(world.node.chain.fastpath.tallies[paid.txid].votes.weight, 2)

    def test_a_peer_that_is_ahead_makes_the_node_catch_up(self) -> None:
        world = NodeWorld()
        peer = world.member(1)
        peer.say(RoundState(height=2, round=0, step=1, reported=False))
        self.assertEqual(world.node.sync_state().claimed, 1)


class AnythingTests(SynchronousTestCase):
    """Any bytes from a peer give a value or a RemoteError; no value raises anything."""

    def test_no_message_of_any_kind_raises_or_freezes(self) -> None:
        """Every row of the catalogue, many times, with fields that are nearly right."""
        world = second_epoch()
        world.stranger()
        peers = world.node.peers.peers()
        for entry in MESSAGES:
            for number in range(25):
                order = random.Random(f"{entry.name} {number}")
                fields = _bend(
                    sample(entry.layout, f"{entry.name} {number}", order.choice((0, 1, 3))), world, order
                )
                message = entry.cls.decode(interpret.build(entry.layout, fields))
                incoming = Incoming(order.choice(peers), message, order.choice((0, 1, 7)), bool(number % 2))
                world.node.inbox.deliver(incoming, world.now)
            world.pass_time(TICK)
        self.assertEqual(world.told(SafetyFailure), [])
        self.assertEqual(world.node.ledger.tip.height, 1)
        self.assertGreater(len(world.node.inbox.counters.refused), 5, "it got past the first checks")


def _bend(value: Any, world: NodeWorld, order: Any) -> Any:
    """The value with places, rosters and members that this node could believe."""
    near = {
        "epoch": (1, 2, 3), "height": (0, 1, 2, 3), "round": (0, 1, 2), "chain_id": (REGTEST.chain_id,),
        "roster": (world.genesis.members.hash,), "member": (0, 1, 2, 3, 4), "valid_round": (0, 1),
        "bitmap": (b"\x0e", b"\x0f", b"\x01"), "start": (0, 1, 2**64 - 1), "count": (0, 1, 65_535),
    }  # fmt: skip
    if isinstance(value, dict):
        near = near if {"step", "signatures", "proposer"} & value.keys() else near | {"round": (0,)}
        return {
            key: order.choice(near[key])
            if key in near and not isinstance(sub, (dict, list)) and order.random() < 0.8
            else _bend(sub, world, order)
            for key, sub in value.items()
        }
    if isinstance(value, list):
        return [_bend(item, world, order) for item in value]
    return value


class UnusedTests(SynchronousTestCase):
    """The catalogue and the inbox know each other."""

    def test_every_message_for_the_node_has_a_handler(self) -> None:
        world = NodeWorld()
        control = {"Handshake", "Ack", "Goodbye", "Ping", "Pong", "GetPeers", "PeersResponse"}
        nobody_asks = {"UTXOStateResponse", "BlockResponse", "MasternodesResponse"}
        handled = {cls.__name__ for cls in world.node.inbox._handlers}
        self.assertEqual({entry.name for entry in MESSAGES} - handled, control | nobody_asks)

    def test_what_nobody_handles_is_counted(self) -> None:
        world = NodeWorld()
        peer = world.member(1)
        handle = world.node.peers.get(peer.node_id)
        assert handle is not None
        world.node.inbox.deliver(Incoming(handle, object(), 0, False), world.now)
        self.assertEqual(world.node.inbox.counters.unhandled, 1)

    def test_rules_that_a_peer_makes_up_are_counted_and_take_no_room(self) -> None:
        world = NodeWorld()
        made_up = [TransactionRejected(txid=bytes(32), rule=f"rule-{n}") for n in range(inbox.MAX_RULES + 40)]
        world.member(1).say(*made_up)
        refused = world.node.inbox.counters.refused
        self.assertEqual(sum(refused.values()), len(made_up))
        self.assertEqual((len(refused), refused["by-peer:other"]), (inbox.MAX_RULES + 1, 40))

    def test_bundles_that_can_add_nothing_are_not_verified(self) -> None:
        """§3.2: verification stops at quorum."""
        world = second_epoch()
        paid = world.payment()
        peer = world.puppets[0]
        peer.say(world.bundle(1, paid.txid), world.bundle(2, paid.txid))
        checked = world.node.checks.signatures
        peer.say(world.bundle(3, paid.txid))
        self.assertEqual(world.node.checks.signatures, checked)
        peer.say(world.bundle(3, paid.txid, b"\7" * 32))
        self.assertEqual(world.node.checks.signatures, checked + 1)

    def test_a_report_that_is_known_is_not_verified_again(self) -> None:
        world = second_epoch()
        report: EpochReport = world.report(1)
        world.puppets[0].say(report)
        checked = world.node.checks.signatures
        world.puppets[1].say(report)
        self.assertEqual(world.node.checks.signatures, checked)

    def test_the_same_bundle_from_many_peers_is_verified_once(self) -> None:
        world = second_epoch()
        bundle: TransactionVote = world.bundle(1, b"\7" * 32)
        checked = world.node.checks.signatures
        for peer in world.puppets:
            peer.say(bundle)
        self.assertEqual(world.node.checks.signatures, checked + 1)
        self.assertGreater(SECOND, TICK)

    def test_certificates_of_one_bundle_are_all_taken_and_its_signatures_verified_once(self) -> None:
        """The same signatures stand under each of them, and they come together."""
        world = NodeWorld(me=None)
        peer, payments = world.member(1), [world.payment(number) for number in range(3)]
        txids = tuple(payment.txid for payment in payments)
        peer.say(*(TransactionBroadcast(transaction=payment) for payment in payments))
        checked = world.node.checks.signatures
        for kind, message in ((VOTE, TransactionCertified), (ACKNOWLEDGEMENT, TransactionFinalized)):
            ballots = [Ballot(world.bundle(member, *txids, kind=kind), recorded=False) for member in range(3)]
            for txid in (*txids, *txids):
                proof = BundleCertificate(
                    kind=int(kind), chain_id=REGTEST.chain_id, epoch=1, target=txid,
                    roster=world.genesis.members.hash, bitmap=bitmap_of(range(3), 4),
                    signers=tuple(ballot.signer(txid) for ballot in ballots),
                )  # fmt: skip
                peer.table.send_to_peer(world.node_id, message(certificate=proof))
            world.pump()
        states = [world.node.transaction_state(txid).state for txid in txids]
        self.assertEqual(states, ["final"] * 3)
        self.assertEqual(world.node.checks.signatures, checked + 6)

"""A node from its start to its end: payments, epochs, restarts, failures (protocol §3, §4)."""

from __future__ import annotations

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import TICK, NodeWorld
from timed.errors import InvalidTransaction
from timed.events import (
    BlockCertified,
    DoubleSpend,
    EpochReported,
    TransactionAccepted,
    TransactionCertified,
    TransactionDropped,
    TransactionFinal,
    TransactionLocked,
    TransactionReleased,
)
from timed.interfaces import Coin
from timed.params import SECOND
from timed.primitives.certificate import PRECOMMIT, PREVOTE, CertificateKind
from timed.primitives.roster import Roster, Tier, weights_for
from timed.primitives.transaction import OutPoint
from timed.wire.messages import (
    BlockProposal,
    BlockVote,
    EpochReport,
    TransactionBroadcast,
    TransactionVote,
    UTXOStateKind,
)

ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


class PaymentTests(SynchronousTestCase):
    """§3: Unspent, Locked, SpentPending, SpentFinalized, Confirmed."""

    def test_a_payment_goes_through_every_state_and_each_is_told_once(self) -> None:
        world = NodeWorld()
        peers = world.others()
        paid = world.payment()
        coin = paid.inputs[0]

        def seen() -> tuple[str, UTXOStateKind]:
            return world.node.transaction_state(paid.txid).state, world.node.outpoint_state(coin).state

        self.assertEqual(seen(), ("unknown", UTXOStateKind.UNSPENT))
        world.node.submit(paid.raw, world.now)
        world.pump()
        self.assertEqual(seen(), ("pending", UTXOStateKind.UNSPENT))
        world.pass_time(TICK)
        self.assertEqual(seen(), ("locked", UTXOStateKind.LOCKED))
        peers[0].say(world.bundle(1, paid.txid), world.bundle(2, paid.txid))
        self.assertEqual(seen(), ("certified", UTXOStateKind.SPENT_PENDING))
        world.pass_time(TICK)
        for member in (1, 2):
            peers[0].say(world.bundle(member, paid.txid, kind=ACKNOWLEDGEMENT))
        self.assertEqual(seen(), ("final", UTXOStateKind.SPENT_FINALIZED))
        world.certify(peers[0], paid.txid)
        self.assertEqual(seen(), ("confirmed", UTXOStateKind.CONFIRMED))
        told = [event for event in world.events if getattr(event, "txid", None) == paid.txid]
        self.assertEqual(
            [type(event) for event in told],
            [TransactionAccepted, TransactionLocked, TransactionCertified, TransactionFinal],
        )
        self.assertEqual([event.txids[1:] for event in world.told(BlockCertified)], [(paid.txid,)])

    def test_what_a_payment_makes_is_shown_once_its_certificate_is_durable(self) -> None:
        """A crash must not unsay it."""
        world = NodeWorld(manual=True)
        peer, paid = world.member(1), world.payment()
        made = OutPoint(paid.txid, 0)
        peer.say(TransactionBroadcast(transaction=paid))
        peer.say(*(world.bundle(member, paid.txid) for member in (1, 2, 3)))
        self.assertTrue(world.node.chain.fastpath.tallies[paid.txid].certified)
        self.assertEqual(world.node.outpoint_state(made).state, UTXOStateKind.UNKNOWN)
        world.durable()
        self.assertEqual(world.node.outpoint_state(made).state, UTXOStateKind.UNSPENT)

    def test_whose_report_is_waited_for_is_told_once_reports_come(self) -> None:
        world = NodeWorld()
        peers = world.others()
        self.assertEqual(world.node.consensus_state().without_report, ())
        world.pass_slot()
        world.pass_time(TICK)
        operators = [key.public for key in world.keys]
        self.assertEqual(world.node.consensus_state().without_report, tuple(operators[1:]))
        peers[1].say(world.report(2))
        self.assertEqual(world.node.consensus_state().without_report, (operators[1], operators[3]))
        world.certify(peers[0])
        self.assertEqual(world.node.consensus_state().without_report, ())

    def test_nobody_waits_for_a_report_of_who_has_no_weight(self) -> None:
        base = builders.genesis(4)
        tiers = (Tier.BRONZE, Tier.FREE, Tier.BRONZE, Tier.BRONZE)
        members = [
            msgspec.structs.replace(member, tier=int(tier), weight=weight)
            for member, tier, weight in zip(
                base.members.members, tiers, weights_for("collateral", tiers), strict=True
            )
        ]
        world = NodeWorld(genesis=attrs.evolve(base, profile="collateral", members=Roster(tuple(members))))
        world.pass_slot()
        world.pass_time(TICK)
        operators = [key.public for key in world.keys]
        self.assertEqual(world.node.consensus_state().without_report, (operators[2], operators[3]))

    def test_a_single_member_network_makes_final_payments_and_blocks_alone(self) -> None:
        world = NodeWorld(members=1)
        paid = world.payment()
        world.submit(paid)
        world.pass_time(TICK)
        self.assertEqual(world.node.transaction_state(paid.txid).state, "final")
        world.pass_slot()
        world.pump()
        self.assertEqual(world.node.transaction_state(paid.txid).state, "confirmed")
        world.pass_time(60 * SECOND)
        heights = [event.height for event in world.told(BlockCertified)]
        self.assertEqual(heights, list(range(1, 14)), "one block a slot")

    def test_what_the_epoch_did_not_certify_is_released_and_voted_on_afresh(self) -> None:
        """[14]: locks lapse with the block."""
        world = NodeWorld()
        peers = world.others()
        paid = world.payment()
        world.submit(paid)
        world.certify(peers[0])
        self.assertEqual(world.told(TransactionReleased), [TransactionReleased(paid.txid, 1)])
        world.pass_time(TICK)
        epochs = [event.epoch for event in world.told(TransactionLocked)]
        self.assertEqual(epochs, [1, 2])

    def test_the_loser_of_a_double_spend_is_dropped_when_the_winner_is_confirmed(self) -> None:
        world = NodeWorld()
        peers = world.others()
        winner, loser = world.payment(note=1), world.payment(note=2)
        world.submit(loser)
        peers[0].say(TransactionBroadcast(transaction=winner))
        for member in (1, 2, 3):
            peers[0].say(world.bundle(member, winner.txid))
        self.assertEqual(len(world.told(DoubleSpend)), 1)
        world.certify(peers[0], winner.txid)
        self.assertEqual(
            world.told(TransactionDropped), [TransactionDropped(loser.txid, "conflict-confirmed")]
        )
        self.assertEqual(world.node.transaction_state(loser.txid).state, "unknown")

    def test_a_follower_sees_finality_without_a_vote(self) -> None:
        world = NodeWorld(me=None)
        peer = world.member(0)
        paid = world.payment()
        peer.say(TransactionBroadcast(transaction=paid))
        for member in (0, 1, 2):
            peer.say(world.bundle(member, paid.txid))
            peer.say(world.bundle(member, paid.txid, kind=ACKNOWLEDGEMENT))
        self.assertEqual(world.node.transaction_state(paid.txid).state, "final")
        for kind in (TransactionVote, EpochReport, BlockVote, BlockProposal):
            self.assertEqual(peer.heard(kind), [])


class SubmitTests(SynchronousTestCase):
    """What can be said at once is said at once, by the name of the rule."""

    def _rule(self, world: NodeWorld, raw: bytes) -> str:
        return self.assertRaises(InvalidTransaction, world.node.submit, raw, world.now).rule

    def test_each_refusal_has_its_rule(self) -> None:
        world = NodeWorld(members=1)
        coin = world.genesis.created()[0]
        good = world.payment()
        missing = builders.transfer([(builders.outpoint(), builders.coin())])
        cheap = builders.transfer([coin], fee=1)
        self.assertEqual(self._rule(world, b"junk"), "transaction-encoding")
        self.assertEqual(self._rule(world, good.raw + b"\0"), "transaction-encoding")
        self.assertEqual(self._rule(world, missing.raw), "input-missing")
        self.assertEqual(self._rule(world, cheap.raw), "fee-low")
        self.assertEqual(self._rule(world, builders.transfer([coin], lock_height=9).raw), "lock-height")
        world.submit(good)
        self.assertEqual(self._rule(world, world.payment(note=5).raw), "mempool-conflict")
        world.pass_slot()
        world.pump()
        self.assertEqual(self._rule(world, good.raw), "already-confirmed")
        self.assertEqual(self._rule(world, world.payment(note=5).raw), "input-spent")

    def test_a_wrong_signature_is_told_by_an_event(self) -> None:
        world = NodeWorld(members=1)
        forged = world.payment().with_witnesses(world.payment(note=2).witnesses)
        world.submit(forged)
        self.assertEqual(world.told(TransactionDropped), [TransactionDropped(forged.txid, "signature")])

    def test_handing_it_in_twice_is_no_error_and_has_one_effect(self) -> None:
        world = NodeWorld(members=1)
        paid = world.payment()
        world.submit(paid)
        self.assertEqual(world.node.submit(paid.raw, world.now), paid.txid)
        world.pump()
        self.assertEqual(len(world.told(TransactionAccepted)), 1)

    def test_accepted_means_durable(self) -> None:
        """A user's payment survives a crash from the moment it is accepted."""
        world = NodeWorld(manual=True)
        peer = world.member(1)
        paid = world.payment()
        world.node.submit(paid.raw, world.now)
        world.pump()
        self.assertEqual((world.told(TransactionAccepted), peer.heard(TransactionBroadcast)), ([], []))
        world.durable()
        self.assertEqual(len(world.told(TransactionAccepted)), 1)
        self.assertEqual(peer.heard(TransactionBroadcast), [TransactionBroadcast(transaction=paid)])
        self.assertNotEqual(world.restarted().node.transaction_state(paid.txid).state, "unknown")

    def test_what_lost_its_place_while_the_disk_worked_is_neither_accepted_nor_told(self) -> None:
        """Its sender hears that it was dropped, and may spend the coins otherwise."""
        world = NodeWorld(me=None, manual=True)
        peer = world.member(1)
        paid = world.payment()
        world.node.submit(paid.raw, world.now)
        world.pump()
        world.node.mempool.remove(paid.txid)
        world.durable()
        self.assertEqual((world.told(TransactionAccepted), peer.heard(TransactionBroadcast)), ([], []))

    def test_it_is_there_when_the_process_dies_right_behind_a_block_that_left_it_out(self) -> None:
        """The block ends the log; what users handed in goes over with it, in one step."""
        world = NodeWorld(manual=True)
        peer = world.member(1)
        paid = world.payment()
        world.submit(paid)
        world.durable()
        world.certify(peer)
        while world.store.tip() is None or world.store.tip().height < 1:  # type: ignore[union-attr]
            world.durable(1)
        again = world.restarted()
        self.assertEqual(again.node.ledger.tip.height, 1)
        self.assertIn(paid.txid, again.node.mempool)

    def test_it_stays_durable_over_blocks_that_leave_it_out(self) -> None:
        world = NodeWorld()
        peers = world.others()
        paid = world.payment()
        world.submit(paid)
        for _ in range(3):
            world.certify(peers[0])
        again = world.restarted()
        self.assertEqual(again.node.ledger.tip.height, 3)
        self.assertIn(paid.txid, again.node.mempool)

    def test_what_it_spends_is_there_as_well(self) -> None:
        """A node that does not vote writes down no body for a vote: the parent came from a peer."""
        world = NodeWorld(me=None)
        parent = world.payment()
        world.stranger().say(TransactionBroadcast(transaction=parent))
        coin = (OutPoint(parent.txid, 0), Coin(parent.outputs[0], 1, False))
        child = builders.transfer([coin], [500_000])
        world.submit(child)
        again = world.restarted()
        self.assertIn(child.txid, again.node.mempool)
        self.assertIn(parent.txid, again.node.mempool)


class RestartTests(SynchronousTestCase):
    """The log and the chain are all that a process leaves behind."""

    def test_every_state_that_was_shown_is_shown_again(self) -> None:
        world = NodeWorld()
        peer = world.member(1)
        payments = [world.payment(number) for number in range(4)]
        for paid in payments:
            world.submit(paid)
        for paid in payments[1:]:
            peer.say(world.bundle(1, paid.txid), world.bundle(2, paid.txid))
        world.pass_time(TICK)
        for paid in payments[2:]:
            peer.say(*(world.bundle(one, paid.txid, kind=ACKNOWLEDGEMENT) for one in (1, 2)))
        again = world.restarted()
        states = [again.node.transaction_state(paid.txid).state for paid in payments]
        self.assertEqual(states, ["locked", "certified", "final", "final"])
        again.pass_time(TICK)
        for kind in (TransactionLocked, TransactionCertified, TransactionFinal):
            self.assertEqual(again.told(kind), [], "nothing is told twice")

    def test_a_restarted_voter_repeats_what_it_signed_and_signs_nothing_else(self) -> None:
        """[16]"""
        world = NodeWorld()
        peer = world.member(1)
        paid, rival = world.payment(note=1), world.payment(note=2)
        world.submit(paid)
        (old,) = peer.heard(TransactionVote)
        again = world.restarted()
        peer = again.member(1)
        peer.say(TransactionBroadcast(transaction=rival))
        again.pass_time(TICK)
        self.assertEqual(peer.heard(TransactionVote), [])
        peer.say(again.node.chain.rounds.state())
        self.assertEqual(peer.heard(TransactionVote), [old], "it is handed out when a peer asks")

    def test_after_its_report_a_restarted_member_stays_closed(self) -> None:
        """§3.4"""
        world = NodeWorld()
        world.pass_slot()
        world.pass_time(TICK)
        self.assertEqual(len(world.told(EpochReported)), 1)
        again = world.restarted()
        peer = again.member(1)
        again.submit(again.payment())
        self.assertEqual(peer.heard(TransactionVote), [])
        again.pass_time(SECOND)
        self.assertEqual(again.told(EpochReported), [])

    def test_the_rounds_go_on_after_a_restart_and_decide(self) -> None:
        """[16]: with a crash between the own precommit and the decision."""
        world = NodeWorld()
        peer = world.member(1)
        world.pass_slot()
        round_ = next(number for number in range(4) if world.node.chain.rounds.proposer(number) != 0)
        proposal = world.proposal(round_=round_)
        peer.say(proposal)
        block = proposal.header.hash
        peer.say(*(world.vote(member, PREVOTE, block, round_) for member in (1, 2, 3)))
        own = [vote for vote in peer.heard(BlockVote) if vote.step == PRECOMMIT]
        self.assertEqual([vote.block for vote in own], [block])
        again = world.restarted()
        peer = again.member(1)
        self.assertEqual(again.node.chain.rounds.locked, (round_, block))
        peer.say(*(again.vote(member, PRECOMMIT, block, round_) for member in (1, 2)))
        self.assertEqual(again.node.ledger.tip.hash, block)

    def test_a_log_in_doubt_silences_the_member_for_this_epoch_only(self) -> None:
        """A record that may have been lost may have held a signature."""
        world = NodeWorld()
        world.store.doubtful = True
        again = world.restarted()
        peer = again.member(1)
        again.submit(again.payment())
        again.certify(peer)
        said = [*peer.heard(TransactionVote), *peer.heard(EpochReport), *peer.heard(BlockVote)]
        self.assertEqual(said, [])
        again.pass_time(TICK)
        self.assertEqual(len(peer.heard(TransactionVote)), 1)

"""What a member votes for, and what it must have written down before it says so (protocol §3.1, §3.2)."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import ACKNOWLEDGEMENT, EPOCH, VOTE, EpochDesk
from timed.consensus.bundler import SIGNED_AT_ONCE, TICK_PER_MEMBER_US, TICK_US
from timed.consensus.effects import Sign
from timed.crypto.rule import check
from timed.events import DoubleSpend, TransactionLocked
from timed.ledger.regtest import well_known_key
from timed.params import REGTEST
from timed.primitives.transaction import OutPoint
from timed.wire.messages import TransactionBroadcast, TransactionVote


class VotingTests(SynchronousTestCase):
    """A vote is a promise about inputs that are there."""

    def test_votes_for_a_transaction_whose_inputs_are_unspent(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        self.assertEqual(desk.voted_for(), [payment.txid])

    def test_a_vote_is_signed_by_the_operator_key_and_bound_to_chain_epoch_and_roster(self) -> None:
        desk = EpochDesk(me=2)
        desk.know(desk.payment())
        desk.wait()
        (vote,) = desk.sent
        assert isinstance(vote, TransactionVote)
        self.assertEqual(
            (vote.kind, vote.chain_id, vote.epoch, vote.roster, vote.member),
            (VOTE, REGTEST.chain_id, EPOCH, desk.roster.hash, 2),
        )
        check(desk.roster.members[2].operator_key, vote.signed_message(), vote.signature)

    def test_does_not_vote_while_an_input_is_unknown(self) -> None:
        """[13]: each input is unspent in the last block, or made by a certified transaction."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(desk.spend(*payment.inputs, OutPoint(bytes(32), 0)))
        desk.wait()
        self.assertEqual(desk.signatures, [])
        self.assertEqual(desk.path.locks, {})

    def test_a_parent_that_is_only_voted_for_does_not_make_its_output_available(self) -> None:
        """[13]: the certificate of the parent must be held, a vote for it is not enough."""
        desk = EpochDesk()
        parent = desk.payment()
        desk.know(parent, desk.child_of(parent))
        desk.wait()
        desk.votes(parent.txid, 1)
        desk.wait()
        self.assertEqual(desk.voted_for(), [parent.txid])

    def test_does_not_vote_for_what_may_not_stand_in_this_block(self) -> None:
        desk = EpochDesk()
        early, due = desk.payment(1, lock_height=EPOCH + 1), desk.payment(2, lock_height=EPOCH)
        desk.know(early, due)
        desk.wait()
        self.assertEqual(desk.voted_for(), [due.txid])

    def test_votes_once_however_often_the_transaction_comes(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        for _ in range(3):
            desk.know(payment)
            desk.wait()
        self.assertEqual(desk.voted_for(), [payment.txid])

    def test_who_is_not_on_the_roster_never_signs(self) -> None:
        """Only the roster's voters vote; a member without weight and a stranger follow."""
        stranger = EpochDesk(me=None, key=well_known_key("operator", 50))
        weightless = EpochDesk(weights=(1, 1, 0, 1), me=2)
        for desk in (EpochDesk(me=None), stranger, weightless):
            payment = desk.payment()
            desk.know(payment)
            desk.votes(payment.txid, 0, 1, 3)
            desk.wait()
            desk.close()
            self.assertIsNone(desk.path.me)
            self.assertEqual(desk.signatures, [])
            self.assertEqual(desk.path.held(), (payment.txid,), "it follows all the same")

    def test_a_silent_member_follows_without_a_signature(self) -> None:
        desk = EpochDesk(signing=False)
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.wait()
        desk.close()
        self.assertEqual(desk.signatures, [])
        self.assertEqual(desk.path.held(), (payment.txid,))

    def test_no_vote_after_the_slot_time(self) -> None:
        """§3.4: at the slot time a member stops voting in this epoch."""
        desk = EpochDesk()
        before, after = desk.payment(1), desk.payment(2)
        desk.know(before)
        desk.wait()
        desk.close()
        desk.know(after)
        desk.wait()
        self.assertEqual(desk.voted_for(), [before.txid])

    def test_what_was_queued_but_not_signed_at_the_slot_time_is_dropped(self) -> None:
        desk = EpochDesk()
        desk.know(desk.payment())
        desk.close()
        desk.wait()
        self.assertEqual(desk.voted_for(), [])
        self.assertEqual([type(one).__name__ for one in desk.signatures], ["EpochReport"])


class DurabilityTests(SynchronousTestCase):
    """[13]: the lock is durable before the vote leaves."""

    def test_body_and_vote_are_one_write_with_the_body_in_front(self) -> None:
        desk = EpochDesk(manual=True)
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        ((records, _),) = desk.writes
        self.assertEqual([type(record) for record in records], [TransactionBroadcast, TransactionVote])
        self.assertEqual(records[0], TransactionBroadcast(transaction=payment))

    def test_the_machine_sends_no_vote_of_its_own_accord(self) -> None:
        desk = EpochDesk()
        desk.know(desk.payment())
        desk.now = desk.path.next_deadline() or 0
        desk.path.wake(desk.now)
        self.assertEqual([type(effect) for effect in desk.effects.take()], [Sign])

    def test_nothing_leaves_before_the_write_is_durable(self) -> None:
        desk = EpochDesk(manual=True)
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        self.assertEqual((desk.sent, desk.heard(TransactionLocked)), ([], []))
        desk.durable()
        self.assertEqual(desk.voted_for(), [payment.txid])
        self.assertEqual(desk.heard(TransactionLocked), [TransactionLocked(payment.txid, EPOCH)])

    def test_the_own_vote_counts_only_when_it_comes_back(self) -> None:
        """A certificate never rests on a signature that a crash would forget."""
        desk = EpochDesk(weights=(1, 1, 1), manual=True)
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        desk.votes(payment.txid, 1)
        self.assertEqual(desk.path.tallies[payment.txid].votes.weight, 1)
        self.assertEqual(desk.path.held(), ())
        desk.durable(1)
        self.assertEqual(desk.path.held(), (payment.txid,))

    def test_the_lock_is_taken_before_the_write_is_durable(self) -> None:
        """The second of two conflicting transactions finds the lock while the first is being written."""
        desk = EpochDesk(manual=True)
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first, second)
        desk.wait()
        desk.durable()
        desk.wait()
        self.assertEqual(desk.voted_for(), [first.txid])

    def test_the_certificate_is_shown_only_when_it_is_durable(self) -> None:
        desk = EpochDesk(manual=True)
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        self.assertEqual((desk.told, desk.followers), ([], []))
        desk.durable()
        self.assertEqual(next(type(event).__name__ for event in desk.told), "TransactionCertified")
        self.assertEqual(len(desk.followers), 1)

    def test_a_body_is_written_once_an_epoch(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        desk.votes(payment.txid, 1, 2, 3)
        desk.wait()
        bodies = [record for record in desk.records() if isinstance(record, TransactionBroadcast)]
        self.assertEqual(bodies, [TransactionBroadcast(transaction=payment)])

    def test_a_follower_writes_the_body_with_the_certificate(self) -> None:
        desk = EpochDesk(me=None)
        payment = desk.payment()
        desk.know(payment)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        self.assertEqual(
            [record.message_type() for record in desk.records()],
            ["TransactionBroadcast", "TransactionCertified"],
        )


class LockTests(SynchronousTestCase):
    """One outpoint, one epoch, one vote."""

    def test_double_spend_is_met_with_silence_and_told_once(self) -> None:
        """[13]: already locked for another transaction: no vote, one event."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        for transaction in (first, second, second):
            desk.know(transaction)
            desk.wait()
        desk.votes(second.txid, 1)
        self.assertEqual(desk.voted_for(), [first.txid])
        place = (first.inputs[0].txid, first.inputs[0].index)
        self.assertEqual(desk.heard(DoubleSpend), [DoubleSpend(place, first.txid, second.txid, EPOCH)])
        self.assertEqual(desk.path.counters.double_spends, 1)

    def test_one_locked_input_of_many_is_enough_for_silence(self) -> None:
        desk = EpochDesk()
        first = desk.payment(1)
        second = desk.spend(desk.coin(2), desk.coin(1))
        desk.know(first, second)
        desk.wait()
        self.assertEqual(desk.voted_for(), [first.txid])
        self.assertNotIn(second.inputs[0], desk.path.locks, "a vote locks all of its inputs or none")

    def test_locks_do_not_expire_on_a_timer(self) -> None:
        """[13], [14]: only the end of the epoch releases an outpoint."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first)
        desk.wait(24 * 3600 * 1_000_000)
        desk.know(second)
        desk.wait(24 * 3600 * 1_000_000)
        self.assertEqual(desk.voted_for(), [first.txid])
        self.assertEqual(desk.path.lock_of(first.inputs[0]), first.txid)

    def test_no_message_of_a_peer_releases_a_lock(self) -> None:
        """[14]: no network message sets a state directly; even a certificate for the rival does not."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first)
        desk.wait()
        desk.know(second)
        desk.certify(desk.certificate_of(second.txid, 1, 2, 3))
        desk.wait()
        self.assertEqual(desk.path.lock_of(first.inputs[0]), first.txid)
        self.assertEqual(desk.voted_for(), [first.txid])

    def test_locks_lapse_with_the_epoch(self) -> None:
        """[14]: when the block is certified, what was not in it is voted on afresh."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first)
        desk.wait()
        desk.begin(EPOCH + 1)
        self.assertEqual(desk.path.locks, {})
        desk.know(second)
        desk.wait()
        self.assertEqual(desk.voted_for(), [first.txid, second.txid])

    def test_a_vote_of_the_old_epoch_that_becomes_durable_late_does_not_count_in_the_new_one(self) -> None:
        desk = EpochDesk(manual=True)
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        desk.begin(EPOCH + 1)
        desk.durable()
        self.assertEqual(desk.path.tallies, {})
        self.assertEqual(desk.path.own_bundles, [])
        desk.know(payment)
        desk.wait()
        self.assertEqual(len(desk.writes), 1, "the new epoch's bundler is not blocked by the old write")


class BundleTests(SynchronousTestCase):
    """[§3.2]: one signature for many votes."""

    def test_what_comes_within_a_tick_is_one_bundle(self) -> None:
        desk = EpochDesk()
        payments = [desk.payment(number) for number in range(5)]
        desk.know(*payments)
        desk.wait()
        self.assertEqual(len(desk.sent), 1)
        self.assertEqual(desk.voted_for(), [payment.txid for payment in payments])

    def test_the_first_of_a_tick_waits_two_milliseconds_and_no_longer(self) -> None:
        desk = EpochDesk()
        desk.know(desk.payment())
        desk.wait(TICK_US - 1)
        desk.path.wake(desk.now)
        desk.settle()
        self.assertEqual(desk.sent, [])
        desk.wait(1)
        self.assertEqual(len(desk.sent), 1)

    def test_the_tick_grows_with_the_roster(self) -> None:
        desk = EpochDesk(weights=(1,) * 40)
        desk.know(desk.payment())
        self.assertEqual(desk.path.next_deadline(), desk.now + 40 * TICK_PER_MEMBER_US)

    def test_while_a_bundle_is_being_written_the_next_one_gathers(self) -> None:
        desk = EpochDesk(manual=True)
        desk.know(desk.payment(1))
        desk.wait()
        others = [desk.payment(number) for number in range(2, 9)]
        for payment in others:
            desk.know(payment)
            desk.wait()
        self.assertEqual(len(desk.writes), 1)
        desk.durable(1)
        ((records, _),) = desk.writes
        bundle = records[-1]
        assert isinstance(bundle, TransactionVote)
        self.assertEqual(bundle.entries, tuple(payment.txid for payment in others))

    def test_a_bundle_is_bounded_and_the_rest_follows(self) -> None:
        desk = EpochDesk()
        count = SIGNED_AT_ONCE + 10
        desk.know(*(desk.payment(number) for number in range(count)))
        desk.wait()
        sizes = [len(bundle.entries) for bundle in desk.sent if isinstance(bundle, TransactionVote)]
        self.assertEqual(sizes, [SIGNED_AT_ONCE, 10])

    def test_every_bundle_of_an_epoch_has_a_tick_of_its_own(self) -> None:
        desk = EpochDesk()
        for number in range(4):
            payment = desk.payment(number)
            desk.know(payment)
            desk.votes(payment.txid, 1, 2)
            desk.wait()
        bundles = [bundle for bundle in desk.sent if isinstance(bundle, TransactionVote)]
        self.assertEqual({bundle.kind for bundle in bundles}, {VOTE, ACKNOWLEDGEMENT})
        ticks = [bundle.tick for bundle in bundles]
        self.assertEqual(len(set(ticks)), len(ticks))


class BudgetTests(SynchronousTestCase):
    """What one member votes for in one epoch fits, twice, into one block."""

    def test_votes_for_no_more_transactions_than_an_epoch_holds(self) -> None:
        desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_transactions=3))
        payments = [desk.payment(number) for number in range(5)]
        desk.know(*payments)
        desk.wait()
        self.assertEqual(desk.voted_for(), [payment.txid for payment in payments[:3]])
        self.assertEqual(desk.path.counters.own_votes_over_budget, 2)

    def test_votes_for_no_more_bytes_than_an_epoch_holds(self) -> None:
        size = EpochDesk().payment().size
        for room, count in ((3 * size - 1, 2), (3 * size, 3)):
            desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_bytes=room))
            payments = [desk.payment(number) for number in range(5)]
            desk.know(*payments)
            desk.wait()
            self.assertEqual(desk.voted_for(), [payment.txid for payment in payments[:count]])

    def test_a_smaller_one_still_fits_when_a_larger_one_does_not(self) -> None:
        size = EpochDesk().payment().size
        desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_bytes=2 * size))
        large = desk.spend(*(desk.coin(number) for number in range(10, 20)))
        small = desk.payment(1)
        desk.know(large, small)
        desk.wait()
        self.assertEqual(desk.voted_for(), [small.txid])

    def test_the_next_epoch_has_a_budget_of_its_own(self) -> None:
        desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_transactions=1))
        first, second = desk.payment(1), desk.payment(2)
        desk.know(first, second)
        desk.wait()
        desk.begin(EPOCH + 1)
        desk.know(second)
        desk.wait()
        self.assertEqual(desk.voted_for(), [first.txid, second.txid])

    def test_what_the_budget_leaves_out_is_not_locked(self) -> None:
        desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_transactions=1))
        first, second = desk.payment(1), desk.payment(2)
        desk.know(first, second)
        self.assertIsNone(desk.path.lock_of(second.inputs[0]))
        self.assertEqual(desk.path.lock_of(first.inputs[0]), first.txid)

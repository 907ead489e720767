"""What a member remembers after a crash at any moment (protocol §3.4, [13], [16])."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import ACKNOWLEDGEMENT, EPOCH, VOTE, EpochDesk
from timed.errors import StoreError
from timed.events import DoubleSpend, TransactionCertified, TransactionFinal
from timed.params import REGTEST
from timed.primitives.transaction import OutPoint
from timed.wire.catalogue import encode_record
from timed.wire.messages import TransactionBroadcast, TransactionVote


class RestartTests(SynchronousTestCase):
    """The log is replayed, and the member goes on where it stopped."""

    def test_voted_locks_are_back(self) -> None:
        """[13]: the lock was durable before the vote left, and it holds for the epoch."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first)
        desk.wait()
        again = desk.restarted()
        self.assertEqual(again.path.lock_of(first.inputs[0]), first.txid)
        again.know(second)
        again.wait()
        self.assertEqual(again.voted_for(), [])
        self.assertEqual(len(again.heard(DoubleSpend)), 1)

    def test_nothing_is_voted_for_twice(self) -> None:
        """[15]: no key signs twice for one (outpoint, epoch)."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        again = desk.restarted()
        again.know(payment)
        again.wait()
        self.assertEqual(again.signatures, [])
        self.assertEqual(again.path.tallies[payment.txid].votes.weight, 1, "the old vote counts")

    def test_the_old_bundles_can_still_be_handed_to_others(self) -> None:
        """A crash between the write and the send loses nothing."""
        desk = EpochDesk()
        desk.know(desk.payment())
        desk.wait()
        self.assertEqual(desk.restarted().path.own_bundles, desk.sent)

    def test_what_was_not_durable_was_never_signed(self) -> None:
        """[16]: the vote died with the process, so the member is free to vote for the rival."""
        desk = EpochDesk(manual=True)
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first)
        desk.wait()
        again = desk.restarted()
        again.know(second)
        again.wait()
        self.assertEqual(again.voted_for(), [second.txid])

    def test_ticks_go_on_after_the_last_one(self) -> None:
        """Two bundles with one tick would be one to whoever has seen the first."""
        desk = EpochDesk()
        for number in range(3):
            desk.know(desk.payment(number))
            desk.wait()
        again = desk.restarted()
        again.know(again.payment(9))
        again.wait()
        (bundle,) = [message for message in again.sent if isinstance(message, TransactionVote)]
        self.assertGreater(bundle.tick, max(old.tick for old in desk.path.own_bundles))

    def test_certificates_are_back_and_in_the_report(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        again = desk.restarted()
        self.assertEqual(again.path.held(), (payment.txid,))
        again.close()
        self.assertEqual(again.sent[-1].txids, (payment.txid,))  # type: ignore[attr-defined]

    def test_certificates_that_came_from_peers_are_back_and_in_the_report(self) -> None:
        """§3.3: without the votes they are made of; else what this member acknowledged could be left out."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        held = desk.certificate_of(payment.txid, 1, 2, 3)
        final = desk.certificate_of(payment.txid, 1, 2, 3, kind=ACKNOWLEDGEMENT)
        desk.certify(held)
        desk.certify(final)
        again = desk.restarted()
        tally = again.path.tallies[payment.txid]
        self.assertEqual(tally.certificate(VOTE), held)
        self.assertEqual((tally.final, tally.certificate(ACKNOWLEDGEMENT)), (True, final))
        child = again.child_of(payment)
        again.know(child)
        again.wait()
        self.assertEqual(again.voted_for(), [payment.txid, child.txid])
        again.close()
        self.assertEqual(again.sent[-1].txids, (payment.txid,))  # type: ignore[attr-defined]

    def test_a_child_is_not_held_again_without_its_parent(self) -> None:
        """[13]: it is named in bundles that prove something else."""
        desk = EpochDesk(me=None)
        parent, other = desk.payment(1), desk.payment(2)
        child = desk.child_of(parent)
        desk.know(parent, child, other)
        for member in (1, 2, 3):
            desk.hear(desk.bundle(member, child.txid, other.txid))
        self.assertEqual(desk.path.held(), (other.txid,))
        desk.log += [encode_record(TransactionBroadcast(one)) for one in (child, parent)]
        again = desk.restarted()
        self.assertEqual(again.path.tallies[child.txid].votes.weight, 3)
        self.assertEqual(again.path.held(), (other.txid,))
        again.votes(parent.txid, 1, 2, 3)
        held = tuple(sorted((parent.txid, child.txid, other.txid)))
        self.assertEqual(again.path.held(), held)
        once_more = again.restarted()
        self.assertEqual(once_more.path.held(), held, "though the log names the child first")
        self.assertEqual(once_more.heard(TransactionCertified), [], "nor is it told again")

    def test_acknowledgements_of_the_log_finalise_nothing_without_the_certificate(self) -> None:
        """§3.3: they are named in bundles that made another transaction final."""
        desk = EpochDesk(me=None)
        first, second = desk.payment(1), desk.payment(2)
        desk.know(first, second)
        desk.votes(first.txid, 1, 2, 3)
        for member in (1, 2, 3):
            desk.hear(desk.bundle(member, first.txid, second.txid, kind=ACKNOWLEDGEMENT))
        again = desk.restarted()
        self.assertEqual([again.path.tallies[one.txid].final for one in (first, second)], [True, False])
        again.know(second)
        again.votes(second.txid, 1, 2, 3)
        self.assertEqual(again.heard(TransactionFinal), [TransactionFinal(second.txid, EPOCH)])

    def test_outputs_of_certified_transactions_are_available_again(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        again = desk.restarted()
        child = again.child_of(payment)
        again.know(child)
        again.wait()
        self.assertIn(child.txid, again.voted_for())

    def test_an_acknowledgement_that_was_not_written_is_made_up_for(self) -> None:
        """§3.3: the certificate is in the log, so the member acknowledges it."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        self.assertEqual(desk.acknowledged(), [])
        again = desk.restarted()
        again.wait()
        self.assertEqual(again.acknowledged(), [payment.txid])

    def test_an_acknowledgement_that_was_written_is_not_made_twice(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.wait()
        self.assertEqual(desk.acknowledged(), [payment.txid])
        again = desk.restarted()
        again.wait()
        self.assertEqual(again.acknowledged(), [])
        self.assertEqual(again.path.tallies[payment.txid].acknowledgements.weight, 1)

    def test_a_body_of_the_log_is_not_written_again(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        again = desk.restarted()
        again.votes(payment.txid, 1, 2)
        again.wait()
        self.assertEqual(again.path.held(), (payment.txid,))
        bodies = [record for record in again.records() if isinstance(record, TransactionBroadcast)]
        self.assertEqual(len(bodies), 1)

    def test_finality_is_not_told_twice(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.acknowledgements(payment.txid, 1, 2, 3)
        again = desk.restarted()
        again.acknowledgements(payment.txid, 1, 2, 3)
        again.wait()
        self.assertEqual(again.heard(TransactionFinal), [])
        self.assertTrue(again.path.tallies[payment.txid].final)

    def test_a_member_that_reported_never_signs_in_that_epoch_again(self) -> None:
        """§3.4: neither votes nor acknowledgements, and no second report."""
        desk = EpochDesk()
        old, new = desk.payment(1), desk.payment(2)
        desk.know(old)
        desk.wait()
        desk.close()
        again = desk.restarted()
        again.know(new)
        again.votes(old.txid, 1, 2, 3)
        again.wait()
        again.close()
        self.assertEqual(again.signatures, [])
        self.assertEqual(again.path.held(), (old.txid,))
        self.assertEqual(again.closing.reports[0], desk.sent[-1])

    def test_it_signs_again_in_the_next_epoch(self) -> None:
        desk = EpochDesk()
        desk.close()
        again = desk.restarted()
        again.begin(EPOCH + 1)
        payment = again.payment()
        again.know(payment)
        again.wait()
        self.assertEqual(again.voted_for(), [payment.txid])

    def test_records_of_another_epoch_mean_nothing(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        other = desk.payment(1)
        desk.know(other)
        desk.certify(desk.certificate_of(other.txid, 1, 2, 3))
        desk.wait()
        desk.close()
        desk.path.epoch += 1
        again = desk.restarted()
        self.assertEqual((again.path.own_bundles, again.path.held(), again.path.closed), ([], (), False))

    def test_votes_of_the_log_are_charged_to_the_budget(self) -> None:
        desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_transactions=2))
        desk.know(desk.payment(1), desk.payment(2))
        desk.wait()
        again = desk.restarted()
        again.know(again.payment(3))
        again.wait()
        self.assertEqual(again.voted_for(), [])

    def test_what_a_liar_signed_beyond_its_budget_takes_no_certificate_away(self) -> None:
        """[13]: bundles stand in the log in the order in which they proved something, not as they came."""
        desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_transactions=3))
        first, second = desk.payment(1), desk.payment(2)
        desk.know(first, second)
        desk.wait()
        made_up = [bytes([number]) * 32 for number in range(3)]
        desk.hear(desk.bundle(1, first.txid, made_up[0]))
        desk.hear(desk.bundle(1, second.txid, *made_up[1:]))
        desk.hear(desk.bundle(2, second.txid))
        desk.hear(desk.bundle(2, first.txid))
        desk.wait()
        held = tuple(sorted((first.txid, second.txid)))
        self.assertEqual(desk.path.held(), held)
        self.assertEqual(sorted(desk.acknowledged()), list(held))
        self.assertEqual(desk.restarted().path.held(), held)

    def test_a_vote_in_the_log_without_its_body_is_damage_and_named_as_such(self) -> None:
        desk = EpochDesk()
        desk.know(desk.payment())
        desk.wait()
        desk.log = desk.log[1:]
        error = self.assertRaises(StoreError, desk.restarted)
        self.assertIn("but not the transaction", str(error))
        self.assertTrue(error.hint)


class AnyCrashTests(SynchronousTestCase):
    """A crash after any number of writes, in a day's work with conflicts and chains."""

    @settings(deadline=None, max_examples=50)
    @given(st.data())
    def test_no_key_signs_twice_for_one_outpoint_in_one_epoch(self, data) -> None:
        """[15], with what left before the crash and what leaves after it."""
        desk = EpochDesk(manual=True)
        bodies = {}
        left: dict[OutPoint, bytes] = {}
        reported = False
        for _ in range(data.draw(st.integers(1, 4))):
            for number, note in data.draw(
                st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=1)), max_size=6)
            ):
                payment = desk.payment(number, note=note)
                bodies[payment.txid] = payment
                desk.know(payment)
                desk.votes(payment.txid, *data.draw(st.sets(st.integers(1, 3))))
                if data.draw(st.booleans()):
                    desk.wait()
                desk.durable(data.draw(st.integers(0, 3)))
            if data.draw(st.booleans()):
                desk.close()
                desk.durable(data.draw(st.integers(0, 3)))
            for message in desk.sent:
                if isinstance(message, TransactionVote):
                    self.assertFalse(reported, "nothing is signed after the report")
                    for txid in message.entries if message.kind == VOTE else ():
                        for outpoint in bodies[txid].inputs:
                            self.assertEqual(left.setdefault(outpoint, txid), txid)
            reported = reported or desk.path.me in desk.closing.reports
            desk = desk.restarted(manual=True)

    @settings(deadline=None, max_examples=50)
    @given(st.integers(0, 16))
    def test_every_prefix_of_the_log_can_be_restored(self, kept: int) -> None:
        """Each record rests only on what stands in front of it."""
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(parent, child)
        desk.votes(parent.txid, 1, 2, 3)
        desk.wait()
        desk.votes(child.txid, 1, 2, 3)
        desk.acknowledgements(parent.txid, 1, 2, 3)
        desk.wait()
        desk.close()
        desk.log = desk.log[:kept]
        again = desk.restarted()
        records = again.records()
        names = [record.message_type() for record in records]
        votes = [one for one in records if isinstance(one, TransactionVote) and one.kind == VOTE]
        proven = [
            txid
            for txid in (parent.txid, child.txid)
            if len({vote.member for vote in votes if txid in vote.entries}) >= 3
        ]
        self.assertEqual(sorted(again.path.held()), sorted(proven))
        self.assertEqual(again.path.closed, "EpochReport" in names)
        again.wait()
        bundles = [one for one in again.path.own_bundles if one.kind == ACKNOWLEDGEMENT]
        acknowledged = [txid for bundle in bundles for txid in bundle.entries]
        self.assertEqual(len(acknowledged), len(set(acknowledged)))
        if not again.path.closed:
            self.assertEqual(sorted(acknowledged), sorted(again.path.held()))

    def test_the_log_of_that_day_holds_bodies_before_what_rests_on_them(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.votes(payment.txid, 1, 2, 3)
        desk.know(payment)
        desk.wait()
        self.assertEqual(desk.records()[0], TransactionBroadcast(transaction=payment))

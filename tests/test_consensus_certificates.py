"""From votes to a certificate, from acknowledgements to finality (protocol §3.2, §3.3)."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import ACKNOWLEDGEMENT, EPOCH, VOTE, EpochDesk, are_good
from timed.consensus import tally
from timed.consensus.effects import AskCertificates
from timed.consensus.missing import ASK_AGAIN_US
from timed.events import TransactionCertified, TransactionFinal
from timed.params import SECOND
from timed.primitives.certificate import BundleCertificate, indices_of
from timed.primitives.transaction import OutPoint
from timed.wire.messages import TransactionBroadcast, TransactionVote
from timed.wire.messages import TransactionCertified as Certified
from timed.wire.messages import TransactionFinalized as Finalized


class QuorumTests(SynchronousTestCase):
    """[9]: 3w >= 2W, with W the weight of the whole roster, whoever is heard from."""

    def test_certified_at_the_quorum_of_the_whole_roster_and_not_one_vote_before(self) -> None:
        """[9]: the fault table's rosters of 1, 3, 4, 7 and 10 members."""
        for members, quorum in ((1, 1), (3, 2), (4, 3), (7, 5), (10, 7)):
            desk = EpochDesk(weights=(1,) * members, me=None)
            payment = desk.payment()
            desk.know(payment)
            desk.votes(payment.txid, *range(quorum - 1))
            self.assertEqual(desk.path.held(), (), f"{quorum - 1} of {members}")
            desk.votes(payment.txid, quorum - 1)
            self.assertEqual(desk.path.held(), (payment.txid,), f"{quorum} of {members}")

    def test_the_weight_counts_not_the_heads(self) -> None:
        """[9]: three light members of four are no quorum, two heavy ones are."""
        desk = EpochDesk(weights=(1, 1, 1, 10), me=None)
        light, heavy = desk.payment(1), desk.payment(2)
        desk.know(light, heavy)
        desk.votes(light.txid, 0, 1, 2)
        self.assertEqual(desk.path.held(), ())
        desk.votes(heavy.txid, 3)
        self.assertEqual(desk.path.held(), (heavy.txid,))

    def test_members_that_are_never_heard_from_do_not_lower_the_quorum(self) -> None:
        """[9]: it is never lowered, however long the others are silent."""
        desk = EpochDesk(weights=(1, 1, 1, 1))
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1)
        desk.wait(3600 * SECOND)
        self.assertEqual(desk.path.tallies[payment.txid].votes.weight, 2)
        self.assertEqual(desk.path.held(), ())

    def test_a_member_counts_once_however_often_it_votes(self) -> None:
        desk = EpochDesk(me=None)
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 1, 1, 2, 2)
        self.assertEqual(desk.path.tallies[payment.txid].votes.weight, 2)

    def test_a_transaction_named_twice_in_one_bundle_counts_once(self) -> None:
        desk = EpochDesk(me=None)
        payment = desk.payment()
        desk.know(payment)
        desk.hear(desk.bundle(1, payment.txid, payment.txid, payment.txid))
        self.assertEqual(desk.path.tallies[payment.txid].votes.weight, 1)

    def test_a_member_without_weight_adds_nothing(self) -> None:
        desk = EpochDesk(weights=(1, 1, 1, 0), me=None)
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 3, 0)
        self.assertEqual(desk.path.held(), ())
        desk.votes(payment.txid, 1)
        self.assertEqual(desk.path.held(), (payment.txid,))

    def test_acknowledgements_do_not_count_as_votes(self) -> None:
        desk = EpochDesk(me=None)
        payment = desk.payment()
        desk.know(payment)
        desk.acknowledgements(payment.txid, 0, 1, 2, 3)
        self.assertEqual(desk.path.held(), ())

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.integers(0, 30), min_size=1, max_size=10).filter(any), st.randoms())
    def test_certified_exactly_when_the_weight_heard_is_two_thirds_of_the_roster(
        self, weights, order
    ) -> None:
        """[9] for any weights and any order of arrival."""
        desk = EpochDesk(weights=weights, me=None)
        payment = desk.payment()
        desk.know(payment)
        members = list(range(len(weights)))
        order.shuffle(members)
        heard = 0
        for member in members:
            desk.votes(payment.txid, member)
            heard += weights[member]
            self.assertEqual(bool(desk.path.held()), heard > 0 and 3 * heard >= 2 * sum(weights))


class CertificateTests(SynchronousTestCase):
    """A certificate convinces whoever knows the roster."""

    def _certificate(self, desk: EpochDesk, txid: bytes) -> BundleCertificate:
        certificate = desk.path.tallies[txid].certificate(VOTE)
        assert certificate is not None
        return certificate

    def test_the_assembled_certificate_is_valid(self) -> None:
        desk = EpochDesk(weights=(1,) * 7)
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        desk.votes(payment.txid, 1, 2, 3, 4, 5, 6)
        certificate = self._certificate(desk, payment.txid)
        self.assertEqual(
            (certificate.kind, certificate.epoch, certificate.target), (VOTE, EPOCH, payment.txid)
        )
        self.assertTrue(are_good(certificate.signature_items(desk.roster)))

    def test_it_is_valid_when_the_votes_came_in_bundles_of_many(self) -> None:
        """Each signer proves by a branch that the entry is in the bundle it signed."""
        desk = EpochDesk(me=None)
        payments = [desk.payment(number) for number in range(9)]
        desk.know(*payments)
        ids = [payment.txid for payment in payments]
        desk.hear(desk.bundle(0, *ids))
        desk.hear(desk.bundle(1, *reversed(ids)))
        desk.hear(desk.bundle(2, *ids[3:], *ids[:3]))
        self.assertEqual(desk.path.held(), tuple(sorted(ids)))
        for txid in ids:
            certificate = self._certificate(desk, txid)
            self.assertTrue(are_good(certificate.signature_items(desk.roster)))
            self.assertEqual(BundleCertificate.decode(certificate.encode()), certificate)

    def test_it_has_no_more_signers_than_make_a_quorum(self) -> None:
        """Of those heard from, the heaviest: whoever follows checks as few signatures as possible."""
        desk = EpochDesk(weights=(1, 1, 5, 1, 5, 1, 1), me=None)
        payment = desk.payment()
        desk.hear(desk.bundle(0, payment.txid))
        for member in (1, 3, 2, 4, 5, 6):
            desk.hear(desk.bundle(member, payment.txid))
        desk.know(payment)
        certificate = self._certificate(desk, payment.txid)
        self.assertEqual(indices_of(certificate.bitmap, 7), (2, 4))
        self.assertEqual(len(certificate.signers), 2)

    def test_whoever_gets_the_certificate_from_a_peer_holds_it_like_an_own_one(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        self.assertEqual(desk.path.held(), (payment.txid,))
        self.assertEqual(desk.heard(TransactionCertified), [TransactionCertified(payment.txid, EPOCH)])

    def test_a_certificate_without_its_transaction_is_not_held(self) -> None:
        """§3.4: what is reported must be backed by the body, too."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        self.assertEqual(desk.path.held(), ())
        desk.know(payment)
        self.assertEqual(desk.path.held(), (payment.txid,))

    def test_a_certificate_is_told_and_handed_on_once(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        self.assertEqual(len(desk.heard(TransactionCertified)), 1)
        self.assertEqual([type(message) for message in desk.followers], [Certified])
        self.assertEqual(desk.path.unbacked, {}, "nor is it kept twice")

    def test_what_a_certificate_waits_for_is_not_forgotten(self) -> None:
        """A mempool without a place for the child; its parent is asked for all the same."""
        desk = EpochDesk(me=None)
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(child)
        desk.certify(desk.certificate_of(child.txid, 1, 2, 3))
        desk.path.forget(child.txid)
        desk.wait(ASK_AGAIN_US)
        self.assertEqual(desk.wanted(AskCertificates), [AskCertificates((parent.txid,), ())] * 2)
        desk.know(parent)
        desk.certify(desk.certificate_of(parent.txid, 1, 2, 3))
        self.assertEqual(desk.path.held(), tuple(sorted((parent.txid, child.txid))))

    def test_a_certificate_of_another_epoch_or_roster_is_ignored(self) -> None:
        old, other = EpochDesk(epoch=EPOCH - 1), EpochDesk(weights=(1, 1, 1, 2))
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        for stranger in (old, other):
            desk.certify(stranger.certificate_of(payment.txid, 1, 2, 3))
        self.assertEqual(desk.path.held(), ())

    def test_the_certificate_of_a_rival_does_not_stop_the_own_report(self) -> None:
        """Certificates outrank own locks: what a quorum stands behind is in the report."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first, second)
        desk.wait()
        desk.votes(second.txid, 1, 2, 3)
        self.assertEqual(desk.path.held(), (second.txid,))


class ChainedTests(SynchronousTestCase):
    """A transaction over outputs of this epoch: voted, certified and acknowledged after its parent."""

    def test_the_child_is_voted_for_once_the_parent_is_certified(self) -> None:
        """[13]"""
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(child, parent)
        desk.wait()
        self.assertEqual(desk.voted_for(), [parent.txid])
        desk.votes(parent.txid, 1, 2)
        desk.wait()
        self.assertEqual(desk.voted_for(), [parent.txid, child.txid])

    def test_a_whole_chain_follows_when_its_first_certificate_comes(self) -> None:
        desk = EpochDesk()
        chain = [desk.payment()]
        for _ in range(4):
            chain.append(desk.child_of(chain[-1]))
        for transaction in reversed(chain):
            desk.know(transaction)
        for transaction in reversed(chain):
            desk.votes(transaction.txid, 1, 2, 3)
        self.assertEqual(desk.path.held(), tuple(sorted(one.txid for one in chain)))
        certified = [event.txid for event in desk.heard(TransactionCertified)]
        self.assertEqual(certified, [one.txid for one in chain], "parents first")
        self.assertEqual(desk.prepared, chain, "and so they are worked out for the block")
        self.assertEqual((desk.path.counters.certified, desk.path.counters.final), (5, 0))

    def test_a_quorum_behind_the_child_alone_certifies_nothing(self) -> None:
        """[13]: the same condition holds for assembling a certificate and for acknowledging."""
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(parent, child)
        desk.votes(child.txid, 1, 2, 3)
        desk.wait()
        self.assertEqual(desk.path.held(), ())
        self.assertEqual(desk.acknowledged(), [])

    def test_a_certificate_for_the_child_alone_is_not_held_either(self) -> None:
        """[13]"""
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(parent, child)
        desk.certify(desk.certificate_of(child.txid, 1, 2, 3))
        desk.wait()
        self.assertEqual((desk.path.held(), desk.acknowledged()), ((), []))
        desk.certify(desk.certificate_of(parent.txid, 1, 2, 3))
        desk.wait()
        self.assertEqual(desk.path.held(), tuple(sorted((parent.txid, child.txid))))
        self.assertEqual(sorted(desk.acknowledged()), sorted((parent.txid, child.txid)))

    def test_with_a_quorum_behind_the_child_the_parents_certificate_is_asked_for(self) -> None:
        """Who voted for the child holds it: that is the rule they voted under."""
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(parent, child)
        desk.votes(child.txid, 1, 2)
        self.assertEqual(desk.wanted(AskCertificates), [])
        desk.votes(child.txid, 3)
        self.assertEqual(desk.wanted(AskCertificates), [AskCertificates((parent.txid,), (1, 2, 3))])

    def test_only_the_certificates_that_lack_are_asked_for_and_once(self) -> None:
        desk = EpochDesk(weights=(1,) * 7)
        held, lacking = desk.payment(1), desk.payment(2)
        child = desk.spend(desk.coin(3), OutPoint(held.txid, 0), OutPoint(lacking.txid, 0))
        desk.know(held, lacking, child)
        desk.votes(held.txid, 1, 2, 3, 4, 5)
        desk.votes(child.txid, 1, 2, 3, 4, 5, 6)
        asked = [AskCertificates((lacking.txid,), (1, 2, 3, 4, 5))]
        self.assertEqual(desk.wanted(AskCertificates), asked)

    def test_the_parents_certificate_is_asked_for_again_until_it_is_there(self) -> None:
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(parent, child)
        desk.wait()
        desk.votes(child.txid, 1, 2, 3)
        desk.wait(SECOND + SECOND // 2)
        self.assertEqual(len(desk.wanted(AskCertificates)), 2)
        desk.votes(parent.txid, 1, 2)
        desk.wait(3 * SECOND)
        self.assertEqual(len(desk.wanted(AskCertificates)), 2)


class FinalityTests(SynchronousTestCase):
    """§3.3: who holds the certificate acknowledges; a quorum of acknowledgements is final."""

    def test_acknowledges_only_what_is_certified_here(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        desk.votes(payment.txid, 1)
        desk.wait()
        self.assertEqual(desk.acknowledged(), [])
        desk.votes(payment.txid, 2)
        desk.wait()
        self.assertEqual(desk.acknowledged(), [payment.txid])

    def test_the_certificate_is_in_the_log_before_the_acknowledgement(self) -> None:
        """§3.3: a node that holds the certificate writes down what it is made of, and then acknowledges."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.wait()
        bundles = [record for record in desk.records() if isinstance(record, TransactionVote)]
        self.assertEqual(
            [(bundle.kind, bundle.member) for bundle in bundles],
            [(VOTE, 1), (VOTE, 2), (VOTE, 3), (VOTE, 0), (ACKNOWLEDGEMENT, 0)],
        )

    def test_a_certificate_that_came_from_a_peer_is_in_the_log_as_it_came(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        certificate = desk.certificate_of(payment.txid, 1, 2, 3)
        desk.certify(certificate)
        desk.wait()
        first, second, *votes = desk.records()
        self.assertEqual((first, second), (TransactionBroadcast(payment), Certified(certificate)))
        self.assertEqual([type(vote) for vote in votes], 2 * [TransactionVote])

    def test_a_bundle_is_written_once_however_many_certificates_it_makes(self) -> None:
        desk = EpochDesk(me=None)
        payments = [desk.payment(number) for number in range(20)]
        desk.know(*payments)
        for kind in (VOTE, ACKNOWLEDGEMENT):
            for member in (1, 2, 3):
                desk.hear(desk.bundle(member, *(one.txid for one in payments), kind=kind))
        self.assertEqual(len(desk.heard(TransactionFinal)), 20)
        bundles = [record for record in desk.records() if isinstance(record, TransactionVote)]
        self.assertEqual([(one.kind, one.member) for one in bundles], [
            (kind, member) for kind in (VOTE, ACKNOWLEDGEMENT) for member in (1, 2, 3)
        ])  # fmt: skip

    def test_no_certificate_is_assembled_unless_somebody_asks(self) -> None:
        desk = EpochDesk(me=None)
        payment = desk.payment()
        desk.know(payment)
        with mock.patch.object(desk, "proof") as asked, mock.patch.object(tally, "assemble") as assembled:
            desk.votes(payment.txid, 1, 2, 3)
            desk.acknowledgements(payment.txid, 1, 2, 3)
        self.assertEqual((asked.call_count, assembled.call_count), (2, 0))

    def test_acknowledges_what_it_could_not_vote_for(self) -> None:
        """A lock for the rival forbids the vote, not the acknowledgement of what a quorum certified."""
        desk = EpochDesk()
        first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
        desk.know(first, second)
        desk.votes(second.txid, 1, 2, 3)
        desk.wait()
        self.assertEqual(desk.acknowledged(), [second.txid])

    def test_final_with_a_quorum_of_acknowledgements_and_not_one_before(self) -> None:
        """[9] for acknowledgements."""
        for members, quorum in ((1, 1), (3, 2), (4, 3), (7, 5), (10, 7)):
            desk = EpochDesk(weights=(1,) * members, me=None)
            payment = desk.payment()
            desk.know(payment)
            desk.votes(payment.txid, *range(members))
            desk.acknowledgements(payment.txid, *range(quorum - 1))
            self.assertEqual(desk.heard(TransactionFinal), [])
            desk.acknowledgements(payment.txid, quorum - 1)
            self.assertEqual(desk.heard(TransactionFinal), [TransactionFinal(payment.txid, EPOCH)])

    def test_the_proof_of_finality_is_valid_and_handed_on(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.acknowledgements(payment.txid, 1, 2, 3)
        message = desk.followers[-1]
        assert isinstance(message, Finalized)
        self.assertEqual(message.certificate.kind, ACKNOWLEDGEMENT)
        self.assertTrue(are_good(message.certificate.signature_items(desk.roster)))
        bundles = [record for record in desk.records() if isinstance(record, TransactionVote)]
        made_of = [(one.kind, one.signature) for one in bundles if one.kind == ACKNOWLEDGEMENT]
        self.assertEqual(made_of, [(ACKNOWLEDGEMENT, one.signature) for one in message.certificate.signers])

    def test_acknowledgements_without_the_certificate_finalise_nothing(self) -> None:
        """A quorum's word for a certificate that is not here is asked after, not believed."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.acknowledgements(payment.txid, 1, 2, 3)
        self.assertEqual(desk.heard(TransactionFinal), [])
        desk.votes(payment.txid, 1, 2, 3)
        self.assertEqual(desk.heard(TransactionFinal), [TransactionFinal(payment.txid, EPOCH)])

    def test_a_proof_of_finality_that_comes_first_asks_for_the_certificate(self) -> None:
        """The report of this member must name it: that is why a final transaction is always in the block."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3, kind=ACKNOWLEDGEMENT))
        self.assertEqual(desk.heard(TransactionFinal), [TransactionFinal(payment.txid, EPOCH)])
        (ask,) = desk.wanted(AskCertificates)
        self.assertEqual(ask.txids, (payment.txid,))
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        desk.wait(3 * ASK_AGAIN_US)
        self.assertEqual(len(desk.wanted(AskCertificates)), 1, "until it is here")

    def test_what_is_final_is_not_forgotten_though_its_certificate_has_not_come(self) -> None:
        """A peer that sends the proof of finality alone, and a mempool that has no place for the body."""
        desk = EpochDesk(me=None)
        payment = desk.payment()
        desk.certify(desk.certificate_of(payment.txid, 0, 1, 2, kind=ACKNOWLEDGEMENT))
        desk.know(payment)
        desk.path.forget(payment.txid)
        desk.wait(3 * ASK_AGAIN_US)
        self.assertTrue(desk.path.tallies[payment.txid].final)
        self.assertEqual(len(desk.wanted(AskCertificates)), 4)

    def test_final_is_told_once(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.acknowledgements(payment.txid, 1, 2, 3)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3, kind=ACKNOWLEDGEMENT))
        desk.wait()
        self.assertEqual((len(desk.heard(TransactionFinal)), desk.path.counters.final), (1, 1))
        self.assertEqual(desk.wanted(AskCertificates), [], "its certificate is held")

    def test_no_acknowledgement_after_the_slot_time(self) -> None:
        """§3.4: a member that reported without the certificate never acknowledges it in that epoch."""
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.wait()
        desk.close()
        desk.votes(payment.txid, 1, 2, 3)
        desk.wait()
        self.assertEqual(desk.path.held(), (payment.txid,), "the certificate is taken")
        self.assertEqual(desk.acknowledged(), [])

    def test_acknowledgements_of_others_still_count_after_the_slot_time(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2, 3)
        desk.close()
        desk.acknowledgements(payment.txid, 1, 2, 3)
        self.assertEqual(desk.heard(TransactionFinal), [TransactionFinal(payment.txid, EPOCH)])

"""Tendermint's rounds: from a proposal to a decision, and past whoever is silent (protocol §4)."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import EPOCH, are_good
from tests.rounds_world import NIL, RoundsDesk, speakers
from timed.consensus.effects import AskProposal
from timed.consensus.proposals import MAX_PROPOSALS_AHEAD
from timed.consensus.rounds import STATUS_EVERY_US
from timed.consensus.roundstate import MAX_TIMEOUT_US, TIMEOUT_STEP_US, Step
from timed.crypto.rule import check
from timed.params import REGTEST, SECOND
from timed.primitives.certificate import PRECOMMIT, PREVOTE, indices_of
from timed.wire.messages import BlockProposal, BlockVote, RoundState

FIRST, SECOND_, THIRD, LAST = speakers()
"""Four members, by the round in which they propose."""


class HappyPathTests(SynchronousTestCase):
    """One proposal, a quorum of prevotes, a quorum of precommits."""

    def test_prevotes_and_precommits_what_the_others_do_and_decides(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash)])
        desk.prevotes(block.hash, FIRST, SECOND_)
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash), (0, PRECOMMIT, block.hash)])
        self.assertEqual(desk.decisions, [])
        desk.precommits(block.hash, FIRST, SECOND_)
        (decision,) = desk.decisions
        self.assertEqual(decision.block_hash, block.hash)
        self.assertEqual(desk.rounds.step, Step.DECIDED)
        self.assertIsNone(desk.rounds.next_deadline())

    def test_the_certificate_of_the_decision_is_valid(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, FIRST, SECOND_)
        desk.precommits(block.hash, FIRST, THIRD)
        certificate = desk.decisions[0].certificate
        self.assertEqual(
            (certificate.chain_id, certificate.height, certificate.round, certificate.target),
            (REGTEST.chain_id, EPOCH, 0, block.hash),
        )
        self.assertTrue(are_good(certificate.signature_items(desk.roster)))
        self.assertEqual(indices_of(certificate.bitmap, 4), tuple(sorted((FIRST, THIRD, LAST))))

    def test_proposes_when_it_is_its_turn_and_votes_for_it(self) -> None:
        desk = RoundsDesk(me=FIRST)
        desk.start()
        (proposal,) = desk.own_proposals()
        self.assertEqual((proposal.round, proposal.valid_round), (0, 0))
        check(desk.roster.members[FIRST].operator_key, proposal.signed_message(), proposal.signature)
        self.assertEqual([type(record) for record in desk.records()], [BlockProposal, BlockVote])
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, proposal.header.hash)])

    def test_every_vote_binds_chain_height_round_step_roster_and_block(self) -> None:
        """§4: a signature for one of them is worth nothing for another."""
        vote = RoundsDesk().vote(1, PREVOTE, bytes(32))
        others = [
            msgspec.structs.replace(vote, **{field: value})
            for field, value in (
                ("chain_id", 9), ("height", 9), ("round", 9), ("step", PRECOMMIT), ("roster", b"9" * 32),
                ("block", b"9" * 32),
            )
        ]  # fmt: skip
        messages = {one.signed_message() for one in (vote, *others)}
        self.assertEqual(len(messages), 7)

    def test_a_proposer_that_lacks_reports_proposes_when_they_have_come(self) -> None:
        desk = RoundsDesk(me=FIRST)
        desk.can_propose = False
        desk.start()
        self.assertEqual(desk.own_proposals(), [])
        desk.can_propose = True
        desk.rounds.reports_changed(desk.now)
        desk.settle()
        self.assertEqual(len(desk.own_proposals()), 1)
        desk.rounds.reports_changed(desk.now)
        desk.settle()
        self.assertEqual(len(desk.own_proposals()), 1, "one proposal a round")

    def test_who_has_voted_without_a_proposal_makes_none_in_that_round(self) -> None:
        """Line 14: a proposal begins a round."""
        desk = RoundsDesk(me=FIRST)
        desk.can_propose = False
        desk.start()
        desk.wait(SECOND)
        desk.can_propose = True
        desk.rounds.reports_changed(desk.now)
        desk.settle()
        self.assertEqual((desk.own_proposals(), desk.own_votes()), ([], [(0, PREVOTE, NIL)]))

    def test_while_the_proposal_is_being_written_no_second_one_is_made(self) -> None:
        """[16]"""
        desk = RoundsDesk(me=FIRST, manual=True)
        desk.start()
        desk.rounds.reports_changed(desk.now)
        desk.settle()
        self.assertEqual((len(desk.signatures), desk.proposed), (1, 1))

    def test_the_own_proposal_and_vote_count_only_when_durable(self) -> None:
        """[16]"""
        desk = RoundsDesk(weights=(1,), me=0, manual=True)
        desk.start()
        self.assertEqual((desk.sent, desk.rounds.step), ([], Step.PROPOSE))
        desk.durable(1)
        self.assertEqual(len(desk.own_proposals()), 1)
        self.assertEqual(desk.own_votes(), [])
        desk.durable(1)
        self.assertEqual([step for _, step, _ in desk.own_votes()], [PREVOTE])
        self.assertEqual(desk.decisions, [])
        desk.durable(1)
        self.assertEqual(len(desk.decisions), 1)

    def test_the_proposal_is_in_the_log_with_the_lock(self) -> None:
        """A restart judges it again: without it a locked member could not go on."""
        desk = RoundsDesk(me=LAST)
        proposal = desk.proposal(desk.block())
        desk.start()
        desk.hear(proposal)
        desk.prevotes(NIL, THIRD)
        desk.prevotes(proposal.header.hash, FIRST, SECOND_)
        prevote, body, *polka, precommit = desk.records()
        self.assertEqual(body, proposal)
        own = [(vote.member, vote.step) for vote in (prevote, precommit) if isinstance(vote, BlockVote)]
        self.assertEqual(own, [(LAST, PREVOTE), (LAST, PRECOMMIT)])
        rests_on = {(vote.member, vote.step) for vote in polka if isinstance(vote, BlockVote)}
        self.assertEqual(rests_on, {(FIRST, PREVOTE), (SECOND_, PREVOTE)}, "what a lock rests on")

    def test_who_is_not_on_the_roster_takes_no_part(self) -> None:
        for desk in (RoundsDesk(me=None), RoundsDesk(signing=False, me=FIRST)):
            block = desk.block()
            desk.start()
            desk.hear(desk.proposal(block))
            desk.prevotes(block.hash, SECOND_, THIRD, LAST)
            desk.wait(60 * SECOND)
            self.assertEqual(desk.signatures, [])

    def test_who_stopped_signing_in_the_middle_of_a_height_signs_nothing_more_and_decides(self) -> None:
        """§4: a safety failure freezes voting."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.rounds.stop_signing()
        desk.prevotes(block.hash, FIRST, SECOND_, THIRD)
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash)])
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        self.assertEqual((len(desk.decisions), len(desk.signatures)), (1, 1))
        proposer = RoundsDesk(me=FIRST)
        proposer.rounds.stop_signing()
        proposer.start()
        proposer.wait(60 * SECOND)
        self.assertEqual(proposer.signatures, [])

    def test_messages_of_another_height_are_none_of_this_one(self) -> None:
        """§4: a vote binds its height; a quorum of the next one decides nothing here."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        later = msgspec.structs.replace(desk.block("later"), height=EPOCH + 1)
        for member in (FIRST, SECOND_, THIRD):
            for step in (PREVOTE, PRECOMMIT):
                desk.hear_vote(desk.vote(member, step, block.hash, height=EPOCH + 1))
        self.assertEqual((desk.own_votes(PRECOMMIT), desk.decisions), ([], []))
        self.assertEqual(desk.rounds.counters.votes_ignored, 6)
        other = RoundsDesk(me=LAST)
        other.start()
        other.hear(other.proposal(later))
        self.assertEqual((other.own_votes(), other.rounds.values), ([], {}))

    def test_what_comes_after_the_decision_is_not_kept(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        desk.hear(desk.proposal(desk.block("late", 1), 1))
        self.assertEqual((list(desk.rounds.values), desk.rounds.counters.proposals), ([block.hash], 1))

    def test_a_proposal_that_becomes_durable_in_the_next_height_is_none_of_it(self) -> None:
        """[16]"""
        desk = RoundsDesk(me=FIRST, manual=True)
        desk.start()
        desk.begin(EPOCH + 1)
        desk.durable()
        self.assertIsNone(desk.rounds.proposals.get(0))

    def test_a_member_that_may_not_sign_still_decides_with_the_others(self) -> None:
        desk = RoundsDesk(signing=False, me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, FIRST, SECOND_, THIRD)
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        self.assertEqual(len(desk.decisions), 1)


class RefusalTests(SynchronousTestCase):
    """What is prevoted nil."""

    def test_an_invalid_block(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.invalid[block.hash] = None
        desk.start()
        desk.hear(desk.proposal(block))
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, NIL)])

    def test_a_stale_proposal(self) -> None:
        """[6]: only a block for the newest grid point on the own clock."""
        desk = RoundsDesk(me=LAST)
        desk.fresh = False
        desk.start()
        desk.hear(desk.proposal(desk.block()))
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, NIL)])

    def test_an_invalid_block_with_a_polka_is_not_precommitted(self) -> None:
        """The others may be wrong, or liars: this member does not sign what it found invalid."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.invalid[block.hash] = None
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, FIRST, SECOND_, THIRD)
        desk.wait(60 * SECOND)
        self.assertNotIn(block.hash, [voted for _, _, voted in desk.own_votes()])

    def test_an_invalid_block_is_never_decided(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.invalid[block.hash] = None
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, FIRST, SECOND_, THIRD)
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        self.assertEqual(desk.decisions, [])

    def test_nothing_is_voted_before_the_verdict(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.judge_at_once = False
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        self.assertEqual(desk.own_votes(), [])
        desk.judge()
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash)])

    def test_a_quorum_of_nil_prevotes_is_precommitted_nil(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.fresh = False
        desk.start()
        desk.hear(desk.proposal(desk.block()))
        desk.prevotes(NIL, FIRST, SECOND_)
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, NIL), (0, PRECOMMIT, NIL)])
        desk.precommits(NIL, FIRST, SECOND_)
        desk.wait(10 * SECOND)
        self.assertEqual(desk.decisions, [], "nil is not a decision")
        self.assertEqual(desk.wanted(AskProposal), [], "and nobody has its proposal")


class TimeoutTests(SynchronousTestCase):
    """§4: each step has its timeout, and no step ends for another reason."""

    def test_without_a_proposal_nil_is_prevoted_after_the_base_timeout(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.wait(SECOND - 1)
        self.assertEqual(desk.own_votes(), [])
        desk.wait(1)
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, NIL)])

    def test_without_a_quorum_of_prevotes_it_waits_for_ever(self) -> None:
        """[9]: a lonely member goes nowhere by itself."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.prevotes(NIL, FIRST)
        desk.wait(3600 * SECOND)
        self.assertEqual((desk.rounds.round, desk.own_votes()), (0, [(0, PREVOTE, NIL)]))

    def test_without_a_quorum_of_precommits_it_waits_for_ever(self) -> None:
        """[9]: line 47; half of the weight moves nobody into the next round."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.wait(SECOND)
        desk.prevotes(NIL, FIRST, SECOND_)
        desk.precommits(NIL, FIRST)
        desk.wait(3600 * SECOND)
        self.assertEqual((desk.rounds.round, desk.rounds.step), (0, Step.PRECOMMIT))

    def test_with_a_divided_quorum_of_prevotes_nil_is_precommitted_after_the_timeout(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(NIL, FIRST, SECOND_)
        desk.wait(SECOND - 1)
        self.assertEqual(desk.own_votes(PRECOMMIT), [])
        desk.wait(1)
        self.assertEqual(desk.own_votes(PRECOMMIT), [(0, PRECOMMIT, NIL)])

    def test_with_a_divided_quorum_of_precommits_the_next_round_begins_after_the_timeout(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.wait(SECOND)
        desk.prevotes(NIL, FIRST, SECOND_)
        desk.precommits(NIL, FIRST)
        desk.precommits(b"b" * 32, SECOND_)
        desk.wait(SECOND - 1)
        self.assertEqual(desk.rounds.round, 0)
        desk.wait(1)
        self.assertEqual((desk.rounds.round, desk.rounds.step), (1, Step.PROPOSE))

    def test_the_timeout_of_a_step_does_not_run_on_into_the_next(self) -> None:
        """The proposal's timeout is over once the member has prevoted."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.wait(SECOND - 1)
        desk.hear(desk.proposal(block))
        desk.wait(60 * SECOND)
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash)])

    def test_what_comes_while_a_timeout_runs_does_not_put_it_off(self) -> None:
        """Attack: a member that keeps its vote back until the others' time is nearly over."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(NIL, FIRST, SECOND_)
        desk.wait(SECOND - 1)
        desk.prevotes(b"x" * 32, THIRD)
        desk.wait(1)
        self.assertEqual(desk.own_votes(PRECOMMIT), [(0, PRECOMMIT, NIL)])
        desk.precommits(NIL, FIRST)
        desk.precommits(block.hash, SECOND_)
        desk.wait(SECOND - 1)
        desk.precommits(b"x" * 32, THIRD)
        desk.wait(1)
        self.assertEqual(desk.rounds.round, 1)

    def test_timeouts_grow_by_half_a_second_a_round_up_to_ten_seconds(self) -> None:
        desk = RoundsDesk(me=LAST, timeout=3 * SECOND)
        self.assertEqual((TIMEOUT_STEP_US, MAX_TIMEOUT_US), (SECOND // 2, 10 * SECOND))
        for round_, expected in ((0, 3.0), (1, 3.5), (4, 5.0), (14, 10.0), (30, 10.0)):
            desk = RoundsDesk(me=LAST, timeout=3 * SECOND)
            desk.rounds.votes.heard(FIRST, round_)
            desk.rounds.votes.heard(SECOND_, round_)
            desk.prevotes(NIL, THIRD, round_=round_)
            self.assertEqual(desk.rounds.round, round_)
            desk.wait(int(expected * SECOND) - 1)
            self.assertEqual(desk.own_votes(), [], f"round {round_}")
            desk.wait(1)
            self.assertEqual(desk.own_votes(), [(round_, PREVOTE, NIL)])

    def test_every_member_says_where_it_is_now_and_then(self) -> None:
        """Whoever lost messages is answered with what it lacks."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.wait(3 * STATUS_EVERY_US)
        states = [message for message in desk.sent if isinstance(message, RoundState)]
        self.assertEqual(len(states), 3)
        self.assertEqual((states[0].height, states[0].round, states[0].reported), (EPOCH, 0, True))


class SkipTests(SynchronousTestCase):
    """Lines 55 and 56: a third of the weight ahead contains an honest member."""

    def test_skips_to_the_round_that_a_third_of_the_weight_has_reached(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.prevotes(NIL, FIRST, round_=5)
        self.assertEqual(desk.rounds.round, 0, "a quarter of the weight moves nobody")
        desk.prevotes(NIL, SECOND_, round_=9)
        self.assertEqual((desk.rounds.round, desk.rounds.step), (5, Step.PROPOSE))

    def test_a_third_is_counted_by_weight(self) -> None:
        for weights, rounds in (((1, 1, 1), 3), ((3, 1, 1, 4), 3), ((2, 3, 1, 4), 0)):
            desk = RoundsDesk(weights=weights, me=3 if len(weights) == 4 else 2)
            desk.start()
            desk.prevotes(NIL, 0, round_=3)
            self.assertEqual(desk.rounds.round, rounds, str(weights))

    def test_a_proposal_says_where_its_proposer_is(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.prevotes(NIL, FIRST, round_=1)
        self.assertEqual(desk.rounds.round, 0)
        desk.hear(desk.proposal(desk.block("next", 1), 1))
        self.assertEqual(desk.rounds.round, 1)

    def test_the_own_vote_does_not_help_to_skip(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.prevotes(NIL, FIRST, LAST, round_=5)
        self.assertEqual(desk.rounds.round, 0)

    def test_before_the_slot_a_third_of_the_others_starts_the_rounds(self) -> None:
        """A slow clock does not leave a member behind."""
        desk = RoundsDesk(me=LAST)
        desk.prevotes(NIL, FIRST)
        self.assertEqual(desk.rounds.step, Step.WAITING)
        desk.prevotes(NIL, SECOND_)
        self.assertEqual(desk.rounds.step, Step.PROPOSE)

    def test_before_any_proposal_could_be_fresh_nobody_can_start_the_rounds(self) -> None:
        """[6]: an early start would only burn rounds on proposals that are refused."""
        desk = RoundsDesk(me=LAST)
        desk.ripe = False
        desk.prevotes(NIL, FIRST, SECOND_, THIRD)
        self.assertEqual((desk.rounds.step, desk.signatures), (Step.WAITING, []))

    def test_a_minority_cannot_drag_the_rounds_along(self) -> None:
        """Attack: one liar votes in ever higher rounds."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        for round_ in range(1, 300):
            desk.prevotes(NIL, FIRST, round_=round_)
        self.assertEqual(desk.rounds.round, 0)


class DecisionTests(SynchronousTestCase):
    """Lines 49 to 54: in whatever round the quorum precommitted."""

    def test_decides_with_the_precommits_of_an_earlier_round(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(NIL, FIRST, SECOND_, THIRD, round_=2)
        self.assertEqual(desk.rounds.round, 2)
        desk.precommits(block.hash, FIRST, SECOND_, THIRD, round_=0)
        self.assertEqual(desk.decisions[0].certificate.round, 0)

    def test_decides_with_the_precommits_of_a_later_round(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.precommits(block.hash, FIRST, SECOND_, THIRD, round_=4)
        self.assertEqual(desk.decisions[0].certificate.round, 4)

    def test_a_decision_waits_for_the_block_and_asks_those_who_voted_for_it(self) -> None:
        desk = RoundsDesk(me=LAST)
        proposal = desk.proposal(desk.block())
        desk.start()
        desk.precommits(proposal.header.hash, FIRST, SECOND_, THIRD)
        self.assertEqual(desk.decisions, [])
        (ask,) = desk.wanted(AskProposal)
        self.assertEqual((ask.round, sorted(ask.members)), (0, sorted((FIRST, SECOND_, THIRD))))
        desk.hear(proposal)
        self.assertEqual(len(desk.decisions), 1)

    def test_it_asks_again_as_long_as_the_block_does_not_come(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.precommits(b"b" * 32, FIRST, SECOND_, THIRD)
        desk.wait(3 * STATUS_EVERY_US)
        self.assertGreater(len(desk.wanted(AskProposal)), 2)

    def test_precommits_of_different_rounds_do_not_add_up(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.precommits(block.hash, FIRST, SECOND_, round_=0)
        desk.precommits(block.hash, THIRD, round_=1)
        self.assertEqual(desk.decisions, [])

    def test_a_lower_weight_minority_never_decides(self) -> None:
        """[9]: three of four members, with less than two thirds of the weight."""
        weights = (1, 1, 1, 10)
        desk = RoundsDesk(weights=weights, me=0)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, 0, 1, 2)
        desk.precommits(block.hash, 0, 1, 2)
        desk.wait(3600 * SECOND)
        self.assertEqual((desk.decisions, desk.rounds.round), ([], 0))
        desk.precommits(block.hash, 3)
        self.assertEqual(len(desk.decisions), 1)

    def test_after_the_decision_nothing_more_is_signed_at_this_height(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        signed = len(desk.signatures)
        desk.prevotes(NIL, FIRST, SECOND_, THIRD, round_=3)
        desk.wait(60 * SECOND)
        self.assertEqual(len(desk.signatures), signed)

    def test_a_proposal_far_ahead_is_not_kept_and_asked_for_when_it_is_needed(self) -> None:
        desk = RoundsDesk(me=LAST)
        far = MAX_PROPOSALS_AHEAD + 1
        proposal = desk.proposal(desk.block("far", far), far)
        desk.start()
        desk.hear(proposal)
        self.assertEqual((desk.rounds.values, desk.rounds.counters.proposals_ignored), ({}, 1))
        desk.prevotes(proposal.header.hash, FIRST, SECOND_, THIRD, round_=far)
        desk.wait(SECOND + far * TIMEOUT_STEP_US)
        self.assertEqual([ask.round for ask in desk.wanted(AskProposal)], [far])
        desk.hear(proposal)
        self.assertIn((far, PRECOMMIT, proposal.header.hash), desk.own_votes())

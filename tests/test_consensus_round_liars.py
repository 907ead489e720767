"""Proposers and voters that lie in the rounds, and those that are only late (protocol §4)."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import EPOCH, are_good
from tests.rounds_world import NIL, RoundsDesk, advance, locked_in_round_0, speakers
from timed.consensus import rounds as module
from timed.consensus.effects import AskProposal
from timed.consensus.proposals import MAX_PROPOSALS_AHEAD
from timed.consensus.rounds import MAX_VALUES
from timed.consensus.roundstate import MAX_TIMEOUT_US
from timed.consensus.signing import signed
from timed.consensus.votes import MAX_ROUNDS_AHEAD, MAX_ROUNDS_BEHIND
from timed.events import Equivocation
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.wire.messages import BlockProposal, ProposalBody

FIRST, SECOND_, THIRD, LAST = speakers()
OTHER_BODY = ProposalBody.of((), attendance=b"other", evidence=(), parent_certificate=None)


class LiarTests(SynchronousTestCase):
    """Proposers and voters that say two things, or too much."""

    def test_equivocating_voter_is_noticed_and_counts_once(self) -> None:
        """[12]"""
        desk = RoundsDesk(me=LAST)
        desk.start()
        for name in (b"a", b"b", b"a", b"c"):
            desk.prevotes(name * 32, FIRST)
        key = desk.roster.members[FIRST].operator_key
        self.assertEqual(desk.heard(Equivocation), [Equivocation(key, EPOCH, "block-vote")])
        self.assertEqual(desk.rounds.votes.at(0, PREVOTE).weight, 1)

    def test_a_vote_that_two_honest_members_hear_differently_hides_no_quorum(self) -> None:
        """Attack: nil to some and the block to others. Who was locked by it must be able to prove why."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(NIL, THIRD)
        desk.prevotes(block.hash, FIRST)
        self.assertEqual(desk.own_votes(PRECOMMIT), [])
        lie = desk.vote(THIRD, PREVOTE, block.hash)
        desk.hear_vote(lie)
        self.assertEqual(desk.own_votes(PRECOMMIT), [(0, PRECOMMIT, block.hash)])
        self.assertEqual(desk.rounds.votes.at(0, PREVOTE).weight, 3, "a member is one member all the same")
        self.assertIn(lie, desk.rounds.messages_for(0), "the proof can be handed on")
        self.assertEqual(len(desk.heard(Equivocation)), 1)

    def test_second_votes_for_blocks_nobody_honest_stands_behind_are_not_kept(self) -> None:
        """Attack: a thousand votes in one step."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        for number in range(1_000):
            desk.prevotes(number.to_bytes(32, "big"), FIRST)
        self.assertEqual(len(desk.rounds.votes.since(0)), 1)
        self.assertEqual(len(desk.heard(Equivocation)), 1, "and the liar is named once")

    def test_equivocating_proposer_is_noticed(self) -> None:
        """[12]"""
        desk = RoundsDesk(me=LAST)
        desk.start()
        first, second = desk.block("1"), desk.block("2")
        desk.hear(desk.proposal(first))
        desk.prevotes(second.hash, SECOND_)
        desk.hear(desk.proposal(second))
        key = desk.roster.members[FIRST].operator_key
        self.assertEqual(desk.heard(Equivocation), [Equivocation(key, EPOCH, "proposal")])
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, first.hash)])
        self.assertEqual(
            list(desk.rounds.values), [first.hash], "without a quorum nobody needs the second one"
        )

    def test_a_proposal_that_comes_again_is_no_lie(self) -> None:
        """[15]: no honest node is taken for a liar."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        for _ in range(3):
            desk.hear(desk.proposal(desk.block()))
        self.assertEqual((desk.heard(Equivocation), desk.rounds.counters.proposals), ([], 1))

    def test_two_bodies_under_one_header_are_two_proposals(self) -> None:
        """[12]; attack: a body that is worth nothing to one member, to keep it from the block the others chose."""
        desk = RoundsDesk(me=LAST)
        desk.judge_at_once = False
        desk.start()
        chosen = desk.proposal(desk.block())
        bait = signed(msgspec.structs.replace(chosen, body=OTHER_BODY), desk.keys[FIRST])
        desk.hear(bait)
        self._verdicts(desk)
        desk.precommits(chosen.header.hash, FIRST, SECOND_, THIRD)
        self.assertEqual(desk.decisions, [])
        desk.hear(chosen)
        self._verdicts(desk)
        self.assertEqual([one.block_hash for one in desk.decisions], [chosen.header.hash])
        key = desk.roster.members[FIRST].operator_key
        self.assertEqual(desk.heard(Equivocation), [Equivocation(key, EPOCH, "proposal")])

    def test_the_proposal_that_the_others_chose_is_taken_from_an_equivocating_proposer(self) -> None:
        """Attack: the proposer gives this member another block than the rest, to leave it behind."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        chosen = desk.proposal(desk.block("chosen"))
        desk.hear(desk.proposal(desk.block("bait")))
        desk.precommits(chosen.header.hash, FIRST, SECOND_, THIRD)
        self.assertEqual(desk.decisions, [])
        desk.hear(chosen)
        self.assertEqual(desk.decisions[0].block_hash, chosen.header.hash)

    def test_votes_for_rounds_far_ahead_are_not_stored(self) -> None:
        """Attack: a member votes in a million rounds."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        far = MAX_ROUNDS_AHEAD + 1
        for number in range(50):
            desk.prevotes(NIL, FIRST, round_=far + number)
        self.assertEqual(desk.rounds.counters.votes_ignored, 50)
        desk.prevotes(NIL, FIRST, round_=MAX_ROUNDS_AHEAD)
        self.assertEqual(len(desk.rounds.votes.since(1)), 1, "the last round that is not too far")
        self.assertEqual(desk.rounds.votes.since(far), [])
        desk.prevotes(NIL, SECOND_, round_=far)
        self.assertEqual(desk.rounds.round, far, "they still say where their signers are")

    def test_proposals_of_a_liar_do_not_crowd_out_the_others(self) -> None:
        """Attack: blocks for every later round that the liar may propose in."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        for round_ in range(1, 400):
            if desk.proposer(round_) == SECOND_:
                desk.hear(desk.proposal(desk.block(f"junk {round_}", round_), round_))
        self.assertLessEqual(len(desk.rounds.values), MAX_PROPOSALS_AHEAD)
        block = desk.block()
        desk.hear(desk.proposal(block))
        self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash)])

    def test_a_height_of_many_rounds_keeps_a_bounded_number_of_blocks(self) -> None:
        """The locked block is not among those forgotten."""
        desk, block = locked_in_round_0()
        for round_ in range(1, 3 * MAX_VALUES):
            advance(desk, round_)
            if desk.proposer(round_) != LAST:
                desk.hear(desk.proposal(desk.block(f"{round_}", round_), round_))
        self.assertLessEqual(len(desk.rounds.values), MAX_VALUES)
        self.assertIn(block.hash, desk.rounds.values)
        self.assertNotIn(block.hash, desk.forgotten)
        self.assertTrue(desk.forgotten)

    def test_the_own_blocks_of_many_rounds_are_bounded_when_nobody_else_proposes(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        for round_ in range(1, 8 * MAX_VALUES):
            advance(desk, round_)
        self.assertGreater(desk.proposed, MAX_VALUES)
        self.assertEqual(len(desk.rounds.values), MAX_VALUES)
        self.assertEqual(len(desk.forgotten), desk.proposed - MAX_VALUES)
        self.assertIn(desk.own_proposals()[-1].header.hash, desk.rounds.values)

    def test_a_height_of_many_rounds_keeps_a_bounded_number_of_proposals(self) -> None:
        """One block proposed again and again; that of the lock's round is not among those forgotten."""
        desk, block = locked_in_round_0()
        for round_ in range(1, 3 * MAX_ROUNDS_BEHIND):
            advance(desk, round_)
            if desk.proposer(round_) != LAST:
                desk.hear(desk.proposal(block, round_, valid=0))
        rounds = desk.rounds
        near = range(rounds.round - MAX_ROUNDS_BEHIND, rounds.round + 1)
        self.assertEqual(list(rounds.proposals), [0, *near])
        self.assertEqual(rounds.counters.proposals_forgotten, rounds.round + 1 - len(rounds.proposals))
        self.assertEqual([one.round for one in rounds.messages_for(rounds.round)][:2], [0, rounds.round])

    def test_proposals_for_rounds_long_past_are_not_kept(self) -> None:
        """Attack: who proposed in rounds that nobody needs any more tells of them now."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        advance(desk, 2 * MAX_ROUNDS_BEHIND)
        past = [number for number in range(MAX_ROUNDS_BEHIND) if desk.proposer(number) != LAST]
        for round_ in past:
            desk.hear(desk.proposal(desk.block(f"{round_}", round_), round_))
        self.assertEqual((dict(desk.rounds.proposals), desk.rounds.values), ({}, {}))
        self.assertEqual(desk.rounds.counters.proposals_ignored, len(past))

    def test_a_block_of_a_round_long_past_can_still_be_decided(self) -> None:
        """Line 49: the precommits of any round decide; a quorum of them is kept until the block is here."""
        desk = RoundsDesk(me=LAST)
        proposal = desk.proposal(desk.block("early"))
        desk.start()
        advance(desk, MAX_ROUNDS_BEHIND)
        desk.precommits(proposal.header.hash, FIRST, SECOND_, THIRD)
        self.assertEqual([ask.round for ask in desk.wanted(AskProposal)], [0])
        advance(desk, 4 * MAX_ROUNDS_BEHIND)
        self.assertEqual(desk.decisions, [])
        desk.hear(proposal)
        self.assertEqual([one.block_hash for one in desk.decisions], [proposal.header.hash])

    def test_a_certified_block_is_taken_from_whatever_round_it_is_proposed_in(self) -> None:
        """Line 49: who locked it again later may have forgotten the proposal of the certificate's round."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        block = desk.block("certified")
        later = next(number for number in range(1, MAX_ROUNDS_BEHIND) if desk.proposer(number) != LAST)
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        advance(desk, 2 * MAX_ROUNDS_BEHIND)
        desk.hear(desk.proposal(block, later, valid=0))
        self.assertEqual([one.block_hash for one in desk.decisions], [block.hash])
        self.assertNotIn(later, desk.rounds.proposals)

    def test_a_height_of_many_rounds_keeps_a_bounded_number_of_votes(self) -> None:
        """Those of rounds long past go, the own ones, too; what proves the lock stays."""
        desk, block = locked_in_round_0()
        for round_ in range(1, 3 * MAX_ROUNDS_BEHIND):
            advance(desk, round_)
            desk.wait(MAX_TIMEOUT_US)
        rounds = desk.rounds
        kept = rounds.votes.since(0)
        near = range(rounds.round - MAX_ROUNDS_BEHIND, rounds.round + 1)
        self.assertEqual(sorted({vote.round for vote in kept}), [0, *near])
        polka = [one for one in rounds.messages_for(rounds.round) if one in rounds.votes.prevotes(0)]
        self.assertEqual([vote.block for vote in polka], 3 * [block.hash])
        self.assertEqual(rounds.counters.votes_forgotten + len(kept), 6 + 2 * rounds.round)
        self.assertEqual(len(desk.own_votes()), 2 + rounds.round)
        self.assertEqual({at for at, _ in rounds._signed}, set(near), "the own ones")

    def test_votes_for_rounds_long_past_are_not_kept_unless_they_prove_a_proposal(self) -> None:
        """Line 28: the prevotes of the round that a proposal names, however long ago."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        block = desk.block("valid long ago")
        now = desk.round_of(FIRST, after=3 * MAX_ROUNDS_BEHIND)
        advance(desk, now)
        before = desk.rounds.counters.votes_ignored
        desk.prevotes(block.hash, FIRST, SECOND_, THIRD, round_=5)
        self.assertEqual(desk.rounds.votes.prevotes(5), [])
        self.assertEqual(desk.rounds.counters.votes_ignored, before + 3)
        desk.hear(desk.proposal(block, now, valid=5))
        self.assertEqual(desk.own_votes(), [])
        desk.prevotes(block.hash, FIRST, SECOND_, THIRD, round_=5)
        self.assertEqual(desk.own_votes(), [(now, PREVOTE, block.hash)])
        advance(desk, now + 2 * MAX_ROUNDS_BEHIND)
        self.assertEqual(desk.rounds.votes.prevotes(5), [])

    def test_a_proposal_cannot_ask_for_votes_of_rounds_to_come(self) -> None:
        """Attack: a valid round that has not been yet opens no place for votes."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        far = 10 * MAX_ROUNDS_AHEAD
        number = desk.round_of(FIRST, after=0)
        desk.hear(desk.proposal(desk.block("far", number), number, valid=far))
        desk.prevotes(NIL, SECOND_, round_=far)
        self.assertEqual(desk.rounds.votes.since(far), [])

    def test_blocks_that_come_while_the_own_one_is_written_do_not_crowd_it_out(self) -> None:
        """Attack: proposals of earlier rounds, all that this member has missed, in the moment of its own."""
        desk = RoundsDesk(me=LAST, manual=True)
        desk.start()
        mine = desk.round_of(LAST, after=2 * MAX_VALUES)
        advance(desk, mine)
        for round_ in range(mine - MAX_ROUNDS_BEHIND, mine):
            if desk.proposer(round_) != LAST:
                desk.hear(desk.proposal(desk.block(f"{round_}", round_), round_))
        desk.durable()
        (own,) = desk.own_proposals()
        self.assertIn(own.header.hash, desk.forgotten)
        self.assertEqual(desk.own_votes(), [(mine, PREVOTE, own.header.hash)])
        self.assertLessEqual(len(desk.rounds.values), MAX_VALUES)

    def test_a_certified_block_under_judgement_is_not_forgotten(self) -> None:
        """However many other blocks are proposed until all it rests on is here."""
        desk = RoundsDesk(me=LAST)
        desk.judge_at_once = False
        proposal = desk.proposal(desk.block("certified"))
        desk.start()
        desk.hear(proposal)
        desk.precommits(proposal.header.hash, FIRST, SECOND_, THIRD)
        for round_ in range(1, 3 * MAX_ROUNDS_BEHIND):
            advance(desk, round_)
            if desk.proposer(round_) != LAST:
                desk.hear(desk.proposal(desk.block(f"{round_}", round_), round_))
        self.assertIn(0, desk.rounds.proposals)
        self.assertEqual(desk.decisions, [])
        desk.judge()
        self.assertEqual([one.block_hash for one in desk.decisions], [proposal.header.hash])

    def test_what_is_proposed_in_this_round_or_a_coming_one_is_not_forgotten(self) -> None:
        self.patch(module, "MAX_VALUES", 2)
        desk = RoundsDesk(me=LAST)
        desk.start()
        desk.hear(desk.proposal(desk.block("next", 1), 1))
        desk.hear(desk.proposal(desk.block("later", 2), 2))
        block = desk.block()
        desk.hear(desk.proposal(block))
        self.assertEqual((desk.forgotten, len(desk.rounds.values)), ([], 3))
        self.assertEqual(desk.own_votes()[-1], (1, PREVOTE, desk.block("next", 1).hash))

    def test_a_body_that_was_found_bad_is_not_judged_again(self) -> None:
        """Attack: the same worthless body in every round."""
        desk = RoundsDesk(me=LAST)
        desk.judge_at_once = False
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        self.assertEqual(len(desk.under_judgement), 1)
        desk.invalid[block.hash] = None
        desk.judge()
        desk.hear(desk.proposal(block, 1))
        self.assertEqual((desk.under_judgement, desk.rounds.counters.proposals), ([], 2))

    def test_a_forgotten_block_can_still_be_decided(self) -> None:
        desk = RoundsDesk(me=LAST)
        proposal = desk.proposal(desk.block("early"))
        desk.start()
        desk.hear(proposal)
        for round_ in range(1, 2 * MAX_VALUES):
            advance(desk, round_)
            if desk.proposer(round_) != LAST:
                desk.hear(desk.proposal(desk.block(f"{round_}", round_), round_))
        self.assertIn(proposal.header.hash, desk.forgotten)
        desk.precommits(proposal.header.hash, FIRST, SECOND_, THIRD, round_=0)
        desk.hear(proposal)
        self.assertEqual([one.block_hash for one in desk.decisions], [proposal.header.hash])

    def _poisoned(self, desk: RoundsDesk, block: BlockHeader) -> BlockProposal:
        """The next proposer's proposal of the same header, over a body that is worth nothing."""
        honest = desk.proposal(block, 1, valid=0)
        return signed(msgspec.structs.replace(honest, body=OTHER_BODY), desk.keys[desk.proposer(1)])

    def _verdicts(self, desk: RoundsDesk) -> None:
        while desk.under_judgement:
            proposal = desk.under_judgement.pop(0)
            desk.rounds.judged(proposal, proposal.body != OTHER_BODY, desk.now)
        desk.settle()

    def test_a_bad_body_under_a_good_header_does_not_spoil_the_block(self) -> None:
        """Attack: the next proposer pairs the header everybody expects with reports that are worth nothing."""
        for poison_first in (True, False):
            for verdict_between in (True, False):
                desk = RoundsDesk(me=LAST)
                desk.judge_at_once = False
                block = desk.block()
                desk.start()
                pair = [self._poisoned(desk, block), desk.proposal(block)]
                for proposal in pair if poison_first else pair[::-1]:
                    desk.hear(proposal)
                    if verdict_between:
                        self._verdicts(desk)
                self._verdicts(desk)
                case = f"poison first: {poison_first}, verdict between: {verdict_between}"
                self.assertEqual(desk.own_votes(), [(0, PREVOTE, block.hash)], case)
                self.assertNotEqual(desk.rounds.values[block.hash].proposal.body, OTHER_BODY, case)
                desk.prevotes(block.hash, FIRST, SECOND_)
                self.assertEqual(desk.own_votes(PRECOMMIT), [(0, PRECOMMIT, block.hash)], case)

    def test_the_body_in_the_log_and_in_a_re_proposal_is_the_good_one(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.judge_at_once = False
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.hear(self._poisoned(desk, block))
        self._verdicts(desk)
        desk.prevotes(block.hash, FIRST, SECOND_)
        logged = [record for record in desk.records() if isinstance(record, BlockProposal)]
        self.assertEqual([one.body == OTHER_BODY for one in logged], [False])
        desk.precommits(NIL, FIRST, SECOND_)
        advance(desk, 3)
        self.assertEqual([one.body == OTHER_BODY for one in desk.own_proposals()], [False])

    def test_a_block_that_a_liar_foresaw_is_proposed_with_the_own_body(self) -> None:
        """Attack: the header of an idle epoch can be guessed before its proposer has made it."""
        desk = RoundsDesk(me=FIRST)
        desk.judge_at_once = False
        desk.hear(self._poisoned(desk, desk.block("own 1")))
        desk.start()
        (own,) = desk.own_proposals()
        desk.prevotes(own.header.hash, SECOND_, THIRD)
        desk.precommits(NIL, SECOND_, THIRD)
        advance_to = desk.round_of(FIRST, after=0)
        for member in (SECOND_, LAST):
            desk.prevotes(NIL, member, round_=advance_to)
        again = desk.own_proposals()[-1]
        self.assertEqual((again.round, again.header, again.body), (advance_to, own.header, own.body))


class AttendanceTests(SynchronousTestCase):
    """[11]: whoever signed the parent's certificate attended, even if its precommit came late."""

    def test_late_precommits_enrich_the_parents_certificate(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, FIRST, SECOND_)
        desk.precommits(block.hash, FIRST, SECOND_)
        stored = desk.decisions[0].certificate
        late = desk.vote(THIRD, PRECOMMIT, block.hash)
        self.assertEqual(len(stored.signatures), 3)
        desk.begin(EPOCH + 1)
        desk.hear_vote(late)
        fullest = desk.rounds.votes.fullest(EPOCH, stored)
        self.assertEqual(len(fullest.signatures), 4)
        self.assertTrue(are_good(fullest.signature_items(desk.roster)))

    def test_votes_for_anything_else_do_not(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.precommits(block.hash, FIRST, SECOND_, THIRD)
        stored = desk.decisions[0].certificate
        wrong = [
            desk.vote(LAST, PRECOMMIT, b"x" * 32), desk.vote(LAST, PREVOTE, block.hash),
            desk.vote(LAST, PRECOMMIT, block.hash, 1), desk.vote(LAST, PRECOMMIT, NIL),
        ]  # fmt: skip
        desk.begin(EPOCH + 1)
        for vote in wrong:
            desk.hear_vote(vote)
        self.assertEqual(desk.rounds.votes.fullest(EPOCH, stored), stored)
        self.assertEqual(desk.rounds.votes.fullest(EPOCH - 1, stored), stored)

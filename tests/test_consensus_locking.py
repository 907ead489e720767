"""What a member is bound to: the locking rule and one signature a step, whatever crashes (protocol §4)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.rounds_world import NIL, RoundsDesk, advance, locked_in_round_0, speakers
from timed.consensus.roundstate import Step
from timed.params import SECOND
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.wire.messages import BlockProposal, BlockVote

FIRST, SECOND_, THIRD, LAST = speakers()


class LockingTests(SynchronousTestCase):
    """Lines 22 to 33: whoever precommitted a block is bound to it until a newer polka."""

    def test_precommitting_a_block_locks_it(self) -> None:
        desk, block = locked_in_round_0()
        self.assertEqual((desk.rounds.round, desk.rounds.locked), (1, (0, block.hash)))

    def test_another_block_is_refused_while_locked(self) -> None:
        desk, _ = locked_in_round_0()
        desk.hear(desk.proposal(desk.block("other", 1), 1))
        self.assertEqual(desk.own_votes()[-1], (1, PREVOTE, NIL))

    def test_the_locked_block_is_prevoted_again(self) -> None:
        desk, block = locked_in_round_0()
        desk.hear(desk.proposal(block, 1, valid=0))
        self.assertEqual(desk.own_votes()[-1], (1, PREVOTE, block.hash))

    def test_the_locked_block_is_prevoted_again_as_if_it_were_new(self) -> None:
        """Line 23: who proposes it may not know that it was valid before."""
        desk, block = locked_in_round_0()
        desk.hear(desk.proposal(block, 1))
        self.assertEqual(desk.own_votes()[-1], (1, PREVOTE, block.hash))

    def test_the_locked_block_is_prevoted_again_by_an_older_polka(self) -> None:
        """Line 29: its proposer has seen the polka of round 0, this member has locked it in round 1."""
        desk, block = locked_in_round_0()
        desk.hear(desk.proposal(block, 1, valid=0))
        desk.prevotes(block.hash, FIRST, SECOND_, round_=1)
        self.assertEqual(desk.rounds.locked, (1, block.hash))
        advance(desk, 2)
        desk.hear(desk.proposal(block, 2, valid=0))
        self.assertEqual(desk.own_votes()[-1], (2, PREVOTE, block.hash))

    def test_the_locked_block_is_prevoted_again_however_old_it_is(self) -> None:
        """[6]: a re-proposal with a valid round is exempt from freshness."""
        desk, block = locked_in_round_0()
        desk.fresh = False
        desk.hear(desk.proposal(block, 1, valid=0))
        self.assertEqual(desk.own_votes()[-1], (1, PREVOTE, block.hash))

    def test_another_block_is_prevoted_with_a_newer_polka(self) -> None:
        """A quorum prevoted it after we locked: the old lock cannot have been decided."""
        desk, _ = locked_in_round_0()
        other = desk.block("other", 1)
        desk.prevotes(other.hash, FIRST, SECOND_, THIRD, round_=1)
        advance(desk, 2)
        desk.hear(desk.proposal(other, 2, valid=1))
        self.assertEqual(desk.own_votes()[-1], (2, PREVOTE, other.hash))

    def test_a_claimed_valid_round_without_its_polka_is_not_voted_for(self) -> None:
        """Attack: a proposer claims a valid round to break the others' locks."""
        desk, _ = locked_in_round_0()
        other = desk.block("other", 1)
        desk.prevotes(other.hash, FIRST, SECOND_, round_=1)
        advance(desk, 2)
        desk.hear(desk.proposal(other, 2, valid=1))
        self.assertEqual(desk.rounds.step, Step.PROPOSE)
        desk.wait(2 * SECOND)
        self.assertEqual(desk.own_votes()[-1], (2, PREVOTE, NIL))

    def test_a_valid_round_that_is_not_in_the_past_is_not_voted_for(self) -> None:
        """Attack: a re-proposal that refers to its own round or a later one."""
        desk, _ = locked_in_round_0()
        other = desk.block("other", 1)
        desk.prevotes(other.hash, FIRST, SECOND_, THIRD, round_=1)
        desk.hear(desk.proposal(other, 1, valid=1))
        self.assertNotIn((1, PREVOTE, other.hash), desk.own_votes())

    def test_a_polka_older_than_the_lock_does_not_break_it(self) -> None:
        """Line 29: the polka must be at least as new as the lock."""
        desk = RoundsDesk(me=LAST)
        old, new = desk.block("old"), desk.block("new", 1)
        desk.start()
        desk.hear(desk.proposal(old))
        desk.invalid[old.hash] = None
        advance(desk, 1)
        desk.hear(desk.proposal(new, 1))
        desk.prevotes(new.hash, FIRST, SECOND_, round_=1)
        self.assertEqual(desk.rounds.locked, (1, new.hash))
        desk.prevotes(old.hash, FIRST, SECOND_, THIRD, round_=0)
        advance(desk, 2)
        desk.hear(desk.proposal(old, 2, valid=0))
        self.assertEqual(desk.own_votes()[-1], (2, PREVOTE, NIL))

    def test_a_new_polka_moves_the_lock(self) -> None:
        desk, _ = locked_in_round_0()
        other = desk.block("other", 1)
        desk.hear(desk.proposal(other, 1))
        desk.prevotes(other.hash, FIRST, SECOND_, THIRD, round_=1)
        self.assertEqual(desk.own_votes()[-1], (1, PRECOMMIT, other.hash))
        self.assertEqual(desk.rounds.locked, (1, other.hash))

    def test_a_late_polka_makes_a_block_valid_without_locking_it(self) -> None:
        """Lines 36 to 43: after precommitting nil the polka only says what to propose."""
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(NIL, FIRST)
        desk.prevotes(block.hash, SECOND_)
        desk.wait(SECOND)
        self.assertEqual(desk.own_votes(PRECOMMIT), [(0, PRECOMMIT, NIL)])
        self.assertEqual((desk.rounds.locked, desk.rounds.valid), (None, None))
        desk.prevotes(block.hash, THIRD)
        self.assertEqual((desk.rounds.locked, desk.rounds.valid), (None, (0, block.hash)))
        desk.precommits(NIL, FIRST, SECOND_)
        advance(desk, 3)
        self.assertEqual([(one.header, one.valid_round) for one in desk.own_proposals()], [(block, 1)])

    def test_the_valid_block_is_proposed_again_with_its_round(self) -> None:
        """Lines 15 and 16."""
        desk, block = locked_in_round_0()
        advance(desk, 3)
        (proposal,) = desk.own_proposals()
        self.assertEqual((proposal.round, proposal.valid_round, proposal.header), (3, 1, block))
        self.assertEqual(desk.proposed, 0, "no new block was made")
        self.assertEqual(desk.own_votes()[-1], (3, PREVOTE, block.hash))

    @settings(deadline=None, max_examples=30)
    @given(st.permutations(range(1, 4)), st.permutations(range(1, 4)))
    def test_after_a_quorum_of_precommits_no_other_block_finds_a_quorum(self, order, others) -> None:
        """[15]: the heart of the algorithm: two decisions at one height are impossible.

        Three of four members precommit; whatever the fourth and one liar of the
        three propose and vote, the two honest ones of the quorum stay locked.
        """
        bound = [RoundsDesk(me=member) for member in (SECOND_, THIRD)]
        for desk in bound:
            block = desk.block("decided")
            desk.start()
            desk.hear(desk.proposal(block))
            desk.prevotes(block.hash, FIRST, SECOND_, THIRD)
            self.assertEqual(desk.rounds.locked, (0, block.hash))
            for round_ in sorted(order):
                rival = desk.block(f"rival {others[0]}", round_)
                desk.rounds.votes.heard(FIRST, round_)
                desk.rounds.votes.heard(LAST, round_)
                desk.prevotes(rival.hash, FIRST, LAST, round_=round_)
                if desk.proposer(round_) != desk.me:
                    desk.hear(
                        desk.proposal(rival, round_, valid=others[1] - 1 if others[1] < round_ else None)
                    )
                desk.wait(5 * SECOND)
                self.assertNotIn(rival.hash, [voted for _, _, voted in desk.own_votes()])


class OneSignatureTests(SynchronousTestCase):
    """[16]: no key signs twice for one (height, round, step)."""

    def _check(self, desk: RoundsDesk) -> None:
        seen: dict[tuple[int, int, int], object] = {}
        for message in desk.signatures:
            if isinstance(message, BlockVote):
                place, what = (message.height, message.round, message.step), message.block
            else:
                assert isinstance(message, BlockProposal)
                place, what = (message.header.height, message.round, 0), message.signed_message()
            self.assertEqual(seen.setdefault(place, what), what, f"two signatures at {place}")

    def test_after_a_restart_the_same_votes_are_given_again(self) -> None:
        desk, block = locked_in_round_0()
        again = desk.restarted()
        again.start()
        again.hear(again.proposal(again.block("rival", 0), 0))
        again.prevotes(NIL, FIRST, SECOND_, THIRD)
        again.wait(60 * SECOND)
        self._check(again)
        self.assertEqual(again.rounds.votes.at(0, PREVOTE).by_member[LAST].block, block.hash)

    def test_after_a_restart_the_lock_holds(self) -> None:
        desk, block = locked_in_round_0()
        again = desk.restarted()
        self.assertEqual(again.rounds.locked, (0, block.hash))
        advance(again, 1)
        again.hear(again.proposal(again.block("other", 1), 1))
        again.wait(3 * SECOND)
        self.assertEqual(again.own_votes(PREVOTE), [(1, PREVOTE, NIL)])

    def test_after_a_restart_the_lock_can_still_be_proved(self) -> None:
        """Nobody else may have kept the prevotes that this member is locked by."""
        desk, block = locked_in_round_0()
        again = desk.restarted()
        self.assertTrue(again.rounds.votes.at(0, PREVOTE).has_quorum(block.hash))
        advance(again, 3)
        (proposal,) = again.own_proposals()
        self.assertEqual((proposal.header, proposal.valid_round), (block, 1))
        self.assertEqual(again.own_votes(PREVOTE), [(3, PREVOTE, block.hash)])

    def test_who_says_it_is_in_a_later_round_is_told_what_proves_the_lock(self) -> None:
        """It may have lost the prevotes of that round, and could never vote for the block again."""
        desk, block = locked_in_round_0()
        late = RoundsDesk(me=FIRST)
        advance(late, 3)
        again = desk.proposal(block, 3, valid=0)
        late.hear(again)
        self.assertEqual(late.own_votes(), [])
        for message in desk.rounds.messages_for(3):
            late.hear_vote(message) if isinstance(message, BlockVote) else late.hear(message)
        self.assertEqual(late.own_votes(), [(3, PREVOTE, block.hash)])

    def test_so_it_is_by_those_who_are_not_locked_but_saw_the_proposal(self) -> None:
        desk, block = locked_in_round_0()
        votes = [vote for vote in desk.rounds.votes.since(0) if vote.step == PREVOTE]
        witness = RoundsDesk(me=SECOND_)
        for vote in votes:
            witness.hear_vote(vote)
        advance(witness, 3)
        witness.hear(witness.proposal(block, 3, valid=0))
        told = witness.rounds.messages_for(3)
        self.assertTrue(all(vote in told for vote in votes))

    def test_after_a_restart_it_goes_on_in_the_round_where_it_stopped(self) -> None:
        desk, _ = locked_in_round_0()
        advance(desk, 2)
        desk.wait(2 * SECOND)
        again = desk.restarted()
        self.assertEqual((again.rounds.round, again.rounds.step), (2, Step.PREVOTE))

    def test_a_restarted_proposer_does_not_propose_another_block(self) -> None:
        desk = RoundsDesk(me=FIRST)
        desk.start()
        (proposal,) = desk.own_proposals()
        again = desk.restarted()
        again.proposed = 77
        again.wait(5 * SECOND)
        again.rounds.reports_changed(again.now)
        again.settle()
        self._check(again)
        self.assertEqual(again.rounds.proposals[0], proposal)

    def test_a_crash_between_the_proposal_and_the_first_vote_makes_no_second_proposal(self) -> None:
        """[16]: it may have left, so another one would be a lie."""
        desk = RoundsDesk(me=FIRST, manual=True)
        desk.start()
        desk.durable(1)
        (proposal,) = desk.own_proposals()
        again = desk.restarted()
        self.assertEqual((again.rounds.round, again.rounds.step), (0, Step.PREVOTE))
        self.assertEqual(again.own_votes(), [(0, PREVOTE, proposal.header.hash)])
        slow = RoundsDesk(me=FIRST)
        slow.judge_at_once = False
        for record in desk.records():
            slow.rounds.restore(record)  # type: ignore[arg-type]
        slow.rounds.resume(slow.now)
        slow.rounds.reports_changed(slow.now)
        slow.settle()
        self.assertEqual((slow.rounds.step, slow.signatures, slow.proposed), (Step.PROPOSE, [], 0))
        slow.wait(SECOND)
        self.assertEqual(slow.own_votes(), [(0, PREVOTE, NIL)], "nor does it wait for ever")

    def test_what_the_log_holds_is_not_written_again(self) -> None:
        desk, block = locked_in_round_0()
        again = desk.restarted()
        advance(again, 1)
        again.hear(again.proposal(block, 1, valid=0))
        self.assertEqual(again.own_votes(), [(1, PREVOTE, block.hash)])
        self.assertEqual([type(one) for one in again.records()].count(BlockProposal), 1)

    def test_records_of_another_height_bind_nobody(self) -> None:
        """[16]: a lock is one height's."""
        desk, _ = locked_in_round_0()
        next_one = RoundsDesk(me=LAST, height=desk.rounds.height + 1)
        for record in desk.records():
            next_one.rounds.restore(record)  # type: ignore[arg-type]
        next_one.rounds.resume(next_one.now)
        next_one.settle()
        rounds = next_one.rounds
        self.assertEqual((rounds.step, rounds.locked, rounds.values), (Step.WAITING, None, {}))
        self.assertEqual((rounds.votes.since(0), next_one.sent), ([], []))

    def test_a_restarted_member_goes_on_in_the_step_of_its_last_vote(self) -> None:
        desk = RoundsDesk(me=LAST)
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.prevotes(block.hash, FIRST, SECOND_)
        self.assertEqual(desk.rounds.step, Step.PRECOMMIT)
        again = desk.restarted()
        self.assertEqual((again.rounds.step, again.own_votes()), (Step.PRECOMMIT, []))
        again.precommits(NIL, FIRST, SECOND_)
        again.wait(SECOND)
        self.assertEqual(again.rounds.round, 1)

    def test_whatever_leads_back_to_a_step_the_old_vote_is_said_again(self) -> None:
        """[16], the last line of defence: the signature is looked up before one is made."""
        for restart in (True, False):
            desk, block = locked_in_round_0()
            again = desk.restarted() if restart else desk
            again.sent.clear()
            again.fresh = False
            again.rounds._start(0, again.now)
            again.settle()
            again.wait(SECOND)
            self.assertEqual(again.own_votes(PREVOTE), [(0, PREVOTE, block.hash)])
            self._check(again)

    def test_a_proposal_that_never_became_durable_may_be_made_again(self) -> None:
        """It never left: nobody has seen the first one."""
        desk = RoundsDesk(me=FIRST, manual=True)
        desk.start()
        again = desk.restarted()
        self.assertEqual(again.rounds.step, Step.WAITING)
        again.start()
        self.assertEqual(len(again.own_proposals()), 1)

    def test_what_it_precommitted_before_the_restart_is_judged_again_before_it_is_decided(self) -> None:
        """The block itself is not in the log, only its proposal: deciding needs it computed again."""
        for turn in (0, 3):
            desk, block = locked_in_round_0()
            if turn:
                desk.log = desk.log[:3]
                for member in (FIRST, SECOND_):
                    desk.rounds.votes.heard(member, turn)
            again = RoundsDesk(me=LAST)
            again.judge_at_once = False
            for record in desk.records():
                again.rounds.restore(record)  # type: ignore[arg-type]
            again.rounds.resume(again.now)
            again.settle()
            if turn:
                advance(again, turn)
                self.assertEqual(len(again.own_proposals()), 1)
            again.precommits(block.hash, FIRST, SECOND_, THIRD)
            self.assertEqual(again.decisions, [], f"in round {turn}")
            again.judge()
            self.assertEqual(len(again.decisions), 1)

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_a_crash_at_any_write_and_any_messages_afterwards(self, data) -> None:
        """[16] against a member that crashes, with proposals and votes of every kind around it."""
        me = data.draw(st.integers(0, 3))
        desk = RoundsDesk(me=me, manual=True)
        others = [member for member in range(4) if member != me]
        for _ in range(data.draw(st.integers(1, 4))):
            for _ in range(data.draw(st.integers(0, 12))):
                round_ = data.draw(st.integers(0, 3))
                name = data.draw(st.sampled_from("ab"))
                action = data.draw(st.sampled_from(("proposal", "vote", "time", "durable")))
                block = desk.block(name, 0)
                if action == "proposal" and desk.proposer(round_) != me:
                    valid = data.draw(st.one_of(st.none(), st.integers(0, 3)))
                    desk.hear(desk.proposal(block, round_, valid=valid))
                elif action == "vote":
                    step = data.draw(st.sampled_from((PREVOTE, PRECOMMIT)))
                    target = data.draw(st.sampled_from((NIL, block.hash)))
                    for member in data.draw(st.sets(st.sampled_from(others))):
                        desk.hear_vote(desk.vote(member, step, target, round_))
                elif action == "time":
                    desk.wait(data.draw(st.integers(0, 3)) * SECOND)
                else:
                    desk.durable(data.draw(st.integers(0, 3)))
            sent = [message for message in desk.sent if isinstance(message, (BlockVote, BlockProposal))]
            durable = desk.records()
            self.assertTrue(all(message in durable for message in sent), "nothing left before it was durable")
            self._check(desk)
            survived = [one for one in desk.signatures if one in durable]
            desk = desk.restarted(manual=True)
            desk.signatures = survived

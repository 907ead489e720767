"""A height of many rounds, as when a third of the weight is away for a day: what it costs each member (protocol §4)."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.rounds_world import NIL, RoundsDesk, advance, locked_in_round_0, speakers
from timed.consensus import votes
from timed.consensus.effects import AskProposal
from timed.consensus.judging import MAX_JUDGED
from timed.consensus.rounds import MAX_VALUES
from timed.consensus.votes import MAX_ROUNDS_BEHIND
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.wire.messages import BlockProposal, BlockVote

FIRST, SECOND_, THIRD, LAST = speakers()
MANY = 3 * MAX_ROUNDS_BEHIND


def undecided(desk: RoundsDesk, rounds: Sequence[int]) -> None:
    """In each of these rounds a block of its own, and a quorum for none."""
    for round_ in rounds:
        if round_:
            advance(desk, round_)
        if desk.proposer(round_) != desk.me:
            desk.hear(desk.proposal(desk.block(f"{round_}", round_), round_))


def logged_proposals(desk: RoundsDesk) -> list[BlockProposal]:
    return [record for record in desk.records() if isinstance(record, BlockProposal)]


def lock(desk: RoundsDesk, block: BlockHeader, round_: int) -> None:
    """`desk` precommits `block`, which somebody proposes as if it were new."""
    advance(desk, round_)
    desk.hear(desk.proposal(block, round_))
    desk.prevotes(block.hash, FIRST, SECOND_, round_=round_)


def after_an_own_proposal() -> tuple[RoundsDesk, int, BlockProposal]:
    """In the first round that is its own a member has proposed: it, the round, the proposal."""
    desk = RoundsDesk(me=LAST)
    desk.start()
    mine = desk.round_of(LAST)
    advance(desk, mine)
    (own,) = desk.own_proposals()
    return desk, mine, own


class LogTests(SynchronousTestCase):
    """What a member writes while nothing is decided, and what a restart makes of it."""

    def test_blocks_that_nobody_is_locked_on_are_not_written(self) -> None:
        """A prevote binds nobody; else the log would grow by a block a round, for as long as a quorum is away."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        undecided(desk, range(MANY))
        self.assertEqual(len(desk.own_votes(PREVOTE)), MANY)
        self.assertEqual(logged_proposals(desk), desk.own_proposals())

    def test_a_block_that_was_only_prevoted_is_asked_for_after_a_restart(self) -> None:
        """The prevote stands, and the others may be locked on it by now."""
        desk = RoundsDesk(me=LAST)
        desk.start()
        proposal = desk.proposal(desk.block())
        desk.hear(proposal)
        again = desk.restarted()
        self.assertEqual(again.rounds.values, {})
        again.prevotes(proposal.header.hash, FIRST, SECOND_)
        self.assertEqual([ask.round for ask in again.wanted(AskProposal)], [0])
        again.hear(proposal)
        self.assertEqual(again.own_votes(), [(0, PRECOMMIT, proposal.header.hash)])
        self.assertEqual(logged_proposals(again), [proposal])

    def test_a_log_of_many_rounds_is_restored_to_what_is_kept_while_it_is_written(self) -> None:
        desk = RoundsDesk(me=LAST)
        desk.start()
        undecided(desk, range(MANY))
        self.assertGreater(len(desk.own_proposals()), MANY // 5)
        again = RoundsDesk(me=LAST)
        again.judge_at_once = False
        peak = 0
        for record in desk.records():
            again.rounds.restore(record)  # type: ignore[arg-type]
            peak = max(peak, len(again.rounds.values))
        again.rounds.resume(again.now)
        again.settle()
        rounds = again.rounds
        self.assertEqual((rounds.round, rounds.step), (desk.rounds.round, desk.rounds.step))
        self.assertEqual((peak, len(again.under_judgement)), (MAX_VALUES, MAX_VALUES))
        self.assertLess(
            MAX_VALUES, MAX_JUDGED, "else the last of them, the locked one, would never be judged"
        )
        self.assertEqual(min(vote.round for vote in rounds.votes.since(0)), rounds.round - MAX_ROUNDS_BEHIND)
        self.assertGreaterEqual(min(rounds.proposals), rounds.round - MAX_ROUNDS_BEHIND)
        self.assertGreaterEqual(min(rounds._signed)[0], rounds.round - MAX_ROUNDS_BEHIND)

    def test_a_lock_of_a_round_long_past_outlives_a_restart_with_its_block_and_its_polka(self) -> None:
        desk, block = locked_in_round_0()
        undecided(desk, range(1, MANY))
        again = desk.restarted()
        self.assertEqual(again.rounds.locked, (0, block.hash))
        self.assertTrue(again.rounds.votes.at(0, PREVOTE).has_quorum(block.hash))
        mine = desk.round_of(LAST, after=MANY)
        advance(again, mine)
        self.assertEqual(again.own_proposals()[-1].header, block)
        self.assertEqual(again.own_votes(PREVOTE)[-1], (mine, PREVOTE, block.hash))

    def test_whatever_is_locked_can_be_proposed_after_a_restart(self) -> None:
        """An own block of an earlier round, somebody else's, and the two in turn."""
        desk, mine, own = after_an_own_proposal()
        desk.prevotes(NIL, FIRST, SECOND_, THIRD, round_=mine)
        later = desk.round_of(LAST, after=mine)
        advance(desk, later)
        self.assertNotEqual(desk.own_proposals()[-1].header, own.header)
        other = desk.block("other")
        for turn, block in enumerate((own.header, other, own.header, other)):
            round_ = later + 1 + 4 * turn
            desk.rounds.locked = None
            lock(desk, block, round_)
            self.assertEqual(desk.own_votes(PRECOMMIT)[-1], (round_, PRECOMMIT, block.hash))
            again = desk.restarted()
            self.assertEqual(again.rounds.locked, (round_, block.hash))
            advance(again, desk.round_of(LAST, after=round_))
            self.assertEqual(again.own_proposals()[-1].header, block, f"turn {turn}")

    def test_what_is_written_with_a_lock_is_signed_by_its_proposer(self) -> None:
        """It is handed to peers after a restart, and who hands on a bad signature is a liar to them."""
        desk, mine, own = after_an_own_proposal()
        advance(desk, desk.round_of(LAST, after=mine))
        lock(desk, own.header, desk.round_of(FIRST, after=3 * mine))
        self.assertEqual(logged_proposals(desk).count(own), 2, "when it left, and with the lock")
        for one in logged_proposals(desk):
            self.assertNotEqual(one.signature, bytes(64))

    def test_a_locked_block_is_written_once_however_often_it_is_locked_again(self) -> None:
        desk, block = locked_in_round_0()
        for round_ in (1, 2, 4, 5):
            lock(desk, block, round_)
        self.assertEqual(len(desk.own_votes(PRECOMMIT)), 5)
        self.assertEqual(len(logged_proposals(desk)), 1)
        polkas = [one for one in desk.records() if isinstance(one, BlockVote) and one.member != LAST]
        self.assertEqual({vote.round for vote in polkas}, {0, 1, 2, 4, 5})


class ProofTests(SynchronousTestCase):
    """A lock of a round long past can be proved to who has forgotten that round, in the round in which it is proposed."""

    def test_a_proof_is_not_spent_on_who_has_no_use_for_it_yet(self) -> None:
        """What a session was sent is not sent again in that round, and votes that no proposal needs are ignored."""
        self.patch(votes, "MAX_ROUNDS_BEHIND", 2)
        desk, block = locked_in_round_0()
        mine = desk.round_of(LAST, after=6)
        advance(desk, mine - 1)
        peer = RoundsDesk(me=FIRST)
        peer.start()
        peer.prevotes(NIL, SECOND_, THIRD, round_=mine)
        self.assertEqual(
            (desk.rounds.round, peer.rounds.round), (mine - 1, mine), "the peer is a moment ahead"
        )
        sent: list[BlockProposal | BlockVote] = []
        for _ in range(2):
            for message in desk.rounds.messages_for(mine):
                if message in sent:
                    continue
                sent.append(message)
                peer.hear_vote(message) if isinstance(message, BlockVote) else peer.hear(message)
            advance(desk, mine)
        self.assertIn((mine, PREVOTE, block.hash), peer.own_votes())

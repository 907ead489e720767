"""How the votes of a height are counted: each member once, by weight, and those that come late (protocol §4)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import EPOCH
from tests.rounds_world import NIL, RoundsDesk, speakers
from timed.consensus.votes import VoteBook, VoteSet
from timed.primitives.certificate import PRECOMMIT, PREVOTE, indices_of
from timed.wire.messages import BlockVote

BLOCK, OTHER = b"a" * 32, b"b" * 32


class Counting:
    """One round and step of a roster with these weights."""

    def __init__(self, weights: Sequence[int] = (1, 1, 1)) -> None:
        self.desk = RoundsDesk(weights, me=None)
        self.votes = VoteSet(self.desk.roster)

    def add(self, member: int, block: bytes) -> BlockVote | None:
        return self.votes.add(self.desk.vote(member, PREVOTE, block))


class VoteSetTests(SynchronousTestCase):
    """Who stands behind what."""

    def test_a_vote_that_comes_again_counts_once_and_is_no_lie(self) -> None:
        """[9]: the weight is that of members, however often they are heard."""
        counting = Counting()
        self.assertEqual([counting.add(0, BLOCK) for _ in range(3)], [None, None, None])
        self.assertEqual((counting.votes.weight, counting.votes.has_quorum(BLOCK)), (1, False))
        counting.add(1, BLOCK)
        self.assertTrue(counting.votes.has_quorum(BLOCK))

    def test_a_second_vote_counts_once_others_with_a_third_stand_behind_its_block(self) -> None:
        for weights, counts in (
            ((1, 1, 1), True),
            ((1, 1, 1, 1), False),
            ((3, 4, 3), False),
            ((4, 4, 4), True),
        ):
            counting = Counting(weights)
            counting.add(0, BLOCK)
            first = counting.add(1, OTHER)
            self.assertIsNone(first)
            told = counting.add(1, BLOCK)
            self.assertEqual(told, counting.desk.vote(1, PREVOTE, OTHER), "the lie is told either way")
            self.assertEqual(counting.votes.signers(BLOCK), (0, 1) if counts else (0,), str(weights))

    def test_a_second_vote_for_a_block_that_nobody_else_stands_behind_does_not_count(self) -> None:
        counting = Counting()
        counting.add(0, BLOCK)
        counting.add(0, OTHER)
        self.assertEqual((counting.votes.signers(OTHER), counting.votes.weight), ((), 1))

    def test_a_second_vote_adds_its_weight_to_the_block_and_not_to_who_has_voted(self) -> None:
        counting = Counting((1, 1, 1, 1, 1, 1))
        for member in (0, 1):
            counting.add(member, BLOCK)
        for block in (OTHER, BLOCK, BLOCK):
            counting.add(2, block)
        self.assertEqual((counting.votes.weight, counting.votes.any_quorum()), (3, False))
        self.assertFalse(counting.votes.has_quorum(BLOCK), "three of six")
        counting.add(3, BLOCK)
        self.assertTrue(counting.votes.has_quorum(BLOCK), "four of six, one of them a liar")

    def test_all_of_them_stand_by_member(self) -> None:
        counting = Counting((1, 1, 1, 1))
        for member in (2, 0, 3, 1):
            counting.add(member, BLOCK if member else NIL)
        self.assertEqual([vote.member for vote in counting.votes.all()], [0, 1, 2, 3])


class VoteBookTests(SynchronousTestCase):
    """The votes of a height, and late ones for the height before."""

    def test_what_is_told_from_a_round_on_stands_by_round_step_and_member(self) -> None:
        desk = RoundsDesk(me=None)
        book = VoteBook()
        book.begin(EPOCH, desk.roster, None)
        places = [(2, PREVOTE, 0), (1, PRECOMMIT, 1), (0, PREVOTE, 2), (1, PREVOTE, 3), (1, PREVOTE, 1)]
        for round_, step, member in places:
            book.at(round_, step).add(desk.vote(member, step, NIL, round_))
        told = [(vote.round, vote.step, vote.member) for vote in book.since(1)]
        self.assertEqual(told, [(1, PREVOTE, 1), (1, PREVOTE, 3), (1, PRECOMMIT, 1), (2, PREVOTE, 0)])

    def _decided(self) -> tuple[RoundsDesk, bytes]:
        """A member in the height after one that it decided with the precommits of three of four."""
        desk = RoundsDesk(me=speakers()[3])
        block = desk.block()
        desk.start()
        desk.hear(desk.proposal(block))
        desk.precommits(block.hash, *speakers()[:3])
        desk.begin(EPOCH + 1)
        return desk, block.hash

    def test_what_is_known_is_the_very_vote_that_was_counted(self) -> None:
        """Whoever hands it on again, it is not verified again; anything else is."""
        desk, block = self._decided()
        votes, mine = desk.rounds.votes, speakers()[3]
        counted = msgspec.structs.replace(desk.vote(0, PREVOTE, BLOCK), height=EPOCH + 1)
        desk.hear_vote(counted)
        self.assertTrue(votes.knows(counted))
        for changes in (
            {"block": OTHER},
            {"member": 1},
            {"step": PRECOMMIT},
            {"round": 1},
            {"height": EPOCH},
        ):
            self.assertFalse(votes.knows(msgspec.structs.replace(counted, **changes)), str(changes))
        before = desk.vote(speakers()[0], PRECOMMIT, block, height=EPOCH)
        late = desk.vote(mine, PRECOMMIT, block, height=EPOCH)
        self.assertEqual([votes.knows(before), votes.knows(late)], [True, False])
        self.assertEqual([votes.wants_late(before), votes.wants_late(late)], [False, True])
        for changes in ({"block": OTHER}, {"step": PREVOTE}, {"round": 1}, {"height": EPOCH + 1}):
            self.assertFalse(votes.wants_late(msgspec.structs.replace(late, **changes)), str(changes))
        self.assertFalse(VoteBook().wants_late(late), "nothing was decided here")

    def test_votes_of_the_height_under_way_count_after_a_decision(self) -> None:
        desk, _ = self._decided()
        vote = msgspec.structs.replace(desk.vote(0, PREVOTE, BLOCK), height=EPOCH + 1)
        self.assertFalse(desk.rounds.votes.take_late(vote))
        desk.hear_vote(vote)
        self.assertEqual(desk.rounds.votes.at(0, PREVOTE).signers(BLOCK), (0,))

    def test_a_late_vote_for_the_height_before_is_none_of_the_height_under_way(self) -> None:
        desk, block = self._decided()
        late = desk.vote(speakers()[3], PRECOMMIT, block, height=EPOCH)
        desk.hear_vote(late)
        self.assertEqual((desk.rounds.votes.since(0), desk.rounds.counters.votes_ignored), ([], 0))

    def test_a_stored_certificate_gives_way_only_to_a_fuller_one_of_its_block(self) -> None:
        """[11]"""
        desk, block = self._decided()
        votes = desk.rounds.votes
        stored = desk.decisions[0].certificate
        self.assertIs(votes.fullest(EPOCH, stored), stored)
        foreign = msgspec.structs.replace(stored, target=OTHER)
        desk.hear_vote(desk.vote(speakers()[3], PRECOMMIT, block, height=EPOCH))
        self.assertIs(votes.fullest(EPOCH, foreign), foreign, "another block")
        self.assertIs(votes.fullest(EPOCH + 1, stored), stored, "another height")
        self.assertEqual(indices_of(votes.fullest(EPOCH, stored).bitmap, 4), (0, 1, 2, 3))
        self.assertIs(VoteBook().fullest(EPOCH, stored), stored, "nothing was decided here")

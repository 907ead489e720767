"""Who proposes: a pure function of roster, height and round (protocol §4)."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import weighted_roster
from timed.consensus.proposer import proposer
from timed.primitives.roster import Roster


class ProposerTests(SynchronousTestCase):
    """Everybody computes the same answer from the chain alone."""

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.integers(0, 100), min_size=1, max_size=12).filter(any), st.integers(0, 10**6))
    def test_every_member_with_weight_proposes_once_in_as_many_rounds(self, weights, height) -> None:
        """One dead member costs one round, not a run of bad luck."""
        roster = weighted_roster(weights)
        voters = [index for index, weight in enumerate(weights) if weight]
        for start in (0, len(voters), 7 * len(voters)):
            order = [proposer(roster, height, start + round_) for round_ in range(len(voters))]
            self.assertEqual(sorted(order), voters)

    def test_it_depends_on_nothing_but_roster_height_and_round(self) -> None:
        roster = weighted_roster((1, 2, 3, 4))
        twin = Roster.decode(roster.encode())
        for height in range(20):
            for round_ in range(6):
                self.assertEqual(proposer(roster, height, round_), proposer(twin, height, round_))

    def test_the_values_every_version_must_agree_on(self) -> None:
        """Golden: two versions that differ here would never certify a block together."""
        roster = weighted_roster((1, 1, 1, 1))
        orders = [tuple(proposer(roster, height, round_) for round_ in range(4)) for height in range(1, 5)]
        self.assertEqual(orders, GOLDEN)

    def test_each_height_draws_an_order_of_its_own(self) -> None:
        roster = weighted_roster((1,) * 7)
        orders = {tuple(proposer(roster, height, round_) for round_ in range(7)) for height in range(40)}
        self.assertGreater(len(orders), 35)

    def test_another_roster_draws_another_order(self) -> None:
        equal, unequal = weighted_roster((1,) * 7), weighted_roster((1,) * 6 + (2,))
        first = [proposer(equal, height, 0) for height in range(40)]
        second = [proposer(unequal, height, 0) for height in range(40)]
        self.assertNotEqual(first, second)

    def test_the_first_turn_comes_in_proportion_to_the_weight(self) -> None:
        weights = (1, 2, 3, 4)
        roster = weighted_roster(weights)
        heights = 3_000
        turns = Counter(proposer(roster, height, 0) for height in range(heights))
        for member, weight in enumerate(weights):
            expected = heights * weight / 10
            self.assertLess(abs(turns[member] - expected), 0.15 * expected, f"member {member}: {turns}")

    def test_a_member_without_weight_never_proposes(self) -> None:
        roster = weighted_roster((0, 1, 0, 1))
        turns = {proposer(roster, height, round_) for height in range(50) for round_ in range(4)}
        self.assertEqual(turns, {1, 3})

    def test_a_single_member_always_proposes(self) -> None:
        roster = weighted_roster((5,))
        self.assertEqual(
            {proposer(roster, height, round_) for height in range(9) for round_ in range(9)}, {0}
        )


GOLDEN = [(2, 1, 3, 0), (2, 1, 3, 0), (2, 0, 1, 3), (0, 2, 3, 1)]

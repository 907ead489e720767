"""A member among three that sign anything: no exception, one signature a place, a chain that only grows ([16])."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.council import STEP_NUMBERS, STEPS, Council, play
from tests.fuzz.targets import TARGETS
from timed.params import NULL_HASH
from timed.primitives.certificate import PREVOTE

steps = st.tuples(st.integers(0, len(STEPS) - 1), st.lists(st.integers(0, 9), min_size=3, max_size=6))
scripts = st.lists(steps, max_size=40).map(
    lambda drawn: b"".join(bytes((step, *rest)) for step, rest in drawn)
)


class CouncilTests(SynchronousTestCase):
    @settings(
        deadline=None, max_examples=80,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(scripts, st.lists(st.sampled_from(list(TARGETS["council"].seeds())), max_size=2))
    def test_any_steps_give_no_finding(self, script: bytes, before: list[bytes]) -> None:
        play(b"".join(before) + script)

    def test_the_seeds_reach_what_they_are_for(self) -> None:
        """Payments certified and final, blocks, reports, proposals of its own, liars noticed, restarts."""
        told: Counter[str] = Counter()
        signed: Counter[str] = Counter()
        lives = 0
        for seed in TARGETS["council"].seeds():
            council = play(seed)
            told.update(type(event).__name__ for event in council.world.events)
            signed.update(place[0] for place in council.signed)
            lives = max(lives, council.lives)
        for event in ("TransactionFinal", "BlockCertified", "EpochReported"):
            self.assertGreater(told[event], 0, event)
        for place in ("vote", "report", "lock"):
            self.assertGreater(signed[place], 0, place)
        self.assertGreater(lives, 1)

    def test_the_account_would_notice(self) -> None:
        """Two votes of the node for one place, in two different words."""
        council = Council()
        world = council.world
        for block in (NULL_HASH, bytes(31) + b"\1"):
            council._signed(world.vote(2, PREVOTE, block))
        council._signed(world.vote(world.me or 0, PREVOTE, NULL_HASH))
        with self.assertRaises(AssertionError):
            council._signed(world.vote(world.me or 0, PREVOTE, bytes(31) + b"\1"))

    def test_steps_have_their_numbers_for_ever(self) -> None:
        self.assertLessEqual(len(STEPS), STEP_NUMBERS)
        self.assertEqual(play(bytes((STEP_NUMBERS - 1,))).signed.keys() - {("report", 1)}, set())

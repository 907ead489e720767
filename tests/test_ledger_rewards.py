"""What a block mints, and for whom."""

from __future__ import annotations

from decimal import Decimal, localcontext

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import lock_of, wallet_key
from timed.ledger.rewards import FRACTION_BITS, base_reward, ln_fixed, split
from timed.primitives.roster import Member, Tier

GOLDEN = {
    1: 10_000_000_000,
    2: 16_931_471_805,
    3: 20_986_122_886,
    4: 23_862_943_611,
    5: 26_094_379_124,
    7: 29_459_101_490,
    10: 33_025_850_929,
    50: 49_120_230_054,
    64: 51_588_830_833,
    100: 56_051_701_859,
    1_000: 79_077_552_789,
    65_535: 120_903_396_300,
}
"""floor(10^10 · (1 + ln n)), computed with 60 decimal digits."""


def member(number: int, tier: int) -> Member:
    owner = wallet_key(number)
    return Member(owner.public, owner.public, lock_of(owner), tier, 1)


class BaseRewardTests(SynchronousTestCase):
    def test_golden_values(self) -> None:
        """[11] R = 100 · (1 + ln n) TIME, in units, rounded down."""
        self.assertEqual({n: base_reward(n) for n in GOLDEN}, GOLDEN)

    def test_the_logarithm_is_exact_far_below_one_unit(self) -> None:
        """[1] Integers only; the truncation never reaches a unit."""
        with localcontext() as context:
            context.prec = 60
            for n in (2, 3, 31, 97, 1_023, 1_024, 1_025, 65_535):
                error = abs(Decimal(n).ln() - Decimal(ln_fixed(n)) / (1 << FRACTION_BITS))
                self.assertLess(error, Decimal(10) ** -34, n)

    @settings(deadline=None, max_examples=50)
    @given(n=st.integers(1, 65_535))
    def test_every_roster_size_agrees_with_decimal_arithmetic(self, n: int) -> None:
        """[1] [11] A second computation, in another representation."""
        with localcontext() as context:
            context.prec = 60
            self.assertEqual(base_reward(n), int(Decimal(10) ** 10 * (1 + Decimal(n).ln())))

    def test_nobody_attending_is_not_a_number(self) -> None:
        self.assertRaises(ValueError, base_reward, 0)


class SplitTests(SynchronousTestCase):
    def test_equal_tiers_share_equally_and_the_first_takes_the_rest(self) -> None:
        """[11] The remainder goes to the first in roster order."""
        outputs = split(100, 1, [member(n, Tier.BRONZE) for n in (1, 2, 3)])
        self.assertEqual([output.value for output in outputs], [35, 33, 33])

    def test_tiers_weigh_like_their_collateral(self) -> None:
        """[11] Free 100, bronze 1,000, silver 10,000, gold 100,000."""
        outputs = split(1_111_000, 100, [member(n, tier) for n, tier in enumerate(Tier, 1)])
        self.assertEqual([output.value for output in outputs], [1_001, 10_000, 100_009, 1_000_090])

    def test_each_output_is_locked_to_the_members_reward_lock(self) -> None:
        members = [member(n, Tier.FREE) for n in (1, 2)]
        outputs = split(10, 0, members)
        self.assertEqual([output.lock for output in outputs], [each.reward for each in members])

    @settings(deadline=None, max_examples=50)
    @given(
        reward=st.integers(0, 2**40),
        fees=st.integers(0, 2**40),
        tiers=st.lists(st.sampled_from(list(Tier)), min_size=1, max_size=20),
    )
    def test_exactly_reward_and_fees_are_paid(self, reward: int, fees: int, tiers: list[Tier]) -> None:
        """[11] No unit is lost and none is made."""
        outputs = split(reward, fees, [member(1, tier) for tier in tiers])
        self.assertEqual(sum(output.value for output in outputs), reward + fees)
        self.assertTrue(all(output.value >= 0 for output in outputs))

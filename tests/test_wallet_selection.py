"""Which coins are taken: enough, few, cheap, and always the same ones."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import outpoint
from timed.ledger.rules import minimum_fee
from timed.params import REGTEST, UNITS_PER_TIME
from timed.primitives.transaction import Lock, Output
from timed.wallet.coins import OwnCoin
from timed.wallet.selection import InsufficientFunds, Selection, select

LOCK = Lock(1, bytes(20))


def own(number: int, value: int, height: int | None = 1) -> OwnCoin:
    return OwnCoin(outpoint(number), Output(value, LOCK), height, False)


def wallet(*values: int) -> list[OwnCoin]:
    return [own(number, value) for number, value in enumerate(values)]


def fee_of(selection: Selection) -> int:
    values = [selection.amount] + [selection.change] * bool(selection.change)
    return minimum_fee([Output(value, LOCK) for value in values], REGTEST)


class Selecting(SynchronousTestCase):
    def test_the_smallest_single_coin_that_is_enough(self) -> None:
        chosen = select(wallet(5 * 10**8, 50 * 10**8, 20 * 10**8), 10 * 10**8, REGTEST)
        self.assertEqual([coin.value for coin in chosen.coins], [20 * 10**8])

    def test_without_one_the_largest_and_a_last_one_as_small_as_will_do(self) -> None:
        chosen = select(wallet(1 * 10**8, 3 * 10**8, 9 * 10**8, 10 * 10**8), 12 * 10**8, REGTEST)
        self.assertEqual([coin.value for coin in chosen.coins], [10 * 10**8, 3 * 10**8])

    def test_coins_in_blocks_go_before_final_ones(self) -> None:
        coins = [own(1, 20 * 10**8, None), own(2, 90 * 10**8)]
        self.assertEqual(select(coins, 10**9, REGTEST).coins, (coins[1],))
        self.assertEqual(select(coins[:1], 10**9, REGTEST).coins, (coins[0],))
        self.assertEqual(len(select(coins, 100 * 10**8, REGTEST).coins), 2)

    def test_change_that_would_be_dust_goes_to_the_fee(self) -> None:
        fee = REGTEST.minimum_fee
        chosen = select(wallet(10**7 + fee + REGTEST.dust - 1), 10**7, REGTEST)
        self.assertEqual((chosen.change, chosen.fee), (0, fee + REGTEST.dust - 1))
        chosen = select(wallet(10**7 + fee + REGTEST.dust), 10**7, REGTEST)
        self.assertEqual((chosen.change, chosen.fee), (REGTEST.dust, fee))

    def test_too_little_names_what_is_missing(self) -> None:
        with self.assertRaises(InsufficientFunds) as caught:
            select(wallet(10**8, 10**8), 2 * 10**8, REGTEST)
        self.assertEqual(caught.exception.available, 2 * 10**8)
        self.assertEqual(caught.exception.needed, 2 * 10**8 + 200_000)
        self.assertIn("2.00200000 TIME needed", str(caught.exception))

    def test_no_more_inputs_than_a_transaction_may_have(self) -> None:
        coins = wallet(*[10**8] * 300)
        with self.assertRaises(InsufficientFunds):
            select(coins, 260 * 10**8, REGTEST)
        self.assertLessEqual(len(select(coins, 250 * 10**8, REGTEST).coins), REGTEST.max_inputs)

    @settings(deadline=None, max_examples=100)
    @given(
        st.lists(st.integers(1_000, 3 * 10**11), min_size=1, max_size=20),
        st.integers(1_000, 10**12),
        st.integers(0, 2**32),
    )
    def test_the_sum_is_right_and_the_fee_sufficient_and_minimal(
        self, values: list[int], amount: int, seed: int
    ) -> None:
        """Protocol §1: the fee rule of the validator, across its steps and its ceiling."""
        coins = wallet(*values)
        try:
            chosen = select(coins, amount, REGTEST)
        except InsufficientFunds as short:
            self.assertGreater(short.needed, sum(values))
            return
        total = sum(coin.value for coin in chosen.coins)
        self.assertEqual(total, amount + chosen.change + chosen.fee)
        self.assertGreaterEqual(chosen.fee, fee_of(chosen))
        if chosen.change:
            one_less = [Output(amount, LOCK), Output(chosen.change + 1, LOCK)]
            self.assertLess(chosen.fee - 1, minimum_fee(one_less, REGTEST))
        else:
            self.assertLess(chosen.fee - fee_of(chosen), REGTEST.dust + UNITS_PER_TIME)
        self.assertEqual(len({coin.outpoint for coin in chosen.coins}), len(chosen.coins))
        shuffled = list(coins)
        random.Random(seed).shuffle(shuffled)
        self.assertEqual(select(shuffled, amount, REGTEST), chosen)

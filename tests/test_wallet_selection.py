"""Which coins are taken, what everybody gets, and the fee: enough, few, cheap, and always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import outpoint
from timed.errors import InvalidTransaction
from timed.ledger.rules import minimum_fee
from timed.params import REGTEST, UNITS_PER_TIME
from timed.primitives.transaction import Lock, Output
from timed.wallet.coins import OwnCoin
from timed.wallet.funds import Funds
from timed.wallet.planning import FeeAboveAmount, InsufficientFunds, Payee, Plan, Wish, plan
from timed.wallet.selection import Supply
from timed.wallet.valueorder import ValueOrder

LOCK = Lock(1, bytes(20))
DUST = REGTEST.dust
LEAST_FEE = REGTEST.minimum_fee


def own(number: int, value: int, height: int | None = 1) -> OwnCoin:
    return OwnCoin(outpoint(number), Output(value, LOCK), height, False)


def wallet(*values: int) -> list[OwnCoin]:
    return [own(number, value) for number, value in enumerate(values)]


def supplies(
    coins: Iterable[OwnCoin], is_free: Callable[[OwnCoin], bool] = lambda coin: True
) -> tuple[Supply, ...]:
    """As `Availability.supplies`."""
    confirmed, final = ValueOrder(), ValueOrder()
    for coin in coins:
        (final if coin.height is None else confirmed).add(coin)
    return Supply((confirmed,), is_free), Supply((confirmed, final), is_free)


def planned(coins: list[OwnCoin], wish: Wish, **more: Any) -> Plan:
    total = sum(coin.value for coin in coins)
    return plan(wish, supplies(coins, **more), REGTEST, lambda: Funds(free=total, coins=len(coins)))


def select(coins: list[OwnCoin], amount: int) -> Plan:
    return planned(coins, Wish.to(LOCK, amount))


def least_fee(made: Plan) -> int:
    values = [*made.paid, *[made.change] * bool(made.change)]
    return minimum_fee([Output(value, LOCK) for value in values], REGTEST)


VALUES = st.lists(st.integers(1_000, 3 * 10**11), min_size=1, max_size=20)


class Selecting(SynchronousTestCase):
    def test_the_smallest_single_coin_that_is_enough(self) -> None:
        chosen = select(wallet(5 * 10**8, 50 * 10**8, 20 * 10**8), 10 * 10**8)
        self.assertEqual([coin.value for coin in chosen.coins], [20 * 10**8])

    def test_without_one_the_largest_and_a_last_one_as_small_as_will_do(self) -> None:
        chosen = select(wallet(1 * 10**8, 3 * 10**8, 9 * 10**8, 10 * 10**8), 12 * 10**8)
        self.assertEqual([coin.value for coin in chosen.coins], [10 * 10**8, 3 * 10**8])

    def test_several_small_coins_where_a_single_one_costs_more(self) -> None:
        """The change of a large coin is paid for, too: 1 TIME here instead of 0.013."""
        made = select(wallet(10 * 10**8, 3 * 10**8, 10_000 * 10**8), 125 * 10**7)
        self.assertEqual([coin.value for coin in made.coins], [10 * 10**8, 3 * 10**8])
        self.assertEqual(made.fee, least_fee(made))
        self.assertLess(made.fee, 2 * 10**6)

    def test_a_single_coin_where_several_cost_the_same(self) -> None:
        """Both cost the least fee there is, or both the most."""
        small = select(wallet(10**6, 10**6, 10**6, 9 * 10**7), 2 * 10**6)
        self.assertEqual(len(small.coins), 1)
        large = select(wallet(*[900 * 10**8] * 9, 10_000 * 10**8), 7_000 * 10**8)
        self.assertEqual(len(large.coins), 1)

    def test_a_single_coin_where_several_cost_more(self) -> None:
        made = select(wallet(95 * 10**8, 90 * 10**8, 165 * 10**8), 160 * 10**8)
        self.assertEqual([coin.value for coin in made.coins], [165 * 10**8])

    def test_dust_is_refused_by_name(self) -> None:
        with self.assertRaises(InvalidTransaction) as caught:
            select(wallet(10**8), DUST - 1)
        self.assertEqual(caught.exception.rule, "output-dust")
        self.assertEqual(select(wallet(10**8), DUST).paid, (DUST,))

    def test_coins_in_blocks_go_before_final_ones(self) -> None:
        coins = [own(1, 20 * 10**8, None), own(2, 90 * 10**8)]
        self.assertEqual(select(coins, 10**9).coins, (coins[1],))
        self.assertEqual(select(coins[:1], 10**9).coins, (coins[0],))
        self.assertEqual(len(select(coins, 100 * 10**8).coins), 2)

    def test_change_that_would_be_dust_goes_to_the_fee(self) -> None:
        chosen = select(wallet(10**7 + LEAST_FEE + DUST - 1), 10**7)
        self.assertEqual((chosen.change, chosen.fee), (0, LEAST_FEE + DUST - 1))
        chosen = select(wallet(10**7 + LEAST_FEE + DUST), 10**7)
        self.assertEqual((chosen.change, chosen.fee), (DUST, LEAST_FEE))

    def test_too_little_names_what_is_missing(self) -> None:
        with self.assertRaises(InsufficientFunds) as caught:
            select(wallet(10**8, 10**8), 2 * 10**8)
        self.assertEqual(caught.exception.funds.free, 2 * 10**8)
        self.assertEqual(caught.exception.needed, 2 * 10**8 + 200_000)
        self.assertEqual(caught.exception.missing, 200_000)
        self.assertIn("2.00200000 TIME needed", str(caught.exception))

    def test_no_more_inputs_than_a_transaction_may_have(self) -> None:
        coins = wallet(*[10**8] * 300)
        with self.assertRaises(InsufficientFunds) as caught:
            select(coins, 260 * 10**8)
        self.assertEqual(caught.exception.missing, 0)
        self.assertLessEqual(len(select(coins, 250 * 10**8).coins), REGTEST.max_inputs)

    def test_what_is_not_free_is_passed_over(self) -> None:
        coins = wallet(10**8, 2 * 10**8, 3 * 10**8, 4 * 10**8)
        made = planned(
            coins, Wish.to(LOCK, 15 * 10**7), is_free=lambda coin: coin.value not in (2 * 10**8, 10**8)
        )
        self.assertEqual(made.coins, (coins[2],))

    def test_a_payment_looks_at_few_of_many_coins(self) -> None:
        """Reference F94: nothing is sorted, copied or walked through for a payment."""
        choice = random.Random(1)
        ways = supplies(own(number, choice.randrange(DUST, 10**10)) for number in range(20_000))
        looked: list[OwnCoin] = []
        counting = tuple(Supply(way.orders, lambda coin: not looked.append(coin)) for way in ways)
        for amount in (10**6, 10**9, 10**10, 20 * 10**10, 150 * 10**10):
            looked.clear()
            made = plan(Wish.to(LOCK, amount), counting, REGTEST, Funds)
            # The single one, each of several, the last one once more, and those it passes over.
            self.assertLessEqual(len(looked), 3 * len(made.coins) + 5)

    @settings(deadline=None, max_examples=100)
    @given(VALUES, st.integers(1_000, 10**12), st.integers(0, 2**32))
    @example([10**7 + LEAST_FEE + DUST - 1], 10**7, 0)
    def test_the_sum_is_right_and_the_fee_sufficient_and_minimal(
        self, values: list[int], amount: int, seed: int
    ) -> None:
        """Protocol §1: the fee rule of the validator, across its steps and its ceiling."""
        coins = wallet(*values)
        try:
            chosen = select(coins, amount)
        except InsufficientFunds as short:
            self.assertGreater(short.needed, sum(values))
            return
        total = sum(coin.value for coin in chosen.coins)
        self.assertEqual(chosen.paid, (amount,))
        self.assertEqual(total, amount + chosen.change + chosen.fee)
        self.assertGreaterEqual(chosen.fee, least_fee(chosen))
        if chosen.change:
            one_less = [Output(amount, LOCK), Output(chosen.change + 1, LOCK)]
            self.assertLess(chosen.fee - 1, minimum_fee(one_less, REGTEST))
        else:
            self.assertLess(chosen.fee - least_fee(chosen), DUST + UNITS_PER_TIME)
        self.assertEqual(len({coin.outpoint for coin in chosen.coins}), len(chosen.coins))
        enough = [coin for coin in coins if coin.value >= amount + chosen.fee]
        for coin in enough:
            alone = planned([coin], Wish.to(LOCK, amount))
            self.assertLessEqual(chosen.fee, alone.fee + (DUST if not chosen.change else 0))
        shuffled = list(coins)
        random.Random(seed).shuffle(shuffled)
        self.assertEqual(select(shuffled, amount), chosen)


class Subtracting(SynchronousTestCase):
    def bear(self, values: list[int], *amounts: int, bearers: tuple[int, ...] = (0,)) -> Plan:
        payees = tuple(Payee(LOCK, amount) for amount in amounts)
        return planned(wallet(*values), Wish(payees, bearers=bearers))

    def test_the_receiver_bears_the_fee(self) -> None:
        made = self.bear([5 * 10**8], 10**8)
        self.assertEqual((made.paid, made.change, made.fee), ((10**8 - 499_500,), 4 * 10**8, 499_500))

    def test_all_of_a_coin_can_be_paid(self) -> None:
        made = self.bear([10**8], 10**8)
        self.assertEqual((made.paid, made.change, made.fee), ((10**8 - LEAST_FEE,), 0, LEAST_FEE))

    def test_dust_that_would_come_back_is_the_receivers(self) -> None:
        made = self.bear([10**8 + DUST - 1], 10**8)
        self.assertEqual((made.paid, made.change, made.fee), ((10**8 + DUST - 1 - LEAST_FEE,), 0, LEAST_FEE))

    def test_several_bear_equal_parts_and_the_first_the_rest(self) -> None:
        made = self.bear([4 * 10**8 + 5 * 10**6], 10**8, 10**8, 10**8, bearers=(2, 0))
        whole = 10**8
        self.assertEqual(made.paid[1], whole)
        self.assertEqual(sum(made.paid) + made.fee + made.change, 4 * 10**8 + 5 * 10**6)
        shares = (whole - made.paid[2], whole - made.paid[0])
        self.assertIn(shares[0] - shares[1], (0, 1))
        self.assertEqual(sum(shares), made.fee)

    def test_an_amount_below_the_fee_is_refused_by_name(self) -> None:
        with self.assertRaises(FeeAboveAmount) as caught:
            self.bear([10_000 * 10**8], 10**7)
        self.assertEqual((caught.exception.amount, caught.exception.share), (10**7, UNITS_PER_TIME))
        self.assertEqual(self.bear([LEAST_FEE + DUST], LEAST_FEE + DUST).paid, (DUST,))
        self.assertRaises(FeeAboveAmount, self.bear, [LEAST_FEE + DUST - 1], LEAST_FEE + DUST - 1)

    @settings(deadline=None, max_examples=100)
    @given(VALUES, st.lists(st.integers(1_000, 10**11), min_size=1, max_size=4), st.data())
    def test_nothing_is_lost_and_the_fee_is_minimal(
        self, values: list[int], amounts: list[int], data: st.DataObject
    ) -> None:
        """Reference F119: a fee that is taken from the amount may cross a step of the rule."""
        numbers = st.lists(st.integers(0, len(amounts) - 1), min_size=1, unique=True)
        bearers = tuple(data.draw(numbers))
        try:
            made = self.bear(values, *amounts, bearers=bearers)
        except InsufficientFunds as short:
            self.assertGreater(short.needed, sum(values))
            return
        except FeeAboveAmount as below:
            self.assertLess(below.amount - below.share, DUST)
            return
        total = sum(coin.value for coin in made.coins)
        self.assertEqual(total, sum(made.paid) + made.change + made.fee)
        self.assertGreaterEqual(made.fee, least_fee(made))
        more = [Output(value, LOCK) for value in (*made.paid, made.change) if value]
        more[-1] = Output(more[-1].value + 1, LOCK)
        cheapest = made.fee - 1 < minimum_fee(more, REGTEST)
        self.assertTrue(cheapest or (not made.change and made.paid == tuple(amounts)))
        for number, (amount, paid) in enumerate(zip(amounts, made.paid, strict=True)):
            self.assertGreaterEqual(paid, DUST)
            self.assertLessEqual(paid, amount)
            self.assertTrue(number in bearers or paid == amount)


class Sweeping(SynchronousTestCase):
    def test_everything_goes_in_equal_parts_after_the_named_amounts(self) -> None:
        wish = Wish((Payee(LOCK, 10**8), Payee(LOCK, None), Payee(LOCK, None)))
        made = planned(wallet(2 * 10**8, 3 * 10**8 + 1), wish)
        self.assertEqual(len(made.coins), 2)
        self.assertEqual((made.paid[0], made.change), (10**8, 0))
        self.assertIn(made.paid[1] - made.paid[2], (0, 1))
        self.assertEqual(sum(made.paid) + made.fee, 5 * 10**8 + 1)
        self.assertEqual(made.fee, least_fee(made))

    def test_named_coins_and_no_others(self) -> None:
        coins = wallet(2 * 10**8, 3 * 10**8)
        made = planned(coins, Wish((Payee(LOCK, None),), inputs=(coins[0],)))
        self.assertEqual(made.coins, (coins[0],))

    def test_too_little_for_everybody(self) -> None:
        for wish in (
            Wish((Payee(LOCK, None),)),
            Wish((Payee(LOCK, 3 * 10**8), Payee(LOCK, None))),
        ):
            with self.assertRaises(InsufficientFunds):
                planned(wallet(LEAST_FEE + DUST - 1), wish)
        self.assertEqual(planned(wallet(LEAST_FEE + DUST), Wish((Payee(LOCK, None),))).paid, (DUST,))

    def test_more_coins_than_fit_is_a_rule_of_its_own(self) -> None:
        with self.assertRaises(InvalidTransaction) as caught:
            planned(wallet(*[10**8] * 257), Wish((Payee(LOCK, None),)))
        self.assertEqual(caught.exception.rule, "inputs-count")
        self.assertEqual(len(planned(wallet(*[10**8] * 256), Wish((Payee(LOCK, None),))).coins), 256)


class Named(SynchronousTestCase):
    def test_named_coins_alone_must_reach(self) -> None:
        coins = wallet(10**8, 5 * 10**8)
        wish = Wish.to(LOCK, 2 * 10**8)
        alone = Wish(wish.payees, inputs=(coins[0],), more=False)
        with self.assertRaises(InsufficientFunds) as caught:
            planned(coins, alone)
        self.assertEqual((caught.exception.funds.free, caught.exception.funds.coins), (10**8, 1))

    def test_with_more_the_rest_is_chosen(self) -> None:
        coins = wallet(10**8, 12 * 10**7, 9 * 10**8)
        wish = Wish(Wish.to(LOCK, 2 * 10**8).payees, inputs=(coins[0],))
        free = {coin.outpoint for coin in coins[1:]}
        made = planned(coins, wish, is_free=lambda coin: coin.outpoint in free)
        self.assertEqual(made.coins, (coins[0], coins[1]))

    def test_named_coins_that_reach_are_enough(self) -> None:
        coins = wallet(5 * 10**8, 10**8)
        made = planned(coins, Wish(Wish.to(LOCK, 10**8).payees, inputs=(coins[0],), more=True))
        self.assertEqual(made.coins, (coins[0],))

    def test_named_coins_leave_room_for_no_more_than_a_transaction_holds(self) -> None:
        most = REGTEST.max_inputs
        coins = wallet(*[10**8] * most, 10**12)
        for named, enough in ((most, False), (most - 1, True)):
            inputs = tuple(coins[:named])
            taken = {coin.outpoint for coin in inputs}
            wish = Wish(Wish.to(LOCK, most * 10**8).payees, inputs=inputs)
            free = {"is_free": lambda coin, taken=taken: coin.outpoint not in taken}
            if enough:
                self.assertEqual(len(planned(coins, wish, **free).coins), most)
            else:
                self.assertRaises(InsufficientFunds, planned, coins, wish, **free)

    def test_all_named_coins_are_spent_even_if_one_would_do(self) -> None:
        coins = wallet(5 * 10**8, 9 * 10**8)
        made = planned(coins, Wish(Wish.to(LOCK, 10**8).payees, inputs=tuple(coins), more=False))
        self.assertEqual(made.coins, tuple(coins))
        self.assertEqual(made.fee, least_fee(made))

"""Amounts: integers only, every sum in range, text exact."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import InvalidTransaction
from timed.params import MAX_MONEY, UNITS_PER_TIME
from timed.primitives.amounts import InvalidAmount, checked_sum, format_amount, parse_amount

units = st.integers(0, MAX_MONEY)


class Sums(SynchronousTestCase):
    """Rule [1]: every sum is range-checked."""

    @settings(deadline=None, max_examples=100)
    @given(st.lists(units, max_size=6))
    def test_sum_is_exact_or_refused(self, amounts: list[int]) -> None:
        """[1] The exact sum, or "amount-range" above the most there can be."""
        if sum(amounts) <= MAX_MONEY:
            self.assertEqual(checked_sum(iter(amounts)), sum(amounts))
        else:
            self.assertRaises(InvalidTransaction, checked_sum, amounts)

    def test_no_amount_makes_up_for_another(self) -> None:
        """[1] A negative amount is refused even where the sum would be in range."""
        for amounts in ([-1], [5, -5], [MAX_MONEY, 1], [MAX_MONEY, 1, -1], [1 << 64]):
            with self.assertRaises(InvalidTransaction) as caught:
                checked_sum(amounts)
            self.assertEqual(caught.exception.rule, "amount-range")
        self.assertEqual((checked_sum([]), checked_sum([MAX_MONEY])), (0, MAX_MONEY))


class Text(SynchronousTestCase):
    """Eight decimals, exactly."""

    @settings(deadline=None, max_examples=200)
    @given(units)
    def test_text_and_units_agree(self, amount: int) -> None:
        """Formatting then parsing gives the same units, as text and as Decimal."""
        text = format_amount(amount)
        self.assertEqual(parse_amount(text), amount)
        self.assertEqual(parse_amount(Decimal(text)), amount)

    def test_examples(self) -> None:
        """One TIME has 100,000,000 units; JSON's whole numbers are TIME."""
        for text, amount in (("1.5", 150_000_000), ("0", 0), ("0.00000001", 1), ("21000000", 21 * 10**14)):
            self.assertEqual(parse_amount(text), amount)
        self.assertEqual(parse_amount(3), 3 * UNITS_PER_TIME)
        self.assertEqual(parse_amount(Decimal("1E+2")), 100 * UNITS_PER_TIME)
        self.assertEqual(format_amount(1), "0.00000001")
        self.assertEqual(format_amount(-150_000_000), "-1.50000000")
        self.assertEqual(format_amount(MAX_MONEY), "92233720368.54775807")

    def assert_refused(self, rule: str, *amounts: object) -> None:
        """Each is refused with `rule`."""
        for amount in amounts:
            with self.assertRaises(InvalidAmount, msg=repr(amount)) as caught:
                parse_amount(amount)  # type: ignore[arg-type]
            self.assertEqual(caught.exception.rule, rule, repr(amount))
            self.assertIsInstance(caught.exception, ValueError)

    def test_not_an_amount(self) -> None:
        """Signs, exponents, spaces, foreign digits, floats, booleans, NaN."""
        self.assert_refused(
            "amount-format", "", ".", "1.", ".5", "-1", "+1", "1e8", " 1", "1 ", "1,5", "0x10", "NaN", "1_000",
            "\u0661", "1.\u0665", "9" * 40, 1.5, True, None, b"1", Decimal("NaN"), Decimal("Infinity"),
        )  # fmt: skip

    def test_finer_than_a_unit(self) -> None:
        """A ninth decimal is refused, never rounded."""
        self.assert_refused("amount-precision", "0.000000001", "1.123456789", Decimal("0.000000005"))
        self.assert_refused("amount-precision", "1.000000000000000000000000000001", Decimal("1E-999999"))
        self.assertEqual(parse_amount("1.500000000"), 150_000_000)
        self.assertEqual(parse_amount(Decimal("0E-999999")), 0)

    def test_out_of_range(self) -> None:
        """Below zero and above the most there can be."""
        self.assert_refused(
            "amount-range", -1, Decimal("-0.1"), "92233720368.54775808", 10**11, Decimal("1E+30")
        )

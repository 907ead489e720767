"""Amounts: integers of units, and their one text form with eight decimals (protocol §1)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from timed.errors import InvalidTransaction, RemoteError
from timed.params import MAX_MONEY, UNITS_PER_TIME

DECIMALS = 8
MAX_AMOUNT_TEXT = 32
"""Longer texts are not looked at: the largest amount takes twenty characters."""


class InvalidAmount(RemoteError, ValueError):
    """Text or a number that is no amount: "amount-format", "amount-precision", "amount-range"."""


def checked_sum(amounts: Iterable[int]) -> int:
    """The sum; InvalidTransaction("amount-range") unless every partial sum is in 0..MAX_MONEY."""
    total = 0
    for amount in amounts:
        total += amount
        if amount < 0 or total > MAX_MONEY:
            raise InvalidTransaction("amount-range", str(amount))
    return total


def parse_amount(amount: str | int | Decimal) -> int:
    """Units of an amount in TIME, exactly; InvalidAmount when it has no exact value in range.

    Takes what a JSON number with eight decimals is read as: a Decimal, an int (whole
    TIME) or its text. Exponents, signs and floats are refused.
    """
    if isinstance(amount, bool) or not isinstance(amount, (str, int, Decimal)):
        raise InvalidAmount("amount-format", type(amount).__name__)
    if isinstance(amount, str):
        whole, point, rest = amount.partition(".")
        plain = whole.isdigit() and (rest.isdigit() if point else not rest)
        if not plain or not amount.isascii() or len(amount) > MAX_AMOUNT_TEXT:
            raise InvalidAmount("amount-format", f"{amount:.40}")
    try:
        exact = Decimal(amount)
    except InvalidOperation:
        raise InvalidAmount("amount-format", f"{amount!s:.40}") from None
    if not exact.is_finite():
        raise InvalidAmount("amount-format", str(exact))
    if not 0 <= exact <= Decimal(MAX_MONEY) / UNITS_PER_TIME:
        raise InvalidAmount("amount-range", f"{exact!s:.40}")
    return _units(exact)


def _units(exact: Decimal) -> int:
    """Units of a finite amount in range, in integers: Decimal's own arithmetic rounds to 28 digits."""
    _, digits, exponent = exact.as_tuple()
    number, shift = int("".join(map(str, digits))), int(exponent) + DECIMALS
    if number == 0:
        return 0
    if -shift > len(digits):
        raise InvalidAmount("amount-precision", f"{exact!s:.40}")
    units, rest = divmod(number * 10 ** max(0, shift), 10 ** max(0, -shift))
    if rest:
        raise InvalidAmount("amount-precision", f"{exact!s:.40}")
    return int(units)


def format_amount(units: int) -> str:
    """The amount in TIME with eight decimals; a minus sign for negative balances' changes."""
    whole, rest = divmod(abs(units), UNITS_PER_TIME)
    return f"{'-' if units < 0 else ''}{whole}.{rest:0{DECIMALS}d}"

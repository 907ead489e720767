"""JSON in and out: exact numbers, bounded input, one error type.

Amounts never pass through a float: numbers with a point or an exponent are read
as `Decimal`, and an amount is written from integer units with eight decimals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from timed.primitives.amounts import format_amount
from timed.rpc.errors import INVALID_REQUEST, PARSE_ERROR, RpcError

MAX_BODY_BYTES = 4 * 1024 * 1024
"""A request body; enough for 16 of the largest transactions in one batch."""
MAX_DEPTH = 32
"""Arrays and objects inside each other."""
MAX_DIGITS = 64
"""Digits of one number; no amount or height needs a third of it."""

_encoder = msgspec.json.Encoder()


def amount(units: int) -> msgspec.Raw:
    """A JSON number with eight decimals for `units`."""
    return msgspec.Raw(format_amount(units).encode("ascii"))


def encode(value: Any) -> bytes:
    """The JSON text of a result; amounts must already be `amount()` values."""
    return _encoder.encode(value)


def decode(body: bytes) -> Any:
    """The one value in `body`; RpcError with -32700, or -32600 for a repeated key or an endless number."""
    try:
        text = body.decode("utf-8")
        value = _decoder.decode(text)
        if "\\u" in text:
            _refuse_surrogates(value)
    except RpcError:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise _parse_error(str(error)) from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def is_id(value: Any) -> bool:
    """Whether a JSON value may be the id of a request: a string, a number or null."""
    return not isinstance(value, bool | list | dict)


def echo(identifier: Any) -> Any:
    """An id as it goes back: one with a fraction as the number it was."""
    return msgspec.Raw(str(identifier).encode()) if isinstance(identifier, Decimal) else identifier


def _parse_error(detail: str) -> RpcError:
    return RpcError(
        PARSE_ERROR,
        f"Parse error: {detail[:200]}",
        rule="json-parse",
        hint="Send one JSON object or array in UTF-8.",
    )


def _too_deep() -> RpcError:
    return RpcError(
        PARSE_ERROR,
        f"Parse error: more than {MAX_DEPTH} arrays and objects inside each other",
        rule="json-depth",
        hint="No method takes arguments nested that deep.",
    )


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for holder in level for item in _items(holder) if isinstance(item, dict | list)]
        if not level:
            return
    raise _too_deep()


def _items(holder: Any) -> Iterable[Any]:
    if isinstance(holder, dict):
        return holder.values()
    return holder if isinstance(holder, list) else ()


def _refuse_surrogates(value: Any) -> None:
    """An unpaired surrogate has no UTF-8 form: UnicodeEncodeError, a ValueError."""
    json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise RpcError(
            INVALID_REQUEST,
            "Invalid Request: an object names the same key twice",
            rule="json-duplicate-key",
            hint="Give every key once.",
        )
    return made


def _integer(text: str) -> int:
    _check_digits(text)
    return int(text)


def _check_digits(text: str) -> None:
    """Such a number is JSON; it only means nothing here."""
    if len(text) > MAX_DIGITS:
        raise RpcError(
            INVALID_REQUEST,
            f"Invalid Request: a number has more than {MAX_DIGITS} digits",
            rule="json-number",
            hint="No amount, height or time needs a third of it.",
        )


def _fraction(text: str) -> Decimal:
    _check_digits(text)
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number has an exponent beyond any number") from None


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_decoder = json.JSONDecoder(
    parse_float=_fraction, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_object
)

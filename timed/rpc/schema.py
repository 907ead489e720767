"""Types of parameters: what a caller may send and what a handler receives.

A type turns a decoded JSON value into the Python value a method works with, or
refuses it: -3 for a value of the wrong JSON type, -8 for one that is malformed
or out of range. `from_text` is the same for a word of a command line, which imports
this module whenever it starts: plain classes, and what only a node needs is imported late.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, ClassVar

from timed.rpc.errors import INVALID_PARAMETER, TYPE_ERROR, RpcError
from timed.rpc.moment import MAX_TIME, Moment, parse_moment

_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_MAX_DIGITS = 28
"""What decimal arithmetic keeps exactly; no amount has more than twenty."""
_AMOUNT_PROBLEMS = {
    "amount-format": "is not an amount",
    "amount-range": "is out of range",
    "amount-precision": "has more than eight decimals",
}


def wrong_type(name: str, expected: str, value: Any) -> RpcError:
    """-3: the JSON type is not the declared one."""
    return RpcError(
        TYPE_ERROR,
        f"Parameter {name!r} must be {expected}, not {_kind(value)}",
        rule="param-type",
        hint=f"Give {expected} for {name!r}.",
        param=name,
    )


def bad_value(name: str, problem: str, hint: str) -> RpcError:
    """-8: the right type, but not a value this parameter can have."""
    return RpcError(
        INVALID_PARAMETER, f"Parameter {name!r} {problem}", rule="param-value", hint=hint, param=name
    )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | Decimal):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


class ParamType:
    """One kind of parameter; `label` names it in help texts."""

    label: ClassVar[str] = "value"

    def convert(self, name: str, value: Any) -> Any:
        """The Python value, or RpcError naming `name`."""
        raise NotImplementedError

    def from_text(self, text: str) -> Any:
        """The JSON value a command line's word stands for; ValueError if none."""
        return json.loads(text, parse_float=str)


class Text(ParamType):
    """A string of at most `maximum` characters."""

    label: ClassVar[str] = "string"

    def __init__(self, maximum: int = 256) -> None:
        self.maximum = maximum

    def convert(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise wrong_type(name, "a string", value)
        if len(value) > self.maximum:
            raise bad_value(name, f"has more than {self.maximum} characters", "Give a shorter one.")
        return value

    def from_text(self, text: str) -> Any:
        return text


class Word(ParamType):
    """One of a few words."""

    label: ClassVar[str] = "string"

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        self.words = words

    def convert(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise wrong_type(name, "a string", value)
        if value not in self.words:
            raise bad_value(name, "is not a known word", f"Use one of: {', '.join(self.words)}.")
        return value

    def from_text(self, text: str) -> Any:
        return text


class Integer(ParamType):
    """A whole number between two bounds, both included."""

    label: ClassVar[str] = "integer"

    def __init__(self, minimum: int = 0, maximum: int = 2**63 - 1) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def convert(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "an integer", value)
        if not self.minimum <= value <= self.maximum:
            raise bad_value(name, "is out of range", f"It lies between {self.minimum} and {self.maximum}.")
        return value


class Boolean(ParamType):
    """true or false."""

    label: ClassVar[str] = "boolean"

    def convert(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong_type(name, "true or false", value)
        return value


class Verbosity(Integer):
    """An integer in which false and true mean 0 and 1, as in Bitcoin."""

    label: ClassVar[str] = "integer or boolean"

    def convert(self, name: str, value: Any) -> int:
        return int(value) if isinstance(value, bool) else super().convert(name, value)


class Seconds(ParamType):
    """A time span in seconds, fractions allowed, as microseconds."""

    label: ClassVar[str] = "seconds"

    def __init__(self, maximum: int = 600) -> None:
        self.maximum = maximum

    def convert(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise wrong_type(name, "a number of seconds", value)
        if not 0 <= value <= self.maximum:
            raise bad_value(name, "is out of range", f"It lies between 0 and {self.maximum} seconds.")
        return int(value * 1_000_000)

    def from_text(self, text: str) -> Any:
        return json.loads(text)


class Hex(ParamType):
    """Bytes written in hexadecimal, of one exact size or up to a maximum."""

    label: ClassVar[str] = "hex"

    def __init__(self, size: int | None = None, maximum: int = 4 * 1024 * 1024) -> None:
        self.size = size
        self.maximum = maximum

    def convert(self, name: str, value: Any) -> bytes:
        if not isinstance(value, str):
            raise wrong_type(name, "a string of hexadecimal digits", value)
        if self.size is not None and len(value) != 2 * self.size:
            problem = f"must have {2 * self.size} hexadecimal digits, not {len(value)}"
            raise bad_value(name, problem, f"Give {self.size} bytes in hexadecimal.")
        if len(value) > 2 * self.maximum:
            raise bad_value(name, f"is longer than {self.maximum} bytes", "Give a shorter one.")
        if len(value) % 2 or not _HEX_DIGITS.issuperset(value):
            raise bad_value(name, "is not hexadecimal", "Use pairs of the digits 0 to 9 and a to f.")
        return bytes.fromhex(value)

    def from_text(self, text: str) -> Any:
        return text


class Time(ParamType):
    """Unix seconds (integer) or a date of ISO 8601 (string), as unix seconds."""

    label: ClassVar[str] = "time"

    def convert(self, name: str, value: Any) -> int:
        if isinstance(value, str):
            return _moment(name, value).time
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "unix seconds or a date", value)
        return Integer(0, MAX_TIME - 1).convert(name, value)

    def from_text(self, text: str) -> Any:
        return int(text) if text.isdecimal() and len(text) < 20 else text


def _moment(name: str, text: str) -> Moment:
    try:
        return Moment(parse_moment(text))
    except ValueError:
        raise bad_value(
            name, "is not a date", "Write it like 2026-11-26, 2026-11-26T08:00:00Z or @1790000000."
        ) from None


class BlockName(ParamType):
    """A block's height (integer), its hash (64 hexadecimal digits), or a date: the last block until then."""

    label: ClassVar[str] = "height, hash or date"

    def convert(self, name: str, value: Any) -> int | bytes | Moment:
        if isinstance(value, str):
            is_date = value.startswith("@") or "-" in value
            return _moment(name, value) if is_date else Hex(size=32).convert(name, value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "a height or a block hash", value)
        return Integer().convert(name, value)

    def from_text(self, text: str) -> Any:
        return int(text) if text.isdecimal() and len(text) < 20 else text


class SessionName(ParamType):
    """A session's number (integer) or the node id behind it (64 hexadecimal digits)."""

    label: ClassVar[str] = "id or node id"

    def convert(self, name: str, value: Any) -> int | bytes:
        if isinstance(value, str):
            return Hex(size=32).convert(name, value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "a session's id or a node id", value)
        return Integer().convert(name, value)

    def from_text(self, text: str) -> Any:
        return int(text) if text.isdecimal() and len(text) < 20 else text


class Amount(ParamType):
    """An amount in TIME, number or string with at most eight decimals, as integer units."""

    label: ClassVar[str] = "amount"

    def __init__(self, minimum: int = 1) -> None:
        self.minimum = minimum

    def convert(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            raise wrong_type(name, "an amount", value)
        units = _units(name, value)
        if units < self.minimum:
            raise bad_value(name, "is too small", f"It is at least {self.minimum} units of 0.00000001 TIME.")
        return units

    def from_text(self, text: str) -> Any:
        return text


def _units(name: str, value: int | str | Decimal) -> int:
    if isinstance(value, Decimal) and len(value.as_tuple().digits) > _MAX_DIGITS:
        raise bad_value(name, "has more than eight decimals", "Write it like 12.5 or 0.00000001.")
    from timed.primitives.amounts import InvalidAmount, parse_amount

    try:
        return parse_amount(value)
    except InvalidAmount as error:
        raise bad_value(name, _AMOUNT_PROBLEMS[error.rule], "Write it like 12.5 or 0.00000001.") from None


class Array(ParamType):
    """A list of at most `maximum` items of one type."""

    label: ClassVar[str] = "array"

    def __init__(self, item: ParamType | None = None, maximum: int = 1_000) -> None:
        self.item: ParamType = Text() if item is None else item
        self.maximum = maximum

    def convert(self, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise wrong_type(name, "an array", value)
        if len(value) > self.maximum:
            raise bad_value(name, f"has more than {self.maximum} items", "Split it into several calls.")
        return tuple(self.item.convert(f"{name}[{index}]", item) for index, item in enumerate(value))


class Record(ParamType):
    """An object with exactly these members; `optional` ones may be left out."""

    label: ClassVar[str] = "object"

    def __init__(
        self,
        members: tuple[tuple[str, ParamType], ...] = (),
        optional: tuple[tuple[str, ParamType], ...] = (),
    ) -> None:
        self.members = members
        self.optional = optional

    def convert(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(name, "an object", value)
        known = dict(self.members + self.optional)
        for key in value:
            if key not in known:
                raise bad_value(name, f"has an unknown member {key[:64]!r}", f"Known: {', '.join(known)}.")
        for key, _ in self.members:
            if key not in value:
                raise bad_value(
                    name, f"lacks the member {key!r}", f"Needed: {', '.join(dict(self.members))}."
                )
        return {key: known[key].convert(f"{name}.{key}", item) for key, item in value.items()}


class Mapping(ParamType):
    """An object from free keys to values of one type; pairs in their order."""

    label: ClassVar[str] = "object"

    def __init__(self, item: ParamType | None = None, maximum: int = 256) -> None:
        self.item: ParamType = Amount() if item is None else item
        self.maximum = maximum

    def convert(self, name: str, value: Any) -> tuple[tuple[str, Any], ...]:
        if not isinstance(value, dict):
            raise wrong_type(name, "an object", value)
        if len(value) > self.maximum:
            raise bad_value(name, f"has more than {self.maximum} members", "Split it into several calls.")
        return tuple((key, self.item.convert(f"{name}.{key[:64]}", item)) for key, item in value.items())

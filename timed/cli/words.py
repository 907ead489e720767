"""From the words of a command line to a call, by the table of methods."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import attrs

from timed.rpc.method import Method
from timed.rpc.table import METHODS


class UsageError(Exception):
    """The command line cannot be understood; the text says why."""


@attrs.define
class Options:
    """What stands before the method's name."""

    datadir: str = ""
    network: str = "testnet"
    rpcport: int = 0
    rpc_url: str = ""
    config: str = ""
    node_id: int = 0
    timeout: float = 60.0
    named: bool = False
    help: bool = False
    version: bool = False


_FLAGS = ("named", "help", "version")
_SHORT = {"h": "help", "r": "rpc_url", "rpcurl": "rpc_url"}


def split(words: Sequence[str]) -> tuple[Options, list[str]]:
    """The options, and the method with its arguments; UsageError for an unknown option."""
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        word, equals, value = rest.pop(0).lstrip("-").partition("=")
        name = _SHORT.get(word, word.replace("-", "_"))
        if name in _FLAGS and not equals:
            setattr(options, name, True)
            continue
        if name not in {field.name for field in attrs.fields(Options)} or name in _FLAGS:
            raise UsageError(f"there is no option {word!r}")
        if not equals:
            if not rest:
                raise UsageError(f"the option {word!r} needs a value")
            value = rest.pop(0)
        setattr(options, name, _option(name, value))
    return options, rest[1:] if rest[:1] == ["--"] else rest


def _option(name: str, text: str) -> Any:
    kind = type(getattr(Options(), name))
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"the option {name.replace('_', '-')!r} is not a number: {text!r}") from None


def method_name(word: str) -> str:
    """`getblockcount` and `get-block-count` are the same method."""
    return word.replace("-", "").lower()


def arguments(name: str, words: Sequence[str], named: bool) -> list[Any] | dict[str, Any]:
    """JSON values for the words after the method; UsageError when one does not fit its parameter."""
    method = METHODS.get(name)
    if method is None:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; timed-cli help lists them"
        raise UsageError(f"there is no method {name!r}{hint}")
    if named:
        return _by_name(method, words)
    if len(words) > len(method.params):
        raise UsageError(f"too many arguments: {method.usage}")
    values = [_value(param.name, param.type, word) for param, word in zip(method.params, words, strict=False)]
    missing = [param.name for param in method.params[len(values) :] if param.required]
    if missing:
        raise UsageError(f"the argument {missing[0]!r} is missing: {method.usage}")
    return values


def _by_name(method: Method, words: Sequence[str]) -> dict[str, Any]:
    types = {param.name: param.type for param in method.params}
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in types:
            raise UsageError(f"{word!r} is not name=value with a name of: {method.usage}")
        values[name] = _value(name, types[name], text)
    missing = [param.name for param in method.params if param.required and param.name not in values]
    if missing:
        raise UsageError(f"the argument {missing[0]!r} is missing: {method.usage}")
    return values


def _value(name: str, kind: Any, text: str) -> Any:
    try:
        return kind.from_text(text)
    except (ValueError, RecursionError):
        raise UsageError(f"the argument {name!r} is not {kind.label}: {text!r}") from None


def shown(value: Any, indent: str = "") -> str:
    """A result for people: a bare string, or JSON with the numbers as the node wrote them."""
    if isinstance(value, Decimal):
        return format(value, "f")
    inner = indent + "  "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(key)}: {shown(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + shown(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)

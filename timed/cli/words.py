"""From the words of a command line to a call, by the table of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from timed.cli.options import OPTIONS, UsageError
from timed.rpc.method import Method, Param
from timed.rpc.schema import Boolean, Integer, Verbosity, Word
from timed.rpc.table import METHODS

INPUT = "-"
"""An argument that is read from standard input, whole."""

ReadSecret = Callable[[Param], str]
"""Asks for one secret; an empty text leaves an optional one out."""


def method_name(word: str) -> str:
    """`getblockcount` and `get-block-count` are the same method."""
    return word.replace("-", "").lower()


def method(name: str) -> Method:
    """The row of the table; UsageError with the nearest names when there is none."""
    found = METHODS.get(name)
    if found is None:
        # Not before it is needed: the command line starts without it.
        from timed.rpc.absent import ABSENT

        absent = ABSENT.get(name)
        if absent is not None:
            raise UsageError(f"there is no method {name!r}. {absent.reason} {absent.instead}")
        near = nearest(name, METHODS)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; timed-cli help lists them"
        raise UsageError(f"there is no method {name!r}{hint}")
    return found


def nearest(word: str, names: Sequence[str] | dict[str, Any]) -> list[str]:
    """At most three names that look like a word, or hold it."""
    from difflib import get_close_matches

    near = get_close_matches(word, names, n=3, cutoff=0.7)
    return near or sorted(name for name in names if len(word) > 3 and word in name)[:3]


def arguments(
    name: str,
    words: Sequence[str],
    named: bool,
    secret: ReadSecret | None = None,
    read_input: Callable[[], str] | None = None,
) -> list[Any] | dict[str, Any]:
    """JSON values for the words after the method; UsageError names the one that does not fit.

    With `secret`, the parameters that are secret are asked from it instead of taken from
    the words. A word `-` is what `read_input` gives.
    """
    row = method(name)
    if named:
        return _by_name(row, words, secret, read_input)
    open_params = [param for param in row.params if secret is None or not param.secret]
    if len(words) > len(open_params):
        raise UsageError(f"too many arguments{_misplaced(words)}{_usage(row)}")
    given = {
        param.name: _value(row, param, _text(word, read_input))
        for param, word in zip(open_params, words, strict=False)
    }
    _ask(row, given, secret)
    values = []
    for param in row.params:
        if param.name in given:
            values.append(given[param.name])
        elif param.required:
            raise UsageError(f"the argument {param.name!r} is missing{_usage(row)}")
        else:
            values.append(None)
    while values and values[-1] is None:
        values.pop()
    return values


def _by_name(
    row: Method, words: Sequence[str], secret: ReadSecret | None, read_input: Callable[[], str] | None
) -> dict[str, Any]:
    params = {param.name: param for param in row.params}
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is not name=value{_usage(row)}")
        if name not in params:
            near = nearest(name, params)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"there is no argument {name!r}{hint}{_usage(row)}")
        if name in values:
            raise UsageError(f"the argument {name!r} is given twice{_usage(row)}")
        values[name] = _value(row, params[name], _text(text, read_input))
    _ask(row, values, secret)
    missing = [param.name for param in row.params if param.required and param.name not in values]
    if missing:
        raise UsageError(f"the argument {missing[0]!r} is missing{_usage(row)}")
    return values


def on_the_line(name: str, words: Sequence[str], named: bool) -> list[str]:
    """The secret parameters that stand among the words after the method, where everybody can read them."""
    params = method(name).params
    given = (
        {word.partition("=")[0] for word in words}
        if named
        else {param.name for param, word in zip(params, words, strict=False) if word != INPUT}
    )
    return [param.name for param in params if param.secret and param.name in given]


def _ask(row: Method, given: dict[str, Any], secret: ReadSecret | None) -> None:
    if secret is None:
        return
    for param in row.params:
        if param.secret and param.name not in given:
            text = secret(param)
            if text:
                given[param.name] = _value(row, param, text)


def _text(word: str, read_input: Callable[[], str] | None) -> str:
    return read_input() if word == INPUT and read_input is not None else word


def _value(row: Method, param: Param, text: str) -> Any:
    """The JSON value; whether it is in range is for the node to say, which knows it best."""
    kind = param.type
    try:
        value = kind.from_text(text)
        fits = _fits(kind, value)
    except (ValueError, RecursionError):
        fits = False
    if fits:
        return value
    shown = "the one given" if param.secret else repr(text[:80])
    expected = f"one of {', '.join(kind.words)}" if isinstance(kind, Word) else f"of type {kind.label}"
    raise UsageError(f"the argument {param.name!r} is not {expected}: {shown}{_usage(row)}")


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(kind, Word):
        return value in kind.words
    if isinstance(kind, Boolean):
        return isinstance(value, bool)
    if isinstance(kind, Integer):
        return isinstance(value, int) and (isinstance(kind, Verbosity) or not isinstance(value, bool))
    return True


def _misplaced(words: Sequence[str]) -> str:
    """Options after the method are its arguments, which nobody expects who writes them there."""
    for word in words:
        if word.startswith("--") and word.lstrip("-").partition("=")[0].replace("-", "_") in OPTIONS:
            return f" (options like {word} stand before the method)"
    return ""


def _usage(row: Method) -> str:
    return f"\nusage: timed-cli {row.usage}"

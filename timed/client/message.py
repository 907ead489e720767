"""Requests and responses as text; amounts stay exact."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from timed.client.errors import BadResponse, failure

Params = Sequence[Any] | Mapping[str, Any]
Call = tuple[str, Params]


def request(identifier: int, method: str, params: Params) -> dict[str, Any]:
    """One JSON-RPC 2.0 request."""
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}


def dump(value: Any) -> bytes:
    """JSON; a Decimal goes as a string, which the node reads exactly."""
    return json.dumps(value, default=_plain).encode("ascii")


def exact(value: Any, indent: int | None = 2, level: int = 0) -> str:
    """JSON in which a Decimal is a number with the digits it has; `indent` None gives one line."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str):
        return _quoted(value)
    if not value or not isinstance(value, dict | list):
        return json.dumps(value)
    level += 1
    if isinstance(value, dict):
        colon = ":" if indent is None else ": "
        items = [f"{_quoted(key)}{colon}{exact(item, indent, level)}" for key, item in value.items()]
    else:
        items = [exact(item, indent, level) for item in value]
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if indent is None:
        return start + ",".join(items) + end
    inner, outer = "\n" + " " * (indent * level), "\n" + " " * (indent * (level - 1))
    return start + inner + f",{inner}".join(items) + outer + end


def _quoted(text: str) -> str:
    """A JSON string; what a terminal would obey, or hide, is written as an escape."""
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in quoted)


def authorization(user: str, password: str) -> str:
    """The value of the Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def load(body: bytes) -> Any:
    """A JSON value, numbers with a point as Decimal; BadResponse otherwise."""
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise BadResponse(f"the answer is not JSON: {error!s:.200}") from error


def result(body: bytes) -> Any:
    """The result of a single call; raises what the node answered instead."""
    return _result(load(body))


def results(body: bytes, identifiers: Sequence[int]) -> list[Any]:
    """The results of a batch in the order of its calls; an error stands as an exception object."""
    answers = load(body)
    if not isinstance(answers, list):
        _result(answers)
        raise BadResponse("a batch was answered like one call")
    by_id = {
        answer["id"]: answer
        for answer in answers
        if isinstance(answer, dict) and type(answer.get("id")) is int
    }
    found: list[Any] = []
    for identifier in identifiers:
        answer = by_id.get(identifier)
        if answer is None:
            raise BadResponse(f"call {identifier} of the batch was not answered")
        error = answer.get("error")
        found.append(failure(error) if error is not None else answer.get("result"))
    return found


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise BadResponse(f"not a JSON-RPC response: {answer!r:.200}")
    if answer.get("error") is not None:
        raise failure(answer["error"])
    return answer.get("result")


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no JSON form")

"""Breaks the long lines of generated code the way the project's formatter does."""

from __future__ import annotations

WIDTH = 110
INDENT = "    "

_OPEN, _CLOSE = "([{", ")]}"


def wrapped(line: str) -> list[str]:
    """The line, or the lines it takes within WIDTH columns."""
    if len(line) <= WIDTH:
        return [line]
    body = line.lstrip()
    indent = line[: len(line) - len(body)]
    if body.startswith("for "):
        targets, _, call = body[len("for ") :].partition(" in ")
        names = [f"{indent}{INDENT}{name}," for name in targets.split(", ")]
        return [f"{indent}for (", *names, f"{indent}) in {call}"]
    targets, equals, call = body.partition(" = ")
    if equals and "," in targets:
        return _unpacking(indent, targets, call)
    if " and " in call:
        return _conditions(indent, targets, call)
    return _bracketed(indent, body)


def _conditions(indent: str, target: str, condition: str) -> list[str]:
    """`a = b and c`: the conditions go into brackets, on one line or one each."""
    single = f"{indent}{INDENT}{condition}"
    one, *others = condition.split(" and ")
    each = [f"{indent}{INDENT}{one}", *[f"{indent}{INDENT}and {other}" for other in others]]
    return [f"{indent}{target} = (", *([single] if len(single) <= WIDTH else each), f"{indent})"]


def _unpacking(indent: str, targets: str, call: str) -> list[str]:
    """`a, b, c = call(...)`: the arguments go down, or the call, or the targets one a line."""
    head, _, arguments = call.partition("(")
    if len(indent) + len(f"{targets} = {head}(") <= WIDTH:
        return [f"{indent}{targets} = {head}(", f"{indent}{INDENT}{arguments[:-1]}", f"{indent})"]
    if len(indent) + len(targets) + len(" = (") <= WIDTH:
        return [f"{indent}{targets} = (", f"{indent}{INDENT}{call}", f"{indent})"]
    names = [f"{indent}{INDENT}{name}," for name in targets.split(", ")]
    return [f"{indent}(", *names, f"{indent}) = {call}"]


def _bracketed(indent: str, body: str) -> list[str]:
    """The contents of the bracket that ends the line go down, on one line or one each."""
    tail = len(body) - len(body.rstrip(":,"))
    start = _partner(body, len(body) - 1 - tail)
    head, inner, end = body[: start + 1], body[start + 1 : len(body) - 1 - tail], body[len(body) - 1 - tail :]
    single = f"{indent}{INDENT}{inner}"
    pieces = _split(inner)
    if len(single) <= WIDTH and not (len(pieces) > 1 and head.endswith("((")):
        return [f"{indent}{head}", single, f"{indent}{end}"]
    lines = []
    for piece in pieces:
        comma = "," if len(pieces) > 1 or not inner.startswith("(") else ""
        lines += wrapped(f"{indent}{INDENT}{piece}{comma}")
    return [f"{indent}{head}", *lines, f"{indent}{end}"]


def _partner(body: str, close: int) -> int:
    """The place of the bracket that the one at `close` ends."""
    depth = 0
    for place in range(close, -1, -1):
        if body[place] in _CLOSE:
            depth += 1
        elif body[place] in _OPEN:
            depth -= 1
            if not depth:
                return place
    raise ValueError(f"no bracket opens in {body!r}")


def _split(inner: str) -> list[str]:
    """The parts between the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(inner):
        if character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        elif character == "," and not depth:
            parts.append(inner[start:place].strip())
            start = place + 1
    last = inner[start:].strip()
    return [*parts, last] if last else parts

"""Help texts and docs/rpc.rst, both from the table of methods."""

from __future__ import annotations

from collections.abc import Iterator

from timed.rpc.method import Method, Param
from timed.rpc.table import CATEGORIES, METHODS

_HEAD = """\
.. This file is made by `python -m timed.rpc --docs`; a test compares them.

The methods of the RPC
======================

JSON-RPC 2.0 over HTTP POST to ``/``; see `quickstart <quickstart.rst>`_ for the first call.
Arguments go by position or by name. Amounts are JSON numbers with eight decimals,
or strings; hashes are hexadecimal in the order of their bytes. An error carries
``code``, ``message`` and ``data`` with ``rule`` (a stable name) and ``hint``
(what to do about it).
"""


def overview() -> str:
    """What `help` answers without an argument."""
    parts = []
    for category in CATEGORIES:
        usages = [method.usage for method in _of(category)]
        parts.append("\n".join([f"== {category.capitalize()} ==", *usages]))
    return "\n\n".join(parts)


def page(method: Method) -> str:
    """What `help NAME` answers."""
    lines = [method.usage, "", method.summary]
    if method.params:
        lines += ["", "Arguments:"]
        lines += [
            f"{number}. {param.name} ({_kind(param)}) {param.help}"
            for number, param in enumerate(method.params, 1)
        ]
    lines += ["", f"Result: {method.result}", f"Permission: {method.permission}"]
    lines += ["", "Example:", f"> timed-cli {method.name} {method.example}".rstrip()]
    return "\n".join(lines)


def reference() -> str:
    """The text of docs/rpc.rst."""
    return "\n".join([_HEAD, *(line for category in CATEGORIES for line in _section(category))])


def _section(category: str) -> Iterator[str]:
    title = category.capitalize()
    yield from (title, "-" * len(title), "")
    for method in _of(category):
        yield from (method.name, "~" * len(method.name), "", method.summary, "")
        yield from ("::", "", f"    timed-cli {method.name} {method.example}".rstrip(), "")
        if method.params:
            yield from (
                ".. list-table::",
                "   :header-rows: 1",
                "",
                "   * - argument",
                "     - type",
                "     - meaning",
            )
            for param in method.params:
                yield from (f"   * - ``{param.name}``", f"     - {_kind(param)}", f"     - {param.help}")
            yield ""
        yield from (f":Result: {method.result}", f":Permission: {method.permission}", "")


def _of(category: str) -> list[Method]:
    return [method for method in METHODS.values() if method.category == category]


def _kind(param: Param) -> str:
    if param.required:
        return f"{param.type.label}, required"
    return f"{param.type.label}, optional"

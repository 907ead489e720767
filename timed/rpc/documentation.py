"""Help texts and the pages of docs/rpc that list methods, both from the table of methods."""

from __future__ import annotations

from collections.abc import Iterator

from timed.rpc.absent import ABSENT, MEANINGLESS
from timed.rpc.method import Method, Param
from timed.rpc.table import CATEGORIES, METHODS

_MADE = """\
.. This file is made by `python -m timed.rpc --docs docs/rpc`; a test compares them.
"""

_INDEX = """\
The RPC
=======

A node answers JSON-RPC 2.0 over HTTP POST to ``/``; `quickstart <../quickstart.rst>`__ has a
first call. How requests, numbers and HTTP are read, and every limit, is in `conventions
<conventions.rst>`__; what can go wrong, with codes and rules, in `errors <errors.rst>`__. Every
example here is run by the tests. A program reads the same table with ``timed-cli rpc.discover``,
as an OpenRPC document.

A price is in units of a light lookup, about 0.1 ms of one core.
"""

_ABSENT = """\
What other nodes have
=====================

A call of one of these is answered with -32601, ``data.rule`` is ``method-meaningless`` or
``method-renamed``, and ``data.hint`` says what to use instead.
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
    lines += ["", f"Price: {method.cost}", "", "Example:"]
    lines += [_call(method, example, "> ") for example in method.examples]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The text of every page that is made, by its file's name."""
    made = {f"{category}.rst": "\n".join([_MADE, *_category(category)]) for category in CATEGORIES}
    made["index.rst"] = "\n".join([_MADE, _INDEX, *_contents()])
    made["absent.rst"] = "\n".join([_MADE, _ABSENT, *_absent()])
    return made


def _contents() -> Iterator[str]:
    for category in CATEGORIES:
        title = category.capitalize()
        yield from (title, "-" * len(title), "", f"`All of {category} <{category}.rst>`__", "")
        yield from _table(
            ("method", "what it does", "permission", "price"),
            [
                (
                    f"`{each.name} <{category}.rst#{_anchor(each.name)}>`__",
                    each.summary,
                    each.permission,
                    str(each.cost),
                )
                for each in _of(category)
            ],
        )
    title = "Elsewhere"
    yield from (
        title,
        "-" * len(title),
        "",
        "`What other nodes have <absent.rst>`__ and this one has not, and why.",
        "",
    )


def _absent() -> Iterator[str]:
    meaningless = [(name, each) for name, each in sorted(ABSENT.items()) if each.rule == MEANINGLESS]
    renamed = [(name, each) for name, each in sorted(ABSENT.items()) if each.rule != MEANINGLESS]
    title = "Without meaning here"
    yield from (title, "-" * len(title), "")
    yield from _table(
        ("method", "why", "instead"),
        [(f"``{name}``", each.reason, each.instead) for name, each in meaningless],
    )
    title = "Under another name"
    yield from (title, "-" * len(title), "")
    yield from _table(("method", "here"), [(f"``{name}``", each.instead) for name, each in renamed])


def _category(category: str) -> Iterator[str]:
    title = category.capitalize()
    yield from (title, "=" * len(title), "")
    for method in _of(category):
        yield from (method.name, "-" * len(method.name), "", method.summary, "", "::", "")
        yield from (_call(method, example, "    ") for example in method.examples)
        yield ""
        if method.params:
            yield from _table(
                ("argument", "type", "meaning"),
                [(f"``{each.name}``", _kind(each), each.help) for each in method.params],
            )
        yield from (
            f":Result: {method.result}",
            f":Permission: {method.permission}",
            f":Price: {method.cost}",
            "",
        )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (header, *rows):
        yield f"   * - {row[0]}"
        yield from (f"     - {cell}" for cell in row[1:])
    yield ""


def _anchor(name: str) -> str:
    return name.replace(".", "-")


def _call(method: Method, example: str, before: str) -> str:
    return f"{before}timed-cli {method.name} {example}".rstrip()


def _of(category: str) -> list[Method]:
    return [method for method in METHODS.values() if method.category == category]


def _kind(param: Param) -> str:
    if param.required:
        return f"{param.type.label}, required"
    return f"{param.type.label}, optional"

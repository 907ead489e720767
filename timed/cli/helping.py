"""`timed-cli help`: options, commands and methods, from their tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from timed.cli import status
from timed.cli.commands import COMMANDS
from timed.cli.options import GROUPS, Options
from timed.cli.words import method, method_name
from timed.rpc.documentation import page
from timed.rpc.table import CATEGORIES, METHODS

INTRODUCTION = """\
usage: timed-cli [options] METHOD [arguments]     one call to a running node
       timed-cli [options] -getinfo | -netinfo    the node on one screen
       timed-cli COMMAND [arguments]              what needs no node

An argument `-` is read from standard input. Names may be written with dashes: get-block-count.
`timed-cli help METHOD` explains a method, its arguments and its result."""
WIDTH = 100


def main(words: Sequence[str], options: Options) -> int:
    """`help`, `help METHOD`, `help COMMAND`."""
    del options
    if not words:
        print(overview())
        return status.OK
    name = words[0]
    if name in COMMANDS and name != "help":
        return _command(name)
    print(page(method(method_name(name))))
    return status.OK


def overview() -> str:
    """The whole help text."""
    return "\n".join([INTRODUCTION, *_options(), *_commands(), *_methods(), *_statuses()])


def _options() -> Iterator[str]:
    for title, group in GROUPS.items():
        yield from ("", f"{title}:")
        for option in group:
            spelling = f"{option.spelling} {option.metavar}".rstrip()
            note = f" [${option.environment}]" if option.environment else ""
            yield from _entry(spelling, option.help + note, 22)


def _commands() -> Iterator[str]:
    yield from ("", "Commands:")
    for command in COMMANDS.values():
        yield from _entry(command.name, command.summary, 22)


def _methods() -> Iterator[str]:
    for category in CATEGORIES:
        yield from ("", f"{category.capitalize()} methods:")
        for row in METHODS.values():
            if row.category == category:
                yield from _entry(row.name, row.summary, 30)


def _statuses() -> Iterator[str]:
    yield from ("", "Exit status:")
    for number, meaning in status.MEANINGS.items():
        yield from _entry(str(number), meaning, 3)


def _entry(name: str, text: str, column: int) -> Iterator[str]:
    head = f"  {name:<{column}} "
    first, *more = textwrap.wrap(text, WIDTH - len(head)) or [""]
    yield f"{head}{first}".rstrip()
    for line in more:
        yield " " * len(head) + line


def _command(name: str) -> int:
    from timed.cli.main import run_command

    try:
        return run_command(name, ["--help"], Options())
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else status.OK

"""Secrets that must not stand on a command line, where everybody on the machine reads them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from timed.cli.options import UsageError
from timed.rpc.method import Param

MAX_INPUT = 16 * 1024 * 1024


def ask(param: Param) -> str:
    """One secret argument: a line of standard input, on a terminal typed without being shown."""
    text = line(f"{param.name}{'' if param.required else ' (empty for none)'}: ")
    if not text and param.required:
        raise UsageError(f"the argument {param.name!r} is missing: standard input has no line for it")
    if param.invented and sys.stdin.isatty() and line("the same once more: ") != text:
        raise UsageError(f"the two for {param.name!r} are not the same; nothing was sent")
    return text


def warn_of(names: Sequence[str]) -> None:
    """Tell a person, and no script, that these arguments stood on the command line."""
    if names and sys.stderr.isatty():
        print(
            f"timed-cli: others on this machine, and the shell's history, can read {' and '.join(names)} on the command "
            "line: leave it out and give --stdin",
            file=sys.stderr,
        )


def line(prompt: str) -> str:
    """A line of standard input without its end; empty at the end of it."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(prompt)
    return _read(sys.stdin.readline, MAX_INPUT).rstrip("\r\n")


def password() -> str:
    """The RPC password."""
    return line("RPC password: ")


def everything() -> str:
    """The whole of standard input without the end of its last line."""
    text = _read(sys.stdin.read, MAX_INPUT + 1)
    if len(text) > MAX_INPUT:
        raise UsageError(f"standard input has more than {MAX_INPUT} characters")
    return text.rstrip("\r\n")


def _read(read: Callable[[int], str], most: int) -> str:
    try:
        return read(most)
    except UnicodeDecodeError as error:
        raise UsageError(f"what comes from standard input is no text: {error.reason}") from None

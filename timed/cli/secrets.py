"""Secrets that must not stand on a command line, where everybody on the machine reads them."""

from __future__ import annotations

import sys

from timed.cli.options import UsageError
from timed.rpc.method import Param

MAX_INPUT = 16 * 1024 * 1024


def ask(param: Param) -> str:
    """One secret argument: a line of standard input, on a terminal typed without being shown."""
    text = line(f"{param.name}{'' if param.required else ' (empty for none)'}: ")
    if not text and param.required:
        raise UsageError(f"the argument {param.name!r} is missing: standard input has no line for it")
    return text


def line(prompt: str) -> str:
    """A line of standard input without its end; empty at the end of it."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(prompt)
    return sys.stdin.readline(MAX_INPUT).rstrip("\r\n")


def password() -> str:
    """The RPC password."""
    return line("RPC password: ")


def everything() -> str:
    """The whole of standard input without the end of its last line."""
    text = sys.stdin.read(MAX_INPUT + 1)
    if len(text) > MAX_INPUT:
        raise UsageError(f"standard input has more than {MAX_INPUT} characters")
    return text.rstrip("\r\n")

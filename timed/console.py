"""What the console scripts share: whoever reads their output may stop, as `head` does."""

from __future__ import annotations

import functools
import os
import select
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def console_script(main: Callable[P, T]) -> Callable[P, T]:
    """`main`, that ends in silence once nobody reads what it writes: with its own status, or 0 when it is stopped by that."""

    @functools.wraps(main)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        if sys.stdout is None:
            # It was closed by whoever started this: what is written there is lost, as of other programs.
            sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
        try:
            return main(*arguments, **named)
        except BrokenPipeError:
            if not nobody_reads():
                raise
            write_nowhere()
            raise SystemExit(0) from None
        finally:
            _flush()

    return run


def nobody_reads() -> bool:
    """True when standard output is a pipe whose other end is closed."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        # No file of the system: nothing that could be closed at another end.
        return False
    return any(found & select.POLLERR for _, found in poll.poll(0))


def _flush() -> None:
    """At once, and not at the interpreter's end, where an error cannot be caught any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        write_nowhere()


def write_nowhere() -> None:
    """What is written to standard output from now on is lost, without an error."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)

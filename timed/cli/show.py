"""Results on standard output, once or again and again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from timed.cli.options import Options
from timed.client.message import exact
from timed.console import write_nowhere

CLEAR = "\x1b[H\x1b[2J"
"""Only a terminal is sent this."""


def text_of(method: str, value: Any, options: Options, width: int | None) -> str:
    """A result in the display that was chosen; empty for a result that is nothing."""
    if options.human:
        from timed.cli.human import human

        return "" if value is None else human(method, value, width)
    if value is None:
        return ""
    if isinstance(value, str) and not options.json and not options.compact:
        return value
    return exact(value, None if options.compact else 2)


def terminal_width() -> int | None:
    """Columns of the terminal; None when standard output is something else."""
    if not sys.stdout.isatty():
        return None
    try:
        return max(20, os.get_terminal_size(sys.stdout.fileno()).columns)
    except OSError:
        return None


def write(text: str) -> bool:
    """Write a result; False when the reader has seen enough, as `head` has, which is no failure."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        write_nowhere()
        return False
    return True


def watch(
    once: Callable[[], tuple[str, int]], every_s: float, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Show `once()` again and again until Ctrl-C, or until nobody reads; the status of the last time.

    A terminal is cleared each time; in a pipe one result follows the other.
    """
    status = 0
    try:
        while True:
            text, status = once()
            if sys.stdout.isatty():
                text = f"{CLEAR}{time.strftime('%H:%M:%S')}  every {every_s:g} s, Ctrl-C ends\n\n{text}"
            if not write(text):
                return status
            sleep(every_s)
    except KeyboardInterrupt:
        return status

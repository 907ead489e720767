"""One frame, or one after the other until `q`."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live

from timed.top.frame import SORTS, State, frame
from timed.top.main import WIDTH
from timed.top.source import Source, Unreachable

QUIT, SORT = "q", "s"
BETWEEN_S = 1.0
"""Between the two pictures of a single frame: rates need two."""


def once(
    source: Source, out: TextIO, interval_s: float, sleep: Callable[[float], object] = time.sleep
) -> None:
    """One frame; Unreachable when there is none. Two pictures are taken, since rates need two."""
    state = State()
    state.heard(source.picture(), source.lines(), time.monotonic())
    sleep(max(interval_s, BETWEEN_S))
    state.heard(source.picture(), source.lines(), time.monotonic())
    width = shutil.get_terminal_size().columns if out.isatty() else WIDTH
    console = Console(file=out, width=width, highlight=False, emoji=False, markup=False)
    console.print(frame(state, time.monotonic(), width=width, height=None))


def watch(
    source: Source, key: Callable[[float], str], interval_s: float, console: Console | None = None
) -> None:
    """Frames until `q`. A node that does not answer is waited for, and its last frame stays with its age."""
    console = (
        console
        if console is not None
        else Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    )
    state = State()
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            began = time.monotonic()
            try:
                state.heard(source.picture(), source.lines(), time.monotonic())
            except Unreachable as error:
                state.error = str(error)
            while True:
                now = time.monotonic()
                live.update(frame(state, now, width=console.width, height=console.height), refresh=True)
                pressed = key(began + interval_s - now)
                if pressed == QUIT:
                    return
                if pressed == SORT:
                    state.sort = (state.sort + 1) % len(SORTS)
                elif not pressed:
                    break

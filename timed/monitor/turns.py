"""Which turns of the reactor took long, and where they were meanwhile.

`Lateness` tells the length of a turn once it is over. A thread looks now and then
whether the call that is due comes, and while it does not, where the reactor's thread is.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import islice
from types import FrameType

import attrs

from timed.monitor.stacks import ROOT, label, stack_of
from timed.params import SECOND

SLOW_S = 0.1
"""A turn that takes longer is a slow one."""
LOOK_S = 0.04
"""Between two looks of the thread."""
MAX_TURNS = 50
"""Slow turns that are kept; the oldest goes first."""
MAX_LOOKS = 8
"""Looks at one turn that are kept: the first ones, the last in place of each further one."""
MAX_KINDS = 100
"""What turns did, for the counter; what is beyond is one."""
UNSEEN, OTHER = "unseen", "other"


@attrs.frozen
class SlowTurn:
    """One turn: when it ended (microseconds of unix time), how long it was, what the node did, where it was seen."""

    ended_us: int
    seconds: float
    doing: str
    """The call of the node with its message, or the RPC method; `OTHER` for neither, `UNSEEN` without a look."""
    functions: tuple[str, ...]
    """The innermost function of ours at each look, in order."""
    stack: tuple[str, ...]
    """At the first look, from the outermost function inwards."""

    def as_object(self) -> dict[str, object]:
        """Times in seconds."""
        return {
            "time": self.ended_us / SECOND,
            "seconds": round(self.seconds, 6),
            "doing": self.doing,
            "functions": list(self.functions),
        }


@attrs.frozen
class _Look:
    doing: str
    function: str
    stack: tuple[str, ...]


class SlowTurns:
    """Told by the reactor's thread when a call is due and when it came; `look` is the other thread's."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        clock: Callable[[], int],
        doing: Callable[[], str],
        *,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
    ) -> None:
        """`doing` tells what the reactor's thread works for, empty for nothing known; it is asked by another thread."""
        self._monotonic = monotonic
        self._clock = clock
        self._doing = doing
        self._frames = frames
        self._reactor_thread = 0
        self._due: float | None = None
        self._looks: list[_Look] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.kept: deque[SlowTurn] = deque(maxlen=MAX_TURNS)
        self.counts: Counter[str] = Counter()
        """Slow turns by what they did."""

    def newest(self, most: int) -> list[SlowTurn]:
        """The last slow turns, the newest first."""
        return list(islice(reversed(self.kept), most))

    # On the reactor's thread.

    def start(self) -> None:
        """Look from now on, at the thread that calls."""
        self._reactor_thread = threading.get_ident()
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="timed-turns", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No thread is left."""
        self._end.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        self._due = None

    def now(self) -> int:
        """Microseconds of unix time, as in `SlowTurn`."""
        return self._clock()

    def wait_for(self, due: float) -> None:
        """The next call is due then, on the monotonic clock."""
        self._looks, self._due = [], due

    def came(self, late_s: float) -> None:
        """It came so late: that long a turn has lasted."""
        self._due = None
        if late_s < SLOW_S:
            return
        looks, self._looks = self._looks, []
        ended_us = self._clock()
        if looks:
            doing = Counter(look.doing for look in looks).most_common(1)[0][0]
            functions = tuple(look.function for look in looks)
            self.kept.append(SlowTurn(ended_us, late_s, doing, functions, looks[0].stack))
        else:
            doing = UNSEEN
            self.kept.append(SlowTurn(ended_us, late_s, doing, (), ()))
        self.counts[doing if doing in self.counts or len(self.counts) < MAX_KINDS else OTHER] += 1

    # On the thread that looks.

    def _run(self) -> None:
        while not self._end.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """See where the reactor's thread is, when a call is overdue."""
        # In this order: when the call comes meanwhile, the look goes to a list that nobody reads any more.
        looks = self._looks
        due = self._due
        if due is None or self._monotonic() - due < SLOW_S:
            return
        frame = self._frames().get(self._reactor_thread)
        if frame is None:
            return
        codes, _ = stack_of(frame)
        function = next((code for code in codes if code.co_filename.startswith(f"{ROOT}/timed/")), codes[0])
        stack = tuple(label(code) for code in reversed(codes))
        look = _Look(self._doing() or OTHER, label(function), stack)
        if len(looks) < MAX_LOOKS:
            looks.append(look)
        else:
            looks[-1] = look

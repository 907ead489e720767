"""When a call is repeated, and how long that waits.

A call that may change something is repeated only when it was never sent. One that only
reads is repeated also when the node refused it for want of time, or lost it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from timed.client.errors import (
    Busy,
    CannotConnect,
    ClientError,
    ConnectionLost,
    NotReady,
    TimedOut,
    Unauthorized,
)

CHANGES = ("getnew", "getrawchange")
"""How the names of methods begin that look like a question and leave something behind."""
QUESTIONS = ("get", "list", "wait", "decode", "validate", "verify", "find")
QUESTIONS_ALSO = frozenset({"help", "uptime", "masternodelist", "masternodestatus", "explainpeer"})


def only_reads(method: str) -> bool:
    """True when carrying a call out twice is the same as once; False for every name not known to be."""
    return method in QUESTIONS_ALSO or (method.startswith(QUESTIONS) and not method.startswith(CHANGES))


FINAL_WAIT_S = 30.0
"""One question of `wait_final`; a longer wait is several."""
FINAL_PAUSE_S = 1.0
"""Between two questions for which a node has no time to wait."""


def final_wait(left_s: float, timeout_s: float) -> int:
    """Seconds, whole ones, that a node is to wait for finality: its answer must come within `timeout_s`."""
    return max(0, int(min(left_s, FINAL_WAIT_S, timeout_s / 2)))


class Retry(NamedTuple):
    """At most `attempts` sendings; the pauses double from `first_s` to `most_s`, each cut by chance.

    `random` gives numbers in [0, 1): callers that failed together do not come back together.
    """

    attempts: int = 4
    first_s: float = 0.25
    most_s: float = 8.0
    random: Callable[[], float] = lambda: 0.0

    def pauses(self) -> Iterator[float]:
        """Seconds before each repetition, between half and all of the full pause."""
        full = self.first_s
        for _ in range(self.attempts - 1):
            yield full * (1 - self.random() / 2)
            full = min(2 * full, self.most_s)


NEVER = Retry(attempts=1)


def patient(attempts: int = 4) -> Retry:
    """The usual policy, its chance taken from the system."""
    return Retry(attempts, random=chance())


def chance() -> Callable[[], float]:
    """Numbers in [0, 1) from the system."""
    from random import SystemRandom

    return SystemRandom().random


def pause_for(error: ClientError, reads: bool, planned: float, most_s: float) -> float | None:
    """Seconds until the call may be sent again after `error`; None when it must not be.

    A server that asks for more patience than `most_s` is not asked again.
    """
    if isinstance(error, Unauthorized | TimedOut):
        return None
    if isinstance(error, Busy):
        asked = planned if error.retry_after is None else max(planned, float(error.retry_after))
        return asked if reads and asked <= most_s else None
    if isinstance(error, ConnectionLost | NotReady):
        return planned if reads else None
    return planned if isinstance(error, CannotConnect) else None

"""Which transactions were voted for here without being known, and when to ask for them."""

from __future__ import annotations

from timed.wire.layouts import MAX_CERTIFICATES_ASKED

MISSING_AFTER_US = 150_000
"""A vote for an unknown transaction waits this long for the body before it is asked for."""
ASK_AGAIN_US = 1_000_000
MAX_ASK = MAX_CERTIFICATES_ASKED
"""Transactions or certificates asked for at one time."""


class Missing:
    """Unknown ids in two queues, each in the order of its deadlines."""

    def __init__(self) -> None:
        self._heard: dict[bytes, int] = {}
        self._asked: dict[bytes, int] = {}

    def heard(self, txid: bytes, now: int) -> None:
        self._heard[txid] = now

    def clock_set_back(self, now: int) -> None:
        """What was noted when the clock was ahead counts from now."""
        self._heard = dict.fromkeys(self._heard, now)
        self._asked = dict.fromkeys(self._asked, now)

    def found(self, txid: bytes) -> None:
        self._heard.pop(txid, None)
        self._asked.pop(txid, None)

    def deadline(self) -> int | None:
        deadlines = []
        for first in self._heard.values():
            deadlines.append(first + MISSING_AFTER_US)
            break
        for last in self._asked.values():
            deadlines.append(last + ASK_AGAIN_US)
            break
        return min(deadlines, default=None)

    def due(self, now: int) -> list[bytes]:
        """What to ask for now; it is due again later until `found`."""
        due: list[bytes] = []
        for queue, wait in ((self._heard, MISSING_AFTER_US), (self._asked, ASK_AGAIN_US)):
            for txid, since in queue.items():
                if now < since + wait or len(due) == MAX_ASK:
                    break
                due.append(txid)
        for txid in due:
            self.found(txid)
            self._asked[txid] = now
        return due

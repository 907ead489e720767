"""What transactions lack: the body of one that was voted for, and the parents of one that is known."""

from __future__ import annotations

from collections.abc import Iterable

from timed.consensus.tally import Tally
from timed.deadlines import earliest
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
        heard = next((first + MISSING_AFTER_US for first in self._heard.values()), None)
        asked = next((last + ASK_AGAIN_US for last in self._asked.values()), None)
        return earliest(heard, asked)

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


class Children:
    """Transactions by the parents whose certificates they wait for."""

    def __init__(self) -> None:
        self._of: dict[bytes, dict[bytes, None]] = {}

    def __len__(self) -> int:
        """Parents that are waited for."""
        return len(self._of)

    def add(self, parent: bytes, child: bytes) -> None:
        self._of.setdefault(parent, {})[child] = None

    def take(self, parent: bytes) -> Iterable[bytes]:
        """Those that waited for `parent`, which is certified now."""
        return self._of.pop(parent, ())

    def forget(self, child: Tally) -> None:
        """It waits no more."""
        for outpoint in child.transaction.inputs if child.transaction is not None else ():
            children = self._of.get(outpoint.txid, {})
            children.pop(child.txid, None)
            if not children:
                self._of.pop(outpoint.txid, None)

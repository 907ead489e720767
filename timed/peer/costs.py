"""What handling each type of message takes, on a clock that the host lends for some of its calls.

The room has no clock of its own and none of its decisions knows of this one. While
none is lent, `on` costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

NS_PER_S = 10**9
OTHER = "other"
"""What is not done for one message: timers, queues, writing, what follows from durable writes."""


class Payer(Protocol):
    """Who brought a message; `spent_ns` never goes back."""

    spent_ns: int

    @property
    def owner(self) -> bytes | None:
        """Its node id, once that is known."""
        ...


class Costs:
    """Nanoseconds per type of message, and per payer."""

    __slots__ = ("_at", "_name", "_weight", "clock", "named", "spent", "whose")

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}
        """Per type, and for `OTHER`. It never goes back."""
        self.clock: Callable[[], int] | None = None
        self.named = OTHER
        """The type of the message that is worked on, measured or not; `OTHER` for none."""
        self.whose: Payer | None = None
        """Who brought it."""
        self._name = OTHER
        self._at = 0
        self._weight = 1

    def lend(self, clock: Callable[[], int], weight: int) -> int:
        """Measure from now on; the call that is measured stands for `weight` calls. What the clock shows."""
        self.idle()
        self.clock, self._weight, self._name = clock, weight, OTHER
        self._at = clock()
        return self._at

    def on(self, name: str, payer: Payer | None = None) -> None:
        """What follows is done for a message of this type, which `payer` brought."""
        before, self.whose, self.named = self.whose, payer, name
        clock = self.clock
        if clock is None:
            return
        now = clock()
        grown = (now - self._at) * self._weight
        self.spent[self._name] = self.spent.get(self._name, 0) + grown
        if before is not None:
            before.spent_ns += grown
        self._name, self._at = name, now

    def idle(self) -> None:
        """Nothing is done for a message."""
        self.named, self.whose = OTHER, None

    def take_back(self) -> int:
        """The call that was measured is over. What the clock shows."""
        self.on(OTHER)
        self.clock = None
        return self._at

    def of(self, received_bytes: dict[str, int], all_bytes: dict[str, int]) -> dict[str, int]:
        """The part of some messages in `spent`, by their share in the bytes of all messages of a type."""
        return {
            name: self.spent[name] * size // all_bytes[name]
            for name, size in received_bytes.items()
            if name in self.spent and all_bytes.get(name)
        }


def in_seconds(nanoseconds: Mapping[str, int]) -> dict[str, float]:
    """Seconds of CPU time by what they were spent on, ordered."""
    return {name: spent / NS_PER_S for name, spent in sorted(nanoseconds.items())}

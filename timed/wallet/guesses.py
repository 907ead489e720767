"""How soon the next guess of a passphrase may be made."""

from __future__ import annotations

from timed.params import SECOND

FREE_GUESSES = 3
"""Anybody mistypes."""
LONGEST_US = 60 * SECOND


class Guesses:
    """Wrong guesses in a row; each beyond the free ones doubles the wait. Times in microseconds."""

    def __init__(self) -> None:
        self.wrong = 0
        self._next = 0

    def wait(self, now: int) -> int:
        """Microseconds until a guess is looked at, 0 when it is now."""
        return max(0, self._next - now)

    def failed(self, now: int) -> None:
        self.wrong += 1
        beyond = self.wrong - FREE_GUESSES
        if beyond >= 0:
            self._next = now + min(LONGEST_US, SECOND << min(beyond, 16))

    def succeeded(self) -> None:
        self.wrong, self._next = 0, 0

"""What a broken promise looks like."""

from __future__ import annotations

NAMES = (
    "vote-once",
    "block-vote-once",
    "locking-rule",
    "report-once",
    "silent-after-report",
    "acknowledged-is-reported",
    "durable-before-send",
    "durable-before-publish",
    "inputs-available",
    "certificate-valid",
    "certificate-counts-cast-votes",
    "no-conflicting-certificates",
    "parent-certified",
    "one-block-per-height",
    "block-in-place",
    "supply",
    "equal-roots",
    "final-in-block",
    "reported-in-block",
    "no-honest-blame",
    "one-session",
    "healthy-session",
    "redial-rate",
    "wallet-balance",
    "wallet-release",
    "wallet-history",
    "wallet-twice",
    "no-alarm",
    "no-traceback",
    "progress",
    "live-heights",
    "live-payments",
    "live-sessions",
    "live-wallet",
)
"""Every invariant has one stable name; mutants are caught by name."""


SAFETY = tuple(name for name in NAMES if not name.startswith(("live-", "progress", "no-traceback")))
"""The invariants that name a broken promise, not merely a network that stands still."""


class Violation(Exception):
    """An invariant does not hold; `name` is one of NAMES."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name = name
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"

"""A log line for each RPC call that is over, for whoever has asked for it (`timed-cli logging rpc.calls debug`).

Arguments are never in it: some of them are secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

from timed.rpc.activity import Call

NAMESPACE = "timed.rpc.calls"


class Levels(Protocol):
    """`timed.app.logging.LogLevels`."""

    def least(self, namespace: str) -> int: ...


def call_log(levels: Levels, log: Logger | None = None) -> Callable[[Call, float], None]:
    """What `timed.rpc.activity.Activity.ended` is told goes to the log at the level debug; else it costs one look."""
    logger = Logger(namespace=NAMESPACE) if log is None else log

    def ended(call: Call, seconds: float) -> None:
        if levels.least(NAMESPACE) == 0:
            logger.debug(
                "call {number} {method} of {user} at {address} took {milliseconds} ms",
                number=call.number,
                method=call.method,
                user=call.caller.user,
                address=call.caller.address or "the node",
                milliseconds=round(1000 * seconds, 1),
            )

    return ended

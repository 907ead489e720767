"""The exit status of `timed-cli`, for scripts: one meaning each, and they do not change."""

from __future__ import annotations

from timed.client.errors import (
    Busy,
    CannotConnect,
    ClientError,
    Forbidden,
    NotReady,
    TimedOut,
    Unauthorized,
)

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
LATER = 5
FOUND = 6
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILED: "the node answered with an error, or a file could not be used",
    USAGE: "the command line or the configuration is wrong; nothing was sent",
    UNREACHABLE: "no node answers there",
    REFUSED: "the node does not take the credentials, or they do not allow the call",
    LATER: "the node is busy or not ready, or did not answer in time: ask again later",
    FOUND: "doctor or check-data looked, and something is wrong",
    INTERRUPTED: "ended by Ctrl-C; a call that was sent may have been carried out",
}
NO_PERMISSION = "forbidden"
"""The rule of a call that the account may not make."""


def of(error: ClientError) -> int:
    """The status that stands for an error of the client."""
    if isinstance(error, Unauthorized | Forbidden) or getattr(error, "rule", "") == NO_PERMISSION:
        return REFUSED
    if isinstance(error, Busy | NotReady | TimedOut):
        return LATER
    return UNREACHABLE if isinstance(error, CannotConnect) else FAILED

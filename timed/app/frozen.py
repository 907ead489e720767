"""A node that saw the protocol's promise broken votes no more, however often it is started.

What it saw stands in one file of the data directory. Who understands it removes the file.
"""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger
from zope.interface import implementer

from timed.errors import LocalError
from timed.events import SafetyFailure
from timed.interfaces import IEventSink
from timed.wallet.walletfile import replace_file

MAX_READ = 4_096
"""Bytes of the file that are looked at; its first line counts."""
_EXPLAINED = """\
This node has stopped voting for good, because of what the first line says, and does not vote while this file is here.
Do not delete anything else: the data directory is the evidence. The runbook has it under check-safety.
"""


def why_frozen(path: Path) -> str | None:
    """What stopped this node from voting; None where nothing did. LocalError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_READ).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}.", "It says why this node must not vote: make it readable."
        ) from error
    return text.partition("\n")[0].strip() or f"{path.name} is there, and says nothing"


@implementer(IEventSink)
class Freezing:
    """Writes the file when the node stops voting."""

    name = "freezing"
    hears = frozenset({SafetyFailure})
    _log = Logger()

    def __init__(self, path: Path) -> None:
        self._path = path

    def published(self, event: object, now_us: int) -> None:
        """On disk on return: this happens once in the life of a data directory."""
        if not isinstance(event, SafetyFailure):
            return
        try:
            replace_file(str(self._path), f"{' '.join(event.what.split())}\n\n{_EXPLAINED}".encode())
        except OSError as error:
            self._log.critical(
                "cannot write {path}: {error}. After a restart this node would vote again: do not restart it",
                path=str(self._path), error=error.strerror,
            )  # fmt: skip

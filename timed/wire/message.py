"""What a message is: the base class of all, and a row of the catalogue."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any, Generic, TypeVar

import attrs

from timed.codec.value import Value
from timed.errors import LocalError


class Priority(IntEnum):
    """The classes that share a link; lower goes first (protocol §5)."""

    CONTROL = 0
    CONSENSUS = 1
    TRANSACTIONS = 2
    QUERIES = 3
    BULK = 4


class Direction(Enum):
    """Who speaks: unasked, asking, answering, or either unasked or answering."""

    NOTICE = "notice"
    REQUEST = "request"
    REPLY = "reply"
    NOTICE_OR_REPLY = "notice or reply"


class Relay(Enum):
    """Whether a node passes the message on to others once it found it new and valid."""

    NEVER = "never"
    NEW = "new"


@attrs.frozen
class MessageType:
    """One row of the catalogue. `max_size` is the payload's bound in bytes."""

    number: int
    name: str
    cls: type[Message]
    layout: Any
    direction: Direction
    priority: Priority
    max_size: int
    bucket: str
    reply: str | None
    requires_ack: bool
    is_response: bool
    relay: Relay
    compress: bool
    """Whether its payload may be sent compressed, where the session has that."""
    since: int = 1
    """The wire version that has it first; a session of an earlier one does not know it."""

    @property
    def is_high_priority(self) -> bool:
        """True for control and consensus."""
        return self.priority <= Priority.CONSENSUS


class Message(Value, frozen=True, gc=False):
    """A value that travels on its own; what is said of it stands in the catalogue."""

    @classmethod
    def entry(cls) -> MessageType:
        """The class's row of the catalogue."""
        try:
            return _ENTRIES[cls]
        except KeyError:
            raise LocalError(f"{cls.__name__} is not in the message catalogue.") from None

    def message_type(self) -> str:
        """The name in the catalogue."""
        return self.entry().name

    def requires_ack(self) -> bool:
        """True when the sender keeps it until it is acknowledged."""
        return self.entry().requires_ack

    def is_response(self) -> bool:
        """True when it answers a request."""
        return self.entry().is_response

    def is_high_priority(self) -> bool:
        """True for control and consensus."""
        return self.entry().is_high_priority


M = TypeVar("M", bound=Message)


@attrs.frozen
class Verbatim(Generic[M]):
    """A message of class `cls` that is sent as it was encoded before, without being read."""

    cls: type[M]
    payload: bytes

    def entry(self) -> MessageType:
        """The class's row of the catalogue."""
        return self.cls.entry()

    def encode(self) -> bytes:
        """The canonical encoding."""
        return self.payload

    def read(self) -> M:
        """The message."""
        return self.cls.decode(self.payload)


_ENTRIES: dict[type[Message], MessageType] = {}


def enter(entries: tuple[MessageType, ...]) -> None:
    """Tell the message classes of their rows; called once, by the catalogue."""
    _ENTRIES.update({entry.cls: entry for entry in entries})

"""What a session tells the table; what a message brings is `timed.peer.values.Incoming`."""

from __future__ import annotations

from typing import Union

import attrs

from timed.peer.values import Incoming
from timed.wire.messages import Handshake


@attrs.frozen
class Greeted:
    """The peer's handshake arrived; the session waits to be accepted or closed."""

    handshake: Handshake


@attrs.frozen
class Accepted:
    """The peer has accepted, too: the session is open."""


@attrs.frozen
class Farewell:
    """The peer said Goodbye."""

    reason: str
    detail: str


@attrs.frozen
class Acknowledged:
    """The peer has the message of this type number and reference."""

    number: int
    reference: bytes


@attrs.frozen
class Conducted:
    """Something for the ledger of conduct; `event` is one of its names."""

    event: str
    detail: str


SessionEvent = Union[Greeted, Accepted, Farewell, Acknowledged, Conducted, Incoming]

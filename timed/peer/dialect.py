"""How a node speaks: the newest wire version, and habits that debugging and measuring may change."""

from __future__ import annotations

from enum import IntFlag

import attrs

from timed.params import WIRE_VERSION, NetworkParams


class Feature(IntFlag):
    """Bits of a handshake's `features`; a session uses those that both sides set."""

    JSON = 1
    """After the handshake both sides write one JSON object a line instead of frames."""
    ZSTD = 2
    """Payloads that gain by it may be sent compressed."""


@attrs.frozen
class Dialect:
    """What one node wants; what a session does, both sides decide. One per process."""

    wire_version: int = WIRE_VERSION
    """The newest that it speaks."""
    json: bool = False
    """Lines of JSON with whoever wants them, too; where the network allows it."""
    batching: bool = True
    """Messages that wait leave together. Without it every message is a write of its own."""
    priorities: bool = True
    """Without them all messages stand in one queue, first in, first out."""
    compression: bool = True
    """Compressed payloads with whoever reads them, too."""
    tell_messages: bool = False
    """Publish an event for each message sent or received."""


ORDINARY = Dialect()
"""How nodes speak that are told nothing else."""


def features_of(dialect: Dialect, params: NetworkParams) -> int:
    """The features that a node announces; the first wire version had none."""
    if dialect.wire_version < 2:
        return 0
    json = Feature.JSON if dialect.json and params.plain_allowed else 0
    return int(json | (Feature.ZSTD if dialect.compression else 0))

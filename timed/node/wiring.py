"""Checked when a node is made: nothing arrives and nothing is asked for that nobody carries out.

A message without a handler or an effect without an executor would be a feature that
exists and never happens, and nobody would be told.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

from timed.consensus import effects as fx
from timed.errors import LocalError
from timed.wire import messages as wire
from timed.wire.catalogue import MESSAGES

SESSION: frozenset[type] = frozenset(
    {wire.Handshake, wire.Ack, wire.Goodbye, wire.Ping, wire.Pong, wire.GetPeers, wire.PeersResponse}
)
"""Messages that end in the peer room."""
UNASKED: frozenset[type] = frozenset({wire.UTXOStateResponse, wire.BlockResponse, wire.MasternodesResponse})
"""Answers to questions that this node never asks: tools and light clients do."""


def check(handlers: Collection[type], executors: Collection[type]) -> None:
    """LocalError when a message of the catalogue or an effect of the machines ends nowhere."""
    expected = {entry.cls for entry in MESSAGES} - SESSION - UNASKED
    lost = [cls.__name__ for cls in expected.difference(handlers)]
    lost += [cls.__name__ for cls in set(get_args(fx.Effect)).difference(executors)]
    if lost:
        raise LocalError(
            f"nothing in this node takes {', '.join(sorted(lost))}.", "This is a bug; report it."
        )

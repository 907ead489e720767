"""Where a method is computed: in the process that runs the node, or wherever its data directory can be read.

A handler that says nothing belongs to the node's memory; a process without the node
forwards it whole.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

import attrs

from timed.rpc.dispatch import Handler


class Place(Enum):
    """Where a method's answer comes from."""

    MEMORY = "memory"
    """The running node: on its reactor thread, with the environment."""
    SNAPSHOT = "snapshot"
    """A `timed.rpc.snapshot.Snapshot`: on the reader's thread, in any process, without the node."""
    BLOCKS = "blocks"
    """`timed.rpc.snapshot.Blocks`: the node's memory where there is one, else a snapshot."""
    ANYWHERE = "anywhere"
    """The environment of whatever process is asked; nothing of the node."""


@attrs.frozen
class Placed:
    """A handler with the place of its answer."""

    place: Place
    function: Callable[..., Any]

    @property
    def __name__(self) -> str:
        return self.function.__name__

    def __call__(self, env: Any, **arguments: Any) -> Any:
        if self.place is Place.ANYWHERE:
            return self.function(env, **arguments)
        if self.place is Place.BLOCKS and env.backend is not None:
            return self.function(env.backend, **arguments)
        return env.read(partial(self.function, **arguments))


def from_snapshot(function: Callable[..., Any]) -> Placed:
    """Mark a handler that takes a `Snapshot` and returns its answer, or `Work` for it."""
    return Placed(Place.SNAPSHOT, function)


def from_blocks(function: Callable[..., Any]) -> Placed:
    """Mark a handler that takes `Blocks` and answers at once."""
    return Placed(Place.BLOCKS, function)


def anywhere(function: Callable[..., Any]) -> Placed:
    """Mark a handler that takes the environment and asks nothing of the node."""
    return Placed(Place.ANYWHERE, function)


def place_of(handler: Handler) -> Place:
    return handler.place if isinstance(handler, Placed) else Place.MEMORY

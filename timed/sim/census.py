"""Counts messages on every link in every direction, while it is asked to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from timed.primitives.certificate import CertificateKind
from timed.wire.catalogue import encode_message
from timed.wire.message import Message
from timed.wire.messages import TransactionVote

if TYPE_CHECKING:
    from timed.sim.host import Process
    from timed.sim.world import World

IDLE = frozenset({"Ping", "Pong", "Ack", "GetPeers", "PeersResponse"})
"""What sessions say to each other whether anything happens or not."""


class Census:
    """Messages by sender, receiver and kind between `begin` and `end`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.links: dict[tuple[int, int], Counter[str]] = {}
        """By sending and receiving machine: how many messages of each type."""
        self.bytes = 0
        """Payloads of all of them."""

    def begin(self) -> None:
        """Count from now on."""
        self._world.listeners.append(self._sent)

    def end(self) -> None:
        """Count no more."""
        self._world.listeners.remove(self._sent)

    def totals(self) -> dict[str, int]:
        """How many messages of each kind there were in all."""
        total: Counter[str] = Counter()
        for counted in self.links.values():
            total += counted
        return dict(sorted(total.items()))

    def most(self) -> dict[str, int]:
        """The most of each kind that one link carried in one direction."""
        most: Counter[str] = Counter()
        for counted in self.links.values():
            most |= counted
        return dict(sorted(most.items()))

    def _sent(self, process: Process, link: int, message: object) -> None:
        place = self._world.network.place_of(link)
        if place is None or not isinstance(message, Message):
            return
        if message.message_type() in IDLE:
            return
        connection, position = place
        pair = (process.host.index, connection.sides[1 - position].machine.index)
        self.links.setdefault(pair, Counter())[_detailed(message)] += 1
        self.bytes += len(encode_message(message)[1])


def _detailed(message: Message) -> str:
    """Votes and acknowledgements are one type of message and two kinds of thing."""
    if isinstance(message, TransactionVote):
        return "vote bundle" if message.kind == CertificateKind.VOTE else "acknowledgement bundle"
    return message.message_type()

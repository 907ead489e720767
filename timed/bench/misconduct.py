"""Light clients that turn bad: one reads no more, one sends a byte a second, the others flood.

Started and ordered like `follower`, and in addition:

{"misbehave": {number: [names]}}  true; what each client does from now on: one name of
                                  `STALL` or `DRIP`, or the types that it floods, by turns
{"misdeeds": true}                for each client what it has sent, by type

A flood is ten times what `timed.peer.rates` allows, as far as the sockets take it.
What is flooded is well formed and says nothing that anybody asked for.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import Counter
from typing import Any

from twisted.internet.task import LoopingCall

from timed.bench.follower import Follower, Followers
from timed.bench.host import now_us
from timed.bench.loop import reactor
from timed.bench.samples import all_messages
from timed.params import SECOND
from timed.peer.encoder import Form
from timed.peer.rates import RATES
from timed.wire.message import Direction, Message
from timed.wire.messages import Ping

STALL = "stops reading"
DRIP = "sends a byte a second"
TIMES = 10
"""How far above its limit each type is flooded."""
TURN_US = SECOND
"""How long one type is flooded before the next."""
TICK_S = 0.01
WRITE_BYTES = 64 * 1024
STALL_PINGS = 250
"""Pings per second of who reads no pong: half of what is allowed."""
NICENESS = 5
"""This process gives way to the others: an attacker has a machine of its own."""

SAMPLES: dict[str, Message] = {message.message_type(): message for message in all_messages()}


class Offender(Follower):
    """Follows until it is told to misbehave. A closed session it opens again, and goes on."""

    def __init__(self, number: int, settings: dict[str, Any], crowd: Followers) -> None:
        super().__init__(number, settings, crowd)
        self.sent: Counter[str] = Counter()
        self._plain = bool(settings.get("plain"))
        self._does: list[str] = []
        self._since = 0
        self._owed = 0
        """Millionths of messages that it may send now."""
        self._ticked = 0
        self._choked = False
        self._encoded: dict[str, bytes] = {}
        self._request = 0
        self._known: int | None = None
        """The link of the session it has; it begins one tick after it opened, when its own Ack has left."""
        self._stalled: int | None = None
        """The link from which it reads no more."""

    def misbehave(self, names: list[str]) -> None:
        """From now on."""
        self._does = names
        self._since = self._ticked = now_us()

    def write(self, link: int, data: bytes) -> None:
        """Who sends a byte a second, or reads nothing, says nothing else."""
        if self._does in ([STALL], [DRIP]) and self._known == link:
            self.table.drained(link, now_us())
        else:
            super().write(link, data)

    def drained(self, link: int) -> None:
        self._choked = False
        super().drained(link)

    def wake(self) -> None:
        """Whoever reads nothing does not give up for it."""
        if self._stalled is None or self._link() != self._stalled:
            super().wake()

    def disconnected(self, link: int, reason: str) -> None:
        self._choked = False
        super().disconnected(link, reason)
        if self._stalled == link:
            self._stalled = None
            self.wake()

    def tick(self) -> None:
        """Send what is due."""
        now = now_us()
        passed, self._ticked = now - self._ticked, now
        link = self._link()
        begins = link != self._known
        self._known = link
        if not self._does or link is None or begins:
            return
        if self._does == [STALL]:
            self._stall(link)
            self._send(link, Ping.entry().name, passed * STALL_PINGS)
        elif self._does == [DRIP]:
            self._drip(link, now)
        else:
            name = self._does[(now - self._since) // TURN_US % len(self._does)]
            rate = RATES[SAMPLES[name].entry().bucket]
            self._send(link, name, passed * TIMES * rate.per_second)

    def _link(self) -> int | None:
        session = self.table.session_with(self.node_id)
        return None if session is None else session.link

    def _frames(self, name: str) -> bytes:
        """One message as it goes over the link: each request has an id of its own, a reply nobody asked for."""
        frames = self._encoded.get(name)
        if frames is None:
            message, encoder = SAMPLES[name], self.table.encoder
            direction = message.entry().direction
            self._request = self._request % 2**31 + 1
            request = 0 if direction is Direction.NOTICE else self._request
            encoded = encoder.encode(message, request_id=request, reply=direction is Direction.REPLY)
            frames = b"".join(encoder.parcel(encoded, Form(checksum=self._plain)).frames)
            if direction is not Direction.REQUEST:
                self._encoded[name] = frames
        return frames

    def _send(self, link: int, name: str, owed: int) -> None:
        """Messages of one type, for so many millionths more, unless the socket is full."""
        self._owed = min(self._owed + owed, TIMES * RATES[SAMPLES[name].entry().bucket].burst * SECOND)
        if self._choked or self._owed < SECOND:
            return
        data = bytearray(self._frames(name))
        count = min(self._owed // SECOND, max(1, WRITE_BYTES // len(data)))
        for _ in range(count - 1):
            data += self._frames(name)
        self._owed -= count * SECOND
        self._choked = True
        self.sent[name] += count
        self.network.write(link, bytes(data))

    def _drip(self, link: int, now: int) -> None:
        due = (now - self._since) // SECOND
        if due > self.sent["bytes"]:
            frames = self._frames(Ping.entry().name)
            at = self.sent["bytes"] % len(frames)
            self.sent["bytes"] += 1
            self.network.write(link, frames[at : at + 1])

    def _stall(self, link: int) -> None:
        if self._stalled != link:
            self._stalled = link
            tcp = self.network._links[link]._tcp()
            tcp.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            tcp.pauseProducing()


class Offenders(Followers):
    """The clients of this process, and the clock by which they misbehave."""

    follower = Offender

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._ticks = LoopingCall(self._tick)

    def _order(self, order: dict[str, Any]) -> None:
        if "misbehave" in order:
            by_number = {host.number: host for host in self.offenders()}
            for number, names in order["misbehave"].items():
                by_number[int(number)].misbehave(list(names))
            os.nice(NICENESS)
            self._ticks.start(TICK_S)
            self._orders.say(True)
        elif "misdeeds" in order:
            self._orders.say({str(host.number): host.sent for host in self.offenders()})
        else:
            super()._order(order)

    def offenders(self) -> list[Offender]:
        return [host for host in self.hosts if isinstance(host, Offender)]

    def _tick(self) -> None:
        for host in self.offenders():
            host.tick()


def main() -> None:
    offenders = Offenders(json.loads(sys.argv[1]))
    reactor.run()
    del offenders


if __name__ == "__main__":
    main()

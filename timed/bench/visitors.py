"""HTTP connections that do not stay busy, in a process of its own: an administrator's, and many idle ones.

It answers each order, a line of JSON on standard input, with a line on standard output:

``{"visit": PORT, "authorization", "body", "seconds", "rate"}``
    one call after the other, each on a new connection, as `timed-cli` does it; the delay of
    each counts from when it was due, the connection included
``{"idle": PORT, "connections"}``
    opens so many more and leaves them alone; how many there are
``{"ended": true}``
    how many of them the server has ended meanwhile
``{"leave": true}``
    ends them
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

import attrs

from timed.app.descriptors import raise_limit
from timed.bench.httpload import HOST, SPARE, US_PER_NS, Connection, Found, post

PATIENCE_S = 30.0


class Visitors:
    """The connections of one process."""

    def __init__(self) -> None:
        self._idle: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        self._ended = 0

    def carry_out(self, order: dict[str, Any]) -> Any:
        """What one order is answered with."""
        if "visit" in order:
            data = post(order["body"], order["authorization"])
            return attrs.asdict(self.visit(order["visit"], data, order["seconds"], order["rate"]))
        if "idle" in order:
            return self.stay(order["idle"], order["connections"])
        if "ended" in order:
            return self.ended()
        return self.leave()

    def visit(self, port: int, data: bytes, seconds: float, rate: float) -> Found:
        """Calls at a steady rate; one that is late is followed by the next at once."""
        found = Found()
        begun = time.monotonic_ns()
        for number in range(max(1, round(seconds * rate))):
            due = begun + int(number / rate * 1e9)
            time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            try:
                good = call_once(port, data)
            except OSError:
                found.lost += 1
                continue
            found.wrong += not good
            found.delays.append(int((time.monotonic_ns() - due) * US_PER_NS))
        found.seconds = (time.monotonic_ns() - begun) / 1e9
        return found

    def stay(self, port: int, connections: int) -> int:
        """Open connections that say nothing; what the server ended already counts among them."""
        raise_limit(len(self._idle) + connections + SPARE)
        for _ in range(connections):
            made = socket.create_connection((HOST, port), PATIENCE_S)
            self._idle[made.fileno()] = made
            self._epoll.register(made.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        return len(self._idle) + self._ended

    def ended(self) -> int:
        """Connections that the server has ended since they were opened."""
        for number, _ in self._epoll.poll(0, max(1, len(self._idle))):
            self._epoll.unregister(number)
            self._idle.pop(number).close()
            self._ended += 1
        return self._ended

    def leave(self) -> int:
        """End what is left; how many that were."""
        left = len(self._idle)
        for each in self._idle.values():
            each.close()
        self._idle.clear()
        self._epoll.close()
        self._epoll, self._ended = select.epoll(), 0
        return left


def call_once(port: int, data: bytes) -> bool:
    """One call on a connection of its own; whether it was a result. OSError when there was no answer."""
    connection = Connection(port, [data])
    try:
        connection.post(time.monotonic_ns())
        connection.socket.settimeout(PATIENCE_S)
        while not connection.receive():
            continue
    finally:
        connection.socket.close()
    return connection.good


def main() -> None:
    visitors = Visitors()
    for line in sys.stdin:
        print(json.dumps(visitors.carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

"""HTTP clients in a process of their own, cheap enough not to be what is measured.

It answers each order, a line of JSON on standard input, with a line on standard output:

``{"open": NAME, "port", "clients", "hosts", "authorization", "bodies"}``
    connections that stay, by turns from so many addresses of this machine; each posts the
    bodies one after the other
``{"closed": NAME, "seconds"}``
    every client posts again as soon as it is answered
``{"paced": NAME, "seconds", "rate"}``
    so many a second at random moments, whatever the server does; one that is due while no
    connection is free waits for the next, and its delay counts from when it was due
``{"shut": NAME}``
    the connections end

An answer is good when its status is 200 and its body holds a result and no error. Python's own
HTTP client takes longer for a call than a server does, so the little HTTP that is needed stands here.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs

from timed.app.descriptors import raise_limit
from timed.errors import LocalError

HOST = "127.0.0.1"
SEED = 5
CONNECT_S = 30.0
DRAIN_S = 30.0
"""How long answers that are still due are waited for."""
READ_BYTES = 1 << 18
SPARE = 64
"""Descriptors of a process beside its connections."""
MOST_HOSTS = 60_000
US_PER_NS = 1e-3


@attrs.define
class Found:
    """What one stretch of load met. Delays in microseconds, of every answer."""

    seconds: float = 0.0
    delays: list[int] = attrs.Factory(list)
    wrong: int = 0
    """Answers that were no result."""
    lost: int = 0
    """Posts without an answer: the connection ended, or nothing came in `DRAIN_S`."""
    ended: int = 0
    """Connections that the server ended, posted to or not."""


def post(body: str, authorization: str) -> bytes:
    """One whole request."""
    data = body.encode("utf-8")
    lines = ["POST / HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    lines += [f"Content-Length: {len(data)}", "", ""]
    return "\r\n".join(lines).encode("ascii") + data


class Connection:
    """One client: posts, and finds the end of what comes back."""

    def __init__(self, port: int, posts: Sequence[bytes], first: int = 0, own: str = HOST) -> None:
        """Connect from the address `own`, and begin with the post at `first`."""
        self.socket = socket.create_connection((HOST, port), CONNECT_S, (own, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0
        """The nanosecond from which the delay of the answer counts."""
        self._posts = posts
        self._next = first
        self._received = b""
        self._size = 0
        """Bytes of the whole answer, 0 while its head is not here."""
        self.good = False

    def post(self, due: int) -> None:
        """Send the next request, which always fits: the answer to the last one is here."""
        self.due = due
        data = self._posts[self._next % len(self._posts)]
        self._next += 1
        if self.socket.send(data) != len(data):
            raise LocalError("a request does not fit into an empty connection.", "Ask for smaller batches.")

    def receive(self) -> bool:
        """True once the answer is whole; `good` says whether it is a result. OSError when the end came first."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError
        self._received += data
        if not self._size:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._size = end + 4 + length_of(self._received[: end + 2])
        if len(self._received) < self._size:
            return False
        answer, self._received, self._size = self._received, b"", 0
        self.good = (
            answer.startswith(b"HTTP/1.1 200 ") and b'"result"' in answer and b'"error":{' not in answer
        )
        return True


def length_of(head: bytes) -> int:
    """Bytes of the body behind a head whose every line has its end; LocalError when it does not say."""
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        raise LocalError("a server does not say how long its answer is.")
    return int(lower[at + 17 : lower.index(b"\r\n", at + 2)])


def host(number: int) -> str:
    """One of `MOST_HOSTS` loopback addresses."""
    return f"127.0.{number // 250}.{number % 250 + 1}"


class Clients:
    """Connections to one server."""

    def __init__(self, port: int, count: int, posts: Sequence[bytes], hosts: int = 1) -> None:
        if not 1 <= hosts <= MOST_HOSTS:
            raise LocalError(f"clients have 1 to {MOST_HOSTS} addresses.")
        raise_limit(count + SPARE)
        self._free: deque[Connection] = deque(
            Connection(port, posts, number % len(posts), host(number % hosts)) for number in range(count)
        )
        self._epoll = select.epoll()
        self._by_number = {each.socket.fileno(): each for each in self._free}
        self._busy = 0
        for number in self._by_number:
            self._epoll.register(number, select.EPOLLIN)

    def closed(self, seconds: float) -> Found:
        """Every client posts again as soon as it is answered."""
        found = Found()
        begun = time.monotonic_ns()
        end = begun + int(seconds * 1e9)
        while self._free:
            self._post(found, time.monotonic_ns())
        while self._busy and time.monotonic_ns() < end:
            self._turn(found, end)
            while self._free and time.monotonic_ns() < end:
                self._post(found, time.monotonic_ns())
        found.seconds = (time.monotonic_ns() - begun) / 1e9
        # What is still under way belongs to no stretch: the load has ended.
        self._drain(Found())
        return found

    def paced(self, seconds: float, rate: float, seed: int = SEED) -> Found:
        """Post at random moments, `rate` of them a second, and wait for every answer."""
        found = Found()
        source = random.Random(seed)
        begun = time.monotonic_ns()
        end = begun + int(seconds * 1e9)
        due = begun + int(source.expovariate(rate) * 1e9)
        waiting: deque[int] = deque()
        while due < end or waiting:
            now = time.monotonic_ns()
            while due <= now and due < end:
                waiting.append(due)
                due += int(source.expovariate(rate) * 1e9)
            while waiting and self._free:
                self._post(found, waiting.popleft())
            self._turn(found, end if waiting or due >= end else due)
            if now > end + DRAIN_S * 1e9:
                break
        self._drain(found)
        found.lost += len(waiting)
        found.seconds = (time.monotonic_ns() - begun) / 1e9
        return found

    def shut(self) -> None:
        """End every connection."""
        for connection in self._by_number.values():
            connection.socket.close()
        self._epoll.close()

    def _post(self, found: Found, due: int) -> None:
        """By the connection that has been free for longest."""
        connection = self._free.popleft()
        self._busy += 1
        try:
            connection.post(due)
        except OSError:
            self._drop(found, connection)

    def _turn(self, found: Found, until: int) -> None:
        """Take in what there is, waiting for it until a moment."""
        timeout = max(0.0, (until - time.monotonic_ns()) / 1e9)
        for number, _ in self._epoll.poll(timeout):
            connection = self._by_number[number]
            try:
                whole = connection.receive()
            except OSError:
                self._drop(found, connection)
                continue
            if whole:
                self._busy -= 1
                self._free.append(connection)
                found.wrong += not connection.good
                found.delays.append(int((time.monotonic_ns() - connection.due) * US_PER_NS))

    def _drop(self, found: Found, connection: Connection) -> None:
        """The server has ended it; nobody takes its place."""
        number = connection.socket.fileno()
        self._epoll.unregister(number)
        del self._by_number[number]
        connection.socket.close()
        found.ended += 1
        if connection in self._free:
            self._free.remove(connection)
        else:
            self._busy -= 1
            found.lost += 1

    def _drain(self, found: Found) -> None:
        end = time.monotonic_ns() + int(DRAIN_S * 1e9)
        while self._busy and time.monotonic_ns() < end:
            self._turn(found, end)
        found.lost += self._busy


class Orders:
    """The clients of every server, by its name."""

    def __init__(self) -> None:
        self._clients: dict[str, Clients] = {}

    def carry_out(self, order: dict[str, Any]) -> Any:
        """What one order is answered with."""
        if "open" in order:
            posts = [post(body, order.get("authorization", "")) for body in order["bodies"]]
            clients = Clients(order["port"], order["clients"], posts, order.get("hosts", 1))
            self._clients[order["open"]] = clients
            return order["clients"]
        if "closed" in order:
            return attrs.asdict(self._clients[order["closed"]].closed(order["seconds"]))
        if "paced" in order:
            return attrs.asdict(self._clients[order["paced"]].paced(order["seconds"], order["rate"]))
        self._clients.pop(order["shut"]).shut()
        return 0


def main() -> None:
    orders = Orders()
    for line in sys.stdin:
        print(json.dumps(orders.carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

"""WebSockets that follow a server's events, in a process of their own, cheap enough not to be what is measured.

It answers each order, a line of JSON on standard input, with a line on standard output:

``{"connect": PORT, "count", "hosts", "authorization", "say"}``
    so many sockets, by turns from so many addresses of this machine, each of which says one
    message and hears its answer; without ``say`` neither; how many there are
``{"hear": SECONDS, "after": NUMBER, "most": COUNT}``
    what came meanwhile of the events after that number, until they are so many unless that is 0: ``Heard``
``{"deaf": PORT, "authorization", "say"}``
    one more socket, with a small buffer, of which nothing is read
``{"ended": true}``
    whether the server has closed that one; what lay in its buffer is read only then
``{"leave": true}``
    all of them end

The delay of an event is from its own ``time_ms`` until it was read: one clock for all processes.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter
from typing import Any

import attrs

from timed.app.descriptors import raise_limit
from timed.bench.httpload import SPARE
from timed.errors import LocalError

HOST = "127.0.0.1"
PATIENCE_S = 60.0
READ_BYTES = 1 << 18
DEAF_BUFFER = 4_096
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
"""Opcodes (RFC 6455 §5.2)."""
SMALL, MEDIUM, LARGE = 125, 126, 127
NUMBER, TIME = b'"sequence":', b'"time_ms":'
EVENT = b'{"cursor":'
"""How an event begins; answers begin with ``op``."""
REQUEST = (
    "GET /events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{}\r\n"
)


@attrs.define
class Heard:
    """What one stretch brought, over all sockets: events by their number, and by their delay in milliseconds."""

    events: Counter[int] = attrs.field(factory=Counter)
    delays: Counter[int] = attrs.field(factory=Counter)
    ended: int = 0


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message of a client, masked with zeros."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size)) if size <= SMALL else bytes((0x80 | opcode, 0x80 | MEDIUM))
    more = b"" if size <= SMALL else size.to_bytes(2, "big")
    return head + more + bytes(4) + payload


def frames(data: bytearray) -> list[tuple[int, bytes]]:
    """The whole messages of a server at the beginning of `data`, taken out of it."""
    found, at = [], 0
    while len(data) - at >= 2:
        size, start = data[at + 1], at + 2
        if size > SMALL:
            width = 2 if size == MEDIUM else 8
            if len(data) < start + width:
                break
            size = int.from_bytes(data[start : start + width], "big")
            start += width
        if len(data) < start + size:
            break
        found.append((data[at] & 0x0F, bytes(data[start : start + size])))
        at = start + size
    del data[:at]
    return found


def number_in(text: bytes, name: bytes) -> int:
    """The number that follows the first `name` of a JSON text, a comma behind it."""
    at = text.index(name) + len(name)
    return int(text[at : text.index(b",", at)])


class Socket:
    """One client."""

    def __init__(self, port: int, authorization: str, own: str = HOST, buffer: int = 0) -> None:
        self.data = bytearray()
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.bind((own, 0))
        self.socket.connect((HOST, port))
        login = f"Authorization: {authorization}\r\n" if authorization else ""
        self.socket.sendall(REQUEST.format(login).encode("ascii"))
        while b"\r\n\r\n" not in self.data:
            self.read()
        head, _, rest = bytes(self.data).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise LocalError(f"the server says {head[:80].decode('latin-1')!r} to a WebSocket.")
        self.data = bytearray(rest)

    def read(self) -> None:
        """Take what is there; LocalError at the end."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise LocalError("the server has ended a WebSocket.")
        self.data += data

    def say(self, text: str) -> None:
        """A message, and wait for the answer."""
        self.socket.sendall(frame(TEXT, text.encode("utf-8")))
        while True:
            for _, payload in frames(self.data):
                if payload.startswith(b'{"op":"error"'):
                    raise LocalError(f"the server says {payload[:200].decode('utf-8', 'replace')}")
                if payload.startswith(b'{"op":'):
                    return
            self.read()


class Subscribers:
    """The sockets of one process."""

    def __init__(self) -> None:
        self._sockets: dict[int, Socket] = {}
        self._epoll = select.epoll()
        self._deaf: Socket | None = None

    def carry_out(self, order: dict[str, Any]) -> Any:
        """What one order is answered with."""
        if "connect" in order:
            return self.connect(order)
        if "hear" in order:
            return attrs.asdict(self.hear(order["hear"], order["after"], order["most"]))
        if "deaf" in order:
            self._deaf = Socket(order["deaf"], order["authorization"], buffer=DEAF_BUFFER)
            self._deaf.socket.sendall(frame(TEXT, order["say"].encode("utf-8")))
            return True
        if "ended" in order:
            return self.ended()
        return self.leave()

    def connect(self, order: dict[str, Any]) -> int:
        raise_limit(len(self._sockets) + order["count"] + SPARE)
        for number in range(order["count"]):
            made = Socket(order["connect"], order["authorization"], f"127.0.0.{2 + number % order['hosts']}")
            if order["say"]:
                made.say(order["say"])
            made.socket.setblocking(False)
            self._sockets[made.socket.fileno()] = made
            self._epoll.register(made.socket.fileno(), select.EPOLLIN)
        return len(self._sockets)

    def hear(self, seconds: float, after: int, most: int) -> Heard:
        """Read what comes, and answer pings."""
        heard = Heard()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for number, _ in self._epoll.poll(min(left, 0.5), 1_024):
                self._take(self._sockets[number], after, heard)
            if most and heard.events.total() >= most:
                break
        return heard

    def _take(self, one: Socket, after: int, heard: Heard) -> None:
        try:
            one.read()
        except (LocalError, OSError):
            self._drop(one, heard)
            return
        now_ms = time.time_ns() // 1_000_000
        for opcode, payload in frames(one.data):
            if opcode == PING:
                one.socket.sendall(frame(PONG, payload))
            elif opcode == CLOSE:
                self._drop(one, heard)
                return
            elif payload.startswith(EVENT):
                number = number_in(payload, NUMBER)
                if number > after:
                    heard.events[number] += 1
                    heard.delays[max(0, now_ms - number_in(payload, TIME))] += 1

    def _drop(self, one: Socket, heard: Heard) -> None:
        number = one.socket.fileno()
        self._epoll.unregister(number)
        self._sockets.pop(number).socket.close()
        heard.ended += 1

    def ended(self) -> dict[str, Any]:
        """Read the one that was not read until its end; the events that lay there, and its last words."""
        found: dict[str, Any] = {"events": 0, "cursor": "", "code": 0, "reason": ""}
        one, self._deaf = self._deaf, None
        if one is None:
            raise LocalError("there is no socket that was not read.")
        one.socket.settimeout(PATIENCE_S)
        with one.socket:
            while not found["code"]:
                try:
                    one.read()
                except (LocalError, OSError):
                    break
                for opcode, payload in frames(one.data):
                    if opcode == CLOSE:
                        found["code"] = int.from_bytes(payload[:2], "big")
                        found["reason"] = payload[2:].decode("utf-8", "replace")
                    elif payload.startswith(EVENT):
                        found["events"] += 1
                        found["cursor"] = json.loads(payload)["cursor"]
        return found

    def leave(self) -> int:
        left = len(self._sockets)
        for each in self._sockets.values():
            each.socket.close()
        self._sockets.clear()
        self._epoll.close()
        self._epoll = select.epoll()
        return left


def main() -> None:
    subscribers = Subscribers()
    for line in sys.stdin:
        print(json.dumps(subscribers.carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

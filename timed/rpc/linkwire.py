"""What goes over the local socket between the process that runs the node and an RPC process.

Lines of JSON in UTF-8, each ended by a line feed and bounded. Each side begins with a
`Hello`; then calls go one way and replies the other, in any order, told apart by their
numbers. A call holds the JSON-RPC request as the client sent it, a reply the response.
"""

from __future__ import annotations

from typing import Any

import msgspec

from timed import __version__
from timed.errors import TimedError
from timed.ledger.genesis import Genesis
from timed.rpc.dispatch import MAX_REPLY_BYTES

MAX_LINE_BYTES = MAX_REPLY_BYTES + 1024 * 1024
"""A line with the longest reply there is."""
LINE_FEED = b"\n"
PROTOCOL = 1

_encoder = msgspec.json.Encoder()
_exact = msgspec.json.Encoder(decimal_format="number")


class LinkError(TimedError):
    """The other side does not keep to this file, or is of another version or chain."""


class Hello(msgspec.Struct, frozen=True):
    """Who speaks."""

    timed: str
    protocol: int
    genesis: str

    @classmethod
    def of(cls, genesis: Genesis) -> Hello:
        return cls(__version__, PROTOCOL, genesis.hash.hex())

    def check(self, other: Hello, who: str) -> None:
        """LinkError unless both sides are of one version and one chain."""
        if (other.timed, other.protocol) != (self.timed, self.protocol):
            raise LinkError(
                f"{who} runs timed {other.timed} (protocol {other.protocol}), "
                f"this one timed {self.timed} (protocol {self.protocol})"
            )
        if other.genesis != self.genesis:
            raise LinkError(f"{who} follows the chain with genesis {other.genesis}, this one {self.genesis}")


class Behalf(msgspec.Struct, frozen=True):
    """On whose behalf a call is made."""

    permissions: list[str]
    user: str
    address: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: `hello`, or `bye` with the reason, or a call or reply `id`, or `cancel` with a call's number."""

    hello: Hello | None = None
    bye: str | None = None
    id: int | None = None
    caller: Behalf | None = None
    body: msgspec.Raw = msgspec.Raw(b"")
    status: int = 200
    retry_after_s: int = 0
    cancel: int | None = None


_decoder = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    return _encoder.encode(line) + LINE_FEED


def decode(data: bytes) -> Line:
    """The line in `data`; LinkError when it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise LinkError(f"a line that cannot be read ({error})") from None


def request(method: str, params: Any) -> msgspec.Raw:
    """The JSON-RPC request of a call; numbers as exact as they came."""
    return msgspec.Raw(_exact.encode({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}))


class Lines:
    """Bytes as they arrive, cut into lines."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their ends; LinkError when one is longer than the limit."""
        *ended, rest = data.split(LINE_FEED)
        lines = []
        for part in ended:
            self._add(part)
            lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        self._add(rest)
        return lines

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise LinkError(f"a line of more than {self._limit} bytes")
        if part:
            self._parts.append(part)

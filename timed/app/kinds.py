"""The kinds of value a configuration key may hold.

A kind turns text into a value and back; what it refuses, it refuses with a
ValueError whose text completes the sentence "section.key …".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")

MAX_PORT = 65_535
NODE_ID_SIZE = 32


@attrs.frozen
class Kind(Generic[T]):
    """`parse` raises ValueError; `show` gives text that `parse` accepts again."""

    name: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = attrs.field(default=str)


@attrs.frozen
class PeerAddress:
    """Where a peer is dialled, and the node id it must prove, if it is known."""

    host: str
    port: int
    node_id: bytes | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        prefix = f"{self.node_id.hex()}@" if self.node_id is not None else ""
        return f"{prefix}{host}:{self.port}"


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    if not digits.isascii() or not digits.removeprefix("-").isdigit():
        raise ValueError(f"must be a whole number, not {text!r}")
    return int(digits)


def integer(low: int, high: int) -> Kind[int]:
    """A whole number between two bounds, both included."""

    def parse(text: str) -> int:
        value = _integer(text)
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}, not {value}")
        return value

    return Kind(f"whole number, {low} to {high}", parse)


def _port(text: str) -> int | None:
    if text == "auto":
        return None
    value = _integer(text)
    if not 1 <= value <= MAX_PORT:
        raise ValueError(f"must be a port between 1 and {MAX_PORT} or 'auto', not {text!r}")
    return value


def _flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"must be yes or no, not {text!r}")
    return text == "yes"


def _text(text: str) -> str:
    if any(ord(character) < 0x20 for character in text):
        raise ValueError("must not hold control characters")
    return text


def choice(*names: str) -> Kind[str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {text!r}")
        return text

    return Kind(" | ".join(names), parse)


def _words(text: str) -> tuple[str, ...]:
    words = tuple(text.replace(",", " ").split())
    if len(set(words)) != len(words):
        raise ValueError("names something twice")
    return words


def _host(text: str) -> str:
    if not text or any(character.isspace() or character in "/@," for character in text):
        raise ValueError(f"must be a host name or address, not {text!r}")
    return text


def parse_peer(text: str) -> PeerAddress:
    """`host:port`, `[v6]:port`, either with `node id in hex@` before it."""
    identity, at, address = text.rpartition("@")
    node_id = None
    if at:
        try:
            node_id = bytes.fromhex(identity)
        except ValueError:
            node_id = b""
        if len(node_id) != NODE_ID_SIZE:
            raise ValueError(f"names the peer {text!r}, whose node id is not 64 hexadecimal digits")
    host, colon, port_text = address.rpartition(":")
    if not colon or not port_text.isascii() or not port_text.isdigit():
        raise ValueError(f"names the peer {text!r}, which is not host:port")
    port = int(port_text)
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"names the peer {text!r}, whose port is not between 1 and {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return PeerAddress(_host(host), port, node_id)


def _peers(text: str) -> tuple[PeerAddress, ...]:
    return tuple(parse_peer(word) for word in _words(text))


def _node_ids(text: str) -> tuple[bytes, ...]:
    ids = []
    for word in _words(text):
        try:
            ids.append(bytes.fromhex(word))
        except ValueError:
            ids.append(b"")
        if len(ids[-1]) != NODE_ID_SIZE:
            raise ValueError(f"names the node {word!r}, which is not 64 hexadecimal digits")
    return tuple(ids)


def _name(text: str) -> str:
    if not text or len(text.split()) != 1 or "," in text:
        raise ValueError(f"must be one name, not {text!r}")
    return text


def _show_list(values: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in values)


NODE_IDS: Kind[tuple[bytes, ...]] = Kind(
    "list of node ids", _node_ids, lambda ids: ", ".join(node_id.hex() for node_id in ids)
)
FLAG: Kind[bool] = Kind("yes | no", _flag, lambda value: "yes" if value else "no")
HOST: Kind[str] = Kind("host or address", _host)
NAME: Kind[str] = Kind("name", _name)
PATH: Kind[str] = Kind("path", _text)
PEERS: Kind[tuple[PeerAddress, ...]] = Kind("list of [node-id@]host:port", _peers, _show_list)
PORT: Kind[int | None] = Kind("port | auto", _port, lambda value: "auto" if value is None else str(value))
TEXT: Kind[str] = Kind("text", _text)
WORDS: Kind[tuple[str, ...]] = Kind("list of names", _words, _show_list)

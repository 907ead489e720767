"""What a node remembers of its peers from one process to the next, as one JSON text.

It is a convenience, never a state that anything rests on: a text that cannot be
read is refused with the way to mend it, and a node without one starts as well.
"""

from __future__ import annotations

import json
from typing import Any

import attrs

from timed.errors import LocalError
from timed.peer.addressbook import Record
from timed.peer.bans import Ban, parse_subject, subject_text
from timed.peer.location import MAX_PORT, NODE_ID_SIZE
from timed.peer.values import PeerAddress

FORMAT = 1
SECRET_BYTES = 32
MAX_TEXT = 255
"""Bytes of a host or a reason."""


@attrs.frozen
class Memory:
    """Addresses with the secret of their buckets, whom to dial first, and bans."""

    secret: bytes
    records: tuple[Record, ...] = ()
    anchors: tuple[PeerAddress, ...] = ()
    bans: tuple[Ban, ...] = ()

    def to_json(self) -> str:
        """One JSON object, each of its entries on a line of its own."""
        parts = [f'"format": {FORMAT}', f'"secret": "{self.secret.hex()}"']
        for name, values in (("addresses", self.records), ("anchors", self.anchors), ("bans", self.bans)):
            lines = ",\n".join(json.dumps(_plain(value)) for value in values)
            parts.append(f'"{name}": [\n{lines}]')
        return "{" + ",\n".join(parts) + "}\n"

    @classmethod
    def from_json(cls, text: str) -> Memory:
        """LocalError when this is not a text of `to_json`."""
        try:
            held = json.loads(text)
            if held["format"] != FORMAT:
                raise ValueError(f"its format is {held['format']}")
            secret = bytes.fromhex(held["secret"])
            if len(secret) != SECRET_BYTES:
                raise ValueError("its secret is too short or too long")
            return cls(
                secret,
                tuple(_made(Record, fields) for fields in held["addresses"]),
                tuple(_made(PeerAddress, fields) for fields in held["anchors"]),
                tuple(_made(Ban, fields) for fields in held["bans"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError, LocalError) as error:
            raise LocalError(
                f"what is remembered of peers cannot be read ({error}).",
                "Remove the file: the node finds its peers anew.",
            ) from error


_TYPES = {"str": str, "int": int, "bool": bool}


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in attrs.fields(type(value)):
        held = getattr(value, field.name)
        if field.name == "subject":
            held = subject_text(held)
        plain[field.name] = held.hex() if isinstance(held, bytes) else held
    return plain


def _made(cls: type[Any], fields: dict[str, Any]) -> Any:
    """An instance whose fields have the declared types; ValueError, KeyError or LocalError."""
    return cls(
        **{field.name: _field(field.name, str(field.type), fields[field.name]) for field in attrs.fields(cls)}
    )


def _field(name: str, kind: str, value: Any) -> Any:
    if kind == "Subject":
        return parse_subject(value)
    if kind.startswith("bytes"):
        if value is None and "None" in kind:
            return None
        value = bytes.fromhex(value)
        if len(value) != NODE_ID_SIZE:
            raise ValueError(f"{name} has {len(value)} bytes")
    elif type(value) is not _TYPES[kind]:
        raise ValueError(f"{name} is a {type(value).__name__}")
    elif isinstance(value, str) and len(value.encode("utf-8")) > MAX_TEXT:
        raise ValueError(f"{name} has {len(value)} characters")
    elif name == "port" and value not in range(1, MAX_PORT + 1):
        raise ValueError(f"{name} is {value}")
    return value

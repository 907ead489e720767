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
from timed.peer.conduct import Ban
from timed.peer.values import PeerAddress

FORMAT = 1


@attrs.frozen
class Memory:
    """Addresses with the secret of their buckets, whom to dial first, and bans."""

    secret: bytes
    records: tuple[Record, ...] = ()
    anchors: tuple[PeerAddress, ...] = ()
    bans: tuple[Ban, ...] = ()

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(
            {
                "format": FORMAT,
                "secret": self.secret.hex(),
                "addresses": [_plain(record) for record in self.records],
                "anchors": [_plain(anchor) for anchor in self.anchors],
                "bans": [_plain(ban) for ban in self.bans],
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Memory:
        """LocalError when this is not a text of `to_json`."""
        try:
            held = json.loads(text)
            if held["format"] != FORMAT:
                raise ValueError(f"its format is {held['format']}")
            return cls(
                bytes.fromhex(held["secret"]),
                tuple(_made(Record, fields) for fields in held["addresses"]),
                tuple(_made(PeerAddress, fields) for fields in held["anchors"]),
                tuple(_made(Ban, fields) for fields in held["bans"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LocalError(
                f"what is remembered of peers cannot be read ({error}).",
                "Remove the file: the node finds its peers anew.",
            ) from error


_TYPES = {"str": str, "int": int, "bool": bool}


def _plain(value: Any) -> dict[str, Any]:
    fields = attrs.asdict(value, recurse=False)
    return {name: field.hex() if isinstance(field, bytes) else field for name, field in fields.items()}


def _made(cls: type[Any], fields: dict[str, Any]) -> Any:
    """An instance whose fields have the declared types; ValueError or KeyError."""
    made: dict[str, Any] = {}
    for field in attrs.fields(cls):
        value = fields[field.name]
        kind = str(field.type)
        if kind.startswith("bytes"):
            value = None if value is None and "None" in kind else bytes.fromhex(value)
        elif type(value) is not _TYPES[kind]:
            raise ValueError(f"{field.name} is {value!r}")
        made[field.name] = value
    return cls(**made)

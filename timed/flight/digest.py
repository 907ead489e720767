"""One number for everything a node knows, by which two executions are compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any

import blake3
import msgspec

from timed.flight.freeze import Outside
from timed.ledger.ledger import Ledger
from timed.node.exchange import Sent
from timed.node.node import Node
from timed.peer.costs import Costs
from timed.peer.intake import Lanes
from timed.wire.compression import Packing

_STRUCTS = msgspec.msgpack.Encoder()
LEFT_OUT: Mapping[type, frozenset[str]] = {
    Packing: frozenset({"_compressor", "_decompressor"}),
    Ledger: frozenset({"_headers", "_coins"}),
    Costs: frozenset({"spent", "clock", "named", "whose", "_at", "_name", "_weight"}),
    Lanes: frozenset({"spent_ns"}),
}
"""What is no part of the state: caches and tables that are filled when needed, and CPU times."""


def state_digest(node: Node) -> bytes:
    """The digest of all that can be reached from `node` but what is `Outside`.

    Mappings and sequences count in their order, sets in the order of their elements'
    digests, functions by name and by what their cells hold. An object that was met
    before counts as the number of its first meeting.
    """
    return _Walk().digest(node)


class _Walk:
    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._kept: list[object] = []
        """So that no id() is used twice during the walk."""

    def digest(self, root: object) -> bytes:
        hasher, encode = blake3.blake3(), _STRUCTS.encode
        stack: list[object] = [root]
        while stack:
            one = stack.pop()
            if isinstance(one, Outside):
                hasher.update(b"o")
            elif isinstance(one, int):
                hasher.update(f"{type(one).__name__}:{int(one):x};".encode())
            elif one is None or isinstance(one, (float, str)):
                hasher.update(f"{type(one).__name__}:{one!r};".encode())
            elif isinstance(one, (bytes, bytearray, memoryview)):
                hasher.update(b"b%d:" % len(one))
                hasher.update(one)
            elif isinstance(one, type):
                hasher.update(f"t:{one.__module__}.{one.__qualname__};".encode())
            elif isinstance(one, msgspec.Struct):
                hasher.update(b"s:%b:" % type(one).__name__.encode())
                hasher.update(encode(one))
            elif isinstance(one, tuple) or _is_value(one):
                parts = self._parts(one)
                hasher.update(f"v:{type(one).__name__}:{len(parts)};".encode())
                stack.extend(reversed(parts))
            elif (number := self._met.get(id(one))) is not None:
                hasher.update(b"m%d;" % number)
            else:
                self._met[id(one)] = len(self._met)
                self._kept.append(one)
                parts = self._parts(one)
                hasher.update(f"{_name(one)}:{len(parts)};".encode())
                stack.extend(reversed(parts))
        return hasher.digest()

    def _parts(self, one: Any) -> list[Any]:
        if isinstance(one, (set, frozenset)):
            return sorted(_Walk().digest(element) for element in one)
        if isinstance(one, FunctionType):
            return list(one.__closure__ or ())
        if isinstance(one, CellType):
            try:
                return [one.cell_contents]
            except ValueError:
                return []
        if isinstance(one, (MethodType, BuiltinMethodType)):
            return [one.__self__, one.__name__]
        found: list[object] = []
        if isinstance(one, dict):
            for key, value in one.items():
                found += (key, value)
        elif isinstance(one, (list, tuple)) or hasattr(one, "popleft"):
            found += one
        elif hasattr(one, "getstate"):
            found.append(one.getstate())
        elif isinstance(one, Sent):
            return list(one)
        elif type(one).__module__ in ("ipaddress", "itertools"):
            found.append(repr(one))
        return found + _fields(one)


def _name(one: object) -> str:
    if isinstance(one, FunctionType):
        return f"f:{one.__module__}.{one.__qualname__}"
    return type(one).__name__


def _is_value(one: object) -> bool:
    """What is equal to its equals for ever: counted wherever it is met."""
    return isinstance(one, frozenset) or getattr(type(one).__setattr__, "__name__", "") == "_frozen_setattrs"


def _fields(one: object) -> list[object]:
    """The attributes of an object, in the order in which its classes name them."""
    kind = type(one)
    skipped: frozenset[str] = LEFT_OUT.get(kind, frozenset())
    found: list[object] = []
    for base in reversed(kind.__mro__):
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else tuple(slots):
            name = (
                f"_{base.__name__.lstrip('_')}{slot}"
                if slot.startswith("__") and not slot.endswith("__")
                else slot
            )
            if name not in skipped and name != "__weakref__" and hasattr(one, name):
                found.append(getattr(one, name))
    for name, value in vars(one).items() if hasattr(one, "__dict__") else ():
        if name not in skipped:
            found += (name, value)
    return found

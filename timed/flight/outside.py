"""What a recorded node has instead of its store, its keys and its callers' functions.

Their answers go on the tape, so that a replay needs neither disk nor secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from zope.interface import implementer

from timed.crypto.keys import SigningKey
from timed.flight.freeze import Outside
from timed.interfaces import BlockCommit, Coin, IReads, IStore, StoredTip
from timed.primitives.hashing import crc32c
from timed.primitives.transaction import OutPoint

Note = Callable[[str, "tuple[Any, ...]", object], None]


@implementer(IStore)
class TapedStore(Outside):
    """A store whose answers to the node are noted: `note(method, arguments, result)`."""

    name = "store"

    def __init__(self, store: IStore, note: Note) -> None:
        self._store = store
        self._note = note

    def tip(self) -> StoredTip | None:
        return cast("StoredTip | None", self._noted("tip"))

    def block(self, height: int) -> bytes | None:
        return cast("bytes | None", self._noted("block", height))

    def header(self, height: int) -> bytes | None:
        return cast("bytes | None", self._noted("header", height))

    def certificate(self, height: int) -> bytes | None:
        return cast("bytes | None", self._noted("certificate", height))

    def height_of(self, block_hash: bytes) -> int | None:
        return cast("int | None", self._noted("height_of", block_hash))

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        return cast("tuple[int, int] | None", self._noted("locate", txid))

    def coin(self, outpoint: OutPoint) -> Coin | None:
        return cast("Coin | None", self._noted("coin", outpoint))

    def _noted(self, method: str, *arguments: object) -> object:
        result = getattr(self._store, method)(*arguments)
        self._note(method, arguments, result)
        return result

    # What a node asks at its start alone, or never.

    def coins(self) -> Any:
        return self._store.coins()

    def usage(self) -> Any:
        return self._store.usage()

    def snapshot(self) -> AbstractContextManager[IReads]:
        return self._store.snapshot()

    def append(self, records: Sequence[bytes]) -> None:
        self._store.append(records)

    def commit(self, commit: BlockCommit) -> None:
        self._store.commit(commit)

    def replay(self) -> Iterable[bytes]:
        return self._store.replay()

    @property
    def doubtful(self) -> bool:
        return bool(self._store.doubtful)

    @property
    def notes(self) -> Any:
        return self._store.notes

    def close(self) -> None:
        self._store.close()


class TapedKey(Outside, SigningKey):
    """A key whose signatures are noted: `note(name, checksum of the message, signature)`."""

    __slots__ = ("_key", "_note", "name")

    def __init__(self, name: str, key: SigningKey, note: Callable[[str, int, bytes], None]) -> None:
        SigningKey.__init__(self, b"", key.public, key._backend)
        self.name = name
        self._key = key
        self._note = note

    def sign(self, message: bytes) -> bytes:
        signature = self._key.sign(message)
        self._note(self.name, crc32c(message), signature)
        return signature

    def derive(self, purpose: str) -> bytes:
        return self._key.derive(purpose)


class Told(Outside):
    """A caller's function that the node calls when it knows; a copy of it tells nobody."""

    name = "told"

    def __init__(self, function: Callable[..., object] | None = None) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> None:
        if self._function is not None:
            self._function(*arguments)

"""The wallet's keys: which there are, what they are for, and the next unused one.

Keys come from a pool that is on disk before any of them is handed out, so a copy
of the wallet file is good for the next `POOL_SIZE` addresses as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs

from timed.crypto.keys import SigningKey, generate
from timed.errors import LocalError
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, key_hash
from timed.wallet.walletfile import Record

POOL_SIZE = 100
"""Unused keys kept on disk."""
REFILL_AT = 50

RECEIVE, CHANGE, POOL = "receive", "change", "pool"


@attrs.define
class WalletKey:
    """One key; `role` is pool until it is handed out."""

    key: SigningKey
    role: str = POOL
    label: str = ""

    @property
    def hash(self) -> bytes:
        return key_hash(self.key.public)

    @property
    def lock(self) -> Lock:
        return Lock.key_hash(self.key.public)


class Keystore:
    """All keys by key hash.

    Every change goes as a record to `outbox`; make what stands there durable before
    a key is shown. `take` reserves a key at once: two callers never get the same one.
    """

    def __init__(self, entropy: Callable[[int], bytes], outbox: list[Record]) -> None:
        self._entropy = entropy
        self._outbox = outbox
        self._keys: dict[bytes, WalletKey] = {}
        self._pool: deque[WalletKey] = deque()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: bytes) -> bool:
        return name in self._keys

    def __iter__(self) -> Iterator[WalletKey]:
        return iter(self._keys.values())

    def get(self, name: bytes) -> WalletKey | None:
        """The key whose hash is `name`."""
        return self._keys.get(name)

    def label_of(self, name: bytes) -> str:
        key = self._keys.get(name)
        return key.label if key is not None else ""

    def owns(self, lock: Lock) -> bool:
        """True when one key of this wallet alone opens `lock`."""
        return lock.kind == LOCK_KEY_HASH and lock.data in self._keys

    def restore(self, records: Iterable[Record]) -> None:
        """Take over the key records of a wallet file."""
        try:
            for record in records:
                self._apply(record)
        except (KeyError, TypeError, ValueError) as error:
            raise LocalError(
                f"a key in the wallet file is damaged ({error!r}).", "Restore it from a backup."
            ) from None
        self._pool = deque(key for key in self._keys.values() if key.role == POOL)

    def refill(self) -> None:
        """Make new pool keys when few are left."""
        if len(self._pool) >= REFILL_AT:
            return
        for _ in range(POOL_SIZE - len(self._pool)):
            key = WalletKey(generate(self._entropy))
            self._add(key)
            self._pool.append(key)

    def adopt(self, seed: bytes, label: str) -> WalletKey:
        """Take in a key made elsewhere; nothing happens when it is here already."""
        key = WalletKey(SigningKey.from_seed(seed), RECEIVE, label)
        known = self._keys.get(key.hash)
        if known is not None:
            return known
        self._add(key)
        return key

    def take(self, role: str, label: str = "") -> WalletKey:
        """The next unused key, now used for `role`."""
        self.refill()
        key = self._pool.popleft()
        key.role, key.label = role, label
        self._outbox.append({"issue": {"key": key.hash.hex(), "role": role, "label": label}})
        return key

    def records(self) -> list[Record]:
        """What a snapshot holds."""
        return [_key_record(key) for key in self._keys.values()]

    def _add(self, key: WalletKey) -> None:
        self._keys[key.hash] = key
        self._outbox.append(_key_record(key))

    def _apply(self, record: Record) -> None:
        if "key" in record:
            fields = record["key"]
            key = WalletKey(
                SigningKey.from_seed(bytes.fromhex(fields["seed"])), fields["role"], fields["label"]
            )
            self._keys.setdefault(key.hash, key)
        elif "issue" in record:
            fields = record["issue"]
            issued = self._keys[bytes.fromhex(fields["key"])]
            issued.role, issued.label = fields["role"], fields["label"]


def _key_record(key: WalletKey) -> Record:
    return {"key": {"seed": key.key.seed.hex(), "role": key.role, "label": key.label}}

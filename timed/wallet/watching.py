"""Locks of others that the wallet looks after: it shows their coins and can not spend them."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from timed.crypto.sizes import PUBLIC_KEY_SIZE
from timed.errors import WalletFull
from timed.primitives.transaction import Lock
from timed.wallet.walletkey import Record

MAX_WATCHED = 100_000
"""Locks; an import beyond it is refused."""


@attrs.frozen
class Watched:
    """A lock, what it is called, and the public key with its place in another wallet when they are known."""

    lock: Lock
    label: str = ""
    public: bytes | None = None
    seed: str = ""
    path: str = ""

    def record(self) -> Record:
        public = self.public.hex() if self.public is not None else None
        return {
            "watch": {
                "lock": self.lock.encode().hex(),
                "label": self.label,
                "public": public,
                "seed": self.seed,
                "path": self.path,
            }
        }

    @classmethod
    def of_record(cls, record: Record) -> Watched:
        """The reverse of `record`; KeyError, TypeError, ValueError or DecodeError when it is damaged."""
        fields = record["watch"]
        public = None if fields["public"] is None else bytes.fromhex(fields["public"])
        if public is not None and len(public) != PUBLIC_KEY_SIZE:
            raise ValueError("a public key of another length")
        lock = Lock.decode(bytes.fromhex(fields["lock"]))
        return cls(lock, str(fields["label"]), public, str(fields["seed"]), str(fields["path"]))


class Watchlist:
    """What is watched, by lock."""

    def __init__(self) -> None:
        self._watched: dict[Lock, Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, lock: Lock) -> bool:
        return lock in self._watched

    def __iter__(self) -> Iterator[Watched]:
        return iter(self._watched.values())

    def get(self, lock: Lock) -> Watched | None:
        return self._watched.get(lock)

    def add(self, watched: Watched) -> None:
        """Take it in, or replace what is known of its lock; WalletFull when there are too many."""
        if watched.lock not in self._watched and len(self._watched) >= MAX_WATCHED:
            raise WalletFull(
                f"a wallet watches {MAX_WATCHED} addresses at most.", "Watch more with another node."
            )
        self._watched[watched.lock] = watched

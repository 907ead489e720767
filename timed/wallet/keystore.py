"""The wallet's keys: which there are, what they are for, and the next unused one.

Keys come from a pool that is on disk before any of them is handed out, so a copy
of the wallet file is good for the next `POOL_SIZE` addresses as well. The pool
holds public keys of the seed's two branches; a locked wallet hands them out, too.
A wallet without a seed makes its keys at random.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import attrs

from timed.crypto.keys import SigningKey, generate
from timed.errors import DecodeError, LocalError, PoolEmpty, WalletLocked
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, key_hash
from timed.wallet.sealing import DataKey, Vault
from timed.wallet.walletkey import BRANCHES as BRANCHES
from timed.wallet.walletkey import CHANGE as CHANGE
from timed.wallet.walletkey import POOL as POOL
from timed.wallet.walletkey import RECEIVE as RECEIVE
from timed.wallet.walletkey import ROLES, Place, Record, WalletSeed
from timed.wallet.walletkey import WalletKey as WalletKey
from timed.wallet.watching import Watched, Watchlist

POOL_SIZE = 100
"""Unused keys kept on disk, for each branch."""
REFILL_AT = 50


class Keystore:
    """All keys by key hash.

    Every change goes as a record to `outbox`; make what stands there durable before
    a key is shown. `take` reserves a key at once: two callers never get the same one.
    """

    def __init__(self, entropy: Callable[[int], bytes], outbox: list[Record]) -> None:
        self._entropy = entropy
        self._outbox = outbox
        self._keys: dict[bytes, WalletKey] = {}
        self._seeds: dict[str, WalletSeed] = {}
        self._pools: dict[str, deque[WalletKey]] = {RECEIVE: deque(), CHANGE: deque()}
        """Unused keys of the seed in use, in the order of their numbers."""
        self._loose: deque[WalletKey] = deque()
        """Unused keys that were made at random."""
        self._ends: dict[tuple[str, int], int] = {}
        """The first number of each branch that has no key yet."""
        self.seed: WalletSeed | None = None
        """The one that new keys come from."""
        self.vault: Vault | None = None
        self._data_key: DataKey | None = None
        self.watched = Watchlist()
        self.joined: Callable[[Lock], object] = lambda lock: None
        """Told of every key that is new here."""

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
        """The label of the key whose hash is `name`, or of a watched address."""
        key = self._keys.get(name)
        if key is not None:
            return key.label
        watched = self.watched.get(Lock(LOCK_KEY_HASH, name))
        return watched.label if watched is not None else ""

    def key_of(self, lock: Lock) -> WalletKey | None:
        """The key of this wallet that alone opens `lock`."""
        return self._keys.get(lock.data) if lock.kind == LOCK_KEY_HASH else None

    def owns(self, lock: Lock) -> bool:
        """True when one key of this wallet alone opens `lock`."""
        return lock.kind == LOCK_KEY_HASH and lock.data in self._keys

    def watches(self, lock: Lock) -> bool:
        """True when the wallet looks after the coins under `lock`, its own or not."""
        return self.owns(lock) or lock in self.watched

    # Seeds, and the pool.

    @property
    def seeds(self) -> tuple[WalletSeed, ...]:
        return tuple(self._seeds.values())

    def names(self) -> frozenset[str]:
        """What tells this wallet from others: its seeds by id; without a seed its first key."""
        if not self._seeds:
            return frozenset(key.hash.hex() for key in islice(self._keys.values(), 1))
        return frozenset(self._seeds)

    def plant(self, seed: WalletSeed) -> None:
        """Take new keys from `seed` from now on; WalletLocked when it could not be sealed."""
        if seed.id not in self._seeds:
            if self.vault is not None:
                seed.sealed = self._open_key().seal(seed.name, seed.secret, self._entropy)
            self._seeds[seed.id] = seed
        self._outbox.append(self._seeds[seed.id].record())
        self._use(seed.id)
        self.refill()

    def refill(self) -> None:
        """Make new pool keys when few are left; a locked wallet can not."""
        if self.seed is None:
            if not self.locked and len(self._loose) < REFILL_AT:
                for _ in range(POOL_SIZE - len(self._loose)):
                    self._loose.append(self._add(WalletKey.single(generate(self._entropy))))
        elif self.seed.open:
            for role, pool in self._pools.items():
                if len(pool) < REFILL_AT:
                    self.derive(role, POOL_SIZE - len(pool))

    def derive(self, role: str, count: int) -> int:
        """Make the next `count` pool keys of the seed's branch for `role`; how many were made."""
        seed, branch = self.seed, BRANCHES[role]
        if seed is None or not seed.open:
            return 0
        first = self._ends.get((seed.id, branch), 0)
        for index in range(first, first + count):
            public = seed.key(branch, index).public
            key = self._keys.get(key_hash(public))
            if key is None:
                key = self._add(WalletKey(public, place=Place(seed.id, branch, index)))
            if key.role == POOL:
                self._pools[role].append(key)
            self._ends[seed.id, branch] = index + 1
        return count

    def end_of(self, role: str) -> int:
        """The number after the last key of the seed's branch for `role`."""
        return 0 if self.seed is None else self._ends.get((self.seed.id, BRANCHES[role]), 0)

    def unused(self, role: str) -> int:
        """How many keys for `role` can be handed out before the wallet must be open."""
        return len(self._loose if self.seed is None else self._pools[role])

    def saw(self, lock: Lock) -> bool:
        """A coin has come to `lock`: it and the pool keys before it count as handed out.

        So a wallet restored from its phrase, or used on two machines, never hands
        out an address that has been used. True when the pool has moved.
        """
        key = self._keys.get(lock.data) if lock.kind == LOCK_KEY_HASH else None
        if key is None or key.role != POOL or key.place is None:
            return False
        place, role = key.place, ROLES[key.place.branch]
        if self.seed is None or place.seed != self.seed.id:
            self._issue(key, role, "")
            return True
        pool = self._pools[role]
        while pool and pool[0].place is not None and pool[0].place.index <= place.index:
            self._issue(pool.popleft(), role, "")
        return True

    def take(self, role: str, label: str = "") -> WalletKey:
        """The next unused key, now used for `role`; PoolEmpty when a locked wallet has none left."""
        self.refill()
        pool = self._loose if self.seed is None else self._pools[role]
        if not pool:
            raise PoolEmpty(
                "the locked wallet has no unused address left.", "Unlock it with walletpassphrase once."
            )
        return self._issue(pool.popleft(), role, label)

    def adopt(self, seed: bytes, label: str, role: str = RECEIVE) -> WalletKey:
        """Take in a key made elsewhere, as one that was handed out; nothing happens when it is here already.

        WalletLocked when it could not be sealed.
        """
        key = WalletKey.single(SigningKey.from_seed(seed), role, label)
        known = self._keys.get(key.hash)
        return known if known is not None else self._add(key)

    def label(self, lock: Lock, label: str) -> bool:
        """Name an address; False when the wallet does not know it."""
        key = self._keys.get(lock.data) if self.owns(lock) else None
        watched = self.watched.get(lock)
        if key is not None:
            role = key.role
            if role == POOL:
                self._unpool(key)
                role = ROLES[key.place.branch] if key.place is not None else RECEIVE
            self._issue(key, role, label)
        elif watched is not None:
            self.watch(attrs.evolve(watched, label=label))
        return key is not None or watched is not None

    def watch(self, watched: Watched) -> None:
        """Look after a lock from now on."""
        self.watched.add(watched)
        self._outbox.append(watched.record())

    # The passphrase.

    @property
    def locked(self) -> bool:
        return self.vault is not None and self._data_key is None

    def path_of(self, key: WalletKey) -> tuple[int, ...]:
        """The whole path of a key from a seed; () for a single one."""
        place = key.place
        return () if place is None else (*self._seeds[place.seed].account, place.branch, place.index)

    def check_open(self) -> None:
        """WalletLocked when secrets can not be had now."""
        if self.locked:
            raise WalletLocked

    def signing_key(self, key: WalletKey) -> SigningKey:
        """The key pair; WalletLocked, or LocalError when the file says another public key."""
        self.check_open()
        if key.place is not None:
            pair = self._seeds[key.place.seed].key(key.place.branch, key.place.index)
        elif key.secret is not None:
            pair = key.secret
        else:
            pair = SigningKey.from_seed(self._open_key().open(key.name, key.sealed))
        if pair.public != key.public:
            raise LocalError("a key of the wallet is damaged.", "Restore it from a backup or its phrase.")
        return pair

    def protect(self, vault: Vault, key: DataKey) -> None:
        """Seal every secret under `key`, which `vault` wraps; the wallet stays open.

        The file must be replaced as a whole after it: records of before hold secrets.
        """
        for each in self._keys.values():
            if each.secret is not None:
                each.sealed = key.seal(each.name, each.secret.seed, self._entropy)
                each.secret = None
        for seed in self._seeds.values():
            seed.sealed = key.seal(seed.name, seed.secret, self._entropy)
        self.vault, self._data_key = vault, key

    def rewrap(self, vault: Vault) -> None:
        """Another passphrase opens the same data key from now on."""
        self.vault = vault

    def unlock(self, key: DataKey, *, grow: bool = True) -> None:
        """Open the seeds; the pool grows again, unless nothing can be written. LocalError when one is damaged: all stay closed."""
        try:
            for seed in self._seeds.values():
                seed.unseal(key)
        except LocalError:
            for seed in self._seeds.values():
                seed.close()
            raise
        if self._data_key is not None and self._data_key is not key:
            self._data_key.clear()
        self._data_key = key
        if grow:
            self.refill()

    def lock(self) -> None:
        """Forget every secret; nothing happens without a passphrase."""
        if self.vault is None or self._data_key is None:
            return
        self._data_key.clear()
        self._data_key = None
        for seed in self._seeds.values():
            seed.close()

    # Records.

    def restore(self, records: Iterable[Record]) -> None:
        """Take over the key records of a wallet file."""
        try:
            for record in records:
                self._apply(record)
        except (AttributeError, LookupError, TypeError, ValueError, DecodeError) as error:
            # The record itself may hold a secret: only the kind of the trouble is told.
            raise LocalError(
                f"a key in the wallet file is damaged ({type(error).__name__}).", "Restore it from a backup."
            ) from None
        if self.seed is not None:
            self._use(self.seed.id)
        self._loose = deque(key for key in self._keys.values() if key.role == POOL and key.place is None)

    def records(self) -> list[Record]:
        """What a snapshot holds."""
        vault = [{"vault": self.vault.fields()}] if self.vault is not None else []
        seeds = [seed.record() for seed in self._seeds.values() if seed is not self.seed]
        active = [self.seed.record()] if self.seed is not None else []
        keys = [key.record() for key in self._keys.values()]
        return [*vault, *seeds, *active, *keys, *(watched.record() for watched in self.watched)]

    def _open_key(self) -> DataKey:
        if self._data_key is None:
            raise WalletLocked
        return self._data_key

    def _use(self, name: str) -> None:
        """Take new keys from the seed called `name`."""
        self.seed = self._seeds[name]
        for role, branch in BRANCHES.items():
            mine = [key for key in self._keys.values() if key.place is not None and
                    (key.place.seed, key.place.branch) == (name, branch)]  # fmt: skip
            mine.sort(key=lambda key: key.place.index if key.place is not None else 0)
            self._ends[name, branch] = mine[-1].place.index + 1 if mine and mine[-1].place is not None else 0
            self._pools[role] = deque(key for key in mine if key.role == POOL)

    def _add(self, key: WalletKey) -> WalletKey:
        if self.vault is not None and key.secret is not None:
            key.sealed = self._open_key().seal(key.name, key.secret.seed, self._entropy)
            key.secret = None
        self._keys[key.hash] = key
        self._outbox.append(key.record())
        self.joined(key.lock)
        return key

    def _issue(self, key: WalletKey, role: str, label: str) -> WalletKey:
        key.role, key.label = role, label
        self._outbox.append({"issue": {"key": key.hash.hex(), "role": role, "label": label}})
        return key

    def _unpool(self, key: WalletKey) -> None:
        for pool in (self._loose, *self._pools.values()):
            if key in pool:
                pool.remove(key)

    def _apply(self, record: Record) -> None:
        if "key" in record or "derived" in record:
            key = WalletKey.of_record(record)
            self._keys.setdefault(key.hash, key)
        elif "issue" in record:
            fields = record["issue"]
            issued = self._keys[bytes.fromhex(fields["key"])]
            issued.role, issued.label = fields["role"], fields["label"]
        elif "seed" in record:
            seed = WalletSeed.of_record(record)
            self.seed = self._seeds.setdefault(seed.id, seed)
        elif "vault" in record:
            self.vault = Vault.of_fields(record["vault"])
        elif "watch" in record:
            self.watched.add(Watched.of_record(record))

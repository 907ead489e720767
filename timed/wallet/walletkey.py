"""One key of the wallet, one seed, and the records that keep them.

A record of a key taken from a seed holds no secret: its public key and its place
are enough. A single key and a seed hold their secret plain, or sealed when the
wallet has a passphrase.
"""

from __future__ import annotations

from typing import Any

import attrs

from timed.crypto.keys import SigningKey
from timed.crypto.sizes import PUBLIC_KEY_SIZE
from timed.errors import LocalError
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, key_hash
from timed.wallet.derivation import CHANGE_BRANCH, RECEIVE_BRANCH, SecretNode, format_path, parse_path
from timed.wallet.phrase import phrase_of, seed_of
from timed.wallet.sealing import DataKey

RECEIVE, CHANGE, POOL = "receive", "change", "pool"
BRANCHES = {RECEIVE: RECEIVE_BRANCH, CHANGE: CHANGE_BRANCH}
ROLES = {branch: role for role, branch in BRANCHES.items()}

Record = dict[str, Any]


@attrs.frozen
class Place:
    """Where a key stands below a seed."""

    seed: str
    branch: int
    index: int


@attrs.define
class WalletKey:
    """One key; `role` is pool until it is handed out.

    A key taken from a seed has a `place` and no secret of its own. A single one
    has a secret, or only `sealed` while the wallet is locked.
    """

    public: bytes
    role: str = POOL
    label: str = ""
    place: Place | None = None
    secret: SigningKey | None = attrs.field(default=None, repr=False)
    sealed: bytes = attrs.field(default=b"", repr=False)
    hash: bytes = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self.hash = key_hash(self.public)

    @classmethod
    def single(cls, secret: SigningKey, role: str = POOL, label: str = "") -> WalletKey:
        """A key that belongs to no seed."""
        return cls(secret.public, role, label, secret=secret)

    @property
    def lock(self) -> Lock:
        return Lock(LOCK_KEY_HASH, self.hash)

    @property
    def name(self) -> bytes:
        """What its sealed secret is bound to."""
        return b"key " + self.public

    def record(self) -> Record:
        """What a file keeps of it."""
        shown: Record = {"role": self.role, "label": self.label}
        if self.place is not None:
            place = self.place
            at = {"seed": place.seed, "branch": place.branch, "index": place.index}
            return {"derived": {"public": self.public.hex(), **at, **shown}}
        if self.sealed:
            return {"key": {"public": self.public.hex(), "sealed": self.sealed.hex(), **shown}}
        if self.secret is None:
            raise LocalError("a key of the wallet has lost its secret.")
        return {"key": {"seed": self.secret.seed.hex(), **shown}}

    @classmethod
    def of_record(cls, record: Record) -> WalletKey:
        """The reverse of `record`; KeyError, TypeError or ValueError when it is damaged."""
        if "derived" in record:
            fields = record["derived"]
            place = Place(str(fields["seed"]), int(fields["branch"]), int(fields["index"]))
            return cls(_public(fields), fields["role"], fields["label"], place)
        fields = record["key"]
        if "seed" in fields:
            secret = SigningKey.from_seed(bytes.fromhex(fields["seed"]))
            return cls.single(secret, fields["role"], fields["label"])
        sealed = bytes.fromhex(fields["sealed"])
        return cls(_public(fields), fields["role"], fields["label"], sealed=sealed)


@attrs.define
class WalletSeed:
    """A seed phrase. `id` is public: a hash of the account's public key.

    While it is open, the branches below its account are in memory, and nothing
    above them.
    """

    id: str
    account: tuple[int, ...]
    secret: bytes = attrs.field(default=b"", repr=False)
    sealed: bytes = attrs.field(default=b"", repr=False)
    _branches: dict[int, SecretNode] = attrs.field(factory=dict, repr=False)

    @classmethod
    def of(cls, entropy: bytes, passphrase: str, account: tuple[int, ...]) -> WalletSeed:
        """The seed of a phrase's entropy and BIP 39 passphrase."""
        made = cls("", account)
        made._unfold(bytes((len(entropy),)) + entropy + passphrase.encode("utf-8"))
        return made

    @property
    def name(self) -> bytes:
        """What its sealed secret is bound to."""
        return b"seed " + self.id.encode()

    @property
    def open(self) -> bool:
        return bool(self._branches)

    def unseal(self, key: DataKey) -> None:
        """Derive the branches; LocalError when the secret is damaged."""
        self._unfold(key.open(self.name, self.sealed))

    def opened(self) -> WalletSeed:
        """Itself, with its branches derived from the plain secret."""
        self._unfold(self.secret)
        return self

    def close(self) -> None:
        """Forget the secret; `sealed` must be there."""
        self.secret = b""
        self._branches.clear()

    def key(self, branch: int, index: int) -> SigningKey:
        """The key pair at a place below the account."""
        return self._branches[branch].child(index).key()

    def phrase(self) -> tuple[str, str]:
        """The words and BIP 39's passphrase."""
        entropy, passphrase = _parts(self.secret)
        return phrase_of(entropy), passphrase

    def _unfold(self, secret: bytes) -> None:
        entropy, passphrase = _parts(secret)
        account = SecretNode.master(seed_of(entropy, passphrase)).descend(self.account)
        name = key_hash(account.key().public)[:8].hex()
        if self.id not in ("", name):
            raise LocalError("a seed of the wallet is damaged.", "Restore it from a backup or its phrase.")
        self.id, self.secret = name, secret
        self._branches = {branch: account.child(branch) for branch in ROLES}

    def record(self) -> Record:
        """What a file keeps of it."""
        fields = {"id": self.id, "account": format_path(self.account)}
        if self.sealed:
            return {"seed": {**fields, "sealed": self.sealed.hex()}}
        return {"seed": {**fields, "secret": self.secret.hex()}}

    @classmethod
    def of_record(cls, record: Record) -> WalletSeed:
        """The reverse of `record`; KeyError, TypeError or ValueError when it is damaged."""
        fields = record["seed"]
        made = cls(str(fields["id"]), parse_path(fields["account"]))
        if "sealed" in fields:
            made.sealed = bytes.fromhex(fields["sealed"])
        else:
            made._unfold(bytes.fromhex(fields["secret"]))
        return made


def _parts(secret: bytes) -> tuple[bytes, str]:
    end = 1 + secret[0]
    return secret[1:end], secret[end:].decode("utf-8")


def _public(fields: Record) -> bytes:
    public = bytes.fromhex(fields["public"])
    if len(public) != PUBLIC_KEY_SIZE:
        raise ValueError("a public key of another length")
    return public

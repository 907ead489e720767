"""Secrets on disk: a passphrase opens a data key, the data key opens every secret.

The passphrase goes through Argon2id to a key that wraps 32 random bytes, the data
key. A new passphrase wraps the same data key anew. Every secret is sealed with
XChaCha20-Poly1305 under the data key; the associated data name the secret, so
that one can not be put in another's place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import attrs
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from timed.errors import LocalError, WrongPassphrase

KEY_BYTES = 32
MAX_PASSPHRASE = 1_024
"""Characters."""
KDF = "argon2id"
NONCE_BYTES = int(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)

Entropy = Callable[[int], bytes]


@attrs.frozen
class Cost:
    """What one guess of a passphrase costs: passes over memory, and the memory in bytes."""

    passes: int
    memory: int

    def __attrs_post_init__(self) -> None:
        within = 1 <= self.passes <= MAX_PASSES and argon2id.MEMLIMIT_MIN <= self.memory <= MAX_MEMORY
        if not within:
            raise ValueError("a cost that no wallet of ours has")


MAX_PASSES = 64
MAX_MEMORY = 1 << 30
"""A file that asks for more is damaged: it must not take the machine's memory."""
DEFAULT_COST = Cost(passes=4, memory=128 << 20)
"""Half a second on a small server, and memory that one can spare (RFC 9106 asks for 64 MiB at least)."""


class DataKey:
    """The key that opens a wallet's secrets, in memory while it is unlocked."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = bytearray(key)

    def __repr__(self) -> str:
        return "<DataKey>"

    def seal(self, name: bytes, secret: bytes, entropy: Entropy) -> bytes:
        """Nonce and sealed `secret`; only `open` with the same `name` gives it back."""
        return _seal(bytes(self._key), name, secret, entropy)

    def open(self, name: bytes, sealed: bytes) -> bytes:
        """The secret; LocalError when the bytes are damaged or belong to another name."""
        try:
            return _open(bytes(self._key), name, sealed)
        except CryptoError:
            raise LocalError(
                "a sealed secret of the wallet is damaged.", "Restore it from a backup."
            ) from None

    def clear(self) -> None:
        """Overwrite the key; it opens nothing any more."""
        self._key[:] = bytes(len(self._key))


@attrs.frozen
class Vault:
    """What a file keeps of the passphrase: the cost, the salt, and the wrapped data key."""

    cost: Cost
    salt: bytes
    wrapped: bytes

    def fields(self) -> dict[str, Any]:
        return {
            "kdf": KDF,
            "passes": self.cost.passes,
            "memory": self.cost.memory,
            "salt": self.salt.hex(),
            "wrapped": self.wrapped.hex(),
        }

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> Vault:
        """The reverse of `fields`; ValueError, KeyError or TypeError when they are no vault."""
        if fields["kdf"] != KDF:
            raise ValueError(f"the passphrase is stretched with {str(fields['kdf'])[:32]!r}")
        salt = bytes.fromhex(fields["salt"])
        if len(salt) != argon2id.SALTBYTES:
            raise ValueError("the salt has another length")
        return cls(Cost(int(fields["passes"]), int(fields["memory"])), salt, bytes.fromhex(fields["wrapped"]))


def new_vault(
    passphrase: str, entropy: Entropy, cost: Cost, key: DataKey | None = None
) -> tuple[Vault, DataKey]:
    """A vault that `passphrase` opens, around `key` or a new one. Takes as long as `cost` says."""
    data = entropy(KEY_BYTES) if key is None else bytes(key._key)
    salt = entropy(argon2id.SALTBYTES)
    wrapping = _stretch(passphrase, salt, cost)
    return Vault(cost, salt, _seal(wrapping, _vault_name(cost, salt), data, entropy)), DataKey(data)


def open_vault(vault: Vault, passphrase: str) -> DataKey:
    """The data key; WrongPassphrase after the same time as a right one takes."""
    wrapping = _stretch(passphrase, vault.salt, vault.cost)
    try:
        return DataKey(_open(wrapping, _vault_name(vault.cost, vault.salt), vault.wrapped))
    except CryptoError:
        raise WrongPassphrase(
            "the passphrase is not the one of this wallet.", "Mind capital letters."
        ) from None


def check_passphrase(passphrase: str) -> None:
    """LocalError for one that nobody should protect a wallet with."""
    if not passphrase or len(passphrase) > MAX_PASSPHRASE:
        raise LocalError(f"a passphrase has 1 to {MAX_PASSPHRASE} characters.", "Use several words.")


def _stretch(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    text = unicodedata.normalize("NFKD", passphrase).encode("utf-8")
    return bytes(argon2id.kdf(KEY_BYTES, text, salt, opslimit=cost.passes, memlimit=cost.memory))


def _vault_name(cost: Cost, salt: bytes) -> bytes:
    return f"vault {cost.passes} {cost.memory} {salt.hex()}".encode()


def _seal(key: bytes, name: bytes, secret: bytes, entropy: Entropy) -> bytes:
    nonce = entropy(NONCE_BYTES)
    return nonce + bytes(crypto_aead_xchacha20poly1305_ietf_encrypt(secret, _domain(name), nonce, key))


def _open(key: bytes, name: bytes, sealed: bytes) -> bytes:
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    if len(nonce) != NONCE_BYTES:
        raise CryptoError("too short")
    return bytes(crypto_aead_xchacha20poly1305_ietf_decrypt(rest, _domain(name), nonce, key))


def _domain(name: bytes) -> bytes:
    return b"timed-wallet/2 " + name

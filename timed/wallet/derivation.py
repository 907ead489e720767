"""Keys from a seed: SLIP-0010 for Ed25519, in which every step is hardened.

Paths are ``m/44'/coin'/account'/branch'/index'`` (BIP 44's levels). A public
key derives nothing: whoever has no secret can not make the next address.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import attrs

from timed.crypto.keys import SigningKey
from timed.params import NetworkParams

PURPOSE = 44
COIN_TYPE = 0x54494D45
"""The letters TIME; not in the register of SLIP-0044."""
TEST_COIN_TYPE = 1
"""SLIP-0044's number for the test networks of all coins."""
RECEIVE_BRANCH, CHANGE_BRANCH = 0, 1
HARDENED = 1 << 31
_CURVE = b"ed25519 seed"


@attrs.frozen
class SecretNode:
    """A secret and its chain code, 32 bytes each."""

    secret: bytes = attrs.field(repr=False)
    chain_code: bytes = attrs.field(repr=False)

    @classmethod
    def master(cls, seed: bytes) -> SecretNode:
        """The node `m` of a seed of 16 to 64 bytes."""
        return cls._split(hmac.digest(_CURVE, seed, "sha512"))

    @classmethod
    def _split(cls, digest: bytes) -> SecretNode:
        return cls(digest[:32], digest[32:])

    def child(self, index: int) -> SecretNode:
        """The hardened child `index'`; `index` is below 2**31."""
        if not 0 <= index < HARDENED:
            raise ValueError(f"no child has the number {index}")
        data = b"\0" + self.secret + (index + HARDENED).to_bytes(4, "big")
        return self._split(hmac.digest(self.chain_code, data, "sha512"))

    def descend(self, indices: Iterable[int]) -> SecretNode:
        """The node below this one along `indices`."""
        node = self
        for index in indices:
            node = node.child(index)
        return node

    def key(self) -> SigningKey:
        """The node's key pair."""
        return SigningKey.from_seed(self.secret)


def coin_type(params: NetworkParams) -> int:
    """The second level of a path."""
    return COIN_TYPE if params.chain == "main" else TEST_COIN_TYPE


def account_path(params: NetworkParams, account: int = 0) -> tuple[int, int, int]:
    """The levels above the branches."""
    return (PURPOSE, coin_type(params), account)


def format_path(indices: Iterable[int]) -> str:
    """``m/44'/1'/0'/0'/5'``"""
    return "/".join(["m", *(f"{index}'" for index in indices)])


def parse_path(text: str) -> tuple[int, ...]:
    """The levels of `format_path`'s text; ValueError for anything else."""
    root, *levels = text.split("/")
    numbers = [level.removesuffix("'") for level in levels]
    plain = all(level.endswith("'") and number.isascii() and number.isdigit() and len(number) <= 10
                for level, number in zip(levels, numbers, strict=True))  # fmt: skip
    if root != "m" or not plain or any(int(number) >= HARDENED for number in numbers):
        raise ValueError("a path looks like m/44'/1'/0'/0'/5'")
    return tuple(map(int, numbers))

"""Passwords as the configuration keeps them: Bitcoin's rpcauth, `user:salt$hash`.

The hash is HMAC-SHA256 of the password under the salt's text; the password itself
is nowhere. This module imports nothing heavy, so that the command line starts fast.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

import attrs

from timed.rpc.method import ADMIN, PERMISSIONS, READ, WALLET

_LINE = re.compile(r"([!-9;-~]{1,64}):([0-9a-f]{2,64})\$([0-9a-f]{64})")
SALT_BYTES = 16
PASSWORD_BYTES = 32
MAX_ACCOUNTS = 64
"""Each attempt is compared with all of them."""

ROLES: dict[str, frozenset[str]] = {
    READ: frozenset({READ}),
    WALLET: frozenset({READ, WALLET}),
    ADMIN: frozenset(PERMISSIONS),
}
"""What an account may do by its role."""


@attrs.frozen
class Secret:
    """What is kept of a password."""

    user: str
    salt: str
    digest: bytes = attrs.field(repr=False)

    @property
    def line(self) -> str:
        """As it stands in `rpc.auth`."""
        return f"{self.user}:{self.salt}${self.digest.hex()}"

    def matches(self, password: bytes) -> bool:
        """In constant time."""
        return hmac.compare_digest(digest_of(self.salt, password), self.digest)


def digest_of(salt: str, password: bytes) -> bytes:
    """32 bytes that prove a password."""
    return hmac.new(salt.encode("ascii"), password, hashlib.sha256).digest()


def parse(line: str) -> Secret:
    """The secret in `user:salt$hash`; ValueError completes the sentence "rpc.auth …"."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("names something that is not user:salt$hash (timed-cli rpcauth USER makes one)")
    return Secret(found[1], found[2], bytes.fromhex(found[3]))


def make(user: str, password: str, entropy: Callable[[int], bytes]) -> Secret:
    """A new secret for a password; ValueError for a name that cannot stand in a line."""
    salt = entropy(SALT_BYTES).hex()
    secret = Secret(user, salt, digest_of(salt, password.encode("utf-8")))
    return parse(secret.line)

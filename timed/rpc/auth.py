"""Who may call: the cookie file and named accounts, compared in constant time.

The cookie is made anew at every start and is readable by the node's user only;
whoever can read the data directory may do everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable

import attrs

from timed.errors import LocalError
from timed.rpc.method import PERMISSIONS

COOKIE_USER = "__cookie__"
_SECRET_BYTES = 32


@attrs.frozen
class Account:
    """A name, the hash of its password, and what it may do."""

    user: str
    password_hash: bytes = attrs.field(repr=False)
    permissions: frozenset[str]

    @classmethod
    def of(cls, user: str, password: str, permissions: Iterable[str] = PERMISSIONS) -> Account:
        """An account; only the hash of the password is kept."""
        return cls(user, _hash(password.encode("utf-8")), frozenset(permissions))


class Authenticator:
    """Decides on the value of an Authorization header."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = tuple(accounts)
        self.refused = 0
        """Requests that matched no account."""

    def permissions(self, header: bytes | None) -> frozenset[str] | None:
        """What the caller may do; None for anybody unknown.

        Every account is compared with every attempt, so that the time taken
        tells nothing about names or passwords.
        """
        user, password = _credentials(header)
        found: frozenset[str] | None = None
        digest = _hash(password)
        for account in self._accounts:
            same_user = hmac.compare_digest(account.user.encode("utf-8"), user)
            same_password = hmac.compare_digest(account.password_hash, digest)
            if same_user & same_password:
                found = account.permissions
        return found


def write_cookie(path: str, entropy: Callable[[int], bytes] = os.urandom) -> Account:
    """A new cookie file, mode 0600, put in place atomically; LocalError when it cannot be."""
    password = entropy(_SECRET_BYTES).hex()
    temporary = f"{path}.{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o600)
            file.write(f"{COOKIE_USER}:{password}")
        os.replace(temporary, path)
    except OSError as error:
        raise LocalError(
            f"cannot write the RPC cookie {path}: {error.strerror}.",
            "Make the data directory writable for the user of the node.",
        ) from error
    return Account.of(COOKIE_USER, password)


def remove_cookie(path: str, account: Account) -> None:
    """Take the cookie away at the end, unless another process has made its own since."""
    try:
        with open(path, encoding="ascii") as file:
            password = file.read(256).partition(":")[2]
        if hmac.compare_digest(_hash(password.encode("ascii")), account.password_hash):
            os.unlink(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise LocalError(f"cannot remove the RPC cookie {path}: {error}.") from error


def _credentials(header: bytes | None) -> tuple[bytes, bytes]:
    scheme, _, token = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(token.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password


def _hash(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()

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
from collections import OrderedDict
from collections.abc import Callable, Iterable

import attrs

from timed.errors import LocalError
from timed.rpc.caller import Caller
from timed.rpc.credentials import PASSWORD_BYTES, Secret, make
from timed.rpc.failures import Failures
from timed.rpc.method import PERMISSIONS

COOKIE_USER = "__cookie__"
MAX_KNOWN = 256
"""Good headers remembered, so that a client's every call does not cost a comparison with all accounts."""


@attrs.frozen
class Account:
    """What is kept of a password, what its holder may do, and the methods it is limited to, if any."""

    secret: Secret
    permissions: frozenset[str] = frozenset(PERMISSIONS)
    methods: frozenset[str] | None = None

    @classmethod
    def of(
        cls,
        user: str,
        password: str,
        permissions: Iterable[str] = PERMISSIONS,
        methods: Iterable[str] | None = None,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Account:
        """An account; only the hash of the password is kept."""
        allowed = None if methods is None else frozenset(methods)
        return cls(make(user, password, entropy), frozenset(permissions), allowed)


class Authenticator:
    """Decides on the value of an Authorization header."""

    def __init__(self, accounts: Iterable[Account], cookie: Account | None = None) -> None:
        self._named = tuple(accounts)
        self._cookie = cookie
        self._known: OrderedDict[bytes, Account] = OrderedDict()
        self.failures = Failures()
        self.refused = 0
        """Requests that matched no account."""

    def configure(self, accounts: Iterable[Account]) -> frozenset[str]:
        """Other accounts from now on beside the cookie; what was good before is compared anew.

        Whose account is not there any more, or another one: what it has open is to end.
        """
        before, self._named = self._named, tuple(accounts)
        self._known.clear()
        return frozenset(account.secret.user for account in before if account not in self._named)

    def take_cookie(self, cookie: Account) -> None:
        """Another cookie from now on."""
        self._cookie = cookie
        self._known.clear()

    def caller(self, header: bytes | None, address: str = "") -> Caller | None:
        """Who sent it; None for anybody unknown.

        Every account is compared with every new attempt, so that the time taken tells
        nothing about names or passwords. Good headers are remembered by their hash.
        """
        key = hashlib.sha256(header or b"").digest()
        account = self._known.get(key)
        if account is None:
            account = self._find(*_credentials(header))
            if account is None:
                return None
            self._known[key] = account
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return Caller(account.secret.user, address, account.permissions, account.methods)

    def _find(self, user: bytes, password: bytes) -> Account | None:
        found: Account | None = None
        for account in (*(() if self._cookie is None else (self._cookie,)), *self._named):
            same_user = hmac.compare_digest(account.secret.user.encode("utf-8"), user)
            same_password = account.secret.matches(password)
            if same_user & same_password:
                found = account
        return found


def write_cookie(path: str, entropy: Callable[[int], bytes] = os.urandom) -> Account:
    """A new cookie file, mode 0600, put in place atomically; LocalError when it cannot be."""
    password = entropy(PASSWORD_BYTES).hex()
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
        if account.secret.matches(password.encode("ascii")):
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

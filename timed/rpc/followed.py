"""The cookie of another process: read again whenever that process has made a new one."""

from __future__ import annotations

import os
from collections.abc import Iterable

from timed.rpc.auth import COOKIE_USER, Account, Authenticator
from timed.rpc.caller import Caller

FileState = tuple[int, int, int]


class CookieFollower(Authenticator):
    """Lets in whoever has the cookie of the chain process, also while that process is away.

    The file is looked at with every request, which costs a microsecond; its last
    content stays good until another one is there.
    """

    def __init__(self, path: str, known: Iterable[Account] = ()) -> None:
        """`known` are the configured accounts."""
        super().__init__(known)
        self._path = path
        self._state: FileState | None = None

    def caller(self, header: bytes | None, address: str = "") -> Caller | None:
        self._follow()
        return super().caller(header, address)

    def _follow(self) -> None:
        try:
            found = os.stat(self._path)
            state = (found.st_dev, found.st_ino, found.st_mtime_ns)
            if state == self._state:
                return
            with open(self._path, encoding="ascii") as file:
                user, _, password = file.read(256).partition(":")
        except (OSError, ValueError):
            # Away, or about to be replaced: what was read before stays good.
            return
        self._state = state
        if user == COOKIE_USER and password:
            self.take_cookie(Account.of(user, password))

"""Where a node answers and what it wants to hear: URL and credentials.

The network decides port and directory; nothing is guessed by trying.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from timed.client.errors import CannotConnect
from timed.ports import rpc_port

DEFAULT_DATADIR = "~/.timed/{network}"
COOKIE = ".cookie"
MAX_COOKIE = 1024


class Location(NamedTuple):
    """An HTTP address, and either a user and password or a cookie file that holds them.

    With `tls` the server must show a certificate for `host`, signed by an authority in
    the PEM file `ca_file`, or by one the system trusts when that is empty.
    """

    host: str
    port: int
    user: str = ""
    password: str = ""
    cookie_file: str = ""
    tls: bool = False
    ca_file: str = ""

    def __repr__(self) -> str:
        """Without the password: logs and tracebacks show it."""
        return f"Location({self.url!r}, user={self.user!r}, cookie_file={self.cookie_file!r})"

    @property
    def place(self) -> str:
        """`host:port`, for messages and the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Where requests are posted."""
        return f"{'https' if self.tls else 'http'}://{self.place}/"

    def credentials(self) -> tuple[str, str]:
        """(user, password); CannotConnect when the cookie file cannot be read."""
        if self.user:
            return self.user, self.password
        if not self.cookie_file:
            return "", ""
        try:
            with open(self.cookie_file, encoding="utf-8") as file:
                user, _, password = file.read(MAX_COOKIE).strip().partition(":")
        except FileNotFoundError:
            raise CannotConnect(
                f"there is no cookie file {self.cookie_file}.",
                "Start the node, or name its directory with --datadir.",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise CannotConnect(
                f"cannot read the cookie file {self.cookie_file}: {getattr(error, 'strerror', error)}.",
                "Run this as the user of the node.",
            ) from error
        return user, password


def from_datadir(
    datadir: str = "", name: str = "testnet", host: str = "127.0.0.1", port: int = 0
) -> Location:
    """The node of a data directory; port and directory follow from the network unless given."""
    usual = rpc_port(name)
    directory = os.path.expanduser((datadir or DEFAULT_DATADIR).replace("{network}", name))
    return Location(host, port or usual, cookie_file=os.path.join(directory, COOKIE))


def from_url(url: str, cookie_file: str = "", ca_file: str = "") -> Location:
    """`http://user:password@host:port/`, or https; CannotConnect for anything else."""
    # Without user and password, whole or torn apart: whoever logs the error shows it.
    wrong = CannotConnect(
        f"{url.rpartition('@')[2]!r} is not an address.", "Write it like http://127.0.0.1:8000."
    )
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None:
        raise wrong
    return Location(
        parts.hostname,
        port,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        cookie_file,
        tls=parts.scheme == "https",
        ca_file=ca_file,
    )

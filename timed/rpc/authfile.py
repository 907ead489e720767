"""Accounts in a file of their own, `rpc.auth_file`: read at the start and again when the operator says so."""

from __future__ import annotations

import re
from pathlib import Path

from timed.crypto.keys import read_private
from timed.errors import ConfigError, LocalError
from timed.rpc.credentials import MAX_ACCOUNTS, Secret, parse

MAX_BYTES = 64 * 1024
"""A longer file is none of ours."""
_BEFORE = re.compile(r"^(rpc)?auth\s*=\s*")
"""May stand before an account: as Bitcoin's configuration has it, or as timed-cli rpcauth prints it."""


def read_auth_file(path: Path) -> tuple[Secret, ...]:
    """The accounts, one a line, `user:salt$hash`; empty lines and those with `#` are left out.

    ConfigError, with the line, for whatever is none, for a user named twice and for
    a file that others can read.
    """
    secrets: dict[str, Secret] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            secret = parse(_BEFORE.sub("", text, count=1))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: rpc.auth_file {error}.") from None
        if secret.user in secrets:
            raise ConfigError(f"{path}:{number}: {secret.user!r} has an account already.", "Remove one line.")
        secrets[secret.user] = secret
    if len(secrets) > MAX_ACCOUNTS:
        raise ConfigError(f"{path} holds {len(secrets)} accounts, more than {MAX_ACCOUNTS}.")
    return tuple(secrets.values())


def _text(path: Path) -> str:
    try:
        data = read_private(str(path), MAX_BYTES, "file of accounts")
    except OSError as error:
        raise ConfigError(
            f"rpc.auth_file: cannot read {path}: {error.strerror}.", "Make it, or leave rpc.auth_file empty."
        ) from error
    except LocalError as error:
        raise ConfigError(error.message, error.hint) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is longer than {MAX_BYTES} bytes; that is no file of accounts.")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not ASCII text (byte {error.start}).") from None

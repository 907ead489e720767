"""`timed-cli rpcauth USER`: an account for `rpc.auth`. No node is asked."""

from __future__ import annotations

import os
import sys
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from timed.cli import secrets
from timed.cli.options import Options, UsageError
from timed.rpc.credentials import PASSWORD_BYTES, make

OK, USAGE = 0, 2

HELP = """\
usage: timed-cli rpcauth USER [-]

Prints a line for rpc.auth in the configuration, or for the file that rpc.auth_file names, and the
password that goes with it.
With - the password is read from the first line of standard input instead, and only
the line for the configuration is printed. The password itself is kept nowhere.
"""


def main(words: Sequence[str], options: Options | None = None) -> int:
    """The exit status."""
    if not words or len(words) > 2 or words[0] in ("-h", "--help") or words[1:] not in ([], ["-"]):
        asked = bool(words) and words[0] in ("-h", "--help")
        print(HELP, end="", file=sys.stdout if asked else sys.stderr)
        return OK if asked else USAGE
    given = secrets.line("password: ") if len(words) == 2 else None
    if given == "":
        raise UsageError("the password on standard input is empty")
    password = given if given is not None else urlsafe_b64encode(os.urandom(PASSWORD_BYTES)).decode("ascii")
    try:
        secret = make(words[0], password, os.urandom)
    except ValueError as error:
        print(f"timed-cli rpcauth: {words[0]!r} cannot be an account: it {error}", file=sys.stderr)
        return USAGE
    print(f"auth = {secret.line}")
    if given is None:
        print(f"password: {password}")
    return OK

"""`timed-cli sign-offline`: sign an exported payment on a machine that has no node.

What is signed is shown first, and on a terminal nothing is signed without a yes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from timed.cli import secrets, status
from timed.cli.cells import plain
from timed.cli.options import Options, UsageError
from timed.cli.place import DEFAULT_NETWORK
from timed.errors import LocalError, RemoteError, WrongPassphrase
from timed.params import NETWORKS, NetworkParams
from timed.primitives.address import InvalidAddress, encode_address
from timed.primitives.amounts import format_amount
from timed.primitives.transaction import Lock
from timed.wallet.exchange import MAX_TEXT, Exported, decode_export
from timed.wallet.offline import sign_with_file

EPILOG = """\
  timed-cli exporttransaction HEX > payment.json              on the machine with a node
  timed-cli sign-offline payment.json --wallet wallet.json --out signed.json
  timed-cli finalizeexported - < signed.json                  on the machine with a node
"""


def main(words: Sequence[str], options: Options) -> int:
    """Show, ask, sign; LocalError for a payment or a wallet that cannot be used."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="timed-cli sign-offline", description="Signs an exported payment with a wallet file.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("file", help="what exporttransaction gave")
    parser.add_argument(
        "--wallet", required=True, metavar="FILE", help="the wallet, or a backup of it; only read"
    )
    parser.add_argument("--network", choices=sorted(NETWORKS), default=options.network or DEFAULT_NETWORK)
    parser.add_argument("--out", metavar="FILE", help="a new file for the result (default: standard output)")
    parser.add_argument("--high-fee", action="store_true", help="sign even when the fee is suspiciously high")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    found = parser.parse_args(words)
    params = NETWORKS[found.network]
    try:
        text = _read(found.file)
        print(describe(decode_export(text, params), params), file=sys.stderr)
        if not found.yes and not _agreed():
            raise LocalError("not signed.")
        signed, exported = _sign(found.wallet, params, text, found.high_fee)
    except RemoteError as error:
        hint = "Name the payment's network with --network." if error.rule == "export-network" else ""
        raise LocalError(f"{found.file} cannot be signed: {error}.", hint) from error
    if found.out:
        from timed.cli.local import write_new

        write_new(Path(found.out), f"{signed}\n".encode())
    else:
        print(signed)
    lacking = sum(exported.lacking())
    print("complete" if exported.complete else f"{lacking} more signatures are needed", file=sys.stderr)
    return status.OK


def describe(exported: Exported, params: NetworkParams) -> str:
    """Whom it pays, how much, and the fee."""
    lines = [f"pays on {params.name}:"]
    lines += [
        f"  {format_amount(output.value):>20}  {_owner(output.lock, params)}"
        for output in exported.transaction.outputs
    ]
    return "\n".join([*lines, f"  {format_amount(exported.fee):>20}  fee"])


def _owner(lock: Lock, params: NetworkParams) -> str:
    try:
        return encode_address(params, lock)
    except InvalidAddress:
        return plain(lock.encode().hex())


def _sign(wallet: str, params: NetworkParams, text: str, high_fee: bool) -> tuple[str, Exported]:
    """Without a passphrase first: most wallets on such a machine have one, and it is asked for only then."""
    try:
        return sign_with_file(wallet, params, text, high_fee=high_fee)
    except WrongPassphrase:
        passphrase = secrets.line("passphrase of the wallet: ")
        return sign_with_file(wallet, params, text, passphrase, high_fee=high_fee)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("without a terminal nobody can be asked: look at the payment and give --yes")
    print("Sign it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(MAX_TEXT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"cannot read {path}: {error}.") from error

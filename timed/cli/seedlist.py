"""`timed-cli seedlist`: make, sign and check the lists by which new nodes find their first peers.

It talks to no node: a list is a file that any web server can give out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from timed.cli.options import Options
from timed.crypto.keys import SigningKey, create_key_file, load_key_file
from timed.errors import LocalError, RemoteError
from timed.params import NETWORKS, REGTEST
from timed.peer import seedlist
from timed.peer.location import parse_node_id, parse_peer
from timed.peer.values import PeerAddress

DAY_S = 86_400
MAX_SOURCE_BYTES = 16 * 1024 * 1024
OK, FAILED = 0, 1

EPILOG = """\
A node believes a list when p2p.seed_urls names where it is and p2p.seed_keys the key
that signed it:

  timed-cli seedlist key seed.key
  timed-cli seedlist sign --key seed.key --network testnet --genesis genesis.json \\
      NODE-ID@192.0.2.7:24100 NODE-ID@192.0.2.8:24100 > seeds.json
  timed-cli seedlist check seeds.json

What a node has met may be signed as it is:

  timed-cli getnodeaddresses 0 | timed-cli seedlist sign --key seed.key ... --from - > seeds.json

Sign again before the list expires; the old file may be replaced at any time.
"""


def main(words: Sequence[str], given: Options | None = None) -> int:
    """The exit status: 0 done, 1 it could not be, 2 usage (argparse leaves with that)."""
    del given
    options = arguments().parse_args(words)
    try:
        print(options.act(options), end="")
    except (LocalError, RemoteError) as error:
        print(f"timed-cli seedlist: {error}", file=sys.stderr)
        return FAILED
    return OK


def arguments() -> argparse.ArgumentParser:
    """What may stand after `timed-cli seedlist`."""
    parser = argparse.ArgumentParser(
        prog="timed-cli seedlist", description="Signed lists of nodes, by which others find their first peers.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    key = commands.add_parser("key", help="make a key that signs lists, or show the public half of one")
    key.add_argument("file", help="made if it is not there; keep it to yourself")
    key.set_defaults(act=_key)
    sign = commands.add_parser("sign", help="write a signed list to standard output")
    sign.add_argument("--key", required=True, metavar="FILE", help="the key file (see `key`)")
    sign.add_argument("--network", required=True, choices=sorted(NETWORKS))
    sign.add_argument(
        "--genesis", default="", metavar="FILE|HASH",
        help="the network's genesis file, or its hash; regtest has its own",
    )  # fmt: skip
    sign.add_argument("--days", type=_days, default=30.0, help="how long the list holds (default 30)")
    sign.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="addresses from a file, one a line, or as getnodeaddresses shows them; - is standard input",
    )
    sign.add_argument("addresses", nargs="*", metavar="NODE-ID@HOST:PORT")
    sign.set_defaults(act=_sign)
    check_ = commands.add_parser("check", help="say what is in a list and whether its signature is good")
    check_.add_argument("file", help="the list; - is standard input")
    check_.add_argument("--key", metavar="HEX", help="the public key that must have signed it")
    check_.set_defaults(act=_check)
    return parser


def _days(text: str) -> float:
    days = float(text)
    if not isfinite(days):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days")
    return days


def _key(options: argparse.Namespace) -> str:
    path = options.file
    key = load_key_file(path) if os.path.exists(path) else create_key_file(path, os.urandom)
    return f"{key.public.hex()}\n"


def _sign(options: argparse.Namespace) -> str:
    texts = list(options.addresses)
    if options.source:
        texts += _listed(_read(options.source, MAX_SOURCE_BYTES).decode("utf-8", "replace"))
    now = int(time.time())
    key: SigningKey = load_key_file(options.key)
    return seedlist.sign(
        options.network, _genesis(options), now, now + int(options.days * DAY_S), _addresses(texts), key
    )


def _check(options: argparse.Namespace) -> str:
    listed, signature, digest = seedlist.parse(_read(options.file, seedlist.MAX_LIST_BYTES))
    seedlist.verify(listed, signature, digest)
    if options.key is not None and parse_node_id(options.key) != listed.key:
        raise RemoteError("seed-list-key", f"{listed.key.hex()} signed it")
    now = time.time()
    if listed.expires <= now:
        raise RemoteError("seed-list-expired", f"it ended {(now - listed.expires) / DAY_S:.1f} days ago")
    return (
        f"network  {listed.network}\ngenesis  {listed.genesis.hex()}\nkey      {listed.key.hex()}\n"
        f"holds    {(listed.expires - now) / DAY_S:.1f} more days\nnodes    {len(listed.addresses)}\n"
    )


def _genesis(options: argparse.Namespace) -> bytes:
    text: str = options.genesis
    if not text and options.network == REGTEST.name:
        from timed.ledger.regtest import builtin_regtest

        return builtin_regtest().hash
    if not text:
        raise LocalError(f"{options.network} has no genesis of its own yet.", "Give --genesis.")
    given = parse_node_id(text)
    if given is not None:
        return given
    from timed.app.genesis_file import read_genesis

    genesis = read_genesis(Path(text))
    if genesis.params.name != options.network:
        raise LocalError(f"{text} is a genesis of {genesis.params.name}, not of {options.network}.")
    return genesis.hash


def _listed(text: str) -> list[str]:
    """One address a line, `#` begins a comment; or what getnodeaddresses shows, of which the nodes met."""
    if not text.lstrip().startswith("["):
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]
    try:
        return [
            str(PeerAddress(each["address"], each["port"], bytes.fromhex(each["nodeid"])))
            for each in json.loads(text)
            if each["met"] and each["nodeid"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LocalError("the file begins like JSON and is not what getnodeaddresses shows.") from error


def _addresses(texts: Sequence[str]) -> list[PeerAddress]:
    found = []
    for text in texts:
        try:
            found.append(parse_peer(text))
        except ValueError as error:
            raise LocalError(f"the list {error}.", "Give node-id@address:port.") from error
    return found


def _read(path: str, most: int) -> bytes:
    """What is in a file; LocalError when there is none, or more than `most` bytes."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(most + 1)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}.") from error
    if len(data) > most:
        raise LocalError(f"{path} has more than {most} bytes.")
    return data

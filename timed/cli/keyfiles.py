"""`timed-cli keys`: the node's identity and the masternode's voting key, as files.

Secrets are read from standard input and written to files that only their owner reads;
none is ever shown.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from timed.cli import local, secrets, status
from timed.cli.options import Options
from timed.crypto.keys import SigningKey, create_key_file, load_key_file
from timed.crypto.sizes import SEED_SIZE
from timed.errors import LocalError

FILES = {"node": "node.key", "operator": "operator.key"}


def main(words: Sequence[str], options: Options) -> int:
    """One of show, generate and import."""
    parser = argparse.ArgumentParser(
        prog="timed-cli keys", description="The keys in a node's data directory."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="the node id and the operator's public key")
    show.set_defaults(act=_show)
    generate = commands.add_parser("generate", help="make a key that is not there yet")
    generate.set_defaults(act=_generate)
    take = commands.add_parser(
        "import", help="write a key whose 32-byte seed stands in hexadecimal on standard input"
    )
    take.set_defaults(act=_import)
    for command in (show, generate, take):
        local.add_place(command, options)
    for command in (generate, take):
        command.add_argument("kind", choices=sorted(FILES))
    found = parser.parse_args(words)
    print(found.act(found))
    return status.OK


def _show(found: argparse.Namespace) -> str:
    directory = local.config_of(found).datadir
    lines = []
    for kind, title in (("node", "node id "), ("operator", "operator")):
        path = directory / FILES[kind]
        lines.append(f"{title} {load_key_file(str(path)).public.hex() if path.exists() else 'none'}")
    return "\n".join(lines)


def _generate(found: argparse.Namespace) -> str:
    return create_key_file(str(_path(found)), os.urandom).public.hex()


def _import(found: argparse.Namespace) -> str:
    text = secrets.line("seed in hexadecimal: ").strip()
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != SEED_SIZE:
        raise LocalError(
            f"standard input does not hold {2 * SEED_SIZE} hexadecimal digits.", "Nothing was written."
        )
    key: SigningKey = create_key_file(str(_path(found)), lambda size: seed[:size])
    return key.public.hex()


def _path(found: argparse.Namespace) -> Path:
    from timed.app.datadir import prepare

    return prepare(local.config_of(found).datadir).path / FILES[found.kind]

"""`timed-cli address`: what an address is, on which network, and whose."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from timed.cli import status
from timed.cli.options import Options
from timed.cli.place import DEFAULT_NETWORK
from timed.crypto.keys import load_key_file
from timed.crypto.sizes import PUBLIC_KEY_SIZE
from timed.errors import LocalError
from timed.params import NETWORKS, NetworkParams
from timed.primitives.address import InvalidAddress, decode_address, encode_address, key_hash


def main(words: Sequence[str], options: Options) -> int:
    """One of check, convert and of; an address that is none is status 1."""
    parser = argparse.ArgumentParser(prog="timed-cli address", description="Addresses, without a node.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check", help="whether a text is an address, of which network, for which key hash"
    )
    check.add_argument("address")
    check.set_defaults(act=_check)
    convert = commands.add_parser("convert", help="the same key's address on another network")
    convert.add_argument("address")
    convert.set_defaults(act=_convert)
    of = commands.add_parser("of", help="the address of a public key")
    of.add_argument("key", metavar="HEX|FILE", help="a public key in hexadecimal, or a key file")
    of.set_defaults(act=_of)
    for command in (convert, of):
        command.add_argument(
            "--network", choices=sorted(NETWORKS), default=options.network or DEFAULT_NETWORK
        )
    found = parser.parse_args(words)
    print(found.act(found))
    return status.OK


def _check(found: argparse.Namespace) -> str:
    params, owner = _decoded(found.address)
    return f"network  {params.name}\nkey hash {owner.hex()}"


def _convert(found: argparse.Namespace) -> str:
    _, owner = _decoded(found.address)
    return encode_address(NETWORKS[found.network], owner)


def _of(found: argparse.Namespace) -> str:
    if os.path.exists(found.key):
        public = load_key_file(found.key).public
    else:
        try:
            public = bytes.fromhex(found.key)
        except ValueError:
            public = b""
        if len(public) != PUBLIC_KEY_SIZE:
            raise LocalError(f"{found.key} is neither {2 * PUBLIC_KEY_SIZE} hexadecimal digits nor a file.")
    return encode_address(NETWORKS[found.network], key_hash(public))


def _decoded(text: str) -> tuple[NetworkParams, bytes]:
    """The network and the key hash; LocalError says which rule the text breaks."""
    for params in NETWORKS.values():
        if text.startswith(params.address_prefix):
            try:
                return params, decode_address(params, text).data
            except InvalidAddress as error:
                raise LocalError(
                    f"{text!r} is no address of {params.name}: {error}.", "Copy it again."
                ) from None
    known = ", ".join(f"{params.address_prefix} ({params.name})" for params in NETWORKS.values())
    raise LocalError(f"{text!r} is no address.", f"Addresses begin with {known}.")

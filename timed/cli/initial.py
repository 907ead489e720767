"""`timed-cli init`: a commented configuration for one node, and its directory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from timed.cli import local, status
from timed.cli.options import Options, UsageError
from timed.cli.place import CONFIG_FILE, DEFAULT_NETWORK
from timed.errors import LocalError

EPILOG = """\
  timed-cli init                                     a follower of testnet, in ~/.timed/testnet
  timed-cli init --network regtest --datadir ./node --set p2p.port=7005
  timed-cli init --set node.member=yes --keys        a masternode, with its keys

Every key stands in the file with its default and what it means. An existing file is
never touched, and nothing secret is made unless --keys asks for it.
"""


def main(words: Sequence[str], options: Options) -> int:
    """Write the file; LocalError when there is one, ConfigError for a value that cannot be."""
    parser = local.parser("init", "Writes a commented configuration.", options, EPILOG)
    parser.add_argument(
        "--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="may be repeated"
    )
    parser.add_argument("--keys", action="store_true", help="make the node's keys, too")
    parser.add_argument("file", nargs="?", help=f"default: {CONFIG_FILE} in the data directory")
    found = parser.parse_args(words)
    if found.config or found.node_id:
        raise UsageError("init writes a configuration: --config and --node-id are of no use to it")
    write(found)
    return status.OK


def write(found: argparse.Namespace) -> None:
    """The file, checked before it is written, and the directory it names."""
    from timed.app.config import load, settings_from
    from timed.app.datadir import prepare
    from timed.app.inifile import parse_ini
    from timed.app.samples import sample

    values = _values(found)
    default = Path(f"~/.timed/{found.network or DEFAULT_NETWORK}").expanduser()
    datadir = Path(values.get("node.datadir", default)).absolute()
    file = Path(found.file).expanduser().absolute() if found.file else datadir / CONFIG_FILE
    text = sample(f"Run this node with: timed --config {file}", values)
    settings_from(parse_ini(text, "init"))
    if file.exists():
        raise LocalError(
            f"{file} exists already.", "Nothing is overwritten: change it, or name another file."
        )
    directory = prepare(datadir)
    local.write_new(file, text.encode())
    config = load(str(file))
    print(f"wrote   {file}\nnetwork {config.params.name}\ndata    {config.datadir}")
    if found.keys:
        print(f"node id {directory.node_key(os.urandom).public.hex()}")
        if config.settings.node.member:
            print(f"operator {directory.operator_key(os.urandom).public.hex()}")
    print(f"\nnext:   timed --config {file}\n        timed-cli --datadir {config.datadir} -getinfo")


def _values(found: argparse.Namespace) -> dict[str, str]:
    """What differs from the defaults, by section.key; ConfigError for a key that there is not."""
    from timed.app.config import override, settings_from

    entries = []
    for assignment in found.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set wants section.key=value, not {assignment!r}")
        entries.append(override(name.strip(), value.strip(), "--set"))
    settings_from(entries)
    values = {f"{entry.section}.{entry.key}": entry.text for entry in entries}
    if found.network:
        values["node.network"] = found.network
    if found.datadir:
        values["node.datadir"] = os.path.abspath(os.path.expanduser(found.datadir))
    return values

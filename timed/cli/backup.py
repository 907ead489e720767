"""`timed-cli backup`: keys, configuration and wallet of a node in one new directory.

The wallet of a running node is copied by the node itself; of one that is stopped, from
its file, which a node must not hold meanwhile. The directory gets its name when all of
it is on disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from timed.cli import local, status
from timed.cli.options import Options
from timed.cli.place import CONFIG_FILE, locate
from timed.client.errors import CannotConnect, ConnectionLost, Unauthorized
from timed.errors import LocalError
from timed.fsync import sync_directory, sync_name

if TYPE_CHECKING:
    from timed.app.config import Config

NODE_KEY = "node.key"
COPIED = (NODE_KEY, "operator.key", CONFIG_FILE, "safety-failure.txt")
WALLET = "wallet.json"
EPILOG = """\
To use a backup: stop the node, copy the files into an empty data directory, start the node.
The chain is not part of it: a node fetches that from others.
A member that starts without its chain: first with --set node.member=no, until one more block is certified.
An encrypted wallet stays encrypted; keys of the node are not: keep the copy where nobody reads it.
"""


def main(words: Sequence[str], options: Options) -> int:
    """Make the copy and say what is in it."""
    parser = local.parser("backup", "Copies what cannot be made again.", options, EPILOG)
    parser.add_argument("destination", help="a directory that does not exist yet")
    found = parser.parse_args(words)
    destination = Path(found.destination).expanduser().absolute()
    if destination.exists():
        raise LocalError(f"{destination} exists already.", "Nothing is overwritten: name another directory.")
    config = local.config_of(found)
    if not config.datadir.is_dir():
        raise LocalError(f"there is no data directory {config.datadir}.", "Name it with --datadir.")
    if not (config.datadir / NODE_KEY).exists():
        raise LocalError(
            f"there is no {NODE_KEY} in {config.datadir}: no node ran there, or its files are gone.",
            "Name the directory with --datadir. A node that still runs writes its wallet with backupwallet.",
        )
    partial = destination.with_name(f"{destination.name}.partial")
    try:
        partial.mkdir(mode=0o700)
    except OSError as error:
        raise LocalError(f"cannot make {partial}: {error.strerror}.") from error
    try:
        lines = [
            *_copy_files(config.datadir, partial),
            _copy_wallet(config, local.place_of(found, options), partial),
        ]
        sync_directory(str(partial))
        partial.rename(destination)
        sync_name(str(destination))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    print("\n".join([*lines, f"all of it in {destination}"]))
    return status.OK


def _copy_files(datadir: Path, target: Path) -> list[str]:
    lines = []
    for name in COPIED:
        path = datadir / name
        if path.exists():
            try:
                data = path.read_bytes()
            except OSError as error:
                raise LocalError(
                    f"cannot read {path}: {error.strerror}.", "Run this as the user of the node."
                ) from error
            local.write_new(target / name, data)
            lines.append(f"{name}  {len(data)} bytes")
    return lines


def _copy_wallet(config: Config, options: Options, target: Path) -> str:
    """Through the node when it runs, else from its file."""
    if not config.wallet_file.exists():
        return "no wallet"
    from timed.client.blocking import Client

    path = str(target / WALLET)
    try:
        with Client(locate(options)) as client:
            copy = client.backupwallet(path)
        if not os.path.exists(path):
            raise LocalError(
                f"the node wrote {path}, but on another machine.",
                "Leave out --rpcconnect and --rpc-url: a backup is made where the node runs.",
            )
        return f"{WALLET}  {copy['bytes']} bytes, {copy['keys']} keys, by the running node"
    except (ConnectionLost, Unauthorized):
        raise
    except CannotConnect:
        from timed.wallet.walletcopy import read_wallet, write_copy

        # Nobody answers; should a node hold the wallet all the same, its lock refuses this.
        size = write_copy(path, config.params.name, read_wallet(str(config.wallet_file), config.params.name))
        os.chmod(path, 0o600)
        return f"{WALLET}  {size} bytes, from the file of a stopped node"

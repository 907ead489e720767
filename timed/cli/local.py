"""What the commands without a node share: where the data directory is, and new private files."""

from __future__ import annotations

import argparse
import os
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

from timed.cli.options import Options
from timed.cli.place import CONFIG_FILE, DEFAULT_NETWORK
from timed.errors import ConfigError, LocalError
from timed.fsync import sync_name
from timed.params import NETWORKS

if TYPE_CHECKING:
    from timed.app.config import Config


def parser(name: str, summary: str, options: Options, epilog: str = "") -> argparse.ArgumentParser:
    """A parser with the options that say which node is meant; those before the command are its defaults."""
    made = argparse.ArgumentParser(
        prog=f"timed-cli {name}", description=summary, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_place(made, options)
    return made


def add_place(made: argparse.ArgumentParser, options: Options) -> None:
    """--network, --datadir, --config and --node-id."""
    made.add_argument("--network", choices=sorted(NETWORKS), default=options.network, help="default testnet")
    made.add_argument("--datadir", metavar="DIR", default=options.datadir, help="the data directory")
    made.add_argument("--config", metavar="FILE", default=options.config, help="the configuration file")
    made.add_argument(
        "--node-id", metavar="N", type=int, default=options.node_id, help="a node of `timed --node-id N`"
    )


def place_of(found: argparse.Namespace, options: Options) -> Options:
    """The options of a call to the node that the words of a command mean: those before it say who calls, and how."""
    place = copy(options)
    place.network, place.datadir, place.config = found.network, found.datadir, found.config
    place.node_id = found.node_id or 0
    return place


def config_of(found: argparse.Namespace) -> Config:
    """The configuration that is meant; ConfigError when it cannot be used."""
    from timed.app.config import load, override

    datadir = os.path.abspath(os.path.expanduser(found.datadir)) if found.datadir else ""
    file = found.config
    if not file and not found.node_id:
        beside = Path(datadir or f"~/.timed/{found.network or DEFAULT_NETWORK}").expanduser() / CONFIG_FILE
        file = str(beside) if _is_there(beside) else ""
    given = {"node.network": found.network, "node.datadir": datadir}
    overrides = [override(name, text, "the command line") for name, text in given.items() if text]
    return load(file or None, overrides, node_id=found.node_id or None)


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}.", "Run this as the user of the node."
        ) from error
    return True


def log_files(config: Config) -> list[Path]:
    """The log files of this node, the one written last first: in its data directory, as of a daemon, or beside it
    under the same name, as of a node of `timed-testnet`."""
    beside = config.datadir.with_name(f"{config.datadir.name}.log")
    found = [*config.datadir.glob("timed*.log"), *([beside] if beside.is_file() else [])]
    return sorted(found, key=lambda path: (-path.stat().st_mtime, path))


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """A new file, durable; LocalError when it exists or cannot be written, and no half file then."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise LocalError(f"{path} exists already.", "Nothing is overwritten: name another.") from None
    except OSError as error:
        raise LocalError(f"cannot write {path}: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        sync_name(str(path))
    except OSError as error:
        path.unlink()
        raise LocalError(f"cannot write {path}: {error.strerror}.") from error

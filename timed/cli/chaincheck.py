"""`python -m timed.cli.chaincheck WORDS`: the child of `timed-cli check-data` that reads the database.

Damaged pages of a memory-mapped file may end a process with a signal: then the parent
is still there to say so. `WORDS` is a JSON object: network, datadir, config, node_id, deep.
Each line of standard output is a JSON object with one key: flaw, progress, done or failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import attrs

from timed.app.config import Config
from timed.app.datadir import CHAIN, EVENTS, INDEX
from timed.app.genesis_file import choose_genesis
from timed.app.registry import choose
from timed.cli import local
from timed.crypto.rule import use_backend
from timed.errors import ConfigError, LocalError
from timed.feed.log import TABLES
from timed.index.checking import BesideCheck
from timed.index.tables import INDEXES
from timed.interfaces import ISignatureBackend
from timed.store.checking import ChainCheck, Flaw, Found

INDEX_AGAIN = "Remove its directory and start the node: it is built again from the node's own blocks."
EVENTS_AGAIN = "Move the directory away and start the node: followers are told which events are lost."


def tell(kind: str, value: Any) -> None:
    """One line to the parent, at once."""
    print(json.dumps({kind: value}), flush=True)


def main(words: str) -> None:
    try:
        check(argparse.Namespace(**json.loads(words)))
    except LocalError as error:
        tell("failed", {"message": error.message, "hint": error.hint})


def check(found: argparse.Namespace) -> None:
    """Tell all that is found; LocalError when there is nothing to look at."""
    config = local.config_of(found)
    genesis = choose_genesis(config)
    if genesis is None:
        raise ConfigError(f"{config.params.name} has no genesis of its own yet.", "Set node.genesis.")
    use_backend(choose(ISignatureBackend, config.settings.crypto.backend, "crypto.backend"))
    checking = ChainCheck(str(config.datadir / CHAIN), config.params.name, genesis, deep=found.deep)
    for each in checking.run():
        tell_of(each)
    counts = dict(checking.counts)
    if found.deep:
        counts["beside"] = sum(beside(config, genesis.hash, checking.height))
    tell("done", counts)


def tell_of(each: Found) -> None:
    tell("flaw" if isinstance(each, Flaw) else "progress", attrs.asdict(each))


def beside(config: Config, genesis_hash: bytes, tip: int | None) -> Iterator[int]:
    """Tell of the indexes and the log of events that are there; the number of records of each."""
    places = [(config.datadir / INDEX / index.name, index.tables, INDEX_AGAIN) for index in INDEXES.values()]
    for path, tables, remedy in (*places, (config.datadir / EVENTS, TABLES, EVENTS_AGAIN)):
        checking = BesideCheck(str(path), tables, genesis_hash, tip, remedy)
        if checking.exists:
            for each in checking.run():
                tell_of(each)
        yield checking.records


if __name__ == "__main__":
    main(sys.argv[1])

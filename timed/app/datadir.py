"""The data directory: what a node keeps between two runs.

::

    node.key       the TLS identity, made at the first start
    operator.key   the masternode's voting key (node.member = yes)
    chain/         blocks, coins and the log, owned by the storage backend
    index/         a directory for each index that is or was switched on
    events/        the log of events with its cursors
    peers.json     addresses of peers, bans, whom to dial first
    seeds.json     the last good answers of the sources of addresses
    wallet.json    the wallet
    recordings/    what the flight recorder wrote
    safety-failure.txt  why this node votes no more, if it saw what must not be
    .cookie        the RPC password of this run
    node.sock      where RPC processes of their own reach the node
    overrides.ini  what setconfig changed for good
    node.ini       the configuration, if `timed-cli init` wrote it here
    timed.log      the log of a daemon that was given no other
    timed-rpc-PORT.log  the same of an RPC process
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs

from timed.crypto.keys import SigningKey, create_key_file, load_key_file
from timed.errors import ConfigError

NODE_KEY = "node.key"
OPERATOR_KEY = "operator.key"
CHAIN = "chain"
INDEX = "index"
EVENTS = "events"
PEERS = "peers.json"
SEEDS = "seeds.json"
RECORDINGS = "recordings"
SAFETY_FAILURE = "safety-failure.txt"
DAEMON_LOG = "timed.log"
APART_LOG = "timed-rpc-{port}.log"
"""Of a daemon that answers RPC beside the chain process."""
CONFIG_FILE = "node.ini"
OURS = frozenset(
    {NODE_KEY, OPERATOR_KEY, CHAIN, INDEX, EVENTS, PEERS, SEEDS, DAEMON_LOG, CONFIG_FILE, "wallet.json"}
)
LEFT_BY_OTHERS = frozenset({"lost+found", ".gitkeep"})


@attrs.frozen
class DataDirectory:
    """A directory that was checked: it exists, can be written, and is timed's own."""

    path: Path

    @property
    def chain(self) -> Path:
        return self.path / CHAIN

    @property
    def index(self) -> Path:
        return self.path / INDEX

    @property
    def events(self) -> Path:
        return self.path / EVENTS

    @property
    def peers(self) -> Path:
        return self.path / PEERS

    @property
    def recordings(self) -> Path:
        return self.path / RECORDINGS

    @property
    def safety_failure(self) -> Path:
        return self.path / SAFETY_FAILURE

    @property
    def seeds(self) -> Path:
        return self.path / SEEDS

    def node_key(self, entropy: Callable[[int], bytes]) -> SigningKey:
        """The node key; made from `entropy` if there is none."""
        return self._key(NODE_KEY, entropy)

    def operator_key(self, entropy: Callable[[int], bytes]) -> SigningKey:
        """The operator key; made from `entropy` if there is none."""
        return self._key(OPERATOR_KEY, entropy)

    def _key(self, name: str, entropy: Callable[[int], bytes]) -> SigningKey:
        path = self.path / name
        if path.exists():
            return load_key_file(str(path))
        return create_key_file(str(path), entropy)


def attach(path: Path) -> DataDirectory:
    """The directory of another process; ConfigError when there is none."""
    if not (path / NODE_KEY).exists():
        raise ConfigError(
            f"{path} is no data directory of a node.",
            "Set node.datadir to that of the chain process, and start that one first.",
        )
    return DataDirectory(path)


def prepare(path: Path) -> DataDirectory:
    """Make the directory if need be. ConfigError when it is unusable or somebody else's."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in os.scandir(path)}
    except NotADirectoryError as error:
        raise ConfigError(f"the data directory {path} is not a directory.", "Set node.datadir.") from error
    except FileExistsError as error:
        raise ConfigError(f"the data directory {path} is a file.", "Set node.datadir.") from error
    except OSError as error:
        raise ConfigError(
            f"the data directory {path} cannot be used: {error.strerror}.", "Set node.datadir."
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(
            f"the data directory {path} cannot be written.", "Change its owner or set node.datadir."
        )
    if names - LEFT_BY_OTHERS and not names & OURS:
        raise ConfigError(
            f"the data directory {path} holds files that are not timed's.",
            "Name an empty or a new directory.",
        )
    return DataDirectory(path)

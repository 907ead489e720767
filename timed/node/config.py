"""What a node is told when it is made."""

from __future__ import annotations

import attrs

from timed.crypto.keys import SigningKey
from timed.ledger.genesis import Genesis
from timed.peer.dialect import ORDINARY, Dialect
from timed.peer.settings import DEFAULTS, PeerSettings
from timed.peer.values import Identity

WantedPeer = tuple[str, int, "bytes | None"]
"""(host, port, node id if it is known): a peer this node keeps a session with."""


@attrs.frozen
class NodeConfig:
    """Identity, network and peers of one node; `vote` False keeps a member silent."""

    genesis: Genesis
    node_key: SigningKey
    operator_key: SigningKey | None = None
    wanted: tuple[WantedPeer, ...] = ()
    peer_settings: PeerSettings = DEFAULTS
    software: str = "timed"
    listen_port: int = 0
    boot: int = 0
    """Greater at every later start with the same node key; peers tell a restarted node by it."""
    vote: bool = True
    frozen: str | None = None
    """Why this node votes no more; it was said at an earlier run."""
    dialect: Dialect = ORDINARY
    """How it speaks with its peers."""

    @property
    def identity(self) -> Identity:
        """Who this node is to its peers."""
        return Identity(
            params=self.genesis.params,
            genesis_hash=self.genesis.hash,
            node_key=self.node_key,
            operator_key=self.operator_key,
            software=self.software,
            listen_port=self.listen_port,
            boot=self.boot,
            dialect=self.dialect,
        )

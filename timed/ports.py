"""Where the nodes of each network listen unless told otherwise.

Apart from `timed.params`, because the command line needs this and nothing else of a
network, and what it imports is most of what a start costs: nothing but the standard
library stands here.
"""

from __future__ import annotations

from timed.errors import ConfigError

P2P_PORTS = {"mainnet": 24000, "testnet": 24100, "regtest": 7000}
"""By the network's name; on regtest the port of node 1."""
RPC_PORT_OFFSET = 1_000
MONITOR_PORT_OFFSET = 2_000
"""From a node's P2P port to where it listens for RPC and monitoring."""


def check_network(name: str) -> None:
    """ConfigError names the networks there are."""
    if name not in P2P_PORTS:
        raise ConfigError(f"there is no network called {name!r}.", f"Use one of: {', '.join(P2P_PORTS)}.")


def rpc_port(name: str) -> int:
    """The RPC port of the network called `name`; ConfigError when there is none of that name."""
    check_network(name)
    return P2P_PORTS[name] + RPC_PORT_OFFSET

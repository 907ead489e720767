"""JSON-RPC calls to one node of the network."""

from __future__ import annotations

from typing import Any

from timed.client.blocking import Client
from timed.client.errors import ClientError as ClientError
from timed.client.location import Location
from timed.testnet.layout import HOST, NodePlan

TIMEOUT_S = 10.0


def connect(node: NodePlan, timeout: float = TIMEOUT_S) -> Client:
    """A client that keeps its connection; each call gets `timeout` seconds."""
    return Client(Location(HOST, node.rpc_port, cookie_file=str(node.cookie)), timeout)


def call(node: NodePlan, method: str, *params: Any, timeout: float = TIMEOUT_S) -> Any:
    """The result of one call; ClientError when there is none."""
    with connect(node, timeout) as client:
        return client.call(method, *params)

"""JSON-RPC calls to one node of the network."""

from __future__ import annotations

from typing import Any

from timed.client.blocking import Client
from timed.client.errors import ClientError as ClientError
from timed.client.location import Location
from timed.testnet.layout import HOST, NodePlan

TIMEOUT_S = 10.0


def call(node: NodePlan, method: str, *params: Any, timeout: float = TIMEOUT_S) -> Any:
    """The result; ClientError when there is none within `timeout` seconds."""
    location = Location(HOST, node.rpc_port, cookie_file=str(node.cookie))
    with Client(location, timeout) as client:
        return client.call(method, *params)

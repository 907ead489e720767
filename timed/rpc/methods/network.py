"""Methods about this node's place in the network, and whom it dials."""

from __future__ import annotations

from timed import __version__
from timed.params import SECOND
from timed.peer.dialing import Target
from timed.peer.location import parse_peer
from timed.peer.values import PeerAddress, host_port
from timed.rpc.environment import Environment
from timed.rpc.errors import (
    INVALID_PARAMETER,
    NODE_ALREADY_ADDED,
    NODE_CAPACITY,
    NODE_NOT_ADDED,
    RpcError,
)
from timed.rpc.jsontext import amount
from timed.rpc.present import Object
from timed.rpc.schema import bad_value
from timed.rpc.warnings import warnings


def getnetworkinfo(env: Environment) -> Object:
    peers = env.chain.peers()
    outbound = sum(1 for peer in peers if peer.outbound)
    fee = amount(env.params.minimum_fee)
    offset = env.peers.clock_offset()
    return {
        "version": version_number(__version__),
        "subversion": f"/{env.identity.software}/",
        "protocolversion": env.peers.table.identity.dialect.wire_version,
        "nodeid": env.identity.node_id.hex(),
        "connections": len(peers),
        "connections_in": len(peers) - outbound,
        "connections_out": outbound,
        "networkactive": True,
        "networks": [{"name": env.params.name, "limited": False, "reachable": True, "proxy": ""}],
        "relayfee": fee,
        "incrementalfee": fee,
        "localaddresses": _own_addresses(env),
        "listenport": env.identity.p2p_port,
        "timeoffset": None if offset is None else round(offset / SECOND),
        "seeds": [
            {
                "source": seed.name,
                "kind": seed.kind.name.lower(),
                "outcome": seed.outcome or None,
                "addresses": seed.addresses,
            }
            for seed in env.peers.seeds()
        ],
        "warnings": warnings(env),
    }


def getconnectioncount(env: Environment) -> int:
    return len(env.chain.peers())


def addnode(env: Environment, node: str, command: str) -> None:
    address = _address(node)
    if command == "remove":
        _known(env, address)
        env.peers.remove(address)
    elif command == "add":
        if env.peers.is_added(address):
            raise RpcError(
                NODE_ALREADY_ADDED, "Error: Node already added", rule="already-added",
                hint="getaddednodeinfo lists the added nodes.", param="node",
            )  # fmt: skip
        if not env.peers.add(address):
            raise _too_many()
    elif env.peers.kept_out(address):
        raise RpcError(
            INVALID_PARAMETER, f"Error: {node} is banned", rule="banned",
            hint="Lift the ban with setban; listbanned shows it.", param="node",
        )  # fmt: skip
    elif not env.peers.try_once(address):
        raise _too_many()


def getaddednodeinfo(env: Environment, node: str | None) -> list[Object]:
    added = env.peers.added()
    if node is not None:
        address = _address(node)
        _known(env, address)
        added = [target for target in added if target.address == (address.host, address.port)]
    return [_added(env, target) for target in added]


def version_number(text: str) -> int:
    """0.1.2 as 102, 1.2.3 as 10203: Bitcoin's way of writing a version as a number."""
    parts = [int("".join(filter(str.isdigit, part)) or 0) for part in text.split(".")[:3]]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return major * 10_000 + minor * 100 + patch


def _own_addresses(env: Environment) -> list[Object]:
    """Where others find this node: what the roster says of it. A node that is no member tells nobody."""
    operator = env.identity.operator
    roster = env.chain.roster(env.chain.tip().height + 1)
    index = roster.index_of(operator) if operator is not None else None
    if index is None:
        return []
    try:
        place = parse_peer(roster.members[index].network_address.decode("utf-8", "replace"))
    except ValueError:
        return []
    return [{"address": place.host, "port": place.port, "score": 1}]


def _added(env: Environment, target: Target) -> Object:
    believed = target.believed
    peer = env.peers.table.get(believed) if believed is not None else None
    direction = None if peer is None else "outbound" if peer.outbound else "inbound"
    return {
        "addednode": host_port(target.host, target.port),
        "nodeid": target.node_id.hex() if target.node_id is not None else None,
        "connected": peer is not None,
        "addresses": [{"address": peer.address, "connected": direction}] if peer is not None else [],
        "failures": target.failures,
        "last_failure": target.last_failure or None,
    }


def _address(text: str) -> PeerAddress:
    try:
        return parse_peer(text)
    except ValueError as error:
        raise bad_value("node", str(error), "Write host:port, or node-id@host:port.") from None


def _known(env: Environment, address: PeerAddress) -> None:
    if not env.peers.is_added(address):
        raise RpcError(
            NODE_NOT_ADDED, "Error: Node has not been added", rule="not-added",
            hint="getaddednodeinfo lists the added nodes.", param="node",
        )  # fmt: skip


def _too_many() -> RpcError:
    return RpcError(
        NODE_CAPACITY, "Error: Too many addresses are dialled already", rule="addresses-full",
        hint="Remove some with addnode.", param="node",
    )  # fmt: skip


HANDLERS = {
    handler.__name__: handler for handler in (getnetworkinfo, getconnectioncount, addnode, getaddednodeinfo)
}

"""Methods about sessions with other nodes."""

from __future__ import annotations

from timed import __version__
from timed.params import SECOND, WIRE_VERSION
from timed.rpc.environment import Environment
from timed.rpc.jsontext import amount
from timed.rpc.present import Object


def getnetworkinfo(env: Environment) -> Object:
    peers = env.chain.peers()
    outbound = sum(1 for peer in peers if peer.outbound)
    fee = amount(env.params.minimum_fee)
    return {
        "version": version_number(__version__),
        "subversion": f"/{env.identity.software}/",
        "protocolversion": WIRE_VERSION,
        "nodeid": env.identity.node_id.hex(),
        "connections": len(peers),
        "connections_in": len(peers) - outbound,
        "connections_out": outbound,
        "networkactive": True,
        "networks": [{"name": env.params.name, "limited": False, "reachable": True, "proxy": ""}],
        "relayfee": fee,
        "incrementalfee": fee,
        "localaddresses": [],
        "listenport": env.identity.p2p_port,
        "timeoffset": None,
        "warnings": "",
    }


def getpeerinfo(env: Environment) -> list[Object]:
    chain = env.chain
    height = chain.tip().height
    roster = chain.roster(height + 1)
    shown = []
    for peer in chain.peers():
        known = chain.peer_statistics(peer.node_id)
        member = roster.index_of(peer.operator) if peer.operator is not None else None
        shown.append(
            {
                "nodeid": peer.node_id.hex(),
                "addr": peer.address,
                "inbound": not peer.outbound,
                "subver": f"/{peer.handshake.software}/",
                "version": peer.handshake.wire_version,
                "startingheight": peer.handshake.height,
                "operator": peer.operator.hex() if peer.operator is not None else None,
                "is_masternode": member is not None,
                "masternode": member,
                "conntime": known.opened_at // SECOND if known is not None else None,
                "bytessent": known.bytes_sent if known is not None else None,
                "bytesrecv": known.bytes_received if known is not None else None,
                "pingtime": _seconds(known.round_trip) if known is not None else None,
                "minping": _seconds(known.round_trip_least) if known is not None else None,
                "queued_bytes": known.queued if known is not None else None,
                "messages_sent": known.sent if known is not None else None,
                "messages_received": known.received if known is not None else None,
                "dropped": known.dropped if known is not None else None,
                "score": known.score if known is not None else None,
            }
        )
    return shown


def getconnectioncount(env: Environment) -> int:
    return len(env.chain.peers())


def version_number(text: str) -> int:
    """0.1.2 as 102, 1.2.3 as 10203: Bitcoin's way of writing a version as a number."""
    parts = [int("".join(filter(str.isdigit, part)) or 0) for part in text.split(".")[:3]]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return major * 10_000 + minor * 100 + patch


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / SECOND


HANDLERS = {handler.__name__: handler for handler in (getnetworkinfo, getpeerinfo, getconnectioncount)}

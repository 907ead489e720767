"""What the address book holds, to people."""

from __future__ import annotations

from timed.params import SECOND
from timed.peer.addressbook import Record
from timed.peer.location import address_of
from timed.rpc.environment import Environment
from timed.rpc.present import Object

FAMILIES = {"ipv4": 4, "ipv6": 6}


def getnodeaddresses(env: Environment, count: int, network: str | None) -> list[Object]:
    records = env.peers.addresses(count, FAMILIES.get(network or ""))
    return [address_object(env, record) for record in records]


def address_object(env: Environment, record: Record) -> Object:
    """An address of the book: times are unix seconds, 0 for never."""
    return {
        "time": record.last_seen // SECOND,
        "services": 0,
        "address": record.host,
        "port": record.port,
        "network": _network(record.host),
        "nodeid": record.node_id.hex() if record.node_id is not None else None,
        "met": env.peers.table.discovery.book.proved(record),
        "source": record.source,
        "tried": record.tried,
        "attempts": record.attempts,
        "last_try": record.last_try // SECOND,
        "last_success": record.last_success // SECOND,
    }


def _network(host: str) -> str | None:
    address = address_of(host)
    return None if address is None else f"ipv{address.version}"


HANDLERS = {"getnodeaddresses": getnodeaddresses}

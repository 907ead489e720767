"""Who is refused, and until when: one store of bans, by node id and by place.

A place is a network of addresses, an address the network of one. What IPv6 writes
of an IPv4 address counts as that address. A host name stands for no address here:
a node behind a name is banned by its node id.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Union

import attrs

from timed.errors import LocalError
from timed.peer import limits
from timed.peer.location import address_of, parse_node_id

_MAPPED_BITS = 96
_NEVER = 2**63

Place = Union[IPv4Network, IPv6Network]
Subject = Union[bytes, IPv4Network, IPv6Network]
"""A node id, or a place."""


def parse_subject(text: str) -> Subject:
    """A node id in hexadecimal, an address, or a subnet with a prefix or a mask; ValueError."""
    node_id = parse_node_id(text)
    if node_id is not None:
        return node_id
    if "%" in text:
        raise ValueError("a scope belongs to this machine alone")
    network = ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if network.version == 6 else None
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def subject_text(subject: Subject) -> str:
    """What `parse_subject` reads; an address is written with its prefix, too."""
    return subject.hex() if isinstance(subject, bytes) else str(subject)


def is_in(host: str, place: Place) -> bool:
    """True for an address inside a place."""
    address = address_of(host)
    return address is not None and address.version == place.version and address in place


@attrs.frozen
class Ban:
    """Somebody who is refused. It always ends unless the operator made it endless."""

    subject: Subject
    until: int
    """Unix time in microseconds; 0: until the operator lifts it."""
    reason: str
    by_operator: bool
    since: int = 0
    host: str = ""
    """Where the node was seen, if this is the ban of a node."""

    def __attrs_post_init__(self) -> None:
        if not self.by_operator and not isinstance(self.subject, bytes) and self.subject.num_addresses > 1:
            raise LocalError("a subnet is banned by the operator, never automatically.")

    def ended(self, now: int) -> bool:
        """True when its time is over."""
        return bool(self.until) and now >= self.until


class Bans:
    """One ban per subject, `limits.BANS` in all."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, Ban] = {}
        self._places: dict[tuple[int, int], dict[int, Ban]] = {}
        """By version and length of prefix, then by the prefix as a number."""
        self.overflows = 0
        """Bans that were forgotten, or not taken, for want of room."""

    def __len__(self) -> int:
        return len(self._nodes) + sum(map(len, self._places.values()))

    def __iter__(self) -> Iterator[Ban]:
        yield from self._nodes.values()
        for held in self._places.values():
            yield from held.values()

    def put(self, ban: Ban) -> None:
        """Keep a ban, in place of the one there is of its subject.

        An automatic ban never takes the place of an operator's. Without room the
        automatic ban that ends first is forgotten, then the operator's that does.
        """
        held = self.get(ban.subject)
        if held is not None and held.by_operator and not ban.by_operator:
            return
        if held is None and len(self) >= limits.BANS:
            self.overflows += 1
            ending = min(self, key=lambda other: (other.by_operator, other.until or _NEVER))
            if ending.by_operator and not ban.by_operator:
                return
            self.remove(ending.subject)
        if isinstance(ban.subject, bytes):
            self._nodes[ban.subject] = ban
        else:
            kind, prefix = _key(ban.subject)
            self._places.setdefault(kind, {})[prefix] = ban

    def get(self, subject: Subject) -> Ban | None:
        """The ban of exactly this subject, ended or not."""
        if isinstance(subject, bytes):
            return self._nodes.get(subject)
        kind, prefix = _key(subject)
        return self._places.get(kind, {}).get(prefix)

    def remove(self, subject: Subject) -> Ban | None:
        """Forget the ban of exactly this subject; what was forgotten."""
        if isinstance(subject, bytes):
            return self._nodes.pop(subject, None)
        kind, prefix = _key(subject)
        held = self._places.get(kind, {})
        ban = held.pop(prefix, None)
        if ban is not None and not held:
            del self._places[kind]
        return ban

    def of_node(self, node_id: bytes, now: int) -> Ban | None:
        """The ban of a node that has not ended."""
        ban = self._nodes.get(node_id)
        return None if ban is None or ban.ended(now) else ban

    def covering(self, host: str, now: int) -> Iterator[Ban]:
        """The bans that have not ended of places in which a host is."""
        address = address_of(host) if self._places else None
        if address is None:
            return
        number, bits = int(address), address.max_prefixlen
        for (version, length), held in self._places.items():
            if version == address.version:
                ban = held.get(number >> (bits - length))
                if ban is not None and not ban.ended(now):
                    yield ban

    def expire(self, now: int) -> None:
        """Forget what has ended."""
        for ban in [ban for ban in self if ban.ended(now)]:
            self.remove(ban.subject)

    def clear(self) -> None:
        self._nodes.clear()
        self._places.clear()


def _key(place: Place) -> tuple[tuple[int, int], int]:
    shift = place.max_prefixlen - place.prefixlen
    return (place.version, place.prefixlen), int(place.network_address) >> shift

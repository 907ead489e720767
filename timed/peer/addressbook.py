"""Addresses of nodes, heard of or tried, in keyed buckets (protocol §5).

Where an address is kept depends on a secret, its own group and the group of who
told of it, so that one operator with many addresses, or one liar with many
stories, fills a few buckets and no more. An address moves to the tried table
when a handshake succeeded; one that stands there already is tested before it
gives way. Addresses that nobody can route to are never stored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

from timed.params import SECOND
from timed.peer.location import address_of
from timed.primitives.hashing import tagged_hash

if TYPE_CHECKING:
    import random

NEW_BUCKETS = 256
NEW_BUCKETS_PER_SOURCE = 16
TRIED_BUCKETS = 64
TRIED_BUCKETS_PER_GROUP = 8
BUCKET_SIZE = 32
MOST_ADDRESSES = (NEW_BUCKETS + TRIED_BUCKETS) * BUCKET_SIZE
"""8,192 addresses heard of and 2,048 tried, at most. Overflow replaces within a bucket."""
TESTS_PENDING = 16
"""Tried addresses that wait for their test. Overflow keeps the address that stands there."""
OWN_ADDRESSES = 256
"""Addresses at which this node met itself. Overflow forgets the oldest, which costs a dial."""

DAY = 86_400 * SECOND
STALE_AGE = 30 * DAY
FUTURE_TOLERATED = 600 * SECOND
RETRY_PAUSE = 600 * SECOND
ATTEMPTS_WITHOUT_SUCCESS = 3

Address = tuple[str, int]


@attrs.define
class Record:
    """One address. Times are unix microseconds, 0 for never."""

    host: str
    port: int
    node_id: bytes | None
    source: str
    """The group of who told of it, or the host itself where groups mean nothing."""
    last_seen: int
    last_try: int = 0
    last_success: int = 0
    attempts: int = 0
    """Since the last success."""
    tried: bool = False

    @property
    def address(self) -> Address:
        return (self.host, self.port)

    def hopeless(self, now: int) -> bool:
        """True for an address that may give way to any other."""
        if self.last_seen > now + FUTURE_TOLERATED or self.last_seen < now - STALE_AGE:
            return True
        return self.attempts >= ATTEMPTS_WITHOUT_SUCCESS and self.last_success < now - STALE_AGE // 4


@lru_cache(maxsize=16_384)
def group_of(host: str) -> str:
    """The /16 of an IPv4 address, the /32 of an IPv6 one; another name is its own group."""
    address = _parse(host)
    if address is None:
        return host
    packed = address.packed
    if address.version == 4:
        return f"{packed[0]}.{packed[1]}.0.0/16"
    return f"{ipaddress.IPv6Address(packed[:4] + bytes(12))}/32"


def is_routable(host: str, *, public: bool) -> bool:
    """True for an IP address that others can reach; `public` excludes private ones and loopback."""
    address = _parse(host)
    if address is None or address.is_unspecified or address.is_multicast or address.is_link_local:
        return False
    return address.is_global if public else True


def spelled(host: str) -> str:
    """The one way to write an address; another name as it is."""
    address = _parse(host)
    return host if address is None else str(address)


@lru_cache(maxsize=64)
def _parse(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is; None for a name, and for a scope, which other machines do not have."""
    return None if "%" in host else address_of(host)


class AddressBook:
    """All addresses this node knows. `public` is off for networks on loopback and in laboratories."""

    def __init__(self, secret: bytes, entropy: random.Random, *, public: bool) -> None:
        self.secret = secret
        self.public = public
        self._entropy = entropy
        self._records: dict[Address, Record] = {}
        self._new: dict[tuple[int, int], Record] = {}
        self._tried: dict[tuple[int, int], Record] = {}
        self._tests: dict[Address, Record] = {}
        """Tried addresses to be tested, by the address that wants their place."""
        self._own: dict[Address, None] = {}
        self._proved: dict[Address, None] = {}
        """Addresses that are not tried, at which the node of the record was met all the same."""
        self.changes = 0
        """How often an address came, went, or was found to be good."""
        self.rejected = 0
        """Addresses that were not stored: unroutable, our own, or without a place."""

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def snapshot(self) -> tuple[Record, ...]:
        """Copies of all records, which change no more."""
        return tuple(
            Record(r.host, r.port, r.node_id, r.source, r.last_seen, r.last_try, r.last_success, r.attempts, r.tried)
            for r in self._records.values()
        )  # fmt: skip

    def at(self, host: str, port: int) -> Record | None:
        return self._records.get((host, port))

    def add(
        self, host: str, port: int, node_id: bytes | None, last_seen: int, source: str, now: int
    ) -> Record | None:
        """Take in an address that `source` (a host) told of; None when it is not kept."""
        record = self._records.get((host, port))
        host = host if record is not None else spelled(host)
        address = (host, port)
        last_seen = min(last_seen, now)
        record = record or self._records.get(address)
        if record is not None:
            record.last_seen = max(record.last_seen, last_seen)
            if not self.proved(record):
                record.node_id = node_id or record.node_id
            return record
        if not 0 < port < 65_536 or address in self._own or not is_routable(host, public=self.public):
            self.rejected += 1
            return None
        record = Record(host, port, node_id, self._group(source), last_seen)
        place = self._new_place(record)
        held = self._new.get(place)
        if held is not None:
            if not held.hopeless(now):
                self.rejected += 1
                return None
            self._forget(held)
        self._new[place] = record
        self._records[address] = record
        self.changes += 1
        return record

    def attempted(self, host: str, port: int, now: int) -> None:
        """A dial begins; `succeeded` forgives it."""
        record = self._records.get((host, port))
        if record is not None:
            record.last_try = now
            record.attempts += 1

    def succeeded(self, host: str, port: int, node_id: bytes, now: int) -> None:
        """A handshake was completed there: the address belongs to the tried table."""
        record = self.add(host, port, node_id, now, host, now)
        if record is None:
            return
        self.changes += 1
        record.node_id = node_id
        record.last_success = record.last_seen = record.last_try = now
        record.attempts = 0
        self._tests = {wants: tested for wants, tested in self._tests.items() if tested is not record}
        if record.tried:
            return
        held = self._tried.get(self._tried_place(record))
        if held is None:
            self._promote(record)
        elif len(self._tests) < TESTS_PENDING:
            self._tests[record.address] = held

    def met(self, host: str, port: int, node_id: bytes) -> None:
        """A dial met this node, whatever became of it."""
        record = self._records.get((host, port))
        if record is not None:
            record.node_id = node_id
            self._proved[record.address] = None

    def proved(self, record: Record) -> bool:
        """True when this node itself has met the record's node there; else its id is hearsay."""
        return record.tried or record.address in self._proved

    def failed_test(self, host: str, port: int) -> None:
        """A tried address did not answer its test: it gives way to who waits for its place."""
        held = self._records.get((host, port))
        waiting = next((wants for wants, tested in self._tests.items() if tested is held), None)
        if held is None or waiting is None:
            return
        del self._tests[waiting]
        record = self._records.get(waiting)
        if record is not None and not record.tried:
            self._promote(record)
            self._demote(held)

    def to_test(self) -> Record | None:
        """A tried address whose place another one wants."""
        return next(iter(self._tests.values()), None)

    def is_own(self, host: str, port: int) -> None:
        """This address turned out to be this node itself."""
        host = spelled(host)
        self._own[(host, port)] = None
        if len(self._own) > OWN_ADDRESSES:
            del self._own[next(iter(self._own))]
        record = self._records.get((host, port))
        if record is not None:
            self._forget(record)

    def choose(self, now: int, excluded: Callable[[Record], bool], *, untried: bool = False) -> Record | None:
        """An address to dial: tried or heard of with equal chances, the often failed ones rarely."""
        tables = [self._new] if untried else [self._tried, self._new]
        if len(tables) > 1 and self._entropy.random() < 0.5:
            tables.reverse()
        drawn = (self._draw(list(table.values()), now, excluded) for table in tables)
        return next((record for record in drawn if record is not None), None)

    def _draw(self, records: list[Record], now: int, excluded: Callable[[Record], bool]) -> Record | None:
        """A record by chance; looks at no more of them than it takes."""
        spare: Record | None = None
        for last in range(len(records) - 1, -1, -1):
            at = self._entropy.randrange(last + 1)
            records[at], records[last] = records[last], records[at]
            record = records[last]
            if (record.attempts and now - record.last_try < RETRY_PAUSE) or excluded(record):
                continue
            if self._entropy.random() < 0.66 ** min(record.attempts, 8):
                return record
            spare = spare or record
        return spare

    def sample(self, limit: int, now: int) -> list[Record]:
        """Random addresses worth telling others of, in no order that says anything."""
        worth = [record for record in self._records.values() if not record.hopeless(now)]
        return self._entropy.sample(worth, min(limit, len(worth)))

    def restore(self, record: Record) -> None:
        """A record of an earlier process, at the place it had with the same secret."""
        if record.address in self._records or not is_routable(record.host, public=self.public):
            return
        table, place = (
            (self._tried, self._tried_place(record)) if record.tried else (self._new, self._new_place(record))
        )
        if place not in table:
            table[place] = record
            self._records[record.address] = record

    def _promote(self, record: Record) -> None:
        self._new.pop(self._new_place(record), None)
        record.tried = True
        self._tried[self._tried_place(record)] = record

    def _demote(self, record: Record) -> None:
        """Back to those heard of; another has its place among the tried by now, and may have had this one."""
        record.tried = False
        place = self._new_place(record)
        held = self._new.get(place)
        if held is not None:
            self._forget(held)
        self._new[place] = record

    def _forget(self, record: Record) -> None:
        self.changes += 1
        del self._records[record.address]
        self._proved.pop(record.address, None)
        if record.tried:
            del self._tried[self._tried_place(record)]
        else:
            del self._new[self._new_place(record)]
        self._tests = {
            wants: tested
            for wants, tested in self._tests.items()
            if tested is not record and wants != record.address
        }

    def _group(self, host: str) -> str:
        """Where nobody is public, every host stands for itself."""
        return group_of(host) if self.public else host

    def _new_place(self, record: Record) -> tuple[int, int]:
        share = self._number("new", record.source, self._group(record.host)) % NEW_BUCKETS_PER_SOURCE
        bucket = self._number("bucket", record.source, str(share)) % NEW_BUCKETS
        return bucket, self._slot("new", bucket, record)

    def _tried_place(self, record: Record) -> tuple[int, int]:
        share = self._number("tried", record.host, str(record.port)) % TRIED_BUCKETS_PER_GROUP
        bucket = self._number("group", self._group(record.host), str(share)) % TRIED_BUCKETS
        return bucket, self._slot("tried", bucket, record)

    def _slot(self, table: str, bucket: int, record: Record) -> int:
        return self._number("slot", table, str(bucket), record.host, str(record.port)) % BUCKET_SIZE

    def _number(self, *parts: str) -> int:
        text = "\0".join(parts).encode("utf-8")
        return int.from_bytes(tagged_hash("address-book", self.secret, text)[:8], "little")

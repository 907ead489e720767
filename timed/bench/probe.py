"""A service inside a node under test: stamps what the node publishes, and how late its reactor turns.

It is a plugin like any other: `Cluster` puts a file that names `service` on the
node's Python path and `bench-probe` into `services.enabled`. It appends records of 41
bytes to `probe.bin` in the data directory: kind, monotonic nanoseconds (one clock for
all processes of a Linux machine), 32 bytes of value.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.plugin import IPlugin
from zope.interface import implementer

from timed import events
from timed.interfaces import IEventSink, IServiceMaker

NAME = "bench-probe"
FILE = "probe.bin"
RECORD = Struct("<BQ32s")
ACCEPTED, CERTIFIED, FINAL, DROPPED, CONFIRMED, BLOCK, LAG = 1, 2, 3, 4, 5, 6, 9
"""The value of a BLOCK is its height, of a LAG how late a tick was in nanoseconds, both little-endian."""

TICK_NS = 10_000_000
"""The grid of the ticks. One call answers for all that are due, so that a stall counts with each tick it misses."""
TICK_S = TICK_NS / 1e9
MAX_MISSED = 60_000
"""Ticks that one call answers for: ten minutes. The rest of a longer stall is left out, and counted."""
FLUSH_CALLS = 25

KINDS: dict[type, int] = {
    events.TransactionAccepted: ACCEPTED,
    events.TransactionCertified: CERTIFIED,
    events.TransactionFinal: FINAL,
    events.TransactionDropped: DROPPED,
}


@implementer(IEventSink)
class Probe(Service):
    """Started after the chain service, stopped before it; writes what is left when it stops."""

    hears = frozenset({*KINDS, events.BlockCertified})

    def __init__(self, context: Any) -> None:
        self.setName(NAME)
        self._context = context
        self._records: list[bytes] = []
        self._final: set[bytes] = set()
        self._file = -1
        self._due = 0
        """When the next tick is, in monotonic nanoseconds."""
        self._calls = 0
        self.left_out = 0
        """Ticks beyond MAX_MISSED."""
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        path = Path(self._context.config.datadir) / FILE
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._context.driver.add_sink(self)
        self._due = time.monotonic_ns() + TICK_NS
        self._schedule()

    def stopService(self) -> None:
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._write()
        os.close(self._file)

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`. A transaction that is in a block before it was final counts as confirmed."""
        kind = KINDS.get(type(event))
        if kind is not None:
            txid: bytes = event.txid  # type: ignore[attr-defined]
            self._records.append(RECORD.pack(kind, time.monotonic_ns(), txid))
            if kind == FINAL:
                self._final.add(txid)
        elif isinstance(event, events.BlockCertified):
            at = time.monotonic_ns()
            self._records.append(RECORD.pack(BLOCK, at, event.height.to_bytes(32, "little")))
            early = [txid for txid in event.txids if txid not in self._final]
            self._records += [RECORD.pack(CONFIRMED, at, txid) for txid in early]
            self._final.difference_update(event.txids)

    def _schedule(self) -> None:
        wait_ns = max(0, self._due - time.monotonic_ns())
        self._call = self._context.reactor.callLater(wait_ns / 1e9, self._tick)

    def _tick(self) -> None:
        now = time.monotonic_ns()
        due = max(0, (now - self._due) // TICK_NS + 1)
        for number in range(min(due, MAX_MISSED)):
            late = now - self._due - number * TICK_NS
            self._records.append(RECORD.pack(LAG, now, late.to_bytes(32, "little")))
        self._due += due * TICK_NS
        self.left_out += max(0, due - MAX_MISSED)
        self._calls += 1
        if self._calls % FLUSH_CALLS == 0:
            self._write()
        self._schedule()

    def _write(self) -> None:
        data = b"".join(self._records)
        self._records.clear()
        while data:
            data = data[os.write(self._file, data) :]


@implementer(IPlugin, IServiceMaker)
@attrs.frozen
class ProbeMaker:
    """Makes the probe of one node."""

    name: str = NAME
    order: int = 15

    def make(self, context: object) -> Probe:
        return Probe(context)


service = ProbeMaker()


def read(path: Path, offset: int = 0) -> tuple[list[tuple[int, int, bytes]], int]:
    """The whole records after `offset`, and the offset after them."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = len(data) // RECORD.size * RECORD.size
    return list(_records(data[:whole])), offset + whole


def _records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    return RECORD.iter_unpack(data)

"""Virtual TCP: a reliable stream over segments that get lost, doubled and overtaken.

A connection is two streams. What is written is cut into segments; each draws its
own delay from the conditions of its path, a lost one comes a retransmission later,
and the receiver puts them in order by sequence number, so the bytes that arrive are
the bytes that were written or the connection ends. A blocked path holds what is on
it: it arrives after the path heals, or never, if the connection ended meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import attrs

if TYPE_CHECKING:
    import random

    from timed.sim.clock import Clock

SEGMENT = 16_384
"""Largest piece handed to the path at once (what segmentation offload does)."""
WINDOW = 131_072
"""Bytes the kernels of both ends hold for one stream; the rest waits in the transport."""
LOW_WATER = 0
"""Bytes left in the transport at which the writer is told to go on."""
RETRANSMIT = 200_000
"""First retransmission timeout in microseconds; it doubles up to `RETRANSMIT_MAX`."""
RETRANSMIT_MAX = 1_600_000


class Endpoint(Protocol):
    """A process that owns transports, as the network sees it."""

    name: str
    node_id: bytes | None
    port: int
    alive: bool
    paused: bool
    """It stands still: what arrives stays with its kernel, and nobody answers a dial."""

    def opened(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None: ...
    def received(self, link: int, data: bytes) -> None: ...
    def lost(self, link: int, reason: str) -> None: ...
    def failed(self, host: str, port: int, reason: str) -> None: ...
    def drained(self, link: int) -> None: ...


@attrs.define
class Path:
    """What one direction between two machines does to a segment. Chances are 0..1."""

    latency: int = 1_000
    """Smallest delay in microseconds."""
    jitter: int = 500
    """Mean of the exponential part of the delay."""
    tail: float = 0.0
    """Chance of a delay from the heavy tail (Pareto, up to two seconds)."""
    loss: float = 0.0
    duplicate: float = 0.0
    split: float = 0.0
    """Chance that a write arrives in pieces, some of them of one byte."""
    blocked: bool = False
    """Nothing arrives; nobody is told."""

    def delay(self, entropy: random.Random) -> int:
        """The delay of one segment, retransmissions included."""
        delay = self.latency + int(self.jitter * entropy.expovariate(1.0))
        if self.tail and entropy.random() < self.tail:
            delay += min(2_000_000, int(10_000 * entropy.paretovariate(1.1)))
        if self.loss:
            timeout = RETRANSMIT
            while entropy.random() < self.loss:
                delay += timeout
                timeout = min(2 * timeout, RETRANSMIT_MAX)
        return delay

    def cut(self, data: bytes, entropy: random.Random) -> list[bytes]:
        """`data` as the pieces in which it travels; together they are `data`."""
        if len(data) > SEGMENT:
            return [data[at : at + SEGMENT] for at in range(0, len(data), SEGMENT)]
        if not self.split or len(data) < 2 or entropy.random() >= self.split:
            return [data]
        if entropy.random() < 0.3:
            ends = list(range(1, min(len(data), 24)))
        else:
            ends = sorted({entropy.randrange(1, len(data)) for _ in range(entropy.randrange(1, 5))})
        return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


class Side:
    """One end of a connection: a link number of one process."""

    __slots__ = ("endpoint", "link", "machine", "open", "paused", "pending")

    def __init__(self, machine: Machine, endpoint: Endpoint, link: int) -> None:
        self.machine = machine
        self.endpoint = endpoint
        self.link = link
        self.open = False
        """The process has been told of the link and not yet of its end."""
        self.pending = True
        """The handshake of the transport is still under way: data waits."""
        self.paused = False
        """The process does not read: what arrives stays with its kernel, and the window closes."""

    @property
    def reads(self) -> bool:
        """What arrives is handed to the process."""
        return not self.paused and not self.endpoint.paused


class Machine:
    """A computer: it can be dark (no power) whatever its process does."""

    __slots__ = ("dark", "host", "index")

    def __init__(self, index: int, host: str) -> None:
        self.index = index
        self.host = host
        self.dark = False


class Stream:
    """One direction of a connection, with sequence numbers, window and end mark."""

    __slots__ = (
        "arrived", "back", "backlog", "clock", "cut", "draining", "end", "ended", "entropy", "flight", "held", "here",
        "label", "on_end", "path", "sent", "stray", "there", "waiting", "written",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, entropy: random.Random, path: Path, back: Path, here: Side, there: Side
    ) -> None:
        self.clock = clock
        self.entropy = entropy
        self.path = path
        self.back = back
        self.here = here
        self.there = there
        self.label = f"{here.machine.index}>{there.machine.index} #{here.link}"
        self.backlog: deque[bytes] = deque()
        self.written = 0
        self.sent = 0
        self.arrived = 0
        self.flight = 0
        self.end: int | None = None
        """Sequence number of the end mark once the writer closed."""
        self.ended = False
        """The end mark has left."""
        self.draining = False
        """The writer is about to be told that its transport is empty."""
        self.cut = False
        """The writer's machine forgot the stream: nothing of it arrives any more."""
        self.waiting: dict[int, bytes] = {}
        self.held: list[tuple[int, bytes]] = []
        self.on_end: Callable[[], None] = _nothing
        self.stray: Callable[[], None] = _nothing

    def write(self, data: bytes) -> None:
        """Queue `data`; as much as the window allows leaves at once."""
        self.backlog.append(data)
        self.written += len(data)
        self._pump()
        self._tell_drained()

    @property
    def unsent(self) -> int:
        """Bytes that wait in the transport because the window is full."""
        return self.written - self.sent

    def finish(self) -> None:
        """Send the end mark behind what was written."""
        self.end = self.written
        self._pump()

    def forget_unsent(self) -> None:
        """The process died: what its transport still held is gone."""
        self.backlog.clear()
        self.written = self.sent

    def _pump(self) -> None:
        while self.backlog and self.flight < WINDOW:
            for piece in self.path.cut(self.backlog.popleft(), self.entropy):
                offset = self.sent
                self.sent += len(piece)
                self.flight += len(piece)
                self._transmit(offset, piece)
        if self.end is not None and not self.ended and not self.backlog:
            self.ended = True
            self._transmit(self.end, b"")

    def _transmit(self, offset: int, piece: bytes) -> None:
        label = f"segment {self.label} {offset}+{len(piece)} {crc32(piece):08x}"
        self.clock.after(self.path.delay(self.entropy), label, lambda: self._arrive(offset, piece))
        if self.path.duplicate and self.entropy.random() < self.path.duplicate:
            again = self.path.delay(self.entropy)
            self.clock.after(again, label + " again", lambda: self._arrive(offset, piece))

    def _arrive(self, offset: int, piece: bytes) -> None:
        if self.cut:
            return
        if self.path.blocked or self.there.machine.dark or self.there.pending:
            self.held.append((offset, piece))
            return
        if not self.there.open:
            self.stray()
            return
        if offset < self.arrived:
            return
        self.waiting[offset] = piece
        if self.there.reads:
            self.read()

    def read(self) -> None:
        """Hand what is there, in order, to the reading process."""
        ready: list[bytes] = []
        while self.arrived in self.waiting:
            piece = self.waiting.pop(self.arrived)
            if not piece:
                break
            ready.append(piece)
            self.arrived += len(piece)
        if ready:
            data = b"".join(ready)
            self.flight -= len(data)
            self.there.endpoint.received(self.there.link, data)
            self._room()
        if self.end is not None and self.arrived == self.end and self.there.open:
            self.on_end()

    def _room(self) -> None:
        """The window opened: send on, and tell the writer when its transport is empty."""
        if self.backlog and not self.back.blocked:
            self._pump()
            self._tell_drained()

    def _tell_drained(self) -> None:
        if self.unsent <= LOW_WATER and self.here.open and not self.draining:
            self.draining = True
            self.clock.after(0, f"drained {self.label}", self._drained)

    def _drained(self) -> None:
        self.draining = False
        if self.here.open and self.unsent <= LOW_WATER:
            self.here.endpoint.drained(self.here.link)

    def resume(self) -> None:
        """The path healed or the machine woke: what was held is retransmitted."""
        if self.path.blocked or self.there.machine.dark or self.there.pending:
            return
        held, self.held = self.held, []
        for offset, piece in held:
            self.clock.after(
                self.path.delay(self.entropy) + self.entropy.randrange(RETRANSMIT),
                f"segment {self.label} {offset}+{len(piece)} {crc32(piece):08x} resent",
                lambda offset=offset, piece=piece: self._arrive(offset, piece),  # type: ignore[misc]
            )
        self._room()


def _nothing() -> None:
    return


class Connection:
    """Two streams between the dialler (side 0) and the listener (side 1)."""

    def __init__(
        self, clock: Clock, entropy: random.Random, paths: tuple[Path, Path], sides: tuple[Side, Side]
    ) -> None:
        self.clock = clock
        self.entropy = entropy
        self.sides = sides
        self.streams = (
            Stream(clock, entropy, paths[0], paths[1], sides[0], sides[1]),
            Stream(clock, entropy, paths[1], paths[0], sides[1], sides[0]),
        )
        self.held: list[Callable[[], None]] = []
        self.on_over: Callable[[], None] = _nothing
        """Called when neither process believes in the connection any more."""
        for index, stream in enumerate(self.streams):
            stream.on_end = lambda index=index: self._ended(1 - index)  # type: ignore[misc]
            stream.stray = lambda index=index: self._reset_to(index, "reset")  # type: ignore[misc]

    @property
    def open(self) -> bool:
        """True while at least one process believes in the connection."""
        return self.sides[0].open or self.sides[1].open

    def opened(self, index: int) -> None:
        """The transport's handshake is through at one side: the process is told."""
        side = self.sides[index]
        if side.pending:
            side.pending = False
            side.open = True
            other = self.sides[1 - index]
            side.endpoint.opened(
                side.link, index == 0, other.endpoint.node_id, other.machine.host, other.endpoint.port
            )
            self.streams[1 - index].resume()

    def write(self, index: int, data: bytes) -> None:
        if self.sides[index].open:
            self.streams[index].write(data)

    def unsent(self, index: int) -> int:
        return self.streams[index].unsent

    def pause(self, index: int) -> None:
        """The process reads nothing more for now."""
        self.sides[index].paused = True

    def read_on(self, index: int) -> None:
        """The process reads again: what has arrived meanwhile is there at once."""
        if self.sides[index].paused:
            self.sides[index].paused = False
            self.awake(index)

    def awake(self, index: int) -> None:
        """The process goes on, or has asked for more: it reads what is there, unless it does not want to."""
        label = f"read on {self.streams[1 - index].label}"
        self.clock.after(0, label, lambda: self._read_on(index))

    def _read_on(self, index: int) -> None:
        if self.sides[index].open and self.sides[index].reads:
            self.streams[1 - index].read()

    def close(self, index: int, reason: str) -> None:
        """The process closes its side after what it wrote; it is told at once, as transports do."""
        if self.sides[index].open:
            self.streams[index].finish()
            self._lose(index, reason)

    def abort(self, index: int, reason: str) -> None:
        """The process drops its side; the other is told by a reset."""
        if self.sides[index].open:
            self.streams[index].forget_unsent()
            self._lose(index, reason)
            self._reset_to(1 - index, "reset")

    def sever(self, reason: str) -> None:
        """Both sides get a reset and everything under way is lost."""
        for stream in self.streams:
            stream.cut = True
        for index in (0, 1):
            self._reset_to(index, reason)

    def power_cut(self, index: int, keep_sent: bool) -> None:
        """One machine goes dark: nobody is told. `keep_sent` decides what was on its way."""
        self.streams[index].forget_unsent()
        self.streams[index].cut = not keep_sent
        self._believes_no_more(index)

    def process_died(self, index: int, orderly: bool) -> None:
        """The kernel of a dead process ends its connections: by an end mark or by a reset."""
        side = self.sides[index]
        if not (side.open or side.pending):
            return
        self.streams[index].forget_unsent()
        self._believes_no_more(index)
        if orderly:
            self.streams[index].finish()
        else:
            self._reset_to(1 - index, "reset")

    def resume(self) -> None:
        """Paths or machines changed: send again what was held."""
        for stream in self.streams:
            stream.resume()
        held, self.held = self.held, []
        for call in held:
            call()

    def _ended(self, index: int) -> None:
        self._lose(index, "closed")
        if self.sides[1 - index].open:
            self.streams[index].finish()

    def _lose(self, index: int, reason: str) -> None:
        side = self.sides[index]
        if side.open:
            self._believes_no_more(index)
            label = f"lost #{side.link} {reason}"
            self.clock.after(0, label, lambda: side.endpoint.lost(side.link, reason))

    def _believes_no_more(self, index: int) -> None:
        self.sides[index].open = self.sides[index].pending = False
        other = self.sides[1 - index]
        if not (other.open or other.pending):
            self.on_over()

    def _reset_to(self, index: int, reason: str) -> None:
        """A reset travels to side `index`."""
        if not self.sides[index].open:
            return
        stream = self.streams[1 - index]
        label = f"reset {stream.label}"
        self.clock.after(stream.path.delay(self.entropy), label, lambda: self._reset_arrives(index, reason))

    def _reset_arrives(self, index: int, reason: str) -> None:
        stream = self.streams[1 - index]
        if stream.path.blocked or stream.there.machine.dark:
            self.held.append(lambda: self._reset_to(index, reason))
            return
        self._lose(index, reason)

"""Stands between a host and its node and keeps the last of what went in.

The ring has two parts. Each begins with a copy of the node's state; when the newer
one has taken its half of the bytes, it becomes the older one and the one before is
let go. So a recording always begins with a state and reaches back at least half of
the ring, unless the state could not be copied or is too large: then it reaches back
less, and a counter says so. To copy a state takes the longer the more is pending, so
a copy that is due waits for the next block while the ring has room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec
import zstandard

from timed.events import Action, Close, CommitBlock, Dial, Pause, Persist, Publish, Resume, Verify, Write
from timed.flight.digest import state_digest
from timed.flight.freeze import FreezeError, freeze
from timed.flight.outside import TapedKey, TapedStore, Told
from timed.flight.tape import CALLS, OPERATIONS, READS, VERSION, Entry, Tape, packed
from timed.interfaces import IStore
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import SECOND
from timed.primitives.hashing import crc32c

if TYPE_CHECKING:
    from random import Random

T = TypeVar("T")

NODE_KEY, OPERATOR_KEY = "node-key", "operator-key"
"""Names, in a copy of the state, of the keys that stay outside."""
RETRY = 10 * SECOND
"""Between two tries to copy a state that cannot be copied now."""
PACE = 100
"""Times the time that the last copy took must pass before the next."""
MAX_PENDING = 2_000
"""Pending payments with which a state is copied; with more the pause would be felt."""
EASY_PENDING = 256
"""Pending payments with which a copy that is due waits for nothing."""
_NUMBER = {name: number for number, name in enumerate(CALLS)}
_READ_NUMBER = {name: number for number, name in enumerate(READS)}
_WIRE_FORM = msgspec.msgpack.Encoder()


@attrs.define
class RecorderCounters:
    """What the recorder did."""

    entries: int = 0
    copies: int = 0
    """Copies of the state."""
    refused: int = 0
    """Copies that could not be made, or were too large."""
    dropped: int = 0
    """Entries that left the ring."""
    failures: int = 0
    """Exceptions of the recorder itself: bugs. After the first it records nothing more."""


def _room(size: int) -> mmap:
    """Takes memory where it is written to. It is none of the heap's, where one that grows leaves holes of every size."""
    return mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)


@attrs.define
class _Part:
    """One copy of the state, compressed, and behind it the entries since."""

    began: int
    room: mmap
    state_size: int
    used: int
    count: int = 0

    @classmethod
    def begun(cls, now: int, state: bytes, size: int) -> _Part:
        """With room for entries of so many bytes."""
        room = _room(len(state) + size)
        room[: len(state)] = state
        return cls(now, room, len(state), len(state))

    def add(self, data: bytes) -> None:
        """One entry more; the room grows when it has to."""
        end = self.used + len(data)
        if end > len(self.room):
            smaller, self.room = self.room, _room(2 * end)
            self.room[: self.used] = smaller[: self.used]
        self.room[self.used : end] = data
        self.used = end
        self.count += 1

    @property
    def state(self) -> memoryview:
        return memoryview(self.room)[: self.state_size]

    @property
    def entries_size(self) -> int:
        """Bytes."""
        return self.used - self.state_size

    @property
    def entries(self) -> memoryview:
        return memoryview(self.room)[self.state_size : self.used]


class Recorder:
    """Makes a node over `store` and is to be called in its place (`timed.app.driver.NodeCalls`).

    `limit` bounds the ring, in bytes; `software` is written into recordings. `stopwatch`
    gives microseconds: with it, copies of the state take a hundredth of the time at most.
    """

    def __init__(
        self,
        config: NodeConfig,
        store: IStore,
        entropy: Random,
        limit: int,
        software: str,
        stopwatch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.counters = RecorderCounters()
        self.limit = limit
        self._usual_size = limit * 3 // 8
        """Bytes of entries after which a part is followed by another, be the moment good or not."""
        self._software = software
        self._stopwatch = stopwatch
        self.refusal = ""
        """Why the last copy of the state was not made; empty when it was."""
        self._parts: list[_Part] = []
        self._broken = False
        self._next_wake: int | None = None
        self._not_before = 0
        """When a copy of the state may be tried again."""
        self._height = self._newest = 0
        """Of the newest block, one flush ago and now."""
        node_key = TapedKey(NODE_KEY, config.node_key, self._signed)
        operator_key = config.operator_key
        self._keys = {NODE_KEY: node_key.public}
        if operator_key is not None:
            operator_key = TapedKey(OPERATOR_KEY, operator_key, self._signed)
            self._keys[OPERATOR_KEY] = operator_key.public
        taped_config = attrs.evolve(config, node_key=node_key, operator_key=operator_key)
        self.node = Node(taped_config, TapedStore(store, self._read), entropy)

    # The host's calls.

    def start(self, now: int) -> None:
        self.node.start(now)

    def connected(
        self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int, now: int
    ) -> None:
        self._call("connected", link, outbound, peer_id, host, port, now)

    def received(self, link: int, data: bytes, now: int) -> None:
        self._call("received", link, data, now)

    def disconnected(self, link: int, reason: str, now: int) -> None:
        self._call("disconnected", link, reason, now)

    def dial_failed(self, host: str, port: int, reason: str, now: int) -> None:
        self._call("dial_failed", host, port, reason, now)

    def drained(self, link: int, now: int) -> None:
        self._call("drained", link, now)

    def verified(self, token: int, verdicts: Sequence[bool], now: int) -> None:
        self._call("verified", token, verdicts, now)

    def persisted(self, token: int, now: int) -> None:
        self._call("persisted", token, now)

    def store_failed(self, token: int, reason: str, now: int) -> None:
        self._call("store_failed", token, reason, now)

    def wake(self, now: int) -> None:
        self._call("wake", now)

    def stop(self, now: int) -> None:
        self._call("stop", now)

    def submit(self, raw: bytes, now: int) -> bytes:
        return self.operate(self.node.submit, raw, now)

    def operate(self, method: Callable[..., T], *arguments: object, **named: object) -> T:
        """Do something to the node: a method of it or of its peers. What it raises is raised.

        One that is none of `OPERATIONS` is done, and ends the recording, which could not be executed again.
        """
        owner = "" if getattr(method, "__self__", None) is self.node else "peers."
        name = f"{owner}{method.__name__}"
        taped = [Told(one) if callable(one) else one for one in arguments]
        if self._parts:
            self._note(lambda: [Entry.OPERATION, OPERATIONS.index(name), freeze((taped, named))])
        return self._noting_errors(partial(method, **named), taped)

    def flush(self, now: int) -> list[Action]:
        """What came out is on the tape as a checksum; a new part of the ring begins here when one is due.

        To ask a node when it wants to be woken lets go what nobody waits for any more,
        so it is asked here, once a turn, and by a replay, too. A turn that raises is a step, too; it is
        known then of nothing when it is due, so that the host does not try it again at once.
        """
        self._next_wake = None
        try:
            actions = self.node.flush(now)
        except Exception as error:
            self._turn_raised(now, type(error).__name__)
            raise
        self._next_wake = self.node.next_wake()
        self._guarded(lambda: self._end_of_turn(now, actions))
        return actions

    def next_wake(self) -> int | None:
        """As of the last flush; one follows whatever is called."""
        return self._next_wake

    # Recordings.

    def tape(self, why: str) -> Tape | None:
        """What is in the ring, and the state it leads to; None while there is no copy of a state."""
        if not self._parts:
            return None
        first, identity = self._parts[0], self.node.peers.identity
        return Tape(
            version=VERSION,
            software=self._software,
            network=self.node.params.name,
            genesis=identity.genesis_hash,
            node_id=identity.node_id,
            why=why,
            began=first.began,
            ended=self.node.now,
            digest=state_digest(self.node),
            keys=self._keys,
            state=zstandard.ZstdDecompressor().decompress(first.state),
            entries=b"".join(part.entries for part in self._parts),
        )

    @property
    def size(self) -> int:
        """Bytes of the ring, without what is not used of the room: that takes no memory yet."""
        return sum(part.used for part in self._parts)

    @property
    def began(self) -> int | None:
        """Since when there is a recording, in microseconds of unix time."""
        return self._parts[0].began if self._parts else None

    def _call(self, name: str, *arguments: object) -> None:
        if self._parts:
            self._note(lambda: [Entry.CALL, _NUMBER[name], *arguments])
        self._noting_errors(getattr(self.node, name), arguments)

    def _noting_errors(self, method: Callable[..., T], arguments: Sequence[object]) -> T:
        try:
            return method(*arguments)
        except Exception as error:
            if self._parts:
                name = type(error).__name__
                self._note(lambda: [Entry.RAISED, name])
            raise

    def _turn_raised(self, now: int, name: str) -> None:
        if self._parts:
            self._note(lambda: [Entry.TURN, now, 0])
            self._note(lambda: [Entry.RAISED, name])

    def _read(self, method: str, arguments: tuple[Any, ...], result: object) -> None:
        if self._parts:
            encode = _WIRE_FORM.encode
            self._note(lambda: [Entry.READ, _READ_NUMBER[method], encode(arguments), encode(result)])

    def _signed(self, key: str, checked: int, signature: bytes) -> None:
        if self._parts:
            self._note(lambda: [Entry.SIGNATURE, key, checked, signature])

    def _note(self, entry: Callable[[], list[Any]]) -> None:
        self._guarded(lambda: self._append(entry()))

    def _append(self, entry: list[Any]) -> None:
        self._parts[-1].add(packed(entry))
        self.counters.entries += 1

    def _guarded(self, record: Callable[[], None]) -> None:
        """What the recorder does for itself never keeps the node from its work."""
        if self._broken:
            return
        try:
            record()
        except Exception as error:  # noqa: BLE001 - see above; it is counted and said
            self._broken = True
            self._parts = []
            self.counters.failures += 1
            self.refusal = f"the recorder has failed and records nothing more: {error!r}."

    def _end_of_turn(self, now: int, actions: Sequence[Action]) -> None:
        if self._parts:
            self._append([Entry.TURN, now, checksum(actions)])
        due = not self._parts or self._parts[-1].entries_size >= self.limit // 4
        if due and self._is_good_moment() and not 0 < self._not_before - now <= RETRY:
            self._copy(now)
        self._height, self._newest = self._newest, self.node.ledger.tip.height
        self._hold_the_limit()

    def _is_good_moment(self) -> bool:
        """Little is pending, as in the turn after a block's, or there is no room to wait for that."""
        waited = not self._parts or self._parts[-1].entries_size >= self._usual_size
        return waited or self._newest > self._height or len(self.node.mempool) <= EASY_PENDING

    def _copy(self, now: int) -> None:
        """Begin a new part with the state of this moment; let go what no longer fits."""
        began, state = self._stopwatch(), b""
        if len(self.node.mempool) <= MAX_PENDING:
            try:
                state = zstandard.ZstdCompressor(level=1).compress(freeze(self.node))
            except FreezeError as error:
                self.refusal = str(error)
        else:
            self.refusal = f"more than {MAX_PENDING} payments are pending."
        self._not_before = now + min(RETRY, PACE * (self._stopwatch() - began))
        if not state or len(state) > self.limit // 4:
            self.counters.refused += 1
            self._not_before = now + RETRY
            return
        self.counters.copies += 1
        self.refusal = ""
        for part in self._parts[:-1]:
            self.counters.dropped += part.count
        self._parts = [*self._parts[-1:], _Part.begun(now, state, self._usual_size)]

    def _hold_the_limit(self) -> None:
        """Let the oldest part go while there are too many bytes; without any there is no recording until a copy."""
        while self._parts and self.size > self.limit:
            self.counters.dropped += self._parts.pop(0).count


def checksum(actions: Sequence[Action]) -> int:
    """CRC-32C over what the actions say, in their order."""
    value = 0
    for action in actions:
        kind = type(action)
        if kind is Write:
            value = crc32c(action.data, crc32c(b"%d" % action.link, value))  # type: ignore[union-attr]
        else:
            value = crc32c(_SAID[kind](action), value)
    return value


_SAID: dict[type, Callable[[Any], bytes]] = {
    Persist: lambda action: b"P%d:" % action.token + b"".join(action.records),
    CommitBlock: lambda action: b"C%d:" % action.token + action.commit.block_hash,
    Verify: lambda action: b"V%d:" % action.token + b"".join(item[2] for item in action.items),
    Publish: lambda action: repr(action.event).encode(),
    Close: lambda action: f"X{action.link} {action.reason} {action.abort}".encode(),
    Dial: lambda action: f"D{action.host} {action.port}".encode(),
    Pause: lambda action: b"-%d" % action.link,
    Resume: lambda action: b"+%d" % action.link,
}

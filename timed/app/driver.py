"""The host of a `Node` in a Twisted process.

Everything the node decides comes out of `flush` as actions once per reactor
turn and is executed here, in order. The node runs on the reactor thread alone;
only writes and signature checks leave it, and come back as calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from timed.app.meter import Meter
from timed.app.storequeue import StoreQueue, Threads
from timed.app.verifier import Verifier, VerifyBatch
from timed.errors import StoreError
from timed.events import (
    Action,
    Close,
    CommitBlock,
    Dial,
    NodeEvent,
    Pause,
    Persist,
    Publish,
    Resume,
    Verify,
    Write,
)
from timed.flight.recorder import Recorder
from timed.interfaces import IEventSink, IStore
from timed.net.interfaces import INetworkHost
from timed.node.waking import MACHINES
from timed.params import SECOND

T = TypeVar("T")

LONGEST_WAIT = 1 * SECOND
"""The timer looks at the wall clock at least this often, so that a step of the clock is noticed."""

AFTER_FAULT = 1 * SECOND
"""Between two wakes when the node raises in them: it asks to be woken at once for what it could not do."""

NO_NETWORK = "no-network"


class NodeCalls(Protocol):
    """What a host calls on `timed.node.Node`; all times are microseconds of unix time."""

    def start(self, now: int) -> None: ...
    def stop(self, now: int) -> None: ...
    def connected(
        self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int, now: int
    ) -> None: ...
    def received(self, link: int, data: bytes, now: int) -> None: ...
    def disconnected(self, link: int, reason: str, now: int) -> None: ...
    def dial_failed(self, host: str, port: int, reason: str, now: int) -> None: ...
    def drained(self, link: int, now: int) -> None: ...
    def verified(self, token: int, verdicts: tuple[bool, ...], now: int) -> None: ...
    def persisted(self, token: int, now: int) -> None: ...
    def store_failed(self, token: int, reason: str, now: int) -> None: ...
    def wake(self, now: int) -> None: ...
    def submit(self, raw: bytes, now: int) -> bytes: ...
    def flush(self, now: int) -> Sequence[Action]: ...
    def next_wake(self) -> int | None: ...


class Machines(Protocol):
    """`timed.node.waking.Waking`: the machines of a node, one by one."""

    @property
    def due(self) -> dict[str, int | None]: ...
    @property
    def woken(self) -> dict[str, int]: ...

    def alone(self, machine: str, now: int) -> None: ...


class Hosted(NodeCalls, Protocol):
    """A node, behind a recorder or not."""

    @property
    def waking(self) -> Machines: ...


class Transport(Protocol):
    """What executes the node's network actions: `timed.net.Network`."""

    def write(self, link: int, data: bytes) -> None: ...
    def close(self, link: int, reason: str, abort: bool) -> None: ...
    def pause(self, link: int) -> None: ...
    def resume(self, link: int) -> None: ...
    def dial(self, host: str, port: int, expected_id: bytes | None) -> None: ...


@attrs.define
class DriverCounters:
    """What the host itself saw."""

    turns: int = 0
    wakes: int = 0
    """Times the node's timer came, early or not: once in `LONGEST_WAIT` at least."""
    actions: int = 0
    faults: int = 0
    """Exceptions out of the core or of a sink: bugs."""
    unread: int = 0
    """Calls of the core or of a sink that ended because the store cannot be read: no bug, but its disk."""
    after_stop: int = 0


@attrs.frozen
class Hands:
    """The threads that work for the driver, and the way back to the reactor."""

    store: Threads
    verifier: Threads
    verifier_workers: int
    from_thread: Callable[..., object]
    verify_batch: VerifyBatch


@implementer(INetworkHost)
class NodeDriver:
    """Calls the node, executes its actions, wakes it when it asks to be woken."""

    _log = Logger()

    def __init__(
        self,
        node: Hosted,
        store: IStore,
        reactor: IReactorTime,
        clock: Callable[[], int],
        hands: Hands,
        *,
        sinks: Sequence[IEventSink] = (),
        max_store_bytes: int,
        max_verify_items: int,
        monotonic: Callable[[], float] = time.monotonic,
        meter: Meter | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """`recorder`, if there is one, made `node` and is called in its place."""
        self.node = node
        self.recorder = recorder
        self.faulted: Callable[[str], object] = lambda what: None
        """Called after an exception of the core, with the name of what raised it."""
        self._calls: NodeCalls = node if recorder is None else recorder
        self.clock = clock
        self.counters = DriverCounters()
        self.first_unread: StoreError | None = None
        """Why the store could not be read for the first time. What is damaged stays so."""
        self.store_queue = StoreQueue(
            store,
            hands.store,
            hands.from_thread,
            self._persisted,
            self._store_failed,
            max_store_bytes,
            monotonic,
        )
        self.verifier = Verifier(
            hands.verify_batch,
            hands.verifier,
            hands.from_thread,
            self._verified,
            workers=hands.verifier_workers,
            max_items=max_verify_items,
        )
        self.meter = meter
        self._reactor = reactor
        self._from_thread = hands.from_thread
        self._sinks = list(sinks)
        self._hearers: dict[type, list[IEventSink]] = {}
        """Of the kinds of events published so far: who hears them."""
        self._transport: Transport | None = None
        self._flush_call: IDelayedCall | None = None
        self._wake_call: IDelayedCall | None = None
        self._wake_at = 0
        self._not_before = 0
        self._running = False
        self._execute: dict[type, Callable[[Any], None]] = {
            Persist: self.store_queue.put,
            CommitBlock: self.store_queue.put,
            Verify: self.verifier.put,
            Publish: self._publish,
            Write: self._write,
            Close: self._close,
            Pause: self._pause,
            Resume: self._resume,
            Dial: self._dial,
        }

    # The application's side.

    def attach(self, transport: Transport) -> None:
        """The transport that carries Write, Close and Dial from now on."""
        self._transport = transport

    def add_sink(self, sink: IEventSink) -> None:
        """Tell `sink` every event published from now on that it hears."""
        self._sinks.append(sink)
        self._hearers.clear()

    def tell(self, event: NodeEvent) -> None:
        """Tell the sinks what this process has seen and the node does not know of."""
        self._publish(Publish(event))

    def start(self) -> None:
        """Start the node; its first actions are executed at the end of this turn.

        What the node raises here, it raises for the operator: a damaged log, say.
        """
        self._calls.start(self.clock())
        self._running = True
        self._end_of_turn()

    def submit(self, raw: bytes) -> bytes:
        """Hand a transaction to the node and return its txid; InvalidTransaction as the node raises it."""
        return self.operate(self.node.submit, raw, self.clock())

    def operate(self, method: Callable[..., T], *arguments: object, **named: object) -> T:
        """Do something to the node for its operator: `method` of it or of its peers; what follows leaves this turn."""
        try:
            if self.recorder is None:
                return method(*arguments, **named)
            return self.recorder.operate(method, *arguments, **named)
        finally:
            self._end_of_turn()

    def say_goodbye(self) -> None:
        """Tell every peer that this node stops. What it says is with the transport on return."""
        if self._running:
            self._call(self._calls.stop)
            self._flush()
            self._running = False
            self.verifier.stop()
            for call in (self._flush_call, self._wake_call):
                if call is not None and call.active():
                    call.cancel()
            self._flush_call = self._wake_call = None

    def stop(self) -> Deferred[None]:
        """Say goodbye, unless that was said, and wait for the store to have written everything."""
        self.say_goodbye()
        self._transport = None
        return self.store_queue.drained()

    # The network's side.

    def connected(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        self._call_of(link, self._calls.connected, outbound, peer_id, host, port)

    def received(self, link: int, data: bytes) -> None:
        self._call_of(link, self._calls.received, data)

    def disconnected(self, link: int, reason: str) -> None:
        self._call(self._calls.disconnected, link, reason)

    def dial_failed(self, host: str, port: int, reason: str) -> None:
        self._call(self._calls.dial_failed, host, port, reason)

    def drained(self, link: int) -> None:
        self._call_of(link, self._calls.drained)

    # Outcomes of actions.

    def _persisted(self, token: int) -> None:
        self._call(self._calls.persisted, token)

    def _store_failed(self, token: int, reason: str) -> None:
        self._call(self._calls.store_failed, token, reason)

    def _verified(self, token: int, verdicts: tuple[bool, ...]) -> None:
        self._call(self._calls.verified, token, verdicts)

    def _call_of(self, link: int, method: Callable[..., object], *args: object) -> None:
        """Call the node about a link, and end that one when it raised: nobody knows what state it is in."""
        if not self._call(method, link, *args):
            self._close(Close(link, "internal-error", abort=True))

    def _call(self, method: Callable[..., object], *args: object) -> bool:
        """Call the node and see to the flush. False when it raised."""
        if not self._running:
            self.counters.after_stop += 1
            return True
        self._end_of_turn()
        return self._measured(method, *args, self.clock())

    def _measured(self, function: Callable[..., object], *args: object) -> bool:
        """`_guarded`, and now and then measured."""
        if self.meter is None:
            return self._guarded(function, *args)
        self.meter.begin(function.__name__)
        done = self._guarded(function, *args)
        self.meter.end()
        return done

    def _guarded(self, function: Callable[..., object], *args: object) -> bool:
        """Call `function`; False when it raised, which is a bug of ours, or the disk's, and is counted and logged.

        It must not take the process and its other sessions along.
        """
        try:
            function(*args)
        except StoreError as error:
            self.counters.unread += 1
            self.first_unread = self.first_unread or error
            self._log.error("the store cannot be read: {error}", error=error)
            return False
        except Exception:  # noqa: BLE001 - see above
            self.counters.faults += 1
            what = getattr(function, "__qualname__", repr(function))
            self._log.failure("{what} raised", what=what)
            self.faulted(what)
            return False
        return True

    # Turns.

    def _end_of_turn(self) -> None:
        if self._running and self._flush_call is None:
            self._flush_call = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        if self._flush_call is not None and self._flush_call.active():
            self._flush_call.cancel()
        self._flush_call = None
        self.counters.turns += 1
        self._measured(self.act)
        self.verifier.dispatch()
        self._arm()

    def act(self) -> None:
        """Execute what the node has decided since the last turn."""
        actions = self._calls.flush(self.clock())
        self.counters.actions += len(actions)
        for action in actions:
            self._guarded(self._execute[type(action)], action)

    def _arm(self) -> None:
        """One timer, never later than the node asks for; one that is early looks again."""
        wanted = self._calls.next_wake()
        now = self.clock()
        soonest = max(now, min(self._not_before, now + AFTER_FAULT))
        at = now + LONGEST_WAIT if wanted is None else min(max(wanted, soonest), now + LONGEST_WAIT)
        if self._wake_call is not None and self._wake_call.active():
            if self._wake_at <= at:
                return
            self._wake_call.cancel()
        self._wake_at = at
        self._wake_call = self._reactor.callLater((at - now) / SECOND, self._wake)

    def _wake(self) -> None:
        self.counters.wakes += 1
        wanted = self._calls.next_wake()
        if wanted is None or wanted > self.clock():
            self._arm()
        elif not self._call(self._calls.wake):
            self._not_before = self.clock() + AFTER_FAULT
            for machine in MACHINES:
                self.wake_alone(machine)

    def wake_alone(self, machine: str) -> None:
        """Let one machine of the node do what is due, where another one raises when all are woken."""
        if self._running:
            self._guarded(self.operate, self.node.waking.alone, machine, self.clock())

    def rearm(self) -> None:
        """Set the node's timer anew, whatever became of the last one, and end this turn."""
        if self._running:
            if self._wake_call is not None and self._wake_call.active():
                self._wake_call.cancel()
            if self._flush_call is not None and self._flush_call.active():
                self._flush_call.cancel()
            self._wake_call = self._flush_call = None
            self._end_of_turn()

    @property
    def timer_set(self) -> bool:
        """The node is going to be woken."""
        return self._wake_call is not None and self._wake_call.active()

    # Actions.

    def _write(self, action: Write) -> None:
        if self._transport is not None:
            self._transport.write(action.link, action.data)

    def _close(self, action: Close) -> None:
        if self._transport is not None:
            self._transport.close(action.link, action.reason, action.abort)

    def _pause(self, action: Pause) -> None:
        if self._transport is not None:
            self._transport.pause(action.link)

    def _resume(self, action: Resume) -> None:
        if self._transport is not None:
            self._transport.resume(action.link)

    def _dial(self, action: Dial) -> None:
        if self._transport is not None:
            self._transport.dial(action.host, action.port, action.expected)
        else:
            self._from_thread(self.dial_failed, action.host, action.port, NO_NETWORK)

    def _publish(self, action: Publish) -> None:
        kind = type(action.event)
        hearers = self._hearers.get(kind)
        if hearers is None:
            hearers = self._hearers[kind] = [sink for sink in self._sinks if hears(sink, kind)]
        if hearers:
            now = self.clock()
            for sink in hearers:
                self._guarded(sink.published, action.event, now)


def hears(sink: IEventSink, kind: type) -> bool:
    """What `IEventSink.hears` says; every kind where it says nothing."""
    wanted = getattr(sink, "hears", None)
    return wanted is None or kind in wanted

"""The way from an RPC process to the process that runs the node: one connection, made again when it is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.loops import Cause
from timed.rpc import jsontext
from timed.rpc.caller import Caller
from timed.rpc.errors import INTERNAL_ERROR, WARMING_UP, Busy, RpcError, cancelled
from timed.rpc.linkwire import Behalf, Hello, Line, Lines, LinkError, decode, encode, request

if TYPE_CHECKING:
    from timed.app.watchdog import Watchdog

MAX_CALLS = 1_000
"""Calls that are under way; one more is refused."""
FIRST_RETRY_S, LAST_RETRY_S = 0.1, 2.0
"""Between two attempts to connect, growing."""
UNAVAILABLE = 503
ATTEMPT_S = 30.0
"""An attempt that takes longer is stuck: it is a socket of this machine."""
RETRY_AFTER_S = 1
"""What a caller is told while the other process is away."""


class ChainAway(Busy):
    """The process that runs the node cannot be asked: HTTP 503."""

    def __init__(self, message: str, *, rule: str, hint: str) -> None:
        super().__init__(UNAVAILABLE, RETRY_AFTER_S, message, rule=rule, hint=hint, code=WARMING_UP)


class _Response(msgspec.Struct):
    """The JSON-RPC response in a reply."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _ErrorObject | None = None


class _ErrorObject(msgspec.Struct):
    code: int
    message: str
    data: dict[str, msgspec.Raw] = {}


_responses = msgspec.json.Decoder(_Response)


class ChainProtocol(Protocol):
    """One connection."""

    transport: Any

    def __init__(self, link: ChainLink) -> None:
        self._link = link
        self._lines = Lines()
        self._greeted = False

    def connectionMade(self) -> None:
        self.write(Line(hello=self._link.hello))

    def dataReceived(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._received(decode(line))
        except LinkError as error:
            self._refused(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._link.lost(self)

    def _received(self, line: Line) -> None:
        if line.bye is not None:
            self._refused(LinkError(line.bye))
        elif line.hello is None:
            self._link.replied(line)
        elif not self._greeted:
            self._greeted = True
            self._link.hello.check(line.hello, "the chain process")
            self._link.fits(self)

    def _refused(self, error: LinkError) -> None:
        self._link.refused(str(error))
        self.transport.loseConnection()

    def write(self, line: Line) -> None:
        self.transport.write(encode(line))


class ChainLink(Factory):
    """Forwards calls whole and gives back what was answered."""

    _log = Logger()
    noisy = False

    def __init__(self, path: str, hello: Hello, reactor: Any) -> None:
        self.path = path
        self.hello = hello
        self.counters: Counter[str] = Counter()
        self._endpoint = UNIXClientEndpoint(reactor, path)
        self._reactor = reactor
        self._stopped: Deferred[None] | None = None
        self._attempt: Deferred[Any] | None = None
        """An attempt to connect that is under way."""
        self._connection: ChainProtocol | None = None
        self._retry_call: IDelayedCall | None = None
        self._retry_s = FIRST_RETRY_S
        self._protocol: ChainProtocol | None = None
        """The connection, once both sides have found that they fit."""
        self._calls: dict[int, Deferred[Line]] = {}
        self._number = 0
        self._said: str | None = None
        self._refusal: str | None = None
        """Why the two processes do not fit together."""

    def restart(self) -> None:
        """Give up an attempt that does not end, and connect anew."""
        if self._retry_call is not None and self._retry_call.active():
            self._retry_call.cancel()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            # What it comes to calls `_not_connected`, which asks for the next one.
            attempt.cancel()
        elif self._connection is not None:
            self._connection.transport.abortConnection()
        elif self._stopped is None:
            self.start()

    @property
    def waits(self) -> bool:
        """For the next attempt, for the end of one, or for the other side's hello."""
        if self._attempt is not None or self._connection is not None:
            return True
        return self._retry_call is not None and self._retry_call.active()

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        self.counters["attempts"] += 1
        self._retry_call = None
        self._attempt = attempt = self._endpoint.connect(self)
        attempt.addCallbacks(self._connected, self._not_connected)

    async def stop(self) -> None:
        """No connection and no timer is left; what was under way is answered with an error."""
        if self._stopped is None:
            self._stopped = Deferred()
            if self._retry_call is not None and self._retry_call.active():
                self._retry_call.cancel()
            if self._attempt is not None:
                self._attempt.cancel()
            if self._connection is not None:
                self._connection.transport.abortConnection()
            else:
                self._stopped.callback(None)
        await self._stopped

    def _connected(self, connection: Any) -> None:
        self._attempt, self._connection = None, connection

    def _not_connected(self, failure: Failure) -> None:
        self._attempt = None
        self._again()

    def _again(self) -> None:
        """Later each time, until both sides have found that they fit."""
        if self._stopped is None:
            self._retry_call = self._reactor.callLater(self._retry_s, self.start)
            self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    def buildProtocol(self, addr: object) -> ChainProtocol:
        return ChainProtocol(self)

    @property
    def up(self) -> bool:
        return self._protocol is not None

    @property
    def under_way(self) -> int:
        """Calls that are not answered yet."""
        return len(self._calls)

    async def call(self, method: str, params: Any, caller: Caller) -> Any:
        """The result, as JSON; RpcError as the other process raised it, or ChainAway.

        To cancel the wait ends the call there.
        """
        line = await self._ask(method, params, caller)
        if not line.body:
            raise RpcError(
                INTERNAL_ERROR,
                "Internal error",
                rule="internal",
                hint="The log of the chain process says more.",
            )
        response = _responses.decode(line.body)
        if response.error is not None:
            raise _error(response.error, line)
        return response.result

    def _ask(self, method: str, params: Any, caller: Caller) -> Deferred[Line]:
        protocol = self._protocol
        if protocol is None:
            self.counters["away"] += 1
            raise self._away()
        if len(self._calls) >= MAX_CALLS:
            self.counters["full"] += 1
            raise Busy(
                UNAVAILABLE,
                RETRY_AFTER_S,
                f"{MAX_CALLS} calls wait for the chain process",
                rule="forwards-full",
                hint="Wait for fewer things at once.",
            )
        self.counters["calls"] += 1
        self._number += 1
        number = self._number

        def cancel(done: Deferred[Line]) -> None:
            self._calls.pop(number, None)
            self.counters["cancelled"] += 1
            if self._protocol is protocol:
                protocol.write(Line(cancel=number))
            done.errback(cancelled())

        done: Deferred[Line] = Deferred(cancel)
        self._calls[number] = done
        behalf = Behalf(sorted(caller.permissions), caller.user, caller.address)
        protocol.write(Line(id=number, caller=behalf, body=request(method, params)))
        return done

    def _away(self) -> ChainAway:
        if self._refusal is not None:
            return ChainAway(
                f"The chain process cannot be asked: {self._refusal}",
                rule="chain-version",
                hint="Run one version of timed with one configuration in all processes of a data directory.",
            )
        return ChainAway(
            "The chain process is away",
            rule="chain-away",
            hint="It is asked again as soon as it runs; what is in the blocks is answered meanwhile.",
        )

    # From the connection.

    def fits(self, protocol: ChainProtocol) -> None:
        """Both sides have said hello."""
        self._refusal = None
        self._retry_s = FIRST_RETRY_S
        self._protocol = protocol
        self._say("the chain process answers at {path}")

    def replied(self, line: Line) -> None:
        """To a call, unless nobody waits for it any more."""
        done = self._calls.pop(line.id or 0, None)
        if done is not None:
            done.callback(line)

    def refused(self, reason: str) -> None:
        self.counters["refused"] += 1
        self._refusal = reason
        self._say("the chain process at {path} cannot be asked: {reason}")

    def lost(self, protocol: ChainProtocol) -> None:
        self._connection, stopped = None, self._stopped
        if self._protocol is protocol:
            self._protocol = None
            self.counters["lost"] += 1
            self._say("the chain process at {path} is away; snapshots are answered meanwhile")
        calls, self._calls = self._calls, {}
        for done in calls.values():
            done.errback(
                ChainAway(
                    "The chain process went away before it answered",
                    rule="chain-lost",
                    hint="What was asked for may have happened: look before you ask again.",
                )
            )
        if stopped is not None:
            stopped.callback(None)
        self._again()

    def _say(self, text: str) -> None:
        """One line for each change."""
        if text != self._said:
            self._said = text
            self._log.info(text, path=self.path, reason=self._refusal)


def watch_link(loops: Watchdog, link: ChainLink) -> Callable[[], None]:
    """Enter the attempts to reach the chain process; what is returned ends that."""
    return loops.add(
        "chain-link", lambda: link.counters["attempts"], ATTEMPT_S, "Restart this process; it holds nothing.",
        restart=link.restart, owes=lambda: not link.up,
        cause=lambda: Cause.WAITS if link.waits else Cause.DIED,
    )  # fmt: skip


def _error(found: _ErrorObject, line: Line) -> RpcError:
    """The error as it was raised, its data as exact as it came."""
    error = RpcError(found.code, found.message, rule="internal")
    if "retry_after_s" in found.data:
        seconds = jsontext.decode(bytes(found.data["retry_after_s"]))
        error = Busy(UNAVAILABLE, seconds, found.message, rule="internal", hint="", code=found.code)
    data: dict[str, Any] = dict(found.data)
    for name in ("rule", "hint"):
        data[name] = jsontext.decode(bytes(found.data.get(name, b'""')))
    error.data = data
    return error

"""Following a node's events in a Twisted program: an asynchronous iterator that comes again by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import treq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from timed.client import answers, message, stream
from timed.client.errors import BadResponse, CannotConnect, ClientError, ConnectionLost
from timed.client.location import Location
from timed.client.stream import Blocks, Place

MOST_READY = 1_000
"""Events that have come and are not asked for yet; more are left in the connection."""

T = TypeVar("T")


class Whole(Protocol):
    """One response, as all of its bytes; who cancels `finished` ends the connection, too.

    BadResponse for one beyond `answers.MAX_ANSWER_BYTES`, of which the rest is not read.
    """

    transport: Any

    def __init__(self) -> None:
        self.finished: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())
        self._pieces: list[bytes] = []
        self._room = answers.MAX_ANSWER_BYTES

    def dataReceived(self, data: bytes) -> None:
        if self.finished.called:
            return
        self._room -= len(data)
        if self._room >= 0:
            self._pieces.append(data)
            return
        self._pieces.clear()
        self.transport.loseConnection()
        self.finished.errback(answers.too_long())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(b"".join(self._pieces))
        else:
            self.finished.errback(reason)


def whole(response: Any) -> Deferred[bytes]:
    """All of a response that was asked for unbuffered."""
    body = Whole()
    response.deliverBody(body)
    return body.finished


def cancellable(waiting: Deferred[T]) -> Deferred[T]:
    """The same, but who cancels it gets CancelledError, and not what `waiting` makes of that: an agent says
    that the connection was lost."""
    cancelled = False

    def let_go(_: Deferred[T]) -> None:
        nonlocal cancelled
        cancelled = True
        waiting.cancel()

    def pass_on(result: Any) -> None:
        if not cancelled:
            mine.callback(result)

    mine: Deferred[T] = Deferred(let_go)
    waiting.addBoth(pass_on)
    return mine


class Body(Protocol):
    """One response, as its blocks."""

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self.ready: deque[dict[str, str]] = deque()
        self.ended: ClientError | None = None
        self._reactor = reactor
        self._blocks = Blocks()
        self._waiting: Deferred[None] | None = None
        self._paused = False
        self._silence: Any = None

    def connectionMade(self) -> None:
        self._silence = self._reactor.callLater(stream.SILENCE_S, self.abandon, "it fell silent")

    def dataReceived(self, data: bytes) -> None:
        if self.ended is not None:
            return
        self._silence.reset(stream.SILENCE_S)
        try:
            self.ready.extend(self._blocks.feed(data))
        except BadResponse as error:
            self.abandon(str(error))
            return
        if len(self.ready) > MOST_READY and not self._paused:
            self._paused = True
            self.transport.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        if self.ended is None:
            self.ended = ConnectionLost(f"the stream ended: {reason.getErrorMessage():.200}.")
        self._wake()

    def taken(self) -> None:
        """One block was taken out."""
        if self._paused and len(self.ready) < MOST_READY // 2:
            self._paused = False
            self.transport.resumeProducing()

    def abandon(self, reason: str) -> None:
        """Nothing more is wanted of it."""
        self.ended = ConnectionLost(f"the stream was given up: {reason}.")
        if self.transport is not None:
            self.transport.loseConnection()
        self._wake()

    def more(self) -> Deferred[None]:
        """Fires when something has come, or the stream has ended."""
        self._waiting = Deferred()
        return self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)


class AsyncEvents:
    """`async for event in client.events(): ...`; cursor, errors and patience as in `timed.client.following`."""

    def __init__(
        self,
        location: Location,
        reactor: Any,
        agent: Any,
        types: Iterable[str],
        addresses: Iterable[str],
        cursor: str,
        random: Callable[[], float],
    ) -> None:
        self._location = location
        self._reactor = reactor
        self._agent = agent
        self._place = Place(types, addresses, cursor, random)
        self._body: Body | None = None
        self._pending: Deferred[Any] | None = None
        """The answer or the pause that is waited for."""
        self._closed = False

    @property
    def cursor(self) -> str:
        """Where to go on after the last event that was given out."""
        return self._place.cursor

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._closed:
            try:
                event = await self._next()
            except ClientError as error:
                self._disconnect()
                if not self._closed:
                    await self._rest(self._place.pause_after(error))
                continue
            if event is not None:
                return event
        raise StopAsyncIteration

    def close(self) -> None:
        """End the iteration, the connection, and what is waited for before there is one."""
        self._closed = True
        self._disconnect()
        if self._pending is not None:
            self._pending.cancel()

    async def _next(self) -> dict[str, Any] | None:
        body = self._body if self._body is not None else await self._connect()
        if body.ready:
            event = self._place.taken(body.ready.popleft())
            body.taken()
            return event
        if body.ended is not None:
            raise body.ended
        await body.more()
        return None

    async def _rest(self, pause_s: float) -> None:
        """Wait before coming again."""
        self._pending = deferLater(self._reactor, pause_s)
        try:
            await self._pending
        except CancelledError:
            if not self._closed:
                raise
        finally:
            self._pending = None

    async def _connect(self) -> Body:
        place, location = self._location.place, self._location
        headers: dict[bytes | str, bytes | str] = {
            "Authorization": message.authorization(*location.credentials())
        }
        url = location.url.rstrip("/") + self._place.target()
        options: dict[str, Any] = {"reactor": self._reactor, "timeout": stream.SILENCE_S, "unbuffered": True}
        if self._agent is not None:
            options["agent"] = self._agent
        try:
            self._pending = cancellable(treq.get(url, headers=headers, persistent=False, **options))
            response = await self._pending
            if response.code != stream.OK:
                kinds = response.headers.getRawHeaders("Content-Type") or [""]
                after = response.headers.getRawHeaders("Retry-After") or [""]
                self._pending = whole(response).addTimeout(stream.SILENCE_S, self._reactor)
                stream.check(place, response.code, kinds[0], after[0], await self._pending)
        except CancelledError as error:
            if not self._closed:
                raise
            raise ConnectionLost("nobody wants it any more.") from error
        except (ConnectingCancelledError, DeferredTimeout) as error:
            raise ConnectionLost(f"the node at {place} did not answer.") from error
        except (ConnectError, DNSLookupError) as error:
            raise CannotConnect(f"cannot reach a node at {place}: {error!s:.200}.") from error
        except (ConnectionClosed, RequestTransmissionFailed, ResponseFailed) as error:
            raise ConnectionLost(f"the connection to {place} ended: {error!s:.200}.") from error
        finally:
            self._pending = None
        self._place.began()
        self._body = body = Body(self._reactor)
        response.deliverBody(body)
        if self._closed:
            # By `close`, while the answer was on its way.
            self._disconnect()
        return body

    def _disconnect(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.abandon("it is not wanted any more")

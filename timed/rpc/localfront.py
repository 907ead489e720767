"""The local front: a Unix socket through which RPC processes hand calls to the process that runs the node.

Whoever can connect may call everything, as whoever can read the cookie file may: the
socket has the mode 0600 and stands in the data directory.
"""

from __future__ import annotations

import os
import socket
import stat
from collections import Counter, deque
from typing import Any

import attrs
from msgspec import Raw
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.errors import ConfigError
from timed.rpc import jsontext
from timed.rpc.caller import Caller
from timed.rpc.dispatch import CALLS_PER_TURN, MAX_REPLY_BYTES, Dispatcher, Reply
from timed.rpc.errors import INTERNAL_ERROR, RpcError
from timed.rpc.linkwire import Behalf, Hello, Line, Lines, LinkError, decode, encode

MAX_PATH_BYTES = 107
"""What the kernel takes as the path of a Unix socket."""
MAX_LINKS = 64
"""RPC processes at one time; one more is turned away."""
MAX_CALLS = 2_000
"""Calls of one RPC process that are not answered yet; more are left unread until some are."""
MODE = 0o600
BACKLOG = 64
PROBE_S = 1.0
TOO_LONG = jsontext.encode(
    {
        "jsonrpc": "2.0",
        "error": RpcError(
            INTERNAL_ERROR, "The reply is too long", rule="reply-size", hint="Ask for less."
        ).as_object(),
        "id": 0,
    }
)


class LocalLink(Protocol):
    """One RPC process. Calls are begun a few per turn; while it does not read, it is not read from."""

    _log = Logger()
    transport: Any

    def __init__(self, front: LocalFront) -> None:
        self._front = front
        self._lines = Lines()
        self._waiting: deque[bytes] = deque()
        self._calls: dict[int, Deferred[Any]] = {}
        self._turn: IDelayedCall | None = None
        self._working = False
        """A call is being begun; what is answered at once comes back to here."""
        self._greeted = False
        self._choked = False
        """The transport holds as much as it should."""

    def connectionMade(self) -> None:
        if not self._front.opened(self):
            self._leave("too many RPC processes")
            return
        self.transport.registerProducer(self, True)
        self._write(Line(hello=self._front.hello))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._waiting.clear()
        for call in list(self._calls.values()):
            call.cancel()
        self._front.closed(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            self._waiting.extend(self._lines.feed(data))
        except LinkError as error:
            self._leave(str(error))
            return
        self._work()

    # As the producer of what the transport writes.

    def pauseProducing(self) -> None:
        self._choked = True
        self._read_or_not()

    def resumeProducing(self) -> None:
        self._choked = False
        self._work()

    def stopProducing(self) -> None:
        """`connectionLost` follows."""

    def _work(self) -> None:
        """Begin a few of the calls that are here; the rest in the next turn of the reactor."""
        if self._working or self._turn is not None:
            return
        self._working = True
        try:
            self._begin_some()
        finally:
            self._working = False

    def _begin_some(self) -> None:
        begun = 0
        while self._waiting and not self._choked and len(self._calls) < MAX_CALLS:
            if begun == CALLS_PER_TURN:
                self._turn = self._front.reactor.callLater(0, self._again)
                break
            begun += 1
            try:
                self._take(decode(self._waiting.popleft()))
            except LinkError as error:
                self._leave(str(error))
                return
        self._read_or_not()

    def _again(self) -> None:
        self._turn = None
        self._work()

    def _read_or_not(self) -> None:
        if self._waiting or self._choked:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def _take(self, line: Line) -> None:
        if line.hello is not None:
            self._front.hello.check(line.hello, "the RPC process")
            self._greeted = True
        elif line.bye is not None:
            self._front.counters["left"] += 1
        elif not self._greeted:
            raise LinkError("a call before the hello")
        elif line.cancel is not None:
            call = self._calls.get(line.cancel)
            if call is not None:
                call.cancel()
        elif line.id is None or line.caller is None or line.id in self._calls:
            raise LinkError("a call without a number of its own, or without a caller")
        else:
            self._begin(line.id, bytes(line.body), line.caller)

    def _begin(self, number: int, body: bytes, behalf: Behalf) -> None:
        self._front.counters["calls"] += 1
        caller = Caller(behalf.user, behalf.address, frozenset(behalf.permissions), charged=True)
        done = ensureDeferred(self._front.dispatcher.answer(body, caller))
        self._calls[number] = done
        done.addCallbacks(self._answered, self._failed, callbackArgs=(number,), errbackArgs=(number,))

    def _answered(self, reply: Reply, number: int) -> None:
        del self._calls[number]
        if self.connected:
            body = reply.body if len(reply.body) <= MAX_REPLY_BYTES else TOO_LONG
            self._write(Line(id=number, body=Raw(body), status=reply.status))
            self._work()

    def _failed(self, failure: Failure, number: int) -> None:
        del self._calls[number]
        self._log.failure("a call over the local socket could not be answered", failure=failure)
        if self.connected:
            self._write(Line(id=number, status=500))
            self._work()

    def _leave(self, reason: str) -> None:
        self._front.counters["refused"] += 1
        self._log.warn("an RPC process is turned away: {reason}", reason=reason)
        self._waiting.clear()
        self._write(Line(bye=reason))
        self.transport.loseConnection()

    def _write(self, line: Line) -> None:
        self.transport.write(encode(line))


@attrs.define(eq=False)
class LocalFront(Factory):
    """Hands the calls of RPC processes on this machine to `dispatcher`.

    After `stop` no socket file and no connection is left.
    """

    dispatcher: Dispatcher
    hello: Hello
    reactor: Any
    path: str
    counters: Counter[str] = attrs.field(factory=Counter)
    _links: dict[LocalLink, None] = attrs.field(factory=dict)
    _port: IListeningPort | None = None
    _empty: list[Deferred[None]] = attrs.field(factory=list)
    _log = Logger()
    noisy = False

    def start(self) -> None:
        """ConfigError when the path is too long, or something else stands or answers there."""
        check_path(self.path)
        remove_stale(self.path)
        try:
            self._port = self.reactor.listenUNIX(self.path, self, backlog=BACKLOG, mode=MODE, wantPID=False)
        except CannotListenError as error:
            raise ConfigError(
                f"cannot listen on {self.path}: {error.socketError}.", "Set rpc.socket to another path."
            ) from error

    async def stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            try:
                await maybeDeferred(port.stopListening)
            except FileNotFoundError:
                self._log.warn("the local socket {path} had been taken away", path=self.path)
        if self._links:
            done: Deferred[None] = Deferred()
            self._empty.append(done)
            for link in list(self._links):
                link.transport.loseConnection()
            late = self.reactor.callLater(PROBE_S, self._abort)
            await done
            if late.active():
                late.cancel()

    def buildProtocol(self, addr: object) -> LocalLink:
        return LocalLink(self)

    @property
    def links(self) -> int:
        """RPC processes that are connected."""
        return len(self._links)

    def opened(self, link: LocalLink) -> bool:
        """False when there is no room for one more."""
        if len(self._links) >= MAX_LINKS:
            return False
        self._links[link] = None
        return True

    def closed(self, link: LocalLink) -> None:
        self._links.pop(link, None)
        if not self._links:
            waiting, self._empty = self._empty, []
            for done in waiting:
                done.callback(None)

    def _abort(self) -> None:
        for link in list(self._links):
            link.transport.abortConnection()


def check_path(path: str) -> None:
    """ConfigError when the kernel takes no socket with so long a path."""
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES:
        raise ConfigError(
            f"the path of the local socket, {path}, has {size} bytes; {MAX_PATH_BYTES} are possible.",
            "Set rpc.socket to a shorter path, the same for all processes of this data directory.",
        )


def remove_stale(path: str) -> None:
    """Take away the socket file of a process that was killed; ConfigError when it is in use or no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is there and is no socket.", "Move it away, or set rpc.socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            answered = False
        except OSError:
            answered = True
        else:
            answered = True
    if answered:
        raise ConfigError(f"another process answers at {path}.", "Stop it first, or set rpc.socket.")
    os.unlink(path)

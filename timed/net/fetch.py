"""One document over HTTP or HTTPS, from or to a server that is not trusted.

Certificates are checked as a browser does. Redirects, bytes and time are bounded,
nothing compressed is taken, and when the answer is there no connection is left.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import attrs
from OpenSSL.SSL import Error as TlsError
from service_identity import CertificateError, VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    RedirectAgent,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import Error as HttpError
from twisted.web.error import InfiniteRedirection, RedirectWithNoLocation, SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from timed.errors import RemoteError
from timed.net import reasons
from timed.net.dialer import endpoint_for

REDIRECTS = 3
ANSWER_BYTES = 64 * 1024
ANSWER_S = 1.0
"""For the body of an answer that is not wanted."""
BESIDE_BODY_BYTES = 64 * 1024
"""What a connection may carry beside the body: headers, of which the agent takes any number, and chunks."""
HTTP_STATUS = "http-status"
HTTP_REDIRECTS = "http-redirects"
HTTP_ENCODING = "http-encoding"
HTTP_BROKEN = "http-broken"
HTTP_TOO_LONG = "http-too-long"
T = TypeVar("T")
CERTIFICATE = "certificate"


def fetch(
    reactor: Any, url: str, *, most: int, timeout_s: float, policy: IPolicyForHTTPS | None = None
) -> Deferred[bytes]:
    """What `url` gives, `most` bytes at the most, all within `timeout_s`.

    RemoteError with one of the names above, or those of `timed.net.reasons`. It can
    be cancelled; in every case its connections are gone when it fires.
    """
    endpoints = _Endpoints(reactor, policy or BrowserLikePolicyForHTTPS(), timeout_s, most)
    return _bounded(reactor, endpoints, timeout_s, _fetch(reactor, endpoints, url, most))


@attrs.frozen
class Answer:
    """What a server says to a document: its status, and its word on when to come again."""

    code: int
    retry_after: str


def post(
    reactor: Any,
    url: str,
    data: bytes,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    policy: IPolicyForHTTPS | None = None,
) -> Deferred[Answer]:
    """Give `data` to `url`, which has `timeout_s` to answer; errors and ends as of `fetch`.

    No redirect is followed. The body of the answer is read so that the server can end in
    good order, up to `ANSWER_BYTES` and `ANSWER_S`, and not kept.
    """
    endpoints = _Endpoints(reactor, policy or BrowserLikePolicyForHTTPS(), timeout_s, ANSWER_BYTES)
    return _bounded(reactor, endpoints, timeout_s, _post(reactor, endpoints, url, data, headers))


def _bounded(
    reactor: Any, endpoints: _Endpoints, timeout_s: float, request: Coroutine[Deferred[Any], Any, T]
) -> Deferred[T]:
    asked = Deferred.fromCoroutine(request)
    asked.addTimeout(timeout_s, reactor, onTimeoutCancel=_too_late)
    asked.addErrback(_named)
    asked.addBoth(endpoints.abandon)
    return asked


async def _fetch(reactor: Any, endpoints: _Endpoints, url: str, most: int) -> bytes:
    agent = RedirectAgent(_Plain(Agent.usingEndpointFactory(reactor, endpoints)), redirectLimit=REDIRECTS)
    response = await HTTPClient(agent).get(url, allow_redirects=False, unbuffered=True)
    if response.code != 200:
        raise RemoteError(HTTP_STATUS, f"the server says {response.code}")
    body = _Body(most)
    response.deliverBody(body)
    return await body.finished


async def _post(
    reactor: Any, endpoints: _Endpoints, url: str, data: bytes, headers: Mapping[str, str]
) -> Answer:
    agent = Agent.usingEndpointFactory(reactor, endpoints)
    told = Headers({"User-Agent": ["timed"], "Accept-Encoding": ["identity"]})
    for name, value in headers.items():
        told.setRawHeaders(name, [value])
    response = await HTTPClient(agent).post(
        url, data=data, headers=told, allow_redirects=False, unbuffered=True
    )
    body = _Body(ANSWER_BYTES)
    response.deliverBody(body)
    await body.finished.addTimeout(ANSWER_S, reactor).addErrback(_unread)
    retry_after = response.headers.getRawHeaders(b"retry-after", [b""])[0]
    return Answer(response.code, retry_after.decode("ascii", "replace"))


def _unread(failure: Failure) -> bytes:
    """The status has been said; what follows it is nobody's concern."""
    failure.trap(RemoteError, DeferredTimeout)
    return b""


def _too_late(result: object, timeout_s: float) -> object:
    raise RemoteError(reasons.TIMEOUT, f"not done within {timeout_s:g} seconds")


def _named(failure: Failure) -> Failure:
    """The failure as a RemoteError; a cancelled fetch and our own bugs stay what they are."""
    error: BaseException | None = failure.value
    while isinstance(error, ResponseFailed | RequestTransmissionFailed) and error.reasons:
        error = error.reasons[0].value
    if isinstance(error, ConnectingCancelledError):
        return Failure(CancelledError())
    if isinstance(error, RemoteError | CancelledError):
        return Failure(error)
    if isinstance(error, InfiniteRedirection | RedirectWithNoLocation):
        return Failure(RemoteError(HTTP_REDIRECTS, "too many redirects, or one to nowhere"))
    if isinstance(error, TlsError | VerificationError | CertificateError):
        return Failure(RemoteError(CERTIFICATE, "the server's certificate or TLS is not accepted"))
    if isinstance(error, ConnectError | DNSLookupError):
        return Failure(RemoteError(reasons.reason_of(Failure(error))))
    if isinstance(error, _BROKEN) or isinstance(failure.value, ResponseFailed | RequestTransmissionFailed):
        return Failure(RemoteError(HTTP_BROKEN, str(error)[:200]))
    return failure


_BROKEN = (HttpError, SchemeNotSupported, ConnectionClosed, ValueError, OSError)
"""What an agent raises about a server that hangs up, or names no URL to go on with."""


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where an agent connects, remembered so that no connection outlives its use."""

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS, timeout_s: float, most: int) -> None:
        self._most = most
        self._reactor = reactor
        self._policy = policy
        self._timeout_s = timeout_s
        self._opened: list[_Bounded] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        plain = endpoint_for(self._reactor, uri.host.decode("ascii"), uri.port, self._timeout_s)
        if plain is None:
            raise ValueError(f"{uri.netloc!r} is no host, or has no such port")
        if uri.scheme == b"http":
            return _Noted(plain, self._opened.append, self._most)
        if uri.scheme == b"https":
            options = self._policy.creatorForNetloc(uri.host, uri.port)
            return _Noted(wrapClientTLS(options, plain), self._opened.append, self._most)
        raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")

    def abandon(self, result: object) -> Any:
        """Cut every connection that is left, and pass the result on."""
        for connection in self._opened:
            connection.cut()
        self._opened.clear()
        return result


@implementer(IStreamClientEndpoint)
class _Noted:
    """An endpoint that tells of the connections it made, and bounds what they carry."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, opened: Callable[[_Bounded], None], most: int
    ) -> None:
        self._endpoint = endpoint
        self._opened = opened
        self._most = most

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        bounded = _BoundedFactory(protocolFactory, self._most + BESIDE_BODY_BYTES)
        connecting: Deferred[Any] = self._endpoint.connect(bounded)
        return connecting.addCallback(self._connected)

    def _connected(self, bounded: _Bounded) -> IProtocol:
        self._opened(bounded)
        protocol: IProtocol = bounded.wrappedProtocol
        return protocol


class _Bounded(ProtocolWrapper):
    """A connection that is cut when it has carried too much."""

    _left: int | None = None
    _lost = False

    def cut(self) -> None:
        """Drop the connection, unless it is gone: TLS cannot be aborted then."""
        if not self._lost:
            transport: Any = self.transport
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        left = (self.factory.most if self._left is None else self._left) - len(data)
        self._left = left
        if left >= 0:
            super().dataReceived(data)
        else:
            self.cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        if self._left is not None and self._left < 0:
            reason = Failure(
                RemoteError(HTTP_TOO_LONG, f"more than {self.factory.most} bytes with its headers")
            )
        super().connectionLost(reason)


class _BoundedFactory(WrappingFactory):
    """Connections of at most `most` bytes."""

    protocol = _Bounded
    noisy = False

    def __init__(self, factory: IProtocolFactory, most: int) -> None:
        super().__init__(factory)
        self.most = most


@implementer(IAgent)
class _Plain:
    """Asks for a body as it is: one that unpacks to more than it weighs is none we want."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        wanted = Headers() if headers is None else headers.copy()
        wanted.setRawHeaders(b"accept-encoding", [b"identity"])
        wanted.setRawHeaders(b"user-agent", [b"timed"])
        return self._agent.request(method, uri, wanted, bodyProducer).addCallback(self._answered)

    @staticmethod
    def _answered(response: IResponse) -> IResponse:
        encodings = response.headers.getRawHeaders(b"content-encoding", [])
        if any(encoding.lower() != b"identity" for encoding in encodings):
            raise RemoteError(HTTP_ENCODING, "the server compresses without being asked to")
        return response


class _Body(Protocol):
    """Collects a body up to a bound."""

    def __init__(self, most: int) -> None:
        self.finished: Deferred[bytes] = Deferred()
        self._most = most
        self._data = bytearray()
        self._done = False

    def dataReceived(self, data: bytes) -> None:
        if self._done:
            return
        self._data += data
        if len(self._data) > self._most:
            self._done = True
            self._data.clear()
            self.finished.errback(RemoteError(HTTP_TOO_LONG, f"more than {self._most} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._done or self.finished.called:
            return
        self._done = True
        # A body without a length ends with its connection: whether it is whole, its signature says.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(bytes(self._data))
        else:
            self.finished.errback(RemoteError(HTTP_BROKEN, "the connection ended in the midst of the body"))

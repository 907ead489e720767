"""The client for Twisted programs, on treq."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import treq
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
)

from timed.client import answers, message
from timed.client.errors import CannotConnect, ClientError, ConnectionLost, TimedOut
from timed.client.followed import AsyncEvents, cancellable, whole
from timed.client.location import Location
from timed.client.retry import FINAL_PAUSE_S, NEVER, Retry, chance, final_wait, only_reads, pause_for

DEFAULT_TIMEOUT_S = 60.0
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class AsyncClient:
    """`await client.call("getblock", 0)`; amounts, errors and repetition as in the blocking client."""

    def __init__(
        self,
        location: Location,
        reactor: Any,
        agent: Any = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: Retry = NEVER,
    ) -> None:
        self._location = location
        self._reactor = reactor
        self._agent = agent if agent is not None or not location.tls else trusting(location, reactor)
        self._timeout_s = timeout_s
        self._retry = retry
        self._next_id = 0

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """The result of one call; arguments go by position or by name, not both."""
        if args and named:
            raise TypeError("give arguments by position or by name, not both")
        params: message.Params = named or list(args)

        async def once() -> Any:
            return message.result(await self._exchange(message.request(self._id(), method, params)))

        return await self._patiently(only_reads(method), once)

    async def batch(self, calls: Sequence[message.Call]) -> list[Any]:
        """Results in order; a call that failed gives its exception as its result."""
        if not calls:
            return []

        async def once() -> list[Any]:
            requests = [message.request(self._id(), method, params) for method, params in calls]
            return message.results(await self._exchange(requests), [each["id"] for each in requests])

        found: list[Any] = await self._patiently(all(only_reads(method) for method, _ in calls), once)
        return found

    async def wait_final(self, txid: str, timeout_s: float = 60.0) -> Any:
        """What the node says of a transaction that is final; TimedOut when it is not within `timeout_s`.

        A transaction that was rejected is not waited for: its `rejected` names the rule.
        """
        deadline = self._reactor.seconds() + timeout_s
        while True:
            left = deadline - self._reactor.seconds()
            wait = final_wait(left, self._timeout_s)
            found = await self.call("waittransactionfinality", txid, wait)
            if found["final"] or found.get("rejected"):
                return found
            if left <= 1:
                raise TimedOut(f"the transaction {txid} is not final after {timeout_s:g} s.")
            if not wait:
                await deferLater(self._reactor, FINAL_PAUSE_S)

    def events(
        self, types: Iterable[str] = (), addresses: Iterable[str] = (), cursor: str = "newest"
    ) -> AsyncEvents:
        """The events of the node, without end, on a connection of their own."""
        return AsyncEvents(self._location, self._reactor, self._agent, types, addresses, cursor, chance())

    async def _patiently(self, reads: bool, once: Callable[[], Awaitable[Any]]) -> Any:
        for planned in self._retry.pauses():
            try:
                return await once()
            except ClientError as error:
                pause = pause_for(error, reads, planned, self._retry.most_s)
                if pause is None:
                    raise
            await deferLater(self._reactor, pause)
        return await once()

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    async def _exchange(self, payload: Any) -> bytes:
        """Send one body, once, and return the one that comes back; TimedOut when that takes too long."""
        going = Deferred.fromCoroutine(self._post(payload))
        going.addTimeout(self._timeout_s, self._reactor, self._too_late)
        body: bytes = await going
        return body

    def _too_late(self, result: Any, timeout_s: float) -> Any:
        if isinstance(result, Failure):
            place = self._location.place
            raise TimedOut(f"the node at {place} did not answer within {timeout_s:g} s.") from result.value
        return result

    async def _post(self, payload: Any) -> bytes:
        place = self._location.place
        headers: dict[bytes | str, bytes | str] = {
            "Authorization": message.authorization(*self._location.credentials()),
            "Content-Type": "application/json",
        }
        options: dict[str, Any] = {"reactor": self._reactor, "unbuffered": True}
        if self._agent is not None:
            options["agent"] = self._agent
        try:
            posting = treq.post(self._location.url, message.dump(payload), headers=headers, **options)
            response = await cancellable(posting)
            body = await whole(response)
        except (ConnectError, DNSLookupError) as error:
            raise CannotConnect(
                f"cannot reach a node at {place}: {error!s:.200}.", "Start it, or give its port."
            ) from error
        except (ConnectionClosed, RequestTransmissionFailed, ResponseFailed) as error:
            if untrusted(error):
                raise CannotConnect(
                    f"the certificate of {place} is not to be trusted.", "Name the authority that signed it."
                ) from error
            raise ConnectionLost(
                f"the connection to {place} ended before the answer: {error!s:.200}.",
                "The call may have been carried out: look before you repeat it.",
            ) from error
        kinds = response.headers.getRawHeaders("Content-Type") or [""]
        after = response.headers.getRawHeaders("Retry-After") or [""]
        return answers.check(place, response.code, kinds[0], after[0], body)


def untrusted(error: Exception) -> bool:
    """True when TLS ended the connection: nothing of the call was sent then."""
    reasons = getattr(error, "reasons", None) or ()
    return any(reason.check(SSL.Error, VerificationError) is not None for reason in reasons)


def trusting(location: Location, reactor: Any, pool: HTTPConnectionPool | None = None) -> Agent:
    """An agent that believes the authorities in `location.ca_file`, or those of the system.

    The certificate must be for the host that is asked; service-identity compares.
    CannotConnect when the file holds no certificate.
    """
    if not location.ca_file:
        return Agent(reactor, BrowserLikePolicyForHTTPS(), pool=pool)
    trusted = trustRootFromCertificates(authorities(location.ca_file))
    return Agent(reactor, BrowserLikePolicyForHTTPS(trusted), pool=pool)


def authorities(ca_file: str) -> list[Certificate]:
    """The certificates in a PEM file; CannotConnect when it holds none."""
    try:
        with open(ca_file, "rb") as file:
            found = [Certificate.loadPEM(text) for text in _PEM.findall(file.read())]
    except (OSError, SSL.Error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        raise CannotConnect(
            f"cannot use the certificates in {ca_file}: {reason}.", "Name a PEM file."
        ) from error
    if not found:
        raise CannotConnect(f"{ca_file} holds no certificate.", "Name a PEM file.")
    return found

"""The client for scripts and the command line: one connection, one call at a time."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from timed.client import answers, message
from timed.client.errors import CannotConnect, ClientError, ConnectionLost, TimedOut
from timed.client.location import Location
from timed.client.retry import FINAL_PAUSE_S, NEVER, Retry, final_wait, only_reads, pause_for

if TYPE_CHECKING:
    from timed.client.following import Events

DEFAULT_TIMEOUT_S = 60.0


class Client:
    """Calls methods of one node: `client.getblock(0)`, `client.call("getblock", 0)`.

    Amounts come back as Decimal; give them as Decimal, string or integer. Errors
    are those of `timed.client.errors`. Without a `retry` policy a call is sent once: a
    connection that the node has closed meanwhile is noticed before sending, never after.
    """

    def __init__(
        self,
        location: Location,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: Retry = NEVER,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._location = location
        self._timeout_s = timeout_s
        self._retry = retry
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None
        self._next_id = 0

    def call(self, method: str, *args: Any, **named: Any) -> Any:
        """The result of one call; arguments go by position or by name, not both."""
        if args and named:
            raise TypeError("give arguments by position or by name, not both")
        params: message.Params = named or list(args)
        return self._patiently(
            only_reads(method),
            lambda: message.result(self.exchange(message.request(self._id(), method, params))),
        )

    def batch(self, calls: Sequence[message.Call]) -> list[Any]:
        """Results in order; a call that failed gives its exception as its result."""
        if not calls:
            return []

        def once() -> list[Any]:
            requests = [message.request(self._id(), method, params) for method, params in calls]
            return message.results(self.exchange(requests), [each["id"] for each in requests])

        found: list[Any] = self._patiently(all(only_reads(method) for method, _ in calls), once)
        return found

    def wait_final(self, txid: str, timeout_s: float = 60.0) -> Any:
        """What the node says of a transaction that is final; TimedOut when it is not within `timeout_s`.

        A transaction that was rejected is not waited for: its `rejected` names the rule.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            wait = final_wait(left, self._timeout_s)
            found = self.call("waittransactionfinality", txid, wait)
            if found["final"] or found.get("rejected"):
                return found
            if left <= 1:
                raise TimedOut(f"the transaction {txid} is not final after {timeout_s:g} s.")
            if not wait:
                self._sleep(FINAL_PAUSE_S)

    def events(
        self, types: Iterable[str] = (), addresses: Iterable[str] = (), cursor: str = "newest"
    ) -> Events:
        """The events of the node, without end, on a connection of their own."""
        from timed.client.following import Events

        return Events(self._location, types, addresses, cursor, self._sleep)

    def close(self) -> None:
        """End the connection; a later call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **named: self.call(name, *args, **named)

    def exchange(self, payload: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
        """Send one body, once, and return the one that comes back."""
        headers = {
            "Authorization": message.authorization(*self._location.credentials()),
            "Content-Type": "application/json",
        }
        data = message.dump(payload)
        connection = self._connected()
        try:
            connection.request("POST", "/", data, headers)
            response = connection.getresponse()
            body = body_of(response)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._lost(error) from error
        except ClientError:
            self.close()
            raise
        return answers.check(
            self._location.place,
            response.status,
            response.getheader("Content-Type", ""),
            response.getheader("Retry-After", ""),
            body,
        )

    def _patiently(self, reads: bool, once: Callable[[], Any]) -> Any:
        for planned in self._retry.pauses():
            try:
                return once()
            except ClientError as error:
                pause = pause_for(error, reads, planned, self._retry.most_s)
                if pause is None:
                    raise
            self._sleep(pause)
        return once()

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _connected(self) -> http.client.HTTPConnection:
        """A connection that stands; CannotConnect when there is none, in which case nothing was sent."""
        connection = self._connection
        if connection is not None and (connection.sock is None or _is_readable(connection.sock)):
            # Ended with the last answer, or since then.
            self.close()
        if self._connection is None:
            _check_host(self._location.host)
            connection = connection_to(self._location, self._timeout_s)
            try:
                connection.connect()
            except OSError as error:
                connection.close()
                raise self._unreachable(error) from error
            self._connection = connection
        return self._connection

    def _lost(self, error: Exception) -> ConnectionLost:
        place = self._location.place
        if isinstance(error, TimeoutError):
            return TimedOut(f"the node at {place} did not answer within {self._timeout_s:g} s.")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ConnectionLost(
            f"the connection to {place} ended before the answer: {reason}.",
            "The call may have been carried out: look before you repeat it.",
        )

    def _unreachable(self, error: OSError) -> CannotConnect:
        place = self._location.place
        if isinstance(error, ssl.SSLCertVerificationError):
            return CannotConnect(
                f"the certificate of {place} is not to be trusted: {error.verify_message}.",
                "Name the authority that signed it with --cacert.",
            )
        reason = error.strerror or str(error) or type(error).__name__
        return CannotConnect(
            f"cannot reach a node at {place}: {reason}.",
            "Start it with `timed`, or give its port with --rpcport.",
        )


def _is_readable(sock: socket.socket) -> bool:
    """True when something has come, or the end. `select.select` takes no descriptor above 1023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def body_of(response: http.client.HTTPResponse) -> bytes:
    """All of a response; BadResponse for one beyond `answers.MAX_ANSWER_BYTES`, of which the rest is not read."""
    most = answers.MAX_ANSWER_BYTES
    if response.length is None:
        body = response.read(most + 1)
        if len(body) <= most:
            return body
    elif response.length <= most:
        return response.read()
    raise answers.too_long()


def connection_to(place: Location, timeout_s: float) -> http.client.HTTPConnection:
    """A connection that is not made yet; CannotConnect when its certificates cannot be used."""
    if not place.tls:
        return http.client.HTTPConnection(place.host, place.port, timeout=timeout_s)
    try:
        context = ssl.create_default_context(cafile=place.ca_file or None)
    except OSError as error:
        raise CannotConnect(
            f"cannot use the certificates in {place.ca_file}: {error.strerror or error}.",
            "Name a PEM file with --cacert.",
        ) from error
    return http.client.HTTPSConnection(place.host, place.port, timeout=timeout_s, context=context)


def _check_host(host: str) -> None:
    """CannotConnect for what no host is called: neither the resolver nor http.client has an OSError for it."""
    try:
        usable = host.isprintable() and " " not in host and bool(host.encode("idna"))
    except UnicodeError:
        usable = False
    if not usable:
        raise CannotConnect(f"{host!r} is not the name of a host.")

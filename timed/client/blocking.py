"""The client for scripts and the command line: one connection, one call at a time."""

from __future__ import annotations

import http.client
import select
from collections.abc import Mapping, Sequence
from typing import Any

from timed.client import message
from timed.client.errors import BadResponse, CannotConnect, Unauthorized
from timed.client.location import Location

DEFAULT_TIMEOUT_S = 60.0


class Client:
    """Calls methods of one node: `client.getblock(0)`, `client.call("getblock", 0)`.

    Amounts come back as Decimal; give them as Decimal, string or integer. Errors
    are those of `timed.client.errors`. A call is sent once: a connection that the
    node has closed meanwhile is noticed before sending, never after.
    """

    def __init__(self, location: Location, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._location = location
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._next_id = 0

    def call(self, method: str, *args: Any, **named: Any) -> Any:
        """The result of one call; arguments go by position or by name, not both."""
        if args and named:
            raise TypeError("give arguments by position or by name, not both")
        return message.result(self.exchange(message.request(self._id(), method, named or list(args))))

    def batch(self, calls: Sequence[message.Call]) -> list[Any]:
        """Results in order; a call that failed gives its exception as its result."""
        requests = [message.request(self._id(), method, params) for method, params in calls]
        if not requests:
            return []
        return message.results(self.exchange(requests), [each["id"] for each in requests])

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
        """Send one body and return the one that comes back."""
        headers = {
            "Authorization": message.authorization(*self._location.credentials()),
            "Content-Type": "application/json",
        }
        connection = self._connected()
        try:
            connection.request("POST", "/", message.dump(payload), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error
        if response.status == http.client.UNAUTHORIZED:
            raise Unauthorized(
                f"the node at {self._place} does not take these credentials.",
                "Use the cookie file of that node: --datadir names its directory.",
            )
        if response.getheader("Content-Type") != "application/json":
            raise BadResponse(
                f"HTTP {response.status} from {self._place}: {body[:200].decode(errors='replace')}"
            )
        return body

    @property
    def _place(self) -> str:
        return f"{self._location.host}:{self._location.port}"

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _connected(self) -> http.client.HTTPConnection:
        connection = self._connection
        if connection is not None and connection.sock is not None:
            readable, _, _ = select.select([connection.sock], [], [], 0)
            if readable:
                self.close()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._location.host, self._location.port, timeout=self._timeout_s
            )
        return self._connection

    def _unreachable(self, error: Exception) -> CannotConnect:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CannotConnect(
            f"cannot reach a node at {self._place}: {reason}.",
            "Start it with `timed`, or give its port with --rpcport.",
        )

"""The client for Twisted programs, on treq."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import treq
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.web.client import ResponseFailed

from timed.client import message
from timed.client.errors import BadResponse, CannotConnect, Unauthorized
from timed.client.location import Location

DEFAULT_TIMEOUT_S = 60.0


class AsyncClient:
    """`await client.call("getblock", 0)`; amounts and errors as in the blocking client."""

    def __init__(
        self, location: Location, reactor: Any, agent: Any = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._location = location
        self._reactor = reactor
        self._agent = agent
        self._timeout_s = timeout_s
        self._next_id = 0

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """The result of one call; arguments go by position or by name, not both."""
        if args and named:
            raise TypeError("give arguments by position or by name, not both")
        return message.result(await self._exchange(message.request(self._id(), method, named or list(args))))

    async def batch(self, calls: Sequence[message.Call]) -> list[Any]:
        """Results in order; a call that failed gives its exception as its result."""
        requests = [message.request(self._id(), method, params) for method, params in calls]
        if not requests:
            return []
        return message.results(await self._exchange(requests), [each["id"] for each in requests])

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    async def _exchange(self, payload: Any) -> bytes:
        place = f"{self._location.host}:{self._location.port}"
        headers: dict[bytes | str, bytes | str] = {
            "Authorization": message.authorization(*self._location.credentials()),
            "Content-Type": "application/json",
        }
        options: dict[str, Any] = {"reactor": self._reactor, "timeout": self._timeout_s}
        if self._agent is not None:
            options["agent"] = self._agent
        try:
            response = await treq.post(f"http://{place}/", message.dump(payload), headers=headers, **options)
            body: bytes = await response.content()
        except (ConnectError, ConnectionClosed, ResponseFailed, DeferredTimeout) as error:
            raise CannotConnect(
                f"cannot reach a node at {place}: {error!s:.200}.", "Start it, or give its port."
            ) from error
        if response.code == 401:
            raise Unauthorized(
                f"the node at {place} does not take these credentials.", "Use its cookie file."
            )
        if response.headers.getRawHeaders("Content-Type") != ["application/json"]:
            raise BadResponse(f"HTTP {response.code} from {place}: {body[:200].decode(errors='replace')}")
        return body

"""Following a node's events from a script: a plain iterator that comes again by itself."""

from __future__ import annotations

import http.client
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from timed.client import message, stream
from timed.client.blocking import body_of, connection_to
from timed.client.errors import CannotConnect, ClientError, ConnectionLost
from timed.client.location import Location
from timed.client.retry import chance
from timed.client.stream import Blocks, Place

READ_BYTES = 64 * 1024


class Events:
    """`for event in Events(location): ...`, without end; each event is an object as in docs/events.rst.

    A connection that is lost is made again with the cursor of the last event that was
    given out: none is lost, none comes twice. CursorLost when the node has dropped what
    comes next; Unauthorized, Forbidden and RpcFailure when asking again cannot help.
    Keep `cursor` when you are done with an event, and give it to go on in another process.
    """

    def __init__(
        self,
        location: Location,
        types: Iterable[str] = (),
        addresses: Iterable[str] = (),
        cursor: str = "newest",
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] | None = None,
    ) -> None:
        self._location = location
        self._place = Place(types, addresses, cursor, chance() if random is None else random)
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._blocks = Blocks()
        self._ready: deque[dict[str, str]] = deque()
        self._closed = False
        self._iterating = False

    @property
    def cursor(self) -> str:
        """Where to go on after the last event that was given out."""
        return self._place.cursor

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> dict[str, Any]:
        self._iterating = True
        try:
            while not self._closed:
                event = self._go_on()
                if event is not None:
                    return event
        finally:
            self._iterating = False
        self._disconnect()
        raise StopIteration

    def close(self) -> None:
        """End the iteration and the connection; also from another thread than the one that iterates."""
        self._closed = True
        connection = self._connection
        if not self._iterating:
            self._disconnect()
        elif connection is not None and connection.sock is not None:
            # The reader sees the end, and lets go of what it reads from.
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _go_on(self) -> dict[str, Any] | None:
        """The next event that has come; None after a little more of the stream, or after a pause."""
        try:
            while self._ready:
                event = self._place.taken(self._ready.popleft())
                if event is not None:
                    return event
            self._read()
        except ClientError as error:
            self._disconnect()
            if not self._closed:
                self._sleep(self._place.pause_after(error))
        return None

    def _read(self) -> None:
        """A little more of the stream; ConnectionLost at its end."""
        response = self._response if self._response is not None else self._connect()
        try:
            data = response.read1(READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionLost(f"the stream from {self._location.place} ended: {error!s:.200}.") from error
        if not data:
            raise ConnectionLost(f"the stream from {self._location.place} ended.")
        self._ready.extend(self._blocks.feed(data))

    def _connect(self) -> http.client.HTTPResponse:
        place = self._location.place
        connection = self._connection = connection_to(self._location, stream.SILENCE_S)
        try:
            connection.connect()
        except OSError as error:
            raise CannotConnect(f"cannot reach a node at {place}: {error!s:.200}.") from error
        # A node writes its cookie before it listens: after a restart this one is the new one.
        headers = {"Authorization": message.authorization(*self._location.credentials())}
        try:
            connection.request("GET", self._place.target(), headers=headers)
            response = connection.getresponse()
            if response.status != stream.OK:
                kind, after = response.getheader("Content-Type", ""), response.getheader("Retry-After", "")
                stream.check(place, response.status, kind, after, body_of(response))
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionLost(f"the connection to {place} ended: {error!s:.200}.") from error
        self._place.began()
        self._response = response
        return response

    def _disconnect(self) -> None:
        """What has come and was not given out comes again."""
        self._ready.clear()
        self._blocks = Blocks()
        self._response = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

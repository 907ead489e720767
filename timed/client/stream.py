"""The events of a node as both clients read them: the request, the stream, and when to come again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from timed.client import answers, message
from timed.client.errors import BadResponse, Busy, ClientError, Forbidden, RpcFailure, Unauthorized, failure

SILENCE_S = 45.0
"""A node says every 15 s that it lives: after this a connection is given up."""
MAX_BLOCK_BYTES = 16 * 1024 * 1024
"""The longest event there is takes less."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 30.0
"""Before coming again, doubling; each cut by chance to between half and all of it."""
PATH = "/events"
OK = 200
END = "end"


class CursorLost(RpcFailure):
    """The node has not all events after this cursor any more: `data` names what is lost and `oldest`."""


class Blocks:
    """Bytes of a stream, cut into its blocks of fields."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        """Of the block that has not ended; put together once, when it has."""
        self._size = 0

    def feed(self, data: bytes) -> Iterator[dict[str, str]]:
        """The blocks that end in `data`; BadResponse for one without end."""
        across = bool(self._pieces) and self._pieces[-1].endswith(b"\n") and data.startswith(b"\n")
        blocks: list[bytes] = []
        if across or b"\n\n" in data:
            *blocks, data = b"".join((*self._pieces, data)).split(b"\n\n")
            self._pieces, self._size = [], 0
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > MAX_BLOCK_BYTES:
            raise BadResponse(f"an event of more than {MAX_BLOCK_BYTES} bytes")
        for block in blocks:
            fields = {}
            for line in block.decode("utf-8", "replace").split("\n"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            yield fields


class Place:
    """What is followed, where, and how patiently; `random` gives numbers in [0, 1)."""

    def __init__(
        self, types: Iterable[str], addresses: Iterable[str], cursor: str, random: Callable[[], float]
    ) -> None:
        self.cursor = cursor
        """Of the last event that was given out, or of a later place that holds nothing wanted."""
        self._wanted = {"types": ",".join(types), "addresses": ",".join(addresses)}
        self._random = random
        self._pause = FIRST_PAUSE_S

    def target(self) -> str:
        """The path and query of the next request."""
        wanted = {name: value for name, value in self._wanted.items() if value}
        return f"{PATH}?{urlencode({**wanted, 'cursor': self.cursor})}"

    def began(self) -> None:
        """The node answers with a stream."""
        self._pause = FIRST_PAUSE_S

    def taken(self, fields: dict[str, str]) -> dict[str, Any] | None:
        """The event in a block; None when there is none for the caller. The cursor moves with it."""
        event: dict[str, Any] | None = None
        if "data" in fields and fields.get("event") != END:
            event = message.load(fields["data"].encode())
        if fields.get("id"):
            self.cursor = fields["id"]
        return event

    def pause(self) -> float:
        """Seconds before the next request."""
        pause = self._pause * (1 - self._random() / 2)
        self._pause = min(2 * self._pause, LAST_PAUSE_S)
        return pause

    def pause_after(self, error: ClientError) -> float:
        """As `pause`, where coming again can help; otherwise raises `error`."""
        if isinstance(error, Unauthorized | Forbidden | RpcFailure):
            raise error
        pause = self.pause()
        if isinstance(error, Busy) and error.retry_after is not None:
            return max(pause, float(error.retry_after))
        return pause


def check(place: str, status: int, content_type: str, retry_after: str, body: bytes) -> None:
    """Raise what an answer other than a stream stands for."""
    text = answers.check(place, status, content_type, retry_after, body)
    answer = message.load(text)
    error = answer.get("error") if isinstance(answer, dict) else None
    found = failure(error)
    if isinstance(found, RpcFailure) and found.rule.startswith("cursor-"):
        raise CursorLost(found.code, found.message, found.data)
    raise found

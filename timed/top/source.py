"""Where pictures come from: one monitor, or the nodes of a test network one after the other."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from timed.errors import LocalError
from timed.peer.location import parse_peer
from timed.peer.values import host_port

TIMEOUT_S = 5.0
MAX_BYTES = 8 * 1024 * 1024
"""Of one picture, whatever answers there."""


class Unreachable(Exception):
    """No picture: the text says why."""


class Place(NamedTuple):
    """A monitor's address."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_port(self.host, self.port)


def place_of(text: str) -> Place:
    """The place that `host:port`, or a URL of it, names; LocalError."""
    try:
        address = parse_peer(text.removeprefix("http://").rstrip("/"))
    except ValueError as error:
        raise LocalError(f"{text} is no monitor: {error}.", "Give HOST:PORT of its monitor port.") from None
    return Place(address.host, address.port)


class Source:
    """Asks the first of some monitors that answers; stays with it until it does not."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = list(places)
        self._next_line = 0

    @property
    def place(self) -> Place:
        return self._places[0]

    def picture(self) -> dict[str, Any]:
        """What /snapshot says; Unreachable with the reason of the first when none answers."""
        reasons = []
        for _ in range(len(self._places)):
            try:
                return self._picture()
            except Unreachable as error:
                reasons.append(f"{self.place}: {error}")
                # The one that failed is asked last next time; another node numbers its lines anew.
                self._places.append(self._places.pop(0))
                self._next_line = 0
        raise Unreachable(reasons[0])

    def lines(self) -> list[dict[str, Any]]:
        """The log lines since the last time; none where they are not shown."""
        try:
            found: list[dict[str, Any]] = self._get(f"/log?since={self._next_line}")["lines"]
        except Unreachable:
            return []
        if found:
            self._next_line = int(found[-1]["number"]) + 1
        return found

    def _picture(self) -> dict[str, Any]:
        picture = self._get("/snapshot")
        if "nodes" not in picture or "metrics" not in picture:
            raise Unreachable("what answers there is no monitor of timed")
        return picture

    def _get(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.place.host, self.place.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read(MAX_BYTES + 1)
        except TimeoutError:
            raise Unreachable(f"no answer within {TIMEOUT_S:g} s") from None
        except OSError as error:
            raise Unreachable((error.strerror or str(error)).lower()) from None
        except http.client.HTTPException:
            raise Unreachable("what answers there speaks no HTTP") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Unreachable(f"it answers with HTTP {answer.status}")
        if len(body) > MAX_BYTES:
            raise Unreachable(f"its answer is longer than {MAX_BYTES // 2**20} MiB")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Unreachable("what answers there is no monitor of timed")
        return value

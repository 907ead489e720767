"""The monitor service: /health, /ready and /metrics over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort

from timed.monitor.health import Board
from timed.monitor.metrics import exposition
from timed.monitor.observer import EventCounts
from timed.monitor.view import View
from timed.rpc.http import JSON, TEXT
from timed.rpc.service import listen
from timed.rpc.site import BoundedRequest, BoundedSite

if TYPE_CHECKING:
    from timed.app.context import Context

METRICS_TYPE = b"text/plain; version=1.0.0; charset=utf-8"
LOOK_S = 10
"""Checks run this often even if nobody asks, so that `since` is right."""
MAX_CONNECTIONS = 64
MAX_BODY_BYTES = 4096


class MonitorService(Service):
    """Answers monitoring tools until it is stopped; nothing is left after `stopService` has fired."""

    def __init__(self, context: Context) -> None:
        self.setName("monitor")
        self._context = context
        self._counts = EventCounts()
        self._view = View(context, self._counts, self._sibling)
        self.board = Board(self._view)
        self._site: BoundedSite | None = None
        self._look_call: IDelayedCall | None = None
        self.port: IListeningPort | None = None

    def startService(self) -> None:
        """ConfigError when the port cannot be had."""
        super().startService()
        context = self._context
        if context.running is not None:
            context.driver.add_sink(self._counts)
        self._site = BoundedSite(
            self._handle,
            context.reactor,
            limit=lambda request: MAX_BODY_BYTES,
            max_connections=MAX_CONNECTIONS,
        )
        self.port = listen(
            context.reactor,
            self._site,
            context.config.settings.monitor.host,
            context.config.monitor_port,
            "monitor.port",
        )
        self._look()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._look_call is not None and self._look_call.active():
            self._look_call.cancel()
        self._look_call = None
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self._site is not None:
            await self._site.close()

    def _look(self) -> None:
        self.board.look()
        self._look_call = self._context.reactor.callLater(LOOK_S, self._look)

    def _sibling(self, name: str) -> Any | None:
        parent = self.parent
        if not isinstance(parent, MultiService) or name not in parent.namedServices:
            return None
        return parent.getServiceNamed(name)

    def _handle(self, request: BoundedRequest) -> None:
        if request.method not in (b"GET", b"HEAD"):
            request.respond(405, TEXT, b"Only GET.\n", Allow="GET, HEAD")
        elif request.path == b"/health":
            self._json(request, *self.board.health())
        elif request.path == b"/ready":
            self._json(request, *self.board.ready())
        elif request.path == b"/metrics":
            request.respond(200, METRICS_TYPE, exposition(self._view))
        else:
            request.respond(404, TEXT, b"There are /health, /ready and /metrics.\n")

    def _json(self, request: BoundedRequest, status: int, body: dict[str, Any]) -> None:
        request.respond(status, JSON, json.dumps(body).encode("ascii"))


def make_service(context: Context) -> MonitorService:
    """`IServiceMaker.make` of the monitor service."""
    return MonitorService(context)

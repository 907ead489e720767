"""The monitor service: /health, /ready, /alerts and /metrics over HTTP, and the alerts it raises itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger

from timed.monitor.alerts import Alarms, Alert
from timed.monitor.health import Board
from timed.monitor.metrics import ROWS, exposition
from timed.monitor.readings import EVERY_S, Readings, read
from timed.monitor.rules import CRITICAL, WATCHED
from timed.monitor.view import View
from timed.monitor.watch import Watch
from timed.rpc.access import listen
from timed.rpc.http import JSON, TEXT
from timed.rpc.site import BoundedRequest, BoundedSite

if TYPE_CHECKING:
    from timed.app.context import Context

METRICS_TYPE = b"text/plain; version=1.0.0; charset=utf-8"
MAX_CONNECTIONS = 64
MAX_BODY_BYTES = 4096


class MonitorService(Service):
    """Answers monitoring tools until it is stopped; nothing is left after `stopService` has fired."""

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("monitor")
        self._context = context
        self._watch = Watch(context.reactor, context.monotonic)
        self._view = View(context, self._watch, self._sibling)
        self._readings = Readings()
        self._watched = [ROWS[name] for name in WATCHED]
        self.board = Board(self._view)
        self.alarms = Alarms(self._alerted)
        self._site: BoundedSite | None = None
        self._look_call: IDelayedCall | None = None
        self.port: IListeningPort | None = None

    def startService(self) -> None:
        """ConfigError when the port cannot be had."""
        super().startService()
        context = self._context
        if context.running is not None:
            for sink in self._watch.sinks:
                context.driver.add_sink(sink)
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
        self._watch.start()
        self._look()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._look_call is not None and self._look_call.active():
            self._look_call.cancel()
        self._look_call = None
        self._watch.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self._site is not None:
            await self._site.close()

    def _look(self) -> None:
        """Also when nobody asks, so that `since` is right and an alert is raised at night."""
        self._look_call = self._context.reactor.callLater(EVERY_S, self._look)
        self.board.look()
        self._readings.add(read(self._watched, self._view))
        self.alarms.judge(self._readings)

    def _alerted(self, alert: Alert) -> None:
        if alert.until_us is not None:
            self._log.info("alert {name} is over: {text}", name=alert.rule.name, text=alert.text)
            return
        write = self._log.error if alert.rule.severity == CRITICAL else self._log.warn
        write(
            "alert {name}: {text}. {remedy}", name=alert.rule.name, text=alert.text, remedy=alert.rule.remedy
        )

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
        elif request.path == b"/alerts":
            self._json(request, 200, self.alarms.as_object())
        elif request.path == b"/metrics":
            request.respond(200, METRICS_TYPE, exposition(self._view))
        else:
            request.respond(404, TEXT, b"There are /health, /ready, /alerts and /metrics.\n")

    def _json(self, request: BoundedRequest, status: int, body: dict[str, Any]) -> None:
        request.respond(status, JSON, json.dumps(body).encode("ascii"))


def make_service(context: Context) -> MonitorService:
    """`IServiceMaker.make` of the monitor service."""
    return MonitorService(context)

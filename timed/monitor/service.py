"""The monitor service: dashboard, health, alerts and metrics over HTTP, and the alerts it raises itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.feed.event import CLEARED, RAISED, Draft
from timed.loops import Cause, Ticker
from timed.monitor.alerts import Alarms, Alert
from timed.monitor.assets import HEADERS, assets
from timed.monitor.command import AlertCommand
from timed.monitor.exposition import Exposition
from timed.monitor.health import OK, Board
from timed.monitor.metrics import ROWS
from timed.monitor.neighbours import TIMEOUT_S, Neighbours
from timed.monitor.readings import EVERY_S, Readings, read
from timed.monitor.rules import CRITICAL, RULES, WATCHED
from timed.monitor.snapshot import WITHHELD, Snapshots
from timed.monitor.summary import MAX_BYTES
from timed.monitor.view import View
from timed.monitor.viewers import MAX_VIEWERS, Viewers, encoded
from timed.monitor.visibility import is_foreign, is_private
from timed.monitor.watch import Watch
from timed.net.fetch import fetch
from timed.rpc.access import listen
from timed.rpc.caller import Caller
from timed.rpc.dispatch import Reply
from timed.rpc.http import JSON, TEXT
from timed.rpc.method import READ
from timed.rpc.site import EVENT_STREAM, BoundedRequest, BoundedSite

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.context import Context

KEYS = ("monitor.limits", "monitor.name")
"""What the service follows while it runs; a picture takes the name as it is then."""
METRICS_TYPE = b"text/plain; version=1.0.0; charset=utf-8"
MAX_CONNECTIONS = 64
MAX_BODY_BYTES = 4096
PAGE = Caller("dashboard", permissions=frozenset({READ}), charged=True)
"""Who asks for the page: its viewers are few, and each call is one click."""
MAX_DIGITS = 15
"""Of the number of a log line."""
VIEWERS_S = 20.0
"""Without a picture for those who look at the dashboard."""
FOREIGN = b"Pages of other sites may not look at a node.\n"
"""They get the files of the page, which are the same everywhere, so that a link to the dashboard leads there."""
RETRY_S = 10
"""When a viewer who found no place may try again."""


class MonitorService(Service):
    """Answers monitoring tools until it is stopped; nothing is left after `stopService` has fired."""

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("monitor")
        self._context = context
        self._watch = Watch(context.reactor, context.monotonic, context.clock, self._doing)
        self._view = View(context, self._watch, self._sibling)
        self._readings = Readings(rule.figure for rule in RULES)
        self._watched = [ROWS[name] for name in WATCHED]
        self.board = Board(self._view)
        self.alarms = Alarms(self._alerted)
        self.neighbours = Neighbours(
            context.config.settings.monitor.nodes,
            lambda url: fetch(context.reactor, url, most=MAX_BYTES, timeout_s=TIMEOUT_S),
            context.monotonic,
        )
        self._exposition = Exposition()
        self._snapshots = Snapshots(self._view, self.board, self.alarms, self.neighbours)
        self.command = AlertCommand(context.reactor, context.config.settings.monitor.alert_command)
        self.viewers = Viewers(context.reactor, self._snapshots, context.log_tail)
        self._assets = assets()
        self._answers = self._table()
        self._site: BoundedSite | None = None
        self._ticker = Ticker(context.reactor, EVERY_S, self._look)
        self._unwatch: list[Callable[[], None]] = []
        self._unsubscribe: Callable[[], None] | None = None
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
            given=context.sockets.get("monitor"),
        )
        self._regulate(context.config)
        self._unsubscribe = context.live.subscribe(KEYS, self._regulate)
        context.alarms, context.watch = self.alarms, self._watch
        self._watch.start()
        self._ticker.start()
        self._unwatch = self._watched_loops()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        unwatch, self._unwatch = self._unwatch, []
        for end in unwatch:
            end()
        self._ticker.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._watch.stop()
        self._context.alarms = self._context.watch = None
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        self.viewers.stop()
        if self._site is not None:
            # Before what takes longer: nobody who is connected begins anything meanwhile.
            await self._site.close()
        await self.neighbours.stop()
        await self.command.stop()

    def health(self) -> tuple[int, dict[str, Any]]:
        """(HTTP status, body) of /health: the checks, and the alerts that last, which change no state."""
        status, body = self.board.health()
        return status, {**body, "alerts": self.alarms.as_object()["active"]}

    def sentence(self) -> str:
        """How the node is, in one line: `height 12, 3 peers: ok`, or what is wrong and why."""
        node = self._view.node
        height = (
            f"height {node.ledger.tip.height}, {self._view.peers} peers" if node is not None else "no chain"
        )
        checks = self.board.look()
        wrong = [
            f"{name} {check['state']} ({check['reason']})"
            for name, check in checks.items()
            if check["state"] != OK
        ]
        return f"{height}: {'; '.join(wrong) or OK}"

    def _doing(self) -> str:
        """What the reactor's thread works for, as far as it is known; asked on another thread."""
        driver, parts = self._view.driver, self._view.parts
        meter = None if driver is None else driver.meter
        if meter is not None and meter.doing:
            return meter.doing
        call = None if parts is None else parts.activity.running
        return "" if call is None else f"rpc {call.method}"

    def _look(self) -> None:
        """Also when nobody asks, so that `since` is right and an alert is raised at night."""
        if self._context.loops.late_s() is not None:
            self._context.loops.restart()
        self.board.look()
        self._readings.add(read(self._watched, self._view))
        self.alarms.judge(self._readings, self._view.now())
        self._snapshots.keep()

    def _watched_loops(self) -> list[Callable[[], None]]:
        loops, look = self._context.loops, "Restart the node in a quiet hour; only its picture suffers."
        blind = "Restart the node soon: it works on, and no alert is raised meanwhile."
        return [
            loops.add_ticker("monitor", self._ticker, blind),
            loops.add_ticker("lateness", self._watch.lateness.ticker, look),
            loops.add(
                "dashboard", lambda: self.viewers.ticker.turns, VIEWERS_S, look,
                restart=self.viewers.ticker.restart, owes=lambda: len(self.viewers) > 0,
                cause=lambda: Cause.FAILS if self.viewers.ticker.alive else Cause.DIED,
            ),
        ]  # fmt: skip

    def _regulate(self, config: Config) -> None:
        self.alarms.regulate(config.settings.monitor.limits)

    def _alerted(self, alert: Alert) -> None:
        info = {"network": self._context.params.name, "node": self._view.node_id}
        self.command.tell({**alert.as_object(), **info, "called": self._context.config.settings.monitor.name})
        if self._context.feed is not None:
            kind = RAISED if alert.until_us is None else CLEARED
            self._context.feed.tell(Draft.of(kind, self._context.clock(), **alert.as_object()))
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
            return
        asset = self._assets.get(request.path)
        if asset is not None:
            request.respond(200, asset.type, asset.body, **HEADERS)
            return
        answer = self._answers.get(request.path)
        if is_foreign(request):
            self.viewers.counters["foreign"] += 1
            request.respond(403, TEXT, FOREIGN)
        elif answer is not None:
            answer(request)
        else:
            request.respond(404, TEXT, b"There are /, /health, /ready, /alerts, /metrics and /snapshot.\n")

    def _table(self) -> dict[bytes, Callable[[BoundedRequest], object]]:
        """What is computed for a request, by path."""
        return {
            b"/health": lambda request: self._json(request, *self.health()),
            b"/ready": lambda request: self._json(request, *self.board.ready()),
            b"/alerts": lambda request: self._json(request, 200, self.alarms.as_object()),
            b"/metrics": lambda request: request.respond(
                200, METRICS_TYPE, self._exposition.text(self._view)
            ),
            b"/live": self._live,
            b"/explain": self._explain,
            b"/log": self._log_lines,
            b"/snapshot": lambda request: self._plain(
                request, self._snapshots.newest().picture(private=is_private(request))
            ),
            b"/summary": lambda request: self._plain(
                request, self._snapshots.newest().summary(private=is_private(request))
            ),
        }

    def _live(self, request: BoundedRequest) -> None:
        if request.method == b"HEAD":
            request.respond(200, EVENT_STREAM, b"", Cache_Control="no-store")
        elif not self.viewers.add(request, private=is_private(request)):
            text = f"All {MAX_VIEWERS} places for viewers are taken.\n".encode()
            request.respond(503, TEXT, text, Retry_After=str(RETRY_S))

    def _explain(self, request: BoundedRequest) -> None:
        """`explainpeer`, for the page: whoever sees names may ask why a peer is treated so."""
        desk = self._context.desk
        if not is_private(request):
            request.respond(403, TEXT, f"{WITHHELD}\n".encode())
        elif desk is None:
            request.respond(503, TEXT, b"This node answers no calls: services.enabled lacks chain.\n")
        else:
            peer = b"".join(request.args.get(b"peer", [])).decode("utf-8", "replace")
            body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "explainpeer", "params": [peer]})
            done: Deferred[Reply] = Deferred.fromCoroutine(desk.dispatcher.answer(body, PAGE))
            request.notifyFinish().addErrback(lambda failure: done.cancel())
            done.addCallbacks(
                lambda reply: self._plain(request, reply.body),
                lambda failure: self._unexplained(request, failure),
            )

    def _log_lines(self, request: BoundedRequest) -> None:
        """The newest lines as JSON, from the number `since` on."""
        if not is_private(request):
            request.respond(403, TEXT, f"{WITHHELD}\n".encode())
            return
        since = b"".join(request.args.get(b"since", [b"0"]))
        if not since.isdigit() or len(since) > MAX_DIGITS:
            request.respond(400, TEXT, b"since is the number of a line.\n")
            return
        self._plain(request, b'{"lines":' + encoded(self._context.log_tail.since(int(since))) + b"}")

    def _unexplained(self, request: BoundedRequest, failure: Failure) -> None:
        """Whoever asked has gone; anything else is a bug."""
        if failure.check(CancelledError) is None:
            self._log.failure("explainpeer failed for the dashboard", failure)
            request.respond(500, TEXT, b"A bug of the node: the log has the traceback.\n")

    @staticmethod
    def _plain(request: BoundedRequest, body: bytes) -> None:
        request.respond(200, JSON, body, Cache_Control="no-store")

    def _json(self, request: BoundedRequest, status: int, body: dict[str, Any]) -> None:
        request.respond(status, JSON, json.dumps(body).encode("ascii"))


def make_service(context: Context) -> MonitorService:
    """`IServiceMaker.make` of the monitor service."""
    return MonitorService(context)

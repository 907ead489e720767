"""The feed service of a composed node: a log that goes on, alerts in it, and a disk that fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.test_app_services import ServicesCase
from timed.app.composition import Application
from timed.client.blocking import Client
from timed.client.location import Location
from timed.feed import writer
from timed.feed.event import CLEARED, RAISED
from timed.monitor.alerts import Alert
from timed.monitor.health import DEGRADED
from timed.monitor.rules import RULES


class FeedCase(ServicesCase):
    def call(self, method: str, *params: Any) -> Deferred[Any]:
        location = Location("127.0.0.1", self.rpc, cookie_file=str(self.directory / ".cookie"))

        def call() -> Any:
            with Client(location, 20) as client:
                return client.call(method, *params)

        return deferToThread(call)

    def start(self, application: Application) -> None:
        """Also a test that fails leaves nothing running."""
        application.startService()
        self.addCleanup(lambda: application.stopService() if application.running else None)

    def service(self, application: Application, name: str) -> Any:
        return application.getServiceNamed(name)


class Lives(FeedCase):
    def test_alerts_are_events_and_the_log_goes_on_after_a_restart(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose()
            self.start(application)
            monitor = self.service(application, "monitor")
            raised = Alert(RULES[0], 1_000_000, 1.0)
            monitor._alerted(raised)
            monitor._alerted(Alert(RULES[0], 1_000_000, 1.0, until_us=2_000_000))
            page = await self.call("getevents", "oldest", ["alert"], [], 2, 10)
            if len(page["events"]) < 2:
                page["events"] += (await self.call("getevents", page["cursor"], ["alert"], [], 1, 10))[
                    "events"
                ]
            self.assertEqual([each["type"] for each in page["events"]], [RAISED, CLEARED])
            self.assertEqual(page["events"][0]["data"]["name"], RULES[0].name)
            before = await self.call("geteventcursor")
            await application.stopService()
            application = self.compose()
            self.start(application)
            after = await self.call("geteventcursor")
            await application.stopService()
            self.assertEqual(after["oldest"], before["oldest"])
            self.assertGreaterEqual(after["count"], before["count"])

        return Deferred.fromCoroutine(scenario())

    def test_a_node_whose_events_are_switched_off_says_so_and_keeps_no_log(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose("feed.enabled=no")
            self.start(application)
            failure = await self.assertFailure(self.call("getevents"), Exception)
            self.assertEqual(failure.rule, "no-feed")  # type: ignore[attr-defined]
            await application.stopService()
            self.assertFalse((self.directory / "events").exists())

        return Deferred.fromCoroutine(scenario())

    def test_a_disk_without_room_stops_the_log_and_not_the_node(self) -> Deferred[None]:
        async def scenario() -> None:
            self.patch(writer, "SPARE_SPACE", 1 << 60)
            application = self.compose()
            self.start(application)
            shown = await self.call("geteventcursor", "newest", 1)
            self.assertIn("MiB are free", shown["failure"])
            self.assertGreaterEqual(await self.ask("getblockcount"), 0)
            found = self.service(application, "monitor").board.look()["events"]
            self.assertEqual(found["state"], DEGRADED)
            self.assertIn("the log of events does not go on", found["reason"])
            await application.stopService()
            self.assertIn("the event log does not go on", self.out.getvalue())

        return Deferred.fromCoroutine(scenario())

"""The composed application on a real reactor: nothing is left when it has stopped."""

from __future__ import annotations

import gc
import io
import shutil
import stat
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from timed.app import composition
from timed.app.composition import Application, compose
from timed.app.config import load, override
from timed.app.frozen import why_frozen
from timed.app.live import LiveConfig
from timed.app.overrides import live_keys
from timed.app.ports import Sockets
from timed.client.blocking import Client
from timed.client.location import Location
from timed.events import SafetyFailure
from timed.ledger.regtest import builtin_regtest
from timed.peer.rates import Rate
from timed.store.lmdb import LmdbStore
from timed.testnet.freeports import free_ports
from timed.wire.catalogue import encode_record
from timed.wire.messages import Ping


class Cyclic:
    """Refers to itself; `living` has its number until it is collected."""

    def __init__(self, living: set[int], number: int) -> None:
        self.itself = self
        living.add(number)
        weakref.finalize(self, living.discard, number)


class ServicesCase(TestCase):
    timeout = 180

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.out, self.err = io.StringIO(), io.StringIO()
        self.p2p, self.rpc, self.monitor = free_ports(3)
        self.addCleanup(gc.unfreeze)

    def compose(
        self, *assignments: str, node_id: int = 4, sockets: Sockets = MappingProxyType({})
    ) -> Application:
        """Node `node_id` of a network of which nobody else runs."""
        values = [
            f"node.datadir={self.directory}",
            f"p2p.port={self.p2p}",
            f"rpc.port={self.rpc}",
            f"monitor.port={self.monitor}",
            "p2p.peers=",
            *assignments,
        ]
        overrides = [override(*value.split("=", 1), "--set") for value in values]
        config = load(None, overrides, node_id=node_id)
        application = compose(config, reactor, self.out, err=self.err, sockets=sockets)
        # twistd does this when it has read the application's log observer.
        globalLogPublisher.addObserver(application.observer)
        self.addCleanup(globalLogPublisher.removeObserver, application.observer)
        return application

    def ask(self, method: str) -> Deferred[object]:
        location = Location("127.0.0.1", self.rpc, cookie_file=str(self.directory / ".cookie"))
        return deferToThread(lambda: Client(location, 60).call(method))


class StartAndStop(ServicesCase):
    def test_a_node_answers_and_leaves_nothing_behind(self) -> Deferred[None]:
        """After stopService no call, port, connection or thread is left; trial looks for the first three."""

        async def scenario() -> None:
            application = self.compose()
            application.startService()
            self.assertEqual(await self.ask("getblockcount"), 0)
            await application.stopService()
            left = {thread.name for thread in threading.enumerate()}
            self.assertEqual({name for name in left if "timed-" in name}, set())
            self.assertFalse((self.directory / ".cookie").exists())
            self.assertIn("stopped in good order", self.out.getvalue())

        return Deferred.fromCoroutine(scenario())

    def test_a_stop_that_a_service_spoils_is_not_said_to_be_in_good_order(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose()
            application.startService()
            monitor: Any = application.getServiceNamed("monitor")
            stop = monitor.stopService
            self.patch(monitor, "stopService", lambda: stop().addCallback(lambda _: 1 // 0))
            await application.stopService()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertNotIn("stopped in good order", self.out.getvalue())
            self.assertIn("error    app.composition: stopped, and not in good order", self.out.getvalue())

        return Deferred.fromCoroutine(scenario())

    def test_a_safety_failure_outlives_a_restart(self) -> Deferred[None]:
        """What it saw stands in a file, and while that is there the node does not vote."""
        what = "two certified blocks at height 7: aa and bb"
        note = self.directory / "safety-failure.txt"

        async def frozen() -> object:
            found: Any = await self.ask("getconsensusinfo")
            return found["frozen"]

        async def run(during: Callable[[Application], Awaitable[None]]) -> None:
            application = self.compose()
            application.startService()
            try:
                await during(application)
            finally:
                await application.stopService()

        async def fails(application: Application) -> None:
            chain: Any = application.getServiceNamed("chain")
            self.assertIsNone(await frozen())
            chain._context.running.driver.tell(SafetyFailure(what))
            self.assertEqual(note.read_text().splitlines()[0], what)
            self.assertEqual(stat.S_IMODE(note.stat().st_mode), 0o600)

        async def is_frozen(application: Application) -> None:
            self.assertEqual(await frozen(), what)
            self.assertIn(f"this node votes no more: {what}", self.out.getvalue())

        async def votes_again(application: Application) -> None:
            self.assertIsNone(await frozen())

        async def scenario() -> None:
            await run(fails)
            await run(is_frozen)
            note.write_bytes(b"")
            self.assertEqual(why_frozen(note), "safety-failure.txt is there, and says nothing")
            note.unlink()
            await run(votes_again)

        return Deferred.fromCoroutine(scenario())

    def test_what_was_imported_is_looked_through_before_anything_runs(self) -> Deferred[None]:
        """It takes a tenth of a second, in which a node that serves would answer nobody."""

        async def scenario() -> None:
            application, done = self.compose(), []
            self.patch(composition, "settle_collector", lambda: done.append("collector"))
            for service in application:
                self.patch(
                    service,
                    "startService",
                    lambda start=service.startService: (done.append("service"), start()),
                )
            application.startService()
            await application.stopService()
            self.assertEqual(done, ["collector", *["service"] * len(application.services), "collector"])

        return Deferred.fromCoroutine(scenario())

    def test_every_key_that_can_be_changed_has_somebody_who_follows_it(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose()
            application.startService()
            try:
                live = await self.change_everything(application)
            finally:
                await application.stopService()
            self.assertEqual([each.key.full_name for each in live.shown() if each.applied], [])

        return Deferred.fromCoroutine(scenario())

    def test_memory_that_nobody_uses_is_given_back_as_long_as_it_runs(self) -> Deferred[None]:
        trimmed: list[int] = []
        living: set[int] = set()
        self.patch(composition, "TIDY_S", 0.01)
        self.patch(composition, "trim_heap", lambda: trimmed.append(len(living)))

        async def scenario() -> None:
            application = self.compose("services.enabled=")
            application.startService()
            for number in range(3):
                Cyclic(living, number)
                seen = len(trimmed)
                while len(trimmed) <= seen:
                    await deferLater(reactor, 0.01)  # type: ignore[arg-type]
            await application.stopService()

        return Deferred.fromCoroutine(scenario()).addCallback(
            lambda _: self.assertEqual(trimmed[-1], 0, "cycles go before the heap is trimmed")
        )

    def test_the_memory_of_recorder_and_feed_is_told_with_its_bounds(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose()
            application.startService()
            try:
                shown: Any = await self.ask("getmemoryinfo")
                owners = {each["name"]: each for each in shown["owners"]}
                self.assertGreater(owners["recorder"]["bytes"], 0)
                self.assertLessEqual(owners["recorder"]["bytes"], owners["recorder"]["most_bytes"])
                self.assertEqual(owners["feed-subscribers"]["items"], 0)
                self.assertLess(owners["feed-events"]["items"], owners["feed-events"]["most_items"])
                self.assertGreater(shown["store"]["used_bytes"], 0)
            finally:
                await application.stopService()

        return Deferred.fromCoroutine(scenario())

    async def change_everything(self, application: Application) -> LiveConfig:
        """Change a key of each owner, and look there."""
        context = application.getServiceNamed("desk")._context  # type: ignore[attr-defined]
        live: LiveConfig = context.live
        peers, observer = context.node.peers, application.observer
        self.assertEqual([each.key.full_name for each in live.shown() if each.applied], list(live_keys()))
        await live.change("log.levels", "peer:debug", 60)
        self.assertEqual(observer.levels.shown(), {"*": "info", "peer": "debug"})
        await live.change("log.burst", "7", 0)
        self.assertEqual(observer.burst, 7)
        await live.change("p2p.max_inbound", "40", 60)
        await live.change("p2p.conduct", "dry-run", 60)
        self.assertEqual(context.network.limits.max_inbound, 96)
        self.assertEqual((peers._seats.most, peers.conduct.dry_run), (40, True))
        await live.change("p2p.rates", "votes:20000", 60)
        self.assertEqual(peers.conduct.rates["votes"], Rate(20_000, 100_000))
        added = ("127.0.0.1", free_ports(1)[0])
        before = {target.address for target in peers.dialing}
        await live.change("p2p.peers", "{}:{}".format(*added), 60)
        self.assertEqual([target.address for target in peers.dialing], [added])
        await live.change("p2p.peers", None, 60)
        self.assertEqual({target.address for target in peers.dialing}, before)
        await live.change("feed.max_subscribers", "9", 60)
        self.assertEqual(context.feed.hub.limits.total, 9)
        await live.change("monitor.limits", "cpu-high:0.5", 60)
        rule, _ = application.getServiceNamed("monitor").alarms._standing["cpu-high"]  # type: ignore[attr-defined]
        self.assertEqual(rule.limit, 0.5)
        return live

    def test_what_the_store_left_out_is_in_the_log(self) -> Deferred[None]:
        async def scenario() -> None:
            store = LmdbStore(str(self.directory / "chain"), "regtest", builtin_regtest().hash)
            store.commit(builtin_regtest().commit())
            store.append((encode_record(Ping(1, 2)),))
            store.close()
            (log,) = (self.directory / "chain" / "log").iterdir()
            with log.open("ab") as file:
                file.write(b"torn")
            application = self.compose("services.enabled=chain")
            application.startService()
            await application.stopService()
            self.assertIn(f"log file {log}: 4 bytes from byte", self.out.getvalue())

        return Deferred.fromCoroutine(scenario())

    def test_a_stopped_node_can_be_started_again(self) -> Deferred[None]:
        async def scenario() -> None:
            hashes = []
            for _ in range(2):
                application = self.compose()
                application.startService()
                hashes.append(await self.ask("getbestblockhash"))
                await application.stopService()
            self.assertEqual(hashes[0], hashes[1])

        return Deferred.fromCoroutine(scenario())

    def test_services_that_are_not_enabled_do_not_run(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose("services.enabled=chain")
            names = [service.name for service in application if service.name]
            self.assertEqual(
                names,
                ["watchdog", "log-summaries", "heap", "descriptors", "chain", "feed", "desk", "systemd"],
            )
            application.startService()
            await application.stopService()

        return Deferred.fromCoroutine(scenario())

    def test_a_network_without_a_genesis_says_so_and_answers(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose("node.network=testnet", "node.member=no")
            application.startService()
            self.assertIn("testnet has no genesis of its own yet", self.out.getvalue())
            self.assertGreaterEqual(await self.ask("uptime"), 0)
            await application.stopService()

        return Deferred.fromCoroutine(scenario())

    def test_the_built_in_members_have_their_well_known_keys(self) -> None:
        self.compose(node_id=2)
        key = (self.directory / "operator.key").read_text()
        shutil.rmtree(self.directory)
        self.compose(node_id=2)
        self.assertEqual((self.directory / "operator.key").read_text(), key)
        self.assertEqual(stat.S_IMODE((self.directory / "operator.key").stat().st_mode), 0o600)


class FailingToStart(ServicesCase):
    def test_a_service_that_cannot_start_stops_those_before_it(self) -> None:
        application = self.compose()
        path = self.directory / ".cookie"
        path.mkdir()
        error = self.assertRaises(SystemExit, application.startService)
        self.assertEqual(error.code, 1)
        self.assertEqual(self.err.getvalue().count("\n"), 1)
        self.assertIn(str(path), self.err.getvalue())
        left = [thread for thread in threading.enumerate() if "timed-" in thread.name]
        self.assertEqual(
            [thread.name for thread in left if not thread.daemon], [], "the process would not end"
        )

    def test_a_data_directory_that_another_node_uses_is_refused(self) -> Deferred[None]:
        async def scenario() -> None:
            first = self.compose()
            first.startService()
            self.p2p, self.rpc, self.monitor = free_ports(3)
            second = self.compose()
            error = self.assertRaises(SystemExit, second.startService)
            self.assertEqual(error.code, 1)
            self.assertIn("another process uses", self.err.getvalue())
            await first.stopService()

        return Deferred.fromCoroutine(scenario())

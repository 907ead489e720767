"""The service that builds the indexes: in turns, with rests, never in the way of the node."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.index_world import GENESIS, Naive, RandomChain, blocks_of, builders_of, differences, reader_of
from tests.test_app_services import ServicesCase
from timed.app.composition import Application
from timed.app.indexing import RETRY_S, Indexer
from timed.errors import ConfigError, StoreError
from timed.events import BlockCertified
from timed.index import builder as building
from timed.index.builder import Step
from timed.index.reader import IndexReader
from timed.index.status import IndexStatus, ReadIndexes
from timed.index.tables import ADDRESSES, NAMES, SPENT
from timed.monitor.health import CHECKS, DEGRADED, OK
from timed.monitor.metrics import METRICS

BLOCK = BlockCertified(1, bytes(32), 0, (), True)


class IndexingCase(SynchronousTestCase):
    """On virtual time; the thread is done before it is asked, or holds its step."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.chain = RandomChain()
        for block in ([(0, 1)], [(1, 2), (3, 4)], [], [(2, 9)]):
            self.chain.grow(block)
        self.builders = builders_of(self.mktemp(), self.chain.store)
        self.patch(building, "MAX_BATCH_BLOCKS", 2)
        self.failing: dict[str, Exception] = {}
        self.steps: list[str] = []
        self.held: list[tuple[Deferred[Step], Callable[[], Step]]] | None = None
        self.indexer = Indexer(list(self.builders.values()), self.clock, self.clock.seconds, self.in_thread)
        self.indexer.start()
        self.addCleanup(lambda: [builder.close() for builder in self.builders.values()])

    def in_thread(self, step: Callable[[], Step]) -> Deferred[Step]:
        name = next(name for name, builder in self.builders.items() if builder.step == step)
        self.steps.append(name)
        if self.held is not None:
            waiting: Deferred[Step] = Deferred()
            self.held.append((waiting, step))
            return waiting
        if name in self.failing:
            return fail(self.failing[name])
        return succeed(step())

    def status(self, name: str) -> IndexStatus:
        indexes = ReadIndexes("", self.chain.store, reader_of(self.builders), self.indexer.sharpen)
        return next(status for status in indexes.statuses() if status.name == name)

    def run_until_quiet(self) -> None:
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)


class Indexing(IndexingCase):
    def test_the_one_that_is_behind_most_goes_first(self) -> None:
        self.run_until_quiet()
        self.assertEqual(self.steps, [*NAMES, *NAMES, *NAMES])
        self.assertEqual([self.status(name).height for name in NAMES], [4, 4, 4])
        self.assertEqual(differences(reader_of(self.builders), Naive(blocks_of(self.chain.store))), [])

    def test_a_certified_block_wakes_it_and_nothing_else_does(self) -> None:
        self.run_until_quiet()
        self.steps.clear()
        self.clock.advance(3_600)
        self.assertEqual(self.steps, [])
        self.chain.grow([(0, 3)])
        self.indexer.published(object(), 0)
        self.run_until_quiet()
        self.assertEqual(self.steps, [])
        self.indexer.published(BLOCK, 0)
        self.run_until_quiet()
        self.assertEqual(self.steps, list(NAMES))
        self.assertTrue(self.status(SPENT).synced)

    def test_it_rests_as_long_as_it_worked(self) -> None:
        self.held = []
        self.clock.advance(0)
        [(waiting, step)] = self.held
        self.clock.advance(0.25)
        waiting.callback(step())
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [0.5])

    def test_blocks_that_come_during_a_step_are_not_missed(self) -> None:
        self.run_until_quiet()
        self.held = []
        self.chain.grow([])
        self.indexer.published(BLOCK, 0)
        self.clock.advance(0)
        results = [(waiting, step()) for waiting, step in self.held]
        self.chain.grow([])
        self.indexer.published(BLOCK, 0)
        self.held = None
        for waiting, result in results:
            waiting.callback(result)
        self.run_until_quiet()
        self.assertEqual([self.status(name).height for name in NAMES], [6, 6, 6])

    def test_a_failure_of_one_stops_neither_the_others_nor_itself_for_ever(self) -> None:
        self.failing[ADDRESSES] = StoreError("the disk is full.", "Free some space.")
        self.run_until_quiet()
        status = self.status(ADDRESSES)
        self.assertEqual((status.error, status.synced), ("the disk is full. Free some space.", False))
        self.assertTrue(self.status(SPENT).synced)
        self.chain.grow([])
        self.indexer.published(BLOCK, 0)
        self.run_until_quiet()
        self.assertEqual(self.status(SPENT).height, 5)
        self.failing.clear()
        self.clock.advance(RETRY_S)
        self.run_until_quiet()
        status = self.status(ADDRESSES)
        self.assertEqual((status.error, status.height, status.synced), (None, 5, True))

    def test_a_bug_is_logged_with_its_traceback_and_shown(self) -> None:
        self.failing[SPENT] = ZeroDivisionError("oops")
        self.run_until_quiet()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("internal error", str(self.status(SPENT).error))

    def test_stopping_waits_for_the_batch_under_way(self) -> None:
        self.held = []
        self.clock.advance(0)
        [(waiting, step)] = self.held
        stopped = self.indexer.stop()
        self.assertNoResult(stopped)
        waiting.callback(step())
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([builder.database for builder in self.builders.values()], [None] * 3)

    def test_the_rate_is_that_of_this_run(self) -> None:
        self.held = []
        self.clock.advance(0)
        for _ in range(4):
            waiting, step = self.held.pop()
            self.clock.advance(0.5)
            waiting.callback(step())
            self.clock.advance(0.5)
        status = self.status(NAMES[0])
        self.assertEqual((status.height, status.blocks_per_second), (3, 1))


class ApplicationCase(ServicesCase):
    """The composed application."""

    def started(self, *settings: str) -> Application:
        application = self.compose("services.enabled=chain index", *settings, node_id=1)
        application.startService()
        return application

    async def poll(self, application: Application, done: Callable[[], bool]) -> None:
        """Until `done`; trial's timeout ends the wait."""
        try:
            while not done():
                await deferLater(reactor, 0.01)
        except BaseException:
            await application.stopService()
            raise

    async def until_synced(self, application: Application, *names: str) -> list[IndexStatus]:
        indexes = application.getServiceNamed("index")._context.indexes

        def statuses() -> list[IndexStatus]:
            found: list[IndexStatus] = indexes.statuses()
            return found

        await self.poll(
            application,
            lambda: all(one.height == one.target for one in statuses() if one.name in names),
        )
        return statuses()


class Service(ApplicationCase):
    async def test_it_builds_what_is_on_and_leaves_no_thread(self) -> None:
        application = self.started("index.addresses=yes", "index.spent=yes")
        statuses = await self.until_synced(application, ADDRESSES, SPENT)
        self.assertEqual([status.enabled for status in statuses], [False, True, True])
        self.assertEqual([status.bytes > 0 for status in statuses], [False, True, True])
        await application.stopService()
        self.assertEqual({one.name for one in threading.enumerate() if "timed-" in one.name}, set())
        self.assertEqual(sorted(os.listdir(self.directory / "index")), [ADDRESSES, SPENT])

    async def test_switching_one_off_leaves_its_file_and_says_so(self) -> None:
        for settings in (("index.spent=yes",), ()):
            application = self.started(*settings)
            statuses = await self.until_synced(application, *(("spent",) if settings else ()))
            await application.stopService()
        self.assertIn("the index spent is off", self.out.getvalue())
        self.assertEqual(
            [(one.enabled, one.bytes > 0) for one in statuses if one.name == SPENT], [(False, True)]
        )

    async def test_a_damaged_index_is_named_and_the_node_lives(self) -> None:
        path = self.directory / "index" / SPENT
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(b"?" * 8192)
        application = self.started("index.spent=yes", "index.addresses=yes")
        await self.poll(application, lambda: "does not go on" in self.out.getvalue())
        statuses = await self.until_synced(application, ADDRESSES)
        self.assertIn(str(path), str(statuses[2].error))
        await application.stopService()
        self.assertIn("stopped in good order", self.out.getvalue())

    def test_an_index_that_nothing_would_build_is_refused(self) -> None:
        error = self.assertRaises(ConfigError, self.compose, "services.enabled=chain", "index.spent=yes")
        self.assertIn("index.spent is on and services.enabled lacks index", str(error))


class OtherProcess(SynchronousTestCase):
    def test_the_status_comes_from_the_file_alone(self) -> None:
        chain, directory = RandomChain(), self.mktemp()
        chain.grow([(0, 1)])
        builder = builders_of(directory, chain.store)[SPENT]
        builder.step()
        builder.close()
        reader = IndexReader(directory, GENESIS.hash, (SPENT, ADDRESSES))
        indexes = ReadIndexes(directory, chain.store, reader)
        self.addCleanup(indexes.reader.close)
        statuses = {status.name: status for status in indexes.statuses()}
        self.assertTrue(statuses[SPENT].synced)
        self.assertEqual((statuses[ADDRESSES].height, statuses[ADDRESSES].synced), (-1, False))
        self.assertIsNone(statuses[SPENT].blocks_per_second)


class Watched(ApplicationCase):
    """Health and metrics tell of the indexes."""

    async def test_a_failing_index_is_seen_from_outside(self) -> None:
        path = self.directory / "index" / SPENT
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(b"?" * 8192)
        application = self.started("index.spent=yes", "index.addresses=yes")
        await self.poll(application, lambda: "does not go on" in self.out.getvalue())
        await self.until_synced(application, ADDRESSES)
        context = application.getServiceNamed("index")._context
        view: Any = SimpleNamespace(context=context)
        check = next(check for check in CHECKS if check.name == "indexes")
        found = check.find(view)
        self.assertEqual(found.state, DEGRADED)
        self.assertIn(str(path), found.reason)
        row = next(row for row in METRICS if row.name == "timed_index_height")
        self.assertEqual(dict(row.source(view)), {(ADDRESSES,): 0.0, (SPENT,): -1.0})
        await application.stopService()
        context.indexes = None
        self.assertEqual((check.find(view).state, list(row.source(view))), (OK, []))

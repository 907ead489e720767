"""An RPC process and the event log on disk: there, not there yet, replaced, with the chain process away or not."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.feed_world import ROOMY, Listener, draft
from tests.index_world import GENESIS
from timed.app.schema import FeedSection
from timed.feed.cursor import BadCursor
from timed.feed.event import Filter
from timed.feed.hub import LOST
from timed.feed.log import FeedLog
from timed.params import REGTEST
from timed.rpc.chainlink import ChainAway, ChainLink
from timed.rpc.following import AWAY_S, FeedFollower, follow
from timed.rpc.linkwire import Hello, Line


class Link:
    """The way to the chain process: away, or a question that waits."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.away = False
        self.waiting: Deferred[Any] | None = None

    async def call(self, method: str, params: Any, caller: Any) -> Any:
        self.asked.append((method, params))
        if self.away:
            raise ChainAway("The chain process is away", rule="chain-away", hint="Ask again.")
        self.waiting = Deferred()
        return await self.waiting


class FollowerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.clock = Clock()
        self.link = Link()
        self.ended: list[str] = []
        self.entropy = random.Random(1)
        self.context = SimpleNamespace(
            datadir=SimpleNamespace(events=Path(self.path)),
            genesis=GENESIS,
            params=REGTEST,
            config=SimpleNamespace(settings=SimpleNamespace(feed=FeedSection())),
            live=SimpleNamespace(subscribe=lambda keys, call: lambda: self.ended.append(keys[0])),
            reactor=self.clock,
            monotonic=self.clock.seconds,
        )
        self.newest: list[int] = []
        follower = follow(self.context, self.link, self.newest.append)  # type: ignore[arg-type]
        assert follower is not None
        self.follower: FeedFollower = follower

    def write(self, count: int) -> None:
        """As the chain process does; this process has to let go of the files meanwhile."""
        self.follower._close()
        log = FeedLog(self.path, GENESIS.hash, ROOMY, self.entropy.randbytes, map_size=1 << 32)
        with log.changing() as change:
            for _ in range(count):
                change.add(draft())
        log.close()

    def stop(self) -> None:
        done: list[Any] = []
        Deferred.fromCoroutine(self.follower.stop()).addCallback(done.append)
        self.assertEqual(done, [None])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.ended, ["feed.max_subscribers"])

    def listen(self, cursor: str = "oldest") -> Listener:
        listener = Listener()
        listener.subscription = self.follower.feed.hub.subscribe(listener, ("test", ""), Filter(), cursor)
        return listener


class Following(FollowerCase):
    def test_it_reads_what_is_there_and_is_woken_for_more(self) -> None:
        self.write(3)
        self.follower.start()
        listener = self.listen()
        self.clock.advance(0)
        cursor = self.follower.feed.window.ends.cursor(3)
        self.assertEqual(self.link.asked, [("geteventcursor", {"after": cursor, "wait_s": 60})])
        self.write(600)
        assert self.link.waiting is not None
        self.link.waiting.callback(None)
        for _ in range(20):
            self.clock.advance(0)
        self.assertEqual(listener.sequences, list(range(1, 604)))
        self.assertEqual((len(self.link.asked), self.newest[-1]), (2, 603))
        self.stop()

    def test_a_cursor_from_a_process_that_is_further_is_good_here_too(self) -> None:
        self.link.away = True
        self.write(1)
        self.follower.start()
        self.write(2)
        self.follower._open()
        cursor = self.follower.feed.window.ends.cursor(3)
        listener = self.listen(cursor)
        self.clock.advance(AWAY_S)
        self.write(1)
        self.clock.advance(AWAY_S)
        self.clock.advance(0)
        self.assertEqual(listener.sequences, [4])
        self.assertRaises(BadCursor, self.listen, cursor.replace("-3", "-9"))
        self.stop()

    def test_with_the_chain_process_away_the_disk_is_looked_at(self) -> None:
        self.link.away = True
        self.write(1)
        self.follower.start()
        listener = self.listen()
        self.write(1)
        for _ in range(5):
            self.clock.advance(AWAY_S)
        self.assertEqual(listener.sequences, [1, 2])
        self.assertIsNone(self.follower.feed.failure())
        self.stop()

    def test_a_log_that_is_not_there_yet_is_waited_for(self) -> None:
        self.link.away = True
        self.follower.start()
        self.assertIn("holds no event log", str(self.follower.feed.failure()))
        self.write(2)
        self.clock.advance(AWAY_S)
        self.assertEqual((self.follower.feed.failure(), self.follower.feed.window.newest), (None, 2))
        self.stop()

    def test_a_log_that_was_replaced_ends_the_subscriptions_to_the_old_one(self) -> None:
        self.link.away = True
        self.write(5)
        self.follower.start()
        listener = self.listen()
        self.clock.advance(0)
        old = self.follower.feed.window.ends.log_id
        self.follower._close()
        shutil.move(self.path, f"{self.path}.old")
        self.write(1)
        self.clock.advance(AWAY_S)
        self.clock.advance(0)
        self.assertNotEqual(self.follower.feed.window.ends.log_id, old)
        assert listener.ended is not None
        self.assertEqual(listener.ended[0], LOST)
        self.stop()

    def test_a_bug_is_logged_and_does_not_end_it(self) -> None:
        self.link.away = True
        self.write(1)
        broken = self.patch(self.follower, "_open", lambda: 1 // 0)
        self.follower.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("internal error", str(self.follower.feed.failure()))
        broken.restore()
        self.clock.advance(AWAY_S)
        self.assertEqual((self.follower.feed.failure(), self.follower.feed.window.newest), (None, 1))
        self.stop()

    def test_events_that_are_switched_off_are_not_followed(self) -> None:
        self.context.config.settings.feed = FeedSection(enabled=False)
        self.assertIsNone(follow(self.context, self.link, self.newest.append))  # type: ignore[arg-type]

    def real_link(self) -> tuple[ChainLink, list[Line]]:
        """A question to it that is given up ends with an RpcError, not as cancelled."""
        lines: list[Line] = []
        link = ChainLink("/nowhere", Hello.of(GENESIS), self.clock)
        link._protocol = SimpleNamespace(write=lines.append)  # type: ignore[assignment]
        self.follower._link = link
        self.write(1)
        self.follower.start()
        return link, lines

    def test_a_loop_that_is_begun_again_runs_once(self) -> None:
        link, lines = self.real_link()
        for _ in range(3):
            self.follower.restart()
            self.clock.advance(AWAY_S)
        self.clock.advance(10 * AWAY_S)
        questions = [line for line in lines if line.body]
        self.assertEqual((len(questions), link.under_way), (4, 1))
        self.stop()

    def test_stopping_does_not_wait_for_the_answer(self) -> None:
        link, _ = self.real_link()
        self.stop()
        self.assertEqual(link.under_way, 0)

"""Following the log: what a reader is sent, when it is cut, and that its cursor brings back the rest."""

from __future__ import annotations

import json
import os
import random

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.feed_world import FeedWorld, Listener, draft
from tests.index_world import LOCKS, RandomChain
from timed.errors import LocalError
from timed.feed import window as windows
from timed.feed.event import FAMILIES, Draft, Filter
from timed.feed.hub import FAILED, HEARTBEAT_S, LOST, SLOW, STALL_S, STALLED, STOPPED, Limits, SubscribersFull
from timed.feed.log import Bounds, CursorLost
from timed.feed.records import LockTouch
from timed.feed.window import PAGE_EVENTS, Page
from timed.params import REGTEST

EVENTS = int(os.environ.get("TIMED_FEED_EVENTS", "50000"))
"""Of the test with readers that come and go; 1,000,000 in the long run."""
READERS = 10
ALL = Filter()


class HubCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = FeedWorld(self.mktemp())
        self.addCleanup(self.world.close)

    def listen(
        self, cursor: str = "oldest", wanted: Filter = ALL, client: str = "test", window: int = 0
    ) -> Listener:
        listener = Listener()
        listener.subscription = self.world.hub.subscribe(listener, (client, ""), wanted, cursor, window)
        return listener

    def write(self, count: int, size: int = 0) -> None:
        self.world.tell(*[draft(size=size) for _ in range(count)])
        self.world.settle()


class Following(HubCase):
    def bound(self, most: int, fresh: int) -> None:
        self.patch(windows, "MAX_EVENTS", most)
        self.patch(windows, "FRESH_EVENTS", fresh)

    def test_the_past_and_what_comes_are_one_sequence(self) -> None:
        self.write(600)
        listener = self.listen()
        self.write(3)
        self.assertEqual(listener.sequences, list(range(1, 604)))
        self.assertEqual(listener.pages, 3)

    def test_a_cursor_brings_what_came_after_it(self) -> None:
        self.write(5)
        self.assertEqual(self.world.cursor(3), f"{self.world.window.ends.log_id}-3")
        listener, newest = self.listen(self.world.cursor(3)), self.listen("newest")
        self.write(1)
        self.assertEqual((listener.sequences, newest.sequences), ([4, 5, 6], [6]))

    def test_events_too_old_for_memory_come_from_the_disk(self) -> None:
        self.bound(50, fresh=10)
        self.write(400)
        listener = self.listen()
        self.world.settle()
        self.assertEqual(listener.sequences, list(range(1, 401)))
        self.assertGreater(self.world.window.from_disk, 0)

    def test_no_more_leaves_memory_than_must(self) -> None:
        """A half that left at once would be a wave of memory whose top the process keeps."""
        self.bound(50, fresh=10)
        self.write(50)
        recent = self.world.window._recent
        for newest in range(51, 60):
            self.write(1)
            self.assertEqual((recent.first, recent.last, len(recent)), (newest - 49, newest, 50))

    def test_of_all_but_the_newest_only_what_is_on_disk_is_kept(self) -> None:
        self.bound(50, fresh=10)
        self.write(30)
        recent = self.world.window._recent
        self.assertEqual((len(recent._packed), len(recent._fresh)), (20, 10))
        log = self.world.window._log()
        assert log is not None
        written = log.after(0, 30, 1 << 20)
        self.assertEqual([(event.sequence, event.record) for event in recent.after(0, 30)], written)
        self.assertEqual([event.sequence for event in recent.after(18, 5)], [19, 20, 21, 22, 23])
        listener = self.listen()
        self.world.settle()
        self.assertEqual((listener.sequences, self.world.window.from_disk), (list(range(1, 31)), 0))

    def test_many_addresses_are_kept_as_objects_no_longer_than_few(self) -> None:
        self.patch(windows, "FRESH_TOUCHES", 10)
        touches = (LockTouch(LOCKS[0], 1, 0), LockTouch(LOCKS[1], 0, 1))
        self.world.tell(*[attrs.evolve(draft(), touches=touches) for _ in range(20)])
        self.world.settle()
        recent = self.world.window._recent
        self.assertEqual((len(recent._packed), len(recent._fresh)), (15, 5))
        self.world.tell(attrs.evolve(draft(), touches=touches * 20))
        self.world.settle()
        self.assertEqual(len(recent._packed), 20, "one stays, whatever it names")
        listener = self.listen()
        self.world.settle()
        self.assertEqual(listener.sequences, list(range(1, 22)))

    def test_large_events_in_memory_are_bounded_too(self) -> None:
        self.bound(50, fresh=10)
        self.patch(windows, "MAX_BYTES", 5_000)
        self.write(40, size=900)
        recent = self.world.window._recent
        self.assertEqual((len(recent), recent.first, recent.last), (15, 26, 40))
        self.assertEqual(recent._bytes, sum(map(len, recent._packed)))
        listener = self.listen()
        self.world.settle()
        self.assertEqual(listener.sequences, list(range(1, 41)))

    def test_pages_of_old_events_are_kept_up_to_a_bound(self) -> None:
        """Readers that come back, each at a place of its own, before anything new is written."""
        self.bound(500, fresh=10)
        self.patch(windows, "MAX_PAGE_EVENTS", 600)
        self.write(400)
        window = self.world.window
        for place in range(20):
            self.assertEqual(window.page(place, ALL).events[0].sequence, place + 1)
            kept = sum(len(page.events) for page in window._pages.values())
            self.assertLessEqual(kept, 600)
            self.assertIs(window.page(place, ALL), window.page(place, ALL))

    def test_types_families_and_addresses_choose(self) -> None:
        def payment(kind: str, *locks: int) -> Draft:
            subject = random.Random(f"{kind}{locks}").randbytes(32)
            return Draft.of(kind, 1, subject, tuple(LockTouch(LOCKS[each], 1, 0) for each in locks))

        self.world.tell(
            payment("transaction.accepted", 0),
            payment("transaction.final", 0, 1),
            payment("transaction.final", 5),
            draft("gap"),
            draft("block"),
        )
        self.world.settle()
        for names, locks, wanted in (
            ([], [], [1, 2, 3, 4, 5]),
            (["transaction.final"], [], [2, 3, 4]),
            (["transaction", "block"], [], [1, 2, 3, 4, 5]),
            ([], [LOCKS[1]], [2, 4]),
            ([], [LOCKS[5], LOCKS[0]], [1, 2, 3, 4]),
            (["transaction.accepted"], [LOCKS[1]], [4]),
        ):
            listener = self.listen(wanted=Filter.of(names, locks))
            self.world.settle()
            self.assertEqual((names, listener.sequences), (names, wanted))
        self.assertRaises(LocalError, Filter.of, ["transactions"])
        self.assertTrue(all(Filter.of([name]).types for name in FAMILIES))

    def test_an_event_is_encoded_once_for_all_readers_and_never_for_none(self) -> None:
        self.write(10)
        self.assertEqual(self.world.window.presenter.encoded, 0)
        for number in range(8):
            listener = self.listen(wanted=Filter.of(["peer"] if number % 2 else []))
            listener.send = lambda page: page.stream  # type: ignore[assignment,method-assign,return-value]
        self.world.settle()
        self.assertEqual(self.world.window.presenter.encoded, 10)

    def test_what_is_shown_is_json_with_its_addresses_and_exact_amounts(self) -> None:
        touch = LockTouch(LOCKS[0], 1_250_000_000, 7)
        multisig = LockTouch(LOCKS[5], 0, 1)
        self.world.tell(
            Draft.of("transaction.final", 1_790_000_000_123_456, b"\1" * 32, (touch, multisig), epoch=4)
        )
        self.world.settle()
        [event] = self.world.window.after(0, 10)
        cursor = self.world.cursor(1)
        text = event.shown.text.decode()
        self.assertIn('"received":12.50000000,"spent":0.00000007', text)
        shown = json.loads(text)
        self.assertEqual(
            (shown["cursor"], shown["sequence"], shown["time_ms"]), (cursor, 1, 1_790_000_000_123)
        )
        self.assertEqual((shown["data"]["txid"], shown["data"]["epoch"]), ("01" * 32, 4))
        self.assertEqual(shown["data"]["addresses"][0]["address"][:5], REGTEST.address_prefix[:5])
        self.assertEqual(shown["data"]["addresses"][1]["address"], LOCKS[5].encode().hex())
        self.assertEqual(
            event.shown.stream.decode(), f"id: {cursor}\nevent: transaction.final\ndata: {text}\n\n"
        )


class Ends(HubCase):
    def test_whoever_does_not_read_is_cut_at_the_bound_and_loses_nothing_with_its_cursor(self) -> None:
        listener = self.listen()
        listener.deaf = True
        self.write(1)
        for _ in range(60):
            self.write(1, size=2_000)
        assert listener.ended is not None
        reason, cursor = listener.ended
        self.assertEqual((reason, cursor, listener.sequences), (SLOW, self.world.cursor(1), [1]))
        self.assertEqual((self.world.hub.ended[SLOW], len(self.world.hub)), (1, 0))
        again = self.listen(cursor)
        self.world.settle()
        self.assertEqual(again.sequences, list(range(2, 62)))

    def test_waiting_bytes_count_what_was_wanted_and_only_since_it_stopped_reading(self) -> None:
        self.write(300, size=1_000)
        listener = self.listen(wanted=Filter.of(["peer"]))
        listener.deaf = True
        self.world.settle()
        self.assertEqual(listener.subscription.waiting_bytes, 0)
        self.world.tell(*[draft("block", size=5_000) for _ in range(50)], draft(size=5_000))
        self.world.settle()
        self.assertLess(5_000, listener.subscription.waiting_bytes)
        self.assertLess(listener.subscription.waiting_bytes, 6_000)
        listener.deaf = False
        listener.subscription.resume()
        self.world.settle()
        self.assertEqual((listener.ended, len(listener.sequences)), (None, 301))

    def test_a_transport_that_takes_nothing_for_long_is_cut(self) -> None:
        listener = self.listen()
        listener.deaf = True
        self.write(2)
        self.world.settle(STALL_S - 2)
        self.assertIsNone(listener.ended)
        self.world.settle(4)
        self.assertEqual(listener.ended, (STALLED, self.world.cursor(2)))

    def test_whoever_has_everything_and_says_nothing_is_not_cut_until_something_waits(self) -> None:
        """Its window is full by chance: it need not acknowledge what it still works at."""
        listener = self.listen(window=2)
        self.write(2)
        self.world.settle(3 * STALL_S)
        self.assertIsNone(listener.ended)
        self.write(1)
        self.world.settle(STALL_S - 2)
        self.assertIsNone(listener.ended)
        self.world.settle(4)
        self.assertEqual(listener.ended, (STALLED, self.world.cursor(2)))

    def test_a_reader_whom_the_log_has_overtaken_is_told(self) -> None:
        self.world.close()
        self.world.bounds = Bounds(300, 1 << 30, 0)
        self.world.limits = Limits(10, 10, 1 << 30)
        self.world.begin()
        listener = self.listen()
        listener.deaf = True
        self.write(200)
        self.write(400)
        listener.subscription.resume()
        self.world.settle()
        assert listener.ended is not None
        self.assertEqual(listener.ended, (LOST, self.world.cursor(len(listener.sequences))))
        self.assertRaises(CursorLost, self.listen, listener.ended[1])

    def test_a_stop_tells_everybody_and_lets_nobody_in(self) -> None:
        listeners = [self.listen() for _ in range(3)]
        self.world.hub.stop()
        self.assertEqual({each.ended for each in listeners}, {(STOPPED, self.world.cursor(0))})
        self.assertRaises(SubscribersFull, self.listen)

    def test_places_are_bounded_in_all_and_for_each_client(self) -> None:
        for _ in range(20):
            self.listen()
        with self.assertRaises(SubscribersFull) as caught:
            self.listen()
        self.assertEqual(caught.exception.rule, "client-full")
        for number in range(80):
            self.listen(client=str(number))
        with self.assertRaises(SubscribersFull) as caught:
            self.listen(client="one more")
        self.assertEqual(caught.exception.rule, "subscribers-full")
        next(iter(self.world.hub)).leave()
        self.listen()
        self.assertEqual(len(self.world.hub), 100)
        self.assertEqual(dict(self.world.hub.refused), {"client-full": 1, "subscribers-full": 1})


class Faults(HubCase):
    def test_a_reader_that_raises_is_ended_and_takes_nobody_along(self) -> None:
        def broken(page: Page) -> None:
            raise ZeroDivisionError("a bug")

        listeners = [self.listen() for _ in range(3)]
        listeners[1].send = broken  # type: ignore[method-assign]
        self.write(2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([each.sequences for each in listeners], [[1, 2], [], [1, 2]])
        self.assertEqual((listeners[1].ended, len(self.world.hub)), ((FAILED, self.world.cursor(0)), 2))


class Living(HubCase):
    def test_a_quiet_subscription_hears_where_it_is(self) -> None:
        listener = self.listen(wanted=Filter.of(["block"]))
        self.write(3)
        self.world.settle(2 * HEARTBEAT_S + 3)
        self.assertEqual(listener.beats, [self.world.cursor(3)] * 2)

    def test_with_a_window_no_more_than_that_is_unacknowledged(self) -> None:
        self.write(600)
        listener = self.listen(window=300)
        self.world.settle()
        self.assertEqual(len(listener.sequences), 2 * PAGE_EVENTS)
        listener.subscription.acknowledge(PAGE_EVENTS - 1)
        self.world.settle()
        self.assertEqual(
            (len(listener.sequences), listener.subscription.acknowledged), (600, PAGE_EVENTS - 1)
        )
        listener.subscription.acknowledge(600)
        self.write(1)
        self.assertEqual(listener.sequences, list(range(1, 602)))


class Fickle(Listener):
    """Takes some pages, is now and then full, and is cut off at random, what it was sent lost with it."""

    def __init__(self, world: FeedWorld, chance: random.Random) -> None:
        super().__init__()
        self.world = world
        self.chance = chance
        self.have: list[int] = []
        """What has arrived, in its order, over all connections."""
        self.cursor = "oldest"
        self.connections = 0

    def connect(self) -> None:
        self.connections += 1
        self.ended = None
        self.subscription = self.world.hub.subscribe(self, ("fickle", ""), Filter(), self.cursor)

    def send(self, page: Page) -> None:
        events = page.events
        if self.chance.random() < 0.05:
            # Only a part arrives before the connection is lost.
            events = events[: self.chance.randrange(len(events) + 1)]
            self.subscription.leave()
            self.ended = ("gone", "")
        elif self.chance.random() < 0.1:
            self.subscription.pause()
        self.have += [event.sequence for event in events]
        if events:
            self.cursor = events[-1].shown.cursor

    def go_on(self) -> None:
        if self.ended is not None:
            self.connect()
        elif self.subscription.paused and self.chance.random() < 0.5:
            self.subscription.resume()


class RandomDisconnects(SynchronousTestCase):
    def test_readers_that_come_and_go_have_every_event_exactly_once(self) -> None:
        chance = random.Random(7)
        world = FeedWorld(self.mktemp(), RandomChain())
        self.addCleanup(world.close)
        readers = [Fickle(world, chance) for _ in range(READERS)]
        for reader in readers:
            reader.connect()
        written = 0
        while written < EVENTS:
            count = min(EVENTS - written, chance.randrange(1, 1_500))
            written += count
            world.tell(*[draft(number=number) for number in range(count)])
            for _ in range(chance.randrange(2, 8)):
                world.settle(0.02)
                for reader in readers:
                    reader.go_on()
        while any(len(reader.have) < EVENTS for reader in readers):
            world.settle(0.1)
            for reader in readers:
                reader.go_on()
        wanted = list(range(1, EVENTS + 1))
        for reader in readers:
            self.assertTrue(reader.have == wanted, "an event was lost or came twice")
            self.assertGreater(reader.connections, 5)
        self.assertEqual(world.window.newest, EVENTS)

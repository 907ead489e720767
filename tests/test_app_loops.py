"""Every loop of the node dies here in each way it can, and is seen, begun again where that is safe, and goes on."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.feed_world import draft
from tests.test_app_driver import DriverCase
from tests.test_app_memory import MemoryCase
from tests.test_app_storequeue import HeldThreads
from tests.test_app_verifier import item
from tests.test_feed_delivery import DeliveryCase
from tests.test_feed_scribe import ScribeCase
from tests.test_index_service import IndexingCase
from timed.app.driver import LONGEST_WAIT
from timed.app.feeding import SINK_S, watch_scribe
from timed.app.indexing import RETRY_S, watch_indexes
from timed.app.indexing import STEP_S as INDEX_STEP_S
from timed.app.memory import PERIOD_S
from timed.app.nodeloops import MACHINE_S, STORE_S, VERIFIER_S, watch_driver, watch_memory
from timed.app.verifier import BATCH_MAX, Verifier
from timed.app.watchdog import LOOK_S, SHOWN_S, Watchdog
from timed.errors import StoreError
from timed.events import Persist, Verify
from timed.feed.delivery import Batch, State
from timed.index.builder import Step
from timed.index.tables import ADDRESSES, NAMES
from timed.loops import Cause, Steps
from timed.node.waking import CHAIN, MACHINES, SYNC
from timed.params import SECOND
from timed.rpc.lanes import COST_PER_TURN, Lanes
from timed.rpc.toll import LANES_S, watch_lanes


def started(clock: Clock) -> Watchdog:
    """A watchdog on virtual time."""
    loops = Watchdog(clock, clock.seconds)
    loops.startService()
    return loops


def troubles(loops: Watchdog) -> dict[str, str]:
    return {each.name: each.reason for each in loops.troubles()}


def until(clock: Clock, done: Callable[[], object], seconds: float = 600, step_s: float = 1.0) -> None:
    """Let virtual time pass until `done`."""
    for _ in range(round(seconds / step_s)):
        if done():
            return
        clock.advance(step_s)
    raise AssertionError(f"not within {seconds} s")


def lose(steps: Steps) -> None:
    """The reactor forgets the step that is asked for."""
    assert steps._call is not None
    steps._call.cancel()


class IdleWorker:
    """A thread that is given nothing; it is inside a step when a test says so."""

    inside = False

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        raise NotImplementedError

    def stop(self) -> None:
        """It does nothing that would have to end."""


class Driver(DriverCase):
    """The timer of the node, its machines, its store and its verifier."""

    def setUp(self) -> None:
        super().setUp()
        self.loops = started(self.reactor)
        clock = self.driver.clock
        self.ends = watch_driver(self.loops, self.driver, clock)

    def idle(self) -> None:
        self.node.waking.due = dict.fromkeys(MACHINES, None)

    def test_a_node_that_does_nothing_is_well(self) -> None:
        self.idle()
        for _ in range(120):
            self.reactor.advance(1)
        self.assertEqual(troubles(self.loops), {})
        self.assertGreaterEqual(self.driver.counters.wakes, 120 * SECOND // LONGEST_WAIT - 1)

    def test_a_timer_that_is_gone_is_set_again(self) -> None:
        """The round clock, the dials, the sync and the mempool hang on it."""
        self.idle()
        wake = self.driver._wake_call
        assert wake is not None
        wake.cancel()
        until(self.reactor, lambda: "node-timer" in troubles(self.loops))
        self.assertIn(Cause.DIED.value, troubles(self.loops)["node-timer"])
        before = self.driver.counters.wakes
        for _ in range(5):
            self.reactor.advance(1)
        self.assertGreater(self.driver.counters.wakes, before)

    def test_a_machine_that_raises_costs_the_others_nothing(self) -> None:
        """Before, whatever came after it in the order of waking was never woken again."""
        self.node.fail = ValueError("a bug")
        self.node.waking.broken = {SYNC}
        self.node.waking.due = dict.fromkeys(MACHINES, None) | {SYNC: 0}
        for _ in range(30):
            self.node.wake_at = int(self.reactor.seconds() * SECOND)
            self.reactor.advance(0.5)
        self.assertGreater(len(self.flushLoggedErrors(ValueError)), 1)
        for machine in set(MACHINES) - {SYNC}:
            self.assertGreaterEqual(self.node.waking.woken[machine], 14, machine)

    def test_a_node_that_raises_when_woken_is_woken_once_a_second_and_not_in_every_turn(self) -> None:
        self.idle()
        self.node.fail = ValueError("a bug")
        wakes = self.driver.counters.wakes
        for _ in range(1_000):
            self.node.wake_at = int(self.reactor.seconds() * SECOND)
            self.reactor.advance(0.01)
        self.assertLessEqual(self.driver.counters.wakes - wakes, 12)
        self.assertGreater(len(self.flushLoggedErrors(ValueError)), 5)

    def test_a_machine_whose_deadline_is_not_kept_is_named_and_tried_alone(self) -> None:
        self.idle()
        self.node.waking.due[SYNC] = 1
        until(self.reactor, lambda: f"node-{SYNC}" in troubles(self.loops), MACHINE_S + 3 * LOOK_S)
        self.assertEqual(self.node.waking.woken[SYNC], 1)

    def test_the_chain_s_machine_is_never_begun_again(self) -> None:
        """What this member has signed is its state."""
        self.idle()
        self.node.waking.due[CHAIN] = 1
        for _ in range(600):
            self.reactor.advance(1)
        self.assertIn(f"node-{CHAIN}", troubles(self.loops))
        self.assertEqual((self.loops.restarts()[f"node-{CHAIN}"], self.node.waking.woken[CHAIN]), (0, 0))

    def test_a_disk_that_hangs_is_shown_and_its_thread_is_never_doubled(self) -> None:
        self.idle()
        self.turn(Persist(1, (b"x",)))
        for _ in range(round(STORE_S + 3 * LOOK_S)):
            self.reactor.advance(1)
        self.assertIn(Cause.THREAD.value, troubles(self.loops)["store"])
        self.assertEqual((len(self.store_threads.calls), self.loops.restarts()["store"]), (1, 0))
        self.store_threads.run()
        until(self.reactor, lambda: not troubles(self.loops))
        self.assertEqual(self.store.durable, [[b"x"]])

    def test_a_verifier_that_does_not_answer_is_replaced_by_the_event_loop(self) -> None:
        self.idle()
        self.turn(Verify(7, (item(True),)))
        until(self.reactor, lambda: ("verified", 7, (True,)) in self.node.calls, VERIFIER_S + 3 * LOOK_S)
        self.assertEqual(self.loops.restarts()["verifier"], 1)
        self.verifier_threads.run()
        self.reactor.advance(1)
        self.assertEqual(
            [call for call in self.node.calls if call[0] == "verified"], [("verified", 7, (True,))]
        )

    def test_nothing_is_watched_any_more_when_the_service_has_ended(self) -> None:
        for end in self.ends:
            end()
        self.assertEqual(list(self.loops), [])


class TakingBack(SynchronousTestCase):
    """The verifier by itself: every request is answered once, whatever becomes of the threads."""

    def setUp(self) -> None:
        self.threads = HeldThreads()
        self.turns: deque[Callable[[], object]] = deque()
        self.answers: list[tuple[int, tuple[bool, ...]]] = []
        self.checked: list[int] = []
        self.verifier = Verifier(
            self.check, self.threads, lambda function, *args: self.turns.append(partial(function, *args)),
            lambda token, verdicts: self.answers.append((token, verdicts)), workers=2, max_items=1_000,
        )  # fmt: skip

    def check(self, items: Any) -> list[bool]:
        self.checked.append(len(items))
        return [message == b"good" for _, message, _ in items]

    def test_all_threads_gone_means_one_batch_a_turn_here(self) -> None:
        goods = [number % 3 != 0 for number in range(5 * BATCH_MAX)]
        self.verifier.put(Verify(1, tuple(item(good) for good in goods)))
        self.verifier.dispatch()
        self.verifier.take_back()
        self.assertEqual(len(self.checked), 2)
        for turn in range(3):
            self.assertEqual((len(self.checked), len(self.turns), self.answers), (2 + turn, 1, []))
            self.turns.popleft()()
        self.assertEqual(self.answers, [(1, tuple(goods))])
        self.assertEqual(self.verifier.counters.waiting_items, 0)

    def test_a_thread_that_answers_late_works_again_and_its_verdicts_are_not_counted_twice(self) -> None:
        self.verifier.put(Verify(1, (item(True),)))
        self.verifier.dispatch()
        self.verifier.take_back()
        self.threads.run()
        self.turns.popleft()()
        self.assertEqual(self.answers, [(1, (True,))])
        self.verifier.put(Verify(2, (item(False),)))
        self.verifier.dispatch()
        self.threads.run()
        self.turns.popleft()()
        self.assertEqual(self.answers[1:], [(2, (False,))])
        self.assertEqual((self.verifier.counters.taken_back, self.verifier.counters.answered), (1, 2))

    def test_a_bug_while_one_batch_is_taken_back_loses_none_of_the_others(self) -> None:
        for token in (1, 2):
            self.verifier.put(Verify(token, tuple(item(True) for _ in range(BATCH_MAX))))
        self.verifier.dispatch()
        answer, self.verifier._done = self.verifier._done, self.broken
        self.assertRaises(ZeroDivisionError, self.verifier.take_back)
        self.verifier._done = answer
        self.verifier.take_back()
        self.assertEqual(self.answers, [(2, (True,) * BATCH_MAX)])
        self.threads.run()
        while self.turns:
            self.turns.popleft()()
        self.assertEqual([token for token, _ in self.answers], [2])
        self.assertEqual(self.verifier.counters.waiting_items, 0)

    def broken(self, token: int, verdicts: tuple[bool, ...]) -> None:
        raise ZeroDivisionError


class Memory(MemoryCase):
    """A ban waits for the thread that is to write it."""

    def setUp(self) -> None:
        super().setUp()
        self.loops, self.writer = started(self.reactor), self.memory()
        self.addCleanup(self.loops.stopService)
        self.writer.load()
        self.writer.start()
        self.addCleanup(self.pass_time, 0)
        self.addCleanup(self.writer.stop)
        watch_memory(self.loops, self.writer)
        self.ban(7)
        self.reactor.advance(PERIOD_S)

    def test_a_write_whose_answer_is_lost_is_given_up_and_done_again(self) -> None:
        loops, memory = self.loops, self.writer
        lost = self.crew.waiting.popleft()
        until(self.reactor, lambda: "peer-book" in troubles(loops), 4 * PERIOD_S, LOOK_S)
        self.assertIn(Cause.WAITS.value, troubles(loops)["peer-book"])
        self.pass_time(PERIOD_S)
        self.assertEqual((len(self.stored().bans), memory.counters.failures), (1, 1))
        written = memory.counters.writes
        lost()
        self.pass_time(PERIOD_S)
        self.assertEqual(memory.counters.writes, written)

    def test_a_thread_inside_a_write_is_not_doubled(self) -> None:
        loops, memory = self.loops, self.writer
        memory._inside = True
        for _ in range(100):
            self.reactor.advance(LOOK_S)
        self.assertIn(Cause.THREAD.value, troubles(loops)["peer-book"])
        self.assertEqual((len(self.crew.waiting), loops.restarts()["peer-book"]), (1, 0))
        memory._inside = False
        self.pass_time(PERIOD_S)
        self.assertEqual(len(self.stored().bans), 1)


class Events(ScribeCase):
    def setUp(self) -> None:
        super().setUp()
        self.loops = started(self.world.clock)
        self.addCleanup(self.loops.stopService)
        self.worker = IdleWorker()
        watch_scribe(self.loops, self.world.scribe, self.worker)

    def test_a_step_whose_answer_is_lost_is_done_again(self) -> None:
        self.world.held = []
        self.world.tell(draft())
        self.world.settle()
        lost, self.world.held = self.world.held, None
        until(self.world.clock, lambda: "events" in troubles(self.loops))
        self.assertIn(Cause.WAITS.value, troubles(self.loops)["events"])
        self.assertEqual(self.listener.sequences, [])
        until(self.world.clock, lambda: self.listener.sequences == [1], 30)
        for waiting, step in lost:
            waiting.callback(step())
        self.world.tell(draft())
        self.world.settle()
        self.assertEqual(self.world.scribe.counters.failures, 1)
        self.assertEqual(self.listener.sequences, sorted(set(self.listener.sequences)))

    def test_a_step_whose_timer_is_gone_is_done(self) -> None:
        self.world.tell(draft())
        lose(self.world.scribe.steps)
        until(self.world.clock, lambda: "events" in troubles(self.loops))
        self.assertIn(Cause.DIED.value, troubles(self.loops)["events"])
        until(self.world.clock, lambda: self.listener.sequences == [1], 5)

    def test_a_thread_inside_a_step_is_not_doubled(self) -> None:
        self.world.held, self.worker.inside = [], True
        self.world.tell(draft())
        until(self.world.clock, lambda: "events" in troubles(self.loops))
        for _ in range(600):
            self.world.clock.advance(1)
        self.assertEqual((len(self.world.held), self.loops.restarts()["events"]), (1, 0))
        self.worker.inside = False
        self.release()
        self.world.settle()
        self.assertEqual(self.listener.sequences, [1])

    def test_subscriptions_whose_turn_is_lost_have_it_again(self) -> None:
        hub = self.world.hub
        self.loops.add("subscriptions", lambda: hub.looks, 30.0, "Restart.", restart=hub.restart,
                       owes=lambda: len(hub) > 0)  # fmt: skip
        self.world.settle()
        for call in (hub._turn_call, hub._look_call):
            if call is not None:
                call.cancel()
        hub._turn_call = None
        hub._look_call = LostCall()
        self.world.tell(draft())
        until(self.world.clock, lambda: "subscriptions" in troubles(self.loops))
        until(self.world.clock, lambda: self.listener.sequences == [1], 5)
        self.assertEqual(self.loops.restarts()["subscriptions"], 1)


class Indexes(IndexingCase):
    def setUp(self) -> None:
        super().setUp()
        self.loops = started(self.clock)
        self.worker = IdleWorker()
        watch_indexes(self.loops, self.indexer, self.worker)

    def until_stuck(self, cause: Cause) -> None:
        until(self.clock, lambda: "indexes" in troubles(self.loops), 2 * INDEX_STEP_S)
        self.assertIn(cause.value, troubles(self.loops)["indexes"])

    def until_built(self) -> None:
        heights = [self.chain.height] * len(NAMES)
        until(self.clock, lambda: [self.status(name).height for name in NAMES] == heights, 2 * RETRY_S)
        self.assertEqual(self.loops.restarts()["indexes"], 1)
        until(self.clock, lambda: not troubles(self.loops), 2 * SHOWN_S)

    def test_a_step_whose_answer_is_lost_is_done_again(self) -> None:
        self.held = []
        self.clock.advance(0)
        [(lost, step)], self.held = self.held, None
        self.until_stuck(Cause.WAITS)
        self.until_built()
        lost.callback(Step(0, 99))
        self.run_until_quiet()
        self.assertEqual((self.indexer.owes, step().done), (False, True))

    def test_a_step_whose_timer_is_gone_is_done(self) -> None:
        lose(self.indexer.steps)
        self.until_stuck(Cause.DIED)
        self.until_built()

    def test_a_failed_index_whose_timer_is_gone_is_tried_again(self) -> None:
        self.failing[ADDRESSES] = StoreError("the disk is full.", "Free some space.")
        self.run_until_quiet()
        self.failing.clear()
        assert self.indexer._retry_call is not None
        self.indexer._retry_call.cancel()
        self.until_stuck(Cause.DIED)
        self.until_built()

    def test_a_bug_after_a_step_does_not_end_it(self) -> None:
        broken = self.patch(self.indexer, "_next", lambda rest: 1 // 0)
        self.clock.advance(0)
        broken.restore()
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.until_stuck(Cause.DIED)
        self.until_built()

    def test_a_thread_inside_a_step_is_not_doubled(self) -> None:
        self.held, self.worker.inside = [], True
        for _ in range(200):
            self.clock.advance(LOOK_S)
        self.assertIn(Cause.THREAD.value, troubles(self.loops)["indexes"])
        self.assertEqual((len(self.steps), self.loops.restarts()["indexes"]), (1, 0))


class LostCall:
    """A call that was asked for and never comes."""

    def cancel(self) -> None:
        """Nothing to cancel."""


class Sinks(DeliveryCase):
    def setUp(self) -> None:
        super().setUp()
        self.loops = started(self.world.clock)
        self.addCleanup(self.loops.stopService)
        self.addCleanup(self.end)
        self.loops.add(
            "sink", lambda: self.delivery.turns, SINK_S, "Mend the receiver.",
            restart=self.delivery.restart, owes=lambda: self.delivery.owes,
        )  # fmt: skip

    def test_a_receiver_that_is_quiet_for_long_is_no_stuck_sink(self) -> None:
        self.tell(3)
        for _ in range(1_000):
            self.world.clock.advance(1)
        self.assertEqual((troubles(self.loops), self.receiver.taken), ({}, [1, 2, 3]))

    def test_a_receiver_that_refuses_is_no_stuck_sink(self) -> None:
        self.receiver.answers = [OSError("away")] * 20
        self.tell()
        for _ in range(3_000):
            self.world.clock.advance(1)
        self.assertNotIn("sink", troubles(self.loops))
        self.flushLoggedErrors(OSError)

    def test_a_batch_that_is_never_answered_is_sent_again(self) -> None:
        self.receiver.answers = [Deferred()]
        self.tell(2)
        self.assertEqual(self.delivery.state, State.SENDING)
        until(self.world.clock, lambda: len(self.receiver.offered) == 2)
        self.world.settle()
        self.assertEqual(([event.sequence for event in self.receiver.offered[1].events]), [1, 2])
        self.assertEqual((self.delivery.state, self.durable()), (State.CURRENT, 2))
        self.assertEqual(self.loops.restarts()["sink"], 1)

    def test_one_that_ended_by_a_bug_of_ours_goes_on_from_its_durable_place(self) -> None:
        self.tell(1)
        deliver, self.delivery._deliver = self.delivery._deliver, self.broken  # type: ignore[method-assign]
        self.tell(2)
        self.assertEqual(self.delivery.state, State.STOPPED)
        self.flushLoggedErrors(ZeroDivisionError)
        self.delivery._deliver = deliver  # type: ignore[method-assign]
        until(self.world.clock, lambda: self.receiver.taken == [1, 2, 3])

    async def broken(self, batch: Batch) -> Any:
        raise ZeroDivisionError


class Turns(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[Callable[[], None]] = []
        self.lanes = Lanes(self.asked.append)

    def test_calls_whose_turn_is_lost_are_let_through(self) -> None:
        clock = Clock()
        loops = started(clock)
        watch_lanes(loops, self.lanes)
        self.lanes.enter(("a", "b"), COST_PER_TURN)
        waits = self.lanes.enter(("a", "b"), 1)
        assert waits is not None
        until(clock, lambda: "rpc-turns" in troubles(loops), LANES_S + 3 * LOOK_S)
        self.assertEqual(len(self.asked), 2)
        self.asked[-1]()
        self.successResultOf(waits)

    def test_a_turn_that_was_only_late_is_not_doubled(self) -> None:
        """Each of two would ask for one more, and so on: twice as many calls a turn for as long as any wait."""
        for _ in range(3 * COST_PER_TURN):
            self.lanes.enter(("a", "b"), 1)
        self.lanes.ask()
        late, self.asked[:] = list(self.asked), []
        for turn in late:
            turn()
        self.assertEqual((len(late), self.lanes.turns, len(self.asked)), (2, 1, 1))
        self.assertEqual(len(self.lanes), COST_PER_TURN)

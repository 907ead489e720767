"""The host of a node: actions in order, one flush a turn, one timer, a clean stop."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.test_app_storequeue import HeldThreads, RecordingStore
from timed.app.driver import Hands, NodeDriver
from timed.errors import StoreError
from timed.events import (
    Action,
    Close,
    Dial,
    Pause,
    Persist,
    Publish,
    Resume,
    TransactionAccepted,
    TransactionFinal,
    Verify,
    Write,
)
from timed.node.waking import MACHINES
from timed.params import SECOND


class ScriptedMachines:
    """`timed.node.waking.Waking`, of machines that a test lets fail."""

    def __init__(self) -> None:
        self.due: dict[str, int | None] = dict.fromkeys(MACHINES, 0)
        self.woken: dict[str, int] = dict.fromkeys(MACHINES, 0)
        self.broken: set[str] = set()

    def alone(self, machine: str, now: int) -> None:
        if machine in self.broken:
            raise ValueError(f"a bug of {machine}")
        self.woken[machine] += 1


class ScriptedNode:
    """Records calls, and hands out the actions a test puts into `actions`."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.actions: list[Action] = []
        self.flushes = 0
        self.wake_at: int | None = None
        self.fail: Exception | None = None
        self.waking = ScriptedMachines()

    def _record(self, *call: object) -> None:
        self.calls.append(call)
        if self.fail is not None:
            raise self.fail

    def start(self, now: int) -> None:
        self._record("start")

    def stop(self, now: int) -> None:
        self._record("stop")
        self.actions.append(Write(1, b"goodbye"))

    def connected(
        self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int, now: int
    ) -> None:
        self._record("connected", link)

    def received(self, link: int, data: bytes, now: int) -> None:
        self._record("received", link, data)

    def disconnected(self, link: int, reason: str, now: int) -> None:
        self._record("disconnected", link, reason)

    def dial_failed(self, host: str, port: int, reason: str, now: int) -> None:
        self._record("dial_failed", host, port, reason)

    def drained(self, link: int, now: int) -> None:
        self._record("drained", link)

    def verified(self, token: int, verdicts: tuple[bool, ...], now: int) -> None:
        self._record("verified", token, verdicts)

    def persisted(self, token: int, now: int) -> None:
        self._record("persisted", token)

    def store_failed(self, token: int, reason: str, now: int) -> None:
        self._record("store_failed", token, reason)

    def wake(self, now: int) -> None:
        self.wake_at = None
        self._record("wake", now)

    def submit(self, raw: bytes, now: int) -> bytes:
        self._record("submit", raw)
        return b"txid"

    def flush(self, now: int) -> Sequence[Action]:
        self.flushes += 1
        actions, self.actions = self.actions, []
        return actions

    def next_wake(self) -> int | None:
        return self.wake_at


class RecordingTransport:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def write(self, link: int, data: bytes) -> None:
        self.calls.append(("write", link, data))

    def close(self, link: int, reason: str, abort: bool) -> None:
        self.calls.append(("close", link, reason, abort))

    def pause(self, link: int) -> None:
        self.calls.append(("pause", link))

    def resume(self, link: int) -> None:
        self.calls.append(("resume", link))

    def dial(self, host: str, port: int, expected_id: bytes | None) -> None:
        self.calls.append(("dial", host, port))


class RecordingSink:
    name = "recording"

    def __init__(self, calls: list[tuple[object, ...]]) -> None:
        self.calls = calls
        self.fail = False

    def published(self, event: object, now_us: int) -> None:
        if self.fail:
            raise ValueError("a sink's bug")
        self.calls.append(("published", event))


class DriverCase(SynchronousTestCase):
    clock_is_ahead_s = 0
    """How far the wall clock was set since the start."""

    def setUp(self) -> None:
        self.reactor = Clock()
        self.node = ScriptedNode()
        self.store = RecordingStore()
        self.store_threads = HeldThreads()
        self.verifier_threads = HeldThreads()
        self.transport = RecordingTransport()
        self.sink = RecordingSink(self.transport.calls)
        self.driver = NodeDriver(
            self.node,
            self.store,
            self.reactor,
            lambda: int((self.reactor.seconds() + self.clock_is_ahead_s) * SECOND),
            Hands(
                store=self.store_threads,
                verifier=self.verifier_threads,
                verifier_workers=2,
                from_thread=lambda function, *args: self.reactor.callLater(0, function, *args),
                verify_batch=lambda items: [True] * len(items),
            ),
            sinks=[self.sink],
            max_store_bytes=10_000,
            max_verify_items=1000,
        )
        self.driver.attach(self.transport)
        self.driver.start()
        self.reactor.advance(0)
        self.node.calls.clear()

    def turn(self, *actions: Action) -> None:
        """The node answers one call with `actions`."""
        self.node.actions.extend(actions)
        self.driver.drained(9)
        self.reactor.advance(0)


class Turns(DriverCase):
    def test_what_the_node_decides_at_its_start_is_done_in_that_turn(self) -> None:
        self.assertEqual(self.node.flushes, 1)

    def test_many_calls_of_a_turn_are_one_flush(self) -> None:
        before = self.node.flushes
        for _ in range(5):
            self.driver.received(1, b"x")
        self.assertEqual(self.node.flushes, before)
        self.reactor.advance(0)
        self.assertEqual(self.node.flushes, before + 1)

    def test_actions_are_executed_in_their_order(self) -> None:
        event = TransactionAccepted(b"t" * 32)
        self.turn(
            Publish(event),
            Write(1, b"a"),
            Pause(1),
            Resume(1),
            Close(1, "done", abort=True),
            Dial("h", 1, None),
        )
        self.assertEqual(
            self.transport.calls,
            [
                ("published", event), ("write", 1, b"a"), ("pause", 1), ("resume", 1),
                ("close", 1, "done", True), ("dial", "h", 1),
            ],
        )  # fmt: skip

    def test_a_sink_is_told_what_it_hears_and_one_that_does_not_say_everything(self) -> None:
        calls: list[tuple[object, ...]] = []
        accepted, final = TransactionAccepted(b"t" * 32), TransactionFinal(b"t" * 32, 1)
        self.turn(Publish(accepted), Publish(final))
        late = RecordingSink(calls)
        late.hears = frozenset({TransactionFinal})  # type: ignore[attr-defined]
        self.driver.add_sink(late)
        self.turn(Publish(accepted), Publish(final))
        self.assertEqual(calls, [("published", final)])
        self.assertEqual(self.transport.calls, [("published", accepted), ("published", final)] * 2)

    def test_a_node_with_work_left_is_woken_after_the_sockets_were_read(self) -> None:
        """A deadline of now is kept in the next turn of the reactor, never inside this one."""
        self.node.wake_at = int(self.reactor.seconds() * SECOND)
        self.driver._flush()
        self.assertNotIn("wake", [call[0] for call in self.node.calls])
        self.driver.received(1, b"x")
        self.reactor.advance(0)
        self.assertEqual([call[0] for call in self.node.calls[-2:]], ["received", "wake"])

    def test_persisted_comes_back_when_the_store_returned(self) -> None:
        self.turn(Persist(5, (b"vote",)))
        self.assertNotIn(("persisted", 5), self.node.calls)
        self.store_threads.run()
        self.reactor.advance(0)
        self.assertEqual(self.store.durable, [[b"vote"]])
        self.assertIn(("persisted", 5), self.node.calls)

    def test_a_failing_store_is_told_to_the_node_and_stops_nothing(self) -> None:
        self.store.fail = StoreError("no space")
        self.turn(Persist(5, (b"vote",)))
        self.store_threads.run()
        self.reactor.advance(0)
        self.assertIn(("store_failed", 5, "no space"), self.node.calls)
        self.driver.received(1, b"x")
        self.assertIn(("received", 1, b"x"), self.node.calls)

    def test_verdicts_come_back(self) -> None:
        self.turn(Verify(6, ((b"k", b"m", b"s"),)))
        self.verifier_threads.run()
        self.reactor.advance(0)
        self.assertIn(("verified", 6, (True,)), self.node.calls)

    def test_submitting_flushes_at_the_end_of_the_turn(self) -> None:
        before = self.node.flushes
        self.assertEqual(self.driver.submit(b"raw"), b"txid")
        self.reactor.advance(0)
        self.assertEqual(self.node.flushes, before + 1)

    def test_without_a_network_a_dial_fails_and_says_so(self) -> None:
        self.driver._transport = None
        self.turn(Dial("h", 1, None))
        self.reactor.advance(0)
        self.assertIn(("dial_failed", "h", 1, "no-network"), self.node.calls)


class Waking(DriverCase):
    def test_the_node_is_woken_when_it_asked_to_be(self) -> None:
        self.node.wake_at = int(self.reactor.seconds() * SECOND) + 250_000
        self.turn()
        self.reactor.advance(0.2)
        self.assertNotIn("wake", [call[0] for call in self.node.calls])
        self.reactor.advance(0.06)
        self.assertIn("wake", [call[0] for call in self.node.calls])

    def test_there_is_one_timer_whatever_the_number_of_turns(self) -> None:
        for delay in (900_000, 500_000, 100_000):
            self.node.wake_at = int(self.reactor.seconds() * SECOND) + delay
            self.turn()
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

    def test_a_distant_wish_is_kept_across_looks_at_the_clock(self) -> None:
        self.node.wake_at = 3 * SECOND
        self.turn()
        self.reactor.pump([0.5] * 5)
        self.assertNotIn("wake", [call[0] for call in self.node.calls])
        self.reactor.pump([0.5] * 2)
        self.assertEqual([call[0] for call in self.node.calls].count("wake"), 1)

    def test_turns_put_no_look_at_the_clock_off(self) -> None:
        before = self.driver.counters.wakes
        for _ in range(6):
            self.turn()
            self.reactor.advance(0.5)
        self.assertEqual(self.driver.counters.wakes - before, 3)

    def test_a_clock_that_is_set_on_is_noticed_within_a_second(self) -> None:
        self.node.wake_at = 3600 * SECOND
        self.turn()
        self.reactor.pump([0.5] * 5)
        self.clock_is_ahead_s = 7200
        self.reactor.advance(1)
        self.assertIn("wake", [call[0] for call in self.node.calls])

    def test_a_node_that_raises_when_it_is_woken_is_woken_again_a_second_later(self) -> None:
        """What it could not do is still due: without a pause it would do nothing else."""

        def wake(now: int) -> None:
            self.node._record("wake", now)

        self.patch(self.node, "wake", wake)
        self.node.wake_at = 0
        self.node.fail = KeyError("bug")
        self.reactor.pump([0.1] * 25)
        self.assertEqual([call[0] for call in self.node.calls].count("wake"), 2)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)


class Bugs(DriverCase):
    def test_an_exception_in_the_core_costs_its_session_and_nothing_else(self) -> None:
        faults: list[str] = []
        self.driver.faulted = faults.append
        self.node.fail = KeyError("bug")
        self.driver.received(3, b"x")
        self.assertEqual(self.transport.calls, [("close", 3, "internal-error", True)])
        self.assertEqual(self.driver.counters.faults, 1)
        self.assertEqual(faults, ["ScriptedNode.received"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_record_that_cannot_be_read_is_no_bug(self) -> None:
        """The first is kept for /health: what is damaged stays so."""
        faults: list[str] = []
        self.driver.faulted = faults.append
        for what in ("the record 01 is damaged.", "the record 02 is damaged."):
            self.node.fail = StoreError(what)
            self.driver.received(3, b"x")
        self.assertEqual(self.transport.calls, [("close", 3, "internal-error", True)] * 2)
        self.assertEqual((self.driver.counters.faults, self.driver.counters.unread), (0, 2))
        self.assertEqual(str(self.driver.first_unread), "the record 01 is damaged.")
        self.assertEqual(faults, [])

    def test_a_link_that_the_core_did_not_take_in_is_not_kept(self) -> None:
        """Nobody would look after it, and its place would be gone for as long as the peer likes."""
        self.node.fail = KeyError("bug")
        self.driver.connected(3, False, None, "192.0.2.1", 5555)
        self.driver.drained(4)
        self.assertEqual(self.transport.calls, [("close", link, "internal-error", True) for link in (3, 4)])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_a_sink_that_raises_does_not_cost_the_others_the_event(self) -> None:
        self.sink.fail = True
        other = RecordingSink([])
        self.driver.add_sink(other)
        self.turn(Publish(TransactionAccepted(b"t" * 32)))
        self.assertEqual(len(other.calls), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_an_action_that_fails_does_not_cost_the_ones_after_it_nor_the_timer(self) -> None:
        def fail(link: int, data: bytes) -> None:
            raise OSError("a transport's bug")

        self.transport.write = fail  # type: ignore[method-assign]
        self.node.wake_at = int(self.reactor.seconds() * SECOND) + 250_000
        self.turn(Write(1, b"a"), Close(2, "done"))
        self.assertEqual(self.transport.calls, [("close", 2, "done", False)])
        self.reactor.advance(0.3)
        self.assertIn("wake", [call[0] for call in self.node.calls])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class Stopping(DriverCase):
    def test_goodbye_is_with_the_transport_before_stop_returns(self) -> None:
        self.driver.say_goodbye()
        self.assertEqual(self.transport.calls, [("write", 1, b"goodbye")])

    def test_stop_waits_for_the_store(self) -> None:
        self.turn(Persist(5, (b"vote",)))
        stopped = self.driver.stop()
        self.assertNoResult(stopped)
        self.store_threads.run()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.store.durable, [[b"vote"]])

    def test_after_stop_no_signature_is_checked_that_no_thread_has(self) -> None:
        self.turn(Verify(6, ((b"k", b"m", b"s"),) * 300))
        self.driver.stop()
        self.verifier_threads.run()
        self.reactor.advance(0)
        self.assertEqual(self.verifier_threads.calls, [])

    def test_after_stop_no_call_is_left(self) -> None:
        self.driver.received(1, b"x")
        self.driver.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.driver.received(1, b"late")
        self.assertEqual(self.driver.counters.after_stop, 1)
        self.driver.submit(b"late")
        self.driver.rearm()
        self.driver.wake_alone(MACHINES[0])
        self.assertEqual(self.node.waking.woken[MACHINES[0]], 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

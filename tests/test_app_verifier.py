"""Signature checks in batches: every request gets its own verdicts, in its own order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.test_app_storequeue import HeldThreads
from timed.app.verifier import BATCH_MAX, Item, Verifier
from timed.events import Verify


def item(good: bool) -> Item:
    return (b"k" * 32, b"good" if good else b"bad", b"s" * 64)


class Verifying(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = HeldThreads()
        self.batches: list[int] = []
        self.failure: Exception | None = None
        self.answers: dict[int, tuple[bool, ...]] = {}
        self.verifier = Verifier(
            self.check,
            self.threads,
            lambda function, *args: function(*args),
            self.answers.__setitem__,
            workers=2,
            max_items=500,
        )

    def check(self, items: Sequence[Item]) -> list[bool]:
        if self.failure is not None:
            raise self.failure
        self.batches.append(len(items))
        return [message == b"good" for _, message, _ in items]

    def run_all(self) -> None:
        self.verifier.dispatch()
        while self.threads.calls:
            self.threads.run()

    def test_small_requests_of_a_turn_travel_together(self) -> None:
        for token in range(10):
            self.verifier.put(Verify(token, (item(token % 2 == 0),)))
        self.run_all()
        self.assertEqual(self.batches, [10])
        self.assertEqual(self.answers, {token: (token % 2 == 0,) for token in range(10)})

    def test_idle_workers_share_what_waits(self) -> None:
        self.verifier.put(Verify(1, tuple(item(True) for _ in range(50))))
        self.run_all()
        self.assertEqual(self.batches, [25, 25])

    def test_a_large_request_is_cut_and_answered_whole(self) -> None:
        goods = [number % 3 != 0 for number in range(300)]
        self.verifier.put(Verify(1, tuple(item(good) for good in goods)))
        self.run_all()
        self.assertEqual(self.answers, {1: tuple(goods)})
        self.assertTrue(all(size <= BATCH_MAX for size in self.batches))
        self.assertEqual(self.verifier.counters.waiting_items, 0)

    def test_no_more_batches_are_out_than_there_are_workers(self) -> None:
        self.verifier.put(Verify(1, tuple(item(True) for _ in range(300))))
        self.verifier.dispatch()
        self.assertEqual(len(self.threads.calls), 2)

    def test_beyond_the_bound_the_caller_pays(self) -> None:
        self.verifier.put(Verify(1, tuple(item(True) for _ in range(400))))
        self.verifier.put(Verify(2, tuple(item(True) for _ in range(200))))
        self.assertEqual(self.answers, {2: (True,) * 200})
        self.assertEqual(self.verifier.counters.inline, 200)

    def test_what_could_not_be_checked_is_not_accepted(self) -> None:
        self.failure = ZeroDivisionError()
        self.verifier.put(Verify(1, (item(True),)))
        self.run_all()
        self.assertEqual(self.answers, {1: (False,)})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_the_caller_could_not_check_is_answered_too(self) -> None:
        self.failure = ZeroDivisionError()
        self.verifier.put(Verify(1, tuple(item(True) for _ in range(501))))
        self.assertEqual(self.answers, {1: (False,) * 501})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_without_a_thread_the_caller_pays(self) -> None:
        """The system may refuse one, and give one later: no verdict waits for it."""
        refused: list[str] = []
        give = self.threads.callInThread

        def refuse(func: Callable[..., object], *args: object) -> None:
            if len(refused) == 3:
                give(func, *args)
            else:
                refused.append("can't start new thread")
                raise RuntimeError(refused[-1])

        self.patch(self.threads, "callInThread", refuse)
        for token in range(3):
            self.verifier.put(Verify(token, (item(True), item(False))))
            self.verifier.dispatch()
        self.assertEqual(self.answers, dict.fromkeys(range(3), (True, False)))
        self.assertEqual(self.verifier.counters.waiting_items, 0)
        self.verifier.put(Verify(3, tuple(item(True) for _ in range(300))))
        self.verifier.dispatch()
        self.assertEqual(len(self.threads.calls), 2)

    def test_after_a_stop_nothing_is_handed_to_a_thread(self) -> None:
        """The threads end before the batches that are under way are known here."""
        self.verifier.put(Verify(1, tuple(item(True) for _ in range(300))))
        self.verifier.dispatch()
        self.verifier.stop()
        self.threads.run()
        self.assertEqual((self.threads.calls, len(self.batches)), ([], 2))
        self.assertEqual(self.verifier.counters.waiting_items, 0)

    def test_a_request_without_items_is_answered(self) -> None:
        self.verifier.put(Verify(1, ()))
        self.assertEqual(self.answers, {1: ()})

"""The loops of the wallet and of an RPC process die here, as those of a node do in `test_app_loops`."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError, ConnectionAborted
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_world import FRIEND, World
from tests.test_app_loops import lose, started, troubles, until
from tests.test_rpc_following import FollowerCase
from tests.test_rpc_link import HELLO
from timed.app.watchdog import SHOWN_S
from timed.errors import StoreError
from timed.interfaces import Coin
from timed.ledger.regtest import well_known_seed
from timed.loops import Cause
from timed.primitives.transaction import Lock, OutPoint
from timed.rpc import following, wallethost
from timed.rpc.chainlink import ATTEMPT_S, LAST_RETRY_S, ChainLink, watch_link
from timed.rpc.following import LOOK_S
from timed.rpc.linkwire import Line, encode
from timed.rpc.wallethost import HISTORY_S, PURSUIT_S, SCAN_S, WalletHost

DISK = StoreError("the store is damaged.", "Check the disk.")


def lost(call: IDelayedCall | None) -> None:
    """The reactor forgets a call."""
    assert call is not None
    call.cancel()


class InlineWorker:
    """A thread that has done its work before it is asked."""

    inside = False

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        return maybeDeferred(work)

    def stop(self) -> None:
        """It holds nothing."""


class WalletCase(SynchronousTestCase):
    """A wallet beside a chain without blocks, so that no event has it do what its loop should."""

    def setUp(self) -> None:
        os.mkdir(directory := self.mktemp())
        self.patch(wallethost, "SCAN_STEP", 2)
        self.world = World(members=2, with_wallet=False)
        self.clock, self.chain = self.world.clock, self.world.backend
        self.worker = InlineWorker()
        path = os.path.join(directory, "wallet.json")
        self.host = WalletHost(path, self.chain, self.clock, random.Random(5).randbytes, self.worker)
        self.loops = started(self.clock)
        self.addCleanup(self.loops.stopService)
        self.addCleanup(self.host.stop)

    def start(self) -> None:
        self.host.start(well_known_seed("wallet", 1))
        self.host.watch(self.loops)

    def until_stuck(self, name: str, cause: Cause, longest_s: float) -> None:
        until(self.clock, lambda: name in troubles(self.loops), longest_s + 30)
        self.assertIn(cause.value, troubles(self.loops)[name])

    def until_well(self, name: str, done: Callable[[], object]) -> None:
        until(self.clock, done, 10)
        self.assertEqual(self.loops.restarts()[name], 1)
        until(self.clock, lambda: not troubles(self.loops), 2 * SHOWN_S)


class Scan(WalletCase):
    def until_scanned(self) -> None:
        self.until_well("wallet-scan", lambda: self.host.wallet.ready)
        own = [coin for _, coin in self.chain.coins() if self.host.wallet.keys.owns(coin.output.lock)]
        self.assertEqual(self.host.wallet.balance(), sum(coin.output.value for coin in own))

    def fail(self, error: Exception) -> None:  # type: ignore[override]
        """The set of coins cannot be read to its end."""

        def coins() -> Iterator[tuple[OutPoint, Coin]]:
            for number, entry in enumerate(whole()):
                if number == wallethost.SCAN_STEP:
                    raise error
                yield entry

        whole = self.chain.coins
        self.broken = self.patch(self.chain, "coins", coins)

    def test_a_step_whose_timer_is_gone_is_done(self) -> None:
        self.start()
        lost(self.host._scan_call)
        self.until_stuck("wallet-scan", Cause.DIED, SCAN_S)
        self.until_scanned()

    def test_a_step_that_raises_is_not_the_last_one(self) -> None:
        self.fail(ZeroDivisionError())
        self.start()
        self.assertRaises(ZeroDivisionError, self.clock.advance, 0)
        self.broken.restore()
        self.until_stuck("wallet-scan", Cause.DIED, SCAN_S)
        self.until_scanned()

    def test_a_scan_that_failed_and_whose_timer_is_gone_is_done_again(self) -> None:
        self.fail(DISK)
        self.start()
        self.clock.advance(0)
        self.assertIs(self.host.wallet.trouble, DISK)
        self.broken.restore()
        lost(self.host._scan_call)
        self.until_stuck("wallet-scan", Cause.DIED, SCAN_S)
        self.until_scanned()


class History(WalletCase):
    def until_written(self) -> None:
        self.until_well("wallet-history", lambda: self.host.chronicle.status.height == 0)

    def test_a_step_whose_answer_is_lost_is_done_again(self) -> None:
        held: list[tuple[Deferred[Any], Callable[[], Any]]] = []

        def hold(work: Callable[[], Any]) -> Deferred[Any]:
            held.append((Deferred(), work))
            return held[-1][0]

        thread = self.patch(self.host.chronicle.steps, "_in_thread", hold)
        self.start()
        thread.restore()
        waits = self.host.chronicle.caught_up()
        self.until_stuck("wallet-history", Cause.WAITS, HISTORY_S)
        self.assertIn("has not answered", str(self.failureResultOf(waits).value))
        self.until_written()
        [(answer, work)] = held
        answered = self.host.chronicle.steps.answered
        answer.callback(work())
        self.assertEqual(self.host.chronicle.steps.answered, answered)

    def test_a_step_that_is_tried_again_and_whose_timer_is_gone_is_done(self) -> None:
        broken = self.patch(self.host.chronicle.book, "step", self.refuse)
        self.start()
        broken.restore()
        lose(self.host.chronicle.steps)
        self.until_stuck("wallet-history", Cause.DIED, HISTORY_S)
        self.until_written()

    def refuse(self, *args: object) -> None:
        raise DISK

    def test_a_step_that_raises_is_not_the_last_one(self) -> None:
        broken = self.patch(self.host.chronicle.book, "step", lambda *args: 1 // 0)
        self.start()
        broken.restore()
        gc.collect()
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)
        self.until_stuck("wallet-history", Cause.DIED, HISTORY_S)
        self.until_written()

    def test_a_thread_inside_a_step_is_not_doubled(self) -> None:
        self.patch(self.host.chronicle.steps, "_in_thread", lambda work: Deferred())
        self.worker.inside = True
        self.start()
        self.until_stuck("wallet-history", Cause.THREAD, HISTORY_S)
        self.clock.advance(HISTORY_S)
        self.assertEqual(self.loops.restarts()["wallet-history"], 0)


class Pursuit(WalletCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()
        until(self.clock, lambda: self.host.wallet.ready, 10)
        prepared = self.host.wallet.prepare(Lock.key_hash(FRIEND.public), 10**8, "", self.world.now())
        self.host.wallet.stored(prepared)
        self.host._pursue()
        self.txid = prepared.payment.txid

    def until_sent(self) -> None:
        """The restart has done it, nothing else."""
        self.assertEqual(self.host.pursuit.resent, 1)
        self.until_well("wallet-pursuit", lambda: self.chain.status(self.txid) is not None)

    def test_a_payment_whose_timer_is_gone_is_sent(self) -> None:
        lost(self.host._pursuit_call)
        self.until_stuck("wallet-pursuit", Cause.DIED, PURSUIT_S + 60)
        self.until_sent()

    def test_an_attempt_that_raises_is_not_the_last_one(self) -> None:
        broken = self.patch(self.chain, "submit", lambda raw: 1 // 0)
        self.assertRaises(ZeroDivisionError, until, self.clock, lambda: False, 60)
        broken.restore()
        self.until_stuck("wallet-pursuit", Cause.DIED, PURSUIT_S + 120)
        self.until_sent()


class Link(SynchronousTestCase):
    """The way to the chain process."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.loops = started(self.reactor)
        self.addCleanup(self.loops.stopService)
        self.link = ChainLink("/nowhere", HELLO, self.reactor)
        watch_link(self.loops, self.link)
        self.link.start()

    def until_stuck(self, cause: Cause) -> None:
        until(self.reactor, lambda: "chain-link" in troubles(self.loops), ATTEMPT_S + 30)
        self.assertIn(cause.value, troubles(self.loops)["chain-link"])
        self.assertEqual(self.loops.restarts()["chain-link"], 1)

    def until_up(self) -> None:
        until(self.reactor, lambda: len(self.reactor.unixClients) == 2, LAST_RETRY_S + 1)
        self.connect().dataReceived(encode(Line(hello=HELLO)))
        self.assertTrue(self.link.up)
        until(self.reactor, lambda: not troubles(self.loops), 2 * SHOWN_S)

    def connect(self) -> Any:
        """The newest attempt has come to a connection."""
        connection: Any = self.reactor.unixClients[-1][1].buildProtocol(None)
        self.transport = StringTransport()
        connection.makeConnection(self.transport)
        return connection

    def test_an_attempt_that_does_not_end_is_given_up(self) -> None:
        self.until_stuck(Cause.WAITS)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.until_up()

    def test_an_attempt_whose_timer_is_gone_is_made(self) -> None:
        self.reactor.unixClients[0][1].clientConnectionFailed(None, Failure(ConnectError()))
        lost(self.link._retry_call)
        self.until_stuck(Cause.DIED)
        self.until_up()

    def test_a_connection_without_a_hello_is_given_up(self) -> None:
        connection = self.connect()
        self.until_stuck(Cause.WAITS)
        self.assertTrue(self.transport.disconnecting)
        connection.connectionLost(Failure(ConnectionAborted()))
        self.until_up()


class Followed(FollowerCase):
    """The events that another process writes."""

    def setUp(self) -> None:
        super().setUp()
        self.loops = started(self.clock)
        self.follower.watch(self.loops)
        self.write(1)

    def until_shown(self) -> None:
        """Written while the loop was dead, and seen once it is begun again."""
        self.write(1)
        until(self.clock, lambda: "events-followed" in troubles(self.loops), LOOK_S + 30)
        until(self.clock, lambda: self.follower.feed.window.newest == 2, 20)
        until(self.clock, lambda: not troubles(self.loops), 2 * SHOWN_S)
        self.loops.stopService()
        self.stop()

    def test_a_question_that_is_never_answered_is_asked_again(self) -> None:
        self.follower.start()
        self.until_shown()
        self.assertEqual(self.loops.restarts()["events-followed"], 1)

    def test_a_pause_that_does_not_end_is_given_up(self) -> None:
        self.link.away = True
        before = set(self.clock.getDelayedCalls())
        self.follower.start()
        [pause] = set(self.clock.getDelayedCalls()) - before
        pause.delay(1_000_000)
        self.until_shown()

    def test_one_that_a_bug_has_ended_is_begun_again(self) -> None:
        self.link.away = True
        broken = self.patch(following, "deferLater", lambda *args: 1 // 0)
        self.follower.start()
        broken.restore()
        self.until_shown()
        gc.collect()
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)

"""Real processes: a subscriber with its cursor sees every block and every final payment once across a kill."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.apart_world import CHAIN, HAPROXY, ApartWorld
from tests.process_world import until
from timed.client.blocking import Client
from timed.client.errors import CannotConnect

APART = 11
PAYMENTS = 6


class Follower(threading.Thread):
    """Follows one process until it is told to stop; `seen` holds what came, in its order."""

    def __init__(self, world: ApartWorld, port: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(world.location(port), sleep=self.wait)
        self.events = self.client.events(cursor="oldest")
        self.seen: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.pauses = 0
        self.start()

    def wait(self, seconds: float) -> None:
        self.pauses += 1
        time.sleep(min(seconds, 0.2))

    def run(self) -> None:
        try:
            for event in self.events:
                self.seen.append(event)
        except CannotConnect as error:
            self.failure = error

    def of(self, kind: str, member: str) -> list[str]:
        return [str(each["data"][member]) for each in tuple(self.seen) if each["type"] == kind]


class KilledNode(SynchronousTestCase):
    def test_every_block_and_final_payment_comes_once_across_kills_to_both_processes_followers(self) -> None:
        world = ApartWorld(Path(self.mktemp()), 1)
        self.addCleanup(world.stop)
        world.restart(CHAIN)
        world.start_apart()
        followers = [Follower(world, world.processes[each].plan.rpc_port) for each in (CHAIN, APART)]
        for follower in followers:
            self.addCleanup(follower.events.close)
        txids = self.pay(world)
        until(
            "a final payment is told", lambda: all(each.of("transaction.final", "txid") for each in followers)
        )
        world.kill(CHAIN)
        world.restart(CHAIN)
        txids += self.pay(world)
        for txid in txids:
            world.wait_confirmed(txid, CHAIN)
        tip = world.call(CHAIN, "getblockcount")
        for follower in followers:
            # What a block confirms is told behind it, and before the next one.
            until(
                "a block behind the newest is told",
                lambda one=follower: str(tip + 1) in one.of("block", "height"),  # type: ignore[misc]
            )
            self.check(world, follower, tip, txids)
        self.assertGreater(followers[0].pauses, 0)
        self.assertEqual(followers[1].pauses, 0)
        until("both show one cursor", lambda: self.cursor(world, APART) == self.cursor(world, CHAIN))

    def cursor(self, world: ApartWorld, number: int) -> Any:
        """Each process has one follower."""
        shown = world.ask(number, "geteventcursor")
        self.assertEqual(shown.pop("subscriptions"), 1)
        return shown

    def pay(self, world: ApartWorld) -> list[str]:
        payee = world.call(CHAIN, "getnewaddress")
        return [str(world.call(CHAIN, "sendtoaddress", payee, Decimal("1.25"))) for _ in range(PAYMENTS)]

    def check(self, world: ApartWorld, follower: Follower, tip: int, txids: list[str]) -> None:
        self.assertIsNone(follower.failure)
        seen = tuple(follower.seen)
        sequences = [each["sequence"] for each in seen]
        self.assertEqual(sequences, list(range(sequences[0], sequences[0] + len(sequences))))
        heights = [int(each) for each in follower.of("block", "height") if int(each) <= tip]
        self.assertEqual(heights, list(range(heights[0], tip + 1)))
        self.assertLessEqual(heights[0], 1)
        hashes = dict(zip(heights, follower.of("block", "hash"), strict=False))
        for height in (heights[0], tip):
            self.assertEqual(hashes[height], world.call(CHAIN, "getblockhash", height))
        finals = Counter(follower.of("transaction.final", "txid"))
        confirmed = Counter(follower.of("transaction.confirmed", "txid"))
        for txid in txids:
            self.assertEqual((finals[txid], confirmed[txid]), (1, 1))
        self.assertEqual(max(finals.values()), 1)


class KilledBehindHAProxy(SynchronousTestCase):
    def test_a_follower_goes_on_at_the_other_rpc_process(self) -> None:
        if not os.path.exists(HAPROXY):
            raise SkipTest("haproxy is not installed (apt-get install haproxy)")
        world = ApartWorld(Path(self.mktemp()), 2)
        self.addCleanup(world.stop)
        world.restart(CHAIN)
        world.start_apart()
        world.start_front()
        follower = Follower(world, world.front_port)
        self.addCleanup(follower.events.close)
        until("events come through HAProxy", lambda: len(follower.seen) > 3)
        [serving] = [each for each in world.apart if world.ask(each, "geteventcursor")["subscriptions"]]
        world.kill(serving)
        height = world.call(CHAIN, "getblockcount") + 2
        until("events come from the other one", lambda: str(height) in follower.of("block", "height"))
        self.assertIsNone(follower.failure)
        sequences = [each["sequence"] for each in tuple(follower.seen)]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
        self.assertGreater(follower.pauses, 0)

"""What each type of message costs, on a clock that is lent."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld
from timed.app.meter import SAMPLE, Meter
from timed.params import SECOND
from timed.peer.costs import OTHER, Costs
from timed.wire.messages import GetHeaders


def ticking(step: int = 10) -> Callable[[], int]:
    """A clock that shows `step` more at every look."""
    times = iter(range(0, 10**9, step))
    return lambda: next(times)


class CostsTests(SynchronousTestCase):
    def test_time_is_of_the_message_that_was_named_last(self) -> None:
        costs = Costs()
        times = iter((100, 103, 110, 130))
        costs.lend(lambda: next(times), 2)
        costs.on("Ping")
        costs.on("Pong")
        costs.take_back()
        self.assertEqual(costs.spent, {OTHER: 6, "Ping": 14, "Pong": 40})

    def test_without_a_clock_nothing_is_counted(self) -> None:
        costs = Costs()
        costs.on("Ping")
        self.assertEqual(costs.spent, {})
        costs.lend(ticking(), 1)
        costs.take_back()
        costs.on("Ping")
        self.assertEqual(costs.spent, {OTHER: 10})

    def test_a_peers_part_is_its_part_of_the_bytes(self) -> None:
        costs = Costs()
        costs.spent = {OTHER: 50, "Ping": 900, "Pong": 60}
        self.assertEqual(costs.of({"Ping": 10, "Vote": 3}, {"Ping": 30, "Pong": 1, "Vote": 9}), {"Ping": 300})


class MeterTests(SynchronousTestCase):
    def test_one_call_of_several_is_measured_and_counts_for_all(self) -> None:
        costs = Costs()
        clock = ticking(step=1)
        looks = []

        def looked() -> int:
            looks.append(clock())
            return looks[-1]

        meter = Meter(costs, looked)
        for _ in range(3 * SAMPLE):
            meter.begin("received")
            costs.on("Ping")
            meter.end()
        self.assertEqual(len(looks), 3 * 3)
        self.assertEqual(costs.spent, {OTHER: 3 * SAMPLE, "Ping": 3 * SAMPLE})


class NodeTests(SynchronousTestCase):
    def test_a_node_names_what_it_works_on_at_arrival_in_the_lane_and_in_the_handler(self) -> None:
        world = NodeWorld()
        peer = world.stranger()
        world.node.peers.costs.lend(ticking(), 1)
        self.assertIsNotNone(peer.ask(GetHeaders(start=1, count=1)))
        world.node.peers.costs.take_back()
        spent = world.node.peers.costs.spent
        self.assertEqual(spent["GetHeaders"], 3 * 10)
        self.assertLessEqual(set(spent), {"GetHeaders", OTHER})

    def test_a_clock_changes_nothing_that_a_node_does(self) -> None:
        """Determinism: what it measures goes into counters alone."""
        told = []
        for lent in (False, True):
            world = NodeWorld()
            peer = world.stranger()
            if lent:
                world.node.peers.costs.lend(ticking(), 1)
            world.submit(world.payment())
            peer.ask(GetHeaders(start=1, count=1))
            world.pass_time(5 * SECOND)
            told.append((world.events, world.node.peers.traffic()))
        self.assertEqual(told[0], told[1])

"""Virtual TCP: whatever the path does, the bytes arrive in order or the connection ends."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.sim.clock import Clock
from timed.sim.links import WINDOW
from timed.sim.network import Network

SECOND = 1_000_000


class Process:
    """An endpoint that writes down what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.node_id: bytes | None = name.encode().ljust(32, b"\0")
        self.port = 7000
        self.alive = True
        self.paused = False
        self.links: list[int] = []
        self.peer_ids: list[bytes | None] = []
        self.data = bytearray()
        self.chunks = 0
        self.ends: list[str] = []
        self.failures: list[str] = []
        self.drains = 0

    def opened(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        self.links.append(link)
        self.peer_ids.append(peer_id)

    def received(self, link: int, data: bytes) -> None:
        self.data += data
        self.chunks += 1

    def lost(self, link: int, reason: str) -> None:
        self.ends.append(reason)

    def failed(self, host: str, port: int, reason: str) -> None:
        self.failures.append(reason)

    def drained(self, link: int) -> None:
        self.drains += 1


class Pair:
    """Two machines with a process each, and a connection from the first to the second."""

    def __init__(self, seed: int = 1, *, connect: bool = True) -> None:
        self.clock = Clock(0)
        self.network = Network(self.clock, random.Random(seed), 2)
        self.alice, self.bob = Process("alice"), Process("bob")
        self.network.listen(1, self.bob)
        if connect:
            self.dial()
            self.run()

    def dial(self, expected: bytes | None = None) -> None:
        self.network.dial(0, self.alice, self.network.machines[1].host, 7000, expected)

    def run(self, seconds: float = 30) -> None:
        self.clock.run_until(self.clock.now + int(seconds * SECOND))

    def write(self, data: bytes) -> None:
        self.network.write(self.alice.links[-1], data)


class StreamTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=50)
    @given(
        seed=st.integers(0, 2**32),
        writes=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12),
        loss=st.sampled_from([0.0, 0.2, 0.6]),
        duplicate=st.sampled_from([0.0, 0.5]),
        split=st.sampled_from([0.0, 1.0]),
    )
    def test_bytes_arrive_once_and_in_order(
        self, seed: int, writes: list[bytes], loss: float, duplicate: float, split: float
    ) -> None:
        """Loss delays, duplicates and overtaken segments are repaired by sequence numbers."""
        pair = Pair(seed)
        path = pair.network.paths[(0, 1)]
        path.loss, path.duplicate, path.split, path.tail = loss, duplicate, split, 0.3
        for data in writes:
            pair.write(data)
        pair.run(120)
        self.assertEqual(bytes(pair.bob.data), b"".join(writes))

    def test_a_write_longer_than_the_window_waits_and_tells_when_it_is_gone(self) -> None:
        pair = Pair()
        for _ in range(40):
            pair.write(bytes(16_000))
        self.assertGreater(pair.network.unsent(pair.alice.links[0]), 0)
        pair.run()
        self.assertEqual(len(pair.bob.data), 640_000)
        self.assertEqual(pair.network.unsent(pair.alice.links[0]), 0)
        self.assertGreaterEqual(pair.alice.drains, 1)

    def test_one_way_loss_stops_one_direction_only(self) -> None:
        pair = Pair()
        pair.network.block([(0, 1)])
        pair.write(b"to bob")
        pair.network.write(pair.bob.links[0], b"to alice")
        pair.run()
        self.assertEqual((bytes(pair.bob.data), bytes(pair.alice.data)), (b"", b"to alice"))
        pair.network.unblock([(0, 1)])
        pair.run(5)
        self.assertEqual(bytes(pair.bob.data), b"to bob")

    def test_a_process_that_does_not_read_fills_the_window_and_no_more(self) -> None:
        pair = Pair()
        pair.network.pause(pair.bob.links[0])
        for number in range(20):
            pair.write(bytes([number]) * 16_000)
        pair.run()
        self.assertEqual(len(pair.bob.data), 0)
        self.assertGreaterEqual(pair.network.unsent(pair.alice.links[0]), 320_000 - WINDOW - 16_000)
        pair.network.read_on(pair.bob.links[0])
        pair.run()
        self.assertEqual(bytes(pair.bob.data), b"".join(bytes([number]) * 16_000 for number in range(20)))

    def test_a_process_that_stands_still_fills_the_window_and_finds_the_rest_when_it_goes_on(self) -> None:
        pair = Pair()
        pair.bob.paused = True
        for _ in range(20):
            pair.write(b"x" * 16_000)
        pair.run()
        self.assertEqual(len(pair.bob.data), 0)
        self.assertGreaterEqual(pair.network.unsent(pair.alice.links[0]), 320_000 - WINDOW - 16_000)
        pair.bob.paused = False
        pair.network.awake(1)
        pair.run()
        self.assertEqual(len(pair.bob.data), 320_000)

    def test_a_process_that_does_not_read_learns_of_the_end_when_it_reads_on(self) -> None:
        pair = Pair()
        pair.network.pause(pair.bob.links[0])
        pair.write(b"last words")
        pair.network.close(pair.alice.links[0], "stopping", abort=False)
        pair.run()
        self.assertEqual((bytes(pair.bob.data), pair.bob.ends), (b"", []))
        pair.network.read_on(pair.bob.links[0])
        pair.run()
        self.assertEqual((bytes(pair.bob.data), pair.bob.ends), (b"last words", ["closed"]))

    def test_a_blocked_path_fills_the_window_and_no_more(self) -> None:
        pair = Pair()
        pair.network.block([(0, 1), (1, 0)])
        for _ in range(20):
            pair.write(bytes(16_000))
        pair.run()
        self.assertGreaterEqual(pair.network.unsent(pair.alice.links[0]), 320_000 - WINDOW - 16_000)
        pair.network.unblock([(0, 1), (1, 0)])
        pair.run()
        self.assertEqual(len(pair.bob.data), 320_000)


class EndTests(SynchronousTestCase):
    def test_a_close_comes_after_what_was_written(self) -> None:
        pair = Pair()
        pair.network.paths[(0, 1)].loss = 0.5
        for _ in range(5):
            pair.write(b"word ")
        pair.network.close(pair.alice.links[0], "stopping", abort=False)
        pair.run()
        self.assertEqual(bytes(pair.bob.data), b"word " * 5)
        self.assertEqual((pair.alice.ends, pair.bob.ends), (["stopping"], ["closed"]))

    def test_an_abort_resets_the_other_side(self) -> None:
        pair = Pair()
        pair.network.close(pair.alice.links[0], "gone", abort=True)
        pair.run()
        self.assertEqual((pair.alice.ends, pair.bob.ends), (["gone"], ["reset"]))

    def test_a_severed_connection_loses_what_was_under_way(self) -> None:
        pair = Pair()
        pair.write(b"lost")
        pair.network.sever(pair.network.between(0, 1)[0])
        pair.run()
        self.assertEqual(bytes(pair.bob.data), b"")
        self.assertEqual((len(pair.alice.ends), len(pair.bob.ends)), (1, 1))

    def test_nothing_is_delivered_after_the_end(self) -> None:
        pair = Pair()
        pair.network.close(pair.bob.links[0], "bye", abort=True)
        pair.write(b"too late")
        pair.run()
        self.assertEqual(bytes(pair.bob.data), b"")

    def test_a_dead_process_ends_its_connections(self) -> None:
        for orderly in (True, False):
            pair = Pair()
            pair.network.process_died(1, orderly)
            pair.run()
            self.assertEqual(len(pair.alice.ends), 1)
            self.assertEqual(pair.bob.ends, [])

    def test_after_a_power_cut_the_peer_learns_of_it_only_by_sending(self) -> None:
        """A half-open connection: silence, until the machine is back and answers with a reset."""
        pair = Pair()
        pair.network.power_cut(1)
        pair.run(60)
        self.assertEqual(pair.alice.ends, [])
        pair.write(b"anybody there?")
        pair.run(60)
        self.assertEqual(pair.alice.ends, [])
        pair.network.power_on(1)
        pair.run(5)
        self.assertEqual(pair.alice.ends, ["reset"])


class DialTests(SynchronousTestCase):
    def test_both_sides_learn_the_authenticated_id_of_the_other(self) -> None:
        pair = Pair()
        self.assertEqual(pair.alice.peer_ids, [pair.bob.node_id])
        self.assertEqual(pair.bob.peer_ids, [pair.alice.node_id])

    def test_refused_when_nobody_listens(self) -> None:
        pair = Pair(connect=False)
        pair.network.unlisten(1)
        pair.dial()
        pair.run()
        self.assertEqual(pair.alice.failures, ["connection-refused"])

    def test_another_key_than_expected_is_refused(self) -> None:
        pair = Pair(connect=False)
        pair.dial(expected=bytes(32))
        pair.run()
        self.assertEqual((pair.alice.failures, pair.bob.links), (["wrong-key"], []))

    def test_a_process_that_stands_still_answers_when_it_goes_on_or_never(self) -> None:
        for seconds, outcome in ((2, (1, [])), (20, (0, ["timeout"]))):
            pair = Pair(connect=False)
            pair.bob.paused = True
            pair.dial()
            pair.run(seconds)
            pair.bob.paused = False
            pair.run()
            self.assertEqual((len(pair.alice.links), pair.alice.failures), outcome)

    def test_a_dark_machine_answers_nothing_until_the_deadline(self) -> None:
        pair = Pair(connect=False)
        pair.network.power_cut(1)
        pair.dial()
        pair.run(9)
        self.assertEqual(pair.alice.failures, [])
        pair.run(2)
        self.assertEqual(pair.alice.failures, ["timeout"])

    def test_data_sent_before_the_listener_was_told_waits_for_it(self) -> None:
        pair = Pair(connect=False)
        pair.dial()
        while not pair.alice.links:
            pair.clock.step()
        self.assertEqual(pair.bob.links, [])
        pair.write(b"early")
        pair.network.paths[(0, 1)].latency = 0
        pair.run()
        self.assertEqual(bytes(pair.bob.data), b"early")


class RepeatTests(SynchronousTestCase):
    def test_equal_seeds_give_equal_traces(self) -> None:
        hashes = []
        for seed in (7, 7, 8):
            pair = Pair(seed)
            path = pair.network.paths[(0, 1)]
            path.loss, path.tail, path.split = 0.2, 0.2, 0.5
            for _ in range(20):
                pair.write(b"some bytes to be cut")
            pair.run()
            hashes.append(pair.clock.trace_hash)
        self.assertEqual(hashes[0], hashes[1])
        self.assertNotEqual(hashes[0], hashes[2])

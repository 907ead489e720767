"""The wire benchmarks measure what they say: one encoding, whole messages, one queue."""

from __future__ import annotations

import json
import random
from argparse import Namespace

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from timed.bench import broadcast, crowd, priority
from timed.bench.loop import Child
from timed.bench.receivers import FrameCounter
from timed.bench.samples import Samples
from timed.errors import LocalError
from timed.peer.limits import PEER_QUEUE_BYTES
from timed.wire.catalogue import encode_message
from timed.wire.framing import TRAILER_SIZE, frames_of
from timed.wire.message import Message
from timed.wire.messages import Ping


def stream(*messages: Message, checksum: bool = False) -> bytes:
    """The bytes of some messages on a link."""
    return b"".join(
        frame
        for message in messages
        for frame in frames_of(b"TIME", *encode_message(message), checksum=checksum)
    )


class Counting(SynchronousTestCase):
    def test_a_message_counts_when_its_last_byte_is_there(self) -> None:
        counter = FrameCounter(0)
        data = stream(Samples().vote())
        self.assertEqual(counter.feed(data[:-1]), 0)
        self.assertEqual(counter.feed(data[-1:]), 1)

    def test_the_count_does_not_depend_on_how_the_bytes_are_cut(self) -> None:
        for checksum in (False, True):
            data = stream(
                Samples().vote(), broadcast.message_of(100_000), Samples().vote(), checksum=checksum
            )
            for size in (1, 15, 16, 17, 1_000, 65_536, len(data)):
                counter = FrameCounter(TRAILER_SIZE if checksum else 0)
                pieces = [data[at : at + size] for at in range(0, len(data), size)]
                self.assertEqual(sum(map(counter.feed, pieces)), 3, size)

    def test_messages_about_the_session_are_not_counted(self) -> None:
        self.assertEqual(FrameCounter(0).feed(stream(Ping(1, 2), Samples().vote(), Ping(3, 4))), 1)


class Cases(SynchronousTestCase):
    def test_the_messages_have_the_sizes_of_the_targets(self) -> None:
        self.assertLess(abs(len(broadcast.message_of(140).encode()) - 140), 10)
        self.assertLess(abs(len(broadcast.message_of(100_000).encode()) - 100_000), 100)

    def test_the_large_message_is_not_acknowledged(self) -> None:
        """The receivers do not decode, so they could not."""
        self.assertFalse(broadcast.message_of(100_000).requires_ack())

    def test_a_full_block_fills_the_queue_of_a_peer(self) -> None:
        size = len(priority.answer(priority.full_block()).encode())
        self.assertLessEqual(size, PEER_QUEUE_BYTES)
        self.assertGreater(size, PEER_QUEUE_BYTES - 1_000)

    def test_without_priorities_is_the_sessions_own_switch(self) -> None:
        self.patch(priority, "BLOCK_BYTES", 64 * 1024)
        for priorities in (True, False):
            sender = priority.Sender(True, priorities)
            self.assertIs(sender.host.table.identity.dialect.priorities, priorities)

    def test_a_crowd_in_which_nobody_is_honest_is_none(self) -> None:
        for peers in (0, 1, 3):
            error = self.assertRaises(LocalError, crowd.run, Namespace(peers=peers))
            self.assertIn("--peers", error.hint)

    def test_figures_are_ratios_of_medians(self) -> None:
        own = broadcast.Series([2.0, 1.0, 3.0], [0.5, 0.5, 0.5])
        bare = broadcast.Series([1.0, 1.0, 2.0], [0.25])
        case = broadcast.Case(own, bare, broadcast.Series([100.0, 120.0], [90.0]), 1)
        figures = case.figures()
        self.assertEqual(figures["p50_ms"], 2.0)
        self.assertEqual(figures["p99_ms"], 3.0)
        self.assertEqual(figures["speed_vs_json_per_peer"], 55.0)
        self.assertEqual(figures["ratio_to_bare_loop"], 2.0)
        self.assertEqual(figures["encodes"], 1)


class RealLinks(TestCase):
    """Everything but the figures: sessions and bare links between two processes."""

    timeout = 300

    def test_broadcast_encodes_once_and_reaches_everybody(self) -> None:
        """[18]"""

        async def measure() -> None:
            sessions, encodes = await broadcast.over_sessions(3, False, (140, 100_000), 2, 10.0)
            self.assertEqual(
                {size: len(found.until_last) for size, found in sessions.items()}, {140: 2, 100_000: 2}
            )
            self.assertEqual(encodes, {140: 1, 100_000: 1})
            bare, in_json = await broadcast.over_links(3, True, (140,), 2, 10.0)
            self.assertEqual((len(bare[140].cpu), len(in_json[140].cpu)), (2, 2))

        return Deferred.fromCoroutine(measure())

    def test_clients_who_are_all_there_say_so_at_once(self) -> Deferred[None]:
        async def ask() -> None:
            clients = Child("timed.bench.follower", json.dumps({"port": 1, "node_id": "", "genesis": ""}))
            self.assertEqual(await clients.ask({"peers": 0}), 0)
            await clients.end()

        return Deferred.fromCoroutine(ask())

    def test_every_vote_arrives_beside_the_blocks(self) -> None:
        self.patch(priority, "BLOCK_BYTES", 256 * 1024)

        async def measure() -> None:
            intervals = random.Random(priority.SEED)
            total, due = 0.0, 0
            while (total := total + intervals.expovariate(100.0)) <= 0.3:
                due += 1
            for options in (
                {"priorities": True, "way": "classes"},
                {"priorities": False, "way": "arrival"},
                {"priorities": False, "way": "frames"},
            ):
                delays = await priority.once(
                    Namespace(rate=100.0, seconds=0.3), plain=True, blocks=True, **options
                )
                self.assertEqual(len(delays.votes), due)

        return Deferred.fromCoroutine(measure())

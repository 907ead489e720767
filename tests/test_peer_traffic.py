"""Every byte is counted once, under its type; what waits is told with its age."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Host, Wire, key
from tests.test_peer_outbox import FRAME, large, parcel, written
from tests.test_peer_sessions import NEWS, open_stranger
from timed.params import SECOND
from timed.peer import limits
from timed.peer.outbox import Budget, Outbox
from timed.peer.traffic import UNKNOWN, Flush, Traffic
from timed.primitives.transaction import Transaction
from timed.wire.catalogue import BY_NUMBER, encode_message
from timed.wire.compression import Packing
from timed.wire.framing import FrameReader, frames_of
from timed.wire.message import Priority
from timed.wire.messages import GetPeers, TransactionBroadcast, TransactionsResponse

BODY = Transaction.make(inputs=(), outputs=(), payload=bytes(1000))


def on_the_wire(host: Host) -> Counter[str]:
    """Bytes per type that a host has written, counted by a second reader of frames."""
    found: Counter[str] = Counter()
    for write in host.writes:
        reader = FrameReader(
            host.table.identity.params.magic, limit_for=lambda number: 2**32, unpack=Packing().unpack
        )
        for frame in reader.frames(write.data):
            found[BY_NUMBER[frame.number].name] += reader.size
    return found


class CountTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.a, self.b = self.wire.host(1, wanted=[2], discover=True), self.wire.host(2, discover=True)
        self.wire.run(SECOND)

    def test_bytes_per_type_are_those_on_the_link_and_both_ends_agree(self) -> None:
        for _ in range(30):
            self.a.table.broadcast(NEWS)
            self.a.table.broadcast(TransactionBroadcast(transaction=BODY))
            self.a.call(None)
            self.wire.run(SECOND // 10)
        self.wire.run(100 * SECOND)
        sent, received = self.a.table.traffic(), self.b.table.traffic()
        self.assertEqual(sent.sent_bytes, on_the_wire(self.a))
        self.assertEqual(sent.sent_bytes, received.received_bytes)
        self.assertEqual(sent.sent, received.received)
        self.assertEqual(sum(sent.sent_bytes.values()), sent.bytes_sent)
        self.assertEqual((sent.bytes_sent, received.incomplete), (received.bytes_received, 0))
        self.assertEqual(sent.frames, sum(sent.sent.values()))

    def test_totals_keep_what_ended_and_the_goodbye(self) -> None:
        self.a.table.disconnect(self.b.node_id, "operator", self.wire.now)
        self.a.call(None)
        self.wire.run(SECOND // 10)
        sent, received = self.a.table.traffic(), self.b.table.traffic()
        self.assertIn("Goodbye", sent.sent_bytes)
        self.assertEqual(sent.sent_bytes, received.received_bytes)
        self.assertEqual(sum(sent.sent_bytes.values()), sent.bytes_sent)

    def test_fragments_count_with_their_headers(self) -> None:
        host = Wire().host(9)
        stranger = open_stranger(host)
        before = host.table.traffic()
        message = TransactionsResponse(transactions=(BODY,) * 40)
        number, payload = encode_message(message)
        frames = frames_of(stranger.magic, number, payload, request_id=5, reply=True)
        self.assertGreater(len(frames), 2)
        for frame in frames[:-1]:
            stranger.send_bytes(frame)
        under_way = host.table.traffic()
        self.assertEqual(under_way.incomplete - before.incomplete, sum(map(len, frames[:-1])))
        stranger.send_bytes(frames[-1])
        after = host.table.traffic()
        self.assertEqual(after.incomplete, before.incomplete)
        self.assertEqual(after.received_bytes["TransactionsResponse"], sum(map(len, frames)))

    def test_types_nobody_knows_share_one_count(self) -> None:
        """However many numbers a peer invents."""
        host = Wire().host(9)
        stranger = open_stranger(host)
        for number in range(40_000, 40_100):
            stranger.send_bytes(b"".join(frames_of(stranger.magic, number, b"xyz")))
        self.assertEqual(host.table.traffic().received_bytes[UNKNOWN], 100 * 19)
        self.assertEqual(host.table.traffic().unknown, 100)

    def test_what_is_left_unread_is_counted_in_bytes_and_not_as_messages(self) -> None:
        host = Wire().host(9)
        stranger = open_stranger(host)
        for request in range(1, 101):
            stranger.send(GetPeers(), request_id=request)
        traffic = host.table.traffic()
        self.assertEqual(traffic.received_bytes["GetPeers"], 100 * 16)
        self.assertLess(traffic.received["GetPeers"], 100)

    def test_a_session_in_numbers_is_a_copy(self) -> None:
        before = self.a.table.statistics(self.b.node_id)
        assert before is not None
        counts = dict(before.sent_bytes)
        self.a.table.broadcast(NEWS)
        self.a.call(None)
        self.assertEqual(before.sent_bytes, counts)
        after = self.a.table.statistics(self.b.node_id)
        assert after is not None
        self.assertGreater(after.sent_bytes["BlockAnnouncement"], 0)
        self.assertEqual(after.sent_at, self.wire.now)
        self.assertLess(after.received_at, self.wire.now)

    @given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["a", "b", "c"])), max_size=20))
    @settings(deadline=None, max_examples=50)
    def test_sums_do_not_depend_on_how_traffic_was_split(self, events: list[tuple[int, str]]) -> None:
        whole, parts = Traffic(), Traffic()
        for size, name in events:
            part = Traffic()
            for traffic in (whole, part):
                traffic.count_sent(name, size)
                traffic.count_write(Flush.IDLE, size)
                traffic.count_received(name, size)
                traffic.bytes_received += size
            parts.add(part)
        self.assertEqual(parts, whole)
        self.assertEqual(whole.incomplete, 0)


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.traffic = Traffic()
        self.outbox = Outbox(Budget(), traffic=self.traffic)

    def queue(self, priority: Priority, now: int) -> tuple[int, int, int]:
        (queue,) = [queue for queue in self.outbox.queues(now) if queue.priority is priority]
        return queue.messages, queue.bytes, queue.age

    def test_an_empty_queue_has_no_age(self) -> None:
        self.assertEqual({(q.messages, q.bytes, q.age) for q in self.outbox.queues(START)}, {(0, 0, 0)})

    def test_age_is_that_of_the_oldest_in_the_class(self) -> None:
        self.outbox.push(parcel(Priority.BULK, 100), START)
        self.outbox.push(parcel(Priority.BULK, 50), START + 7)
        self.outbox.push(parcel(Priority.CONSENSUS, 9), START + 8)
        self.assertEqual(self.queue(Priority.BULK, START + 10), (2, 150, 10))
        self.assertEqual(self.queue(Priority.CONSENSUS, START + 10), (1, 9, 2))
        written(self.outbox, START + 10)
        self.assertEqual(self.queue(Priority.BULK, START + 10), (0, 0, 0))

    def test_a_message_under_way_counts_with_what_is_left_of_it(self) -> None:
        self.outbox.push(large(Priority.BULK, 10 * FRAME), START)
        sent = len(self.outbox.take(START))
        self.assertEqual(self.queue(Priority.BULK, START + 5), (1, 10 * FRAME - sent, 5))
        self.assertEqual(self.traffic.sent_bytes, {"BULK": sent})

    def test_shed_gossip_takes_its_age_along(self) -> None:
        self.outbox.push(parcel(Priority.TRANSACTIONS, 100, gossip=True), START)
        self.outbox.push(parcel(Priority.TRANSACTIONS, 60), START + 1)
        self.outbox.push(parcel(Priority.TRANSACTIONS, 100, gossip=True), START + 2)
        self.outbox.shed_gossip(150)
        self.assertEqual(self.queue(Priority.TRANSACTIONS, START + 4), (1, 60, 3))
        self.assertEqual(self.traffic.dropped, 2)
        written(self.outbox, START)
        self.assertEqual(self.traffic.sent_bytes, {"TRANSACTIONS": 60})

    def test_every_write_is_counted_under_the_rule_that_let_it_go(self) -> None:
        self.outbox.push(parcel(Priority.CONSENSUS, 10), START)
        self.outbox.take(START)
        self.outbox.push(parcel(Priority.CONSENSUS, 10), START)
        self.outbox.take(START)
        self.outbox.push(parcel(Priority.CONTROL, 10), START)
        self.outbox.take(START)
        self.outbox.push(large(Priority.BULK, 2 * limits.BATCH_BYTES), START)
        self.outbox.take(START)
        rules = {Flush.IDLE: 1, Flush.DEADLINE: 1, Flush.CONTROL: 1, Flush.FULL: 1}
        self.assertEqual(self.traffic.writes, rules)
        self.assertEqual(self.traffic.frames, 5)
        self.assertEqual(self.traffic.largest_write, 2 * limits.BATCH_BYTES)
        self.outbox.take(START)
        self.assertEqual(self.traffic.writes, rules)

    def test_rates_tell_what_is_left_of_the_buckets(self) -> None:
        host = Wire().host(9)
        stranger = open_stranger(host)
        for request in range(1, 6):
            stranger.send(GetPeers(), request_id=request)
        statistics = host.table.statistics(key(66).public)
        assert statistics is not None
        self.assertEqual(statistics.rates["peers"].left, 15)
        self.assertEqual(statistics.throttled_for, 0)
        for request in range(6, 30):
            stranger.send(GetPeers(), request_id=request)
        statistics = host.table.statistics(key(66).public)
        assert statistics is not None
        self.assertEqual(
            (statistics.rates["peers"].left, statistics.throttled_for), (0, limits.THROTTLE_TIME)
        )

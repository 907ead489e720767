"""What has arrived and is not decoded yet: who is next, and when a link is not read ([19], §5.4)."""

from __future__ import annotations

import random
from types import SimpleNamespace

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Stranger, Wire, key
from tests.test_peer_sessions import open_stranger
from tests.test_peer_table import long_reply, news
from timed.bench.samples import Samples
from timed.events import Pause, Resume
from timed.params import REGTEST, SECOND
from timed.peer import limits
from timed.peer.intake import Arrival, Intake, Lanes
from timed.peer.values import Delivery, Incoming, RequestFailed
from timed.primitives.transaction import Lock, Output, Transaction
from timed.wire.catalogue import encode_message
from timed.wire.compression import Packing
from timed.wire.framing import frames_of
from timed.wire.message import Message, Priority
from timed.wire.messages import (
    BlockAnnouncement,
    BlocksResponse,
    GetBlocks,
    GetHeaders,
    GetPendingTransactions,
    GetTransactions,
    Goodbye,
    PendingTransactionsResponse,
    Ping,
    Pong,
    TransactionBroadcast,
    TransactionsResponse,
)

MANY = 4 * limits.TURN_COST // limits.MESSAGE_COST[Priority.TRANSACTIONS]
"""More transactions than a turn works off."""


def payment(number: int, size: int = 100) -> TransactionBroadcast:
    """A transaction of about `size` bytes that tells its number."""
    outputs = (Output(1, Lock(1, bytes(300))),) * (size // 311)
    payload = number.to_bytes(4, "big")
    return TransactionBroadcast(transaction=Transaction.make(inputs=(), outputs=outputs, payload=payload))


def number_of(message: Message) -> int:
    assert isinstance(message, TransactionBroadcast)
    return int.from_bytes(message.transaction.payload[:4], "big")


def stream(*messages: Message, request_id: int = 0) -> bytes:
    frames: list[bytes] = []
    for message in messages:
        number, payload = encode_message(message)
        frames += frames_of(REGTEST.magic, number, payload, request_id=request_id)
    return b"".join(frames)


class IntakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        self.table = self.host.table
        self.strangers = [open_stranger(self.host, 10 + number, 100 + number) for number in range(3)]
        self.host.deliveries.clear()

    def arrives(self, stranger: Stranger, *messages: Message, request_id: int = 0) -> list[Message]:
        """What is delivered in the turn in which these bytes are read; the turn does not end."""
        data = stream(*messages, request_id=request_id)
        return self.messages(self.table.received(stranger.link, data, self.wire.now))

    def next_turn(self) -> list[Message]:
        """What the turn after this one delivers."""
        self.host.call(None)
        return self.messages(self.table.tick(self.wire.now))

    def turns(self, most: int = 10_000) -> list[list[Message]]:
        """What every turn delivers until nothing waits."""
        found = []
        while self.table.intake.waiting:
            self.assertEqual(self.table.next_deadline(), self.wire.now)
            found.append(self.next_turn())
            self.assertLess(len(found), most)
        return found

    def messages(self, deliveries: list[Delivery]) -> list[Message]:
        self.host.deliveries += deliveries
        return [one.message for one in deliveries if isinstance(one, Incoming)]  # type: ignore[misc]


class CompressedTests(SynchronousTestCase):
    def test_an_answer_counts_at_its_length_and_is_expanded_in_its_turn(self) -> None:
        intake = Intake()
        lanes = Lanes(intake, SimpleNamespace())  # type: ignore[arg-type]
        packing, reply = Packing(), PendingTransactionsResponse(1, 500 * (bytes(32),))
        kind, payload = reply.entry(), reply.encode()
        packed = zstandard.compress(payload[:1_000] + random.Random(1).randbytes(1_000) + payload[2_000:])
        payload = packing.unpack(packed, len(payload))
        expanded: list[int] = []

        def unpack(data: bytes, limit: int) -> bytes:
            expanded.append(len(data))
            return packing.unpack(data, limit)

        lanes.unpack = unpack
        for request_id in (1, 2):
            lanes.put(Arrival(kind, packed, request_id, True, len(payload)))
        self.assertEqual((lanes.bytes, intake.bytes, expanded), (2 * len(payload), 2 * len(payload), []))
        for done in (1, 2):
            self.assertIsNotNone(intake.next())
            had = intake._left
            _, message = lanes.step(kind.priority) or (None, None)
            self.assertEqual(message, PendingTransactionsResponse.decode(payload))
            self.assertEqual((expanded, lanes.bytes), (done * [len(packed)], (2 - done) * len(payload)))
            cost = (
                len(payload) + len(payload) // limits.EXPANDED_PER_COST + limits.MESSAGE_COST[kind.priority]
            )
            self.assertEqual(had - intake._left, cost)


class OrderTests(IntakeTests):
    def test_what_a_turn_can_do_is_delivered_in_the_turn_of_its_arrival(self) -> None:
        self.assertEqual(self.arrives(self.strangers[0], payment(1), payment(2)), [payment(1), payment(2)])
        self.assertFalse(self.table.intake.waiting)

    def test_vote_behind_a_flood_of_transactions_is_delivered_first_and_at_once(self) -> None:
        flood = [payment(number) for number in range(MANY)]
        first = self.arrives(self.strangers[0], *flood, news(1))
        self.assertEqual(first[0], news(1))
        self.assertLess(len(first), MANY)

    def test_vote_of_another_peer_does_not_wait_for_anybodys_backlog(self) -> None:
        self.arrives(self.strangers[0], *(payment(number) for number in range(MANY)))
        self.assertEqual(self.arrives(self.strangers[1], news(1)), [news(1)])
        self.host.call(None)
        self.assertEqual(self.arrives(self.strangers[1], news(2))[0], news(2))

    def test_ping_is_answered_while_megabytes_wait(self) -> None:
        """[20]"""
        self.arrives(self.strangers[0], *(payment(number) for number in range(MANY)), Ping(nonce=7, time=0))
        self.host.call(None)
        self.assertTrue(self.table.intake.waiting)
        self.assertIn(7, [one.nonce for one in self.strangers[0].heard() if isinstance(one, Pong)])

    def test_a_class_keeps_its_order(self) -> None:
        first = self.arrives(self.strangers[0], *(payment(number) for number in range(MANY)))
        later = [message for turn in self.turns() for message in turn]
        self.assertEqual([number_of(one) for one in first + later], list(range(MANY)))

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30_000)), max_size=60), st.integers(1, 5_000))
    @settings(deadline=None, max_examples=40)
    def test_everything_is_delivered_once_and_in_order_however_it_is_cut(
        self, what: list[tuple[int, int]], piece: int
    ) -> None:
        world = IntakeTests()
        world.setUp()
        data = [b"", b"", b""]
        for number, (peer, size) in enumerate(what):
            data[peer] += stream(payment(number, size))
        seen: list[Message] = []
        while any(data):
            for peer, stranger in enumerate(world.strangers):
                chunk, data[peer] = data[peer][:piece], data[peer][piece:]
                if chunk:
                    seen += world.messages(world.table.received(stranger.link, chunk, world.wire.now))
            seen += world.next_turn()
        seen += [message for turn in world.turns() for message in turn]
        for peer in range(3):
            expected = [number for number, (whose, _) in enumerate(what) if whose == peer]
            numbers = [one for one in map(number_of, seen) if what[one][0] == peer]
            self.assertEqual(numbers, expected)
        self.assertEqual((world.table.intake.bytes, world.table.overflows), (0, 0))


class ShareTests(IntakeTests):
    def test_a_turn_does_no_more_than_its_budget_and_one_message(self) -> None:
        self.arrives(self.strangers[0], *(payment(number) for number in range(MANY)))
        cost = limits.MESSAGE_COST[Priority.TRANSACTIONS] + len(payment(0).encode())
        for turn in self.turns():
            self.assertLessEqual((len(turn) - 1) * cost, limits.TURN_COST)

    def test_a_turn_does_something_whatever_it_costs(self) -> None:
        data = [payment(number, 90_000) for number in range(4)]
        self.assertEqual(len(self.arrives(self.strangers[0], *data)), 1)
        self.assertEqual([len(turn) for turn in self.turns()], [1, 1, 1])

    def test_long_message_is_decoded_over_several_turns(self) -> None:
        one = payment(0, 2_000).transaction
        message = TransactionsResponse(transactions=(one,) * 256)
        asked = self.table.request(key(10).public, GetTransactions(txids=(one.txid,)), self.wire.now)
        self.assertGreater(len(message.encode()), 4 * limits.TURN_COST)
        self.strangers[0].send(message, request_id=asked or 0, reply=True)
        self.assertEqual(self.arrives(self.strangers[1], payment(1)), [payment(1)])
        turns = self.turns()
        self.assertGreaterEqual(len(turns), len(message.encode()) // (2 * limits.TURN_COST))
        self.assertEqual(turns[-1], [message])

    def test_bulk_has_less_of_a_turn_in_which_bytes_arrived(self) -> None:
        """What was asked for is read first: a vote may be behind it."""
        bodies = [payment(number, 2_000).transaction for number in range(400)]
        block = Samples().block(1)
        block = replace(block, block=replace(block.block, transactions=tuple(bodies)))
        asked = self.table.request(key(10).public, GetBlocks(start=1, count=1), self.wire.now)
        self.strangers[0].send(BlocksResponse(blocks=(block,)), request_id=asked or 0, reply=True)
        waits = self.table.session_with(key(10).public).lanes  # type: ignore[union-attr]
        arrival = waits._queues[Priority.BULK][0]
        self.host.call(None)
        before = arrival.decoded
        self.arrives(self.strangers[1], news(1))
        between = arrival.decoded
        self.assertGreater(between, before)
        self.assertLess(between - before, 2 * limits.READING_BULK_COST)
        self.next_turn()
        self.assertGreaterEqual(arrival.decoded - between, limits.TURN_COST)

    def test_damage_in_a_later_part_of_a_long_message_ends_the_session(self) -> None:
        one = payment(0, 2_000).transaction
        payload = TransactionsResponse(transactions=(one,) * 256).encode()[:-1] + b"\xff\xff"
        asked = self.table.request(key(10).public, GetTransactions(txids=(one.txid,)), self.wire.now) or 0
        number = TransactionsResponse.entry().number
        frames = frames_of(REGTEST.magic, number, payload, request_id=asked, reply=True)
        self.host.call(self.table.received(self.strangers[0].link, b"".join(frames), self.wire.now))
        self.assertEqual(self.host.closed(), [])
        self.turns()
        self.assertEqual([closed.peer.node_id for closed in self.host.closed()], [key(10).public])
        self.assertEqual(self.table.intake.bytes, 0)

    def test_peers_take_turns(self) -> None:
        """A peer that sends little is not behind all that another one has sent."""
        loud, quiet, _ = self.strangers
        self.arrives(loud, *(payment(number) for number in range(MANY)))
        self.arrives(quiet, payment(MANY), payment(MANY + 1))
        first = [number_of(message) for message in self.next_turn()]
        self.assertEqual([number for number in first if number >= MANY], [MANY, MANY + 1])

    def test_every_class_that_waits_has_its_share_of_a_turn(self) -> None:
        one, other, _ = self.strangers
        self.arrives(one, *(payment(number) for number in range(MANY)))
        for number in range(20):
            self.arrives(other, GetHeaders(start=number, count=1), request_id=number + 1)
        turn = self.next_turn() + self.next_turn()
        asked = [message for message in turn if isinstance(message, GetHeaders)]
        self.assertEqual([message.start for message in asked], list(range(len(asked))))
        share = len(asked) * limits.MESSAGE_COST[Priority.QUERIES] / (2 * limits.TURN_COST)
        self.assertGreaterEqual(share, 0.25)
        self.assertLessEqual(share, 0.75)

    def test_a_class_that_had_nothing_to_do_is_owed_nothing(self) -> None:
        one, other, _ = self.strangers
        for _ in range(20):
            self.arrives(one, *(payment(number) for number in range(MANY)))
            self.turns()
        self.arrives(one, *(payment(number) for number in range(MANY)))
        for number in range(40):
            self.arrives(other, GetHeaders(start=number, count=1), request_id=number + 1)
        for _ in range(3):
            self.assertIn(TransactionBroadcast, map(type, self.next_turn()))


class FloodTests(IntakeTests):
    """A stranger asks as fast as its rate allows, and faster."""

    def test_a_turn_answers_few_queries_whatever_was_asked(self) -> None:
        """What a query costs beside its bytes is counted, too: a flood gets no more of a turn than this."""
        flood = self.strangers[0]
        for number in range(limits.SERVED_REQUESTS):
            self.arrives(flood, GetHeaders(start=number, count=1), request_id=number + 1)
        most = limits.TURN_COST // limits.MESSAGE_COST[Priority.QUERIES] + 1
        handled = [len(turn) for turn in self.turns()]
        self.assertLessEqual(max(handled), most)
        self.assertGreater(len(handled), limits.SERVED_REQUESTS // most - 2)

    def test_votes_of_others_are_delivered_in_the_turn_they_come_in_while_a_flood_waits(self) -> None:
        flood, voter, payer = self.strangers
        for number in range(limits.SERVED_REQUESTS):
            self.arrives(flood, GetHeaders(start=number, count=1), request_id=number + 1)
        rounds = 0
        while self.table.intake.waiting:
            self.host.call(None)
            seen = self.arrives(voter, news(rounds))
            self.assertEqual(seen[0], news(rounds))
            seen = self.next_turn() + self.arrives(payer, payment(rounds)) + self.next_turn()
            self.assertIn(payment(rounds), seen)
            rounds += 1
        self.assertGreaterEqual(rounds, 4)

    def test_requests_beyond_those_open_are_not_even_kept(self) -> None:
        flood = self.strangers[0]
        self.table.intake._left = self.table.intake._budget = 0
        for number in range(3 * limits.SERVED_REQUESTS):
            self.arrives(flood, GetHeaders(start=number, count=1), request_id=number + 1)
        statistics = self.table.statistics(key(10).public)
        self.assertEqual(statistics.unread, limits.SERVED_REQUESTS)  # type: ignore[union-attr]


class BackPressureTests(IntakeTests):
    def fill(self, stranger: Stranger, size: int = 90_000) -> int:
        """Send until the link is not read any more; how many messages."""
        sent = 0
        while not any(isinstance(action, Pause) for action in self.host.others):
            self.arrives(stranger, payment(sent, size))
            self.host.execute(self.table.drain(self.wire.now))
            sent += 1
            self.assertLessEqual(sent, limits.INTAKE_MESSAGES + 1)
        return sent

    def hold(self) -> None:
        """Let no turn do anything."""
        self.table.intake._budget = self.table.intake._left = 0

    def test_link_of_a_peer_with_too_much_unread_is_not_read_and_nothing_is_dropped(self) -> None:
        self.hold()
        sent = self.fill(self.strangers[0])
        self.assertEqual(self.host.others, [Pause(self.strangers[0].link)])
        lanes = self.table.session_with(key(10).public).lanes  # type: ignore[union-attr]
        self.assertLess(lanes.bytes, limits.INTAKE_BYTES + 100_000)
        self.table.intake._budget = limits.TURN_COST
        seen: list[int] = []
        while self.table.intake.waiting:
            seen += map(number_of, self.next_turn())
            if any(isinstance(action, Resume) for action in self.host.others):
                self.assertGreater(lanes.bytes, 0)
                break
        self.assertEqual(self.host.others, [Pause(self.strangers[0].link), Resume(self.strangers[0].link)])
        seen += [number_of(message) for turn in self.turns() for message in turn]
        self.assertEqual(seen, list(range(sent)))
        self.assertEqual(self.table.overflows, 0)
        statistics = self.table.statistics(key(10).public)
        self.assertEqual((statistics.pauses, statistics.unread, statistics.paused), (1, 0, False))  # type: ignore[union-attr]

    def test_number_of_small_messages_is_bounded_too(self) -> None:
        self.hold()
        self.assertGreaterEqual(self.fill(self.strangers[0], size=0), limits.INTAKE_MESSAGES)

    def test_bound_for_all_peers_stops_those_who_hold_much(self) -> None:
        self.hold()
        self.table.intake._limit = limits.MIB
        quiet, one, other = self.strangers
        self.arrives(quiet, payment(0))
        for number in range(8):
            self.arrives(one, payment(number, 90_000))
            self.arrives(other, payment(number, 90_000))
        self.host.execute(self.table.drain(self.wire.now))
        self.arrives(quiet, payment(1))
        self.host.execute(self.table.drain(self.wire.now))
        self.assertEqual({action.link for action in self.host.others}, {one.link, other.link})  # type: ignore[attr-defined]

    def test_asked_for_megabytes_do_not_stop_the_votes_of_their_sender(self) -> None:
        self.hold()
        asked = self.table.request(key(10).public, GetPendingTransactions(), self.wire.now)
        self.strangers[0].send(long_reply(), request_id=asked or 0, reply=True)
        self.assertEqual(self.host.others, [])
        self.assertEqual(self.arrives(self.strangers[0], news(1)), [news(1)])


class EndTests(IntakeTests):
    def asked(self) -> int:
        request = self.table.request(key(10).public, GetPendingTransactions(), self.wire.now)
        assert request is not None
        return request

    def test_goodbye_ends_the_session_though_messages_wait(self) -> None:
        first = self.arrives(self.strangers[0], *(payment(n) for n in range(MANY)), Goodbye("stopping", ""))
        self.assertEqual(first, [])
        self.assertEqual([closed.reason for closed in self.host.closed()], ["stopping"])
        self.assertEqual([message for turn in self.turns() for message in turn], [])
        self.assertEqual(self.table.intake.bytes, 0)

    def test_request_whose_answer_was_not_read_when_the_session_ended_fails(self) -> None:
        request = self.asked()
        self.table.intake._left = 0
        self.strangers[0].send(long_reply(), request_id=request, reply=True)
        self.assertEqual(self.host.failed(), [])
        self.host.call(self.table.disconnected(self.strangers[0].link, "closed", self.wire.now))
        failed = [(one.request_id, one.reason) for one in self.host.failed()]
        self.assertIn((request, "session-closed"), failed)
        self.assertEqual(len(failed), len({number for number, _ in failed}))

    def test_answer_that_came_in_time_does_not_expire_while_it_waits(self) -> None:
        request = self.asked()
        self.table.intake._left = self.table.intake._budget = 0
        self.strangers[0].send(long_reply(100), request_id=request, reply=True)
        self.wire.now += limits.REQUEST_DEADLINE_MAX + SECOND
        self.host.call(self.table.tick(self.wire.now))
        self.assertNotIn(RequestFailed, [type(one) for one in self.host.deliveries])
        self.table.intake._budget = limits.TURN_COST
        self.turns()
        self.assertIn(PendingTransactionsResponse, map(type, self.host.incoming()))

    def test_error_in_a_later_turn_ends_its_session_alone(self) -> None:
        bad, good, _ = self.strangers
        broken = frames_of(REGTEST.magic, TransactionBroadcast.entry().number, b"\x01")[0]
        data = stream(*(payment(number) for number in range(MANY))) + broken + stream(payment(MANY))
        self.messages(self.table.received(bad.link, data, self.wire.now))
        self.assertEqual(self.host.closed(), [])
        self.arrives(good, payment(MANY + 1))
        seen = [number_of(message) for turn in self.turns() for message in turn]
        self.assertIn(MANY + 1, seen)
        self.assertNotIn(MANY, seen)
        self.assertEqual([closed.peer.node_id for closed in self.host.closed()], [key(10).public])
        self.assertEqual(sum(self.table.violations.values()), 1)

    def test_nothing_is_delivered_before_the_session_is_open(self) -> None:
        host = self.wire.host(2)
        stranger = Stranger(host, number=20, link=300)
        stranger.send(payment(1))
        self.assertEqual(host.incoming(), [])
        self.assertEqual(host.table.violations["handshake-order"], 1)

    def test_a_late_vote_is_not_lost_with_the_backlog_of_the_session(self) -> None:
        """What is urgent was delivered when it came; the end takes the rest."""
        first = self.arrives(self.strangers[0], *(payment(number) for number in range(MANY)), news(5))
        self.host.call(self.table.disconnected(self.strangers[0].link, "closed", self.wire.now))
        later = [message for turn in self.turns() for message in turn]
        self.assertEqual([one for one in first + later if isinstance(one, BlockAnnouncement)], [news(5)])

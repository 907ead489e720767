"""What the node says to its peers: once encoded, in order, bounded, answered."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import DELAY, START, Stranger, Wire, identity, key
from tests.test_peer_sessions import NEWS, handshake_of, open_stranger
from timed.errors import LocalError
from timed.events import PeerBanned, Write
from timed.params import SECOND
from timed.peer import limits
from timed.peer.discovery import ANCHORS
from timed.peer.retention import reference
from timed.peer.values import PeerAddress
from timed.primitives.certificate import BlockCertificate
from timed.primitives.transaction import Transaction
from timed.wire.message import Message
from timed.wire.messages import (
    Ack,
    BlockAnnouncement,
    BlockCommit,
    BlocksResponse,
    GetBlocks,
    GetPendingTransactions,
    GetTransactions,
    PeersResponse,
    PendingTransactionsResponse,
    Ping,
    Pong,
    TransactionBroadcast,
    TransactionsResponse,
)


def news(number: int) -> BlockAnnouncement:
    return BlockAnnouncement(height=number, hash=bytes(32))


def gossip() -> TransactionBroadcast:
    return TransactionBroadcast(transaction=Transaction.make(inputs=(), outputs=(), payload=bytes(1_000)))


def commit(height: int = 1) -> BlockCommit:
    certificate = BlockCertificate(
        chain_id=3, height=height, round=0, target=bytes(32), roster=bytes(32), bitmap=b"", signatures=()
    )
    return BlockCommit(certificate=certificate)


def long_reply(txids: int = 60_000) -> PendingTransactionsResponse:
    """About two million bytes."""
    return PendingTransactionsResponse(
        epoch=1, txids=tuple(number.to_bytes(32, "big") for number in range(txids))
    )


class SendTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)

    def strangers(self, count: int) -> list[Stranger]:
        return [open_stranger(self.host, 10 + n, 100 + n) for n in range(count)]

    def test_broadcast_to_50_peers_encodes_once(self) -> None:
        """[18]"""
        strangers = self.strangers(50)
        before = self.host.table.encoder.encodes
        self.assertEqual(self.host.table.broadcast(NEWS), 50)
        self.host.call(None)
        self.assertEqual(self.host.table.encoder.encodes, before + 1)
        for stranger in strangers:
            self.assertEqual(stranger.heard(), [NEWS])

    def test_broadcast_to_plain_and_tls_links_encodes_once(self) -> None:
        """[18]"""
        self.strangers(2)
        before = self.host.table.encoder.encodes
        plain = Stranger(self.host, number=80, link=500, tls=False)
        (theirs,) = plain.heard()
        plain.send(handshake_of(self.host, 80))
        plain.send(Ack(number=1, reference=reference(theirs.encode())))
        plain.heard()
        encodes = self.host.table.encoder.encodes
        self.assertGreater(encodes, before)
        self.assertEqual(self.host.table.broadcast(NEWS), 3)
        self.host.call(None)
        self.assertEqual(self.host.table.encoder.encodes, encodes + 1)
        self.assertEqual(plain.heard(), [NEWS])

    def test_broadcast_to_nobody_encodes_nothing(self) -> None:
        before = self.host.table.encoder.encodes
        self.assertEqual(self.host.table.broadcast(NEWS), 0)
        self.assertEqual(self.host.table.encoder.encodes, before)

    def test_broadcast_may_name_or_leave_out_peers(self) -> None:
        one, two, three = self.strangers(3)
        ids = [key(10 + n).public for n in range(3)]
        self.assertEqual(self.host.table.broadcast(news(1), to=[*ids[:2], key(99).public]), 2)
        self.assertEqual(self.host.table.broadcast(news(2), exclude=ids[0]), 2)
        self.assertEqual(self.host.table.broadcast(news(3), exclude=ids[:2]), 1)
        self.host.call(None)
        self.assertEqual([message.height for message in one.heard()], [1])  # type: ignore[attr-defined]
        self.assertEqual([message.height for message in two.heard()], [1, 2])  # type: ignore[attr-defined]
        self.assertEqual([message.height for message in three.heard()], [2, 3])  # type: ignore[attr-defined]

    def test_a_turn_is_one_write_per_link(self) -> None:
        (stranger,) = self.strangers(1)
        messages = [news(number) for number in range(100)]
        self.host.table.send_batch_to_peer(key(10).public, messages)
        self.host.call(None)
        writes = [write for write in self.host.writes if write.link == stranger.link]
        self.assertEqual(len(writes), 1)
        self.assertEqual(stranger.heard(), messages)

    def test_batch_keeps_its_order(self) -> None:
        (stranger,) = self.strangers(1)
        for number in range(10):
            self.host.table.broadcast(news(number))
        self.host.call(None)
        self.assertEqual([m.height for m in stranger.heard()], list(range(10)))  # type: ignore[attr-defined]

    def test_vote_stands_within_32_kib_of_a_message_of_megabytes(self) -> None:
        (stranger,) = self.strangers(1)
        stranger.send(GetPendingTransactions(), request_id=5)
        self.host.table.send_to_peer(key(10).public, long_reply(), reply_to=5)
        self.host.call(None)
        self.host.writes.clear()
        self.host.table.send_to_peer(key(10).public, NEWS)
        self.host.table.drained(stranger.link, self.wire.now)
        self.host.call(None)
        data = b"".join(write.data for write in self.host.writes)
        self.assertIn(NEWS.encode(), data[: 32 * 1024])

    def test_pong_leaves_in_the_same_turn_though_megabytes_are_queued(self) -> None:
        """[20]"""
        (stranger,) = self.strangers(1)
        stranger.send(GetPendingTransactions(), request_id=5)
        self.host.table.send_to_peer(key(10).public, long_reply(), reply_to=5)
        self.host.call(None)
        self.host.writes.clear()
        stranger.send(Ping(nonce=77, time=0))
        (write,) = self.host.writes
        self.assertIn(Pong(nonce=77, time=self.wire.now).encode()[:8], write.data)

    def test_long_message_arrives_whole(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2)
        wire.run(SECOND)
        request = a.table.request(b.node_id, GetPendingTransactions(), wire.now)
        a.call(None)
        wire.run(SECOND // 10)
        self.assertTrue(b.table.send_to_peer(a.node_id, long_reply(), reply_to=request))
        b.call(None)
        wire.run(SECOND)
        self.assertEqual(a.incoming(), [long_reply()])


class BoundTests(SynchronousTestCase):
    """[19]"""

    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        self.slow = open_stranger(self.host, 10, 100)
        self.quick = open_stranger(self.host, 11, 101)

    def test_64_kib_at_most_are_handed_to_a_transport_that_does_not_drain(self) -> None:
        self.slow.send(GetPendingTransactions(), request_id=5)
        self.host.table.send_to_peer(key(10).public, long_reply(), reply_to=5)
        for _ in range(20):
            self.host.call(None)
            self.wire.run(SECOND // 10)
        handed = sum(len(write.data) for write in self.host.writes if write.link == self.slow.link)
        self.assertLessEqual(handed, limits.AHEAD_BYTES)

    def test_stalled_peer_costs_nothing_to_the_others(self) -> None:
        """It loses gossip, then its session; everybody else gets everything in order."""
        heard = []
        for number in range(6_000):
            self.host.table.broadcast(gossip())
            self.host.table.broadcast(news(number))
            self.host.call(None)
            heard += self.quick.heard()
        votes = [message.height for message in heard if isinstance(message, BlockAnnouncement)]
        self.assertEqual(votes, list(range(6_000)))
        self.assertEqual(len(heard), 12_000)
        statistics = self.host.table.statistics(key(10).public)
        self.assertGreater(statistics.dropped, 0)  # type: ignore[union-attr]
        for queue in statistics.queues:  # type: ignore[union-attr]
            self.assertLessEqual(queue.bytes, limits.PEER_QUEUE_BYTES)

    def test_peer_that_does_not_take_what_must_arrive_is_closed_not_cheated(self) -> None:
        sent = 0
        while self.host.table.send_to_peer(key(10).public, commit(sent)):
            self.host.call(None)
            sent += 1
        self.host.call(None)
        closed = self.host.closed()
        self.assertEqual([(c.reason, c.unwanted) for c in closed], [("overflow", True)])
        self.assertTrue(self.host.closes[-1].abort)
        self.assertEqual(self.host.table.overflows, 1)
        self.assertGreater(sent * len(commit().encode()), limits.MIB)
        self.assertEqual(len(self.host.table.peers()), 1)

    def test_votes_beside_replies_that_fill_the_queue_keep_the_session(self) -> None:
        """A vote is not lost, and costs nobody the session, because long replies wait (§5.5)."""
        for request_id in (5, 6, 7):
            self.slow.send(GetPendingTransactions(), request_id=request_id)
            self.host.table.send_to_peer(key(10).public, long_reply(65_400), reply_to=request_id)
        votes = [news(number) for number in range(200)]
        self.assertLess(self.host.table.room(key(10).public), sum(len(vote.encode()) for vote in votes))
        self.assertEqual(self.host.table.send_batch_to_peer(key(10).public, votes), 200)
        heard: list[Message] = []
        for _ in range(200):
            self.host.call(None)
            heard += self.slow.heard()
        self.assertEqual([type(message) for message in heard].count(PendingTransactionsResponse), 3)
        self.assertEqual([message for message in heard if isinstance(message, BlockAnnouncement)], votes)
        self.assertEqual(self.host.table.overflows, 0)

    def test_room_tells_when_bulk_may_be_made(self) -> None:
        self.assertEqual(self.host.table.room(key(10).public), limits.PEER_QUEUE_BYTES)
        self.slow.send(GetPendingTransactions(), request_id=5)
        self.host.table.send_to_peer(key(10).public, long_reply(), reply_to=5)
        self.assertLess(self.host.table.room(key(10).public), limits.PEER_QUEUE_BYTES - limits.MIB)
        self.assertEqual(self.host.table.room(key(10).public, urgent=True), limits.URGENT_QUEUE_BYTES)
        self.assertEqual(self.host.table.room(key(99).public), 0)
        self.host.table.budget.limit = self.host.table.budget.held - 1
        self.assertEqual(self.host.table.room(key(11).public), 0)

    def test_bound_for_all_peers_closes_the_fullest(self) -> None:
        self.host.table.budget.limit = 3 * limits.MIB
        self.slow.send(GetPendingTransactions(), request_id=5)
        self.host.table.send_to_peer(key(10).public, long_reply(), reply_to=5)
        self.assertEqual(self.host.table.overflows, 0)
        self.quick.send(GetPendingTransactions(), request_id=5)
        self.host.table.send_to_peer(key(11).public, long_reply(50_000), reply_to=5)
        self.host.call(None)
        self.assertEqual([closed.peer.node_id for closed in self.host.closed()], [key(10).public])
        self.assertLessEqual(self.host.table.budget.held, 3 * limits.MIB)

    def test_bound_for_all_peers_costs_the_fullest_gossip_first_and_no_more_than_it_must(self) -> None:
        table = self.host.table
        for _ in range(20):
            table.broadcast(gossip(), to=[key(10).public])
        table.budget.limit = table.budget.held
        self.assertTrue(table.send_to_peer(key(11).public, news(1)))
        known = [table.statistics(key(number).public) for number in (10, 11)]
        self.assertEqual([each.dropped for each in known if each], [1, 0])
        self.assertEqual((table.overflows, table.budget.exceeded), (0, False))


class RequestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.a, self.b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)

    def ask(self, message: object = None) -> int:
        request = self.a.table.request(self.b.node_id, message or GetBlocks(start=1, count=1), self.wire.now)  # type: ignore[arg-type]
        self.a.call(None)
        return request

    def test_answer_carries_the_id_of_its_request(self) -> None:
        request = self.ask()
        self.wire.run(SECOND)
        (incoming,) = self.b.deliveries[1:]
        self.assertEqual((incoming.request_id, incoming.is_reply), (request, False))  # type: ignore[union-attr]
        self.b.table.send_to_peer(self.a.node_id, BlocksResponse(blocks=()), reply_to=request)
        self.b.call(None)
        self.wire.run(SECOND)
        (answer,) = self.a.deliveries[1:]
        self.assertEqual((answer.request_id, answer.is_reply), (request, True))  # type: ignore[union-attr]
        self.assertEqual(answer.message, BlocksResponse(blocks=()))  # type: ignore[union-attr]

    def test_request_without_an_answer_fails_between_2_and_64_seconds(self) -> None:
        waits = []
        for _ in range(8):
            request = self.ask()
            start = self.wire.now
            while not any(failed.request_id == request for failed in self.a.failed()):
                self.wire.run(SECOND // 4)
            waits.append((self.wire.now - start) // SECOND)
            self.assertEqual(self.a.failed()[-1].reason, "timeout")
        self.assertEqual(waits, sorted(waits))
        self.assertGreaterEqual(waits[0], 2)
        self.assertLessEqual(waits[-1], 64)
        self.assertGreaterEqual(waits[-1], 63)

    def test_deadline_follows_quick_answers_down_to_2_seconds(self) -> None:
        for _ in range(5):
            request = self.ask()
            self.wire.run(SECOND)
            self.b.table.send_to_peer(self.a.node_id, BlocksResponse(blocks=()), reply_to=request)
            self.b.call(None)
            self.wire.run(2 * DELAY)
        request = self.ask()
        self.wire.run(9 * SECOND)
        self.assertEqual([failed.request_id for failed in self.a.failed()], [request])

    def test_late_answer_is_no_violation_and_not_delivered(self) -> None:
        request = self.ask()
        self.wire.run(70 * SECOND)
        self.assertEqual(len(self.a.failed()), 1)
        self.b.table.send_to_peer(self.a.node_id, BlocksResponse(blocks=()), reply_to=request)
        self.b.call(None)
        self.wire.run(SECOND)
        self.assertEqual(self.a.incoming(), [])
        self.assertEqual(self.a.table.conduct.counts["late-reply"], 1)
        self.assertEqual(self.a.table.statistics(self.b.node_id).score, 0)  # type: ignore[union-attr]

    def test_answer_of_the_wrong_type_ends_the_session(self) -> None:
        request = self.ask()
        self.wire.run(SECOND)
        self.b.table.send_to_peer(self.a.node_id, PeersResponse(peers=()), reply_to=request)
        self.b.call(None)
        self.wire.run(SECOND // 10)
        self.assertEqual([closed.reason for closed in self.a.closed()], ["wrong-reply"])
        self.assertEqual(self.a.table.conduct.counts["wrong-reply"], 1)
        self.assertEqual([failed.request_id for failed in self.a.failed()], [request])

    def test_requests_of_a_session_that_ends_fail(self) -> None:
        requests = [self.ask() for _ in range(40)]
        (end,) = self.wire.links_between(self.a, self.b)
        self.a.call(self.a.table.disconnected(end.link, "connection-lost", self.wire.now))
        self.assertEqual([failed.request_id for failed in self.a.failed()], requests)
        self.assertEqual({failed.reason for failed in self.a.failed()}, {"session-closed"})

    def test_window_of_the_peer_is_kept(self) -> None:
        requests = [self.ask() for _ in range(limits.REQUEST_WINDOW + 5)]
        self.wire.run(SECOND)
        self.assertEqual(len(self.b.incoming()), limits.REQUEST_WINDOW)
        for request in requests[:5]:
            self.b.table.send_to_peer(self.a.node_id, BlocksResponse(blocks=()), reply_to=request)
        self.b.call(None)
        self.wire.run(SECOND)
        self.assertEqual(len(self.b.incoming()), len(requests))

    def test_node_wakes_when_an_answer_is_due(self) -> None:
        request = self.ask()
        self.wire.run(limits.REQUEST_DEADLINE_FIRST)
        self.assertEqual([failed.request_id for failed in self.a.failed()], [request])

    def test_question_that_is_given_up_makes_room_for_one_that_waits(self) -> None:
        for _ in range(limits.REQUEST_WINDOW + 1):
            self.ask()
        self.wire.run(limits.REQUEST_DEADLINE_FIRST + SECOND)
        self.assertEqual(len(self.b.incoming()), limits.REQUEST_WINDOW + 1)

    def test_ids_go_round_and_leave_out_0(self) -> None:
        self.a.table._last_request = 2**32 - 2
        self.assertEqual([self.ask() for _ in range(2)], [2**32 - 1, 1])

    def test_nobody_can_be_asked_without_a_session(self) -> None:
        self.assertFalse(self.a.table.ping(key(50).public, self.wire.now))
        self.assertTrue(self.a.table.ping(self.b.node_id, self.wire.now))
        self.assertIsNone(self.a.table.request(key(50).public, GetBlocks(start=1, count=1), self.wire.now))

    def test_backlog_is_bounded(self) -> None:
        table = self.a.table
        asked = [
            table.request(self.b.node_id, GetTransactions(txids=()), self.wire.now) for _ in range(2_000)
        ]
        self.assertEqual(asked.count(None), 2_000 - limits.REQUEST_WINDOW - limits.REQUEST_BACKLOG)

    def test_what_nobody_answers_cannot_be_asked(self) -> None:
        with self.assertRaises(LocalError):
            self.a.table.request(self.b.node_id, NEWS, self.wire.now)

    def test_answers_in_another_order_find_their_requests(self) -> None:
        first, second = self.ask(), self.ask(GetTransactions(txids=()))
        self.wire.run(SECOND)
        self.b.table.send_to_peer(self.a.node_id, TransactionsResponse(transactions=()), reply_to=second)
        self.b.table.send_to_peer(self.a.node_id, BlocksResponse(blocks=()), reply_to=first)
        self.b.call(None)
        self.wire.run(SECOND)
        ids = [d.request_id for d in self.a.deliveries[1:]]  # type: ignore[union-attr]
        self.assertEqual(ids, [second, first])


class AcknowledgementTests(SynchronousTestCase):
    """`requires_ack`: kept until acknowledged, sent again after a reconnect, bounded."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.a, self.b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)

    def test_acknowledged_message_is_forgotten(self) -> None:
        self.a.table.send_to_peer(self.b.node_id, commit())
        self.assertEqual(len(self.a.table.retention), 1)
        self.a.call(None)
        self.wire.run(SECOND)
        self.assertEqual(self.b.incoming(), [commit()])
        self.assertEqual(len(self.a.table.retention), 0)
        self.assertEqual(self.a.table.conduct.counts["unknown-ack"], 0)

    def test_lost_message_is_sent_again_on_the_next_session(self) -> None:
        (end,) = self.wire.links_between(self.a, self.b)
        end.deaf = True
        for height in range(3):
            self.a.table.send_to_peer(self.b.node_id, commit(height))
        self.a.table.send_to_peer(self.b.node_id, NEWS)
        self.a.call(None)
        self.wire.run(SECOND)
        self.wire.cut(end)
        self.wire.run(2 * SECOND)
        self.assertEqual(self.b.incoming(), [commit(height) for height in range(3)])
        self.assertEqual(len(self.a.table.retention), 0)

    def test_broadcast_keeps_it_for_every_peer_and_encodes_once(self) -> None:
        host = self.wire.host(9)
        for number in range(5):
            open_stranger(host, 20 + number, 200 + number)
        before = host.table.encoder.encodes
        host.table.broadcast(commit())
        self.assertEqual(host.table.encoder.encodes, before + 1)
        self.assertEqual(len(host.table.retention), 5)

    def test_what_is_never_acknowledged_is_forgotten_in_time(self) -> None:
        (end,) = self.wire.links_between(self.a, self.b)
        end.deaf = True
        self.a.table.send_to_peer(self.b.node_id, commit())
        self.a.call(None)
        self.wire.run(limits.RETAINED_AGE + 2 * SECOND)
        self.assertEqual(len(self.a.table.retention), 0)
        self.assertEqual(self.a.table.retention.forgotten, 1)

    def test_retention_is_bounded(self) -> None:
        for height in range(limits.RETAINED_MESSAGES + 10):
            self.a.table.send_to_peer(self.b.node_id, commit(height))
        self.assertEqual(len(self.a.table.retention), limits.RETAINED_MESSAGES)


class WishTests(SynchronousTestCase):
    """Addresses to dial, and what a later process is told of them."""

    def setUp(self) -> None:
        self.wire = Wire()
        for number in range(2, 10):
            self.wire.host(number)

    def test_address_is_dialled_once_as_long_as_there_are_not_too_many(self) -> None:
        host = self.wire.host(1)
        self.assertTrue(host.table.try_once("10.0.0.2", 7000))
        host.call([])
        self.wire.run(SECOND)
        self.assertEqual([peer.node_id for peer in host.table.peers()], [key(2).public])
        for number in range(limits.WANTED_ADDRESSES):
            host.table.try_once("10.9.0.1", 1 + number)
        self.assertFalse(host.table.try_once("10.9.0.2", 7000))
        self.assertFalse(host.table.want("10.9.0.2", 7000))
        self.assertTrue(host.table.want("10.9.0.1", 1))

    def test_anchors_are_some_of_those_that_answered_where_they_were_dialled(self) -> None:
        host = self.wire.host(1, wanted=range(2, 10))
        open_stranger(host, 60, 100)
        accepted = Stranger(host, number=70, link=200, outbound=True)
        accepted.send(handshake_of(host, 70, outbound=False))
        self.assertEqual(host.table.remembered().anchors, ())
        self.wire.run(SECOND)
        anchors = host.table.remembered().anchors
        self.assertEqual(len(anchors), ANCHORS)
        self.assertTrue({anchor.host for anchor in anchors} <= {f"10.0.0.{n}" for n in range(2, 10)})
        for _ in range(2):
            host.call(host.table.stop(self.wire.now))
            self.assertEqual((host.table.peers(), host.table.remembered().anchors), ((), anchors))
        self.assertFalse(host.table.seeking(self.wire.now))

    def test_seed_is_dialled_unless_somebody_is_linked_at_its_address(self) -> None:
        host = self.wire.host(1, wanted=[2])
        self.wire.run(SECOND)
        host.table.forget("10.0.0.2", 7000)
        for linked in (True, False):
            host.table.try_seed(PeerAddress("10.0.0.2", 7000, None), self.wire.now)
            self.assertEqual(len(list(host.table.dialing)), 0 if linked else 1)
            host.table.disconnect(key(2).public, "operator", self.wire.now)


class StatisticsTests(SynchronousTestCase):
    def test_numbers_of_a_session(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2], identity=identity(1, operator=True)), wire.host(2)
        wire.run(SECOND)
        a.table.send_to_peer(b.node_id, NEWS)
        a.call(None)
        wire.run(60 * SECOND)
        one, other = a.table.statistics(b.node_id), b.table.statistics(a.node_id)
        self.assertEqual(one.bytes_sent, other.bytes_received)  # type: ignore[union-attr]
        self.assertEqual(other.received["BlockAnnouncement"], 1)  # type: ignore[union-attr]
        self.assertEqual(other.operator, key(101).public)  # type: ignore[union-attr]
        self.assertIsNone(a.table.statistics(key(9).public))

    def test_news_count_for_who_brought_them_alone(self) -> None:
        host = Wire().host(1)
        for number in (10, 11):
            open_stranger(host, number, number)
        host.table.useful(key(10).public, START + 7)
        host.table.useful(key(11).public, START + 8, block=True)
        for block in (False, True):
            host.table.useful(key(99).public, START + 9, block=block)
        known = [host.table.statistics(key(number).public) for number in (10, 11)]
        self.assertEqual(
            [(each.last_transaction, each.last_block) for each in known if each],
            [(START + 7, 0), (0, START + 8)],
        )

    def test_ban_is_told_with_its_reason_and_its_seconds(self) -> None:
        host = Wire().host(1)
        open_stranger(host).send_bytes(b"\xff" * 16)
        for link in range(1, 9):
            open_stranger(host, link=link).send_bytes(b"\xff" * 16)
            banned = [event for event in host.events if isinstance(event, PeerBanned)]
            if banned:
                break
        (ban,) = banned
        self.assertEqual((ban.node_id, ban.address, ban.seconds), (key(66).public, "192.0.2.1", 600))

    def test_totals_never_go_back(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2)
        wire.run(SECOND)
        before = a.table.traffic()
        self.assertGreater(before.bytes_sent, 0)
        a.table.disconnect(b.node_id, "operator", wire.now)
        a.call(None)
        after = a.table.traffic()
        self.assertGreaterEqual(after.bytes_sent, before.bytes_sent)
        self.assertEqual(after.received, before.received)

    def test_same_seed_same_bytes(self) -> None:
        """Everything but what was passed in is determined."""

        def play() -> list[Write]:
            wire = Wire(seed=3)
            hosts = [wire.host(n, wanted=[m for m in range(1, 5) if m != n]) for n in range(1, 5)]
            wire.run(100 * SECOND)
            return [write for host in hosts for write in host.writes]

        self.assertEqual(play(), play())

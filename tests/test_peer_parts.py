"""The small machines behind the sessions, each by itself."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import peer_harness as harness
from tests.peer_harness import START, identity
from timed.errors import Refused
from timed.params import REGTEST, SECOND, WIRE_VERSION_MIN
from timed.peer import greeting, limits
from timed.peer.agenda import Agenda
from timed.peer.encoder import Encoder, Form
from timed.peer.requests import Match, Patience, Requests, Served
from timed.peer.retention import Retention
from timed.wire.catalogue import MESSAGES
from timed.wire.message import Priority
from timed.wire.messages import GetBlocks

PEER, OTHER = bytes(32), b"\x01" * 32


class AgendaTests(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["set", "earlier", "remove", "take"]), st.integers(0, 5), st.integers(0, 99)
            )
        )
    )
    @settings(deadline=None, max_examples=100)
    def test_agrees_with_a_dictionary(self, steps: list[tuple[str, int, int]]) -> None:
        agenda, plain = Agenda(), {}
        for what, key, when in steps:
            if what == "set":
                agenda.set(key, when)
                plain[key] = when
            elif what == "earlier":
                agenda.earlier(key, when)
                plain[key] = min(when, plain.get(key, when))
            elif what == "remove":
                agenda.set(key, None)
                plain.pop(key, None)
            else:
                taken = agenda.take(when)
                self.assertEqual(sorted(taken), sorted(k for k, due in plain.items() if due <= when))  # type: ignore[type-var]
                plain = {k: due for k, due in plain.items() if due > when}
            self.assertEqual(agenda.next(), min(plain.values(), default=None))

    def test_outdated_entries_do_not_pile_up(self) -> None:
        agenda = Agenda()
        for step in range(10_000):
            agenda.set("link", 1_000_000 - step)
            agenda.set("link", 2_000_000 + step)
        self.assertLess(agenda.size, 1_000)
        self.assertEqual(agenda.next(), 2_009_999)

    def test_keys_come_in_the_order_of_their_deadlines(self) -> None:
        agenda = Agenda()
        for key, when in (("c", 3), ("a", 1), ("b", 2)):
            agenda.set(key, when)
        self.assertEqual(agenda.take(2), ["a", "b"])
        self.assertEqual(agenda.take(9), ["c"])


class PatienceTests(SynchronousTestCase):
    @given(st.lists(st.one_of(st.none(), st.integers(0, 200 * SECOND)), max_size=60))
    @settings(deadline=None, max_examples=100)
    def test_deadline_stays_between_2_and_64_seconds(self, answers: list[int | None]) -> None:
        patience = Patience()
        for elapsed in answers:
            if elapsed is None:
                patience.expired()
            else:
                patience.answered(elapsed)
            deadline = patience.deadline()
            self.assertTrue(limits.REQUEST_DEADLINE_MIN <= deadline <= limits.REQUEST_DEADLINE_MAX)

    def test_slow_answers_are_waited_for(self) -> None:
        patience = Patience()
        for _ in range(20):
            patience.answered(10 * SECOND)
        self.assertGreaterEqual(patience.deadline(), 20 * SECOND)

    def test_deadline_is_twice_the_mean_and_four_times_the_deviation(self) -> None:
        """They follow what comes by an eighth and by a quarter, as TCP's do."""
        patience = Patience()
        for elapsed, deadline in ((8_000_000, 32_000_000), (8_000_000, 28_000_000), (16_000_000, 35_000_000)):
            patience.answered(elapsed)
            self.assertEqual(patience.deadline(), deadline)

    def test_five_expiries_of_the_quickest_come_to_the_maximum_and_an_answer_forgives_them(self) -> None:
        patience = Patience()
        patience.answered(1)
        for _ in range(5):
            self.assertLess(patience.deadline(), limits.REQUEST_DEADLINE_MAX)
            patience.expired()
        self.assertEqual(patience.deadline(), limits.REQUEST_DEADLINE_MAX)
        patience.answered(1)
        self.assertEqual(patience.deadline(), limits.REQUEST_DEADLINE_MIN)

    def test_each_expiry_doubles(self) -> None:
        patience = Patience()
        deadlines = [patience.deadline()]
        for _ in range(3):
            patience.expired()
            deadlines.append(patience.deadline())
        self.assertEqual(deadlines, [8 * SECOND, 16 * SECOND, 32 * SECOND, 64 * SECOND])


class RequestsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.encoder = Encoder(REGTEST.magic)
        self.requests = Requests(2)

    def ask(self, request_id: int) -> bool:
        encoded = self.encoder.encode(GetBlocks(start=1, count=1), request_id=request_id)
        return self.requests.ask(request_id, "BlocksResponse", Priority.BULK, encoded)

    def test_window_holds_back_and_an_answer_lets_go(self) -> None:
        for request_id in (1, 2, 3):
            self.ask(request_id)
        self.assertEqual(len(self.requests), 3)
        self.assertEqual([e.request_id for e in self.requests.send(0, 0)], [1, 2])
        self.assertIs(self.requests.match(1, "BlocksResponse", SECOND), Match.ASKED)
        self.assertEqual(len(self.requests), 2)
        self.assertEqual([e.request_id for e in self.requests.send(SECOND, 0)], [3])
        self.assertEqual(len(self.requests), 2)

    def test_matches(self) -> None:
        self.ask(1)
        self.requests.send(0, 0)
        self.assertIs(self.requests.match(9, "BlocksResponse", 0), Match.UNASKED)
        self.assertIs(self.requests.match(1, "PeersResponse", 0), Match.WRONG)
        self.assertEqual(self.requests.expire(limits.REQUEST_DEADLINE_FIRST, 0), [1])
        self.assertIs(self.requests.match(1, "BlocksResponse", 9 * SECOND), Match.LATE)
        self.assertIs(self.requests.match(1, "BlocksResponse", 9 * SECOND), Match.UNASKED)

    def test_what_is_waited_for(self) -> None:
        self.ask(1)
        self.assertFalse(self.requests.expects(1))
        self.requests.send(0, 0)
        self.assertEqual([self.requests.expects(n) for n in (1, 9)], [True, False])
        self.assertEqual(
            [self.requests.awaits(name) for name in ("BlocksResponse", "PeersResponse")], [True, False]
        )
        self.requests.expire(limits.REQUEST_DEADLINE_FIRST, 0)
        self.assertFalse(self.requests.expects(1))
        self.assertTrue(self.requests.awaits("BlocksResponse"))
        self.requests.match(1, "BlocksResponse", 9 * SECOND)
        self.assertFalse(self.requests.awaits("BlocksResponse"))

    def test_an_answer_teaches_be_it_late(self) -> None:
        """The next deadline is four times what the only answer took."""
        for late in (False, True):
            self.requests = Requests(1)
            self.ask(1)
            self.requests.send(5 * SECOND, 0)
            if late:
                self.requests.expire(5 * SECOND + limits.REQUEST_DEADLINE_FIRST, 0)
            self.requests.match(1, "BlocksResponse", 14 * SECOND)
            self.ask(2)
            self.requests.send(20 * SECOND, 0)
            self.assertEqual(self.requests.next_deadline(), (20 + 4 * 9) * SECOND)

    def test_next_deadline_is_the_first(self) -> None:
        for request_id in (1, 2):
            self.ask(request_id)
            self.requests.send(request_id * SECOND, 0)
        self.assertEqual(self.requests.next_deadline(), SECOND + limits.REQUEST_DEADLINE_FIRST)

    def test_long_answer_that_arrives_is_waited_for_up_to_64_seconds(self) -> None:
        self.ask(1)
        self.requests.send(0, 0)
        received = limits.MIB
        now = limits.REQUEST_DEADLINE_FIRST + SECOND
        while not self.requests.expire(now, received):
            received += limits.MIB
            now = self.requests.next_deadline() or 0
        self.assertEqual(now, limits.REQUEST_DEADLINE_MAX)

    def test_usual_chatter_is_no_progress(self) -> None:
        self.ask(1)
        self.requests.send(0, 0)
        self.assertEqual(self.requests.expire(limits.REQUEST_DEADLINE_FIRST, 32 * 1024 - 1), [1])

    def test_32_kib_of_an_answer_buy_2_seconds(self) -> None:
        self.ask(1)
        self.requests.send(0, 0)
        self.assertEqual(self.requests.expire(limits.REQUEST_DEADLINE_FIRST, 32 * 1024), [])
        due = limits.REQUEST_DEADLINE_FIRST + 2 * SECOND
        self.assertEqual(self.requests.next_deadline(), due)
        self.assertEqual(self.requests.expire(due, 64 * 1024 - 1), [1])

    def test_end_of_the_session_names_every_request_once(self) -> None:
        for request_id in range(1, 8):
            self.ask(request_id)
        self.requests.send(0, 0)
        self.assertEqual(self.requests.abandon(), list(range(1, 8)))
        self.assertEqual(self.requests.abandon(), [])

    def test_memory_of_expired_requests_is_bounded(self) -> None:
        requests = Requests(10_000)
        for request_id in range(1, 2 * limits.LATE_REPLIES + 1):
            encoded = self.encoder.encode(GetBlocks(start=1, count=1), request_id=request_id)
            requests.ask(request_id, "BlocksResponse", Priority.BULK, encoded)
            requests.send(0, 0)
        requests.expire(limits.REQUEST_DEADLINE_MAX, 0)
        late = [requests.match(n, "BlocksResponse", 0) for n in range(1, 2 * limits.LATE_REPLIES + 1)]
        self.assertEqual(late, [Match.UNASKED] * limits.LATE_REPLIES + [Match.LATE] * limits.LATE_REPLIES)


class ServedTests(SynchronousTestCase):
    def test_bound_and_its_relief(self) -> None:
        served = Served()
        accepted = [served.accept(number, 7) for number in range(limits.SERVED_REQUESTS + 5)]
        self.assertEqual(accepted.count(False), 5)
        served.answered(0)
        self.assertTrue(served.accept(9_000, 8))
        self.assertFalse(served.accept(9_001, 6 + limits.REQUEST_DEADLINE_FIRST))
        self.assertTrue(served.accept(9_001, 7 + limits.REQUEST_DEADLINE_FIRST))
        self.assertEqual(len(served), limits.SERVED_REQUESTS)

    def test_request_under_an_id_that_is_open_counts_from_now(self) -> None:
        served = Served(3)
        for request_id, now in ((1, 0), (2, 1), (1, 2), (3, 3)):
            self.assertTrue(served.accept(request_id, now))
        self.assertTrue(served.accept(9, 1 + limits.REQUEST_DEADLINE_FIRST))
        self.assertFalse(served.accept(4, 1 + limits.REQUEST_DEADLINE_FIRST))


class RetentionTests(SynchronousTestCase):
    def keep(self, retention: Retention, node_id: bytes, number: int, size: int = 10, now: int = 0) -> None:
        retention.keep(node_id, 32, bytes(size), number.to_bytes(32, "big"), now)

    def test_kept_until_acknowledged_in_the_order_of_sending(self) -> None:
        retention = Retention()
        for number in range(3):
            self.keep(retention, PEER, number, size=number + 1)
        self.assertTrue(retention.acknowledged(PEER, 32, (1).to_bytes(32, "big")))
        self.assertFalse(retention.acknowledged(PEER, 32, (1).to_bytes(32, "big")))
        self.assertFalse(retention.acknowledged(OTHER, 32, (0).to_bytes(32, "big")))
        self.assertEqual([len(kept.payload) for kept in retention.pending(PEER, 0)], [1, 3])

    def test_sending_again_keeps_one_copy(self) -> None:
        retention = Retention()
        self.keep(retention, PEER, 1)
        self.keep(retention, PEER, 1)
        self.assertEqual((len(retention), retention.total), (1, 10))

    def test_bytes_of_one_peer_are_bounded(self) -> None:
        retention = Retention()
        for number in range(20):
            self.keep(retention, PEER, number, size=limits.MIB)
        self.assertEqual(retention.total, limits.RETAINED_BYTES)

    def test_the_longest_message_has_room(self) -> None:
        self.assertLess(max(kind.max_size for kind in MESSAGES if kind.requires_ack), limits.RETAINED_BYTES)
        retention = Retention()
        for number in range(2):
            self.keep(retention, PEER, number, size=limits.RETAINED_BYTES)
        self.assertEqual((len(retention), retention.forgotten), (1, 1))

    def test_the_oldest_of_all_peers_says_when_to_look_again(self) -> None:
        retention = Retention()
        self.assertIsNone(retention.expire(0))
        self.keep(retention, PEER, 1, now=5)
        self.keep(retention, OTHER, 1, now=3)
        self.assertEqual(retention.expire(9), 3 + limits.RETAINED_AGE)
        self.assertEqual(retention.expire(3 + limits.RETAINED_AGE), 5 + limits.RETAINED_AGE)

    def test_nothing_is_left_of_a_peer_that_acknowledged_everything(self) -> None:
        retention = Retention()
        self.keep(retention, PEER, 1)
        retention.acknowledged(PEER, 32, (1).to_bytes(32, "big"))
        self.assertEqual((retention._kept, retention._sizes), ({}, {}))

    def test_bytes_of_all_peers_are_bounded(self) -> None:
        retention = Retention()
        for number in range(60):
            self.keep(retention, number.to_bytes(32, "big"), 1, size=limits.MIB)
        self.assertLessEqual(retention.total, limits.RETAINED_TOTAL_BYTES)
        self.assertEqual(retention.forgotten, 60 - limits.RETAINED_TOTAL_BYTES // limits.MIB)

    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans(), st.integers(0, 40)), max_size=60
        )
    )
    @settings(deadline=None, max_examples=50)
    def test_sums_are_exact(self, steps: list[tuple[int, int, bool, int]]) -> None:
        retention = Retention()
        now = 0
        for peer, number, acknowledge, seconds in steps:
            now += seconds * SECOND
            node_id = peer.to_bytes(32, "big")
            if acknowledge:
                retention.acknowledged(node_id, 32, number.to_bytes(32, "big"))
            else:
                self.keep(retention, node_id, number, size=number + 1, now=now)
            retention.expire(now)
            held = [kept for p in range(4) for kept in retention.pending(p.to_bytes(32, "big"), now)]
            self.assertEqual(retention.total, sum(len(kept.payload) for kept in held))
            self.assertTrue(all(now - kept.kept_at < limits.RETAINED_AGE for kept in held))


class EncoderTests(SynchronousTestCase):
    def test_frames_are_cut_once_for_each_kind_of_link(self) -> None:
        encoder = Encoder(REGTEST.magic)
        encoded = encoder.encode(GetBlocks(start=1, count=1))
        self.assertIs(
            encoder.parcel(encoded, Form(checksum=False)), encoder.parcel(encoded, Form(checksum=False))
        )
        self.assertIsNot(
            encoder.parcel(encoded, Form(checksum=False)), encoder.parcel(encoded, Form(checksum=True))
        )
        self.assertEqual(encoder.encodes, 1)


class GreetingTests(SynchronousTestCase):
    """Who can talk to whom, by what a handshake says and what the link has proved."""

    def setUp(self) -> None:
        self.ours = identity(1)
        self.theirs = greeting.compose(identity(2), self.ours.node_id, True, 1, (0, bytes(32)), START)

    def refusal(self, *, peer_id: bytes | None = None, expected: bytes | None = None, **changes: Any) -> str:
        """The rule, or nothing."""
        theirs = msgspec.structs.replace(self.theirs, **changes)
        try:
            proved = greeting.check(self.ours, theirs, peer_id=peer_id, expected=expected, outbound=False)
        except Refused as refused:
            return refused.rule
        self.assertIsNone(proved)
        return ""

    def test_versions_that_overlap_at_one_end_can_talk(self) -> None:
        newest = self.ours.dialect.wire_version
        for least, most, rule in (
            (WIRE_VERSION_MIN, newest, ""),
            (newest, newest + 5, ""),
            (newest + 1, newest + 5, "wire-version"),
            (0, WIRE_VERSION_MIN, ""),
            (0, WIRE_VERSION_MIN - 1, "wire-version"),
        ):
            self.assertEqual(self.refusal(min_wire_version=least, wire_version=most), rule, f"{least}-{most}")

    def test_the_id_must_be_the_proved_one_and_the_one_that_was_dialled(self) -> None:
        """[22]: neither another node under that address, nor another id in the handshake."""
        him, other = self.theirs.node_id, harness.key(3).public
        for peer_id, expected, rule in (
            (him, him, ""), (him, None, ""), (None, him, ""),
            (other, None, "node-id-mismatch"), (None, other, "node-id-mismatch"), (him, other, "node-id-mismatch"),
        ):  # fmt: skip
            self.assertEqual(self.refusal(peer_id=peer_id, expected=expected), rule)

    def test_a_plain_link_to_oneself_is_noticed(self) -> None:
        self.assertEqual(self.refusal(node_id=self.ours.node_id), "self")

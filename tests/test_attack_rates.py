"""Twenty strangers send ten times what they may of each type: the exact ladder of what is done about it.

Rates are a thousandth of the real ones here, so that the same ladder is climbed with
few messages; `RatesTests` in test_peer_conduct holds the real ones to what nodes send.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld, Puppet
from timed.bench.samples import Samples, all_messages
from timed.events import PeerClosed, PeerRefused, TransactionFinal
from timed.params import REGTEST, SECOND
from timed.peer import limits
from timed.peer.conduct import Entry, Verdict
from timed.peer.rates import RATES, Rate
from timed.primitives.certificate import CertificateKind
from timed.wire.catalogue import BY_NAME, MESSAGES, encode_message
from timed.wire.framing import frames_of
from timed.wire.message import Direction, Message, MessageType, Priority
from timed.wire.messages import (
    Ack,
    BlockAnnouncement,
    BlockResponse,
    BlocksResponse,
    CertificatesResponse,
    CompactBlockResponse,
    GetHeaders,
    HeadersResponse,
    Pong,
    TransactionBroadcast,
    TransactionsResponse,
)

OFFENDERS = 20
SECONDS = 3
TIMES = 10
SCALE = 1_000
SCALED = {
    bucket: Rate(max(1, rate.per_second // SCALE), max(20, rate.burst // SCALE))
    for bucket, rate in RATES.items()
}
ENDS = {"Handshake": "handshake-order", "Goodbye": "duplicate"}
"""Types of which one message ends a session, and the reason."""


def flood_of(world: NodeWorld) -> dict[str, Message]:
    """One message of every type that no rule of form is against, and that nobody asked for."""
    make = Samples()
    small: list[Message] = [
        make.proposal(2), make.report(2), HeadersResponse(()), BlocksResponse(()), BlockResponse(()),
        CompactBlockResponse(()), CertificatesResponse(()), TransactionsResponse(()), TransactionBroadcast(world.payment()),
    ]  # fmt: skip
    return {message.message_type(): message for message in [*all_messages(), *small]}


class Flood:
    """A node, honest company, and those who flood."""

    def __init__(self, message: Message | None = None, name: str = "", offenders: int = OFFENDERS) -> None:
        self.world = NodeWorld()
        self.members = self.world.others()
        self.honest = self.world.stranger()
        self.offenders = [self.world.stranger() for _ in range(offenders)]
        self.kind: MessageType = (message or flood_of(self.world)[name]).entry()
        self.message = message or flood_of(self.world)[name]
        self.rate = SCALED[self.kind.bucket]
        self._request = 1_000_000
        self.left = [self._left(offender) for offender in self.offenders]
        """Messages of the flooded bucket that each may send now."""
        self._said = [self._own(offender) for offender in self.offenders]

    def frames(self, count: int, message: Message | None = None) -> bytes:
        """So many messages as they go over a link; each request with an id of its own."""
        said = message or self.message
        number, payload = encode_message(said)
        direction = said.entry().direction
        found = bytearray()
        for _ in range(count):
            self._request += direction is not Direction.NOTICE
            request = self._request if direction is not Direction.NOTICE else 0
            for frame in frames_of(
                REGTEST.magic, number, payload, request_id=request, reply=direction is Direction.REPLY
            ):
                found += frame
        return bytes(found)

    def say(self, puppet: Puppet, data: bytes) -> None:
        """Bytes of a peer, whatever its own session thinks of them."""
        if puppet.link >= 0:
            self.world.node.received(puppet.link, data, self.world.now)

    def second(self, first: bool) -> None:
        """A second after the one before all send at once what is ten times the limit of a second."""
        if not first:
            self.world.pass_time(SECOND)
        count = TIMES * self.rate.per_second + (self.rate.burst if first else 0)
        for offender in self.offenders:
            self.say(offender, self.frames(count))
        self.world.pump()

    def said(self, index: int) -> int:
        """What the session of an offender has meanwhile said by itself, in the flooded bucket."""
        return self._own(self.offenders[index]) - self._said[index]

    def _own(self, puppet: Puppet) -> int:
        session = puppet.table.session_with(self.world.node_id)
        sent = {} if session is None else session.traffic.sent
        charged = {name: count for name, count in sent.items() if name != "Ack"}
        return sum(count for name, count in charged.items() if BY_NAME[name].bucket == self.kind.bucket)

    def _left(self, puppet: Puppet) -> int:
        """What the bucket of the flooded type holds: the beginning of a session has taken from some."""
        stock = self.statistics(puppet).rates.get(self.kind.bucket)
        return self.rate.burst if stock is None else stock.left

    def entries(self, puppet: Puppet) -> list[Entry]:
        return self.world.node.peers.conduct.reasons(puppet.node_id)

    def statistics(self, puppet: Puppet) -> Any:
        return self.world.node.peers.statistics(puppet.node_id)


class EveryTypeTests(SynchronousTestCase):
    """[21] Excess is left unread; it is scored unless it is control, and whoever did nothing is let be."""

    def setUp(self) -> None:
        patch = mock.patch.dict(RATES, SCALED)
        patch.start()
        self.addCleanup(patch.stop)

    def flood(self, name: str) -> Flood:
        flood = Flood(name=name)
        paid = flood.world.payment(1)
        flood.world.submit(paid)
        for second in range(SECONDS):
            flood.second(not second)
            self.bounds_hold(flood)
            reply = flood.honest.ask(GetHeaders(start=1, count=1))
            self.assertIsInstance(reply, HeadersResponse, name)
            self.assertTrue(flood.honest.table.ping(flood.world.node_id, flood.world.now))
            flood.world.pump()
        for kind in (CertificateKind.VOTE, CertificateKind.ACKNOWLEDGEMENT):
            for member in (1, 2, 3):
                flood.members[member - 1].say(flood.world.bundle(member, paid.txid, kind=kind))
        flood.world.pass_time(SECOND // 10)
        self.assertEqual([event.txid for event in flood.world.told(TransactionFinal)], [paid.txid], name)
        self.undisturbed(flood)
        return flood

    def bounds_hold(self, flood: Flood) -> None:
        peers = flood.world.node.peers
        self.assertLessEqual(peers.budget.held, limits.TOTAL_QUEUE_BYTES)
        for offender in flood.offenders:
            known = flood.statistics(offender)
            if known is not None:
                self.assertLessEqual(known.queued, limits.PEER_QUEUE_BYTES)
                self.assertLessEqual(known.served, limits.SERVED_REQUESTS)

    def undisturbed(self, flood: Flood) -> None:
        for one in (flood.honest, *flood.members):
            known = flood.statistics(one)
            self.assertIsNotNone(known, flood.kind.name)
            self.assertEqual((known.score, known.over_rate, known.dropped), (0, 0, 0), flood.kind.name)
            self.assertEqual(flood.entries(one), [])
        session = flood.honest.table.session_with(flood.world.node_id)
        assert session is not None
        self.assertGreaterEqual(session.traffic.sent["Ping"], SECONDS)
        self.assertEqual(session.traffic.received["Pong"], session.traffic.sent["Ping"])

    def expect(self, names: list[str]) -> None:
        for name in names:
            flood = self.flood(name)
            rate, control = flood.rate, flood.kind.priority is Priority.CONTROL
            ladder = [] if control else [("over-rate", Verdict.THROTTLE, True)] * SECONDS
            # What is throttled is left unread within the rate, too. Control and consensus never are,
            # nor replies: one that nobody asked for is thrown away as it is.
            reply = flood.kind.direction is Direction.REPLY
            spared = control or flood.kind.priority is Priority.CONSENSUS or reply
            later = rate.per_second * (SECONDS - 1) if spared else 0
            sent = rate.burst + TIMES * rate.per_second * SECONDS
            for index, offender in enumerate(flood.offenders):
                found = [(one.event, one.verdict, one.done) for one in flood.entries(offender)]
                self.assertEqual(found, ladder, name)
                known = flood.statistics(offender)
                self.assertEqual(known.over_rate, sent + flood.said(index) - flood.left[index] - later, name)
                self.assertEqual(bool(known.score), not control, name)
            counted = flood.world.node.peers.conduct.counts["over-rate-control" if control else "over-rate"]
            self.assertEqual(counted, OFFENDERS * SECONDS, name)

    def named(self, *priorities: Priority) -> list[str]:
        return [kind.name for kind in MESSAGES if kind.priority in priorities and kind.name not in ENDS]

    def test_control(self) -> None:
        """Dropped, never scored: who was away for a while answers everything at once."""
        self.expect(self.named(Priority.CONTROL))

    def test_consensus(self) -> None:
        self.expect(self.named(Priority.CONSENSUS))

    def test_transactions(self) -> None:
        self.expect(self.named(Priority.TRANSACTIONS))

    def test_queries(self) -> None:
        self.expect(self.named(Priority.QUERIES))

    def test_bulk(self) -> None:
        self.expect(self.named(Priority.BULK))

    def test_types_that_end_a_session_need_no_rate(self) -> None:
        for name, reason in ENDS.items():
            flood = self.flood(name)
            closed = [event for event in flood.world.told(PeerClosed) if event.reason == reason]
            self.assertEqual(len(closed), OFFENDERS, name)
            scored = [len(flood.entries(offender)) for offender in flood.offenders]
            self.assertEqual(scored, [int(name == "Handshake")] * OFFENDERS)


class LadderTests(SynchronousTestCase):
    """A flood that does not end: throttled once a second, then banned, and one line of log for it."""

    def setUp(self) -> None:
        patch = mock.patch.dict(RATES, SCALED)
        patch.start()
        self.addCleanup(patch.stop)

    def climb(self, flood: Flood, seconds: int) -> None:
        for second in range(seconds):
            flood.second(not second)

    def test_the_ladder_is_exact(self) -> None:
        score, steps = 0.0, 0
        while score < limits.BAN_SCORE:
            score = score * 0.5 ** (SECOND / limits.SCORE_HALF_LIFE) + 2
            steps += 1
        self.assertEqual(steps, 74)
        flood = Flood(name="BlockAnnouncement", offenders=3)
        self.climb(flood, steps - 1)
        ended = flood.world.told(PeerClosed)
        self.assertEqual(ended, [])
        for _ in range(4):
            flood.second(False)
        for offender in flood.offenders:
            verdicts = [entry.verdict for entry in flood.entries(offender)]
            self.assertEqual(verdicts, [Verdict.THROTTLE] * (steps - 1) + [Verdict.BAN])
            self.assertEqual({entry.event for entry in flood.entries(offender)}, {"over-rate"})
        ended = flood.world.told(PeerClosed)
        self.assertEqual([event.reason for event in ended], ["banned"] * 3)
        self.assertEqual(flood.world.told(PeerRefused), [])

    def test_control_in_between_does_not_hide_the_rest(self) -> None:
        """F24: what is only counted must not use up the report of what is scored."""
        flood = Flood(name="BlockAnnouncement", offenders=1)
        (offender,) = flood.offenders
        acks = flood.frames(SCALED["control"].burst + TIMES, Ack(1, bytes(32)))
        count = flood.rate.burst + TIMES * flood.rate.per_second
        for _ in range(SECONDS):
            flood.say(offender, acks + flood.frames(count))
            flood.world.pump()
            flood.world.pass_time(SECOND)
        self.assertEqual([entry.event for entry in flood.entries(offender)], ["over-rate"] * SECONDS)

    def test_what_is_left_unread_is_not_decoded(self) -> None:
        """F37: the cheapest check comes first."""
        flood = Flood(BlockAnnouncement(123_456, bytes(32)), offenders=1)
        decode = mock.Mock(side_effect=BlockAnnouncement.decode)
        with mock.patch.object(BlockAnnouncement, "decode", decode):
            self.climb(flood, SECONDS)
        self.assertEqual(decode.call_count, flood.rate.burst + (SECONDS - 1) * flood.rate.per_second)

    def test_a_pong_that_was_asked_for_gets_through_a_flood_of_them(self) -> None:
        """F22: nobody is closed as silent because of what it sent too much of."""
        flood = Flood(Pong(nonce=1, time=1), offenders=2)
        self.climb(flood, 3 * limits.SILENCE_LIMIT // SECOND)
        self.assertEqual(flood.world.told(PeerClosed), [])
        self.assertTrue(all(flood.entries(offender) == [] for offender in flood.offenders))

"""The catalogue: one table, and everything said of a message is read from it."""

from __future__ import annotations

import inspect

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from timed.codec import interpret
from timed.codec.declare import Record, maximum_size
from timed.errors import DecodeError, LocalError
from timed.params import NETWORKS
from timed.primitives.layouts import MAX_BLOCK_TRANSACTIONS
from timed.wire import messages
from timed.wire.catalogue import (
    BY_NAME,
    BY_NUMBER,
    MAX_BLOCK_BYTES,
    MAX_HANDSHAKE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_TRANSACTION_BYTES,
    MAX_UNKNOWN_BYTES,
    MESSAGES,
    decode_message,
    decode_record,
    encode_message,
    encode_record,
    handshake_limit_for,
    limit_for,
    of,
)
from timed.wire.layouts import MAX_REPORT_TXIDS
from timed.wire.message import Direction, Message, MessageType, Priority, Relay

NAMES_OF_ORIGINAL = {
    "Handshake", "Ack", "Ping", "Pong", "GetPeers", "PeersResponse", "TransactionBroadcast",
    "TransactionVote", "TransactionFinalized", "TransactionRejected", "UTXOStateQuery",
    "UTXOStateResponse", "GetBlocks", "BlocksResponse", "BlockAnnouncement", "BlockRequest",
    "BlockResponse", "BlockProposal", "BlockVote", "BlockCommit", "GetMasternodes",
    "MasternodesResponse", "GetPendingTransactions", "PendingTransactionsResponse",
}  # fmt: skip


def example(entry: MessageType) -> Message:
    """A fixed message of every type."""
    value = interpret.from_plain(entry.layout, sample(entry.layout, entry.name, 1))
    assert isinstance(value, Message)
    return value


class Table(SynchronousTestCase):
    """The rows agree with each other."""

    def test_numbers_and_names_are_unique(self) -> None:
        """No two rows share a number, a name or a class."""
        self.assertEqual(len(BY_NUMBER), len(MESSAGES))
        self.assertEqual(len(BY_NAME), len(MESSAGES))
        self.assertEqual(len({entry.cls for entry in MESSAGES}), len(MESSAGES))
        self.assertTrue(all(0 < entry.number < 1 << 16 for entry in MESSAGES))

    def test_every_message_class_is_in_the_table(self) -> None:
        """A message without a row could not be sent."""
        defined = {
            cls
            for _, cls in inspect.getmembers(messages, inspect.isclass)
            if issubclass(cls, Message) and cls is not Message
        }
        self.assertEqual(defined, {entry.cls for entry in MESSAGES})

    def test_rows_name_their_own_layout(self) -> None:
        """Class, layout and name of a row are of one value."""
        for entry in MESSAGES:
            self.assertIsInstance(entry.layout, Record)
            self.assertEqual((entry.layout.title, entry.cls.__name__), (entry.name, entry.name))

    def test_names_of_the_original_are_kept(self) -> None:
        """Where the meaning is the same, the name is."""
        self.assertEqual(NAMES_OF_ORIGINAL - set(BY_NAME), set())

    def test_requests_and_replies_pair_up(self) -> None:
        """Every request names a reply that exists; every reply belongs to a request."""
        answered = set()
        for entry in MESSAGES:
            self.assertEqual(entry.direction is Direction.REQUEST, entry.reply is not None, entry.name)
            if entry.reply is not None:
                reply = BY_NAME[entry.reply]
                self.assertIn(reply.direction, (Direction.REPLY, Direction.NOTICE_OR_REPLY), entry.name)
                answered.add(entry.reply)
        replies = {e.name for e in MESSAGES if e.direction in (Direction.REPLY, Direction.NOTICE_OR_REPLY)}
        self.assertEqual(replies, answered)

    def test_acknowledged_messages(self) -> None:
        """The messages a sender keeps until they are acknowledged, and no others."""
        kept = {entry.name for entry in MESSAGES if entry.requires_ack}
        self.assertEqual(kept, {"Handshake", "BlockProposal", "BlockCommit", "TransactionFinalized"})

    def test_high_priority_is_control_and_consensus(self) -> None:
        """`is_high_priority` follows from the class of priority alone."""
        for entry in MESSAGES:
            self.assertEqual(
                entry.is_high_priority, entry.priority in (Priority.CONTROL, Priority.CONSENSUS), entry.name
            )

    def test_bounds(self) -> None:
        """[17] Each type has a bound that its layout can fill and that no bound of the network exceeds."""
        for entry in MESSAGES:
            self.assertLessEqual(entry.max_size, MAX_MESSAGE_BYTES, entry.name)
            self.assertLessEqual(entry.max_size, maximum_size(entry.layout), entry.name)
            self.assertEqual(limit_for(entry.number), entry.max_size)
            self.assertLessEqual(handshake_limit_for(entry.number), MAX_HANDSHAKE_BYTES)
        self.assertEqual(limit_for(60_000), MAX_UNKNOWN_BYTES)
        self.assertEqual(handshake_limit_for(60_000), MAX_HANDSHAKE_BYTES)
        self.assertLessEqual(BY_NAME["Handshake"].max_size, MAX_HANDSHAKE_BYTES)
        self.assertTrue(
            all(each.max_transaction_bytes <= MAX_TRANSACTION_BYTES for each in NETWORKS.values())
        )

    def test_bounds_hold_what_the_networks_allow(self) -> None:
        """A full block, its transactions and what two budgets can certify have room in their messages."""
        for each in NETWORKS.values():
            self.assertLessEqual(each.max_block_bytes, MAX_BLOCK_BYTES)
            self.assertLessEqual(each.max_block_transactions, MAX_BLOCK_TRANSACTIONS)
            self.assertLessEqual(2 * each.epoch_transactions, MAX_REPORT_TXIDS)
            self.assertLess(2 * each.epoch_transactions, each.max_block_transactions)
            self.assertLess(2 * each.epoch_bytes, each.max_block_bytes)

    def test_only_news_is_relayed(self) -> None:
        """Nothing that answers or asks is passed on."""
        for entry in MESSAGES:
            if entry.relay is Relay.NEW:
                self.assertIn(entry.direction, (Direction.NOTICE, Direction.NOTICE_OR_REPLY), entry.name)


class Predicates(SynchronousTestCase):
    """What a message says of itself is what its row says."""

    def test_messages_answer_from_their_rows(self) -> None:
        """`message_type`, `requires_ack`, `is_response` and `is_high_priority` for every type."""
        for entry in MESSAGES:
            message = example(entry)
            self.assertEqual(message.message_type(), entry.name)
            self.assertEqual(message.requires_ack(), entry.requires_ack)
            self.assertEqual(message.is_response(), entry.is_response)
            self.assertEqual(message.is_high_priority(), entry.is_high_priority)
            self.assertIs(of(message), entry)

    def test_message_outside_the_table(self) -> None:
        """A class that nobody entered cannot be sent by mistake."""

        class Stray(Message, frozen=True, gc=False):
            number: int

        self.assertRaises(LocalError, of, Stray(1))
        self.assertRaises(LocalError, encode_message, Stray(1))


class Coding(SynchronousTestCase):
    """Messages to (number, payload) and to log records, and back."""

    def test_every_message_round_trips(self) -> None:
        """[3] As a message and as a record."""
        for entry in MESSAGES:
            message = example(entry)
            number, payload = encode_message(message)
            self.assertEqual(number, entry.number)
            self.assertEqual(decode_message(number, payload), message)
            record = encode_record(message)
            self.assertEqual(record, number.to_bytes(2, "little") + payload)
            self.assertEqual(decode_record(record), message)

    def test_unknown_number(self) -> None:
        """An unknown type is a DecodeError with a rule of its own, to be counted and skipped."""
        with self.assertRaises(DecodeError) as caught:
            decode_message(60_000, b"")
        self.assertEqual(caught.exception.rule, "message-unknown")

    def test_payload_above_the_bound(self) -> None:
        """[17] The bound holds for messages that did not come through a frame reader, too."""
        with self.assertRaises(DecodeError) as caught:
            decode_message(16, bytes(BY_NUMBER[16].max_size + 1))
        self.assertEqual(caught.exception.rule, "message-too-long")

    def test_our_own_message_above_the_bound(self) -> None:
        """A sender that would break a bound finds out before the peer does."""
        witness = sample(BY_NAME["TransactionBroadcast"].layout, "x", 1)
        witness["transaction"]["witnesses"] *= 2_000
        message = interpret.from_plain(BY_NAME["TransactionBroadcast"].layout, witness)
        self.assertRaises(LocalError, encode_message, message)

    @settings(deadline=None, max_examples=200)
    @given(st.one_of(st.sampled_from(sorted(BY_NUMBER)), st.integers(0, 0xFFFF)), st.binary(max_size=300))
    def test_garbage_is_a_message_or_a_decode_error(self, number: int, payload: bytes) -> None:
        """Whatever arrives under whatever number: a message that encodes to it, or a DecodeError."""
        try:
            message = decode_message(number, payload)
        except DecodeError as error:
            self.assertTrue(error.rule)
        else:
            self.assertEqual(encode_message(message), (number, payload))

    def test_short_records(self) -> None:
        """A log record needs its number."""
        for data in (b"", b"\x01"):
            self.assertRaises(DecodeError, decode_record, data)

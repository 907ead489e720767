"""Generated codecs at every count and length where their code takes another way, against the interpreter."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import construct as cs
from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from tests.test_codec_generated import expected, outcome, sampled
from timed.codec import interpret
from timed.codec.declare import (
    Array,
    LayoutError,
    PrefixedBytes,
    Record,
    array,
    bytes_fixed,
    bytes_prefixed,
    is_usually_fixed,
    u8,
    u16,
)
from timed.codec.plan import is_fixed
from timed.codec.runtime import AT_ONCE, few, many
from timed.codec.targets import all_records
from timed.codec.value import EncodeError
from timed.errors import DecodeError
from timed.primitives import _block_codec, _transaction_codec
from timed.primitives.block import Block, BlockHeader
from timed.primitives.layouts import BLOCK, BLOCK_HEADER, TRANSACTION, USUAL
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness
from timed.store import _records_codec
from timed.store.records import CoinRecord

RECORDS = all_records()
COUNTS = (0, 1, 2, 3, 4)
STRINGS = (0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE, 2 * AT_ONCE + 1)
MOST = 5_000
"""Records of which the interpreter reads so many in a test's time; byte strings it reads faster."""

LOCKS = (
    Lock(1, bytes(20)),
    Lock(2, b"\1\1" + bytes(20)),
    Lock(0, b""),
    Lock(255, bytes(322)),
    Lock(1, b"\7"),
)


def arrays(record: Record) -> list[tuple[str, Array]]:
    """The arrays among the fields of a record."""
    return [(key, sub) for key, sub in record.fields if isinstance(sub, Array)]


def items(layout: Array, count: int) -> list[Any]:
    """So many items that fit, rising where they must."""
    if not isinstance(layout.item, Record):
        width = layout.item.length if isinstance(layout.item, cs.Bytes) else 8
        return [number.to_bytes(8, "big").ljust(width, b"\xee")[:width] for number in range(count)]
    one = sample(layout.item, layout.item.title, 0)
    if not layout.ascending:
        return [one] * count
    width = len(one[layout.ascending])
    return [one | {layout.ascending: number.to_bytes(width, "big")} for number in range(count)]


def transaction(inputs: int, locks: tuple[Lock, ...], witnesses: int, payload: bytes = b"") -> Transaction:
    """A transaction of one shape, with noise in every field."""
    return Transaction(
        1,
        1,
        tuple([OutPoint(bytes([number]) * 32, number) for number in range(inputs)]),
        tuple([Output(1 << number, lock) for number, lock in enumerate(locks)]),
        7,
        payload,
        tuple([Witness(bytes([number]) * 32, bytes([255 - number]) * 64) for number in range(witnesses)]),
    )


class Judged(SynchronousTestCase):
    """What both ways of decoding make of the same bytes."""

    def same(self, record: Record, data: bytes, note: object = None) -> None:
        self.assertEqual(outcome(record, data), expected(record, data), (record.title, note))

    def holds(self, record: Record, plain: Any, note: object = None) -> bytes:
        """The value encodes and decodes as declared; its encoding."""
        data = interpret.build(record, plain)
        value = interpret.from_plain(record, plain)
        self.assertEqual(value.encode(), data, (record.title, note))
        decoded = type(value).decode(data)
        self.assertEqual(decoded, value, (record.title, note))
        self.assertEqual(decoded.pack(), data, (record.title, note))
        return data

    def refuses_every_prefix(self, record: Record, data: bytes) -> None:
        cls = interpret.class_of(record)
        for length in range(len(data)):
            with self.assertRaises(DecodeError, msg=f"{record.title}[:{length}]") as caught:
                cls.decode(data[:length])
            self.assertEqual(caught.exception.rule, "decode-truncated", f"{record.title}[:{length}]")


class Counts(Judged):
    """Rule [3] at the counts that have code of their own, beside them and at the bounds."""

    def test_every_small_count_of_every_array(self) -> None:
        """[3]"""
        for record in RECORDS:
            for count in COUNTS:
                self.holds(record, sample(record, record.title, count), count)

    def test_every_small_count_is_refused_when_cut(self) -> None:
        """[3]"""
        for record in RECORDS:
            for count in (0, 1, 3):
                data = interpret.build(record, sample(record, record.title, count))
                if len(data) < 3_000:
                    self.refuses_every_prefix(record, data)

    def test_byte_strings_around_what_one_call_reads(self) -> None:
        """[3]"""
        tried = 0
        for record in RECORDS:
            for key, layout in arrays(record):
                if isinstance(layout.item, cs.Bytes):
                    for count in STRINGS:
                        if layout.minimum <= count <= layout.maximum:
                            plain = sample(record, record.title, 1) | {key: items(layout, count)}
                            data = self.holds(record, plain, count)
                            self.same(record, data[:-1], count)
                            self.same(record, data + b"\0", count)
                            tried += 1
        self.assertGreater(tried, 40)

    def test_the_bounds_of_every_array(self) -> None:
        """[3] The largest count is taken, and one more is refused by the count alone."""
        tried = 0
        for record in RECORDS:
            for key, layout in arrays(record):
                if layout.maximum > MOST and not isinstance(layout.item, cs.Bytes):
                    continue
                plain = sample(record, record.title, 0) | {key: items(layout, layout.maximum)}
                self.holds(record, plain, layout.maximum)
                over = sample(record, record.title, 0) | {key: items(layout, layout.maximum + 1)}
                self.assertRaises(LayoutError, interpret.build, record, over)
                self.assertRaises(EncodeError, interpret.from_plain(record, over).encode)
                tried += 1
        self.assertGreater(tried, 15)

    def test_a_count_above_the_bound_is_refused_although_its_items_are_there(self) -> None:
        """[3]"""
        count = 4_097
        data = transaction(0, (), 0).pack()
        for start, item in ((3, bytes(34)), (len(data) - 2, bytes(96))):
            long = data[:start] + count.to_bytes(2, "little") + count * item + data[start + 2 :]
            with self.assertRaises(DecodeError) as caught:
                Transaction.decode(long)
            self.assertEqual(caught.exception.rule, "decode-count")
            self.same(TRANSACTION, long)

    def test_what_is_usual_is_within_the_bounds(self) -> None:
        """What is taken for granted first is allowed, and leaves no width open."""
        record = Record("One", "nowhere", False, ["number" / u8])
        for usual in (1, 5):
            self.assertEqual(array(u16, record, 5, usual=usual).usual, usual)
        self.assertRaises(LayoutError, array, u16, record, 5, usual=6)
        self.assertRaises(LayoutError, array, u16, record, 5, minimum=2, usual=2)
        self.assertRaises(LayoutError, array, u16, bytes_fixed(1), 5, usual=1)
        open_width = Record("Open", "nowhere", False, ["data" / bytes_prefixed(u8, 9)])
        self.assertRaises(LayoutError, array, u16, open_width, 5, usual=1)
        self.assertRaises(LayoutError, bytes_prefixed, u8, 9, usual=10)
        self.assertRaises(LayoutError, bytes_prefixed, u8, 9, minimum=2, usual=1)


class Lengths(Judged):
    """Rule [3] at the usual lengths and beside them, for values that have nothing else of variable width."""

    def test_lengths_beside_the_usual_ones(self) -> None:
        """[3] Each prefix, each longer encoding and each changed byte is judged as by the interpreter."""
        tried = 0
        for record in RECORDS:
            if not is_usually_fixed(record) or is_fixed(record):
                continue
            for length in (0, 1, 19, 20, 21, 322):
                data = self.holds(record, filled(record, sample(record, record.title), length), length)
                self.refuses_every_prefix(record, data)
                self.same(record, data + b"\0", length)
                for place in range(len(data)):
                    for change in (0x01, 0xFF):
                        damaged = bytearray(data)
                        damaged[place] ^= change
                        self.same(record, bytes(damaged), (length, place))
                tried += 1
        self.assertGreater(tried, 20)


def filled(layout: Any, plain: Any, length: int) -> Any:
    """The same value with so many bytes wherever their number is free."""
    if isinstance(layout, Record):
        return {key: filled(sub, plain[key], length) for key, sub in layout.fields}
    return bytes(length) if isinstance(layout, PrefixedBytes) else plain


class Transactions(Judged):
    """Every shape a payment has, alone and inside a block."""

    def shapes(self) -> list[Transaction]:
        found = [
            transaction(inputs, LOCKS[:outputs], witnesses, payload)
            for inputs in range(USUAL + 2)
            for outputs in range(USUAL + 2)
            for witnesses in range(USUAL + 2)
            for payload in (b"", b"x" * 1_024)
        ]
        return found + [transaction(1, (one, other), 1) for one in LOCKS for other in LOCKS]

    def test_every_shape_is_coded_as_declared(self) -> None:
        """[3]"""
        for value in self.shapes():
            self.holds(TRANSACTION, interpret.to_plain(TRANSACTION, value), value)

    def test_shapes_beside_each_other_in_a_block(self) -> None:
        """[3] Each keeps its own slice, whatever stands before and behind it."""
        block = interpret.from_plain(BLOCK, sample(BLOCK, "block", 1))
        shapes = tuple(self.shapes())
        block = Block(
            block.header, shapes, block.attendance, block.evidence, block.parent_certificate, block.reports
        )
        self.holds(BLOCK, interpret.to_plain(BLOCK, block))
        decoded = Block.decode(block.pack())
        self.assertEqual([one.encode() for one in decoded.transactions], [one.pack() for one in shapes])
        self.assertEqual([one.txid for one in decoded.transactions], [one.txid for one in shapes])

    def test_every_shape_is_refused_when_cut(self) -> None:
        """[3]"""
        for value in self.shapes():
            if len(value.payload) == 0 and value.size < 900:
                self.refuses_every_prefix(TRANSACTION, value.pack())

    def test_every_changed_byte_is_judged_as_by_the_interpreter(self) -> None:
        """[3] Counts and lengths that turn one shape into another among them."""
        for inputs, outputs, witnesses in ((1, 1, 1), (2, 2, 2), (1, 2, 3), (3, 3, 0)):
            data = transaction(inputs, LOCKS[:outputs], witnesses).pack()
            for place in range(len(data)):
                for change in (0x01, 0x02, 0x03, 0x80, 0xFF):
                    damaged = bytearray(data)
                    damaged[place] ^= change
                    self.same(TRANSACTION, bytes(damaged), place)

    def test_a_lock_that_passes_the_end_of_a_block_is_refused(self) -> None:
        """[3] The last slice of a nested value is not cut to what is there."""
        value = transaction(1, (Lock(1, bytes(20)),), 0)
        data = value.pack()
        at = data.index(b"\1\x14\0") + 1
        for length in (21, 32, 100, 322):
            longer = data[:at] + length.to_bytes(2, "little") + data[at + 2 :]
            with self.assertRaises(DecodeError) as caught:
                Transaction.decode(longer)
            self.assertIn(caught.exception.rule, ("decode-truncated", "decode-length"))
            self.same(TRANSACTION, longer)


class Calls(Judged):
    """How many struct calls a value takes: what its speed comes from, and does not depend on the machine."""

    def calls(self, module: Any, act: Callable[[], object]) -> int:
        """Calls of the module's packing and unpacking functions during `act`."""
        made = [0]

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                made[0] += 1
                return function(*arguments)

            return call

        names = [name for name in vars(module) if name.startswith(("_pack_", "_unpack_", "_iter_unpack_"))]
        for name in names:
            self.patch(module, name, counted(getattr(module, name)))
        act()
        return made[0]

    def test_a_payment_takes_a_call_for_each_part(self) -> None:
        """Head, inputs, outputs with what follows them, witnesses: whether there is one of each or two."""
        for count in (1, 2):
            value = transaction(count, LOCKS[:1] * count, count)
            data = value.pack()
            self.assertEqual(self.calls(_transaction_codec, lambda data=data: Transaction.decode(data)), 4)
            self.assertLessEqual(self.calls(_transaction_codec, value.pack), 4)

    def test_an_unusual_lock_costs_calls_and_nothing_else(self) -> None:
        value = transaction(1, LOCKS[:2], 1)
        data = value.pack()
        self.assertGreater(self.calls(_transaction_codec, lambda: Transaction.decode(data)), 4)
        self.assertEqual(Transaction.decode(data), value)

    def test_a_header_and_a_coin_take_one_call(self) -> None:
        header = sampled(BLOCK_HEADER)
        self.assertEqual(self.calls(_block_codec, lambda: BlockHeader.decode(header)), 1)
        coin = CoinRecord(Output(5, LOCKS[0]), 7, False)
        data = coin.encode()
        self.assertEqual(self.calls(_records_codec, lambda: CoinRecord.decode(data)), 1)
        self.assertEqual(self.calls(_records_codec, coin.encode), 1)

    def test_hashes_take_no_call_each(self) -> None:
        """Many strings of one width are read AT_ONCE at a time."""
        data = bytes(range(256)) * 40
        for count in STRINGS:
            found = many(32)(data, 5, count)
            self.assertEqual(found, tuple(data[5 + 32 * each : 37 + 32 * each] for each in range(count)))
        self.assertEqual(len(few(32)), AT_ONCE + 1)
        self.assertRaises(struct.error, many(32), data, 5, len(data) // 32)
        self.assertRaises(struct.error, many(32), data, 5, 1 << 32)

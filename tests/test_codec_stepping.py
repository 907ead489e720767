"""Decoders that pause: the same values and the same errors as those that do not."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.damage import damaged
from tests.layout_strategies import plain, sample
from timed.codec import interpret
from timed.codec.runtime import STRIDE
from timed.codec.stepping import is_long
from timed.errors import DecodeError
from timed.primitives import _block_codec as blocks
from timed.primitives.transaction import Lock, Output, Transaction
from timed.wire import _block_codec as block_messages
from timed.wire import _transaction_codec as transaction_messages
from timed.wire.catalogue import MESSAGES, decode_in_steps, decode_message
from timed.wire.messages import Ping, TransactionsResponse

LONG = tuple(entry for entry in MESSAGES if is_long(entry.layout))
quick = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
entries = st.sampled_from(LONG).flatmap(lambda entry: st.tuples(st.just(entry), plain(entry.layout)))


def outcome(decode: Any) -> Any:
    try:
        return decode()
    except DecodeError as error:
        return error.rule, error.detail


def finish(steps: Generator[int, None, Any]) -> Any:
    """The value; the offsets yielded must rise."""
    last = 0
    while True:
        try:
            at = next(steps)
        except StopIteration as done:
            return done.value
        if at <= last:
            raise AssertionError(f"{at} after {last}")
        last = at


class SteppingTests(SynchronousTestCase):
    """With a stride of one byte there is a pause after every item."""

    def setUp(self) -> None:
        for module in (blocks, block_messages, transaction_messages):
            patch = mock.patch.object(module, "STRIDE", 1)
            patch.start()
            self.addCleanup(patch.stop)

    def assertSame(self, number: int, data: bytes) -> None:
        whole = outcome(lambda: decode_message(number, data))
        stepwise = outcome(lambda: finish(decode_in_steps(number, data)))
        self.assertEqual(stepwise, whole)

    def test_long_messages_are_those_that_carry_blocks_headers_and_transactions(self) -> None:
        self.assertEqual(
            sorted(entry.name for entry in LONG),
            [
                "BlockResponse",
                "BlocksResponse",
                "CertificatesResponse",
                "CompactBlockResponse",
                "HeadersResponse",
                "TransactionsResponse",
            ],
        )

    @quick
    @given(entries)
    def test_good_messages(self, case: Any) -> None:
        entry, fields = case
        self.assertSame(entry.number, interpret.build(entry.layout, fields))

    @quick
    @given(entries, entries, st.integers(1, 4), st.randoms(use_true_random=False))
    def test_damaged_messages(self, case: Any, other: Any, count: int, rng: random.Random) -> None:
        entry, fields = case
        data, spare = interpret.build(entry.layout, fields), interpret.build(other[0].layout, other[1])
        for _ in range(count):
            data = damaged(entry.layout, data, rng, spare)
        self.assertSame(entry.number, data)

    def test_truncated_at_every_byte_and_with_bytes_behind(self) -> None:
        for entry in LONG:
            data = interpret.build(entry.layout, sample(entry.layout, entry.name))
            for end in range(0, len(data), 1 if len(data) < 3_000 else 7):
                self.assertSame(entry.number, data[:end])
            self.assertSame(entry.number, data + b"\0")

    def test_short_messages_unknown_ones_and_those_above_their_bound(self) -> None:
        for number, data in ((4, Ping(1, 2).encode()), (4, b""), (999, b""), (4, bytes(100))):
            self.assertSame(number, data)
        self.assertSame(LONG[0].number, bytes(LONG[0].max_size + 1))


class StrideTests(SynchronousTestCase):
    def test_a_step_reads_a_stride_and_the_rest_of_one_item(self) -> None:
        one = Transaction.make(inputs=(), outputs=(Output(1, Lock(1, bytes(200))),) * 10)
        message = TransactionsResponse(transactions=(one,) * 200)
        data = message.encode()
        steps = TransactionsResponse.decode_in_steps(data)
        last, count = 0, 0
        for at in steps:
            self.assertGreaterEqual(at - last, STRIDE)
            self.assertLess(at - last, STRIDE + one.size + 2)
            last, count = at, count + 1
        self.assertEqual(count, len(data) // (STRIDE // one.size * one.size + one.size))

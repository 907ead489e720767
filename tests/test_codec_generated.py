"""Generated codecs against the interpreted declarations, for every declared value."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.damage import scribbled
from tests.layout_strategies import plain, sample
from timed.codec import interpret
from timed.codec.declare import LayoutError, Record, maximum_size, minimum_size
from timed.codec.targets import all_records
from timed.codec.value import Retained, Value
from timed.errors import DecodeError

RECORDS = all_records()
by_record = st.sampled_from(RECORDS)
quick = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def outcome(record: Record, data: bytes) -> Any:
    """What the generated decoder makes of `data`: a plain value, or None when it refuses.

    Anything but a value or a DecodeError fails the test that calls.
    """
    try:
        return interpret.to_plain(record, interpret.class_of(record).decode(data))
    except DecodeError:
        return None


def expected(record: Record, data: bytes) -> Any:
    """The same, by interpretation."""
    try:
        return interpret.parse(record, data)
    except LayoutError:
        return None


def sampled(record: Record) -> bytes:
    """A fixed encoding of every record."""
    return interpret.build(record, sample(record, record.title))


class GeneratedCodecs(SynchronousTestCase):
    """Rule [3]: one canonical encoding per value, and nothing else is accepted."""

    @quick
    @given(by_record.flatmap(lambda record: st.tuples(st.just(record), plain(record))))
    def test_encodes_and_decodes_as_declared(self, case: tuple[Record, Any]) -> None:
        """[3] Encoding equals the interpreter's, and decoding gives the fields back."""
        record, fields = case
        data = interpret.build(record, fields)
        value = interpret.from_plain(record, fields)
        self.assertEqual(value.encode(), data)
        decoded = type(value).decode(data)
        self.assertEqual(decoded, value)
        self.assertEqual(interpret.to_plain(record, decoded), fields)
        self.assertEqual(decoded.encode(), data)
        self.assertEqual(decoded.pack(), data)
        self.assertEqual(interpret.decode(record, data), value)
        self.assertEqual(interpret.encode(record, value), data)

    @quick
    @given(by_record, st.randoms(use_true_random=False))
    def test_damage_is_judged_as_by_the_interpreter(self, record: Record, rng: random.Random) -> None:
        """[3] Flipped, cut, repeated and inserted bytes: a value or a DecodeError, as declared."""
        data = sampled(record)
        for _ in range(rng.randint(1, 4)):
            data = damaged(data, rng)
        self.assertEqual(outcome(record, data), expected(record, data))

    def test_every_truncation_is_refused(self) -> None:
        """[3] No prefix of an encoding is an encoding, whatever the length."""
        for record in RECORDS:
            data, cls = sampled(record), interpret.class_of(record)
            for length in range(len(data)):
                with self.assertRaises(DecodeError, msg=f"{record.title}[:{length}]") as caught:
                    cls.decode(data[:length])
                self.assertEqual(caught.exception.rule, "decode-truncated", f"{record.title}[:{length}]")

    def test_trailing_bytes_are_refused(self) -> None:
        """[3] An encoding followed by anything is no encoding."""
        for record in RECORDS:
            for extra in (b"\0", b"\xff" * 40):
                with self.assertRaises(DecodeError, msg=record.title) as caught:
                    interpret.class_of(record).decode(sampled(record) + extra)
                self.assertEqual(caught.exception.rule, "decode-trailing", record.title)

    def test_every_flipped_byte_is_judged_as_by_the_interpreter(self) -> None:
        """[3] One byte at a time over every value: the verdict and the fields agree."""
        for record in RECORDS:
            data = sampled(record)
            step = 1 if len(data) < 600 else 7
            for place in range(0, len(data), step):
                for change in (0x01, 0x80, 0xFF):
                    damaged = bytearray(data)
                    damaged[place] ^= change
                    wanted = expected(record, bytes(damaged))
                    self.assertEqual(outcome(record, bytes(damaged)), wanted, f"{record.title} at {place}")

    def test_hostile_counts_and_lengths_allocate_nothing(self) -> None:
        """[3] Each count and length at its most, with the rest of the sample behind it.

        Memory stays within a few times the input: nothing is made for items that are not there.
        """
        tried = 0
        for record in RECORDS:
            data, cls = sampled(record), interpret.class_of(record)
            for place in range(0, len(data) - 4, 1 if len(data) < 200 else 7):
                hostile = data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :]
                tracemalloc.start()
                try:
                    cls.decode(hostile)
                except DecodeError:
                    tried += 1
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                self.assertLess(peak, 20_000 + 20 * len(data), f"{record.title} at {place}")
        self.assertGreater(tried, 300)

    def test_sizes_stay_within_the_declared_bounds(self) -> None:
        """Every sample is as long as its declaration says a value may be."""
        for record in RECORDS:
            size = len(sampled(record))
            self.assertTrue(minimum_size(record) <= size <= maximum_size(record), record.title)

    def test_decoded_values_keep_the_received_bytes(self) -> None:
        """[3] A retained value answers `encode` with the very bytes it was decoded from."""
        kept = [record for record in RECORDS if record.retained]
        self.assertTrue(kept)
        for record in kept:
            data = sampled(record)
            value = interpret.class_of(record).decode(data)
            self.assertIsInstance(value, Retained)
            self.assertIs(value.encode(), data, record.title)

    def test_nested_values_keep_their_slice(self) -> None:
        """[3] Inside another value, too, the received slice is what is kept."""
        for record in RECORDS:
            data = sampled(record)
            for value, layout in retained_parts(record, interpret.class_of(record).decode(data)):
                self.assertIn(value._raw, data, layout.title)
                self.assertEqual(value._raw, value.pack(), layout.title)


def retained_parts(layout: Any, value: Any) -> list[tuple[Any, Record]]:
    """Every retained value inside `value`."""
    if value is None:
        return []
    if isinstance(layout, Record):
        found = [(value, layout)] if isinstance(value, Retained) else []
        for key, sub in layout.fields:
            found += retained_parts(sub, getattr(value, key))
        return found
    if isinstance(value, tuple):
        return [part for item in value for part in retained_parts(layout.item, item)]
    return retained_parts(layout.item, value) if isinstance(value, Value) else []


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One random change of the kinds that a broken or hostile peer makes."""
    if rng.randrange(5):
        return scribbled(data, rng)
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place : place + rng.randint(1, 40)] + data[place:]

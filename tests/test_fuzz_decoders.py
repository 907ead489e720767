"""Every decoder of foreign bytes under hypothesis: damage that follows the declared layouts.

What is judged stands in `tests.fuzz.targets`; here hypothesis chooses, and makes a
failure short. Work and memory are counted, never timed.
"""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import targets
from tests.fuzz.arena import example
from tests.fuzz.damage import damaged, damaged_stream
from tests.layout_strategies import plain
from timed.codec import interpret
from timed.errors import DecodeError
from timed.params import REGTEST
from timed.wire.catalogue import MESSAGES, decode_record
from timed.wire.framing import frames_of
from timed.wire.jsonlines import decode_line, encode_line

quick = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
rngs = st.randoms(use_true_random=False)
messages = st.sampled_from(MESSAGES).flatmap(lambda entry: st.tuples(st.just(entry), plain(entry.layout)))
times = st.integers(1, 4)


class Decoders(SynchronousTestCase):
    @quick
    @given(messages, messages, times, rngs)
    def test_damaged_messages(self, case: Any, other: Any, count: int, rng: random.Random) -> None:
        """[3] A value that encodes to the same bytes, or a DecodeError, as the declaration says."""
        entry, fields = case
        data = interpret.build(entry.layout, fields)
        spare = interpret.build(other[0].layout, other[1])
        for _ in range(count):
            data = damaged(entry.layout, data, rng, spare)
        targets.run_messages(entry.number.to_bytes(2, "little") + data)

    @quick
    @given(st.sampled_from(sorted(targets.RECORDS)).flatmap(
        lambda title: st.tuples(st.just(title), plain(targets.RECORDS[title]))
    ), times, rngs)  # fmt: skip
    def test_damaged_values(self, case: Any, count: int, rng: random.Random) -> None:
        """[3] The same of everything else that is declared, the store's records among it."""
        title, fields = case
        data = interpret.build(targets.RECORDS[title], fields)
        for _ in range(count):
            data = damaged(targets.RECORDS[title], data, rng)
        targets.run_values(title.encode() + b"\0" + data)

    @quick
    @given(messages, rngs)
    def test_memory_follows_the_bytes_that_came(self, case: Any, rng: random.Random) -> None:
        """[17] Whatever a count or a length says: a constant and a multiple of the input."""
        entry, fields = case
        data = damaged(entry.layout, interpret.build(entry.layout, fields), rng)
        record = entry.number.to_bytes(2, "little") + data
        try:
            decode_record(record)
        except DecodeError:
            self.assertTrue(record)
        tracemalloc.start()
        try:
            decode_record(record)
        except DecodeError as error:
            self.assertTrue(error.rule)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        self.assertLess(peak, 8_192 + 20 * len(record), entry.name)

    @quick
    @given(
        st.lists(st.tuples(st.sampled_from(MESSAGES), st.integers(0, 2**32 - 1), st.booleans()), max_size=6),
        st.integers(0, 3), st.integers(0, 255), times, rngs,
    )  # fmt: skip
    def test_damaged_streams(
        self, sent: list[Any], options: int, seed: int, count: int, rng: random.Random
    ) -> None:
        """[17] However a stream is cut: the same frames, the same error; linear work, bounded memory."""
        checksum = bool(options & 1)
        stream = b"".join(
            b"".join(
                frames_of(
                    REGTEST.magic,
                    entry.number,
                    example(entry.number).encode(),
                    request_id=request,
                    reply=reply,
                    checksum=checksum,
                )
            )
            for entry, request, reply in sent
        )
        for _ in range(count):
            stream = damaged_stream(stream, rng, checksum=checksum)
        targets.run_frames(bytes((options, seed)) + stream)

    @quick
    @given(messages, times, rngs)
    def test_damaged_lines(self, case: Any, count: int, rng: random.Random) -> None:
        """A line that is JSON still, mostly: tokens exchanged, doubled, taken away."""
        entry, fields = case
        text = encode_line(interpret.from_plain(entry.layout, fields)).decode("ascii")
        for _ in range(count):
            at, until = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
            piece = text[at : min(until, at + rng.randint(1, 40))]
            text = rng.choice((
                text[:at] + text[at + len(piece) :], text[:at] + piece + text[at:],
                text[:at] + rng.choice(LEXEMES) + text[at:], text[:at] + rng.choice(LEXEMES) + text[until:],
            ))  # fmt: skip
        targets.run_lines(text.encode("utf-8", "surrogatepass"))


LEXEMES = (
    "null", "true", "NaN", "Infinity", "-1", "1.0", "1e9", "18446744073709551616", "256", '""', '"\\ud800"',
    '"\\udc00\\ud800"', "[", "]", "{", "}", ",", ":", "\\u0000", "\ud800", '"Ping":', " ", "\t", "[" * 2_000,
    '{"a":' * 1_000, "9" * 5_000,
)  # fmt: skip


class HostileLines(SynchronousTestCase):
    """What JSON allows and no message needs."""

    def assert_refused(self, rule: str, line: bytes) -> None:
        with self.assertRaises(DecodeError, msg=line[:60]) as caught:
            decode_line(line)
        self.assertEqual(caught.exception.rule, rule, line[:60])

    def test_nesting_of_a_hundred_thousand(self) -> None:
        """At the top, as a field, inside an array, closed and not closed."""
        deep = 100_000
        for opened, closed in (("[", "]"), ('{"a":', "}"), ('[{"Ping":', "}]")):
            for inner in ("", "1"):
                whole = opened * deep + inner + closed * deep
                self.assert_refused("json-syntax", whole.encode())
                self.assert_refused("json-syntax", (opened * deep).encode())
                wrapped = '{"BlocksResponse":{"blocks":' + whole + "}}"
                self.assert_refused("json-syntax", wrapped.encode())

    def test_nesting_that_is_read_is_no_message(self) -> None:
        for depth in (1, 10, 500):
            self.assert_refused("json-message", b"[" * depth + b"]" * depth)
            deep = b'{"BlocksResponse":{"blocks":' + b"[" * depth + b"]" * depth + b"}}"
            if depth > 1:
                self.assert_refused("json-field", deep)

    def test_numbers_that_are_none(self) -> None:
        for number in (b"NaN", b"Infinity", b"-Infinity", b"1.0", b"1e3", b"-0", b"01", b"0x1", b"9" * 5_000):
            self.assert_refused("json-syntax", b'{"Ping":{"nonce":' + number + b',"time":2}}')

    def test_keys_twice_at_any_depth(self) -> None:
        for line in (
            b'{"Ping":{"nonce":1,"time":2},"Ping":{"nonce":1,"time":2}}',
            b'{"Ping":{"nonce":1,"nonce":1,"time":2}}',
            b'{"Ping":{"nonce":1,"\\u006eonce":1,"time":2}}',
        ):
            self.assert_refused("json-syntax", line)

    def test_surrogates_without_their_half(self) -> None:
        """In a text, in a name, in a key; and as bytes that are no UTF-8 at all."""
        for half in (b"\\ud800", b"\\udfff", b"\\udc00\\ud800", b"x\\ud83d"):
            self.assert_refused("json-field", b'{"Goodbye":{"reason":"' + half + b'","detail":""}}')
            self.assert_refused("json-field", b'{"Ping":{"' + half + b'":1,"time":2}}')
            self.assert_refused("message-unknown", b'{"' + half + b'":{}}')
        self.assert_refused("json-syntax", b'{"Goodbye":{"reason":"\xed\xa0\x80","detail":""}}')
        whole = decode_line(b'{"Goodbye":{"reason":"\\ud83d\\ude00","detail":""}}')
        self.assertEqual(whole.encode(), type(whole)(reason="\U0001f600", detail="").encode())  # type: ignore[call-arg]

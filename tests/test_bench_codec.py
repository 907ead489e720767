"""The benchmark compares equals: every way of coding gives the same values and, but for JSON, the same bytes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from tests.test_codec_generator import misfits
from timed.bench import codec, handwritten_wire, plainjson
from timed.bench.samples import Samples, all_messages
from timed.codec import interpret
from timed.codec.value import EncodeError
from timed.errors import DecodeError, LocalError
from timed.wire import jsonlines
from timed.wire.catalogue import MESSAGES, encode_message
from timed.wire.message import Message


class Samplings(SynchronousTestCase):
    def test_there_is_one_sample_of_every_type(self) -> None:
        names = [message.message_type() for message in all_messages()]
        self.assertEqual(sorted(names), sorted(entry.name for entry in MESSAGES))

    def test_samples_are_always_the_same(self) -> None:
        self.assertEqual(Samples(3).transaction(), Samples(3).transaction())

    def test_samples_fit_their_type(self) -> None:
        for message in all_messages():
            number, payload = encode_message(message)
            self.assertEqual(type(message).decode(payload), message, number)

    def test_a_fresh_copy_is_equal_and_keeps_no_bytes(self) -> None:
        transaction = Samples().transaction()
        self.assertEqual(len(transaction.raw), transaction.size)
        copy = codec.fresh(transaction)
        self.assertEqual(copy, transaction)
        self.assertFalse(hasattr(copy, "_raw"))


class ByHand(SynchronousTestCase):
    def test_hand_written_code_writes_the_canonical_bytes(self) -> None:
        for message in all_messages():
            self.assertEqual(handwritten_wire.encode(message), message.encode(), message.message_type())

    def test_hand_written_code_reads_what_it_wrote(self) -> None:
        for message in all_messages():
            data = message.encode()
            self.assertEqual(handwritten_wire.decode(type(message), data), message, message.message_type())

    def test_hand_written_code_takes_no_cut_and_no_longer_message(self) -> None:
        """It must not win by being careless about the end."""
        for message in all_messages():
            data = message.encode()
            with self.assertRaises(DecodeError):
                handwritten_wire.decode(type(message), data + b"\0")
            for cut in {len(data) // 3, len(data) - 1} if data else ():
                with self.assertRaises(DecodeError):
                    handwritten_wire.decode(type(message), data[:cut])

    def test_hand_written_code_refuses_what_generated_code_refuses(self) -> None:
        """Nor by packing what does not fit."""
        tried = 0
        for message in all_messages():
            layout = message.entry().layout
            for path, plain in misfits(layout, sample(layout, layout.title, 1), layout.title):
                value = interpret.from_plain(layout, plain)
                self.assertRaises(EncodeError, value.encode)
                with self.assertRaises(EncodeError, msg=path):
                    handwritten_wire.encode(value)
                tried += 1
        self.assertGreater(tried, 300)

    def test_hand_written_code_judges_damage_as_generated_code_does(self) -> None:
        """Every prefix, and every byte changed: the same value or a refusal."""
        for message in all_messages():
            layout, cls = message.entry().layout, type(message)
            data = interpret.build(layout, sample(layout, layout.title, 2))
            step = 1 if len(data) < 1_000 else 5
            damaged = [data[:length] for length in range(0, len(data), step)]
            for place in range(0, len(data), step):
                for change in (0x01, 0x80, 0xFF):
                    damaged.append(data[:place] + bytes((data[place] ^ change,)) + data[place + 1 :])
            for each in damaged:
                self.assertEqual(
                    verdict(partial(handwritten_wire.decode, cls), each),
                    verdict(cls.decode, each),
                    each.hex(),
                )


def verdict(decode: Callable[[bytes], Message], data: bytes) -> Message | None:
    """The message, or None when it is refused."""
    try:
        return decode(data)
    except DecodeError:
        return None


class Json(SynchronousTestCase):
    def test_plain_json_and_the_session_mode_write_the_same_lines(self) -> None:
        for message in all_messages():
            self.assertEqual(plainjson.encode_line(message), jsonlines.encode_line(message))

    def test_plain_json_reads_its_lines_back(self) -> None:
        for message in all_messages():
            self.assertEqual(plainjson.decode_line(plainjson.encode_line(message)), message)

    def test_plain_json_refuses_what_serde_refused(self) -> None:
        for line in (
            b'{"Ping":{"nonce":1}}',
            b'{"Ping":{"nonce":-1,"time":2}}',
            b'{"Ping":{"nonce":true,"time":2}}',
            b'{"BlockRequest":{"hash":[1,2,3]}}',
            b'{"BlockRequest":{"hash":"text"}}',
            b'{"Nothing":{}}',
            b"[",
        ):
            with self.assertRaises(DecodeError):
                plainjson.decode_line(line)


class Figures(SynchronousTestCase):
    def test_a_type_that_is_not_there_is_named(self) -> None:
        options = Namespace(only=["Ping", "Pung"], runs=1, budget_ms=1.0)
        self.assertIn("'Pung'", str(self.assertRaises(LocalError, codec.run, options)))

    def test_the_keys_are_those_of_the_targets(self) -> None:
        message = Samples().vote()
        once = {way.name: codec.Times(1.0, 3.0) for way in codec.WAYS} | {"generated": codec.Times(0.5, 0.5)}
        figures = codec.figures(message, [once])
        self.assertEqual(figures["bytes_binary"], 16 + len(message.encode()))
        self.assertEqual(figures["bytes_json"], 1 + len(jsonlines.encode_line(message)))
        self.assertEqual(figures["speed_vs_json"], 4.0)
        self.assertEqual(figures["speed_vs_interpreted"], 4.0)
        self.assertEqual(figures["share_of_handwritten"], 4.0)

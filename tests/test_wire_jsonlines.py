"""The JSON encoding: the same messages, as strict as the binary one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import plain
from timed.codec import interpret
from timed.errors import DecodeError
from timed.wire.catalogue import BY_NAME, MESSAGES
from timed.wire.jsonlines import decode_line, encode_line
from timed.wire.messages import Message, Ping


class JsonLines(SynchronousTestCase):
    """One object per line."""

    @settings(deadline=None, max_examples=60)
    @given(st.sampled_from(MESSAGES).flatmap(lambda entry: st.tuples(st.just(entry), plain(entry.layout))))
    def test_every_message_round_trips(self, case: Any) -> None:
        """[3] The same value as through the binary codec, on one line."""
        entry, fields = case
        message = interpret.from_plain(entry.layout, fields)
        line = encode_line(message)
        self.assertNotIn(b"\n", line)
        self.assertEqual(decode_line(line), message)
        self.assertEqual(list(json.loads(line)), [entry.name])

    def test_form(self) -> None:
        """Tagged by the name, no spaces, bytes as integers, as the original wrote it."""
        self.assertEqual(encode_line(Ping(1, 2)), b'{"Ping":{"nonce":1,"time":2}}')
        request: Message = BY_NAME["BlockRequest"].cls(bytes(32))  # type: ignore[call-arg]
        self.assertEqual(encode_line(request), b'{"BlockRequest":{"hash":[' + b",".join([b"0"] * 32) + b"]}}")

    def assert_refused(self, rule: str, *lines: bytes) -> None:
        """Each line is a DecodeError with this rule."""
        for line in lines:
            with self.assertRaises(DecodeError, msg=line[:80]) as caught:
                decode_line(line)
            self.assertEqual(caught.exception.rule, rule, line[:80])

    def test_syntax(self) -> None:
        """No JSON, floats, NaN, keys twice, huge integers, depth that would exhaust the stack."""
        self.assert_refused(
            "json-syntax", b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"Ping":{"nonce":1.0,"time":2}}',
            b'{"Ping":{"nonce":1e3,"time":2}}', b'{"Ping":{"nonce":NaN,"time":2}}',
            b'{"Ping":{"nonce":-1,"time":2}}', b'{"Ping":{"nonce":1,"nonce":1,"time":2}}',
            b'{"Ping":{"nonce":' + b"9" * 5_000 + b',"time":2}}', b"[" * 100_000, b'{"a":' * 100_000,
            b'{"Ping":{"nonce":1,"time":2}} {}', '{"Ping":{"nonce":1,"time":2}}'.encode("utf-16"),
        )  # fmt: skip

    def test_length(self) -> None:
        """[17] A line longer than any message of its type is refused, whatever stands in it."""
        self.assert_refused("message-too-long", b'{"Ping":{"nonce":1,"time":2' + b" " * 5_000 + b"}}")
        self.assert_refused("message-too-long", b" " * 100_000_000)

    def test_messages(self) -> None:
        """Not one message, and messages nobody knows."""
        self.assert_refused("json-message", b"[]", b"1", b'"Ping"', b"{}", b'{"Ping":{},"Pong":{}}')
        self.assert_refused("message-unknown", b'{"Version":{}}', b'{"ping":{"nonce":1,"time":2}}')

    def test_fields(self) -> None:
        """Missing, unknown, of another type, out of range."""
        self.assert_refused(
            "json-field", b'{"Ping":[1,2]}', b'{"Ping":{"nonce":1}}', b'{"Ping":{"nonce":1,"time":2,"x":3}}',
            b'{"Ping":{"nonce":true,"time":2}}', b'{"Ping":{"nonce":"1","time":2}}',
            b'{"Ping":{"nonce":null,"time":2}}', b'{"Ping":{"nonce":18446744073709551616,"time":2}}',
            b'{"Ping":{"nonce":1,"time":' + b"9" * 4_000 + b"}}",
            b'{"BlockRequest":{"hash":"00"}}', b'{"BlockRequest":{"hash":[1,2]}}',
            b'{"BlockRequest":{"hash":[' + b",".join([b"true"] * 32) + b"]}}",
            b'{"BlockRequest":{"hash":[' + b",".join([b"256"] * 32) + b"]}}",
            b'{"RoundState":{"height":1,"round":1,"step":1,"reported":1}}',
            b'{"Goodbye":{"reason":"\\ud800","detail":""}}', b'{"PeersResponse":{"peers":{}}}',
        )  # fmt: skip

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=60) | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(sorted(BY_NAME)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(BY_NAME)), inner, max_size=2),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()))  # fmt: skip
    def test_garbage_is_a_message_or_a_decode_error(self, line: bytes) -> None:
        """Whatever the line: a message or a DecodeError."""
        try:
            self.assertIsInstance(decode_line(line), Message)
        except DecodeError as error:
            self.assertTrue(error.rule)

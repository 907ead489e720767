"""What JSON allows and no message needs, on an open session in lines: the session ends, by name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import Arena
from timed.events import PeerClosed
from timed.wire.catalogue import BY_NAME
from timed.wire.jsonlines import EXPANSION, MAX_OVERHEAD

DEEP = 100_000
PING = b'{"Ping":{"nonce":%s,"time":2}}'
HOSTILE = (
    ("json-syntax", b'{"BlockProposal":' + b"[" * DEEP),
    ("json-syntax", b'{"BlockProposal":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    ("json-syntax", b'{"BlockProposal":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}"),
    ("json-syntax", PING % b"NaN"),
    ("json-syntax", PING % b"-Infinity"),
    ("json-syntax", PING % b"1e3"),
    ("json-syntax", b'{"BlockProposal":' + b"9" * 5_000 + b"}"),
    ("line-too-long", PING % (b"9" * 5_000)),
    ("json-syntax", b'{"Ping":{"nonce":1,"nonce":1,"time":2}}'),
    ("json-syntax", b'{"Ping":{"nonce":1,"time":2},"Ping":{"nonce":1,"time":2}}'),
    ("json-syntax", b'{"Goodbye":{"reason":"\xed\xa0\x80","detail":""}}'),
    ("json-field", b'{"Goodbye":{"reason":"\\ud800","detail":""}}'),
    ("json-field", PING % b"true"),
    ("json-field", PING % b"18446744073709551616"),
    ("json-message", b'{"Ping":{"nonce":1,"time":2},"\\ud800":1}'),
    ("line-start", b'{"\\ud800":{}}' + b" " * 64),
    ("line-start", b"[" * DEEP),
)


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.arena = Arena(json=True)
        for at in (0, 1):
            self.arena.connect(at)
            self.arena.greet(at)
            self.arena.acknowledge(at)
        self.assertEqual([line.speaks_lines for line in self.arena.lines], [True, True])

    def test_each_ends_its_session_and_no_other(self) -> None:
        for rule, line in HOSTILE:
            self.setUp()
            self.arena.deliver(0, line + b"\n")
            self.assertEqual(dict(self.arena.table.violations), {rule: 1}, line[:60])
            ends = [event.reason for event in self.arena.host.events if isinstance(event, PeerClosed)]
            self.assertEqual(ends, [rule], line[:60])
            self.assertEqual(len(self.arena.table.peers()), 1)
            self.arena.finish()

    def test_a_line_without_end_is_kept_to_its_bound_and_no_further(self) -> None:
        """[17] Each type has its own; an answer that nobody waits for has that of an unknown type."""
        for name, bound in (("Ping", BY_NAME["Ping"].max_size), ("BlocksResponse", 64 * 1024)):
            self.setUp()
            most = EXPANSION * bound + MAX_OVERHEAD
            self.arena.deliver(0, (b'{"%s":{' % name.encode()).ljust(most, b" "))
            self.assertEqual(dict(self.arena.table.violations), {})
            self.arena.deliver(0, b" ")
            self.assertEqual(dict(self.arena.table.violations), {"line-too-long": 1})
            self.arena.finish()

    def test_byte_by_byte_is_as_good_as_any_other_way(self) -> None:
        for rule, line in HOSTILE[3:]:
            if len(line) < 6_000:
                self.setUp()
                self.arena.deliver(0, line + b"\n", 1)
                self.assertEqual(dict(self.arena.table.violations), {rule: 1}, line[:60])

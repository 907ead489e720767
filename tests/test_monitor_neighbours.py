"""Other nodes on a node's dashboard: asked while somebody looks, believed only as far as they make sense."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import RemoteError
from timed.monitor.neighbours import IDLE_S, Neighbours
from timed.monitor.summary import MAX_LISTED, MAX_TEXT, Link, Summary, parse

PLACES = ("127.0.0.1:1", "[::1]:2")


def summary(**fields: Any) -> Summary:
    shown = {"node": "ab", "name": "n", "version": "1", "network": "regtest", "state": "ok", "failing": []}
    return Summary(**{**shown, "alerts": [], **fields})


class NeighbourCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[bytes]]] = []
        self.neighbours = Neighbours(PLACES, self.fetch, self.clock.seconds)

    def fetch(self, url: str) -> Deferred[bytes]:
        self.asked.append((url, Deferred()))
        return self.asked[-1][1]

    def answer(self, number: int, value: Summary) -> None:
        self.asked[number][1].callback(msgspec.json.encode(value))

    def fail(self, number: int, rule: str) -> None:  # type: ignore[override]
        self.asked[number][1].errback(RemoteError(rule))

    def rows(self, seconds: float = 1.0) -> list[dict[str, Any]]:
        self.clock.advance(seconds)
        return self.neighbours.rows()


class Asking(NeighbourCase):
    def test_each_is_asked_when_somebody_looks_and_shown_at_the_next_look(self) -> None:
        self.assertEqual([row["summary"] for row in self.rows()], [None, None])
        self.assertEqual([url for url, _ in self.asked], [f"http://{place}/summary" for place in PLACES])
        self.answer(0, summary(height=7.0))
        first, second = self.rows()
        self.assertEqual((first["summary"].height, first["age"], first["error"]), (7.0, 1.0, None))
        self.assertEqual((second["summary"], second["error"], second["age"]), (None, None, 1.0))

    def test_whoever_owes_an_answer_is_not_asked_again(self) -> None:
        for _ in range(4):
            self.rows()
        self.assertEqual(len(self.asked), 2)

    def test_a_node_that_dies_keeps_its_last_figures_with_their_age_and_the_reason(self) -> None:
        self.rows()
        self.answer(0, summary(height=7.0))
        self.rows()
        self.fail(2, "connection-refused")
        for seconds in (1.0, 1.0, 1.0):
            row = self.rows(seconds)[0]
        self.assertEqual((row["error"], row["age"], row["summary"].height), ("connection refused", 4.0, 7.0))
        self.assertEqual(self.neighbours.outcomes, {"answered": 1, "connection-refused": 1})

    def test_a_node_that_comes_back_is_as_before(self) -> None:
        self.rows()
        self.fail(0, "connection-refused")
        self.rows()
        self.answer(2, summary())
        self.assertIsNone(self.rows()[0]["error"])

    def test_after_nobody_looked_old_figures_are_not_shown_as_new(self) -> None:
        self.rows()
        self.answer(0, summary())
        self.rows()
        row = self.rows(IDLE_S + 1)[0]
        self.assertEqual((row["summary"], row["age"]), (None, 0.0))

    def test_stopping_gives_up_what_is_under_way(self) -> None:
        self.rows()
        done = self.neighbours.stop()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.neighbours.outcomes, {})

    def test_a_bug_is_logged_and_asked_again(self) -> None:
        self.rows()
        self.asked[0][1].errback(Failure(RuntimeError("bug")))
        self.assertEqual(self.rows()[0]["error"], "internal error")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(self.asked), 3)


DEEP = b'{"later":%b%b}' % (b"[" * 50_000, b"]" * 50_000)
"""What a later version has, nested deeper than anybody would."""


class Believing(NeighbourCase):
    def refused(self, data: bytes) -> None:
        self.assertRaises(ValueError, parse, data)

    def test_a_summary_comes_back_as_it_was(self) -> None:
        shown = summary(links=[Link("cd", 0.1, None, 5.0)])
        self.assertEqual(parse(msgspec.json.encode(shown)), shown)
        self.assertNotIn(b"links", msgspec.json.encode(shown.without_links()))

    def test_fields_of_a_later_version_are_left_out(self) -> None:
        data = {**msgspec.to_builtins(summary()), "later": 1}
        self.assertEqual(parse(msgspec.json.encode(data)), summary())

    def test_anything_else_is_a_value_error(self) -> None:
        for data in (b"", b"[]", b"{}", b"<html>", b'{"node": 1}', b"\xff", b"[" * 5000, DEEP):
            self.refused(data)
        self.refused(msgspec.json.encode(summary(name="x" * (MAX_TEXT + 1))))
        self.refused(msgspec.json.encode(summary(failing=["x"] * (MAX_LISTED + 1))))
        self.refused(msgspec.json.encode(summary(links=[Link("x")] * (MAX_LISTED + 1))))

    def test_an_answer_that_is_no_summary_is_said_so(self) -> None:
        self.rows()
        self.asked[0][1].callback(b"<html>")
        self.assertEqual(self.rows()[0]["error"], "answers with something that is no summary")
        self.assertEqual(self.neighbours.outcomes, {"malformed": 1})

"""Figures in their units, bounds of what is remembered, and what strangers do not see of other nodes."""

from __future__ import annotations

import json
import os
from collections import Counter
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.test_monitor_dashboard import PictureCase
from timed import events
from timed.feed.attendance import MISSED_IN_A_ROW
from timed.monitor import observer, stages
from timed.monitor.details import _members, _rate
from timed.monitor.metrics import ROWS
from timed.monitor.observer import EventCounts
from timed.monitor.process import memory
from timed.monitor.row import Row
from timed.monitor.snapshot import Snapshots
from timed.monitor.stages import StageTimes
from timed.monitor.summary import Link, Summary
from timed.params import SECOND


def values(name: str, view: Any) -> list[tuple[tuple[str, ...], float]]:
    row = ROWS[name]
    assert isinstance(row, Row)
    return list(row.source(view))


class Units(SynchronousTestCase):
    def test_memory_is_told_in_bytes(self) -> None:
        status = "Name:\ttimed\nVmRSS:\t    2048 kB\nRssAnon:\t     512 kB\n"
        self.assertEqual(memory(status), {"resident": 2048 * 1024, "anonymous": 512 * 1024})

    def test_the_disk_has_what_is_left_for_us_not_for_root(self) -> None:
        state = SimpleNamespace(f_bavail=3, f_bfree=5, f_frsize=4096, f_bsize=1)
        self.patch(os, "statvfs", lambda path: state)
        view = SimpleNamespace(context=SimpleNamespace(config=SimpleNamespace(datadir=".")))
        self.assertEqual(values("timed_disk_free_bytes", view), [((), 3.0 * 4096)])

    def test_the_directory_that_is_read_is_no_open_file(self) -> None:
        self.patch(os, "listdir", lambda path: ["0", "1", "2", "3"])
        self.assertEqual(values("timed_descriptors", None), [((), 3.0)])

    def test_the_clock_s_offset_is_told_in_seconds(self) -> None:
        view = SimpleNamespace(node=SimpleNamespace(peers=SimpleNamespace(clock_offset=lambda: -2_500_000)))
        self.assertEqual(values("timed_clock_offset_seconds", view), [((), -2.5)])

    def test_a_verdict_of_a_dry_run_was_not_done(self) -> None:
        conduct = SimpleNamespace(verdicts={("ban", True): 2, ("ban", False): 3})
        view = SimpleNamespace(node=SimpleNamespace(peers=SimpleNamespace(conduct=conduct)))
        self.assertEqual(
            dict(values("timed_conduct_verdicts", view)), {("ban", "yes"): 2.0, ("ban", "no"): 3.0}
        )

    def test_a_rate_is_by_the_second(self) -> None:
        self.assertEqual((_rate(30, 10, 4.0), _rate(5, 10, 4.0)), (5.0, 0.0))
        self.assertEqual((_rate(30, None, 4.0), _rate(30, 10, 0.0)), (None, None))


class Members(SynchronousTestCase):
    def test_who_is_connected_and_who_is_missed(self) -> None:
        keys = [bytes([number]) for number in range(3)]
        members = [SimpleNamespace(operator_key=key, weight=1, network_address=b"m") for key in keys]
        path = SimpleNamespace(me=0, tallies={}, roster=SimpleNamespace(members=members))
        there = [SimpleNamespace(operator=keys[1], node_id=b"\7")]
        node: Any = SimpleNamespace(
            chain=SimpleNamespace(fastpath=path), peers=SimpleNamespace(peers=lambda: there)
        )
        rows = _members(node, b"\1", {keys[1]: MISSED_IN_A_ROW - 1, keys[2]: MISSED_IN_A_ROW})["rows"]
        self.assertEqual([row["node"] for row in rows], ["01", "07", None])
        self.assertEqual([row["connected"] for row in rows], [True, True, False])
        self.assertEqual([row["missed"] for row in rows], [False, False, True])


class Bounds(SynchronousTestCase):
    def test_liars_that_are_remembered_are_bounded_and_all_are_counted(self) -> None:
        self.patch(observer, "MAX_RULES", 3)
        counts = EventCounts()
        for number in range(9):
            counts.published(events.Equivocation(bytes([number]), 1, "vote"), 0)
        self.assertEqual((len(counts.equivocators), counts.equivocations), (3, 9))

    def test_of_too_many_transactions_the_oldest_are_timed_no_longer(self) -> None:
        self.patch(stages, "MAX_FOLLOWED", 2)
        times = StageTimes()
        for number in range(3):
            times.published(events.TransactionAccepted(bytes([number])), 0)
        for number in range(3):
            times.published(events.TransactionFinal(bytes([number]), 1), SECOND)
        self.assertEqual((times.since_accepted["final"].count, len(times), times.let_go), (2, 2, 1))
        times.published(events.TransactionFinal(b"\0", 1), SECOND)
        self.assertEqual(times.since_accepted["final"].count, 2, "the oldest one is followed no more")

    def test_a_transaction_that_is_dropped_is_followed_no_more(self) -> None:
        times = StageTimes()
        times.published(events.TransactionAccepted(b"x"), 0)
        times.published(events.TransactionDropped(b"x", "signature"), 1)
        self.assertEqual(len(times), 0)

    def test_the_time_begins_with_the_first_acceptance_and_is_never_negative(self) -> None:
        times = StageTimes()
        for now in (5 * SECOND, 7 * SECOND):
            times.published(events.TransactionAccepted(b"x"), now)
        times.published(events.TransactionFinal(b"x", 1), 8 * SECOND)
        self.assertEqual(times.since_accepted["final"].sum, 3.0)
        times.published(events.TransactionFinal(b"x", 1), SECOND)
        self.assertEqual(times.since_accepted["final"].sum, 3.0)


class OtherNodes(PictureCase):
    def test_strangers_see_no_links_of_other_nodes(self) -> None:
        """Who is connected with whom is told on the node's own machine only, also of its neighbours."""
        other = Summary("aa", "north", "1", "regtest", "ok", [], [], links=[Link("bb")])
        row = {"own": False, "address": "a:1", "age": 0.0, "error": None, "summary": other}
        others: Any = SimpleNamespace(rows=lambda: [row])
        taken = Snapshots(self.view, self.board, self.alarms, others).newest()
        shown = [
            json.loads(taken.picture(private=private))["nodes"][1]["summary"] for private in (True, False)
        ]
        self.assertEqual(["links" in each for each in shown], [True, False])
        self.assertEqual(Counter(each["name"] for each in shown), {"north": 2})

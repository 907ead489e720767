"""Tables for people: aligned, within the terminal, and whole in a pipe."""

from __future__ import annotations

import os
import time
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.cli.cells import cell, moment, plain, shortest, size, span
from timed.cli.columns import COLUMNS
from timed.cli.human import human, table
from timed.rpc.table import METHODS

COINS = [
    {"amount": Decimal("12.50000000"), "state": "Confirmed", "txid": "ab" * 32, "vout": 0, "address": "TIMER1", "label": ""},
    {"amount": Decimal("10000.00000001"), "state": "Final", "txid": "ab" * 31 + "ff", "vout": 12, "address": "TIMER2", "label": "shop"},
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.decimals(allow_nan=False, allow_infinity=False, places=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=12), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


class Cells(SynchronousTestCase):
    def test_spans_and_sizes(self) -> None:
        for seconds, text in (
            ("0", "0ms"), ("0.0004", "0.4ms"), ("0.012", "12ms"), ("3", "3s"), ("3.54", "3.5s"), ("250", "4m10s"),
            ("7500", "2h05m"), ("273600", "3d04h"), ("-0.012", "-12ms"),
        ):  # fmt: skip
            self.assertEqual(span(Decimal(seconds)), text)
        for count, text in (
            (0, "0B"),
            (999, "999B"),
            (1_500, "1.5kB"),
            (33_554_432, "33.6MB"),
            (10**16, "10000.0TB"),
        ):
            self.assertEqual(size(count), text)

    def test_times_are_local_with_their_offset(self) -> None:
        old = os.environ.get("TZ")
        os.environ["TZ"] = "Asia/Kathmandu"
        time.tzset()
        try:
            self.assertEqual(moment(1_790_000_000), "2026-09-21T19:58:20+05:45")
            self.assertEqual((cell("time", 0), cell("time", None)), ("never", "-"))
            self.assertEqual(cell("time", 10**30), str(10**30))
        finally:
            os.environ.pop("TZ") if old is None else os.environ.update(TZ=old)
            time.tzset()

    def test_an_amount_keeps_its_eight_decimals_and_a_count_has_none(self) -> None:
        self.assertEqual(cell("amount", Decimal("0.00000001")), "0.00000001")
        self.assertEqual(cell("size", 7), "7")
        self.assertEqual(cell("confirmed", True), "yes")

    def test_what_a_terminal_would_obey_is_written_out(self) -> None:
        self.assertEqual(plain("a\x1b[2J\u202eb\nc"), "a\\x1b[2J\\u202eb\\nc")

    def test_prefixes_tell_all_hashes_apart(self) -> None:
        self.assertEqual(shortest(["ab" * 32, "cd" * 32]), 8)
        self.assertEqual(shortest(["ab" * 32, "ab" * 31 + "ff"]), 63)
        self.assertEqual(shortest(["ab" * 32, "ab" * 32]), 8)


class Tables(SynchronousTestCase):
    def test_numbers_stand_to_the_right_and_ids_are_whole_in_a_pipe(self) -> None:
        lines = human("listunspent", COINS, None).split("\n")
        self.assertEqual(lines[0].split(), ["amount", "state", "label", "address", "txid", "vout"])
        self.assertTrue(lines[1].startswith("   12.50000000  Confirmed"))
        self.assertTrue(lines[2].startswith("10000.00000001  Final"))
        self.assertIn("ab" * 32, lines[1])
        self.assertTrue(all(len(line.split()) == 6 for line in lines))

    def test_a_terminal_is_not_overrun_and_no_number_is_cut(self) -> None:
        for width in (40, 60, 80, 120):
            lines = human("listunspent", COINS, width).split("\n")
            self.assertTrue(all(len(line) <= width for line in lines), width)
            self.assertIn("10000.00000001", lines[2])

    def test_a_long_number_is_left_out_rather_than_cut(self) -> None:
        rows = [{"name": "x" * 30, "supply": Decimal("123456789012345678901234.00000001")}]
        self.assertIn("123456789012345678901234.00000001", table(rows, 60))
        self.assertNotIn("12345", table(rows, 40))

    def test_ids_on_a_terminal_stay_different(self) -> None:
        rows = [{"nodeid": f"{number:064x}"[::-1]} for number in range(300)]
        shown = table(rows, 80).split("\n")[1:]
        self.assertEqual(len(set(shown)), 300)
        self.assertTrue(all(len(line) < 20 for line in shown))

    def test_lists_below_an_object_and_objects_by_name(self) -> None:
        roster = {"height": 3, "masternodes": [{"index": 0, "weight": 5, "owner": "ab" * 32}]}
        self.assertEqual(human("masternodelist", roster, 80).split("\n"), [
            "height       3", "", "masternodes", "  index  weight", "      0       5",
        ])  # fmt: skip
        found = human(
            "getindexinfo",
            {"a": {"synced": True, "best_block_height": 5}, "b": {"synced": False, "best_block_height": -1}},
            None,
        )
        self.assertEqual(found.split("\n")[1:], ["a  yes          5", "b  no          -1"])
        self.assertEqual(human("listbanned", [], 80), "none")
        self.assertEqual(human("uptime", 3_700, 80), "1h01m")

    def test_columns_belong_to_methods(self) -> None:
        planned = {"listtransactions", "listaccounts"}
        self.assertLessEqual(set(COLUMNS) - set(METHODS), planned)
        for name in set(COLUMNS) & set(METHODS):
            for column in COLUMNS[name].names:
                self.assertTrue(
                    column in METHODS[name].result or name in ("getindexinfo", "getblockheaders"),
                    (name, column),
                )

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(VALUES, st.integers(20, 200) | st.none())
    def test_any_result_can_be_shown(self, value: object, width: int | None) -> None:
        text = human("nosuch", value, width)
        self.assertTrue(all(line.isprintable() for line in text.split("\n")))

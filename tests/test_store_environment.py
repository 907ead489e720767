"""The pages that LMDB keeps for its commits are there from the beginning."""

from __future__ import annotations

import hashlib
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from timed.allocator import allocated_bytes
from timed.store.environment import KEPT_PAGES, changing, open_tables, usage_of

COMMITS, RECORDS = 200, 100
"""Some of the last commits change as many pages as they have records, and those above."""
PAGE = 4_096


class Pages(SynchronousTestCase):
    def opened(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        environment, tables = open_tables(self.mktemp(), ["first", "second"], **options)
        self.addCleanup(environment.close)
        return environment, tables

    def test_tables_that_grow_take_no_more_memory(self) -> None:
        environment, tables = self.opened()
        begun = allocated_bytes()
        if begun is None:
            raise SkipTest("the C library does not tell what it has handed out")
        for commit in range(COMMITS):
            with changing(environment) as transaction:
                for record in range(RECORDS):
                    key = hashlib.sha256(b"%d %d" % (commit, record)).digest()
                    transaction.put(key, bytes(100), db=tables["second"])
        ended = allocated_bytes()
        assert ended is not None
        self.assertLess(ended - begun, RECORDS // 2 * PAGE)

    def test_nothing_of_that_is_in_the_tables(self) -> None:
        environment, tables = self.opened()
        with environment.begin() as transaction:
            self.assertEqual([transaction.stat(table)["entries"] for table in tables.values()], [0, 0])
        self.assertLess(usage_of(environment).used_bytes, KEPT_PAGES * PAGE)

    def test_where_there_is_no_room_for_them_the_tables_open_as_well(self) -> None:
        environment, tables = self.opened(map_size=KEPT_PAGES * PAGE)
        with changing(environment) as transaction:
            self.assertTrue(transaction.put(b"key", b"value", db=tables["first"]))

"""The examples of docs/client.rst, run before a real node."""

from __future__ import annotations

import io
import re
import textwrap
from contextlib import redirect_stdout
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, HTTPConnectionPool

from tests.feed_world import LoopFeed
from tests.rpc_service import DEADLINE_S, ServiceTestCase
from tests.test_docs_protocol import ROOT
from timed.client import asynchronous, location

BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)


class Examples(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        text = (ROOT / "docs" / "client.rst").read_text(encoding="utf-8")
        self.blocks = [textwrap.dedent(block) for block in BLOCK.findall(text)]
        self.patch(location, "from_datadir", lambda datadir, network: self.location)

    def prepare(self) -> None:
        self.feed = LoopFeed(self.context)
        self.context.driver.add_sink(self.feed.scribe)

    async def tearDown(self) -> None:
        await super().tearDown()
        await self.feed.close()

    def run_blocks(self, blocks: list[str], names: dict[str, Any]) -> None:
        with redirect_stdout(io.StringIO()):
            for block in blocks:
                exec(compile(block, "docs/client.rst", "exec"), names)

    async def test_the_blocking_ones(self) -> None:
        blocks = [block for block in self.blocks if "react" not in block]
        self.assertGreaterEqual(len(blocks), 6)
        names: dict[str, Any] = {}
        await self.in_thread(self.run_blocks, blocks, names)
        self.assertGreaterEqual(names["height"], 0)

    async def test_the_one_for_twisted(self) -> None:
        started: list[Any] = []
        self.patch(task, "react", started.append)
        pool = HTTPConnectionPool(reactor, persistent=False)
        make = asynchronous.AsyncClient
        self.patch(
            asynchronous,
            "AsyncClient",
            lambda place, clock: make(place, clock, Agent(clock, pool=pool), DEADLINE_S),
        )
        self.run_blocks([block for block in self.blocks if "react" in block], {})
        done: Deferred[None] = started[0](reactor)
        await done

"""The dashboard in a real headless Chromium, beside three real nodes: skipped where there is no Chromium."""

from __future__ import annotations

import atexit
from typing import ClassVar

from tests.browser import Browser, find
from tests.process_world import INTERVAL_S, ProcessCase
from tests.rpc_service import ServiceTestCase

FRESH = "document.getElementById('fresh').textContent"
TITLE_HEIGHT = "Number(document.title.split(' · ')[1])"


def column(table: str, number: int) -> str:
    """The texts of one column."""
    return f"[...document.querySelectorAll('#{table} tbody tr')].map((row) => row.children[{number}].textContent)"


class WithoutChain(ServiceTestCase):
    """A node of a network that has no genesis yet: the page says what is wrong, and nothing fails in it."""

    chain = False

    def look(self) -> list[str]:
        browser = Browser()
        try:
            browser.open(f"http://127.0.0.1:{self.monitor_port}/")
            browser.until("live", f"{FRESH} === 'live'")
            browser.until("the failed check", f"{column('checks', 1)}[0] === 'failed'")
            browser.until("the remedy", f"/services.enabled/.test({column('checks', 3)}[0])")
            return browser.complaints
        finally:
            browser.close()

    async def test_the_page_says_what_is_missing(self) -> None:
        find()
        self.assertEqual(await self.in_thread(self.look), [])


class Dashboard(ProcessCase):
    """One browser for all tests; each opens the page anew."""

    _browsers: ClassVar[list[Browser]] = []

    def setUp(self) -> None:
        find()
        super().setUp()
        if not self._browsers:
            self._browsers.append(Browser())
            atexit.register(self._browsers[0].close)
        self.browser = self._browsers[0]
        self.browser.forget()
        self.browser.window(1280, 900)
        self.addCleanup(self.browser.open, "about:blank")
        self.browser.open(f"{self.world.node(1).monitor_url}/")
        self.browser.until("the page is live", f"{FRESH} === 'live'")

    def peers(self, number: int) -> list[str]:
        found: list[str] = self.browser.run(column("peers", number))
        return found

    def assert_silent(self) -> None:
        self.assertEqual(self.browser.complaints, [])

    def test_it_loads_and_moves_with_the_chain(self) -> None:
        browser, world = self.browser, self.world
        height = world.call(1, "getblockcount")
        browser.until("a later block", f"{TITLE_HEIGHT} > {height + INTERVAL_S}")
        world.wait_final(world.pay())
        browser.until("the payment is in the distribution", "[...document.querySelectorAll('#finality title')]"
                      ".some((one) => /^[1-9]\\d* final within/.test(one.textContent))")  # fmt: skip
        browser.until("both peers", "document.querySelectorAll('#peers tbody tr').length === 2")
        self.assertEqual(browser.run("document.querySelectorAll('#members tbody tr').length"), 3)
        self.assertEqual(set(browser.run(column("checks", 1))), {"ok"})
        browser.until("log lines", "document.querySelectorAll('#logs div').length > 0")
        self.assert_silent()
        self.assertEqual(browser.unreached, [])

    def test_all_nodes_stand_side_by_side(self) -> None:
        browser = self.browser
        browser.until("three nodes that are well", f"String({column('nodes', 1)}) === 'ok,ok,ok'")
        self.assertEqual(browser.run(column("nodes", 0)), ["node-1", "node-2", "node-3"])
        browser.until("three sessions", "document.querySelectorAll('#graph line').length === 3")
        self.assert_silent()

    def test_it_is_sorted_and_filtered_with_the_keyboard(self) -> None:
        browser = self.browser
        browser.until("both peers", "document.querySelectorAll('#peers tbody tr').length === 2")
        head = "document.querySelectorAll('#peers thead th')[1]"
        browser.run(f"{head}.firstChild.focus()")
        orders = []
        for wanted in ("ascending", "descending"):
            browser.press("Enter")
            browser.until(wanted, f"{head}.getAttribute('aria-sort') === '{wanted}'")
            orders.append(self.peers(1))
        self.assertEqual(orders, [sorted(orders[0]), sorted(orders[0], reverse=True)])
        browser.run("document.activeElement.blur()")
        browser.press("p")
        browser.until("the filter has the focus", "document.activeElement.id === 'peers-filter'")
        for key in self.world.node(2).node_id.hex()[:6]:
            browser.press(key)
        browser.until("one peer", "document.querySelectorAll('#peers tbody tr').length === 1")
        self.assertEqual(self.peers(1), [self.world.node(2).node_id.hex()[:8]])
        self.assert_silent()

    def test_a_peer_is_explained(self) -> None:
        browser = self.browser
        browser.until("a peer", "document.querySelectorAll('#peers tbody button').length > 0")
        browser.run("document.querySelector('#peers tbody button').click()")
        browser.until(
            "the sentence", "/^connected for/.test(document.getElementById('explain-summary').textContent)"
        )
        browser.until("the limits", "/ban_score/.test(document.getElementById('explain-body').textContent)")
        self.assert_silent()

    def test_it_survives_a_restart_and_is_honest_meanwhile(self) -> None:
        """Exceptions are failures; that the browser cannot reach a dead node is what it says itself."""
        browser, world = self.browser, self.world
        world.kill(1)
        browser.until("it says how old its data is", f"/^no data for \\d+ s$/.test({FRESH})")
        self.assertTrue(browser.run("document.body.classList.contains('stale')"))
        world.restart(1)
        world.wait_connected()
        browser.until("live again", f"{FRESH} === 'live'")
        self.assertFalse(browser.run("document.body.classList.contains('stale')"))
        self.assert_silent()

    def test_a_dead_node_is_shown_as_dead_by_the_others(self) -> None:
        browser, world = self.browser, self.world
        browser.until("three nodes", "document.querySelectorAll('#nodes tbody tr').length === 3")
        world.kill(3)
        browser.until("node 3 is away", f"/^connection refused, for/.test({column('nodes', 1)}[2])")
        self.assertEqual(browser.run("document.querySelectorAll('#nodes tbody tr')[2].className"), "away")
        world.restart(3)
        world.wait_connected()
        browser.until("node 3 is back", f"!/refused/.test({column('nodes', 1)}[2])")
        self.assert_silent()

    def test_a_stranger_is_told_what_is_withheld(self) -> None:
        """A proxy's header makes the browser one from elsewhere: figures yes, names no, and no error."""
        browser = self.browser
        browser.call("Network.setExtraHTTPHeaders", {"headers": {"X-Forwarded-For": "192.0.2.1"}})
        self.addCleanup(browser.call, "Network.setExtraHTTPHeaders", {"headers": {}})
        browser.open(f"{self.world.node(1).monitor_url}/")
        browser.until(
            "the notice", "/own machine only/.test(document.getElementById('withheld').textContent)"
        )
        browser.until("figures", f"{TITLE_HEIGHT} >= 0")
        self.assertEqual(browser.run("document.querySelectorAll('#peers tbody tr, #logs div').length"), 0)
        self.assertTrue(browser.run("document.getElementById('graph-figure').hidden"))
        self.assert_silent()

    def test_nothing_is_wider_than_a_phone(self) -> None:
        browser = self.browser
        browser.window(390, 844, mobile=True)
        browser.until("no sideways scrolling", "document.documentElement.scrollWidth <= 390")
        self.assert_silent()

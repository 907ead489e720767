"""The dashboard in a real headless Chromium, beside three real nodes: skipped where there is no Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from tests.browser import LENDER, Browser, find
from tests.process_world import INTERVAL_S, ProcessCase
from tests.rpc_service import ServiceTestCase, fetch, now_us
from timed.monitor.readings import read
from timed.monitor.rules import RULES
from timed.params import SECOND

FRESH = "document.getElementById('fresh').textContent"
TITLE_HEIGHT = "Number(document.title.split(' · ')[1])"


def column(table: str, number: int) -> str:
    """The texts of one column."""
    return f"[...document.querySelectorAll('#{table} tbody tr')].map((row) => row.children[{number}].textContent)"


def browser_at(url: str) -> Browser:
    """A browser with a page that is live, to be given back; SkipTest without a Chromium."""
    browser = LENDER.take()
    browser.window(1280, 900)
    browser.open(url)
    browser.until("the page is live", f"{FRESH} === 'live'")
    return browser


class InProcess(ServiceTestCase):
    """The monitor runs in this process, so that a test can break what it watches."""

    def browse(self, look: Callable[[Browser], None]) -> Deferred[None]:
        """Look at the page from a thread, and see that it complained of nothing."""
        return self.in_thread(self._browse, look)

    def _browse(self, look: Callable[[Browser], None]) -> None:
        browser = browser_at(f"http://127.0.0.1:{self.monitor_port}/")
        try:
            look(browser)
        finally:
            LENDER.give_back()
        self.assertEqual(browser.complaints, [])


class WithoutChain(InProcess):
    """A node of a network that has no genesis yet: the page says what is wrong, and nothing fails in it."""

    chain = False

    async def test_the_page_says_what_is_missing(self) -> None:
        def look(browser: Browser) -> None:
            browser.until("the failed check", f"{column('checks', 1)}[0] === 'failed'")
            browser.until("the remedy", f"/services.enabled/.test({column('checks', 3)}[0])")

        await self.browse(look)


class Faults(InProcess):
    async def test_a_disk_that_refuses_is_named_with_its_remedy_everywhere(self) -> None:
        """The same in /health, /alerts, on the page and in the log, and gone when it is mended."""
        lines: list[str] = []
        observer: Callable[[Any], None] = lambda event: lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        gate: Any = self.context.running.node.gate
        gate.failure = "No space left on device"
        self.look_again()
        remedy = next(rule.remedy for rule in RULES if rule.name == "check-disk")

        def look(browser: Browser) -> None:
            card = "document.querySelector('#alerts-now .alert.critical').textContent"
            browser.until("the card", f"{card}.startsWith('check-disk')")
            self.assertIn("No space left on device", browser.run(card))
            self.assertIn(remedy, browser.run(card))
            browser.until(
                "the check", f"/No space left[^.]*\\. Mend what it names/.test({column('checks', 3)}[1])"
            )
            self.assertEqual(browser.run("document.getElementById('state').textContent"), "failed")
            status, _, health = fetch(self.monitor_port, "GET", "/health")
            self.assertEqual((status, json.loads(health)["checks"]["disk"]["state"]), (503, "failed"))
            _, _, alerts = fetch(self.monitor_port, "GET", "/alerts")
            self.assertIn("check-disk", [each["name"] for each in json.loads(alerts)["active"]])

        await self.browse(look)
        self.assertTrue(any("alert check-disk" in line and remedy in line for line in lines))
        gate.failure = None
        self.context.clock = lambda: now_us() + 10 * 60 * SECOND
        self.look_again()
        self.look_again(120)

        def look_later(browser: Browser) -> None:
            browser.until("it is over", "/check-disk/.test(document.getElementById('over').textContent)")
            browser.until("no card", "document.getElementById('alerts-now').hidden")

        await self.browse(look_later)

    def look_again(self, later_s: int = 0) -> None:
        """What the monitor does every ten seconds."""
        reading = read(self.monitor._watched, self.monitor._view)
        self.monitor._readings.add(attrs.evolve(reading, at_us=reading.at_us + later_s * SECOND))
        self.monitor.alarms.judge(self.monitor._readings, self.monitor._view.now())


class Dashboard(ProcessCase):
    """One browser for all tests; each opens the page anew."""

    network = "dashboard"

    def setUp(self) -> None:
        find()
        super().setUp()
        self.browser = browser_at(f"{self.world.node(1).monitor_url}/")
        self.addCleanup(LENDER.give_back)

    def peers(self, number: int) -> list[str]:
        found: list[str] = self.browser.run(column("peers", number))
        return found

    def assert_silent(self) -> None:
        self.assertEqual(self.browser.complaints, [])

    def test_it_loads_and_moves_with_the_chain(self) -> None:
        browser, world = self.browser, self.world
        height = world.call(1, "getblockcount")
        browser.until("a later block", f"{TITLE_HEIGHT} > {height + INTERVAL_S}")
        world.pay_acknowledged()
        browser.until("the payment is in the distribution", "[...document.querySelectorAll('#finality title')]"
                      ".some((one) => /^[1-9]\\d* final (above|within) /.test(one.textContent))")  # fmt: skip
        browser.until("both peers", "document.querySelectorAll('#peers tbody tr').length === 2")
        browser.until("all members", "document.querySelectorAll('#members tbody tr').length === 3")
        browser.until("every check is ok", f"{column('checks', 1)}.every((state) => state === 'ok')")
        browser.until("log lines", "document.querySelectorAll('#logs div').length > 0")
        self.assert_silent()
        self.assertEqual(browser.unreached, [])

    def test_all_nodes_stand_side_by_side(self) -> None:
        browser = self.browser
        browser.until("three nodes that are well", f"String({column('nodes', 1)}) === 'ok,ok,ok'")
        self.assertEqual(browser.run(column("nodes", 0)), ["node-1", "node-2", "node-3"])
        names = f"{column('members', 0)}.map((text) => text.split(' ')[1]).sort()"
        browser.until("the names of the members", f"String({names}) === 'node-1,node-2,node-3'")
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

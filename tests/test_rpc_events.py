"""The methods about events: pages, filters, waiting, and clear words for a cursor that is not good."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.feed_world import Listener, RpcFeed, draft
from tests.rpc_world import FRIEND, RpcTestCase, address_of, parsed
from tests.test_feed_delivery import Receiver
from timed.feed.delivery import Delivery, NotTaken
from timed.feed.event import PAYMENT_RELEASED, Draft, Filter
from timed.feed.log import Bounds
from timed.monitor.feed import FEED_METRICS
from timed.monitor.health import CHECKS, DEGRADED, OK
from timed.params import SECOND
from timed.rpc.errors import INVALID_PARAMETER, NOT_FOUND, WARMING_UP
from timed.rpc.method import READ
from timed.rpc.methods import events as methods


class EventsCase(RpcTestCase):
    bounds = Bounds(1_000_000, 1 << 30, 0)

    def setUp(self) -> None:
        super().setUp()
        self.events = RpcFeed(self.world, self.mktemp(), self.bounds)
        self.addCleanup(self.events.close)

    def write(self, count: int) -> None:
        for _ in range(count):
            self.events.scribe.put(draft())
        self.world.advance(0.2)

    def pay(self) -> str:
        return str(self.world.result("sendtoaddress", address_of(FRIEND, self.world), "2.5"))


class Pages(EventsCase):
    def test_a_payment_and_its_block_are_told_to_its_payee(self) -> None:
        txid, payee = self.pay(), address_of(FRIEND, self.world)
        self.world.block()
        self.world.advance(0.2)
        found = self.world.result("getevents", "oldest", [], [payee])["events"]
        self.assertEqual(
            [(each["type"], each["data"]["txid"]) for each in found],
            [(f"transaction.{state}", txid) for state in ("accepted", "final", "confirmed")],
        )
        [given] = [each for each in found[0]["data"]["addresses"] if each["address"] == payee]
        self.assertEqual((str(given["received"]), str(given["spent"])), ("2.50000000", "0E-8"))
        self.assertEqual(found[2]["data"]["height"], 1)
        [block] = self.world.result("getevents", "oldest", ["block"])["events"]
        self.assertEqual(block["data"]["hash"], self.world.result("getblockhash", 1))

    def test_what_the_wallet_did_is_told_to_who_may_use_it(self) -> None:
        self.events.scribe.put(Draft.of(PAYMENT_RELEASED, 1, bytes(32), rule="input-spent"))
        self.world.advance(0.2)
        body = '{"jsonrpc": "2.0", "method": "getevents", "params": ["oldest"], "id": 1}'
        seen = []
        for permissions in (("read",), ("read", "wallet")):
            answer = self.world.finish(self.world.answer(body, permissions))
            seen.append([each["type"] for each in parsed(answer)["result"]["events"]])
        self.assertNotIn(PAYMENT_RELEASED, seen[0])
        self.assertEqual(seen[1].count(PAYMENT_RELEASED), 1)

    def test_pages_follow_each_other_without_a_hole(self) -> None:
        self.write(700)
        after, seen = "oldest", []
        while True:
            page = self.world.result("getevents", after, [], [], 100)
            seen += [each["sequence"] for each in page["events"]]
            after = page["cursor"]
            if not page["more"]:
                break
        self.assertEqual(seen, list(range(1, 701)))
        self.assertEqual(after, self.world.result("geteventcursor")["cursor"])

    def test_a_call_looks_at_a_bounded_number_of_events(self) -> None:
        self.patch(methods, "MAX_LOOKED_AT", 300)
        self.write(700)
        page = self.world.result("getevents", "oldest", ["block"])
        self.assertEqual((page["events"], page["more"]), ([], True))
        self.assertTrue(page["cursor"].endswith("-512"))

    def test_the_ends_of_the_log_are_told(self) -> None:
        shown = self.world.result("geteventcursor")
        self.assertEqual((shown["count"], shown["dropped"], shown["failure"]), (0, 0, None))
        self.assertEqual(shown["cursor"], shown["oldest"])
        self.write(3)
        shown = self.world.result("geteventcursor")
        self.assertEqual((shown["count"], shown["cursor"].partition("-")[2]), (3, "3"))


class Waiting(EventsCase):
    def test_a_call_waits_for_the_event_that_it_wants(self) -> None:
        waiting = self.world.begin("getevents", ["newest", ["transaction.final"], [], 10, 60])
        self.write(2)
        self.assertNoResult(waiting)
        txid = self.pay()
        [event] = parsed(self.world.finish(waiting))["result"]["events"]
        self.assertEqual(event["data"]["txid"], txid)

    def test_a_wait_ends_with_its_time_and_goes_on_from_where_it_looked(self) -> None:
        waiting = self.world.begin("getevents", ["newest", ["block"], [], 10, 0.5])
        self.write(2)
        answer = parsed(self.world.finish(waiting))["result"]
        self.assertEqual((answer["events"], answer["more"]), ([], False))
        self.assertEqual(answer["cursor"], self.world.result("geteventcursor")["cursor"])

    def test_the_cursor_can_be_waited_for(self) -> None:
        self.write(1)
        waiting = self.world.begin("geteventcursor", ["newest", 30])
        self.assertNoResult(waiting)
        self.write(1)
        self.assertTrue(parsed(self.successResultOf(waiting))["result"]["cursor"].endswith("-2"))


class Refusals(EventsCase):
    bounds = Bounds(5, 1 << 30, 0)

    def error(self, *params: Any) -> tuple[int, str]:
        error = self.world.error("getevents", *params)
        self.assertTrue(error["data"]["hint"])
        return error["code"], error["data"]["rule"]

    def test_a_cursor_whose_events_are_gone_is_told_what_is_lost(self) -> None:
        self.write(12)
        cursor = self.world.result("geteventcursor")
        old = cursor["cursor"].replace("-12", "-2")
        error = self.world.error("getevents", old)
        self.assertEqual((error["code"], error["data"]["rule"]), (INVALID_PARAMETER, "cursor-lost"))
        self.assertEqual((error["data"]["lost_from"], error["data"]["lost_to"]), (3, 7))
        self.assertEqual(error["data"]["oldest"], cursor["oldest"])
        self.assertEqual(len(self.world.result("getevents", cursor["oldest"])["events"]), 5)

    def test_what_is_no_cursor_type_or_address_is_named(self) -> None:
        log = self.events.feed.window.ends.log_id
        self.assertEqual(self.error("yesterday"), (INVALID_PARAMETER, "cursor-form"))
        self.assertEqual(self.error(f"{log}-99"), (INVALID_PARAMETER, "cursor-ahead"))
        self.assertEqual(self.error("00000000-1"), (INVALID_PARAMETER, "cursor-foreign"))
        self.assertEqual(self.error("oldest", ["blocks"]), (INVALID_PARAMETER, "param-value"))
        self.assertEqual(self.error("oldest", [], ["TIMER1nonsense"])[0], NOT_FOUND)

    def test_a_node_without_a_log_says_so(self) -> None:
        self.world.environment.feed = lambda: None
        for method in ("getevents", "geteventcursor", "getsubscriptions"):
            error = self.world.error(method)
            self.assertEqual((error["code"], error["data"]["rule"]), (WARMING_UP, "no-feed"))


class Subscriptions(EventsCase):
    def test_who_follows_is_shown_to_administrators(self) -> None:
        listener = Listener()
        listener.subscription = self.events.feed.hub.subscribe(
            listener, ("alice", "10.0.0.1"), Filter.of(["block"]), "oldest"
        )
        self.write(2)
        [shown] = self.world.result("getsubscriptions")["subscriptions"]
        self.assertEqual(
            (shown["kind"], shown["user"], shown["types"], shown["behind"], shown["paused"]),
            ("test", "alice", ["block"], 0, False),
        )
        reply = self.world.finish(
            self.world.answer('{"id":1,"jsonrpc":"2.0","method":"getsubscriptions"}', (READ,))
        )
        self.assertEqual(reply.status, 403)


class Sinks(EventsCase):
    """A receiver as an administrator, the metrics and the health check see it."""

    def setUp(self) -> None:
        super().setUp()
        self.receiver = Receiver()
        self.delivery = Delivery(
            self.receiver, self.events.feed.window, lambda sink: None, self.events.scribe.save,
            self.world.clock.callLater, self.world.clock.seconds, lambda: 0.0,
        )  # fmt: skip
        self.events.feed.sinks = [self.delivery]
        self.events.feed.hub.listeners.append(self.delivery.woken)
        self.delivery.start()
        self.addCleanup(self.delivery.stop)
        self.world.advance(0.2)
        self.now_us = 1
        context = SimpleNamespace(feed=self.events.feed)
        self.view: Any = SimpleNamespace(context=context, now=lambda: self.now_us)

    def health(self) -> tuple[str, str]:
        (check,) = [each for each in CHECKS if each.name == "sinks"]
        found = check.find(self.view)
        return found.state, found.reason

    def metrics(self) -> dict[str, list[Any]]:
        return {row.name: list(row.source(self.view)) for row in FEED_METRICS if "_sink_" in row.name}

    def test_a_receiver_that_takes_everything(self) -> None:
        self.write(25)
        [shown] = self.world.result("getsubscriptions")["sinks"]
        self.assertEqual((shown["state"], shown["behind"], shown["sent"]), ("has everything", 0, 25))
        self.assertEqual((shown["failure"], shown["next_try_s"], shown["kind"]), (None, None, "test"))
        self.assertTrue(shown["cursor"].endswith("-25"))
        self.assertEqual(self.health()[0], OK)
        found = self.metrics()
        self.assertEqual(found["timed_sink_events"], [(("receiver",), 25.0)])
        self.assertEqual(found["timed_sink_late_seconds"], [(("receiver",), 0.0)])

    def test_one_that_does_not_is_named_with_its_answer_and_degrades_health_after_a_minute(self) -> None:
        self.receiver.answers = [NotTaken("http-status", "the receiver says 500")] * 100
        self.write(3)
        [shown] = self.world.result("getsubscriptions")["sinks"]
        self.assertEqual((shown["behind"], shown["attempt"], shown["next_try_s"]), (3, 1, 1))
        self.assertEqual(shown["failure"], "http-status: the receiver says 500")
        self.assertEqual(self.health()[0], OK)
        self.now_us = 61 * SECOND
        state, reason = self.health()
        self.assertEqual(state, OK)
        self.now_us = 62 * SECOND
        state, reason = self.health()
        self.assertEqual(state, DEGRADED)
        self.assertIn("receiver is 3 events and 61 s behind (http-status: the receiver says 500)", reason)
        found = self.metrics()
        self.assertEqual(found["timed_sink_failures"], [(("receiver", "http-status"), 1.0)])
        self.assertEqual(found["timed_sink_behind"], [(("receiver",), 3.0)])

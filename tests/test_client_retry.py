"""When a client repeats a call: nothing that may change something is ever sent twice."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from timed.client import errors
from timed.client.answers import MAX_RETRY_AFTER_S, check, seconds
from timed.client.blocking import Client
from timed.client.location import Location
from timed.client.message import results
from timed.client.retry import Retry, only_reads, patient, pause_for
from timed.client.testing import FakeNode, Refusal
from timed.rpc.method import READ
from timed.rpc.table import METHODS

LOST = (
    '{"jsonrpc":"2.0","id":1,"error":{"code":-28,"message":"The chain process went away",'
    '"data":{"rule":"chain-lost","hint":"Look before you ask again."}}}'
)
"""What an RPC process answers when the process it had handed the call to is gone."""
WALLET_QUESTIONS = {
    "getbalance", "listunspent", "listwallets", "getwalletinfo", "getaddressinfo", "listaddresses", "listlabels",
    "getaddressesbylabel",
}  # fmt: skip
PAYMENT = "sendtoaddress"


class Decisions(SynchronousTestCase):
    def test_what_only_reads_needs_no_more_than_read_or_is_known_by_name(self) -> None:
        """A new method that looks like a question and is none is found here, before it is sent twice."""
        found = {name for name, method in METHODS.items() if only_reads(name) and method.permission != READ}
        self.assertLessEqual(WALLET_QUESTIONS, found)
        self.assertEqual({name for name in found if not name.startswith(("get", "list"))}, set())
        for name in ("getnewaddress", PAYMENT, "sendrawtransaction", "stop", "nosuch", "walletpassphrase"):
            self.assertFalse(only_reads(name), name)

    def test_each_error(self) -> None:
        for error, question, payment in (
            (errors.CannotConnect("refused"), 1.0, 1.0),
            (errors.ConnectionLost("reset"), 1.0, None),
            (errors.TimedOut("silent"), None, None),
            (errors.Unauthorized("401"), None, None),
            (errors.Busy("503"), 1.0, None),
            (errors.Busy("503", 3), 3.0, None),
            (errors.RateLimited("429", 0), 1.0, None),
            (errors.RateLimited("429", 60), None, None),
            (errors.NotReady(-28, "warming up"), 1.0, None),
            (errors.Rejected(-26, "no"), None, None),
            (errors.Forbidden("403"), None, None),
            (errors.BadResponse("html"), None, None),
        ):
            self.assertEqual(pause_for(error, True, 1.0, 8.0), question, error)
            self.assertEqual(pause_for(error, False, 1.0, 8.0), payment, error)

    def test_pauses_double_up_to_a_bound_and_differ_by_chance(self) -> None:
        self.assertEqual(list(Retry(5, 1.0, 4.0).pauses()), [1.0, 2.0, 4.0, 4.0])
        self.assertEqual(list(Retry(3, 1.0, 4.0, lambda: 0.5).pauses()), [0.75, 1.5])
        self.assertEqual(list(Retry(1).pauses()), [])
        for pause in patient(4).pauses():
            self.assertTrue(0.125 <= pause <= 1.0)

    def test_retry_after(self) -> None:
        for text, value in (
            ("5", 5),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("99999999", MAX_RETRY_AFTER_S),
        ):
            self.assertEqual(seconds(text), value)

    def test_statuses_are_errors_and_a_json_body_is_an_answer(self) -> None:
        for status, kind in (
            (401, errors.Unauthorized), (403, errors.Forbidden), (404, errors.BadResponse), (405, errors.BadResponse),
            (413, errors.BadResponse), (429, errors.RateLimited), (503, errors.Busy), (500, errors.BadResponse),
        ):  # fmt: skip
            with self.assertRaises(kind):
                check("here", status, "text/plain", "", b"no")
        for status in (200, 400, 403, 404, 500):
            self.assertEqual(check("here", status, "application/json; charset=utf-8", "", b"{}"), b"{}")

    def test_a_call_that_was_handed_on_may_have_been_carried_out_though_it_is_a_503(self) -> None:
        with self.assertRaises(errors.ConnectionLost) as caught:
            check("here", 503, "application/json", "1", LOST.encode())
        self.assertEqual(str(caught.exception), "The chain process went away. Look before you ask again.")
        for body in (LOST.replace("lost", "away"), "{}", "[]", "no JSON"):
            with self.assertRaises(errors.Busy):
                check("here", 503, "application/json", "1", body.encode())
        [found] = results(f"[{LOST}]".encode(), [1])
        self.assertIsInstance(found, errors.ConnectionLost)


class Repetition(SynchronousTestCase):
    def client(self, node: FakeNode, attempts: int = 4) -> Client:
        self.slept: list[float] = []
        client = Client(node.location, 5, Retry(attempts), self.slept.append)
        self.addCleanup(client.close)
        return client

    def node(self, *refusals: Refusal) -> FakeNode:
        node = FakeNode({"getblockcount": 7, PAYMENT: "id"}, list(refusals))
        node.__enter__()
        self.addCleanup(node.__exit__)
        return node

    def test_a_question_is_asked_again_after_the_time_the_node_named(self) -> None:
        node = self.node(Refusal(429, "2"), Refusal(503))
        self.assertEqual(self.client(node).getblockcount(), 7)
        self.assertEqual(self.slept, [2.0, 0.5])

    def test_a_payment_is_never_sent_twice(self) -> None:
        lost = Refusal(503, "1", LOST, "application/json")
        for refusal in (Refusal(429, "1"), Refusal(503, "1"), Refusal(0), lost):
            node = self.node(refusal)
            with self.assertRaises(errors.ClientError):
                self.client(node).sendtoaddress("a", 1)
            self.assertEqual((node.refusals, node.calls, self.slept), ([], [], []))

    def test_a_batch_with_a_payment_in_it_is_a_payment(self) -> None:
        node = self.node(Refusal(503))
        with self.assertRaises(errors.Busy):
            self.client(node).batch([("getblockcount", []), (PAYMENT, ["a", 1])])
        self.assertEqual(self.slept, [])
        node = self.node(Refusal(503))
        self.assertEqual(self.client(node).batch([("getblockcount", [])]), [7])

    def test_it_ends(self) -> None:
        node = self.node(*[Refusal(503)] * 9)
        with self.assertRaises(errors.Busy) as caught:
            self.client(node, attempts=3).getblockcount()
        self.assertIsNone(caught.exception.retry_after)
        self.assertEqual((len(self.slept), len(node.refusals)), (2, 6))

    def test_a_payment_that_could_not_be_sent_is_sent_when_the_node_is_there(self) -> None:
        closed = FakeNode({})
        location = closed.location
        closed._server.server_close()
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)

        client = Client(Location("127.0.0.1", location.port, "u", "p"), 5, Retry(3), sleep)
        with self.assertRaises(errors.CannotConnect) as caught:
            client.sendtoaddress("a", 1)
        self.assertNotIsInstance(caught.exception, errors.ConnectionLost)
        self.assertEqual(len(slept), 2)

    def test_without_a_policy_nothing_is_repeated(self) -> None:
        node = self.node(Refusal(503))
        with Client(node.location, 5) as client, self.assertRaises(errors.Busy):
            client.getblockcount()


class WaitingForFinality(SynchronousTestCase):
    def wait(self, answers: list[dict[str, Any]], timeout_s: float) -> Any:
        with FakeNode({"waittransactionfinality": lambda txid, s: answers.pop(0)}) as node:
            self.node = node
            with Client(node.location, 5) as client:
                return client.wait_final("ab", timeout_s)

    def test_asks_until_it_is_final(self) -> None:
        final = {"final": True, "rejected": None}
        self.assertEqual(self.wait([{"final": False, "rejected": None}, final], 60), final)
        self.assertEqual([params for _, params in self.node.calls], [["ab", 2], ["ab", 2]])

    def test_a_rejected_one_is_not_waited_for(self) -> None:
        self.assertEqual(
            self.wait([{"final": False, "rejected": "input-spent"}], 60)["rejected"], "input-spent"
        )

    def test_a_short_timeout_does_not_make_it_ask_without_a_pause(self) -> None:
        answers = [{"final": False, "rejected": None}, {"final": True, "rejected": None}]
        paused: list[float] = []
        with FakeNode({"waittransactionfinality": lambda txid, s: answers.pop(0)}) as node:
            with Client(node.location, 1.5, sleep=paused.append) as client:
                client.wait_final("ab", 60)
            self.assertEqual((paused, [params for _, params in node.calls]), ([1.0], [["ab", 0], ["ab", 0]]))

    def test_time_is_over(self) -> None:
        with self.assertRaises(errors.TimedOut):
            self.wait([{"final": False, "rejected": None}], 0.5)

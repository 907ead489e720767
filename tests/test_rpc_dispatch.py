"""JSON-RPC 2.0 as its specification's examples have it, and the older form."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from tests.rpc_world import RpcTestCase, World, parsed
from timed.rpc import dispatch, jsontext
from timed.rpc.caller import Caller
from timed.rpc.errors import RpcError

ASK_NO_WALLET = {
    "validateaddress", "verifymessage", "createmultisig", "makepaymenturi", "parsepaymenturi",
    "combineexported", "finalizeexported",
}  # fmt: skip
"""Methods of the wallet's category that read nothing of it."""


class SpecificationExamples(RpcTestCase):
    """https://www.jsonrpc.org/specification, section 7, with this node's methods."""

    def answered(self, body: str) -> Any:
        reply = self.world.finish(self.world.answer(body))
        return parsed(reply) if reply.body else reply.status

    def code(self, body: str) -> tuple[int, Any]:
        answer = self.answered(body)
        return answer["error"]["code"], answer["id"]

    def test_positional_parameters(self) -> None:
        answer = self.answered('{"jsonrpc": "2.0", "method": "getblockhash", "params": [0], "id": 1}')
        self.assertEqual(answer["jsonrpc"], "2.0")
        self.assertEqual(answer["result"], self.world.genesis.hash.hex())
        self.assertEqual(answer["id"], 1)
        self.assertNotIn("error", answer)

    def test_named_parameters(self) -> None:
        answer = self.answered(
            '{"jsonrpc": "2.0", "method": "getblockhash", "params": {"height": 0}, "id": 3}'
        )
        self.assertEqual(answer["result"], self.world.genesis.hash.hex())

    def test_a_notification_is_executed_and_not_answered(self) -> None:
        self.assertEqual(self.answered('{"jsonrpc": "2.0", "method": "stop"}'), dispatch.NO_CONTENT)
        self.assertEqual(self.world.stopped, 1)

    def test_a_notification_of_an_unknown_method_is_not_answered(self) -> None:
        self.assertEqual(self.answered('{"jsonrpc": "2.0", "method": "foobar"}'), dispatch.NO_CONTENT)

    def test_method_that_does_not_exist(self) -> None:
        self.assertEqual(self.code('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}'), (-32601, "1"))

    def test_invalid_json(self) -> None:
        self.assertEqual(
            self.code('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]'), (-32700, None)
        )

    def test_invalid_request_object(self) -> None:
        self.assertEqual(self.code('{"jsonrpc": "2.0", "method": 1, "params": "bar"}'), (-32600, None))

    def test_batch_of_invalid_json(self) -> None:
        self.assertEqual(
            self.code('[{"jsonrpc": "2.0", "method": "uptime", "id": "1"},{"jsonrpc": "2.0", "method"]'),
            (-32700, None),
        )

    def test_empty_batch(self) -> None:
        self.assertEqual(self.code("[]"), (-32600, None))

    def test_invalid_batches_are_answered_item_by_item(self) -> None:
        answers = self.answered("[1,2,3]")
        self.assertEqual([each["error"]["code"] for each in answers], [-32600] * 3)
        self.assertEqual([each["id"] for each in answers], [None] * 3)

    def test_mixed_batch(self) -> None:
        answers = self.answered(
            json.dumps(
                [
                    {"jsonrpc": "2.0", "method": "getblockcount", "id": "1"},
                    {"jsonrpc": "2.0", "method": "getblockcount"},
                    {"jsonrpc": "2.0", "method": "getblockhash", "params": [0], "id": "2"},
                    {"foo": "boo"},
                    {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                    {"jsonrpc": "2.0", "method": "getblockcount", "id": "9"},
                ]
            )
        )
        self.assertEqual([each["id"] for each in answers], ["1", "2", None, "5", "9"])
        codes = [each["error"]["code"] if "error" in each else None for each in answers]
        self.assertEqual(codes, [None, None, -32600, -32601, None])

    def test_batch_of_notifications_has_no_answer(self) -> None:
        self.assertEqual(
            self.answered('[{"jsonrpc": "2.0", "method": "uptime"},{"jsonrpc": "2.0", "method": "uptime"}]'),
            dispatch.NO_CONTENT,
        )


class Requests(RpcTestCase):
    """What the specification leaves open, and what older clients send."""

    def reply(self, request: Any) -> dispatch.Reply:
        return self.world.finish(self.world.answer(json.dumps(request)))

    def test_a_request_without_jsonrpc_gets_result_and_error(self) -> None:
        for version in ({}, {"version": "1.1"}, {"jsonrpc": "1.0"}):
            reply = self.reply({**version, "method": "getblockcount", "params": [], "id": 4})
            self.assertEqual(parsed(reply), {"result": 0, "error": None, "id": 4})

    def test_an_old_style_error_carries_an_http_status_and_a_null_result(self) -> None:
        reply = self.reply({"method": "getblockhash", "params": [99], "id": 4})
        self.assertEqual(reply.status, 500)
        self.assertIsNone(parsed(reply)["result"])
        self.assertEqual(parsed(reply)["error"]["code"], -8)
        self.assertEqual(self.reply({"method": "nosuch", "id": 4}).status, 404)

    def test_an_error_in_the_new_form_is_http_200(self) -> None:
        reply = self.reply({"jsonrpc": "2.0", "method": "getblockhash", "params": [99], "id": 4})
        self.assertEqual(reply.status, 200)

    def test_ids_come_back_as_they_were(self) -> None:
        for identifier in ("", "x", 0, -5, 2**63, 10**30, None):
            reply = self.reply({"jsonrpc": "2.0", "method": "uptime", "id": identifier})
            self.assertEqual(parsed(reply)["id"], identifier)
        body = '{"jsonrpc": "2.0", "method": "uptime", "id": 1.50}'
        self.assertIn(b'"id":1.50', self.world.finish(self.world.answer(body)).body)

    def test_ids_of_other_types_are_refused(self) -> None:
        for identifier in (True, [], {}, [1]):
            reply = self.reply({"jsonrpc": "2.0", "method": "uptime", "id": identifier})
            self.assertEqual(parsed(reply)["error"]["code"], -32600)
            self.assertIsNone(parsed(reply)["id"])

    def test_other_versions_are_refused(self) -> None:
        for version in ("3.0", 2, 2.0, "", []):
            reply = self.reply({"jsonrpc": version, "method": "uptime", "id": 1})
            self.assertEqual(parsed(reply)["error"]["code"], -32600)

    def test_a_batch_is_bounded(self) -> None:
        many = [{"jsonrpc": "2.0", "method": "uptime", "id": 1}] * (dispatch.MAX_BATCH + 1)
        self.assertEqual(parsed(self.reply(many))["error"]["data"]["rule"], "batch-size")
        self.assertEqual(len(parsed(self.reply(many[1:]))), dispatch.MAX_BATCH)

    def test_a_batch_reply_is_bounded(self) -> None:
        self.patch(dispatch, "MAX_REPLY_BYTES", 100)
        answers = parsed(self.reply([{"jsonrpc": "2.0", "method": "help", "id": each} for each in range(3)]))
        self.assertIn("result", answers[0])
        self.assertEqual([each["error"]["data"]["rule"] for each in answers[1:]], ["reply-size"] * 2)

    def test_a_notification_past_the_bound_of_a_reply_is_executed_and_not_answered(self) -> None:
        self.patch(dispatch, "MAX_REPLY_BYTES", 100)
        call = {"jsonrpc": "2.0", "method": "help"}
        silent = {"jsonrpc": "2.0", "method": "uptime"}
        answers = parsed(self.reply([{**call, "id": 1}, silent, {**call, "id": 2}]))
        self.assertEqual([each["id"] for each in answers], [1, 2])
        self.assertEqual(self.world.dispatcher.activity.calls["uptime"], 1)

    def test_every_error_names_rule_and_hint(self) -> None:
        for body in ("", "{", "[]", "1", '{"method": "x", "id": 1}', '{"method": "getblock", "id": 1}'):
            error = parsed(self.world.finish(self.world.answer(body)))["error"]
            self.assertTrue(error["data"]["rule"], body)
            self.assertTrue(error["data"]["hint"], body)

    def test_errors_are_counted_by_rule_and_calls_by_method(self) -> None:
        self.reply({"method": "uptime", "id": 1})
        self.reply({"method": "nosuch", "id": 1})
        self.assertEqual(self.world.dispatcher.activity.calls["uptime"], 1)
        self.assertEqual(self.world.dispatcher.activity.refused["method-unknown"], 1)


class Bugs(RpcTestCase):
    def tearDown(self) -> None:
        """These tests make a handler raise on purpose."""

    def break_uptime(self, handler: Callable[[object], object]) -> None:
        world = self.world
        world.dispatcher = dispatch.Dispatcher(
            {**world.dispatcher._handlers, "uptime": handler}, world.environment, pause=world.write_wallet,
            failed=lambda *what: world.failures.append(what),
        )  # fmt: skip

    def test_an_exception_in_a_handler_becomes_an_internal_error_without_details(self) -> None:
        def broken(env: object) -> None:
            raise KeyError("secret")

        self.break_uptime(broken)
        error = self.world.error("uptime")
        self.assertEqual(error["code"], -32603)
        self.assertNotIn("secret", json.dumps(error))
        self.assertEqual(self.world.failures[0][0], "uptime")

    def test_a_result_that_is_no_json_does_so_too_and_leaves_the_other_answers_of_a_batch(self) -> None:
        """Half a surrogate, as in the name of a directory that is no UTF-8."""
        self.break_uptime(lambda env: "\udcff")
        calls = [{"jsonrpc": "2.0", "id": id_, "method": name} for id_, name in enumerate(("uptime", "help"))]
        broken, fine = parsed(self.world.finish(self.world.answer(json.dumps(calls))))
        self.assertEqual((broken["id"], broken["error"]["code"]), (0, -32603))
        self.assertEqual((fine["id"], "result" in fine), (1, True))
        self.assertEqual(self.world.failures[0][0], "uptime")


class Leaving(RpcTestCase):
    """A client that has gone: nothing more is computed for it, and it is no bug."""

    def test_a_call_that_waits_for_the_next_turn_ends_without_a_traceback(self) -> None:
        async def paused(env: Any) -> None:
            await Deferred[None]()

        self.world.dispatcher._handlers = {**self.world.dispatcher._handlers, "uptime": paused}
        failed: list[Any] = []
        self.world.dispatcher._failed = lambda method, error: failed.append(error)
        waiting = self.world.begin("uptime")
        waiting.cancel()
        self.assertEqual(parsed(self.successResultOf(waiting))["error"]["data"]["rule"], "cancelled")
        self.assertEqual((failed, len(self.world.dispatcher.activity)), ([], 0))

    def test_what_is_left_of_a_batch_is_not_begun(self) -> None:
        call = {"jsonrpc": "2.0", "id": 1, "method": "waittransactionfinality", "params": ["ab" * 32, 30]}
        gone: list[bool] = []
        waiting = ensureDeferred(
            self.world.dispatcher.answer(json.dumps([call] * 3).encode(), Caller("test"), lambda: not gone)
        )
        gone.append(True)
        waiting.cancel()
        self.successResultOf(waiting)
        activity = self.world.dispatcher.activity
        self.assertEqual((len(activity), activity.calls["waittransactionfinality"]), (0, 1))


class Permissions(RpcTestCase):
    def test_a_caller_without_the_permission_gets_403(self) -> None:
        body = '{"jsonrpc": "2.0", "method": "stop", "id": 1}'
        reply = self.world.finish(self.world.answer(body, ("read",)))
        self.assertEqual(reply.status, 403)
        self.assertEqual(parsed(reply)["error"]["data"]["rule"], "forbidden")
        self.assertEqual(self.world.stopped, 0)

    def test_one_forbidden_call_refuses_the_rest_of_a_batch(self) -> None:
        body = '[{"jsonrpc": "2.0", "method": "stop", "id": 1},{"jsonrpc": "2.0", "method": "getnewaddress"}]'
        reply = self.world.finish(self.world.answer(body, ("read", "wallet")))
        self.assertEqual(reply.status, 403)
        self.assertEqual(self.world.written, [])

    def test_reading_needs_no_more_than_read(self) -> None:
        body = '{"jsonrpc": "2.0", "method": "getblockcount", "id": 1}'
        self.assertEqual(self.world.finish(self.world.answer(body, ("read",))).status, 200)

    def test_whatever_moves_money_or_the_process_needs_more_than_read(self) -> None:
        from timed.rpc.table import METHODS

        ours = {name for name, method in METHODS.items() if method.category == "wallet"}
        free = {name for name, method in METHODS.items() if method.permission == "read"}
        self.assertLessEqual(ours & free, ASK_NO_WALLET)
        self.assertEqual(
            METHODS.keys() - ours - free,
            {
                "sendrawtransaction",
                "stop",
                "addnode",
                "clearbanned",
                "disconnectnode",
                "logging",
                "setban",
                "getrpcinfo",
                "getmemoryinfo",
                "getprofile",
                "getreactorinfo",
                "dumprecording",
                "getconfig",
                "setconfig",
                "reload",
                "confirmconfig",
                "getsubscriptions",
            },
        )


class Texts(RpcTestCase):
    """Hostile JSON."""

    def rule(self, body: bytes | str) -> str:
        data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
        with self.assertRaises(RpcError) as caught:
            jsontext.decode(data)
        return str(caught.exception.data["rule"])

    def test_nan_and_infinity_are_no_numbers(self) -> None:
        for text in ("NaN", "Infinity", "-Infinity", "[NaN]"):
            self.assertEqual(self.rule(text), "json-parse")

    def test_duplicate_keys_are_an_invalid_request(self) -> None:
        self.assertEqual(self.rule('{"method": "a", "method": "b"}'), "json-duplicate-key")
        reply = self.world.finish(self.world.answer('{"id": 1, "method": "uptime", "id": 2}'))
        self.assertEqual(parsed(reply)["error"]["code"], -32600)

    def test_nesting_is_bounded(self) -> None:
        for depth in (jsontext.MAX_DEPTH + 1, 900, 100_000):
            self.assertEqual(self.rule("[" * depth + "]" * depth), "json-depth")
            self.assertIn(self.rule('{"a":' * depth + "1" + "}" * depth), ("json-depth",))
        most = "[" * jsontext.MAX_DEPTH + "]" * jsontext.MAX_DEPTH
        self.assertIsInstance(jsontext.decode(most.encode()), list)

    def test_many_flat_arrays_are_not_deep(self) -> None:
        self.assertEqual(len(jsontext.decode(b"[" + b"[]," * 100 + b"[]]")), 101)

    def test_unpaired_surrogates_are_refused(self) -> None:
        self.assertEqual(self.rule(r'"\ud800"'), "json-parse")
        self.assertEqual(self.rule(r'{"\udfff": 1}'), "json-parse")
        self.assertEqual(jsontext.decode(rb'"\ud83d\ude00"'), "\U0001f600")

    def test_bytes_that_are_not_utf8_are_refused(self) -> None:
        for body in (b"\xff", b'"\xc3"', b'\xef\xbb\xbf{"id":1}', b'"\xed\xa0\x80"'):
            self.assertEqual(self.rule(body), "json-parse")

    def test_numbers_with_absurd_many_digits_are_refused(self) -> None:
        for text in ("1" * 5_000, "1." + "1" * 5_000, "-" + "9" * 65):
            self.assertEqual(self.rule(text), "json-number")

    def test_exponents_beyond_any_number_are_refused(self) -> None:
        """Decimal has an error of its own for them, which is no ValueError."""
        for number in ("1E" + "9" * 40, "-1.5e" + "8" * 30, "1E-" + "9" * 40):
            self.assertEqual(self.rule(number), "json-parse", number)
            self.assertEqual(self.rule(f'{{"id":1,"method":"uptime","params":[{number}]}}'), "json-parse")

    def test_trailing_text_is_refused(self) -> None:
        for text in ("{} {}", "[] x", "1 2", ""):
            self.assertEqual(self.rule(text), "json-parse")

    def test_amounts_are_written_with_eight_decimals(self) -> None:
        for units, text in ((1, b"0.00000001"), (0, b"0.00000000"), (2**63 - 1, b"92233720368.54775807")):
            self.assertEqual(jsontext.encode(jsontext.amount(units)), text)


class Slices(RpcTestCase):
    def test_a_long_batch_gives_the_reactor_its_turns(self) -> None:
        pauses = []
        world = World()
        dispatcher = dispatch.Dispatcher(
            {"uptime": lambda env: 1}, world.environment,
            pause=lambda: pauses.append(1) or world.write_wallet(), failed=lambda *what: None,
        )  # fmt: skip
        world.dispatcher = dispatcher
        calls = [{"jsonrpc": "2.0", "method": "uptime", "id": each} for each in range(100)]
        self.assertEqual(len(parsed(world.finish(world.answer(json.dumps(calls))))), 100)
        self.assertEqual(len(pauses), 100 // dispatch.CALLS_PER_TURN - 1)

"""Every method with missing, wrong-typed and absurd arguments: an error, never a traceback."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.feed_world import RpcFeed
from tests.rpc_world import RpcTestCase
from timed.rpc.arguments import bind
from timed.rpc.errors import RpcError
from timed.rpc.handlers import HANDLERS
from timed.rpc.method import PERMISSIONS, Method
from timed.rpc.schema import Amount, Integer, Seconds, Word
from timed.rpc.table import CATEGORIES, METHODS

ABSURD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 2**64, 10**40, 0.5, 1e300, "", "x", "-1", "NaN", "1e9",
    "zz" * 32, "00" * 32, "ff" * 1000, "00" * 300_000, "\x00", "\U0001f600" * 500, [], [[]], {}, {"a": 1},
    [1] * 2000, [{"txid": "00" * 32, "vout": -1}], [{"txid": 1}], {"x": "y"}, {"txid": None}, [None],
)  # fmt: skip
CALLER_ERRORS = {-32602, -3, -8, -5, -4, -6, -22, -26, -32601, -23, -24, -29, -30, -1}
WAITING = {"waittransactionfinality", "waitforblockheight"}
"""Answers only when its time is over, hence asked with a short one."""


class EveryMethod(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(RpcFeed(self.world, self.mktemp()).close)

    def answer(self, name: str, params: Any) -> dict[str, Any]:
        response = self.world.exchange(name, params)
        self.assertEqual(self.world.failures, [], (name, params))
        if "error" in response:
            self.assertIn(response["error"]["code"], CALLER_ERRORS, (name, params, response))
            self.assertTrue(response["error"]["message"])
            self.assertIn("rule", response["error"]["data"])
            self.assertTrue(response["error"]["data"]["hint"], (name, params, response))
        return response

    def test_missing_arguments_are_named(self) -> None:
        for method in METHODS.values():
            required = [param.name for param in method.params if param.required]
            if required:
                error = self.answer(method.name, [])["error"]
                self.assertEqual(error["code"], -32602, method.name)
                self.assertEqual(error["data"]["param"], required[0])
                self.assertIn(method.usage, error["data"]["hint"])

    def test_too_many_arguments_are_refused(self) -> None:
        for method in METHODS.values():
            error = self.answer(method.name, [None] * (len(method.params) + 1))["error"]
            self.assertEqual(error["code"], -32602, method.name)

    def test_unknown_names_are_refused(self) -> None:
        for method in METHODS.values():
            error = self.answer(method.name, {"no_such_name": 1})["error"]
            self.assertEqual((error["code"], error["data"]["param"]), (-32602, "no_such_name"), method.name)

    def test_params_that_are_neither_array_nor_object_are_refused(self) -> None:
        for method in METHODS.values():
            for params in ("x", 1, True):
                self.assertEqual(self.answer(method.name, params)["error"]["code"], -32602, method.name)

    def test_absurd_values_of_every_parameter_give_a_result_or_an_error_object(self) -> None:
        asked = 0
        for method in METHODS.values():
            for position in range(len(method.params)):
                for value in ABSURD:
                    self.answer(method.name, self.params_with(method, position, value))
                    asked += 1
        self.assertGreater(asked, 900)

    def test_a_parameter_at_fault_is_named(self) -> None:
        for method in METHODS.values():
            for position, param in enumerate(method.params):
                params = self.params_with(method, position, {"odd": []})
                error = self.answer(method.name, params).get("error", {})
                named = str(error.get("data", {}).get("param", ""))
                self.assertTrue(named.startswith(param.name), (method.name, param.name, error))

    def params_with(self, method: Method, position: int, value: Any) -> list[Any]:
        """Good values for the others, so that `value` is what is judged."""
        params = [self.good(param.type) for param in method.params]
        params[position] = value
        if method.name in WAITING and position == 0:
            params[1] = 0.2
        return params

    def good(self, kind: Any) -> Any:
        label = kind.label
        if isinstance(kind, Seconds):
            return 0.2
        if isinstance(kind, Integer):
            return max(0, kind.minimum)
        if isinstance(kind, Word):
            return kind.words[0]
        values: dict[str, Any] = {
            "integer": 0, "integer or boolean": 0, "boolean": False, "amount": "1", "hex": "00" * 32,
            "height, hash or date": 0, "time": 0, "id or node id": 0, "string": "TIMER", "array": [], "object": {},
        }  # fmt: skip
        return values[label]


class Table(SynchronousTestCase):
    def test_every_method_has_a_handler_and_every_handler_a_method(self) -> None:
        self.assertEqual(set(HANDLERS), set(METHODS))

    def test_the_methods_of_the_issue_are_there(self) -> None:
        asked = """getblockchaininfo getblockcount getbestblockhash getblockhash getblock getblockheader getnetworkinfo
        getpeerinfo getconnectioncount getmempoolinfo getrawmempool getrawtransaction gettransaction sendrawtransaction
        createrawtransaction signrawtransactionwithwallet decoderawtransaction gettxout gettxoutsetinfo getbalance
        listunspent getnewaddress validateaddress sendtoaddress waittransactionfinality masternodelist masternodestatus
        getconsensusinfo uptime stop help
        listbanned setban clearbanned disconnectnode addnode getaddednodeinfo getnodeaddresses getnettotals explainpeer
        logging
        getchaintips waitfornewblock waitforblockheight
        getblockheaders findblockbydate getblockfilter getblockstats getblockcertificate getchaintxstats getsupply
        getrewardreport scantxoutset gettxoutproof verifytxoutproof
        getaddressbalance getaddresshistory getaddressutxos getspendingtransaction getindexinfo"""
        of_the_keys = """listwallets getwalletinfo encryptwallet walletpassphrase walletpassphrasechange walletlock
        exportmnemonic sethdseed restorewallet importprivkey dumpprivkey backupwallet checkwallet getaddressinfo
        listaddresses setlabel listlabels getaddressesbylabel importaddress importpubkey createmultisig
        exporttransaction signexported combineexported finalizeexported analyzeexported signmessage verifymessage
        makepaymenturi parsepaymenturi"""
        of_the_core = """rpc.discover gettransactionfinality explaintransaction testmempoolaccept getmempoolentry
        getmempoolancestors getmempooldescendants gettxspendingprevout combinerawtransaction estimatesmartfee
        getfeeschedule getmasternode getblockattendance"""
        of_the_control = """getalerts dumprecording getrpcinfo getmemoryinfo getconfig setconfig confirmconfig reload
        getprofile getreactorinfo"""
        of_the_payments = """sendmany sendall getbalances lockunspent listlockunspent
        walletcreatefundedtransaction fundrawtransaction mergeutxos abandontransaction rescanblockchain abortrescan
        listtransactions listsinceblock getwallettransaction getreceivedbyaddress getreceivedbylabel listreceivedbyaddress"""
        of_the_events = """getevents geteventcursor getsubscriptions"""
        known = " ".join(
            (of_the_events, asked, of_the_keys, of_the_core, of_the_control, of_the_payments)
        ).split()
        self.assertEqual(set(known), set(METHODS))

    def test_rows_are_complete(self) -> None:
        for name, method in METHODS.items():
            self.assertEqual(name, method.name)
            self.assertTrue(name.isascii() and name.islower() and name.replace(".", "").isalnum())
            self.assertIn(method.category, CATEGORIES)
            self.assertIn(method.permission, PERMISSIONS)
            self.assertTrue(method.summary.endswith((".", "?")), name)
            self.assertTrue(method.result)
            for param in method.params:
                self.assertTrue(param.help, param.name)

    def test_required_parameters_come_first(self) -> None:
        for method in METHODS.values():
            flags = [param.required for param in method.params]
            self.assertEqual(flags, sorted(flags, reverse=True), method.name)

    def test_named_and_positional_arguments_mean_the_same(self) -> None:
        method = METHODS["getblock"]
        self.assertEqual(bind(method, [5, 2]), bind(method, {"block": 5, "verbosity": 2}))
        self.assertEqual(bind(method, [5, None]), bind(method, [5]))
        self.assertEqual(bind(METHODS["uptime"], None), {})


class Amounts(SynchronousTestCase):
    """Amounts are exact: no float on the way `[1]`."""

    def units(self, text: str) -> int:
        from timed.rpc.jsontext import decode

        units: int = Amount().convert("amount", decode(text.encode()))
        return units

    def test_numbers_and_strings_are_read_exactly(self) -> None:
        for text, units in (
            ("1", 10**8), ("1.5", 150_000_000), ('"1.5"', 150_000_000), ("0.00000001", 1), ("1e-8", 1),
            ("1e-08", 1), ("0.1", 10_000_000), ("21.00000007", 2_100_000_007), ("92233720368.54775807", 2**63 - 1),
            ("1E+2", 10**10),
        ):  # fmt: skip
            self.assertEqual(self.units(text), units, text)

    def test_what_is_no_amount_is_refused(self) -> None:
        for text in (
            "0", "-1", "0.000000001", "1.000000001", "92233720368.54775808", "1e30", "1e-30", "1e999999999",
            "1e-999999999", '"1e-8"', '""', '"x"', '" 1"', '"+1"', '"1_0"', '"NaN"', '"Infinity"', "true", "null",
            "[]", "1.00000000000000000000000000000000000001", '"１"',
        ):  # fmt: skip
            with self.assertRaises(RpcError, msg=text) as caught:
                self.units(text)
            self.assertIn(caught.exception.code, (-3, -8), text)

    def test_bounds_are_part_of_the_range(self) -> None:
        kind = Integer(2, 4)
        self.assertEqual([kind.convert("n", value) for value in (2, 4)], [2, 4])
        for value in (1, 5):
            with self.assertRaises(RpcError):
                kind.convert("n", value)

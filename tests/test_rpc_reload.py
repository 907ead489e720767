"""What is read again while the node runs: accounts, certificates, and the keys of [rpc] that may change."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import shutil
import signal
import ssl
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.rpc_service import DEADLINE_S, ServiceTestCase, fetch
from tests.test_rpc_access import ALICE, BOB, certificate
from timed.app.reload import MAX_ENTRIES, HangupService, Reloads
from timed.client.message import authorization
from timed.errors import ConfigError, LocalError
from timed.rpc.authfile import MAX_BYTES, read_auth_file
from timed.rpc.credentials import MAX_ACCOUNTS, make


class AuthFile(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def put(self, text: str, mode: int = 0o600) -> Path:
        self.path.write_text(text, encoding="utf-8")
        self.path.chmod(mode)
        return self.path

    def test_one_account_a_line_as_here_or_as_bitcoin_has_it(self) -> None:
        text = f"# who may call\n\n{ALICE.line}\n  rpcauth={BOB.line}  \n"
        self.assertEqual(read_auth_file(self.put(text)), (ALICE, BOB))
        self.assertEqual(read_auth_file(self.put(f"auth = {ALICE.line}\n")), (ALICE,))
        self.assertEqual(read_auth_file(self.put("")), ())
        odd = make("myauth=x", "x", bytes)
        self.assertEqual(read_auth_file(self.put(odd.line)), (odd,))

    def test_a_file_that_others_can_read_is_refused(self) -> None:
        for mode in (0o640, 0o604, 0o660):
            error = self.assertRaises(ConfigError, read_auth_file, self.put(ALICE.line, mode))
            self.assertIn("chmod 600", str(error))

    def test_what_is_no_account_is_named_with_its_line(self) -> None:
        for text in (f"{ALICE.line}\nbob:word", f"{ALICE.line}\n{ALICE.line}", f"\nroles = {ALICE.line}"):
            self.assertIn(
                f"{self.path}:2", str(self.assertRaises(ConfigError, read_auth_file, self.put(text)))
            )

    def test_it_is_bounded(self) -> None:
        many = "\n".join(make(f"user{number}", "x", bytes).line for number in range(MAX_ACCOUNTS + 1))
        self.assertIn("more than", str(self.assertRaises(ConfigError, read_auth_file, self.put(many))))
        self.assertIn(
            "longer", str(self.assertRaises(ConfigError, read_auth_file, self.put("#" * (MAX_BYTES + 1))))
        )

    def test_what_is_no_file_or_no_text(self) -> None:
        self.assertRaises(ConfigError, read_auth_file, self.path)
        self.assertRaises(ConfigError, read_auth_file, self.put("ü"))
        os.mkdir(f"{self.path}.d")
        self.assertRaises(ConfigError, read_auth_file, Path(f"{self.path}.d"))


class ReloadCase(ServiceTestCase):
    async def call(self, header: dict[str, str], method: str, *params: Any) -> tuple[int, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        status, _, answer = await self.in_thread(fetch, self.rpc_port, "POST", body=body, headers=header)
        return status, json.loads(answer) if answer.startswith(b"{") else answer

    async def admin(self, method: str, *params: Any) -> Any:
        return (await self.call(self.authorization(), method, *params))[1]

    async def status(self, user: str, password: str, method: str = "getblockcount") -> int:
        return (await self.call({"Authorization": authorization(user, password)}, method))[0]


class Accounts(ReloadCase):
    def rpc_settings(self) -> dict[str, Any]:
        self.file = Path(self.directory).absolute() / "auth"
        self.put(ALICE.line)
        return {"auth_file": str(self.file), "roles": {"alice": "read"}}

    def put(self, *lines: str) -> None:
        self.file.write_text("\n".join(lines), encoding="ascii")
        self.file.chmod(0o600)

    async def test_an_account_comes_and_goes_with_its_line(self) -> None:
        self.assertEqual(await self.status("alice", "secret"), 200)
        self.assertEqual(await self.status("alice", "secret", "getbalance"), 403)
        self.put(ALICE.line, BOB.line)
        [outcome] = (await self.admin("reload"))["result"]
        self.assertEqual(outcome, {"what": "accounts", "now": "2 beside the cookie", "failed": False})
        self.assertEqual(await self.status("bob", "word", "getbalance"), 200)
        self.put(ALICE.line)
        await self.admin("reload")
        self.assertEqual((await self.status("bob", "word"), await self.status("alice", "secret")), (401, 200))
        self.assertEqual(self.context.reloads.counters, {("accounts", "done"): 2})

    async def test_a_file_that_cannot_be_used_changes_nothing_and_says_so(self) -> None:
        self.put(BOB.line)
        error = (await self.admin("reload"))["error"]
        self.assertEqual(error["data"]["rule"], "reload-failed")
        self.assertIn("rpc.roles names 'alice'", error["message"])
        self.assertEqual(error["data"]["reloaded"], [{"what": "accounts", "now": "", "failed": True}])
        self.assertEqual((await self.status("bob", "word"), await self.status("alice", "secret")), (401, 200))
        self.file.unlink()
        self.assertIn("cannot read", (await self.admin("reload"))["error"]["message"])
        self.assertEqual(await self.status("alice", "secret"), 200)

    async def test_a_role_changes_at_once_and_goes_back(self) -> None:
        shown = (await self.admin("setconfig", "rpc.roles", "alice:wallet"))["result"]
        self.assertTrue(shown["applied"])
        self.assertEqual(await self.status("alice", "secret", "getbalance"), 200)
        await self.admin("setconfig", "rpc.roles", None, 0)
        self.assertEqual(await self.status("alice", "secret", "getbalance"), 403)

    async def test_the_log_says_who_changed_it_and_from_where(self) -> None:
        self.put(ALICE.line, BOB.line)
        await self.admin("reload")
        bob = {"Authorization": authorization("bob", "word")}
        with capturedLogs() as lines:
            status, _ = await self.call(bob, "setconfig", "rpc.roles", "alice:wallet", 60)
            await self.admin("confirmconfig")
        self.assertEqual(status, 200)
        said = [formatEvent(line) for line in lines if line["log_namespace"] == "timed.app.live.LiveConfig"]
        self.assertEqual(
            said,
            [
                "bob (admin) from 127.0.0.1 has changed rpc.roles from alice:read to alice:wallet",
                "__cookie__ (admin) from 127.0.0.1 has kept for good: rpc.roles",
            ],
        )

    async def test_a_role_of_nobody_is_refused(self) -> None:
        error = (await self.admin("setconfig", "rpc.roles", "carol:read"))["error"]
        self.assertEqual((error["code"], error["data"]["rule"]), (-8, "config-value"))
        self.assertIn("'carol'", error["message"])

    async def test_a_whitelist_changes_at_once(self) -> None:
        await self.admin("setconfig", "rpc.whitelist", "alice:uptime", 0)
        self.assertEqual(
            (await self.status("alice", "secret"), await self.status("alice", "secret", "uptime")), (403, 200)
        )

    async def test_the_budget_and_the_deadline_change_at_once(self) -> None:
        await self.admin("setconfig", "rpc.budget_per_s", "1", 0)
        await self.admin("setconfig", "rpc.deadline_s", "7", 0)
        shown = (await self.admin("getrpcinfo"))["result"]
        self.assertEqual((shown["budgets"]["per_second"], shown["deadline"]["seconds"]), (1, 7))
        costly = [await self.status("alice", "secret", "rpc.discover") for _ in range(2)]
        self.assertEqual(costly, [429, 429])

    async def test_fewer_connections_are_open_at_once(self) -> None:
        idle = [http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=DEADLINE_S) for _ in range(12)]
        for each in idle:
            await self.in_thread(each.connect)
        while self.rpc.site.connections < 12:  # type: ignore[union-attr]
            await self.admin("uptime")
        await self.admin("setconfig", "rpc.max_connections", "8", 0)
        self.assertLessEqual(self.rpc.site.connections, 8)  # type: ignore[union-attr]
        self.assertGreaterEqual(self.rpc.site.counters["full"], 4)  # type: ignore[union-attr]
        for each in idle:
            each.close()

    async def test_who_may_connect_changes_at_once(self) -> None:
        endpoint = self.rpc._endpoint
        await self.admin("setconfig", "rpc.allow", "192.0.2.0/24", 0)
        self.assertEqual(endpoint.allow, (ipaddress.ip_network("192.0.2.0/24"),))  # type: ignore[union-attr]

    async def test_an_account_that_is_no_administrator_may_not_change_anything(self) -> None:
        for method in ("getconfig", "setconfig", "confirmconfig", "reload"):
            self.assertEqual(await self.status("alice", "secret", method), 403)


class Certificates(ReloadCase):
    def rpc_settings(self) -> dict[str, Any]:
        self.first, self.second = certificate(self.directory, "first"), certificate(self.directory, "second")
        self.files = tuple(str(Path(self.directory).absolute() / name) for name in ("crt", "key"))
        self.install(self.first)
        return {"tls_certificate": self.files[0], "tls_key": self.files[1]}

    def install(self, pair: tuple[str, str]) -> None:
        for source, target in zip(pair, self.files, strict=True):
            shutil.copyfile(source, target)

    def reload(self) -> list[Any]:
        return [(each.what, each.error is None) for each in self.context.reloads.run()]

    def connect(self, authority: str) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(
            "127.0.0.1",
            self.rpc_port,
            timeout=DEADLINE_S,
            context=ssl.create_default_context(cafile=authority),
        )
        connection.connect()
        return connection

    def ask(self, connection: http.client.HTTPSConnection) -> int:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        response.read()
        return response.status

    async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(self) -> None:
        old = await self.in_thread(self.connect, self.first[0])
        self.install(self.second)
        self.assertEqual(self.reload(), [("accounts", True), ("certificate", True)])
        new = await self.in_thread(self.connect, self.second[0])
        for each in (old, new):
            self.assertEqual(await self.in_thread(self.ask, each), 200)
            each.close()
        with self.assertRaises(ssl.SSLCertVerificationError):
            await self.in_thread(self.connect, self.first[0])

    async def test_one_that_cannot_be_used_leaves_the_old_one_in_force(self) -> None:
        shutil.copyfile(self.second[0], self.files[0])
        self.assertEqual(self.reload(), [("accounts", True), ("certificate", False)])
        Path(self.files[0]).write_text("-----BEGIN", encoding="ascii")
        self.assertEqual(self.reload()[1], ("certificate", False))
        connection = await self.in_thread(self.connect, self.first[0])
        self.assertEqual(await self.in_thread(self.ask, connection), 200)
        connection.close()
        self.assertEqual(self.context.reloads.counters["certificate", "failed"], 2)


class Hangup(TestCase):
    timeout = 60

    async def test_sighup_reads_again_and_the_handler_goes_with_the_service(self) -> None:
        reloads, done = Reloads(), Deferred()  # type: ignore[var-annotated]
        reloads.add("x", lambda: str(reactor.callLater(0, done.callback, None)))  # type: ignore[attr-defined]
        before = signal.getsignal(signal.SIGHUP)
        service = HangupService(reloads, reactor)
        service.startService()
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            await done
        finally:
            service.stopService()
        self.assertEqual((reloads.counters["x", "done"], signal.getsignal(signal.SIGHUP)), (1, before))


class Entries(SynchronousTestCase):
    def test_one_that_fails_stops_no_other(self) -> None:
        def broken() -> str:
            raise LocalError("no.", "No.")

        reloads = Reloads()
        reloads.add("first", broken)
        end = reloads.add("second", lambda: "good")
        outcomes = reloads.run()
        self.assertEqual([(each.what, each.now, each.error is None) for each in outcomes],
                         [("first", "", False), ("second", "good", True)])  # fmt: skip
        end()
        self.assertEqual([each.what for each in reloads.run()], ["first"])

    def test_a_bug_in_one_stops_no_other_and_is_in_the_log(self) -> None:
        reloads = Reloads()
        reloads.add("first", lambda: str(1 // 0))
        reloads.add("second", lambda: "good")
        self.assertEqual([each.error is None for each in reloads.run()], [False, True])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(reloads.counters, {("first", "failed"): 1, ("second", "done"): 1})

    def test_nothing_is_entered_twice_and_their_number_is_bounded(self) -> None:
        reloads = Reloads()
        reloads.add("0", str)
        self.assertRaises(LocalError, reloads.add, "0", str)
        for number in range(1, MAX_ENTRIES):
            reloads.add(str(number), str)
        self.assertRaises(LocalError, reloads.add, "more", str)

"""Who may call, what it may cost, and who goes first."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import DEADLINE_S, ServiceTestCase, fetch
from timed.app.config import Config
from timed.app.kinds import LEVELS_OF, LIMITS, ROLES_OF, SECRETS, SUBNETS, WHITELIST
from timed.app.schema import RPCSection, Settings
from timed.client.message import authorization
from timed.errors import ConfigError
from timed.params import SECOND
from timed.rpc import site
from timed.rpc.access import accounts, check_exposure, tls
from timed.rpc.auth import Account, Authenticator
from timed.rpc.budget import BURST_S, MAX_CLIENTS, MAX_WAIT_S, Budgets
from timed.rpc.caller import Caller
from timed.rpc.credentials import make, parse
from timed.rpc.errors import Busy, RpcError
from timed.rpc.failures import MAX_ADDRESSES, MAX_DELAY_S, MAX_HELD, Failures
from timed.rpc.lanes import COST_PER_TURN, MAX_QUEUED, MAX_QUEUED_EACH, Full, Lanes
from timed.rpc.origin import place_of
from timed.rpc.table import METHODS
from timed.rpc.toll import Toll
from timed.rpc.waiting import Waiters, is_decided

COUNT = {"jsonrpc": "2.0", "id": 1, "method": "getblockcount"}
ALICE = make("alice", "secret", lambda size: b"\x01" * size)
BOB = make("bob", "word", lambda size: b"\x02" * size)


def certificate(directory: str, name: str, address: str = "127.0.0.1") -> tuple[str, str]:
    """(certificate file, key file) for `address`, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    files = Path(directory, f"{name}.crt"), Path(directory, f"{name}.key")
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(files[0].absolute()), str(files[1].absolute())


class Credentials(SynchronousTestCase):
    def test_a_line_is_bitcoin_s(self) -> None:
        """As Bitcoin Core's tests have it (test/functional/rpc_users.py)."""
        secret = parse(
            "rt:93648e835a54c573682c2eb19f882535$"
            "7681e9c5b74bdd85e78166031d2058e1069b3ed7ed967c93fc63abba06f31144"
        )
        self.assertTrue(secret.matches(b"cA773lm788buwYe4g4WT+05pKyNruVKjQ25x3n0DQcM="))
        self.assertFalse(secret.matches(b"wrong"))

    def test_what_is_made_matches_and_is_read_again(self) -> None:
        self.assertEqual(parse(ALICE.line), ALICE)
        self.assertTrue(ALICE.matches(b"secret"))
        self.assertNotIn("secret", repr(ALICE) + ALICE.line)

    def test_other_lines_are_refused(self) -> None:
        for line in ("", "alice", "alice:salt", "alice:00$zz", "a b:00$" + "0" * 64, ":00$" + "0" * 64, ALICE.line + "0"):  # fmt: skip
            with self.assertRaises(ValueError):
                parse(line)
        with self.assertRaises(ValueError):
            make("no:colon", "x", bytes)

    def test_the_keys_of_the_configuration_are_read_and_shown(self) -> None:
        for kind, text in (
            (SECRETS, f"{ALICE.line}, {BOB.line}"), (ROLES_OF, "alice:read, bob:wallet"),
            (WHITELIST, "alice:getblock+getblockcount"), (SUBNETS, "192.0.2.0/24, 2001:db8::/32"),
            (LEVELS_OF, "peer:debug, rpc.site:warn"), (LIMITS, "cpu-high:0.75, disk-space:2000000000"),
        ):  # fmt: skip
            self.assertEqual(kind.show(kind.parse(text)), text)  # type: ignore[attr-defined]
        for kind, text in (
            (SECRETS, f"{ALICE.line} {make('alice', 'x', bytes).line}"),
            (ROLES_OF, "alice"), (ROLES_OF, "alice:king"), (WHITELIST, "alice"), (WHITELIST, "alice:"),
            (SUBNETS, "192.0.2.1/24"), (SUBNETS, "x"),
            (LEVELS_OF, "peer"), (LEVELS_OF, "peer:loud"), (LEVELS_OF, "moon:info"), (LEVELS_OF, "peer:info timed.peer:warn"),
            (LIMITS, "cpu-high"), (LIMITS, "cpu:1"), (LIMITS, "check-disk:1"), (LIMITS, "cpu-high:nan"),
            (LIMITS, "cpu-high:1e9"), (LIMITS, "cpu-high:1 cpu-high:2"),
        ):  # fmt: skip
            with self.assertRaises(ValueError):
                kind.parse(text)  # type: ignore[attr-defined]

    def test_a_good_header_is_compared_once(self) -> None:
        known = Authenticator([Account(ALICE)])
        header = authorization("alice", "secret").encode()
        self.assertEqual(known.caller(header, "a").user, "alice")  # type: ignore[union-attr]
        known._named = ()
        self.assertEqual(known.caller(header, "b").address, "b")  # type: ignore[union-attr]
        self.assertIsNone(known.caller(authorization("alice", "wrong").encode()))


class Exposure(SynchronousTestCase):
    def refusal(self, **keys: Any) -> str:
        settings = RPCSection(**keys)
        with self.assertRaises(ConfigError) as caught:
            accounts(settings, settings.auth)
            check_exposure(settings, settings.auth)
            tls(Config(Settings(rpc=settings), Path(".").absolute()))
        return str(caught.exception)

    def test_loopback_is_plain_without_a_word(self) -> None:
        for host in ("127.0.0.1", "127.5.5.5", "::1", "localhost"):
            check_exposure(RPCSection(host=host), ())

    def test_another_host_needs_tls_and_an_account(self) -> None:
        for host in ("0.0.0.0", "::", "192.0.2.1", "node.example"):
            self.assertIn("rpc.tls_certificate", self.refusal(host=host, auth=(ALICE,)))
            self.assertIn("rpcauth", self.refusal(host=host, tls_certificate="c", tls_key="k"))
            check_exposure(RPCSection(host=host, tls_certificate="c", tls_key="k"), (ALICE,))

    def test_mistakes_are_named(self) -> None:
        self.assertIn("'carol'", self.refusal(auth=(ALICE,), roles={"carol": "read"}))
        self.assertIn("'carol'", self.refusal(auth=(ALICE,), whitelist={"carol": ("help",)}))
        self.assertIn("'getbloc'", self.refusal(auth=(ALICE,), whitelist={"alice": ("getbloc",)}))
        self.assertIn("go together", self.refusal(tls_certificate="c"))
        self.assertIn("cannot read", self.refusal(tls_certificate="/nowhere", tls_key="k"))
        directory = self.mktemp()
        Path(directory).mkdir()
        first, second = certificate(directory, "one"), certificate(directory, "two")
        self.assertIn("no PEM", self.refusal(tls_certificate=first[1], tls_key=first[1]))
        self.assertIn("no unencrypted key", self.refusal(tls_certificate=first[0], tls_key=second[1]))
        self.assertIn("no unencrypted key", self.refusal(tls_certificate=first[0], tls_key=first[0]))

    def test_nobody_is_asked_for_the_word_of_an_encrypted_key(self) -> None:
        """OpenSSL would ask at the terminal, and without one it reads what comes from standard input."""
        directory = Path(self.mktemp())
        directory.mkdir()
        file, plain = certificate(str(directory), "node")
        key = serialization.load_pem_private_key(Path(plain).read_bytes(), None)
        locked = directory / "locked.pem"
        locked.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"sesame"),
            )
        )  # fmt: skip
        read = "import sys; from pathlib import Path; from timed.rpc.access import ServerTls; ServerTls((Path(sys.argv[1]), Path(sys.argv[2])))"
        done = subprocess.run(
            [sys.executable, "-c", read, file, str(locked)],
            input="sesame\n", capture_output=True, text=True, start_new_session=True, timeout=60, check=False,
        )  # fmt: skip
        self.assertIn("no unencrypted key", done.stderr)


class OverTls(ServiceTestCase):
    def rpc_settings(self) -> dict[str, Any]:
        self.certificate, key = certificate(self.directory, "node")
        self.other, _ = certificate(self.directory, "other")
        return {"tls_certificate": self.certificate, "tls_key": key}

    def call(self, authority: str) -> int:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.rpc_port, timeout=DEADLINE_S, context=context
        )
        try:
            connection.request("POST", "/", json.dumps(COUNT), self.authorization())
            return connection.getresponse().status
        finally:
            connection.close()

    async def test_a_client_that_trusts_the_certificate_is_served(self) -> None:
        self.assertEqual(await self.in_thread(self.call, self.certificate), 200)

    async def test_a_client_that_does_not_goes_away(self) -> None:
        with self.assertRaises(ssl.SSLCertVerificationError):
            await self.in_thread(self.call, self.other)

    async def test_plain_http_gets_nothing(self) -> None:
        with self.assertRaises((http.client.HTTPException, OSError)):
            await self.in_thread(fetch, self.rpc_port, "POST", body=b"{}")

    async def test_a_stop_says_goodbye_to_who_is_connected(self) -> None:
        self.patch(site, "CLOSE_S", 3 * DEADLINE_S)
        served: Deferred[None] = Deferred()

        def stay() -> bytes:
            context = ssl.create_default_context(cafile=self.certificate)
            plain = socket.create_connection(("127.0.0.1", self.rpc_port), timeout=DEADLINE_S / 3)
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as raw:
                raw.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b" 200 ", raw.recv(1_000))
                reactor.callFromThread(served.callback, None)
                return raw.recv(1_000)

        staying = self.in_thread(stay)
        await served
        await self.services.stopService()
        self.assertEqual(await staying, b"")


class Roles(ServiceTestCase):
    def rpc_settings(self) -> dict[str, Any]:
        return {
            "auth": (ALICE, BOB),
            "roles": {"alice": "read"},
            "whitelist": {"bob": ("getblockcount", "uptime")},
        }

    async def call(self, user: str, password: str, method: str, *params: Any) -> tuple[int, Any]:
        body = json.dumps({**COUNT, "method": method, "params": params}).encode()
        status, _, answer = await self.in_thread(
            fetch, self.rpc_port, "POST", body=body, headers={"Authorization": authorization(user, password)}
        )
        return status, json.loads(answer) if answer.startswith(b"{") else answer

    async def test_a_reader_reads_and_nothing_else(self) -> None:
        self.assertEqual((await self.call("alice", "secret", "getblockcount"))[0], 200)
        for method in ("getbalance", "stop", "setban"):
            status, answer = await self.call("alice", "secret", method)
            self.assertEqual((status, answer["error"]["data"]["rule"]), (403, "forbidden"))

    async def test_who_has_a_list_calls_what_stands_on_it(self) -> None:
        self.assertEqual((await self.call("bob", "word", "uptime"))[0], 200)
        status, answer = await self.call("bob", "word", "getpeerinfo")
        self.assertEqual(status, 403)
        self.assertIn("rpc.whitelist", answer["error"]["message"])

    async def test_the_cookie_may_everything(self) -> None:
        user, _, password = self.cookie().partition(":")
        self.assertEqual((await self.call(user, password, "getbalance"))[0], 200)

    async def test_a_wrong_password_waits_and_a_good_one_does_not(self) -> None:
        self.patch(self.rpc._endpoint, "_reactor", clock := Clock())
        wrong = self.call("alice", "wrong", "getblockcount")
        waiting = Deferred.fromCoroutine(wrong)
        self.assertEqual((await self.call("alice", "secret", "getblockcount"))[0], 200)
        while self.rpc._endpoint._authenticator.failures.held == 0:  # type: ignore[union-attr]
            await self.call("alice", "secret", "getblockcount")
        self.assertFalse(waiting.called)
        clock.advance(MAX_DELAY_S)
        status, _ = await waiting
        self.assertEqual((status, self.rpc._endpoint._authenticator.failures.held), (401, 0))  # type: ignore[union-attr]


class AllowedAddresses(ServiceTestCase):
    def rpc_settings(self) -> dict[str, Any]:
        return {"allow": (ipaddress.ip_network("192.0.2.0/24"),)}

    async def test_this_machine_is_always_allowed_and_others_by_the_list(self) -> None:
        status, _, _ = await self.in_thread(
            fetch, self.rpc_port, "POST", body=json.dumps(COUNT).encode(), headers=self.authorization()
        )
        self.assertEqual(status, 200)
        from timed.rpc import http as rpc_http

        for address, expected in (
            ("192.0.2.9", 200), ("::ffff:192.0.2.9", 200), ("::ffff:127.0.0.1", 200), ("198.51.100.1", 403),
            ("2001:db8::1", 403), ("/a/path", 403),
        ):  # fmt: skip
            peer = SimpleNamespace(host=address)
            self.patch(rpc_http.BoundedRequest, "getClientAddress", lambda request, peer=peer: peer)
            status, _, _ = await self.in_thread(
                fetch, self.rpc_port, "POST", body=json.dumps(COUNT).encode(), headers=self.authorization()
            )
            self.assertEqual(status, expected, address)


class Places(SynchronousTestCase):
    def test_who_may_choose_among_many_addresses_has_one_place(self) -> None:
        for address, place in (
            ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::2:3", "2001:db8::/64"),
        ):  # fmt: skip
            self.assertEqual(place_of(ipaddress.ip_address(address)), place)
        self.assertEqual(place_of(None), "")


class Guessing(SynchronousTestCase):
    def test_each_failure_of_an_address_waits_longer(self) -> None:
        failures = Failures()
        delays = [failures.delay("a", 0.0) for _ in range(10)]
        self.assertEqual(delays[:5], [0.25, 0.5, 1.0, 2.0, 4.0])
        self.assertEqual(delays[-1], MAX_DELAY_S)
        self.assertEqual(failures.delay("b", 0.0), 0.25)
        self.assertEqual(failures.delay("a", 1_000.0), 0.25)

    def test_addresses_and_held_answers_are_bounded(self) -> None:
        failures = Failures()
        for number in range(MAX_ADDRESSES + 10):
            failures.delay(str(number), 0.0)
        self.assertEqual(len(failures), MAX_ADDRESSES)
        failures.held = MAX_HELD
        self.assertIsNone(failures.delay("x", 0.0))
        self.assertEqual(failures.turned_away, 1)


class Prices(SynchronousTestCase):
    CLIENT = ("alice", "192.0.2.1")

    def test_an_idle_client_has_a_burst_and_then_its_income(self) -> None:
        budgets = Budgets(100)
        for _ in range(100 * BURST_S):
            self.assertEqual(budgets.charge(self.CLIENT, 1, 0), 0)
        self.assertEqual(budgets.charge(self.CLIENT, 1, 0), 10_000)
        self.assertEqual(budgets.charge(self.CLIENT, 1, 0), 20_000)
        self.assertEqual(budgets.charge(("bob", ""), 1, 0), 0)
        self.assertEqual(budgets.charge(self.CLIENT, 1, SECOND), 0)

    def test_who_would_wait_too_long_is_told_when_to_come_back_and_is_not_charged(self) -> None:
        budgets = Budgets(100)
        self.assertGreater(budgets.charge(self.CLIENT, 100 * (BURST_S + MAX_WAIT_S), 0), 0)
        self.assertEqual(budgets.charge(self.CLIENT, 300, 0), -3)
        self.assertEqual(budgets.charge(self.CLIENT, 100, SECOND), MAX_WAIT_S * SECOND)
        self.assertEqual((budgets.slowed, budgets.refused), (2, 1))

    def test_no_limit_is_no_limit(self) -> None:
        self.assertEqual(Budgets(0).charge(self.CLIENT, 10**9, 0), 0)

    def test_budgets_are_bounded(self) -> None:
        budgets = Budgets(100)
        for number in range(MAX_CLIENTS + 5):
            budgets.charge((str(number), ""), 1, 0)
        self.assertEqual(len(budgets), MAX_CLIENTS)

    @given(st.lists(st.tuples(st.integers(0, 500_000), st.integers(1, 300)), max_size=80))
    def test_nobody_spends_more_than_comes_in(self, calls: list[tuple[int, int]]) -> None:
        """What runs until any moment costs at most the burst and the income until then."""
        budgets, now, done = Budgets(100), 0, []
        for pause, cost in calls:
            now += pause
            wait = budgets.charge(self.CLIENT, cost, now)
            if wait >= 0:
                done.append((now + wait, cost))
        for at, _ in done:
            spent = sum(cost for when, cost in done if when <= at)
            self.assertLessEqual(spent, 100 * BURST_S + (at * 100 + SECOND - 1) // SECOND + 1)


class Order(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns: list[Any] = []
        self.lanes = Lanes(self.turns.append)
        self.ran: list[int] = []

    def call(self, number: int, cost: int = 1, client: str = "a") -> None:
        turn = self.lanes.enter((client, ""), cost)
        if turn is None:
            self.ran.append(number)
        else:
            turn.addCallback(lambda _: self.ran.append(number))

    def next_turn(self) -> None:
        turns, self.turns[:] = list(self.turns), []
        for turn in turns:
            turn()

    def test_a_turn_computes_its_slice_and_the_rest_follow_in_order(self) -> None:
        for number in range(3 * COST_PER_TURN):
            self.call(number)
        self.assertEqual(self.ran, list(range(COST_PER_TURN)))
        self.next_turn()
        self.assertEqual(self.ran, list(range(2 * COST_PER_TURN)))
        self.call(-1)
        self.next_turn()
        self.next_turn()
        self.assertEqual(self.ran, [*range(3 * COST_PER_TURN), -1])
        self.next_turn()
        self.assertEqual((self.turns, len(self.lanes)), ([], 0))

    def test_a_heavy_call_fills_a_turn_and_is_let_through(self) -> None:
        self.call(1, COST_PER_TURN * 10)
        self.call(2)
        self.assertEqual(self.ran, [1])
        self.next_turn()
        self.assertEqual(self.ran, [1, 2])

    def test_what_waits_is_bounded(self) -> None:
        for number in range(COST_PER_TURN + MAX_QUEUED_EACH):
            self.call(number)
        with self.assertRaises(Full):
            self.call(-1)
        for number in range(MAX_QUEUED - MAX_QUEUED_EACH):
            self.call(number, client=f"b{number % 10}")
        with self.assertRaises(Full):
            self.call(-1, client="c")
        self.assertEqual((self.lanes.refused, len(self.lanes)), (2, MAX_QUEUED))
        for _ in range(MAX_QUEUED // COST_PER_TURN):
            self.next_turn()
        self.assertEqual((len(self.lanes), len(self.lanes._of_client)), (0, 0))


class TheToll(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.toll = Toll(self.clock, budget_per_s=100, deadline_s=30)
        self.light = METHODS["getblockcount"]
        self.reader = Caller("alice", "192.0.2.1", frozenset({"read"}))
        self.admin = Caller("__cookie__")

    def admit(self, times: int) -> list[Deferred[None]]:
        waits = [self.toll.admit(self.reader, self.light) for _ in range(times)]
        return [Deferred.fromCoroutine(wait) if not isinstance(wait, Deferred) else wait
                for wait in waits if wait is not None]  # type: ignore[arg-type]  # fmt: skip

    def test_an_administrator_passes_whatever_the_others_do(self) -> None:
        self.admit(500)
        self.assertIsNone(self.toll.admit(self.admin, METHODS["gettxoutsetinfo"]))

    def test_who_is_limited_to_a_list_is_no_administrator(self) -> None:
        listed = Caller("bob", methods=frozenset({"getblockcount"}))
        self.assertFalse(listed.passes)
        self.assertTrue(Caller("apart", "", frozenset(), charged=True).passes)

    def test_the_greedy_are_slowed_then_refused_with_a_time(self) -> None:
        waiting = self.admit(100 * (BURST_S + MAX_WAIT_S))
        with self.assertRaises(Busy) as caught:
            self.toll.admit(self.reader, self.light)
        self.assertEqual((caught.exception.status, caught.exception.retry_after_s), (429, 1))
        for _ in range(MAX_WAIT_S * 10 + 1):
            self.clock.advance(0.1)
        self.clock.pump([0] * 10)
        self.assertTrue(all(each.called for each in waiting))
        self.assertIsNone(self.toll.admit(self.admin, self.light))

    def test_closing_ends_what_is_slowed(self) -> None:
        waiting = self.admit(100 * BURST_S + 150)
        slowed = [each for each in waiting if not each.called]
        self.toll.close()
        failures = [each for each in slowed if each.called]
        self.assertGreaterEqual(len(failures), 100)
        for each in failures:
            self.assertEqual(self.failureResultOf(each, Busy).value.data["rule"], "stopping")
        late = self.assertRaises(Busy, self.toll.admit, self.reader, self.light)
        self.assertEqual(late.data["rule"], "stopping")
        self.clock.pump([0] * 10)

    def test_who_leaves_while_it_is_slowed_is_not_told_that_the_node_stops(self) -> None:
        slowed = self.admit(100 * BURST_S + 150)[-1]
        slowed.cancel()
        self.assertEqual(self.failureResultOf(slowed, RpcError).value.data["rule"], "cancelled")

    def test_a_wait_that_says_itself_that_it_was_cancelled_took_too_long_all_the_same(self) -> None:
        waiters = Waiters(self.clock)
        waiting = waiters.wait(bytes(32), is_decided, 100 * SECOND)
        result = Deferred.fromCoroutine(self.toll.within(self.light, waiting))  # type: ignore[arg-type]
        self.clock.advance(31)
        self.assertEqual(self.failureResultOf(result, RpcError).value.data["rule"], "deadline")
        self.assertEqual((self.toll.late, len(waiters)), (1, 0))

    def test_what_is_said_of_a_payment_at_its_deadline_is_heard(self) -> None:
        kept = Deferred[Any](lambda done: done.errback(RpcError(-1, "kept", rule="payment-kept")))
        result = Deferred.fromCoroutine(self.toll.within(self.light, kept))  # type: ignore[arg-type]
        self.clock.advance(31)
        self.assertEqual(self.failureResultOf(result, RpcError).value.data["rule"], "payment-kept")

    def test_a_call_that_takes_too_long_is_ended(self) -> None:
        never: Deferred[Any] = Deferred()
        result = Deferred.fromCoroutine(self.toll.within(self.light, never))  # type: ignore[arg-type]
        self.clock.advance(31)
        self.assertEqual(self.failureResultOf(result, RpcError).value.data["rule"], "deadline")
        self.assertEqual(self.toll.late, 1)

    def test_a_call_that_waits_on_purpose_is_not(self) -> None:
        never: Deferred[Any] = Deferred()
        self.assertIs(self.toll.within(METHODS["waittransactionfinality"], never), never)


class OneBudgetOverHttp(ServiceTestCase):
    def rpc_settings(self) -> dict[str, Any]:
        return {"auth": (ALICE,), "roles": {"alice": "read"}, "budget_per_s": 5}

    async def test_who_spent_its_budget_is_429_with_a_time_and_the_administrator_is_served(self) -> None:
        batch = json.dumps([COUNT] * 100).encode()
        status, _, answer = await self.in_thread(
            fetch, self.rpc_port, "POST", body=json.dumps({**COUNT, "method": "getpeerinfo"}).encode(),
            headers={"Authorization": authorization("alice", "secret")},
        )  # fmt: skip
        self.patch(self.rpc._desk.toll.budgets, "per_second", 1)
        status, headers, answer = await self.in_thread(
            fetch, self.rpc_port, "POST", body=json.dumps({**COUNT, "method": "getpeerinfo"}).encode(),
            headers={"Authorization": authorization("alice", "secret")},
        )  # fmt: skip
        self.assertEqual(status, 429)
        self.assertGreaterEqual(int(headers["retry-after"]), 1)
        error = json.loads(answer)["error"]
        self.assertEqual((error["code"], error["data"]["rule"]), (-9, "budget-spent"))
        status, _, _ = await self.in_thread(
            fetch, self.rpc_port, "POST", body=batch, headers=self.authorization()
        )
        self.assertEqual(status, 200)

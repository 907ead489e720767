"""Where a request comes from, and whom a proxy may speak for."""

from __future__ import annotations

import ipaddress
import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.rpc_service import ServiceTestCase, fetch
from timed.rpc.origin import MAX_HOPS, Origin, origin_of

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.1", "fd00::/64")))
PROXY = "10.0.0.1"
ADDRESSES = st.ip_addresses().map(str)


def origin(peer: str, *lines: str, channel: Any = None, proxies: Any = PROXIES) -> Origin:
    """Of one request, on a connection of its own unless `channel` is given."""
    headers = Headers({b"X-Forwarded-For": [line.encode("latin-1") for line in lines]} if lines else {})
    request: Any = SimpleNamespace(
        getClientAddress=lambda: SimpleNamespace(host=peer),
        requestHeaders=headers,
        channel=SimpleNamespace(origin=None) if channel is None else channel,
    )
    return origin_of(request, proxies)


def address(peer: str, *lines: str) -> str:
    found = origin(peer, *lines).address
    return "" if found is None else str(found)


class Forwarded(SynchronousTestCase):
    def test_a_proxy_says_who_stands_behind_it(self) -> None:
        for line, expected in (
            ("192.0.2.7", "192.0.2.7"), ("192.0.2.7:4711", "192.0.2.7"), (" 192.0.2.7 ", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:4711", "2001:db8::1"), ("::ffff:192.0.2.7", "192.0.2.7"),
        ):  # fmt: skip
            self.assertEqual(address(PROXY, line), expected, line)
        self.assertEqual(address("::ffff:10.0.0.1", "192.0.2.7"), "192.0.2.7")
        self.assertEqual(address("fd00::5", "192.0.2.7"), "192.0.2.7")

    def test_what_a_client_invents_stands_before_what_the_proxy_wrote(self) -> None:
        self.assertEqual(address(PROXY, "127.0.0.1, 198.51.100.1, 192.0.2.7"), "192.0.2.7")
        self.assertEqual(address(PROXY, "127.0.0.1", "192.0.2.7"), "192.0.2.7")
        self.assertEqual(address(PROXY, "nonsense, 192.0.2.7"), "192.0.2.7")

    def test_each_request_of_a_proxy_s_connection_is_looked_at(self) -> None:
        channel = SimpleNamespace(origin=None)
        found = [origin(PROXY, line, channel=channel).place for line in ("192.0.2.7", "192.0.2.8")]
        found += [origin(PROXY, channel=channel).place, origin(PROXY, "192.0.2.9", channel=channel).place]
        self.assertEqual(found, ["192.0.2.7", "192.0.2.8", PROXY, "192.0.2.9"])

    def test_a_connection_of_anybody_else_is_looked_at_once_until_the_proxies_change(self) -> None:
        channel = SimpleNamespace(origin=None)
        first = origin("192.0.2.1", "192.0.2.7", channel=channel)
        self.assertIs(origin("192.0.2.1", channel=channel), first)
        more = (*PROXIES, ipaddress.ip_network("192.0.2.1"))
        self.assertEqual(origin("192.0.2.1", "192.0.2.7", channel=channel, proxies=more).place, "192.0.2.7")
        self.assertEqual(origin("192.0.2.1", "192.0.2.8", channel=channel, proxies=more).place, "192.0.2.8")
        self.assertEqual(origin("192.0.2.1", "192.0.2.8", channel=channel).place, "192.0.2.1")

    def test_proxies_behind_proxies_are_passed_over(self) -> None:
        self.assertEqual(address(PROXY, "192.0.2.7, 10.1.1.1, 127.0.0.1"), "192.0.2.7")
        self.assertEqual(address(PROXY, "10.9.9.9, 10.1.1.1"), "10.9.9.9")

    @given(ADDRESSES, st.lists(ADDRESSES, max_size=4))
    def test_nobody_else_is_believed(self, peer: str, lines: list[str]) -> None:
        if any(ipaddress.ip_address(peer) in proxy for proxy in PROXIES):
            return
        self.assertEqual(origin(peer, *lines), origin(peer))

    @given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60), ADDRESSES)
    def test_whatever_stands_there_the_last_word_is_the_proxy_s(self, invented: str, client: str) -> None:
        if any(ipaddress.ip_address(client) in proxy for proxy in PROXIES):
            return
        self.assertEqual(origin(PROXY, f"{invented}, {client}"), origin(PROXY, client))

    def test_a_last_word_that_is_no_address_is_nobody(self) -> None:
        for line in ("", "unknown", "192.0.2.7,", "[2001:db8::1", "1.2.3", "x" * 5_000):
            found = origin(PROXY, f"192.0.2.9, {line}" if line else line)
            self.assertFalse(found.own, line)
            self.assertNotEqual(str(found.address), "192.0.2.9")

    def test_a_chain_that_is_too_long_is_nobody(self) -> None:
        longest = ", ".join(["192.0.2.7", *["10.0.0.2"] * (MAX_HOPS - 1)])
        self.assertEqual(address(PROXY, longest), "192.0.2.7")
        self.assertEqual(address(PROXY, f"{longest}, 10.0.0.3"), "")

    def test_the_loopback_of_another_machine_is_not_this_one(self) -> None:
        self.assertTrue(origin("127.0.0.1", "127.0.0.2").own)
        self.assertFalse(origin(PROXY, "127.0.0.2").own)
        self.assertTrue(origin("127.0.0.5").own)
        self.assertFalse(origin("127.0.0.1", "192.0.2.7").own)

    def test_a_proxy_in_its_own_name_is_itself(self) -> None:
        self.assertEqual((address(PROXY), origin(PROXY).proxy), (PROXY, True))
        self.assertFalse(origin("192.0.2.7").proxy)

    def test_a_place_is_an_address_or_a_64(self) -> None:
        self.assertEqual(origin(PROXY, "2001:db8::1:2:3:4").place, "2001:db8::/64")
        self.assertEqual(origin(PROXY, "192.0.2.7").place, "192.0.2.7")
        self.assertEqual(origin("").place, "")


class OverHttp(ServiceTestCase):
    """The tests' client plays the proxy."""

    def rpc_settings(self) -> dict[str, Any]:
        return {
            "proxies": (ipaddress.ip_network("127.0.0.1"),),
            "allow": (ipaddress.ip_network("192.0.2.0/24"),),
        }

    async def ask(self, client: str = "", path: str = "/", password: str = "") -> tuple[int, Any]:
        headers = self.authorization()
        if password:
            headers["Authorization"] = "Basic eDp5"
        if client:
            headers["X-Forwarded-For"] = client
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getrpcinfo"}).encode()
        method = "POST" if path == "/" else "GET"
        status, _, answer = await self.in_thread(
            fetch, self.rpc_port, method, path, body=body, headers=headers
        )
        return status, json.loads(answer) if answer.startswith(b"{") else answer

    async def test_allow_and_the_calls_see_the_client(self) -> None:
        status, answer = await self.ask("192.0.2.7")
        self.assertEqual((status, answer["result"]["active_commands"][0]["address"]), (200, "192.0.2.7"))
        for client in ("198.51.100.1", "192.0.2.7, 198.51.100.1", "nobody"):
            self.assertEqual((await self.ask(client))[0], 403, client)

    async def test_wrong_passwords_count_for_the_client(self) -> None:
        self.assertEqual((await self.ask("192.0.2.7", password="x"))[0], 401)
        failures = self.rpc.parts.authenticator.failures  # type: ignore[union-attr]
        self.assertEqual(list(failures._seen), ["192.0.2.7"])

    async def test_the_proxy_itself_asks_whether_it_is_ready(self) -> None:
        self.assertEqual((await self.ask(path="/ready"))[0], 200)

    async def test_proxies_change_while_the_node_runs(self) -> None:
        await self.context.live.change("rpc.proxies", "", 60)
        self.assertEqual((await self.ask("198.51.100.1"))[0], 200)

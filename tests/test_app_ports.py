"""Sockets that the service manager hands over: which are taken, and which are refused with a sentence."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.test_app_services import ServicesCase
from tests.test_client_tls import certificate
from timed.app.composition import check_ports
from timed.app.config import load, override
from timed.app.ports import Sockets, check_port, inherited
from timed.client.blocking import Client
from timed.client.location import Location
from timed.errors import ConfigError

HOST = "127.0.0.1"


class Handover(SynchronousTestCase):
    """Descriptors are consecutive from 3 on; here they begin where there is room."""

    def hand_over(self, kinds: Sequence[socket.socket], names: str, **changes: str) -> Sockets:
        start = 700
        for number, each in enumerate(kinds, start):
            os.dup2(each.fileno(), number)
            each.close()
        self.patch(ListenFDs, "_START", start)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kinds)), "LISTEN_FDNAMES": names}
        try:
            found = inherited({**environ, **changes})
        except ConfigError:
            for number in range(start, start + len(kinds)):
                self.closed_or_close(number)
            raise
        for each in found.values():
            self.addCleanup(each.close)
        if not found:
            for number in range(start, start + len(kinds)):
                os.close(number)
        return found

    @staticmethod
    def closed_or_close(number: int) -> None:
        if os.path.exists(f"/proc/self/fd/{number}"):
            os.close(number)

    def listening(self, host: str = HOST) -> socket.socket:
        return socket.create_server((host, 0))

    def refusal(self, kinds: Sequence[socket.socket], names: str) -> str:
        return str(self.assertRaises(ConfigError, self.hand_over, kinds, names))

    def test_sockets_go_by_their_names(self) -> None:
        one, two = self.listening(), self.listening()
        ports = one.getsockname()[1], two.getsockname()[1]
        found = self.hand_over([one, two], "rpc:monitor")
        self.assertEqual({name: each.getsockname()[1] for name, each in found.items()},
                         dict(zip(("rpc", "monitor"), ports, strict=True)))  # fmt: skip
        self.assertFalse(found["rpc"].get_inheritable())

    def test_none_without_a_manager_or_for_another_process(self) -> None:
        self.assertEqual(inherited({}), {})
        self.assertEqual(self.hand_over([self.listening()], "rpc", LISTEN_PID="1"), {})

    def test_names_are_those_of_services(self) -> None:
        self.assertIn("called timed.socket", self.refusal([self.listening()], "timed.socket"))
        self.assertIn("called rpc, rpc", self.refusal([self.listening(), self.listening()], "rpc:rpc"))
        self.assertIn("called rpc.", self.refusal([self.listening(), self.listening()], "rpc"))

    def test_only_what_listens_on_tcp_is_taken(self) -> None:
        for kind in (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            socket.socket(socket.AF_UNIX),
            socket.socket(),
        ):
            self.assertIn("does not listen on TCP", self.refusal([kind], "rpc"))

    def test_what_is_no_socket_is_refused(self) -> None:
        self.assertIn("is none", self.refusal([open(os.devnull, "rb")], "rpc"))  # type: ignore[list-item] # noqa: SIM115


class Placement(TestCase):
    def setUp(self) -> None:
        self.given = socket.create_server((HOST, 0))
        self.addCleanup(self.given.close)
        self.port = self.given.getsockname()[1]

    def check(self, name: str, *assignments: str) -> None:
        values = [f"{name}.port={self.port}", *assignments]
        config = load(None, [override(*value.split("=", 1), "--set") for value in values], node_id=5)
        check_ports(config, {name: self.given})

    def refusal(self, name: str, *assignments: str) -> str:
        return str(self.assertRaises(ConfigError, self.check, name, *assignments))

    def test_where_the_configuration_says(self) -> None:
        """The manager listens there already: the port is in use, and that is as it should be."""
        self.check("monitor")

    def test_another_port_or_another_host(self) -> None:
        """A port that others can reach needs TLS: the configuration decides, not the socket unit."""
        self.assertIn(f"{HOST} port {self.port}, and rpc.port", self.refusal("rpc", "rpc.host=0.0.0.0"))
        self.assertIn("rpc.port", self.refusal("rpc", f"rpc.port={self.port - 1 or 2}"))

    def test_a_service_that_does_not_run(self) -> None:
        self.assertIn("which does not run here", self.refusal("rpc", "services.enabled=chain"))


class Serving(ServicesCase):
    def test_a_node_answers_on_the_sockets_it_was_given(self) -> Deferred[None]:
        """They stay with the manager: after the stop they still listen, and the next start takes them again."""

        async def scenario() -> None:
            kept = {
                name: socket.create_server((HOST, port), family=socket.AF_INET)
                for name, port in (("p2p", self.p2p), ("rpc", self.rpc), ("monitor", self.monitor))
            }
            for _ in range(2):
                application = self.compose(
                    "p2p.host=127.0.0.1", sockets={name: each.dup() for name, each in kept.items()}
                )
                application.startService()
                self.assertEqual(await self.ask("getblockcount"), 0)
                self.assertIn("200 OK", (await deferToThread(self.get, self.monitor)).splitlines()[0])
                await application.stopService()
            for name, each in kept.items():
                self.assertTrue(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), name)
                each.close()

        return Deferred.fromCoroutine(scenario())

    def test_a_socket_that_was_given_speaks_tls_when_it_is_configured(self) -> Deferred[None]:
        async def scenario() -> None:
            file = certificate(Path(self.mktemp()).absolute(), HOST)
            given = socket.create_server((HOST, self.rpc))
            application = self.compose(
                f"rpc.tls_certificate={file}", f"rpc.tls_key={file}", sockets={"rpc": given}
            )
            application.startService()
            try:
                location = Location(
                    HOST, self.rpc, cookie_file=str(self.directory / ".cookie"), tls=True, ca_file=file
                )
                self.assertEqual(await deferToThread(Client(location, 60).call, "getblockcount"), 0)
            finally:
                await application.stopService()

        return Deferred.fromCoroutine(scenario())

    @staticmethod
    def get(port: int) -> str:
        with socket.create_connection((HOST, port), timeout=60) as connection:
            connection.sendall(b"GET /alerts HTTP/1.0\r\n\r\n")
            return connection.recv(4096).decode()


class Ports(SynchronousTestCase):
    def test_a_host_that_can_be_no_name_is_one_sentence(self) -> None:
        for host in ("a..b", f"{'x' * 64}.example"):
            error = self.assertRaises(ConfigError, check_port, host, 7000, "p2p.port")
            self.assertEqual(str(error), f"the host {host} of p2p.port is not known: it is no name.")

    def test_an_address_of_another_machine_is_mended_with_the_host(self) -> None:
        """192.0.2.0/24 is nobody's (RFC 5737)."""
        error = self.assertRaises(ConfigError, check_port, "192.0.2.1", 0, "rpc.port")
        self.assertIn("cannot listen on 192.0.2.1 port 0", str(error))
        self.assertIn("Set rpc.host to an address of this machine.", str(error))

"""Both clients over TLS: the authority must be known and the certificate be for the host."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import HTTPConnectionPool

from timed.client import errors
from timed.client.asynchronous import AsyncClient, trusting
from timed.client.blocking import Client
from timed.client.location import Location
from timed.client.testing import FakeNode

NOW = datetime.datetime.now(datetime.UTC)


def certificate(path: Path, address: str) -> str:
    """A self-signed certificate for an address, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(path)


class TlsTests(TestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.good = certificate(directory / "good.pem", "127.0.0.1")
        self.other = certificate(directory / "other.pem", "127.0.0.2")

    def node(self, file: str) -> FakeNode:
        node = FakeNode({"getblockcount": 7}, certificate=file)
        node.__enter__()
        self.addCleanup(node.__exit__)
        return node

    async def ask(self, location: Location) -> tuple[Any, Any]:
        """What the blocking and the async client say: a result, or the error."""

        def block() -> Any:
            with Client(location, 5) as client:
                return client.getblockcount()

        return await self.outcome(deferToThread(block)), await self.outcome(self.asynchronously(location))

    async def asynchronously(self, location: Location) -> Any:
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = trusting(location, reactor, pool)
        return await AsyncClient(location, reactor, agent, 5).call("getblockcount")

    async def outcome(self, work: Any) -> Any:
        try:
            return await work
        except errors.ClientError as error:
            return error

    async def test_an_authority_that_is_named_is_believed(self) -> None:
        node = self.node(self.good)
        location = node.location._replace(ca_file=self.good)
        self.assertEqual(await self.ask(location), (7, 7))
        self.assertTrue(location.url.startswith("https://"))

    async def test_an_unknown_authority_and_a_foreign_name_are_not(self) -> None:
        for file, ca_file in ((self.good, ""), (self.good, self.other), (self.other, self.other)):
            node = self.node(file)
            for found in await self.ask(node.location._replace(ca_file=ca_file)):
                self.assertIs(type(found), errors.CannotConnect, (file, ca_file))
                self.assertIn("certificate", str(found))
            self.assertEqual(node.calls, [])

    async def test_a_file_without_certificates_is_named(self) -> None:
        node = self.node(self.good)
        empty = Path(self.mktemp())
        for content in (None, b"nothing\n"):
            if content is not None:
                empty.write_bytes(content)
            for found in await self.ask(node.location._replace(ca_file=str(empty))):
                self.assertIsInstance(found, errors.CannotConnect)
                self.assertIn(str(empty), str(found))

"""What a peer shows in the TLS handshake is judged once, and every refusal has its name."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, load_certificate

from tests.net_world import HOST, NetTestCase, a_turn, context, key, node_context, turns
from timed.net import network as network_module
from timed.net import reasons
from timed.net.identity import TlsIdentity
from timed.net.tls import ConnectionCreator, note_certificate

LONG_AGO = datetime(1999, 1, 1, tzinfo=UTC)


def certify(private_key, public_key=None, name="somebody"):
    """A certificate for `public_key`, expired, signed by `private_key`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer of " + name)])
    algorithm = (
        None
        if isinstance(private_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        else hashes.SHA256()
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(7)
        .public_key(public_key or private_key.public_key())
        .not_valid_before(LONG_AGO)
        .not_valid_after(LONG_AGO)
        .sign(private_key, algorithm)
    )


def other_keys():
    return (ec.generate_private_key(ec.SECP256R1()), ed448.Ed448PrivateKey.generate())


def of_no_version(identity):
    """The certificate of a node, but of a version that X.509 does not have; OpenSSL takes it."""
    data = identity.certificate.public_bytes(Encoding.DER)
    return load_certificate(FILETYPE_ASN1, data.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1))


class InboundTests(NetTestCase):
    """A client is refused by the listening node: the host hears of an end without a beginning."""

    async def refused(self, tls):
        """The reason under which a client with this context is refused."""
        network, host, port = await self.listening()
        client = await self.raw(port, tls)
        ((_, reason),) = await host.until(lambda: host.of("disconnected"))
        await client.lost
        self.assertEqual(host.of("connected"), [])
        self.assertEqual(network.counters.refused, {reason: 1})
        return reason

    async def test_no_certificate(self):
        """[22] The client's handshake is over before the server has judged it."""
        self.assertEqual(await self.refused(context()), "no-certificate")

    async def test_a_client_without_certificate_believes_for_a_moment_that_it_is_connected(self):
        _, host, port = await self.listening()
        client = await self.raw(port, context())
        await client.shaken
        client.transport.write(b"to nobody")
        await host.first("disconnected")
        self.assertEqual(host.of("connected"), [])
        self.assertEqual(host.of("received"), [])

    async def test_a_key_that_is_not_ed25519(self):
        for private_key in other_keys():
            tls = context(certify(private_key), private_key)
            self.assertEqual(await self.refused(tls), "not-ed25519")

    async def test_a_certificate_that_cannot_be_read(self):
        """[21] It is no traceback."""
        identity = TlsIdentity.from_key(key(9))
        tls = context(of_no_version(identity), identity.private_key)
        self.assertEqual(await self.refused(tls), "not-ed25519")

    async def test_an_older_tls(self):
        self.assertEqual(await self.refused(node_context(9, maximum=SSL.TLS1_2_VERSION)), "tls-failed")

    async def test_something_that_is_not_tls(self):
        _, host, port = await self.listening()
        client = await self.raw(port)
        client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual((await host.first("disconnected"))[1], "tls-failed")

    async def test_what_is_not_a_hello_is_given_no_tls(self):
        """OpenSSL's state of a connection is some 27 kB: who sends garbage does not get it."""
        not_hellos = {
            "a request": b"GET / HTTP/1.1\r\n\r\n",
            "an alert": b"\x15\x03\x01\x00\x02\x01\x00",
            "another version": b"\x16\x02\x01\x02\x00\x01",
            "an empty record": b"\x16\x03\x01\x00\x00\x01",
            "too long a record": b"\x16\x03\x01\x40\x01\x01",
            "another handshake message": b"\x16\x03\x01\x02\x00\x02",
        }
        made = self.made_by_servers()
        network, host, port = await self.listening()
        for count, garbage in enumerate(not_hellos.values(), 1):
            client = await self.raw(port)
            client.transport.write(garbage)
            await client.lost
            await host.until(lambda count=count: len(host.of("disconnected")) == count)
        self.assertEqual(network.counters.refused, {"tls-failed": len(not_hellos)})
        self.assertEqual(network.counters.bytes_received, sum(map(len, not_hellos.values())))
        self.assertEqual(made, [])
        await self.raw(port, node_context(9))
        await host.first("connected")
        self.assertEqual(len(made), 1)

    def made_by_servers(self):
        """The TLS connections that are made for those who come, from now on."""
        made = []
        original = ConnectionCreator.serverConnectionForTLS

        def make(creator, tls):
            made.append(original(creator, tls))
            return made[-1]

        self.patch(ConnectionCreator, "serverConnectionForTLS", make)
        return made

    async def test_a_hello_without_end(self):
        _, host, port = await self.listening()
        client = await self.raw(port)
        record = b"\x16\x03\x01\x40\x00"
        client.transport.write(record + b"\x01\x01\xf0\x00" + bytes(0x3FFC) + 2 * (record + bytes(0x4000)))
        self.assertEqual((await host.first("disconnected"))[1], "tls-too-long")

    async def test_a_resumed_session(self):
        """[22] A context that resumes, as ours must not, is found out by name."""

        def resuming(identity):
            tls = context(identity.certificate, identity.private_key, tickets=True)
            tls.set_verify(SSL.VERIFY_PEER, note_certificate)
            return tls

        self.patch(network_module, "make_context", resuming)
        network, host, port = await self.listening()
        tls = node_context(9, tickets=True)
        first = await self.raw(port, tls)
        (link, *_) = await host.first("connected")
        network.write(link, b"the ticket comes before this")
        await turns(lambda: first.data)
        session = self.session_of(first)
        await self.raw(port, tls, session)
        ((_, reason),) = await host.until(lambda: host.of("disconnected"))
        self.assertEqual(reason, "session-resumed")
        self.assertEqual(len(host.of("connected")), 1)

    def session_of(self, client):
        return client.transport.getHandle().get_session()

    async def test_a_session_offered_back_is_not_resumed(self):
        """[22] The certificate is shown again, and judged again."""
        network, host, port = await self.listening()
        tls = node_context(9, tickets=True)
        first = await self.raw(port, tls)
        await host.first("connected")
        network.write(host.links[0], b"the ticket comes before this")
        await turns(lambda: first.data)
        await self.raw(port, tls, self.session_of(first))
        await host.until(lambda: len(host.of("connected")) == 2)
        self.assertEqual({peer_id for _, _, peer_id, _, _ in host.of("connected")}, {key(9).public})


class ProofTests(NetTestCase):
    """What counts is that the peer holds the key, not who says so."""

    async def test_names_dates_and_issuer_of_a_certificate_mean_nothing(self):
        _, host, port = await self.listening()
        mine = TlsIdentity.from_key(key(9)).private_key
        issuer = ec.generate_private_key(ec.SECP256R1())
        certificate = certify(issuer, mine.public_key(), name="node 3")
        await self.raw(port, context(certificate, mine))
        (_, _, peer_id, _, _) = await host.first("connected")
        self.assertEqual(peer_id, key(9).public)


class OutboundTests(NetTestCase):
    """A dialling node refuses what answers, or is refused."""

    async def failed(self, port, expected=None):
        network, host = self.network(1)
        network.dial(HOST, port, expected)
        (_, _, reason) = await host.first("dial_failed")
        self.assertEqual(host.of("connected"), [])
        self.assertEqual(network.counters.dials_failed, {reason: 1})
        return reason

    async def test_another_key(self):
        """[22]"""
        _, there, port = await self.listening(2)
        self.assertEqual(await self.failed(port, key(3).public), "wrong-key")
        await there.first("disconnected")
        self.assertEqual(there.of("connected"), [])

    async def test_the_right_key(self):
        _, there, port = await self.listening(2)
        network, host = self.network(1)
        network.dial(HOST, port, key(2).public)
        (_, _, peer_id, _, _) = await host.first("connected")
        self.assertEqual(peer_id, key(2).public)
        await there.first("connected")

    async def test_a_server_whose_key_is_not_ed25519(self):
        for private_key in other_keys():
            _, port = await self.raw_listening(context(certify(private_key), private_key))
            self.assertEqual(await self.failed(port), "not-ed25519")

    async def test_a_server_that_speaks_an_older_tls(self):
        _, port = await self.raw_listening(node_context(2, maximum=SSL.TLS1_2_VERSION))
        self.assertEqual(await self.failed(port), "tls-failed")

    async def test_a_server_that_hangs_up(self):
        server, port = await self.raw_listening()
        network, host = self.network(1)
        network.dial(HOST, port, key(2).public)
        await turns(lambda: server.built and server.built[0].up.called)
        server.built[0].transport.loseConnection()
        (_, _, reason) = await host.first("dial_failed")
        self.assertIn(reason, ("closed", "lost"))

    async def test_nobody_listens(self):
        other, _ = self.network(2)
        listening = await other.listen(0, HOST)
        port = listening.getHost().port
        await other.stop()
        self.assertEqual(await self.failed(port), "connection-refused")

    async def test_a_server_that_judges_us_after_our_handshake_is_over(self):
        """The link is up for a moment, then ends once; dropping it again is harmless."""
        _, port = await self.raw_listening(node_context(2, accept=False))
        network, host = self.network(1)
        network.dial(HOST, port, key(2).public)
        (link, *_) = await host.first("connected")
        tls = network._links[link].transport
        network.write(link, b"handshake")
        await host.first("disconnected")
        ((ended, reason),) = host.of("disconnected")
        self.assertEqual(ended, link)
        self.assertIn(reason, (reasons.TLS_FAILED, reasons.LOST), "a reset may overtake the alert")
        self.assertEqual(host.of("dial_failed"), [])
        await a_turn()
        tls.abortConnection()
        network.close(link, "again", abort=True)
        self.assertEqual(len(host.of("disconnected")), 1)

    async def test_a_plain_node_and_a_tls_node_do_not_meet(self):
        plain, here = self.network(1, plain=True)
        _, there, port = await self.listening(2)
        plain.dial(HOST, port)
        (link, *_) = await here.first("connected")
        plain.write(link, b"magic and all that")
        await here.first("disconnected")
        self.assertEqual((await there.first("disconnected"))[1], "tls-failed")

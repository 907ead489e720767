"""Fetching one document from a server that is not trusted: a real server on loopback, and names."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.web_world import ServerCase
from timed.errors import RemoteError
from timed.net.fetch import fetch
from timed.net.lookup import Lookup

MOST = 10_000


class Page(Resource):
    """Answers with what a function makes of the request."""

    isLeaf = True

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self._answer = answer

    def render_GET(self, request: Any) -> Any:
        return self._answer(request)


def redirect(target: bytes, code: int = 302) -> Callable[[Any], bytes]:
    def answer(request: Any) -> bytes:
        request.setResponseCode(code)
        request.setHeader(b"location", target)
        return b"gone"

    return answer


def status(code: int) -> Callable[[Any], bytes]:
    def answer(request: Any) -> bytes:
        request.setResponseCode(code)
        return b"x" * 100_000

    return answer


def packed(request: Any) -> bytes:
    request.setHeader(b"content-encoding", b"gzip")
    return gzip.compress(bytes(1_000_000))


class Endless:
    """A body that never ends, as fast as it is taken."""

    def __init__(self, request: Any) -> None:
        request.registerProducer(self, False)
        self._request = request

    def resumeProducing(self) -> None:
        self._request.write(bytes(4096))

    def stopProducing(self) -> None:
        self._request.unregisterProducer()


def endless(request: Any) -> int:
    Endless(request)
    return NOT_DONE_YET


def cut(request: Any) -> int:
    request.setHeader(b"content-length", b"100")
    request.write(b"half")
    request.loseConnection()
    return NOT_DONE_YET


class FetchCase(ServerCase):
    def serve(self, context: Any = None, **pages: Callable[[Any], Any]) -> int:
        """A server with these pages; its port. Its connections must be gone when a test ends."""
        root = Resource()
        for name, answer in pages.items():
            root.putChild(name.encode(), Page(answer))
        return self.listen(root, context)

    async def get(self, url: str, **options: Any) -> bytes:
        try:
            return await fetch(reactor, url, most=MOST, **{"timeout_s": 10.0, **options})
        finally:
            for gone in self.ended:
                await gone

    async def refused(self, url: str, **options: Any) -> str:
        try:
            await self.get(url, **options)
        except RemoteError as error:
            return error.rule
        raise AssertionError("it was not refused")


class FetchTests(FetchCase):
    async def test_body_of_a_good_answer(self) -> None:
        port = self.serve(good=lambda request: b"x" * MOST)
        self.assertEqual(await self.get(f"http://127.0.0.1:{port}/good"), b"x" * MOST)

    async def test_body_without_a_length_ends_with_its_connection(self) -> None:
        port = self.speak(b"HTTP/1.0 200 OK\r\n\r\nhere")
        self.assertEqual(await self.get(f"http://127.0.0.1:{port}/"), b"here")

    async def test_nothing_compressed_is_asked_for(self) -> None:
        asked: list[Any] = []

        def noted(request: Any) -> bytes:
            asked.append(request.requestHeaders.getRawHeaders("accept-encoding"))
            return b""

        port = self.serve(noted=noted)
        await self.get(f"http://127.0.0.1:{port}/noted")
        self.assertEqual(asked, [["identity"]])

    async def test_one_byte_too_many_is_refused(self) -> None:
        port = self.serve(long=lambda request: b"x" * (MOST + 1))
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/long"), "http-too-long")

    async def test_endless_body_is_cut_at_the_bound(self) -> None:
        port = self.serve(endless=endless)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/endless"), "http-too-long")

    async def test_endless_headers_are_cut_at_a_bound(self) -> None:
        port = self.speak(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/"), "http-too-long")

    async def test_a_few_redirects_are_followed(self) -> None:
        port = self.serve(
            good=lambda request: b"here", a=redirect(b"/b"), b=redirect(b"/c", 301), c=redirect(b"/good")
        )
        self.assertEqual(await self.get(f"http://127.0.0.1:{port}/a"), b"here")

    async def test_redirects_without_end_are_not(self) -> None:
        asked: list[int] = []

        def around(request: Any) -> bytes:
            asked.append(1)
            return redirect(b"/around")(request)

        port = self.serve(around=around)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/around"), "http-redirects")
        self.assertEqual(len(asked), 4)

    async def test_redirect_to_another_scheme_is_refused(self) -> None:
        port = self.serve(file=redirect(b"file:///etc/passwd"))
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/file"), "http-broken")

    async def test_redirect_to_what_is_no_port_is_refused(self) -> None:
        """A resolver chokes on a number that is none, and answers no more."""
        for number in (b"0", b"-1", b"65536", b"9" * 30):
            port = self.serve(away=redirect(b"http://127.0.0.1:" + number + b"/"))
            self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/away"), "http-broken", number)

    async def test_redirect_to_what_is_no_host_is_refused(self) -> None:
        """A resolver chokes on some, and answers no more."""
        for host in (b"a..b", b"a" * 64, b"*", b"[::1%" + b"a" * 64 + b"]", b"[::1%nowhere]"):
            port = self.serve(away=redirect(b"http://" + host + b"/"))
            self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/away"), "http-broken", host)

    async def test_other_status_is_refused_by_name(self) -> None:
        port = self.serve(gone=status(404), broken=status(500), same=status(304))
        for page in ("gone", "broken", "same", "nowhere"):
            self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/{page}"), "http-status", page)

    async def test_compressed_answer_is_not_unpacked(self) -> None:
        """A bomb weighs a thousandth of what it becomes; nobody asked for one."""
        port = self.serve(packed=packed)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/packed"), "http-encoding")

    async def test_server_that_says_nothing_has_a_deadline(self) -> None:
        port = self.serve(slow=lambda request: NOT_DONE_YET)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/slow", timeout_s=0.2), "timeout")

    async def test_server_that_stops_in_the_midst_has_the_same_deadline(self) -> None:
        def halting(request: Any) -> int:
            request.write(b"some")
            return NOT_DONE_YET

        port = self.serve(halting=halting)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/halting", timeout_s=0.2), "timeout")

    async def test_body_that_is_cut_off_is_refused(self) -> None:
        port = self.serve(cut=cut)
        self.assertEqual(await self.refused(f"http://127.0.0.1:{port}/cut"), "http-broken")

    async def test_nobody_there(self) -> None:
        self.serve()
        listen: Any = reactor
        closed = listen.listenTCP(0, Site(Resource()), interface="127.0.0.1")
        number = closed.getHost().port
        await closed.stopListening()
        self.assertEqual(await self.refused(f"http://127.0.0.1:{number}/"), "connection-refused")

    async def test_cancelled_before_the_connection_is_up(self) -> None:
        real: Any = reactor
        connect = real.connectTCP

        def give_up() -> None:
            asked.cancel()

        def cancelled(*arguments: Any, **options: Any) -> object:
            real.callLater(0, give_up)
            return connect(*arguments, **options)

        self.patch(real, "connectTCP", cancelled)
        port = self.serve(slow=lambda request: NOT_DONE_YET)
        asked = fetch(reactor, f"http://127.0.0.1:{port}/slow", most=MOST, timeout_s=10.0)
        with self.assertRaises(CancelledError):
            await asked

    async def test_server_that_speaks_no_http(self) -> None:
        for said in (
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x16\x03\x01\x00",
            b"",
            b"HTTP/1.1 abc\r\n\r\n",
            b"\r\n" * 100,
        ):
            port = self.speak(said)
            self.assertIn(
                await self.refused(f"http://127.0.0.1:{port}/"), ("http-broken", "http-status"), said
            )

    def speak(self, said: bytes) -> int:
        """A server that says this to whoever asks, and hangs up."""

        class Speaker(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(said)  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

            def connectionLost(self, reason: object = None) -> None:
                gone.callback(None)

        gone: Deferred[None] = Deferred()
        self.ended = [gone]
        listen: Any = reactor
        port = listen.listenTCP(0, Factory.forProtocol(Speaker), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    async def test_url_that_leads_nowhere(self) -> None:
        self.serve()
        for url in ("http://127.0.0.1:99999/", "http://[::zz]/", "http://a..b/", "http://127.0.0.1:0/"):
            self.assertTrue(await self.refused(url), url)

    async def test_certificate_that_nobody_vouches_for_is_refused(self) -> None:
        certificate = self.certificate()
        port = self.serve(certificate.options(), good=lambda request: b"here")
        self.assertEqual(await self.refused(f"https://localhost:{port}/good"), "certificate")

    async def test_certificate_of_another_name_is_refused(self) -> None:
        certificate = self.certificate()
        port = self.serve(certificate.options(), good=lambda request: b"here")
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate(certificate.original))
        self.assertEqual(await self.refused(f"https://127.0.0.1:{port}/good", policy=policy), "certificate")
        self.assertEqual(await self.get(f"https://localhost:{port}/good", policy=policy), b"here")

    async def test_redirects_over_tls_are_followed(self) -> None:
        """What the first connections were is gone when the last one is cut."""
        certificate = self.certificate()
        port = self.serve(
            certificate.options(), good=lambda request: b"here", a=redirect(b"/b"), b=redirect(b"/good")
        )
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate(certificate.original))
        self.assertEqual(await self.get(f"https://localhost:{port}/a", policy=policy), b"here")
        self.assertEqual(len(self.ended), 3)

    async def test_endless_body_over_tls_is_cut_too(self) -> None:
        certificate = self.certificate()
        port = self.serve(certificate.options(), endless=endless)
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate(certificate.original))
        self.assertEqual(
            await self.refused(f"https://localhost:{port}/endless", policy=policy), "http-too-long"
        )

    def certificate(self) -> ssl.PrivateCertificate:
        """Self-signed, for localhost."""
        import datetime

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        today = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(name).public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(private, hashes.SHA256())
        )  # fmt: skip
        pem = made.public_bytes(serialization.Encoding.PEM) + private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = Path(self.mktemp())
        path.write_bytes(pem)
        return ssl.PrivateCertificate.loadPEM(path.read_bytes())


class Names:
    """A resolver that answers when it is told to."""

    def __init__(self, clock: Clock) -> None:
        self.asked: list[tuple[Any, str]] = []
        clock.nameResolver = self  # type: ignore[attr-defined]

    def resolveHostName(self, receiver: Any, name: str, *rest: object) -> None:
        self.asked.append((receiver, name))
        receiver.resolutionBegan(None)

    def answer(self, *hosts: str) -> None:
        receiver, _ = self.asked.pop(0)
        for host in hosts:
            receiver.addressResolved(IPv4Address("TCP", host, 0))
        receiver.resolutionComplete()


class LookupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.names = Names(self.clock)
        self.lookup = Lookup(self.clock, most=3, timeout_s=10)

    def test_addresses_of_a_name_each_once_and_a_few_at_most(self) -> None:
        found = self.lookup.lookup("seed.example.org")
        self.names.answer("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
        self.assertEqual(self.successResultOf(found), ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_name_without_addresses(self) -> None:
        found = self.lookup.lookup("seed.example.org")
        self.names.answer()
        self.assertEqual(self.failureResultOf(found, RemoteError).value.rule, "unknown-host")

    def test_resolver_that_hangs_has_a_deadline_and_is_not_asked_again_meanwhile(self) -> None:
        found = self.lookup.lookup("seed.example.org")
        self.clock.advance(10)
        self.assertEqual(self.failureResultOf(found, RemoteError).value.rule, "timeout")
        again = self.lookup.lookup("seed.example.org")
        self.assertEqual(self.failureResultOf(again, RemoteError).value.rule, "timeout")
        self.assertEqual(len(self.names.asked), 1)
        self.names.answer("192.0.2.1")
        later = self.lookup.lookup("seed.example.org")
        self.names.answer("192.0.2.2")
        self.assertEqual(self.successResultOf(later), ["192.0.2.2"])

"""Webhooks: what is posted, how it is signed, which answers mean what; receivers on loopback, with and without TLS."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.feed_world import draft
from tests.test_client_tls import certificate
from tests.web_world import ServerCase
from timed.feed.delivery import Batch, Gap, NotTaken
from timed.feed.event import Filter, Presenter
from timed.feed.records import Position
from timed.net import fetch as fetching
from timed.net.fetch import Answer
from timed.net.webhook import (
    ATTEMPT,
    SIGNATURE,
    Origin,
    Webhook,
    body_of,
    name_of,
    retry_after_s,
    signature,
    title_of,
    verdict,
)
from timed.params import REGTEST, SECOND
from timed.testnet.freeports import free_ports

NOW_S = 1_790_000_000
ORIGIN = Origin("regtest", "ab" * 32)
SECRETS = (b"first secret of a test", b"second secret of a test")
GAP = Gap("log-bounds", "00000000-2", 1, 2)


def batch_of(count: int = 2, gap: Gap | None = None) -> Batch:
    presenter = Presenter(REGTEST)
    presenter.log_id = "00000000"
    events = tuple(presenter.event(3 + number, draft().stored()) for number in range(count))
    position = Position(bytes(4), 2 + count)
    return Batch(events, gap, position, f"00000000-{2 + count}")


class Hook(Resource):
    """Keeps what is posted and answers as `answer` says: a status, or a function of the request."""

    isLeaf = True

    def __init__(self, answer: int | Callable[[Any], Any]) -> None:
        super().__init__()
        self.answer = answer
        self.bodies: list[bytes] = []
        self.headers: list[Any] = []

    def render_POST(self, request: Any) -> Any:
        self.bodies.append(request.content.read())
        self.headers.append(request.requestHeaders)
        if callable(self.answer):
            return self.answer(request)
        request.setResponseCode(self.answer)
        return b"taken"


class ReceiverCase(ServerCase):
    def serve(self, answer: int | Callable[[Any], Any], context: Any = None) -> Hook:
        """A receiver; its connections must be gone when a test ends."""
        hook = Hook(answer)
        self.port = self.listen(hook, context)
        return hook

    def webhook(self, url: str = "", **options: Any) -> Webhook:
        options = {"timeout_s": 30.0, "clock": lambda: NOW_S * SECOND + 999_999, "origin": ORIGIN, **options}
        return Webhook(
            reactor, url or f"http://127.0.0.1:{self.port}/in?x=1", lambda: SECRETS, Filter(), 10, **options
        )

    async def refused(self, webhook: Webhook, batch: Batch | None = None) -> NotTaken:
        try:
            await webhook.deliver(batch or batch_of())
        except NotTaken as error:
            return error
        finally:
            for gone in self.ended:
                await gone
        raise AssertionError("it was taken")


class Receiving(ReceiverCase):
    async def test_body_and_signature_arrive_as_they_were_made(self) -> None:
        hook = self.serve(204)
        batch = batch_of(2, GAP)
        await self.webhook().deliver(batch)
        (body,), (headers,) = hook.bodies, hook.headers
        self.assertEqual(body, body_of(batch, ORIGIN))
        self.assertEqual(headers.getRawHeaders(SIGNATURE), [signature(SECRETS, NOW_S, body)])
        self.assertEqual(headers.getRawHeaders(ATTEMPT), ["1"])
        self.assertEqual(headers.getRawHeaders("content-type"), ["application/json"])

    async def test_any_answer_of_200_to_299_takes_it(self) -> None:
        for code in (200, 202, 299):
            hook = self.serve(code)
            await self.webhook().deliver(batch_of())
            self.assertEqual(len(hook.bodies), 1)

    async def test_other_answers_do_not_and_say_when_to_come_again(self) -> None:
        def busy(request: Any) -> bytes:
            request.setResponseCode(503)
            request.setHeader(b"retry-after", b"17")
            return b""

        self.serve(busy)
        error = await self.refused(self.webhook())
        self.assertEqual((error.rule, error.retry_after_s, error.refused), ("http-status", 17.0, False))

    async def test_a_redirect_is_not_followed(self) -> None:
        def elsewhere(request: Any) -> bytes:
            request.redirect(b"/other")
            return b""

        hook = self.serve(elsewhere)
        error = await self.refused(self.webhook())
        self.assertEqual((error.refused, len(hook.bodies)), (True, 1))

    async def test_an_answer_whose_body_never_ends_has_been_said(self) -> None:
        self.patch(fetching, "ANSWER_S", 0.1)

        def endless(request: Any) -> int:
            request.write(b"x")
            return NOT_DONE_YET

        self.serve(endless)
        await self.webhook().deliver(batch_of())
        self.assertEqual(len(self.ended), 1)
        for gone in self.ended:
            await gone

    async def test_a_flood_instead_of_an_answer_is_cut(self) -> None:
        def flood(request: Any) -> bytes:
            for number in range(4_000):
                request.setHeader(b"x-%d" % number, b"y" * 60)
            return b""

        self.serve(flood)
        self.assertEqual((await self.refused(self.webhook())).rule, "http-too-long")

    async def test_no_answer_in_time_is_named(self) -> None:
        self.serve(lambda request: NOT_DONE_YET)
        self.assertEqual((await self.refused(self.webhook(timeout_s=0.2))).rule, "timeout")

    async def test_nobody_there_is_named(self) -> None:
        self.serve(200)
        [port] = free_ports(1)
        error = await self.refused(self.webhook(f"http://127.0.0.1:{port}/"))
        self.assertEqual((error.rule, error.refused), ("connection-refused", False))

    async def test_a_delivery_that_is_given_up_leaves_no_connection(self) -> None:
        asked: Deferred[None] = Deferred()

        def silent(request: Any) -> int:
            asked.callback(None)
            return NOT_DONE_YET

        self.serve(silent)
        delivery = ensureDeferred(self.webhook().deliver(batch_of()))  # type: ignore[arg-type]
        await asked
        delivery.addErrback(lambda failure: None)
        delivery.cancel()
        await delivery
        for gone in self.ended:
            await gone


class Tls(ReceiverCase):
    def certificate(self, address: str) -> ssl.PrivateCertificate:
        path = Path(self.mktemp())
        certificate(path, address)
        return ssl.PrivateCertificate.loadPEM(path.read_bytes())

    def trusting(self, shown: ssl.PrivateCertificate) -> BrowserLikePolicyForHTTPS:
        return BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([ssl.Certificate(shown.original)]))

    async def test_a_receiver_with_a_certificate_for_its_name_is_told(self) -> None:
        made = self.certificate("127.0.0.1")
        hook = self.serve(200, made.options())
        await self.webhook(f"https://127.0.0.1:{self.port}/", policy=self.trusting(made)).deliver(batch_of())
        self.assertEqual(len(hook.bodies), 1)

    async def test_nobody_else_is(self) -> None:
        other, right = self.certificate("127.0.0.2"), self.certificate("127.0.0.1")
        trusted = self.trusting(other)
        for shown, policy in ((other, trusted), (right, trusted), (right, None)):
            hook = self.serve(200, shown.options())
            error = await self.refused(self.webhook(f"https://127.0.0.1:{self.port}/", policy=policy))
            self.assertEqual((error.rule, hook.bodies), ("certificate", []))


class Forms(SynchronousTestCase):
    def test_the_body_is_json_with_the_events_as_getevents_gives_them(self) -> None:
        batch = batch_of(2, GAP)
        body = json.loads(body_of(batch, ORIGIN))
        self.assertEqual(body["events"], [json.loads(event.shown.text) for event in batch.events])
        self.assertEqual([event["cursor"] for event in body["events"]], ["00000000-3", "00000000-4"])
        self.assertEqual(body["gap"], {"reason": "log-bounds", "cursor": "00000000-2", "first": 1, "last": 2})
        self.assertEqual((body["network"], body["node"]), ("regtest", ORIGIN.node))
        self.assertEqual(body["cursor"], "00000000-4")
        self.assertIsNone(json.loads(body_of(batch_of(1), ORIGIN))["gap"])

    def test_a_receiver_checks_a_signature_with_any_of_its_secrets(self) -> None:
        shown = signature(SECRETS, NOW_S, b"{}").split(",")
        self.assertEqual(shown[0], f"t={NOW_S}")
        for secret, mark in zip(SECRETS, shown[1:], strict=True):
            whole = hmac.digest(secret, b"%d.{}" % NOW_S, hashlib.sha256).hex()
            self.assertEqual(mark, f"v1={whole}")

    def test_names_hide_what_a_url_may_hold_and_differ_with_it(self) -> None:
        url = "https://hooks.example:8443/services/T00/secret?key=1"
        self.assertEqual(title_of(url), "webhook https://hooks.example:8443")
        self.assertNotEqual(name_of(url), name_of(url + "2"))
        self.assertRegex(name_of(url), r"^webhook-[0-9a-f]{16}$")

    def test_answers(self) -> None:
        meant = {
            code: (error.refused, error.too_large)
            for code in (301, 400, 401, 404, 408, 410, 413, 425, 429, 499, 500, 503, 600)
            for error in [verdict(Answer(code, ""), NOW_S)]
        }
        self.assertEqual(
            {code for code, (refused, _) in meant.items() if refused}, {301, 400, 401, 404, 410, 413, 499}
        )
        self.assertEqual([code for code, (_, large) in meant.items() if large], [413])

    def test_retry_after_is_seconds_or_a_date_and_anything_else_is_nothing(self) -> None:
        cases = {
            "": 0.0,
            "120": 120.0,
            " 7 ": 7.0,
            "-5": 0.0,
            "soon": 0.0,
            "9" * 300: 1e9,
            "Mon, 21 Sep 2026 14:13:50 GMT": 30.0,
            "Mon, 21 Sep 2020 14:13:50 GMT": 0.0,
            "Mon, 21 Sep 99999999999 14:13:50 GMT": 0.0,
            "Mon, 21 Sep 2026 14:13:50 +99999999999": 0.0,
            "Mon, 99999999999999999999 Sep 2026 14:13:50 GMT": 0.0,
        }
        for text, expected in cases.items():
            self.assertEqual(retry_after_s(text, NOW_S), expected, text)

    def test_retry_after_without_a_zone_is_not_in_that_of_this_machine(self) -> None:
        """The third form of RFC 9110 §5.6.7 names none."""
        self.addCleanup(time.tzset)
        with mock.patch.dict(os.environ, TZ="EAST-9"):
            time.tzset()
            self.assertEqual(retry_after_s("Mon Sep 21 14:13:50 2026", NOW_S), 30.0)

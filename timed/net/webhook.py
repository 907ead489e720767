"""Events posted to a URL, signed: `timed.interfaces.ISink` over HTTP (docs/events.rst, Webhooks)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import attrs
import msgspec
from twisted.internet.defer import succeed
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from timed.errors import RemoteError
from timed.feed.delivery import Batch, Gap, NotTaken
from timed.feed.event import Filter
from timed.interfaces import ISink
from timed.net.fetch import HTTP_STATUS, Answer, post
from timed.params import SECOND

KIND = "webhook"
SIGNATURE = "Timed-Signature"
ATTEMPT = "Timed-Attempt"
NAME_DIGITS = 16
TIMEOUT, TOO_EARLY, TOO_MANY, TOO_LARGE = 408, 425, 429, 413
"""Answers below 500 that are no refusal for good (RFC 9110 §15.5, RFC 8470, RFC 6585)."""
MOST_RETRY_AFTER_S = 10**9


@attrs.frozen
class Origin:
    """Who sends: so that one receiver can serve several nodes."""

    network: str
    node: str
    """Its node id in hexadecimal."""


@implementer(ISink)
class Webhook:
    """One URL that is given events. Nothing but an answer of 200 to 299 says that it has them."""

    kind = KIND

    def __init__(
        self,
        reactor: Any,
        url: str,
        read_secrets: Callable[[], Sequence[bytes]],
        wanted: Filter,
        batch_events: int,
        timeout_s: float,
        clock: Callable[[], int],
        origin: Origin,
        policy: IPolicyForHTTPS | None = None,
    ) -> None:
        """What `read_secrets` gives signs, all of them, so that one can be exchanged; LocalError.

        `clock` gives microseconds of unix time.
        """
        self.name = name_of(url)
        self.title = title_of(url)
        self.url = url
        self.wanted = wanted
        self.batch_events = batch_events
        self._reactor = reactor
        self._read_secrets = read_secrets
        self._secrets = tuple(read_secrets())
        self._timeout_s = timeout_s
        self._clock = clock
        self._origin = origin
        self._policy = policy

    def deliver(self, batch: object) -> Awaitable[None]:
        """`ISink.deliver`."""
        if not isinstance(batch, Batch):
            raise TypeError(f"{batch!r} is no batch")
        return self._deliver(batch)

    def close(self) -> Awaitable[None]:
        """`ISink.close`: a delivery leaves no connection."""
        return succeed(None)

    def reload(self) -> None:
        """`ISink.reload`: the secrets."""
        self._secrets = tuple(self._read_secrets())

    async def _deliver(self, batch: Batch) -> None:
        body = body_of(batch, self._origin)
        at_s = self._clock() // SECOND
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self._secrets, at_s, body),
            ATTEMPT: str(batch.attempt),
        }
        try:
            answer = await post(
                self._reactor, self.url, body, headers, timeout_s=self._timeout_s, policy=self._policy
            )
        except RemoteError as error:
            raise NotTaken(error.rule, error.detail) from None
        if not 200 <= answer.code <= 299:
            raise verdict(answer, at_s)


def name_of(url: str) -> str:
    """Under which the place of a webhook is durable: another URL has a place of its own."""
    return f"{KIND}-{hashlib.sha256(url.encode()).hexdigest()[:NAME_DIGITS]}"


def title_of(url: str) -> str:
    """The receiver without path and query, which often hold a secret."""
    parts = urlsplit(url)
    return f"{KIND} {parts.scheme}://{parts.netloc}"


def body_of(batch: Batch, origin: Origin) -> bytes:
    """One JSON object in UTF-8. `cursor` is the place after it; the events are those of `getevents`."""
    gap = msgspec.json.encode(None if batch.gap is None else _shown(batch.gap))
    return b'{"network":"%s","node":"%s","cursor":"%s","gap":%s,"events":[%s]}' % (
        origin.network.encode("ascii"),
        origin.node.encode("ascii"),
        batch.cursor.encode("ascii"),
        gap,
        b",".join([event.shown.text for event in batch.events]),
    )


def _shown(gap: Gap) -> dict[str, object]:
    shown: dict[str, object] = {"reason": gap.reason, "cursor": gap.cursor}
    if gap.last:
        shown |= {"first": gap.first, "last": gap.last}
    return shown


def signature(secrets: Sequence[bytes], at_s: int, body: bytes) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds of unix time in ASCII, a full stop and the body.

    There is one `v1` for each secret.
    """
    signed = b"%d.%s" % (at_s, body)
    marks = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={at_s}", *(f"v1={mark}" for mark in marks)])


def verdict(answer: Answer, now_s: int) -> NotTaken:
    """What an answer means that is not 200 to 299.

    From 300 to 499 it is a refusal: the same again hardly does better, and mending it needs
    somebody. 408, 425 and 429 say to come again.
    """
    code = answer.code
    return NotTaken(
        HTTP_STATUS,
        f"the receiver says {code}",
        retry_after_s=retry_after_s(answer.retry_after, now_s),
        refused=300 <= code <= 499 and code not in (TIMEOUT, TOO_EARLY, TOO_MANY),
        too_large=code == TOO_LARGE,
    )


def retry_after_s(text: str, now_s: int) -> float:
    """Seconds from a header Retry-After (RFC 9110 §10.2.3); 0 without one, or with one that is none."""
    word = text.strip()
    if word.isascii() and word.isdigit():
        return float(min(int(word[:12]), MOST_RETRY_AFTER_S))
    try:
        date = parsedate_to_datetime(word)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return float(max(0, min(int(date.timestamp()) - now_s, MOST_RETRY_AFTER_S)))

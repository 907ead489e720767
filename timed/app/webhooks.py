"""The webhooks of a configuration: what they want, and the secret that signs for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from twisted.internet.ssl import trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS

from timed.app.context import Context
from timed.client.asynchronous import authorities
from timed.client.errors import CannotConnect
from timed.crypto.keys import read_private
from timed.errors import ConfigError, LocalError
from timed.feed.event import Filter
from timed.net.webhook import Origin, Webhook
from timed.rpc.errors import RpcError
from timed.rpc.eventing import filter_of

MAX_SECRET_FILE = 1_024
MIN_SECRET, MAX_SECRETS = 16, 2
MAKE = "Make one: (umask 077; openssl rand -hex 32 > {path})."


def make_sinks(context: Context) -> Sequence[Webhook]:
    """`ISinkMaker.make`: one for each of webhook.urls; ConfigError."""
    settings = context.config.settings.webhook
    if not settings.urls:
        return ()
    secrets = partial(read_secrets, context.config.webhook_secret_file)
    wanted = _wanted(context)
    policy = _policy(context.config.webhook_ca_file)
    origin = Origin(context.params.name, context.node_key.public.hex())
    return [
        Webhook(
            context.reactor, url, secrets, wanted, settings.batch_events, settings.timeout_s,
            context.clock, origin, policy,
        )
        for url in settings.urls
    ]  # fmt: skip


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """One or two lines of text, from a file that its owner alone may read; ConfigError."""
    try:
        data = read_private(str(path), MAX_SECRET_FILE, "webhook secret")
    except OSError as error:
        raise ConfigError(
            f"webhook.secret_file: cannot read {path}: {error.strerror}.", MAKE.format(path=path)
        ) from error
    except LocalError as error:
        raise ConfigError(error.message, error.hint) from None
    secrets = tuple(line.strip() for line in data.splitlines() if line.strip())
    if (
        len(data) > MAX_SECRET_FILE
        or not 1 <= len(secrets) <= MAX_SECRETS
        or min(map(len, secrets)) < MIN_SECRET
    ):
        raise ConfigError(
            f"webhook.secret_file: {path} does not hold one or {MAX_SECRETS} lines of at least {MIN_SECRET} characters.",
            MAKE.format(path=path),
        )
    return secrets


def _wanted(context: Context) -> Filter:
    settings = context.config.settings.webhook
    try:
        return filter_of(context.params, settings.types, settings.addresses)
    except RpcError as error:
        key = "types" if error.data.get("param") == "types" else "addresses"
        raise ConfigError(f"webhook.{key}: {error.message}.", str(error.data.get("hint", ""))) from None


def _policy(ca_file: Path | None) -> IPolicyForHTTPS | None:
    """None for the authorities of the system."""
    if ca_file is None:
        return None
    try:
        return BrowserLikePolicyForHTTPS(trustRootFromCertificates(authorities(str(ca_file))))
    except CannotConnect as error:
        raise ConfigError(f"webhook.ca_file: {error}") from None

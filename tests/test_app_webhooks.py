"""The section [webhook]: what cannot be used is said at the start, and what can becomes sinks with places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import make_context
from timed.app import feeding
from timed.app.config import load, override
from timed.app.registry import find
from timed.app.webhooks import make_sinks, read_secrets
from timed.errors import ConfigError
from timed.feed.event import TYPES
from timed.interfaces import ISink, ISinkMaker
from timed.net.webhook import name_of

SECRET = "0123456789abcdef"
URL = "http://127.0.0.1:8099/in"


class WebhookCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def secret(self, text: str = SECRET, mode: int = 0o600) -> str:
        path = self.directory / "webhook.secret"
        path.write_text(text)
        os.chmod(path, mode)
        return str(path)

    def refused(self, act: Any, *args: Any) -> str:
        return str(self.assertRaises(ConfigError, act, *args))


class Keys(WebhookCase):
    def check(self, urls: str, **keys: str) -> None:
        keys = {"urls": urls, "secret_file": "secret", **keys}
        load(None, [override(f"webhook.{name}", text, "test") for name, text in keys.items()], node_id=1)

    def test_plain_http_reaches_this_machine_only(self) -> None:
        for url in ("http://127.0.0.1/", "http://127.8.9.1:80/x", "http://[::1]:80/", "http://localhost/"):
            self.check(url)
        self.check("https://shop.example/x?y=1")
        for url in (
            "http://shop.example/",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "http://[2001:db8::1]/",
        ):
            self.assertIn("without TLS", self.refused(self.check, url))
            self.check(url, allow_plain="yes")

    def test_a_url_that_is_none_is_named(self) -> None:
        for url in ("http://[::1/", "https://shop.example:99999/", "https://:443/"):
            self.assertIn("host or port", self.refused(self.check, url))

    def test_urls_need_a_secret_and_events(self) -> None:
        self.assertIn("webhook.secret_file is not", self.refused(lambda: self.check(URL, secret_file="")))
        entries = [("webhook.urls", URL), ("webhook.secret_file", "x"), ("feed.enabled", "no")]
        overrides = [override(name, text, "test") for name, text in entries]
        self.assertIn("feed.enabled", self.refused(lambda: load(None, overrides, node_id=1)))


class Secrets(WebhookCase):
    def test_one_or_two_lines(self) -> None:
        self.assertEqual(read_secrets(Path(self.secret(f"{SECRET}\n"))), (SECRET.encode(),))
        both = read_secrets(Path(self.secret(f"{SECRET}\n\n{SECRET}-new\n")))
        self.assertEqual(both, (SECRET.encode(), f"{SECRET}-new".encode()))

    def test_whatever_is_none_is_said_with_how_to_make_one(self) -> None:
        for text in ("", "short", f"{SECRET}\nshort", f"{SECRET}\n" * 3, SECRET * 100):
            self.assertIn("openssl rand", self.refused(read_secrets, Path(self.secret(text))))
        self.assertIn("openssl rand", self.refused(read_secrets, self.directory / "none"))

    def test_one_that_others_can_read_is_refused(self) -> None:
        self.assertIn("chmod 600", self.refused(read_secrets, Path(self.secret(mode=0o640))))


class Sinks(WebhookCase):
    def context(self, **keys: str) -> Any:
        keys = {"urls": f"{URL}, https://shop.example/", "secret_file": self.secret(), **keys}
        others = {f"webhook.{name}": text for name, text in keys.items()}
        return make_context(str(self.directory / "node"), chain=False, others=others)

    def test_it_is_found_as_a_plugin(self) -> None:
        self.assertIn("webhook", find(ISinkMaker))

    def test_each_url_is_a_sink_of_its_own(self) -> None:
        sinks = make_sinks(self.context(types="block, alert", batch_events="7"))
        self.assertEqual([sink.name for sink in sinks], [name_of(URL), name_of("https://shop.example/")])
        for sink in sinks:
            self.assertTrue(ISink.providedBy(sink))
            self.assertEqual(sink.wanted.types, {"block", "alert.raised", "alert.cleared"})
            self.assertEqual(sink.batch_events, 7)
        self.assertEqual(make_sinks(self.context(urls="")), ())
        self.assertTrue(TYPES.keys() >= sinks[0].wanted.types)

    def test_what_is_wanted_must_exist(self) -> None:
        self.assertIn("webhook.types", self.refused(make_sinks, self.context(types="blocks")))
        self.assertIn("webhook.addresses", self.refused(make_sinks, self.context(addresses="TIMEnobody")))

    def test_authorities_must_be_some(self) -> None:
        self.assertIn("webhook.ca_file", self.refused(make_sinks, self.context(ca_file="none.pem")))

    def test_a_secret_is_exchanged_while_the_node_runs(self) -> None:
        (sink, _) = make_sinks(self.context())
        self.secret(f"{SECRET}-new\n{SECRET}\n")
        sink.reload()
        self.assertEqual(sink._secrets, (f"{SECRET}-new".encode(), SECRET.encode()))
        self.secret("short")
        self.refused(sink.reload)
        self.assertEqual(sink._secrets, (f"{SECRET}-new".encode(), SECRET.encode()))

    def test_two_plugins_with_one_name_for_a_sink_stop_the_start(self) -> None:
        context = self.context(urls=URL)
        self.assertEqual(len(feeding.make_sinks(context)), 1)
        maker = find(ISinkMaker)["webhook"]
        self.patch(feeding, "choose", lambda interface, name, key: maker)
        context.live.config = attrs.evolve(
            context.config,
            settings=attrs.evolve(
                context.config.settings,
                feed=attrs.evolve(context.config.settings.feed, sinks=("webhook", "other")),
            ),
        )
        self.assertIn("one name", self.refused(feeding.make_sinks, context))

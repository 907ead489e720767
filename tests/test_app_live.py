"""Changing the configuration of a running node: checked, told, kept or taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from timed.app import live
from timed.app.config import Config, load, override, settings_from
from timed.app.follow import EVERY_S, OverridesFollower
from timed.app.live import MAX_SUBSCRIPTIONS, LiveConfig
from timed.app.overrides import live_keys, read_overrides, written
from timed.app.reload import Reloads
from timed.app.schema import keys
from timed.app.watchdog import Watchdog
from timed.errors import ConfigError, LocalError, NotLive, NotPending, StoreError, UnknownKey

BUDGET = "rpc.budget_per_s"


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(os.path.abspath(self.mktemp()))
        self.base.mkdir()
        self.file = self.base / "node.ini"
        self.file.write_text("[node]\ndatadir = data\n\n[rpc]\nbudget_per_s = 2000\n", encoding="utf-8")
        (self.base / "data").mkdir()
        self.clock = Clock()
        self.told: list[Config] = []
        self.refuse: LocalError | None = None
        self.disk: OSError | None = None
        self.held: Deferred[None] | None = None
        self.live = self.make()

    def make(self, *command_line: tuple[str, str]) -> LiveConfig:
        """A process that starts now."""
        entries = [override(name, text, "--set") for name, text in command_line]
        live = LiveConfig(load(str(self.file), entries), self.clock, self.in_thread)
        live.subscribe(live_keys(), self.tell)
        return live

    def tell(self, config: Config) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.told.append(config)

    def in_thread(self, func: Any, *args: Any) -> Deferred[Any]:
        if self.disk is not None:
            raise self.disk
        if self.held is not None:
            return self.held.addCallback(lambda _: func(*args))
        return maybeDeferred(func, *args)

    @property
    def budget(self) -> int:
        return self.live.config.settings.rpc.budget_per_s

    @property
    def overrides(self) -> str:
        path = self.base / "data" / "overrides.ini"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def change(self, name: str, text: str | None, seconds: float = 60) -> Any:
        return self.successResultOf(self.live.change(name, text, seconds))

    def refusal(self, kind: type[LocalError], name: str, text: str | None, seconds: float = 60) -> LocalError:
        error = self.failureResultOf(self.live.change(name, text, seconds), kind).value
        assert isinstance(error, LocalError)
        return error

    def confirm(self, name: str = "") -> list[str]:
        return list(self.successResultOf(self.live.confirm(name)))


class Changing(Case):
    def test_a_change_takes_effect_at_once_and_goes_back_by_itself(self) -> None:
        shown = self.change(BUDGET, "5000")
        self.assertEqual(
            (shown.text, shown.source, shown.after_restart), ("5000", "setconfig, not confirmed", "2000")
        )
        self.assertEqual((self.budget, self.told[-1].settings.rpc.budget_per_s), (5000, 5000))
        self.clock.advance(59)
        self.assertEqual((self.budget, self.live.shown(BUDGET)[0].seconds_left), (5000, 1))
        self.clock.advance(1)
        self.assertEqual((self.budget, self.told[-1].settings.rpc.budget_per_s), (2000, 2000))
        self.assertEqual((self.overrides, self.live.counters["rolled_back"]), ("", 1))
        self.assertIsNone(self.live.shown(BUDGET)[0].seconds_left)

    def test_a_confirmed_change_stays_and_is_there_after_a_restart(self) -> None:
        self.change(BUDGET, "5000")
        self.assertEqual(self.confirm(), [BUDGET])
        self.clock.advance(1_000)
        self.assertEqual(self.budget, 5000)
        path = self.base / "data" / "overrides.ini"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.live = self.make()
        [shown] = self.live.shown(BUDGET)
        line = self.overrides.splitlines().index("budget_per_s = 5000") + 1
        self.assertEqual((shown.text, shown.source), ("5000", f"{path}:{line}"))

    def test_a_crash_before_the_confirmation_is_a_way_back(self) -> None:
        self.change(BUDGET, "5000")
        self.live = self.make()
        self.assertEqual(self.budget, 2000)

    def test_without_a_time_it_is_durable_when_the_answer_comes(self) -> None:
        self.held = Deferred()
        answer = self.live.change(BUDGET, "5000", 0)
        self.assertNoResult(answer)
        self.held.callback(None)
        self.assertEqual(self.successResultOf(answer).after_restart, "5000")
        self.assertIn("budget_per_s = 5000", self.overrides)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_second_change_before_the_confirmation_goes_back_to_what_was_kept(self) -> None:
        self.change(BUDGET, "5000")
        self.clock.advance(50)
        self.change(BUDGET, "6000")
        self.clock.advance(50)
        self.assertEqual(self.budget, 6000)
        self.clock.advance(10)
        self.assertEqual((self.budget, len(self.clock.getDelayedCalls())), (2000, 0))

    def test_without_a_value_a_key_has_what_it_has_without_setconfig(self) -> None:
        self.change(BUDGET, "5000", 0)
        self.change(BUDGET, None)
        self.assertEqual(self.budget, 2000)
        self.clock.advance(60)
        self.assertEqual(self.budget, 5000)
        self.change(BUDGET, None, 0)
        self.assertEqual(self.budget, 2000)
        self.assertNotIn("budget_per_s", self.overrides)
        self.assertEqual(self.live.shown(BUDGET)[0].source, f"{self.file}:5")

    def test_one_of_several_changes_is_confirmed_and_the_others_go_back(self) -> None:
        self.change(BUDGET, "5000")
        self.change("log.level", "debug")
        self.assertEqual(self.confirm("log.level"), ["log.level"])
        self.clock.advance(60)
        settings = self.live.config.settings
        self.assertEqual((settings.rpc.budget_per_s, settings.log.level), (2000, "debug"))

    def test_nothing_is_told_whose_key_did_not_change(self) -> None:
        heard: list[Config] = []
        end = self.live.subscribe(["log.level"], heard.append)
        self.change(BUDGET, "5000")
        self.assertEqual(heard, [])
        self.change("log.level", "warn")
        self.assertEqual(len(heard), 1)
        end()
        self.change("log.level", "error")
        self.assertEqual(len(heard), 1)


class Logged(Case):
    """A line for each change: who, which key, from what to what, and that it went back."""

    def said(self, lines: list[dict[str, Any]]) -> list[str]:
        self.assertEqual({line["log_level"].name for line in lines}, {"info"})
        return [formatEvent(line) for line in lines]

    def test_who_changed_what_from_what_to_what(self) -> None:
        with capturedLogs() as lines:
            self.successResultOf(self.live.change(BUDGET, "5000", 60, "alice (admin) from 192.0.2.5"))
            self.successResultOf(self.live.change("log.levels", "peer:debug", 60, "bob"))
            self.successResultOf(self.live.confirm("log.levels", "alice (admin) from 192.0.2.5"))
            self.clock.advance(60)
        self.assertEqual(
            self.said(lines),
            [
                f"alice (admin) from 192.0.2.5 has changed {BUDGET} from 2000 to 5000",
                "bob has changed log.levels from empty to peer:debug",
                "alice (admin) from 192.0.2.5 has kept for good: log.levels",
                f"{BUDGET} is 2000 again instead of 5000: the change was not confirmed",
            ],
        )

    def test_no_value_that_may_hold_a_secret_is_said_or_shown(self) -> None:
        """Every key of such a kind, as if it could be changed while the node runs."""
        values = {
            "rpc.auth": (f"alice:5a$3c{'ab' * 31}", "alice:…"),
            "p2p.seed_urls": ("https://seeds.example/5a$3c?key=5a$3c, http://[::1]:80", "https://seeds.example/…, http://[::1]:80/…"),
            "webhook.urls": ("https://hooks.example/5a$3c", "https://hooks.example/…"),
            "monitor.alert_command": ("/bin/page --token '5a$3c two'", "/bin/page …"),
        }  # fmt: skip
        kinds = {row.kind.name for row in keys() if row.full_name in values}
        self.assertEqual({row.full_name for row in keys() if row.kind.name in kinds}, set(values))
        rows = [attrs.evolve(row, live=row.live or row.full_name in values) for row in keys()]
        self.patch(live, "keys", lambda: iter(rows))
        self.patch(live.Config, "with_layers", lambda config, layers: attrs.evolve(
            config, settings=settings_from(layers.entries), layers=layers
        ))  # fmt: skip
        for name, (text, told) in values.items():
            with capturedLogs() as lines:
                shown = self.change(name, text)
                self.clock.advance(60)
            self.assertEqual(
                self.said(lines),
                [
                    f"this process has changed {name} from empty to {told}",
                    f"{name} is empty again instead of {told}: the change was not confirmed",
                ],
            )
            self.assertEqual(shown.text, told)
            with capturedLogs() as lines:
                self.change(name, text, 0)
            self.assertNotIn("5a$3c", "".join(self.said(lines)))
            [shown] = self.live.shown(name)
            self.assertEqual((shown.text, shown.after_restart), (told, told))

    def test_what_is_refused_has_changed_nothing_and_is_not_said(self) -> None:
        with capturedLogs() as lines:
            self.failureResultOf(self.live.change(BUDGET, "many", 60, "bob"), ConfigError)
        self.assertEqual(lines, [])


class Refusing(Case):
    def test_a_value_that_the_file_could_not_hold(self) -> None:
        for name, text in (
            (BUDGET, "many"),
            (BUDGET, "-1"),
            ("log.level", "loud"),
            ("log.levels", "nowhere:debug"),
        ):
            error = self.refusal(ConfigError, name, text)
            self.assertIn(name, error.message)
            self.assertTrue(error.hint)
        self.assertEqual((self.told, self.live.config.settings.rpc.budget_per_s), ([], 2000))

    def test_a_key_that_needs_a_restart_or_is_not_there(self) -> None:
        self.assertIn("restart", self.refusal(NotLive, "p2p.port", "7001").hint)
        self.assertIn("budget_per_s", self.refusal(UnknownKey, "rpc.budget_per_m", "1").hint)
        for name in ("x" * 10_000, "", "a.b.c", "[rpc]"):
            self.refusal(UnknownKey, name, "1")

    def test_what_a_reader_of_the_key_refuses_changes_nothing(self) -> None:
        heard: list[int] = []
        self.live._subscriptions.clear()
        self.live.subscribe([BUDGET], lambda config: heard.append(config.settings.rpc.budget_per_s))
        self.live.subscribe([BUDGET], self.tell)
        self.refuse = ConfigError("no.", "No.")
        self.refusal(ConfigError, BUDGET, "5000")
        self.assertEqual((heard, self.budget), ([5000, 2000], 2000))
        self.assertEqual((self.clock.getDelayedCalls(), self.live.counters["refused"]), ([], 1))

    def test_a_reader_of_the_key_that_fails_changes_nothing(self) -> None:
        def broken(config: Config) -> None:
            raise ZeroDivisionError

        self.live.subscribe([BUDGET], broken)
        self.failureResultOf(self.live.change(BUDGET, "5000", 60), ZeroDivisionError)
        self.assertEqual((self.budget, self.told[-1].settings.rpc.budget_per_s), (2000, 2000))
        self.live._subscriptions.pop()
        self.assertEqual(self.change(BUDGET, "5000").text, "5000")

    def test_a_disk_that_refuses_takes_back_what_was_to_be_kept_at_once(self) -> None:
        self.change(BUDGET, "4000")
        self.disk = OSError(28, "No space left on device")
        self.assertIn("No space", self.refusal(StoreError, BUDGET, "5000", 0).message)
        self.assertEqual(self.budget, 4000)
        self.clock.advance(60)
        self.assertEqual(self.budget, 2000)

    def test_a_disk_that_refuses_leaves_a_change_waiting(self) -> None:
        self.change(BUDGET, "5000")
        self.disk = OSError(28, "No space left on device")
        self.failureResultOf(self.live.confirm(), StoreError)
        self.assertEqual(self.live.shown(BUDGET)[0].seconds_left, 60)
        self.disk = None
        self.assertEqual(self.confirm(), [BUDGET])

    def test_there_is_nothing_to_confirm(self) -> None:
        self.failureResultOf(self.live.confirm(), NotPending)
        self.change(BUDGET, "5000")
        self.failureResultOf(self.live.confirm("log.level"), NotPending)
        self.clock.advance(60)
        self.failureResultOf(self.live.confirm(BUDGET), NotPending)

    def test_a_key_that_is_not_live_has_no_followers_and_their_number_is_bounded(self) -> None:
        self.assertRaises(LocalError, self.live.subscribe, ["p2p.port"], self.tell)
        for _ in range(MAX_SUBSCRIPTIONS - 1):
            self.live.subscribe([BUDGET], self.tell)
        self.assertRaises(LocalError, self.live.subscribe, [BUDGET], self.tell)

    def test_what_cannot_go_back_any_more_is_in_the_log(self) -> None:
        self.change(BUDGET, "5000")
        self.refuse = ConfigError("there is no alice.", "Make her.")
        with capturedLogs() as lines:
            self.clock.advance(60)
        self.assertEqual([line["key"] for line in lines if "reason" in line], [BUDGET])
        self.refuse = None
        self.assertEqual(self.change("log.burst", "7").text, "7")
        self.assertEqual(self.budget, 2000)


class Together(Case):
    def test_a_confirmation_under_way_goes_before_the_end_of_its_time(self) -> None:
        self.change(BUDGET, "5000")
        self.held = Deferred()
        answer = self.live.confirm()
        self.clock.advance(100)
        self.held.callback(None)
        self.assertEqual(self.successResultOf(answer), [BUDGET])
        self.assertEqual((self.budget, self.live.counters["rolled_back"]), (5000, 0))

    def test_a_stop_finds_a_change_whose_time_is_over_and_whose_way_back_waits_for_the_disk(self) -> None:
        self.change("log.burst", "7", 100)
        self.change(BUDGET, "5000")
        self.held = Deferred()
        answer = self.live.confirm(BUDGET)
        self.clock.advance(60)
        self.live.stop()
        self.held.callback(None)
        self.assertEqual(self.successResultOf(answer), [BUDGET])
        self.assertEqual((self.clock.getDelayedCalls(), self.live.counters["rolled_back"]), ([], 0))

    def test_whoever_does_not_wait_for_the_end_ends_nothing(self) -> None:
        self.change(BUDGET, "5000")
        self.held = Deferred()
        answer = self.live.confirm()
        answer.addErrback(lambda failure: None)
        answer.cancel()
        self.held.callback(None)
        self.clock.advance(100)
        self.assertEqual((self.budget, self.live.shown(BUDGET)[0].after_restart), (5000, "5000"))

    def test_changes_take_their_turns(self) -> None:
        self.held = held = Deferred()
        first, second = self.live.change(BUDGET, "5000", 0), self.live.change(BUDGET, "6000", 0)
        self.held = None
        self.assertNoResult(second)
        held.callback(None)
        self.assertEqual(self.successResultOf(first).text, "5000")
        self.assertEqual((self.successResultOf(second).text, self.budget), ("6000", 6000))
        self.assertIn("= 6000", self.overrides)

    def test_stopping_leaves_no_call_behind(self) -> None:
        self.change(BUDGET, "5000")
        self.live.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_another_process_takes_over_what_was_kept(self) -> None:
        other = self.make()
        self.change(BUDGET, "5000", 0)
        self.assertEqual(other.reread(), [BUDGET])
        self.assertEqual(other.config.settings.rpc.budget_per_s, 5000)
        self.assertEqual(other.reread(), [])
        self.refuse = ConfigError("no.", "No.")
        self.live._subscriptions.clear()
        self.change(BUDGET, "7000", 0)
        self.assertRaises(ConfigError, other.reread)
        self.assertEqual(other.config.settings.rpc.budget_per_s, 5000)
        self.refuse = None
        self.assertEqual(other.reread(), [BUDGET])


class Following(Case):
    """An RPC process, beside the process that is told."""

    def setUp(self) -> None:
        super().setUp()
        self.other, self.reloads = self.make(), Reloads()
        self.follower = OverridesFollower(
            self.other, self.reloads, self.clock, Watchdog(self.clock, self.clock.seconds)
        )
        self.follower.startService()

    @property
    def theirs(self) -> int:
        return self.other.config.settings.rpc.budget_per_s

    def test_what_is_kept_is_taken_over_and_what_is_not_is_not(self) -> None:
        self.change(BUDGET, "5000")
        self.clock.advance(EVERY_S)
        self.assertEqual(self.theirs, 2000)
        self.confirm()
        self.clock.advance(EVERY_S)
        self.assertEqual(self.theirs, 5000)
        self.change(BUDGET, None, 0)
        self.clock.advance(EVERY_S)
        self.assertEqual(self.theirs, 2000)

    def test_a_reload_does_not_wait_for_the_next_look(self) -> None:
        self.change(BUDGET, "5000", 0)
        [outcome] = self.reloads.run()
        self.assertEqual((outcome.now, self.theirs), (BUDGET, 5000))

    def test_a_file_that_cannot_be_used_changes_nothing_and_is_named_once(self) -> None:
        (self.base / "data" / "overrides.ini").write_text("[p2p]\nport = 1\n", encoding="utf-8")
        with capturedLogs() as lines:
            for _ in range(5):
                self.clock.advance(EVERY_S)
        self.assertEqual((len(lines), self.theirs), (1, 2000))

    def test_it_leaves_nothing_behind(self) -> None:
        self.follower.stopService()
        self.assertEqual((self.clock.getDelayedCalls(), self.reloads.run()), ([], []))


class Layered(Case):
    def test_the_command_line_wins_at_a_restart_and_setconfig_until_then(self) -> None:
        self.change(BUDGET, "5000", 0)
        self.live = self.make((BUDGET, "100"))
        [shown] = self.live.shown(BUDGET)
        self.assertEqual((shown.text, shown.source), ("100", "--set"))
        shown = self.change(BUDGET, "6000", 0)
        self.assertEqual((shown.text, shown.after_restart), ("6000", "100"))

    def test_a_default_has_no_source(self) -> None:
        [shown] = self.live.shown("log.burst")
        self.assertEqual((shown.source, shown.text, shown.key.live), ("", "30", True))

    def test_who_only_looks_for_the_node_reads_nothing_of_its_directory(self) -> None:
        (self.base / "data" / "overrides.ini").write_text("nonsense", encoding="utf-8")
        self.assertRaises(ConfigError, load, str(self.file))
        self.assertEqual(load(str(self.file), as_started=True).settings.rpc.budget_per_s, 2000)

    def test_hashes_of_passwords_are_not_shown(self) -> None:
        line = f"alice:00${'ab' * 32}"
        self.live = self.make(("rpc.auth", line))
        [shown] = self.live.shown("rpc.auth")
        self.assertEqual((shown.text, shown.after_restart), ("alice:…", "alice:…"))

    def test_all_keys_a_section_or_one(self) -> None:
        self.assertEqual(len(self.live.shown()), len(list(keys())))
        self.assertEqual({each.key.section for each in self.live.shown("log")}, {"log"})
        self.assertRaises(UnknownKey, self.live.shown, "lag")

    def test_a_file_of_overrides_that_cannot_be_used_stops_the_start_with_its_line(self) -> None:
        path = self.base / "data" / "overrides.ini"
        for text, told in (
            ("[p2p]\nport = 1\n", "overrides.ini:2"), ("[rpc]\nbudget_per_s = x\n", "overrides.ini:2"),
            ("[rpc]\nbudget = 1\n", "overrides.ini:2"), ("x", "overrides.ini:1"), ("\udcff", "UTF-8"),
        ):  # fmt: skip
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            self.assertIn(told, str(self.assertRaises(ConfigError, self.make)))

    @given(st.dictionaries(st.sampled_from(sorted(live_keys())), st.none(), min_size=1))
    def test_what_is_written_is_what_is_read(self, chosen: dict[str, None]) -> None:
        texts = {name: live_keys()[name].kind.show(live_keys()[name].default) for name in chosen}
        path = Path(self.mktemp())
        data, entries = written(texts, path)
        path.write_bytes(data)
        self.assertEqual(read_overrides(path), entries)
        self.assertEqual({f"{each.section}.{each.key}": each.text for each in entries}, texts)

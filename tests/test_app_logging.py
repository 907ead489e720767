"""Log lines: one per event, never a flood, never forged."""

from __future__ import annotations

import io
import json

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from timed.app.logging import (
    MAX_FIELD,
    MAX_FIELDS,
    MAX_NAMESPACES,
    MAX_SITES,
    Account,
    LineObserver,
    printable,
)
from timed.app.schema import LEVELS, LogSection
from timed.errors import LocalError


class LineCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1_000_000.0
        self.out = io.StringIO()
        self.observer = self.observe()

    def observe(self, **options: object) -> LineObserver:
        settings = {"burst": 3, "window": 60, **options}
        return LineObserver(self.out, lambda: self.now, **settings)  # type: ignore[arg-type]

    def logger(self, namespace: str = "timed.node") -> Logger:
        return Logger(namespace, observer=LogPublisher(self.observer))

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


class Accounts(LineCase):
    """The call or the peer on whose account something happened connects lines."""

    PEER = "6d44b2c6ff20421c9d6f4786f0ed52cc"

    def test_the_call_stands_behind_the_text(self) -> None:
        self.observer.about = lambda: Account(call=17, method="getblock", user="al\nice")
        self.logger("timed.rpc.desk").info("slow")
        self.assertTrue(
            self.lines()[0].endswith(" rpc.desk: slow [call 17 getblock of al\\nice]"), self.lines()
        )

    def test_the_peer_stands_there_with_the_beginning_of_its_id(self) -> None:
        self.observer.about = lambda: Account(peer=self.PEER)
        self.logger().failure("bug", Failure(ValueError("x")))
        self.assertTrue(self.lines()[0].endswith("node: bug [peer 6d44b2c6ff20421c]"))
        self.assertIn("ValueError: x", self.lines()[-1])

    def test_a_line_of_nobody_has_none(self) -> None:
        self.logger().info("tick")
        self.assertTrue(self.lines()[0].endswith("node: tick"))

    def test_who_looks_at_the_newest_lines_sees_it_too(self) -> None:
        self.observer.about = lambda: Account(call=1, method="stop", user="me")
        self.logger().info("stopping")
        self.assertEqual(self.observer.tail.since(0)[0].text, "stopping [call 1 stop of me]")


class Json(LineCase):
    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines()]

    def setUp(self) -> None:
        super().setUp()
        self.observer.tune(LogSection(format="json", burst=3))

    def test_a_line_is_an_object_with_what_its_text_names(self) -> None:
        self.logger().info("block {height}, {hash}", height=7, hash="ab", secret="no")
        self.assertEqual(
            self.objects(),
            [
                {
                    "time": "1970-01-12T13:46:40.000Z",
                    "level": "info",
                    "namespace": "node",
                    "text": "block 7, ab",
                    "fields": {"hash": "ab", "height": 7},
                }
            ],
        )

    def test_call_and_peer_are_members(self) -> None:
        self.observer.about = lambda: Account(call=17, method="getblock", user="alice")
        self.logger().info("one")
        self.observer.about = lambda: Account(peer=Accounts.PEER)
        self.logger().info("two")
        self.observer.about = lambda: None
        self.logger().info("lost", node_id="ff00")
        first, second, third = self.objects()
        self.assertEqual((first["call"], first["method"], first["user"]), (17, "getblock", "alice"))
        self.assertEqual((second["peer"], third["peer"]), (Accounts.PEER, "ff00"))
        self.assertNotIn("call", second)

    def test_every_line_is_one_object_whatever_is_in_it(self) -> None:
        self.logger().info("said {text} {number}", text='x"\n\ud800\x1b', number=float("nan"))
        self.logger().failure("bug", Failure(ValueError('a"\nb')))
        self.assertEqual(len(self.objects()), 2)
        self.assertIn("ValueError", "".join(self.objects()[1]["traceback"]))  # type: ignore[arg-type]

    def test_texts_and_members_are_bounded(self) -> None:
        names = " ".join(f"{{f{number}}}" for number in range(MAX_FIELDS + 5))
        self.logger().info(names, **{f"f{number}": "x" * 1000 for number in range(MAX_FIELDS + 5)})
        fields = self.objects()[0]["fields"]
        assert isinstance(fields, dict)
        self.assertEqual((len(fields), len(fields["f0"])), (MAX_FIELDS, MAX_FIELD + 1))

    def test_under_the_journal_there_is_no_second_time(self) -> None:
        self.observer = self.observe(journal=True)
        self.observer.tune(LogSection(format="json"))
        self.logger().warn("slow")
        self.assertEqual(self.lines(), ['<4>{"level": "warn", "namespace": "node", "text": "slow"}'])

    def test_what_is_held_back_is_summed_up_in_an_object(self) -> None:
        for _ in range(5):
            self.logger().info("again")
        self.now += 61
        self.observer.sweep()
        self.assertEqual(self.objects()[-1]["text"], "2 more lines in 60 s like: again")

    def test_it_follows_the_configuration(self) -> None:
        self.observer.tune(LogSection(format="text"))
        self.logger().info("plain")
        self.assertTrue(self.lines()[0].endswith("node: plain"))


class Lines(LineCase):
    def test_a_line_is_time_level_place_and_text(self) -> None:
        self.logger().info("block {height}", height=7)
        self.assertEqual(self.lines(), ["1970-01-12T13:46:40.000Z info     node: block 7"])

    def test_journald_gets_a_priority_instead_of_a_time(self) -> None:
        self.observer = self.observe(journal=True)
        self.logger().warn("slow")
        self.assertEqual(self.lines(), ["<4>node: slow"])

    def test_levels_below_the_configured_one_are_not_written(self) -> None:
        self.logger().debug("detail")
        self.assertEqual(self.lines(), [])

    def test_twisteds_own_information_counts_as_debug(self) -> None:
        self.logger("twisted.internet.protocol").info("Starting factory")
        self.logger("twisted.web").error("broken")
        self.assertEqual([line.split()[1] for line in self.lines()], ["error"])

    def test_a_flood_from_one_place_is_summed_up(self) -> None:
        log = self.logger()
        for number in range(10):
            log.info("refused {number}", number=number)
        log.info("something else")
        self.assertEqual(len(self.lines()), 4)
        self.now += 61
        self.observer.sweep()
        self.assertIn("7 more lines in 60 s like: refused {number}", self.lines()[-1])
        self.assertEqual(self.observer.counters.suppressed, 7)

    def test_a_flood_of_tracebacks_is_summed_up_too(self) -> None:
        for _ in range(10):
            self.logger().failure("bug", Failure(ValueError("x")))
        self.assertEqual(sum("ValueError" in line for line in self.lines()), 3)

    def test_the_number_of_places_is_bounded(self) -> None:
        log = self.logger()
        for number in range(2 * MAX_SITES):
            log.info(f"place {number}")
        self.assertEqual(len(self.lines()), MAX_SITES + 3)

    def test_a_peers_text_cannot_forge_or_colour_a_line(self) -> None:
        self.logger().info("said {text}", text="x\n2026 error fake\x1b[31m")
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("x\\n2026 error fake\\x1b[31m", self.lines()[0])
        self.assertEqual(printable("plain"), "plain")

    def test_a_failure_keeps_its_traceback(self) -> None:
        try:
            raise ValueError("inner")
        except ValueError:
            self.logger().failure("the node raised")
        self.assertIn("the node raised", self.lines()[0])
        self.assertIn("ValueError: inner", self.lines()[-1])

    def test_lines_are_counted_by_level(self) -> None:
        self.logger().info("one")
        self.logger().warn("two")
        counts = self.observer.counters.lines
        self.assertEqual((counts["info"], counts["warn"], counts["error"]), (1, 1, 0))

    def test_a_reader_that_has_gone_away_stops_nothing(self) -> None:
        self.out.close()
        self.logger().emit(LogLevel.critical, "still here")
        self.assertEqual(self.observer.counters.suppressed, 1)


class Levels(LineCase):
    """Levels change while the node runs."""

    def written(self, namespace: str) -> list[str]:
        """The levels of which a namespace's events are written."""
        before = len(self.lines())
        for level in LEVELS:
            self.logger(namespace).emit(LogLevel.lookupByName(level), f"{namespace} {level} {before}")
        return [line.split()[1] for line in self.lines()[before:]]

    def test_a_namespace_is_itself_and_everything_in_it(self) -> None:
        self.observer.levels.set("timed.peer", "debug")
        self.assertEqual(self.written("timed.peer"), list(LEVELS))
        self.assertEqual(self.written("timed.peer.table.PeerTable"), list(LEVELS))
        self.assertEqual(self.written("timed.peerless"), list(LEVELS[1:]))
        self.assertEqual(self.written("timed.node"), list(LEVELS[1:]))

    def test_the_longest_name_that_fits_decides(self) -> None:
        levels = self.observer.levels
        levels.set("peer", "error")
        levels.set("peer.table", "debug")
        self.assertEqual(self.written("timed.peer.table"), list(LEVELS))
        self.assertEqual(self.written("timed.peer.session"), ["error", "critical"])
        self.assertEqual(levels.shown(), {"*": "info", "peer": "error", "peer.table": "debug"})
        levels.clear("timed.peer.table")
        self.assertEqual(self.written("timed.peer.table"), ["error", "critical"])
        levels.clear("*")
        self.assertEqual(levels.shown(), {"*": "info"})

    def test_the_level_of_all_others_is_a_star(self) -> None:
        self.observer.levels.set("rpc", "warn")
        self.observer.levels.set("*", "debug")
        self.assertEqual(self.written("timed.node"), list(LEVELS))
        self.assertEqual(self.written("timed.rpc.site"), list(LEVELS[2:]))

    def test_names_under_which_nothing_logs_are_refused_with_those_there_are(self) -> None:
        for name in (
            "",
            "pear",
            "timed",
            "timed.",
            "peer.",
            "peer..table",
            ".peer",
            "peer table",
            "peer.é",
            "\ud800",
        ):
            with self.assertRaises(LocalError, msg=name) as caught:
                self.observer.levels.set(name, "debug")
            self.assertIn("peer", caught.exception.hint)
            with self.assertRaises(LocalError):
                self.observer.levels.clear(name)
        with self.assertRaises(LocalError):
            self.observer.levels.set("peer", "loud")
        self.assertEqual(self.observer.levels.shown(), {"*": "info"})

    def test_the_number_of_names_is_bounded(self) -> None:
        for number in range(MAX_NAMESPACES):
            self.observer.levels.set(f"peer.m{number}", "debug")
        with self.assertRaises(LocalError):
            self.observer.levels.set("peer.one_more", "debug")
        self.observer.levels.set("peer.m1", "warn")
        self.assertEqual(len(self.observer.levels.shown()), MAX_NAMESPACES + 1)

"""Log lines: one per event, never a flood, never forged."""

from __future__ import annotations

import io

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from timed.app.logging import MAX_NAMESPACES, MAX_SITES, LineObserver, printable
from timed.app.schema import LEVELS
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

"""The other pages: what they list is there, and what they tell one to type can be typed."""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

from docutils.core import publish_doctree
from twisted.trial.unittest import SynchronousTestCase

from tests.test_docs_protocol import RENEW, ROOT, tables
from timed.app import datadir
from timed.app.config import settings_from
from timed.app.schema import keys
from timed.app.tap import Options
from timed.cli import replay, seedlist
from timed.cli.commands import COMMANDS
from timed.cli.options import split
from timed.cli.words import method_name
from timed.monitor.health import CHECKS
from timed.rpc.table import METHODS
from timed.sim import main as simulator
from timed.sim.nemesis import FAULTS
from timed.sim.violation import NAMES
from timed.testnet.main import arguments as testnet_arguments
from timed.top.main import arguments as top_arguments

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.rst", *sorted(DOCS.glob("*.rst")), *sorted(DOCS.glob("rpc/*.rst"))]
HANDS = (
    ".",
    "apt",
    "ln",
    "mv",
    "cat",
    "cd",
    "cp",
    "curl",
    "grep",
    "journalctl",
    "jq",
    "install",
    "openssl",
    "systemctl",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "git",
)
"""Programs that are not ours."""


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


class Tables(SynchronousTestCase):
    def test_they_are_what_the_code_says(self) -> None:
        stale = [path.name for path in tables.pages() if tables.renewed(path.read_text(encoding="utf-8")) !=
                 path.read_text(encoding="utf-8")]  # fmt: skip
        self.assertEqual(stale, [], RENEW)

    def test_each_stands_in_one_page(self) -> None:
        found = [
            name for path in tables.pages() for name in tables.names_in(path.read_text(encoding="utf-8"))
        ]
        self.assertEqual(sorted(found), sorted(tables.TABLES))

    def test_every_configuration_key_is_explained(self) -> None:
        for row in keys():
            self.assertIn(f"``{row.full_name}``", page("operating.rst"))

    def test_every_name_in_the_data_directory_is_explained(self) -> None:
        table = page("operating.rst").partition("\nThe data directory\n")[2].partition("\nBackup\n")[0]
        names = re.findall(r"^    (\S+)  +\S", datadir.__doc__ or "", re.M)
        self.assertGreater(len(names), 12)
        self.assertEqual([name for name in names if f"``{name}" not in table], [])

    def test_every_health_check_that_is_named_is_there(self) -> None:
        checks = {check.name for check in CHECKS}
        for path in PAGES:
            for name in re.findall(r"\bchecks?\s``([a-z-]+)``", path.read_text(encoding="utf-8")):
                self.assertIn(name, checks, path.name)

    def test_every_room_has_its_place_in_the_picture(self) -> None:
        picture = page("architecture.rst").partition("Imports run downwards only:")[2]
        named = re.findall(r"\b[a-z]+\b", picture.partition("text\n")[2].partition("\nThe modules")[0])
        self.assertEqual(sorted(named), tables.rooms()[1:])

    def test_every_fault_and_every_invariant_is_described(self) -> None:
        first = re.findall(r"^``([a-z-]+)``  +\S", page("simulation.rst"), re.M)
        self.assertEqual(first, [*FAULTS, *NAMES])


def commands() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every line after a prompt."""
    for path in PAGES:
        for line in re.findall(r"^ +[$#] (.+)$", path.read_text(encoding="utf-8"), re.M):
            for words in _calls(line):
                yield path.name, words


def _calls(line: str) -> Iterator[list[str]]:
    """The commands of one line, those in `$(…)` among them; variables stay as they are."""
    for inner in re.findall(r"\$\(([^()]+)\)", line):
        yield shlex.split(inner)
    words = shlex.split(re.sub(r"\$\([^()]+\)", "VALUE", line).removesuffix("&"))
    while words and "=" in words[0]:
        words.pop(0)
    if words[:2] == ["sudo", "-u"]:
        words = words[3:]
    if words:
        yield words


class Commands(SynchronousTestCase):
    def check(self, words: list[str]) -> None:
        """Raise, or exit, when the command could not even begin."""
        program, rest = words[0].rsplit("/", 1)[-1] or words[0], words[1:]
        if program == "make":
            self.check_make(rest)
        elif program == "timed-testnet":
            testnet_arguments().parse_args(rest)
        elif program == "timed-top":
            top_arguments().parse_args(rest)
        elif program == "timed-sim":
            self.assertIn(rest[0], ("run", "mesh", "mutants", "wallet"))
            for name in ("_run", "_mesh", "_wallet"):
                self.patch(simulator, name, lambda options: 0)
            if rest[0] != "mutants":
                self.assertEqual(simulator.main(rest), 0)
        elif program == "timed-replay":
            replay.arguments().parse_args(rest)
        elif program == "timed-cli":
            _, call = split(rest)
            if call[:1] == ["seedlist"]:
                seedlist.arguments().parse_args(call[1:])
                return
            if not call or call[0] not in COMMANDS:
                self.assertIn(method_name(call[0]) if call else "help", METHODS)
        elif program in ("timed", "twistd"):
            self.check_daemon(rest[rest.index("timed") + 1 :] if program == "twistd" else rest)
        elif program.startswith("python"):
            self.check_python(rest)
        elif program not in (*HANDS, "pip", "lint-imports"):
            self.fail(f"nobody knows {program}")

    def check_make(self, words: list[str]) -> None:
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
        self.assertIn(words[0], targets)
        for word in words[1:]:
            testnet_arguments().parse_args(["up", *shlex.split(word.removeprefix("ARGS="))])

    def check_daemon(self, words: list[str]) -> None:
        if words == ["--version"]:
            return
        options = Options()
        options.parseOptions(words)
        settings_from(options.entries())

    def check_python(self, words: list[str]) -> None:
        if words[0] == "-m":
            self.assertIsNotNone(importlib.util.find_spec(words[1]), words[1])
        else:
            self.assertTrue((ROOT / words[0]).is_file(), words[0])

    def test_can_be_typed(self) -> None:
        """Programs, options, methods and keys exist."""
        count = 0
        for name, words in commands():
            try:
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
                    self.check(words)
            except SystemExit:
                self.fail(f"{name}: {shlex.join(words)}: {said.getvalue()}")
            count += 1
        self.assertGreater(count, 25)


def identifier(title: str) -> str:
    """The anchor of a heading, as docutils makes it: it begins with a letter."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-").lstrip("0123456789-")


class Markup(SynchronousTestCase):
    def test_pages_have_a_title_and_nothing_that_docutils_complains_of(self) -> None:
        for path in [*PAGES, ROOT / "CHANGELOG.rst"]:
            complaints = io.StringIO()
            document = publish_doctree(
                path.read_text(encoding="utf-8"),
                settings_overrides={"warning_stream": complaints, "_disable_config": True},
            )
            self.assertEqual((path.name, complaints.getvalue()), (path.name, ""))
            self.assertTrue(document.get("title"), path.name)


class Links(SynchronousTestCase):
    def test_lead_to_files_that_are_there(self) -> None:
        for path in PAGES:
            text = path.read_text(encoding="utf-8")
            for target in re.findall(r"<([^<>\s]+\.(?:rst|svg)|LICENSE)(?:#[\w-]+)?>`_", text):
                self.assertTrue((path.parent / target).is_file(), f"{path.name}: {target}")
            for target in re.findall(r"^\.\. image:: (\S+)$", text, re.M):
                self.assertTrue((path.parent / target).is_file(), f"{path.name}: {target}")

    def test_anchors_are_headings(self) -> None:
        for path in PAGES:
            for target, anchor in re.findall(
                r"<([^<>\s]+\.rst)#([\w-]+)>`_", path.read_text(encoding="utf-8")
            ):
                titles = re.findall(
                    r"^(\S.*)\n[=~-]{3,}$", (path.parent / target).read_text(encoding="utf-8"), re.M
                )
                anchors = {identifier(title) for title in titles}
                self.assertIn(anchor, anchors, path.name)

    def test_files_named_in_the_text_are_there(self) -> None:
        """Paths of the project, without those that stand for several."""
        for path in PAGES:
            for name in re.findall(
                r"``((?:timed|tests|docs|etc)/[\w/.-]+\.[a-z]+)``", path.read_text(encoding="utf-8")
            ):
                if name != "timed/plugins/my_count.py":
                    self.assertTrue((ROOT / name).exists(), f"{path.name}: {name}")

"""What is installed is what stands in the tree, and every dependency has its reason."""

from __future__ import annotations

import configparser
import re
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


class Packages(SynchronousTestCase):
    def test_every_package_is_listed(self) -> None:
        found = {
            ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "timed").rglob("__init__.py")
        }
        self.assertEqual(set(lines(setup_cfg()["options"]["packages"])), found | {"twisted.plugins"})

    def test_the_packages_are_listed_in_order(self) -> None:
        listed = lines(setup_cfg()["options"]["packages"])
        self.assertEqual(listed, sorted(listed))

    def test_twisted_is_not_made_a_package_of_ours(self) -> None:
        """An __init__.py there would hide Twisted itself."""
        self.assertEqual([path.name for path in (ROOT / "twisted").rglob("*.py")], ["timed_plugin.py"])

    def test_every_console_script_can_be_called(self) -> None:
        for line in lines(setup_cfg()["options.entry_points"]["console_scripts"]):
            module, _, function = line.partition("=")[2].strip().partition(":")
            self.assertTrue(callable(getattr(import_module(module), function)), line)


class Dependencies(SynchronousTestCase):
    def requirements(self) -> dict[str, str]:
        found = {}
        for line in lines(setup_cfg()["options"]["install_requires"]):
            match = re.fullmatch(r"([a-zA-Z0-9.-]+)(?:\[\w+\])? (.*)", line)
            self.assertIsNotNone(match, line)
            if match is not None:
                found[match[1]] = match[2]
        return found

    def test_every_dependency_has_a_lower_and_an_upper_bound(self) -> None:
        for name, bounds in self.requirements().items():
            self.assertRegex(bounds, r"^>=[\d.]+, <\d+$", name)

    def test_every_dependency_has_its_reason(self) -> None:
        table = (ROOT / "docs" / "dependencies.rst").read_text(encoding="utf-8").split("=\n")
        reasons = set(re.findall(r"^([a-z0-9.-]+)  +\S", table[-2], re.MULTILINE))
        self.assertEqual(reasons, set(self.requirements()))

    def test_every_dependency_is_used(self) -> None:
        imported_as = {
            "google-crc32c": "google_crc32c",
            "prometheus-client": "prometheus_client",
            "pynacl": "nacl",
            "pyopenssl": "OpenSSL",
            "zope.interface": "zope.interface",
        }
        # Twisted asks for it; without it every start prints a warning.
        not_imported = {"service-identity"}
        source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "timed").rglob("*.py"))
        unused = [
            name
            for name in self.requirements()
            if name not in not_imported
            and not re.search(
                rf"^\s*(?:from|import) {re.escape(imported_as.get(name, name))}\b", source, re.MULTILINE
            )
        ]
        self.assertEqual(unused, [])


class Contracts(SynchronousTestCase):
    """What `lint-imports` checks speaks of every room."""

    def setUp(self) -> None:
        self.rooms = {path.parent.name for path in (ROOT / "timed").glob("*/__init__.py")}

    def contract(self, name: str, key: str) -> str:
        return setup_cfg()[f"importlinter:contract:{name}"][key]

    def test_every_room_has_its_layer(self) -> None:
        self.assertEqual(sorted(re.findall(r"\w+", self.contract("layers", "layers"))), sorted(self.rooms))

    def test_what_belongs_to_no_room_is_held_below_all_of_them(self) -> None:
        own = {f"timed.{path.stem}" for path in (ROOT / "timed").glob("*.py")} - {"timed.__init__"}
        self.assertEqual(set(lines(self.contract("vocabulary", "source_modules"))), own)
        above = {f"timed.{room}" for room in self.rooms - {"codec", "primitives"}}
        self.assertEqual(set(lines(self.contract("vocabulary", "forbidden_modules"))), above)

    def test_nobody_above_the_node_but_app_knows_the_plugins(self) -> None:
        layers = self.contract("layers", "layers")
        above = {f"timed.{room}" for room in re.findall(r"\w+", layers.partition("(node)")[0])}
        known = set(lines(self.contract("plugins", "source_modules")))
        self.assertEqual(above - known, {"timed.app", "timed.plugins"})

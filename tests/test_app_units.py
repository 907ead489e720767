"""The units under `etc/systemd`: what systemd itself says of them, and that they name what there is."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from timed.app.config import load, override
from timed.app.ports import NAMES
from timed.app.tap import Options
from timed.params import TESTNET

UNITS = Path(__file__).resolve().parent.parent / "etc" / "systemd"
EXECUTABLE = "/opt/timed/bin/timed"
INSTANCE = "8101"
MOST_EXPOSED = 2.0


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed (apt install systemd)")
    return found


def entries(path: Path, key: str) -> list[str]:
    """The values of a key of a unit, in their order."""
    return re.findall(rf"^{key}=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)


class Verdicts(SynchronousTestCase):
    """With the program replaced by one that is there: it need not be installed where the tests run."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        there = shutil.which("true") or "/bin/true"
        for path in UNITS.iterdir():
            if path.suffix in (".service", ".socket"):
                name = path.name.replace("@", f"@{INSTANCE}")
                (self.directory / name).write_text(path.read_text().replace(EXECUTABLE, there))

    def test_systemd_finds_nothing_wrong(self) -> None:
        verify = tool("systemd-analyze")
        units = sorted(map(str, self.directory.iterdir()))
        self.assertEqual(len(units), 5)
        done = subprocess.run([verify, "verify", *units], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_systemd_finds_a_mistake(self) -> None:
        """The verdict above is worth something."""
        verify = tool("systemd-analyze")
        path = self.directory / "timed.service"
        path.write_text(path.read_text().replace("WatchdogSec=60", "WatchdogSecs=60"))
        done = subprocess.run([verify, "verify", str(path)], capture_output=True, text=True, check=False)
        self.assertIn("WatchdogSecs", done.stderr)

    def test_services_are_hardly_exposed(self) -> None:
        analyze = tool("systemd-analyze")
        for path in sorted(self.directory.glob("*.service")):
            done = subprocess.run(
                [analyze, "security", "--offline=true", "--no-pager", f"--threshold={round(10 * MOST_EXPOSED)}", str(path)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stdout)
            found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
            self.assertLessEqual(float(found[1]) if found else 10.0, MOST_EXPOSED)

    def test_the_user_and_its_directories_are_made(self) -> None:
        """Below a directory that stands for the whole machine."""
        users, files = tool("systemd-sysusers"), tool("systemd-tmpfiles")
        if os.getuid():
            raise SkipTest("only root can give a directory to somebody else")
        root = self.directory / "root"
        (root / "etc" / "timed").mkdir(parents=True)
        (root / "etc" / "timed" / "node.ini").touch(mode=0o644)
        subprocess.run(
            [users, f"--root={root}", str(UNITS / "timed.sysusers")], check=True, capture_output=True
        )
        user = re.search(r"^timed:x:(\d+):(\d+):", (root / "etc" / "passwd").read_text(), re.MULTILINE)
        self.assertIsNotNone(user)
        uid, gid = int(user[1]), int(user[2])  # type: ignore[index]
        command = [files, "--create", f"--root={root}", str(UNITS / "timed.tmpfiles")]
        subprocess.run(command, check=True, capture_output=True)
        for name, mode, owner in (
            ("var/lib/timed", 0o40700, uid),
            ("etc/timed", 0o40750, 0),
            ("etc/timed/node.ini", 0o100640, 0),
        ):
            found = (root / name).stat()
            self.assertEqual((found.st_mode, found.st_uid, found.st_gid), (mode, owner, gid), name)


class Contents(SynchronousTestCase):
    def test_the_command_lines_can_be_read(self) -> None:
        for path in sorted(UNITS.glob("*.service")):
            [line] = entries(path, "ExecStart")
            program, *words = line.replace("%i", INSTANCE).split()
            self.assertEqual(program, EXECUTABLE)
            options = Options()
            options.parseOptions(words)
            config = load(None, options.entries())
            self.assertEqual(str(config.datadir), "/var/lib/timed")
            self.assertEqual(config.apart, "rpc" in path.name)
            self.assertEqual(entries(path, "Type"), ["notify"])
            self.assertEqual(entries(path, "User"), ["timed"])
            self.assertEqual(len(entries(path, "ExecReload")), 1)

    def test_an_rpc_process_cannot_read_the_keys(self) -> None:
        [hidden] = entries(UNITS / "timed-rpc@.service", "InaccessiblePaths")
        for name in ("node.key", "operator.key"):
            self.assertIn(f"-/var/lib/timed/{name}", hidden.split())

    def test_both_services_have_one_sandbox(self) -> None:
        """What is written twice is the same twice."""
        one, two = (
            path.read_text().partition("# The sandbox.")[2].partition("[Install]")[0]
            for path in sorted(UNITS.glob("*.service"))
        )
        self.assertIn("NoNewPrivileges=yes", one)
        self.assertEqual(one, two)

    def test_sockets_are_where_testnet_listens(self) -> None:
        config = load(None, [override("node.network", "testnet", "here")])
        wanted = {
            "p2p": (config.settings.p2p.host, config.p2p_port),
            "rpc": (config.settings.rpc.host, config.rpc_port),
            "monitor": (config.settings.monitor.host, config.monitor_port),
        }
        self.assertEqual(config.params, TESTNET)
        found = {}
        for path in UNITS.glob("*.socket"):
            unit = configparser.ConfigParser()
            unit.optionxform = str  # type: ignore[assignment,method-assign]
            unit.read(path)
            host, _, port = unit["Socket"]["ListenStream"].rpartition(":")
            found[unit["Socket"]["FileDescriptorName"]] = (host, int(port))
            self.assertEqual(unit["Socket"]["Service"], "timed.service")
        self.assertEqual(found, wanted)
        self.assertEqual(set(found), set(NAMES))

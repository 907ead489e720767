"""Console scripts whose reader goes away, as `head` does."""

from __future__ import annotations

import configparser
import importlib
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.console import console_script

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
from timed.console import console_script
@console_script
def main():
    {body}
raise SystemExit(main())
"""


def unread(body: str) -> tuple[int, str]:
    """Exit status and standard error of a script whose standard output has no reader."""
    receive, send = os.pipe()
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    os.close(receive)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(body=body)],
            stdout=send, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=buffered, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(send)
    return done.returncode, done.stderr


class WithoutAReader(SynchronousTestCase):
    def test_a_script_that_writes_much_ends_in_silence(self) -> None:
        self.assertEqual(unread("print('x' * 1_000_000)"), (0, ""))

    def test_what_waits_in_the_buffer_does_no_harm_and_the_status_stays(self) -> None:
        self.assertEqual(unread("print('x'); return 3"), (3, ""))
        self.assertEqual(unread("print('x'); raise SystemExit(4)"), (4, ""))

    def test_without_a_standard_output_nothing_is_missed(self) -> None:
        script = SCRIPT.format(body="import sys; print('x', sys.stdout.isatty()); return 3")
        done = subprocess.run(
            ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, script],
            stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (3, ""))

    def test_a_broken_pipe_of_something_else_is_an_error(self) -> None:
        """With a reader of standard output: here a file."""

        def fails() -> None:
            raise BrokenPipeError("a socket")

        self.assertRaises(BrokenPipeError, console_script(fails))

    def test_every_console_script_goes_this_way(self) -> None:
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        lines = config["options.entry_points"]["console_scripts"].split("\n")
        targets = [line.partition("=")[2].strip() for line in lines if line]
        self.assertGreaterEqual(len(targets), 7)
        for target in targets:
            module, _, name = target.partition(":")
            main = getattr(importlib.import_module(module), name)
            self.assertEqual(main.__wrapped__.__module__, module)
            self.assertEqual(main.__code__, console_script(main.__wrapped__).__code__, target)

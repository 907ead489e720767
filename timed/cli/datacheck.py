"""`timed-cli check-data`: is what a stopped node keeps on disk whole, and if not, what mends it.

It changes nothing. With `--deep` every block is read, every certificate verified, the
whole chain executed once more and every coin counted.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from timed.app.config import Config
from timed.app.datadir import CHAIN, NODE_KEY, OPERATOR_KEY
from timed.cli import local, status
from timed.cli.options import Options
from timed.cli.show import write
from timed.crypto.keys import load_key_file
from timed.errors import LocalError
from timed.store.checking import FETCH_AGAIN
from timed.store.lmdb import DATABASE
from timed.wallet.walletcopy import read_wallet

TERMINAL_S, LINES_S = 0.5, 10.0
"""Between two reports of progress, on a terminal and elsewhere."""
EPILOG = """\
Stop the node first. Without --deep: the newest blocks, the log, keys and wallet.
Exit status: 0 all is whole, 6 something is not, 1 it could not be looked at.
"""

Found = dict[str, Any]


def main(words: Sequence[str], options: Options) -> int:
    """Look at everything, and say what is wrong."""
    parser = local.parser("check-data", "Looks at what a stopped node keeps on disk.", options, EPILOG)
    parser.add_argument("--deep", action="store_true", help="everything, which takes as long as catching up")
    parser.add_argument("--json", action="store_true", default=options.json, help="for machines")
    found = parser.parse_args(words)
    config = local.config_of(found)
    flaws, counts = list(_files(config)), {}
    progress = _Progress(sys.stderr.isatty())
    for each in _chain(config, found):
        if "flaw" in each:
            flaws.append(each["flaw"])
        elif "progress" in each:
            progress.show(each["progress"])
        elif "done" in each:
            counts = each["done"]
        elif "failed" in each:
            raise LocalError(each["failed"]["message"], each["failed"]["hint"])
    progress.end()
    report = {"directory": str(config.datadir), "deep": found.deep, "looked_at": counts, "flaws": flaws}
    write(json.dumps(report, indent=2) if found.json else as_text(report))
    return status.FOUND if any(flaw["serious"] for flaw in flaws) else status.OK


def _files(config: Config) -> Iterator[Found]:
    """Keys and wallet."""
    for name in (NODE_KEY, OPERATOR_KEY):
        path = config.datadir / name
        if path.exists():
            try:
                load_key_file(str(path))
            except LocalError as error:
                yield _flaw(str(path), error.message, error.hint)
    if config.wallet_file.exists():
        try:
            read_wallet(str(config.wallet_file), config.params.name)
        except LocalError as error:
            yield _flaw(str(config.wallet_file), error.message, error.hint)


def _flaw(where: str, what: str, remedy: str) -> Found:
    return {"where": where, "what": what.removesuffix("."), "remedy": remedy, "serious": True}


def _chain(config: Config, found: argparse.Namespace) -> Iterator[Found]:
    """What the child tells, and how it ended when it did not get to the end."""
    place = {name: getattr(found, name) for name in ("network", "datadir", "config", "node_id", "deep")}
    command = [sys.executable, "-m", "timed.cli.chaincheck", json.dumps(place)]
    ended = False
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        try:
            for line in child.stdout or ():
                told: Found = json.loads(line)
                ended = ended or "done" in told or "failed" in told
                yield told
        except BaseException:
            child.kill()
            raise
    if ended:
        return
    number = child.returncode
    if number >= 0:
        raise LocalError(f"the check itself failed with status {number}.", "Report the traceback above.")
    what = f"reading it ended the process with {signal.Signals(-number).name}: its pages are damaged"
    yield {"flaw": _flaw(str(config.datadir / CHAIN / DATABASE), what, FETCH_AGAIN)}


class _Progress:
    """On standard error, not too often; on a terminal in one line."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._next = 0.0 if terminal else time.monotonic() + LINES_S
        self._shown = False

    def show(self, progress: Found) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (TERMINAL_S if self._terminal else LINES_S)
        text = f"{progress['part']}: {progress['done']} of {progress['total']}"
        print(
            f"\r\x1b[K{text}" if self._terminal else text,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )
        self._shown = True

    def end(self) -> None:
        if self._terminal and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def as_text(report: Found) -> str:
    """The report for people."""
    counts = ", ".join(f"{count} {name}" for name, count in report["looked_at"].items() if count)
    lines = [f"{report['directory']}: looked at {counts or 'nothing but files'}"]
    for flaw in report["flaws"]:
        lines += [
            f"{'WRONG' if flaw['serious'] else 'note '}  {flaw['where']}: {flaw['what']}",
            f"       -> {flaw['remedy']}",
        ]
    serious = sum(flaw["serious"] for flaw in report["flaws"])
    lines.append({0: "nothing is wrong", 1: "one thing is wrong"}.get(serious, f"{serious} things are wrong"))
    if not report["deep"]:
        lines.append("--deep looks at every block, signature and coin")
    return "\n".join(lines)

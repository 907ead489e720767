"""`timed-top`: the dashboard in a terminal, for a node or for a whole test network."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TextIO

from timed.app.config import load, override
from timed.cli.place import ANYWHERE
from timed.console import console_script
from timed.errors import LocalError
from timed.testnet.registry import living_nodes, networks
from timed.top.source import Place, Source, Unreachable, place_of

MIN_INTERVAL_S = 0.5
WIDTH = 120
"""Columns of a frame that goes into a file."""
MISSING = "timed-top draws with rich, which is not installed. Run `pip install .[top]` where timed is installed from."
NO_TERMINAL = "this is no terminal."


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="timed-top", description="The dashboard of a node, or of a whole test network, in a terminal."
    )
    parser.add_argument(
        "monitor", nargs="*", metavar="HOST:PORT", help="monitor ports: the first that answers is shown"
    )
    parser.add_argument("--config", metavar="FILE", default="", help="the node's configuration file")
    parser.add_argument("--datadir", metavar="DIR", default="", help="its data directory")
    parser.add_argument("--network", metavar="NAME", default="", help="mainnet, testnet or regtest")
    parser.add_argument(
        "--node-id", metavar="N", type=int, default=0, help="a node started with `timed --node-id N`"
    )
    parser.add_argument("--testnet", action="store_true", help="the network that `timed-testnet up` runs")
    parser.add_argument(
        "--interval", metavar="S", type=float, default=1.0, help="seconds between frames (default 1)"
    )
    parser.add_argument("--once", action="store_true", help="one frame, then leave")
    return parser


def places(options: argparse.Namespace) -> list[Place]:
    """The monitors to ask; LocalError when there is none to be found."""
    if options.monitor:
        return [place_of(each) for each in options.monitor]
    if options.testnet:
        return _of_testnet()
    given = {
        "node.network": options.network,
        "node.datadir": os.path.abspath(options.datadir) if options.datadir else "",
    }
    overrides = [override(name, text, "the command line") for name, text in given.items() if text]
    config = load(options.config or None, overrides, node_id=options.node_id or None)
    host = config.settings.monitor.host
    return [Place(ANYWHERE.get(host, host), config.monitor_port)]


def _of_testnet() -> list[Place]:
    for _, state in networks():
        living = living_nodes(state)
        found = [
            place_of(state.urls[name][1]) for name in state.nodes if name in living and name in state.urls
        ]
        if found:
            return found
    raise LocalError("no test network runs.", "Start one with timed-testnet up.")


@console_script
def main(argv: Sequence[str] | None = None) -> NoReturn:
    parser = arguments()
    options = parser.parse_args(argv)
    if not MIN_INTERVAL_S <= options.interval <= 3600:
        parser.error(f"--interval must lie between {MIN_INTERVAL_S} and 3600 seconds")
    try:
        from timed.top.loop import once, watch
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        _give_up(MISSING)
    try:
        source = Source(places(options))
        if options.once:
            once(source, sys.stdout, options.interval)
        elif not sys.stdout.isatty() or not sys.stdin.isatty():
            _give_up(f"{NO_TERMINAL} Use --once.")
        else:
            with keys(sys.stdin) as key:
                watch(source, key, options.interval)
    except (LocalError, Unreachable) as error:
        _give_up(str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(0)


def _give_up(reason: str) -> NoReturn:
    sys.stderr.write(f"timed-top: {reason}\n")
    raise SystemExit(1)


@contextmanager
def keys(terminal: TextIO) -> Iterator[Callable[[float], str]]:
    """What waits for one key, for so many seconds at most; empty when none was pressed."""
    import termios
    import tty

    number = terminal.fileno()
    before = termios.tcgetattr(number)

    def key(seconds: float) -> str:
        if not select.select([number], [], [], max(0.0, seconds))[0]:
            return ""
        return os.read(number, 32).decode("utf-8", "replace")[:1]

    try:
        tty.setcbreak(number)
        yield key
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)

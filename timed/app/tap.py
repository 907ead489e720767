"""What `twistd timed` reads from the command line, and what it then runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from twisted.application.service import IService
from twisted.python import usage

from timed import __version__
from timed.app.config import Config, load, override
from timed.app.datadir import APART_LOG, DAEMON_LOG, attach, prepare
from timed.app.inifile import Entry
from timed.app.logging import terminal
from timed.errors import LocalError

USAGE_STATUS = 2
FAILURE_STATUS = 1


class Options(usage.Options):
    """The options of `twistd timed`. A mistake is one sentence and exit status 2."""

    synopsis = "[options]"
    longdesc = "Runs one node of the TIME Coin protocol. etc/node.ini lists every configuration key."

    optParameters = [
        ["config", "c", None, "The configuration file."],
        ["network", None, None, "mainnet, testnet or regtest."],
        ["datadir", None, None, "Where keys, blocks and coins live."],
        ["node-id", None, None, "Without --config: node N of a regtest network on this machine.", int],
        ["p2p-port", None, None, "The port for other nodes."],
        ["rpc-port", None, None, "The port for JSON-RPC."],
        ["monitor-port", None, None, "The port for /health and /metrics."],
    ]

    SHORTCUTS = {
        "network": "node.network",
        "datadir": "node.datadir",
        "p2p-port": "p2p.port",
        "rpc-port": "rpc.port",
        "monitor-port": "monitor.port",
    }
    """Options that stand for one key."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[str] = []
        self.overrides: list[Entry] = []

    def opt_peer(self, address: str) -> None:
        """A node to stay connected with, host:port; may be repeated, and replaces p2p.peers."""
        self.peers.append(address)

    def opt_set(self, assignment: str) -> None:
        """Set one key, as section.key=value; may be repeated."""
        name, equals, value = assignment.partition("=")
        if not equals:
            raise usage.UsageError(f"--set wants section.key=value, not {assignment!r}")
        try:
            self.overrides.append(override(name.strip(), value.strip(), "--set"))
        except LocalError as error:
            raise usage.UsageError(str(error)) from error

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"timed {__version__}\n")
        raise SystemExit(0)

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"there is no argument {args[0]!r} to give")

    def postOptions(self) -> None:
        if self["config"] is not None and self["node-id"] is not None:
            raise usage.UsageError("--node-id stands for a whole configuration: it cannot go with --config")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            sys.stderr.write(f"timed: {error}. Run 'twistd timed --help' for the options.\n")
            raise SystemExit(USAGE_STATUS) from None

    def entries(self) -> list[Entry]:
        """What the command line says about keys; --set wins over the shortcuts."""
        given = [
            override(name, str(self[option]), f"--{option}")
            for option, name in self.SHORTCUTS.items()
            if self[option] is not None
        ]
        if self.peers:
            given.append(override("p2p.peers", " ".join(self.peers), "--peer"))
        return given + self.overrides


def is_daemon(options: Any) -> bool:
    """Whether twistd puts this process into the background before it starts anything."""
    return options.parent is not None and not options.parent.get("nodaemon", True)


def log_file(options: Any, config: Config) -> TextIO:
    """Where lines go: twistd's --logfile, standard output, or for a daemon a file in the data directory."""
    name = options.parent.get("logfile") if options.parent is not None else None
    if name == "-" or (name is None and not is_daemon(options)):
        return terminal()
    if name is not None:
        path = Path(name)
    elif config.apart:
        path = attach(config.datadir).path / APART_LOG.format(port=config.rpc_port)
    else:
        path = prepare(config.datadir).path / DAEMON_LOG
    try:
        return open(path, "a", encoding="utf-8", errors="replace")
    except OSError as error:
        raise LocalError(f"cannot write the log file {path}: {error.strerror}.", "Set --logfile.") from error


def keep_steady(reactor: Any) -> None:
    """Let the reactor's timers, of which there are none yet, run on a clock that only goes forward.

    Twisted takes the time of day: a clock set back by an hour would hold every timer up for that hour.
    """
    reactor.seconds = time.monotonic


def makeService(options: Options) -> IService:
    """The whole node as one service. A LocalError is one sentence and exit status 1."""
    from twisted.internet import reactor

    from timed.app.composition import compose, print_error
    from timed.app.ports import inherited
    from timed.app.signals import Stopping

    keep_steady(reactor)
    try:
        config = load(options["config"], options.entries(), node_id=options["node-id"])
        out = log_file(options, config)
        application = compose(
            config, reactor, out, journal="JOURNAL_STREAM" in os.environ, sockets=inherited(os.environ),
            daemon=is_daemon(options),
        )  # fmt: skip
    except LocalError as error:
        print_error(sys.stderr, error)
        raise SystemExit(FAILURE_STATUS) from None
    Stopping(reactor)
    return application

"""`timed-testnet up | verify | soak | status | down`."""

from __future__ import annotations

import argparse
import atexit
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from timed.console import console_script
from timed.errors import LocalError
from timed.testnet.check import run_check
from timed.testnet.layout import State, make_network
from timed.testnet.network import Network
from timed.testnet.payments import Payments
from timed.testnet.registry import bring_down, living_nodes, networks, runner_alive, state_path
from timed.testnet.waiting import Reporter, WaitFailed

MAX_NODES = 32
WATCH_S = 5.0
WATCH_QUIET_S = 60.0


class Interrupted(BaseException):
    """A signal asked for the end."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="timed-testnet", description="A network of real timed nodes on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a network, pay, show what it does, and keep it running")
    up.add_argument("--nodes", type=int, default=3, help="how many nodes (default 3)")
    up.add_argument("--members", type=int, help="how many of them vote (default: all)")
    up.add_argument("--interval", type=int, default=5, help="seconds between two blocks (default 5)")
    up.add_argument("--payments", type=int, default=6, help="payments to make (default 6)")
    up.add_argument("--keep", metavar="DIR", help="put everything into DIR and leave it there")
    up.add_argument("--check", action="store_true", help="kill a node, add a late one, compare, stop")
    up.add_argument("--json", action="store_true", help="one JSON object as the last line")
    compare = commands.add_parser("verify", help="carry the same messages the original's way and this node's")
    compare.add_argument("--messages", type=int, default=20_000, help="messages each way (default 20000)")
    compare.add_argument("--report", metavar="FILE", default="timed-verify.html", help="the page to write")
    compare.add_argument("--json", action="store_true", help="one JSON object as the last line")
    long = commands.add_parser(
        "soak", help="load for a while, and something done to the network every minute"
    )
    long.add_argument(
        "--minutes", type=float, default=70.0, help="memory is judged by the last three sevenths (default 70)"
    )
    long.add_argument("--rate", type=float, default=10.0, help="payments per second (default 10)")
    long.add_argument(
        "--seed", type=int, default=0, help="of the choices that are left to chance (default 0)"
    )
    long.add_argument("--report", metavar="FILE", default="timed-soak.html", help="the page to write")
    long.add_argument("--json", action="store_true", help="one JSON object as the last line")
    commands.add_parser("status", help="show the networks that run")
    end = commands.add_parser("down", help="stop the network that `up` started")
    end.add_argument("directory", nargs="?", metavar="DIR", help="the directory of the one to stop")
    end.add_argument("--all", action="store_true", help="every network of this user, benchmarks among them")
    return parser


@console_script
def main(argv: Sequence[str] | None = None) -> NoReturn:
    parser = arguments()
    options = parser.parse_args(argv)
    try:
        if options.command == "up":
            check_options(parser, options)
            status = up(options)
        elif options.command == "verify":
            status = verify_ways(parser, options)
        elif options.command == "soak":
            status = soak_network(parser, options)
        elif options.command == "status":
            status = show_status()
        else:
            status = down(options.directory, everything=options.all)
    except LocalError as error:
        print(f"timed-testnet: {error}", file=sys.stderr)
        status = 1
    raise SystemExit(status)


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Usage errors, exit status 2."""
    if options.members is None:
        options.members = options.nodes
    if not 1 <= options.nodes <= MAX_NODES:
        parser.error(f"--nodes must lie between 1 and {MAX_NODES}")
    if not 1 <= options.members <= options.nodes:
        parser.error("--members must lie between 1 and the number of nodes")
    if not 1 <= options.interval <= 3600:
        parser.error("--interval must lie between 1 and 3600 seconds")
    if not 1 <= options.payments <= 1000:
        parser.error("--payments must lie between 1 and 1000")


def up(options: argparse.Namespace) -> int:
    """The exit status: 0 only if everything that was asked held."""
    directory = choose_directory(options.keep)
    reporter = Reporter()
    plan = make_network(directory, options.nodes, options.members, options.interval)
    network = Network(plan, reporter, state_path(), standing=True)
    atexit.register(network.stop)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)
    report = network.report
    if options.check:
        report.killed_node_recovered = report.late_joiner_synced = report.roots_equal = False
    try:
        reporter.say(f"{options.nodes} nodes, {options.members} of them members, in {directory}")
        run(network, options)
    except Interrupted as signal_name:
        reporter.say(f"stopping ({signal_name})")
    except WaitFailed as error:
        report.error = str(error)
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        network.collect()
        network.stop()
    keep = bool(options.keep) or bool(report.error)
    finish(network, options, directory, keep=keep)
    return 0 if report.held else 1


def run(network: Network, options: argparse.Namespace) -> None:
    """Everything between the first process and the end."""
    report, reporter = network.report, network.reporter
    network.start(*network.plan.nodes)
    network.wait_answering(network.plan.nodes)
    network.wait_connected()
    report.connected = True
    payments = Payments(network)
    payments.send(options.payments)
    report.final_everywhere = True
    payments.wait_confirmed()
    report.confirmed_everywhere = True
    if options.check:
        run_check(network, payments)
        return
    network.collect()
    for line in report.table():
        reporter.plain(line)
    reporter.plain(f"Dashboard of all nodes: {network.plan.nodes[0].monitor_url}/")
    reporter.plain("The network runs until you press Ctrl-C or call 'timed-testnet down'.")
    watch(network)


def watch(network: Network) -> NoReturn:
    """Show the heights until a signal comes; WaitFailed when a node ends."""
    quiet = WATCH_S if sys.stdout.isatty() else WATCH_QUIET_S
    next_line = time.monotonic() + quiet
    while True:
        network.wait("network runs", lambda: (True, f"heights {network.heights()}"), WATCH_S)
        while time.monotonic() < next_line:
            time.sleep(0.2)
            ended = [process for process in network.processes.values() if not process.alive]
            if ended:
                first = ended[0]
                raise WaitFailed(
                    f"{first.plan.name} ended with status {first.exit_status}. {first.end_of_log()}"
                )
        next_line = time.monotonic() + quiet


def finish(network: Network, options: argparse.Namespace, directory: Path, *, keep: bool) -> None:
    """The closing words."""
    report, reporter = network.report, network.reporter
    if report.error:
        reporter.plain(f"FAILED: {report.error}")
    for line in report.table():
        reporter.plain(line)
    if keep:
        reporter.plain(f"Everything is kept in {directory}.")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    if options.check:
        reporter.plain("Everything held." if report.held else "Something did not hold.")
    if options.json:
        reporter.plain(report.last_line())


def choose_directory(keep: str | None) -> Path:
    """A new directory, or the empty one that was named."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="timed-testnet-"))
    directory = Path(keep).expanduser().absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise LocalError(f"{directory} is not an empty directory.", "Name a new one with --keep.")
    return directory


def verify_ways(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Exit status 0 when the new way reaches its goals."""
    if not 1_000 <= options.messages <= 1_000_000:
        parser.error("--messages must lie between 1000 and 1000000")
    report = page_at(options.report)
    # Its broadcast needs a reactor, which the other commands never start.
    from timed.bench.measure import machine
    from timed.testnet.page import page
    from timed.testnet.verify import verify

    where = machine()
    try:
        comparison = verify(options.messages, Reporter(sys.stderr))
    except WaitFailed as error:
        raise LocalError(str(error)) from None
    report.write_text(page(comparison, where), encoding="utf-8")
    for line in comparison.lines():
        print(line)
    print(f"As a page: {report}")
    if options.json:
        print(comparison.last_line())
    return 0 if comparison.held else 1


def soak_network(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Exit status 0 when everything held."""
    if not 1 <= options.minutes <= 1_440:
        parser.error("--minutes must lie between 1 and 1440")
    if not 0.1 <= options.rate <= 500:
        parser.error("--rate must lie between 0.1 and 500")
    report = page_at(options.report)
    from timed.bench.measure import machine
    from timed.testnet.soak import soak
    from timed.testnet.soakpage import page

    where = machine()
    try:
        found = soak(options.minutes, options.rate, options.seed, Reporter(sys.stderr))
    except WaitFailed as error:
        raise LocalError(str(error)) from None
    report.write_text(page(found, where), encoding="utf-8")
    for goal in found.goals():
        print(goal.line())
    print(f"As a page: {report}")
    if options.json:
        print(json.dumps({**found.figures(), "machine": where}))
    return 0 if found.held else 1


def page_at(name: str) -> Path:
    """Where a page is to be written; LocalError when there is no such directory."""
    report = Path(name)
    if not report.absolute().parent.is_dir():
        raise LocalError(f"there is no directory for {report}.", "Name another file with --report.")
    return report


def show_status() -> int:
    """Exit status 1 when no network runs."""
    found = False
    for path, state in networks():
        living = living_nodes(state)
        if not living and not runner_alive(state):
            path.unlink(missing_ok=True)
            continue
        found = True
        print(f"network in {state.directory}, started by process {state.runner}")
        for name in state.nodes:
            rpc, monitor = state.urls.get(name, ["-", "-"])
            print(f"  {name}: {'running' if name in living else 'stopped'}, rpc {rpc}, monitor {monitor}")
    if not found:
        print("No network is running.")
    return 0 if found else 1


def chosen(directory: str | None, everything: bool) -> list[tuple[Path, State]]:
    """What `down` stops: the network in a directory, all of this user, or the only one that `up` started.

    A LocalError when none runs in the directory, or when several could be meant.
    """
    noted = [(path, state) for path, state in networks() if living_nodes(state) or runner_alive(state)]
    if everything:
        return noted
    if directory is not None:
        wanted = Path(directory).resolve()
        found = [(path, state) for path, state in noted if Path(state.directory).resolve() == wanted]
        if not found:
            raise LocalError(
                f"no network runs in {directory}.", "'timed-testnet status' shows those that run."
            )
        return found
    standing = [(path, state) for path, state in noted if state.standing]
    if len(standing) > 1:
        names = ", ".join(state.directory for _, state in standing)
        raise LocalError(f"{len(standing)} networks run: {names}.", "Name one of them, or give --all.")
    return standing


def down(directory: str | None, *, everything: bool) -> int:
    """Stop what was meant; exit status 1 when something of it goes on."""
    remaining = 0
    count = 0
    for path, state in chosen(directory, everything):
        count += 1
        gone = bring_down(path, state)
        remaining += not gone
        print(f"network in {state.directory}: {'stopped' if gone else 'could not be stopped'}")
    if not count:
        print("No network is running." if everything else "No network that 'up' started is running.")
    return 1 if remaining else 0


def interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(signal.Signals(number).name)


if __name__ == "__main__":
    main()

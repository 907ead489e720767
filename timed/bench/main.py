"""`timed-bench NAME [--json]`: one benchmark, measured against something else in the same run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from timed.bench import measure, report
from timed.console import console_script
from timed.errors import TimedError

BENCHMARKS = {
    "codec": "encode and decode every message, against JSON, construct and hand-written code",
    "compression": "what zstd leaves of each type of message, against a higher level and messages of noise",
    "broadcast": "one message to many peers, against JSON for each peer and a bare write loop",
    "priority": "a vote behind 4 MiB blocks, against one queue for everything",
    "finality": "from submission to final on every node, at a few rates and sizes of roster",
    "throughput": "payments per second to finality, against what signature checks allow",
    "lag": "how long the reactor of a node under load does not turn",
    "rpc": "light calls over HTTP, alone, in batches and while syncing, against twisted.web with a constant",
    "events": "thousands of WebSockets that follow the events, one of which reads nothing, against a bare broadcast",
    "restart": "from the end of a node until it is ready again, with a year of blocks and with none",
    "idle": "what quiet peers cost in CPU and memory",
    "crowd": "one node and many clients: quiet, with payments, and with some who stall, drip and flood",
}


class Benchmark(Protocol):
    """What a module of this package has."""

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of this benchmark alone."""

    def run(self, options: argparse.Namespace) -> report.Outcome:
        """Measure; TimedError when that was not possible."""


def benchmark(name: str) -> Benchmark:
    """The module of one benchmark; it is imported when it is wanted."""
    return cast(Benchmark, import_module(f"timed.bench.{name}"))


@console_script
def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit status 0 when it was measured, whatever the figures; 1 when it could not be; 2 for usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="timed-bench", description="Measure this implementation.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, summary in BENCHMARKS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--json", action="store_true", help="one JSON object as the last line")
        if name in arguments[:1]:
            benchmark(name).options(command)
    options = parser.parse_args(arguments)
    machine = measure.machine()
    begun = time.monotonic()
    try:
        outcome = benchmark(options.name).run(options)
    except TimedError as error:
        print(f"timed-bench: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    report.write(outcome, machine, time.monotonic() - begun, sys.stdout, as_json=options.json)
    raise SystemExit(0)


if __name__ == "__main__":
    main()

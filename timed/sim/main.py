"""The command `timed-sim`: run seeds, or break the code on purpose and see it caught."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import attrs

from timed.console import console_script
from timed.errors import LocalError
from timed.sim.mesh import MeshResult, run_mesh
from timed.sim.nemesis import FAULTS
from timed.sim.run import SeedResult, combined_hash, run_seeds
from timed.sim.world import Scenario

if TYPE_CHECKING:
    from timed.sim.wallets import WalletResult

T = TypeVar("T", int, float)

EXIT_VIOLATION, EXIT_USAGE = 1, 2
RECORD_BYTES = 256 << 20
"""Of each node's flight recorder: more than a seed brings."""


@console_script
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when every invariant held (or every mutant was caught), 1 otherwise, 2 for usage."""
    parser = argparse.ArgumentParser(prog="timed-sim", description="Simulate a whole network from a seed.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run seeds and check the invariants after every event")
    run.add_argument("--nodes", type=int, default=4, choices=range(1, 65), metavar="N")
    run.add_argument("--seeds", type=_seeds, default=range(4), metavar="A..B", help="inclusive")
    run.add_argument("--faults", type=_faults, default=tuple(FAULTS), metavar="all|none|NAME,NAME",
                     help=f"of: {' '.join(FAULTS)}")  # fmt: skip
    run.add_argument("--minutes", type=_duration, default=10.0, metavar="M", help="virtual minutes of a seed")
    run.add_argument("--interval", type=_positive, default=15, metavar="S", help="seconds between blocks")
    run.add_argument("--followers", type=_count, metavar="F",
                     help="nodes that are no members; by default every other seed has one")  # fmt: skip
    run.add_argument("--jobs", type=_positive, default=2, metavar="J", help="processes")
    run.add_argument("--record", metavar="DIR",
                     help="write there, for timed-replay, what went into the nodes of a violated run")  # fmt: skip
    run.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    mesh = commands.add_parser("mesh", help="dial, restart and flap a mesh of many nodes")
    mesh.add_argument("--nodes", type=int, default=50, choices=range(2, 65), metavar="N", help="members")
    mesh.add_argument("--followers", type=_count, default=2, metavar="F", help="nodes that are no members")
    mesh.add_argument("--hours", type=_duration, default=2.0, metavar="H", help="virtual hours of flapping")
    mesh.add_argument("--seed", type=int, default=0, metavar="S")
    mesh.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    wallet = commands.add_parser(
        "wallet", help="pay from many wallets at once while nodes die and paths are cut"
    )
    wallet.add_argument("--payments", type=_positive, default=100, metavar="P", help="payments to make")
    wallet.add_argument("--nodes", type=int, default=4, choices=range(2, 13), metavar="N")
    wallet.add_argument("--concurrent", type=_positive, default=50, metavar="C", help="calls at one time")
    wallet.add_argument("--seed", type=int, default=0, metavar="S")
    wallet.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    mutants = commands.add_parser("mutants", help="put known mistakes into a copy and see them caught")
    mutants.add_argument("names", nargs="*", help="only these")
    mutants.add_argument("--jobs", type=_positive, default=2, metavar="J", help="processes")
    mutants.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except LocalError as error:
        print(f"timed-sim: {error}", file=sys.stderr)
        return EXIT_VIOLATION


def _number(kind: Callable[[str], T], text: str, least: int) -> T:
    """`text` as a finite number of this kind that is not less than `least`."""
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not least <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not {least} or more")
    return value


def _count(text: str) -> int:
    return _number(int, text, 0)


def _positive(text: str) -> int:
    return _number(int, text, 1)


def _duration(text: str) -> float:
    return _number(float, text, 0)


def _seeds(text: str) -> range:
    first, _, last = text.partition("..")
    try:
        seeds = range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not A..B") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


def _faults(text: str) -> tuple[str, ...]:
    if text == "all":
        return tuple(FAULTS)
    names = [] if text == "none" else text.split(",")
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no fault {unknown[0]!r}; use all, none or: {' '.join(FAULTS)}"
        )
    return tuple(name for name in FAULTS if name in names)


def _run(options: argparse.Namespace) -> int:
    if options.record:
        try:
            os.makedirs(options.record, exist_ok=True)
        except OSError as error:
            print(f"timed-sim: {options.record} cannot be a directory: {error.strerror}", file=sys.stderr)
            return EXIT_USAGE
    scenarios = [
        Scenario(
            seed, options.nodes, options.minutes, options.interval, options.faults,
            followers=seed % 2 if options.followers is None else options.followers,
            record=RECORD_BYTES if options.record else 0, recordings=options.record or "",
        )
        for seed in options.seeds
    ]  # fmt: skip
    results = []
    for result in run_seeds(scenarios, options.jobs):
        results.append(result)
        print(_line(result), flush=True)
        if result.violation:
            _explain(result)
    violations = [result for result in results if result.violation]
    print(f"{len(results)} seeds, {len(violations)} violations")
    if options.json:
        print(json.dumps(summary(results)))
    return EXIT_VIOLATION if violations else 0


def _mesh(options: argparse.Namespace) -> int:
    result = run_mesh(options.seed, options.nodes, options.hours, options.followers)
    print(
        f"{result.nodes} members and {result.followers} others, {result.events} events, {result.cpu_s:.1f} s\n"
        f"full mesh {result.dialled_s:.1f} s after all dialled, {result.restarted_s:.1f} s after all restarted,"
        f" {result.healed_s:.1f} s after {result.hours:g} h of {sum(result.mishaps.values())} mishaps\n"
        f"{result.sessions_ended} ends of sessions, {result.handovers} of them handovers; {result.dials} dials,"
        f" of one node to one other {result.most_dials} in a minute at most"
    )
    for name, totals, most, size in (
        ("payment", result.payment, result.payment_most, result.payment_bytes),
        ("block", result.block, result.block_most, result.block_bytes),
    ):
        print(f"one {name}: {size} bytes")
        for kind, count in totals.items():
            print(f"  {count:6d} {kind}, on a link {most[kind]}")
    if result.violation:
        _explain(result)
    if options.json:
        print(json.dumps({**attrs.asdict(result), "violations": int(bool(result.violation))}))
    return EXIT_VIOLATION if result.violation else 0


def _wallet(options: argparse.Namespace) -> int:
    from timed.sim.wallets import run_wallets

    result = run_wallets(options.seed, options.payments, options.nodes, options.concurrent)
    released = ", ".join(f"{count} {reason}" for reason, count in result.released.items()) or "none"
    print(
        f"{result.payments} payments, {result.dependent} of them on top of one no block held, up to"
        f" {result.most_calls} calls at once\n"
        f"{result.confirmed} in {result.blocks} blocks; released: {released}\n"
        f"{result.lives} processes, {sum(result.faults.values())} faults, {result.lost_calls} calls lost with their"
        f" process, {result.resent} payments sent again\n"
        f"{result.virtual_s / 60:.0f} virtual minutes, {result.events} events, {result.cpu_s:.1f} s of CPU"
    )
    if result.violation:
        _explain(result)
    if options.json:
        print(json.dumps({**attrs.asdict(result), "violations": int(bool(result.violation))}))
    return EXIT_VIOLATION if result.violation else 0


def _mutants(options: argparse.Namespace) -> int:
    from timed.sim.mutants import run_mutants

    return run_mutants(options.names, options.jobs, as_json=options.json)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "mesh": _mesh,
    "wallet": _wallet,
    "mutants": _mutants,
}


def summary(results: Sequence[SeedResult]) -> dict[str, object]:
    """The object of the last line."""
    return {
        "seeds": len(results),
        "events": sum(result.events for result in results),
        "transactions_final": sum(result.transactions_final for result in results),
        "blocks": sum(result.blocks for result in results),
        "faults": sum(result.faults for result in results),
        "violations": sum(1 for result in results if result.violation),
        "trace_hash": combined_hash(results),
        "min_blocks": min(result.blocks for result in results),
        "min_final": min(result.transactions_final for result in results),
        "min_faults": min(result.faults for result in results),
        "min_lossy_crashes": min(result.lossy_crashes for result in results),
        "cpu_s": round(sum(result.cpu_s for result in results), 1),
    }


def _line(result: SeedResult) -> str:
    verdict = f"VIOLATION {result.violation}" if result.violation else "ok"
    return (
        f"seed {result.seed:5d}  events {result.events:7d}  final {result.transactions_final:3d}"
        f"/{result.confirmed}/{result.payments}  blocks {result.blocks:3d}  faults {result.faults:3d}"
        f"  healed {result.healed_s:4.1f} s  {result.cpu_s:5.1f} s  {result.trace_hash[:12]}  {verdict}"
    )


def _explain(result: SeedResult | MeshResult | WalletResult) -> None:
    print(f"  {result.violation} at event {result.events} of seed {result.seed}: {result.detail}")
    print("  the last events (microseconds since the start):")
    for line in result.tail:
        print(f"    {line}")
    for path in result.recordings if isinstance(result, SeedResult) else ():
        print(f"  timed-replay {path}")


if __name__ == "__main__":
    sys.exit(main())

"""`timed-replay`: execute a recording of the flight recorder again and look at what the node did."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from timed.cli.cells import plain
from timed.console import console_script
from timed.errors import LocalError, RemoteError
from timed.events import Action, Publish
from timed.flight.replay import Diverged, Replay, Report, Step
from timed.flight.tape import Tape, load
from timed.params import SECOND

SAME, FAILED, DIVERGED = 0, 1, 3
MAX_SHOWN_BYTES = 12
EPILOG = """\
Exit status: 0 the node did again what it did, 1 the file cannot be used, 3 it did something else.

  timed-cli dumprecording                 writes a recording of a running node
  timed-replay FILE                       executes it to its end
  timed-replay FILE --events              with what the node told the world, and when
  timed-replay FILE --show 1200..1240     with every call of these steps
  timed-replay FILE --until 1240          stops before step 1241 and shows the state there

A recording fits the version of timed that wrote it. It is data: nothing in it is executed.
"""


@console_script
def main(words: Sequence[str] | None = None) -> int:
    """The exit status, see EPILOG."""
    parser = arguments()
    options = parser.parse_args(words)
    if options.json and (options.events or options.show is not None):
        parser.error("--json prints one object; leave out --events and --show")
    try:
        tape = load(_read(options.file))
        replay = Replay(tape)
    except LocalError as error:
        return _failed(options, FAILED, f"{error}")
    if not options.json:
        print(_headline(tape), flush=True)

    def seen(step: Step, actions: Sequence[Action]) -> None:
        if options.show is not None and step.number in options.show:
            print(_line(step))
        if options.events:
            for action in actions:
                if isinstance(action, Publish):
                    print(f"{_time(step.time)}  {_event(action.event)}")

    try:
        report = replay.run(options.until, seen)
    except Diverged as error:
        return _failed(options, DIVERGED, f"{error}")
    except (LocalError, RemoteError) as error:
        return _failed(options, FAILED, f"{error}")
    if options.json:
        print(json.dumps(_figures(tape, report)))
    else:
        print("\n".join(_outcome(replay, report)))
    return SAME


def arguments() -> argparse.ArgumentParser:
    """What may stand after `timed-replay`."""
    parser = argparse.ArgumentParser(
        prog="timed-replay",
        description="Executes a recording of the flight recorder again.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="a file that ends in .flight")
    parser.add_argument("--until", type=_positive, metavar="N", help="execute only the first N steps")
    parser.add_argument("--show", type=_steps, metavar="A..B", help="print these steps, inclusive")
    parser.add_argument("--events", action="store_true", help="print what the node told the world")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps")
    return int(text)


def _steps(text: str) -> range:
    first, _, last = text.partition("..")
    return range(_positive(first), _positive(last or first) + 1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}.") from error


def _failed(options: argparse.Namespace, status: int, message: str) -> int:
    if options.json:
        print(json.dumps({"same": False, "error": message}))
    print(f"timed-replay: {plain(message)}", file=sys.stderr)
    return status


def _headline(tape: Tape) -> str:
    return (
        f"{plain(tape.software)}, {plain(tape.network)}, node {tape.node_id.hex()[:16]}: "
        f"{plain(tape.why)}\n"
        f"{_time(tape.began)} to {_time(tape.ended)}, {len(tape.state)} bytes of state, "
        f"{len(tape.entries)} of entries"
    )


def _outcome(replay: Replay, report: Report) -> list[str]:
    node = replay.node
    state = node.consensus_state()
    lines = [f"again raised: {plain(line)}" for line in report.raised]
    lines.append(
        f"{report.steps} steps, {report.turns} turns, {report.reads} reads, {report.signatures} signatures: "
        + ("all as recorded" if report.whole else "as recorded so far")
    )
    lines.append(
        f"height {node.ledger.tip.height}, round {state.round}, {len(node.mempool)} pending, "
        f"{len(node.peers.peers())} peers, signing: {'yes' if state.signing else 'no'}"
    )
    lines.append(f"state {report.digest.hex()}")
    return lines


def _figures(tape: Tape, report: Report) -> dict[str, Any]:
    return {
        "same": True,
        "whole": report.whole,
        "steps": report.steps,
        "turns": report.turns,
        "reads": report.reads,
        "signatures": report.signatures,
        "raised": report.raised,
        "state": report.digest.hex(),
        "why": tape.why,
        "seconds": (tape.ended - tape.began) / SECOND,
    }


def _line(step: Step) -> str:
    shown = ", ".join(_word(one) for one in step.arguments)
    return f"{step.number:8d}  {_time(step.time) if step.time else '-':26}  {step.name}({shown})"


def _word(value: object) -> str:
    if isinstance(value, bytes):
        rest = f"... {len(value)} bytes" if len(value) > MAX_SHOWN_BYTES else ""
        return f"{value[:MAX_SHOWN_BYTES].hex()}{rest}"
    return plain(str(value))


def _event(event: object) -> str:
    names = getattr(type(event), "__attrs_attrs__", ())
    return f"{type(event).__name__} " + " ".join(_word(getattr(event, name.name)) for name in names)


def _time(microseconds: int) -> str:
    """UTC; a number that no calendar has, from a stranger's recording, as it is."""
    try:
        return datetime.fromtimestamp(microseconds / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    except (ValueError, OverflowError, OSError):
        return str(microseconds)


if __name__ == "__main__":
    sys.exit(main())

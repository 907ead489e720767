"""`python -m tests.fuzz TARGET --seconds N`: look for new findings, guided by coverage.

Needs atheris (`pip install -e .[fuzz]`). It works in build/fuzz/TARGET, which an
interrupted run continues. A finding is left there as crash-… (or timeout-…, oom-…); put it into
tests/fuzz/corpus/TARGET and the test suite runs it from then on. `--keep` adds to that
corpus what reached code that neither the seeds nor the corpus reach.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.names import NAMES

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
KEPT_FILE = 4_096
"""Bytes of the longest file that `--keep` takes: small findings say more."""
KEPT_TARGET = 64 * 1024
KEPT_FILES = 40
"""Bytes and files of a target's kept corpus beyond which `--keep` adds nothing: CI runs them all."""
MAX_LENGTH = {"session": 1_000, "council": 400, "rpc": 4_000, "lines": 8_000, "texts": 300, "ini": 4_000}
LENGTH = 40_000
FOUND = ("crash-", "timeout-", "oom-")
"""How the names of what the engine found begin."""
SLOW_S = 20
MEMORY_MB = 1_024
GRACE_S = 300
"""What the engine has beyond its time, to start and to end, before it is given up."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help="one or several of: " + ", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--keep", action="store_true", help="afterwards, add to the kept corpus what is new")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--engine", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.target) - set(NAMES))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}")
    if options.list:
        say("\n".join(NAMES))
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("this needs atheris: pip install -e '.[fuzz]'")
    if options.engine:
        engine(options.target[0], options.seconds)
    report = {}
    for name in options.target or NAMES:
        report[name] = fuzz(name, options.seconds)
        if options.keep and not report[name]["findings"]:
            report[name]["kept"] = keep(name)
        say(f"{name:10}" + "".join(f" {key} {value}" for key, value in report[name].items()))
    if options.json:
        say(json.dumps(report))
    return 1 if any(each["findings"] for each in report.values()) else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fuzz(name: str, seconds: int) -> dict[str, Any]:
    """Run the engine in a process of its own: it ends its process when it is done."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, _beginning(name))
    before = _found(folder)
    command = [sys.executable, "-m", "tests.fuzz", "--engine", name, "--seconds", str(seconds)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
        timeout=seconds + GRACE_S,
    )  # fmt: skip
    (WORK / f"{name}.log").write_text(ended.stdout + ended.stderr)
    runs = re.findall(r"stat::number_of_executed_units:\s+(\d+)", ended.stderr)
    covered = re.findall(r"cov: (\d+) ft: \d+", ended.stderr)
    found = sorted(str(path.relative_to(ROOT)) for path in _found(folder) - before)
    if ended.returncode and not found:
        found = [f"exit code {ended.returncode}, see {WORK / name}.log"]
    return {
        "runs": int(runs[-1]) if runs else 0,
        "covered": int(covered[-1]) if covered else 0,
        "corpus": sum(1 for path in folder.iterdir() if not path.name.startswith(FOUND)),
        "findings": found,
    }


def _found(folder: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path.name.startswith(FOUND)}


def engine(name: str, seconds: int) -> None:
    """atheris over one target; it does not return."""
    import atheris

    with atheris.instrument_imports(include=["timed"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    folder = WORK / name

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = target.mutate(data, rng) if rng.randrange(3) else atheris.Mutate(data, longest)
        return data[:longest]

    atheris.Setup(
        [
            "timed-fuzz",
            f"-max_total_time={seconds}",
            f"-max_len={MAX_LENGTH.get(name, LENGTH)}",
            f"-timeout={SLOW_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
            "-len_control=0",
            str(folder),
        ],
        target.run,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def _beginning(name: str) -> list[bytes]:
    """The seeds and the kept corpus."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    return [*target.seeds(), *(path.read_bytes() for path in target.kept())]


def _write(folder: Path, inputs: Iterable[bytes]) -> int:
    written = 0
    for data in inputs:
        path = folder / hashlib.sha256(data).hexdigest()[:16]
        written += not path.exists()
        path.write_bytes(data)
    return written


def keep(name: str) -> int:
    """Add to the kept corpus, the smallest first, what reaches lines that nothing before it does."""
    from tests.fuzz.targets import CORPUS, TARGETS

    target, folder = TARGETS[name], CORPUS / name
    reached: set[tuple[CodeType, int, int]] = set()
    for data in _beginning(name):
        reached |= arcs(target.run, data)
    room = KEPT_TARGET - sum(path.stat().st_size for path in target.kept())
    places = KEPT_FILES - len(target.kept())
    chosen: list[bytes] = []
    work = (path for path in (WORK / name).iterdir() if not path.name.startswith(FOUND))
    for path in sorted(work, key=lambda path: (path.stat().st_size, path.name)):
        size = path.stat().st_size
        if size > min(KEPT_FILE, room) or len(chosen) >= places:
            continue
        data = path.read_bytes()
        new = arcs(target.run, data) - reached
        if new:
            reached |= new
            room -= size
            chosen.append(data)
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder, chosen)


def arcs(run: Any, data: bytes) -> set[tuple[CodeType, int, int]]:
    """Which lines of the project follow which, while `run` has these bytes."""
    found: set[tuple[CodeType, int, int]] = set()

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            code, line = frame.f_code, frame.f_lineno
            found.add((code, last.get(frame, 0), line))
            last[frame] = line
        elif event == "return":
            last.pop(frame, None)
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        return local if "/timed/" in frame.f_code.co_filename else None

    last: dict[FrameType, int] = {}
    sys.settrace(trace)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

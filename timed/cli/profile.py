"""`timed-cli profile`: what takes the time of a node that runs, as tables and as a flame graph."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timed.cli import flame, flamepage, local
from timed.cli.cells import plain
from timed.cli.options import Options
from timed.cli.place import locate
from timed.cli.show import write
from timed.cli.status import OK
from timed.client.blocking import Client
from timed.errors import LocalError
from timed.rpc.tables.control import MAX_PROFILE_HZ, MAX_PROFILE_S

PATIENCE_S = 60.0
"""How much longer than the profile the answer may take: a node that is asked this is often overloaded."""
KINDS = (".html", ".svg", ".txt")
TOP = 15
"""Rows of a table in the terminal."""
LEAST_S = 0.001
"""CPU time that is worth a row by itself."""
EPILOG = f"""\
The node works on meanwhile. The file is made anew and needs no other host: .html has the graph and the
tables, .svg the graph, .txt folded stacks for other tools.
At most {MAX_PROFILE_S} s and {MAX_PROFILE_HZ} looks a second; one profile at a time. Needs the permission admin.
"""

Profile = Mapping[str, Any]
"""The answer of `getprofile`."""


def main(words: Sequence[str], options: Options) -> int:
    """Ask, wait, show, and write the file."""
    parser = local.parser("profile", "Shows what takes the time of a running node.", options, EPILOG)
    parser.add_argument("--seconds", type=int, default=10, metavar="N", help="how long (default 10)")
    parser.add_argument("--hz", type=int, default=100, metavar="N", help="looks a second (default 100)")
    parser.add_argument("--output", metavar="FILE", default="", help="FILE.html, FILE.svg or FILE.txt")
    found = parser.parse_args(words)
    if not 1 <= found.seconds <= MAX_PROFILE_S:
        parser.error(f"--seconds lies between 1 and {MAX_PROFILE_S}")
    if not 1 <= found.hz <= MAX_PROFILE_HZ:
        parser.error(f"--hz lies between 1 and {MAX_PROFILE_HZ}")
    target = Path(found.output).expanduser().absolute() if found.output else None
    if target is not None and target.suffix not in KINDS:
        parser.error(f"--output ends with {', '.join(KINDS)}")
    if target is not None and target.exists():
        raise LocalError(f"{target} exists already.", "Nothing is overwritten: name another.")
    place = local.place_of(found, options)
    with Client(locate(place), max(options.timeout, found.seconds + PATIENCE_S)) as client:
        profile = client.call("getprofile", found.seconds, found.hz)
    write(text(profile))
    if target is not None:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        local.write_new(target, document(profile, target.suffix, when).encode("utf-8", "replace"), 0o644)
        write(f"\nthe graph is in {target}")
    return OK


def stacks_of(profile: Profile) -> list[tuple[str, list[str], int]]:
    """Thread, functions from the outermost inwards, samples; a control character in a name is shown, not meant."""
    names = [plain(name) for name in profile["frames"]]
    return [
        (plain(each["thread"]), [names[number] for number in each["frames"]], each["samples"])
        for each in profile["stacks"]
    ]


def document(profile: Profile, suffix: str, when: str) -> str:
    """The file, by its kind."""
    stacks = stacks_of(profile)
    if suffix == ".txt":
        lines = (
            ";".join([thread, *names]).replace("\n", " ") + f" {samples}" for thread, names, samples in stacks
        )
        return "".join(f"{line}\n" for line in lines)
    title = f"{headline(profile)}, {when}"
    graph = flame.svg(flame.tree(stacks), title)
    return graph if suffix == ".svg" else flamepage.page(title, graph, sections(profile))


def headline(profile: Profile) -> str:
    """`node: 10.0 s, 0.42 cores busy, looked 1,000 times`."""
    seconds = float(profile["seconds"])
    busy = float(profile["cpu"]) / seconds if seconds else 0.0
    return f"{plain(profile['process'])}: {seconds:.1f} s, {busy:.2f} cores busy, looked {profile['looks']:,} times"


def functions(profile: Profile) -> list[tuple[str, int, int]]:
    """(function, samples of itself, samples with what it called), most of itself first."""
    own: dict[str, int] = {}
    total: dict[str, int] = {}
    for _, names, samples in stacks_of(profile):
        own[names[-1]] = own.get(names[-1], 0) + samples
        for name in set(names):
            total[name] = total.get(name, 0) + samples
    return sorted(
        ((name, count, total[name]) for name, count in own.items()), key=lambda row: (-row[1], row[0])
    )


def sections(profile: Profile, most: int = 40) -> list[flamepage.Section]:
    """The tables, in plain words: title, header, rows."""
    seconds = float(profile["seconds"]) or 1.0
    working = sum(each["samples"] for each in profile["stacks"]) or 1

    def share(samples: int) -> str:
        return f"{100 * samples / working:.1f} %"

    def core(cpu: Any) -> str:
        return "?" if cpu is None else f"{100 * float(cpu) / seconds:.1f} %"

    def spent(rows: Sequence[Mapping[str, Any]], name: str) -> list[list[str]]:
        return [
            [str(row[name]), core(row["cpu"]), *([f"{row['count']:,}"] if "count" in row else [])]
            for row in rows[:most]
            if row.get("count") or float(row["cpu"]) >= LEAST_S
        ]

    found = [
        flamepage.Section(
            "Functions by their own time", ("itself", "with inner", "function"),
            [[share(own), share(total), name] for name, own, total in functions(profile)[:most]],
        ),
        flamepage.Section(
            "CPU by type of message", ("message", "of a core", "received"), spent(profile["messages"], "type")
        ),
        flamepage.Section("CPU by RPC method", ("method", "of a core", "calls"), spent(profile["methods"], "method")),
        flamepage.Section("CPU by call of the node", ("call", "of a core"), spent(profile["calls"], "call")),
        flamepage.Section(
            "Threads", ("thread", "of a core", "seen working"),
            [
                [row["name"], core(row["cpu"]), f"{100 * (row['samples'] - row['waiting']) / row['samples']:.0f} %"]
                for row in profile["threads"]
            ],
        ),
        flamepage.Section(
            "The collector stopped everything", ("generation", "times", "milliseconds"),
            [
                [str(row["generation"]), str(row["count"]), f"{1000 * float(row['seconds']):.1f}"]
                for row in profile["pauses"]
            ],
        ),
    ]  # fmt: skip
    if profile["slow"] is not None:
        rows = [
            [f"{1000 * float(turn['seconds']):.0f}", turn["doing"], _seen(turn["functions"])]
            for turn in profile["slow"][:most]
        ]
        found.append(
            flamepage.Section("Slow turns of the reactor", ("milliseconds", "doing", "seen in"), rows)
        )
    return found


def _seen(names: Sequence[str]) -> str:
    """Each function once, in order."""
    return ", ".join(dict.fromkeys(names)) or "not seen"


def text(profile: Profile) -> str:
    """What the terminal shows: the first rows of what is not empty."""
    lines = [headline(profile)]
    if profile["missed"]:
        lines.append(f"{profile['missed']} looks came too late: something kept the interpreter.")
    if profile["beyond"]:
        lines.append(f"{profile['beyond']} samples were in more different stacks than are kept.")
    for section in sections(profile, TOP):
        if section.rows:
            lines += ["", section.title, *flamepage.aligned(section)]
    return "\n".join(lines)

"""`timed-cli debug-bundle`: what somebody else needs to understand a node's trouble, without its secrets.

Keys, cookie, wallet and password hashes are never read into it; every text passes
`timed.cli.redact` all the same. Peers' addresses are in it.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import attrs

from timed import __version__
from timed.app.config import Config
from timed.app.schema import keys
from timed.cli import local, status
from timed.cli.doctor import as_text, examine
from timed.cli.options import Options
from timed.cli.place import locate
from timed.cli.redact import redactor_for
from timed.cli.sight import fetch
from timed.client.blocking import Client
from timed.client.errors import ClientError
from timed.client.message import exact
from timed.errors import ConfigError, LocalError

KIB = 1024
MAX_BUNDLE = 20 * KIB * KIB
"""Bytes of the file."""
MAX_PARTS = 19 * KIB * KIB
"""Bytes of all parts before they are compressed: gzip makes no text so much longer that it would not fit."""
MAX_PART = 4 * KIB * KIB
MAX_LOG = 8 * KIB * KIB
"""Of each log file its end."""
JOURNAL_LINES = 20_000
NO_LINES = b"-- No entries --"
COMMAND_S = 30.0
CALLS = (
    "getblockchaininfo", "getnetworkinfo", "getpeerinfo", "getaddednodeinfo", "listbanned", "getnettotals",
    "getconsensusinfo", "masternodelist", "getmempoolinfo", "getindexinfo", "getrpcinfo", "getmemoryinfo", "getconfig",
    "logging", "uptime",
)  # fmt: skip
"""Of the wallet nothing: what somebody owns explains no trouble."""
PAGES = ("health", "ready", "alerts", "metrics", "snapshot", "log?since=0")
SYSTEM_FILES = (
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
)
PROCESS_FILES = ("limits", "status", "io")
EPILOG = """\
Look at it before you give it to somebody: peers' addresses, node ids and heights are in it.
Not in it: keys, cookie, passwords and their hashes, the wallet.
"""


@attrs.define
class Bundle:
    """Parts by name, cleaned and cut to size as they come; `notes` says what is missing and why."""

    clean: Callable[[str], str]
    parts: dict[str, bytes] = attrs.field(factory=dict)
    notes: list[str] = attrs.field(factory=list)

    def add(self, name: str, produce: Callable[[], str], most: int = MAX_PART, *, end: bool = False) -> None:
        """One part; with `end` a long one loses its beginning. A part that cannot be had is a note."""
        try:
            text = produce()
        except (OSError, ClientError, ConfigError, subprocess.SubprocessError) as error:
            why = str(error).removeprefix("[Errno 0] ")
            self.notes.append(f"{name}: not there: {self.clean(why)}")
            return
        data = self.clean(text).encode("utf-8", "replace")
        room = min(most, MAX_PARTS - sum(map(len, self.parts.values())))
        if len(data) > room:
            self.notes.append(f"{name}: {len(data)} bytes, cut to {room}")
            data = data[len(data) - room :] if end else data[:room]
        self.parts[name] = data

    def packed(self, folder: str, now: float) -> bytes:
        """The tar.gz; LocalError when it is too long, which the sizes of the parts exclude."""
        manifest = "\n".join(
            [*(f"{name}: {len(data)} bytes" for name, data in self.parts.items()), *self.notes]
        )
        out = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=now) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, data in {"MANIFEST.txt": f"{manifest}\n".encode(), **self.parts}.items():
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(now), 0o600
                tar.addfile(entry, io.BytesIO(data))
        if len(out.getvalue()) > MAX_BUNDLE:
            raise LocalError(f"the bundle would have {len(out.getvalue())} bytes.", "Report this.")
        return out.getvalue()


def main(words: Sequence[str], options: Options) -> int:
    """Collect, clean, write, and say what is in it."""
    parser = local.parser(
        "debug-bundle", "Writes what helps to understand a node's trouble into one file.", options, EPILOG
    )
    parser.add_argument("--output", metavar="FILE", default="", help="default: timed-debug-TIME.tar.gz here")
    parser.add_argument(
        "--log", metavar="FILE", action="append", default=[], help="a log file; may be repeated"
    )
    parser.add_argument("--unit", default="timed", help="whose journal is asked (default timed)")
    found = parser.parse_args(words)
    now = time.time()
    folder = f"timed-debug-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    target = Path(found.output or f"{folder}.tar.gz").expanduser().absolute()
    if target.exists():
        raise LocalError(f"{target} exists already.", "Nothing is overwritten: name another.")
    config = local.config_of(found)
    redactor = redactor_for(config, options.rpcpassword)
    bundle = Bundle(redactor.clean)
    collect(bundle, config, found, options)
    local.write_new(target, bundle.packed(folder, now))
    for name, data in bundle.parts.items():
        print(f"{name}  {len(data)} bytes")
    for note in bundle.notes:
        print(f"note: {note}")
    print(f"{redactor.count} secrets taken out\nall of it in {target}, {target.stat().st_size} bytes")
    return status.OK


def collect(bundle: Bundle, config: Config, found: argparse.Namespace, options: Options) -> None:
    """Every part; the log comes last and takes the room that is left."""
    report = examine(found, options)
    bundle.add("doctor.txt", lambda: as_text(report))
    bundle.add("doctor.json", lambda: json.dumps(report, indent=2))
    bundle.add("config.ini", lambda: shown(config))
    bundle.add("versions.txt", versions)
    bundle.add("machine.txt", lambda: machine(config))
    bundle.add("files.txt", lambda: listing(config.datadir))
    for page in PAGES:
        name = f"monitor/{page.partition('?')[0]}.{'txt' if page == 'metrics' else 'json'}"
        bundle.add(name, partial(fetch, config, f"/{page}"))
    _add_calls(bundle, local.place_of(found, options))
    for pid in [report["process"]] if report["process"] else []:
        for name in PROCESS_FILES:
            bundle.add(f"process/{name}.txt", Path(f"/proc/{pid}/{name}").read_text)
    logs = [Path(name) for name in found.log] or local.log_files(config)
    for number, path in enumerate(logs):
        bundle.add(f"log/{number}-{path.name}", partial(tail, path), MAX_LOG, end=True)
    if not logs:
        bundle.add("log/journal.txt", lambda: journal(found.unit), MAX_LOG, end=True)


def _add_calls(bundle: Bundle, place: Options) -> None:
    try:
        with Client(locate(place), COMMAND_S) as client:
            results = client.batch([(name, []) for name in CALLS])
    except (ClientError, ConfigError) as error:
        bundle.notes.append(f"rpc: not there: {bundle.clean(str(error))}")
        return
    for name, result in zip(CALLS, results, strict=True):
        if isinstance(result, Exception):
            bundle.notes.append(f"rpc/{name}: not there: {bundle.clean(str(result))}")
        else:
            bundle.add(f"rpc/{name}.json", partial(exact, result, 2))


def shown(config: Config) -> str:
    """The configuration in force; what is secret has no value here."""
    lines: list[str] = []
    section = ""
    for row in keys():
        if row.section != section:
            section = row.section
            lines.append(f"\n[{section}]")
        value = getattr(getattr(config.settings, row.section), row.name)
        text = row.kind.tell(value)
        changed = "" if value == row.default else "   # changed"
        lines.append(f"{row.name} = {text}{changed}".rstrip())
    return "\n".join(lines)


def versions() -> str:
    """timed, Python and everything installed beside it."""
    lines = [f"timed {__version__}", f"python {sys.version}", platform.platform(), os.uname().version]
    installed = {f"{each.metadata['Name']} {each.version}" for each in metadata.distributions()}
    return "\n".join([*lines, *sorted(installed)])


def machine(config: Config) -> str:
    """What the system tells of itself and of the disk with the data."""
    lines = [f"cores {os.cpu_count()}"]
    for path in (config.datadir, Path("/")):
        try:
            state = os.statvfs(path)
        except OSError as error:
            lines.append(f"{path}: {error.strerror}")
            continue
        lines.append(
            f"{path}: {state.f_bavail * state.f_frsize} bytes free of {state.f_blocks * state.f_frsize}, "
            f"{state.f_favail} inodes"
        )
    for name in SYSTEM_FILES:
        try:
            lines.append(f"\n{name}\n{Path(name).read_text()}")
        except OSError as error:
            lines.append(f"\n{name}: {error.strerror}")
    return "\n".join(lines)


def listing(directory: Path) -> str:
    """Names, sizes, modes, owners and times of the files of a directory; none is opened."""
    return "\n".join(_listed(directory, directory))


def _listed(directory: Path, base: Path) -> Iterator[str]:
    for entry in sorted(os.scandir(directory), key=lambda each: each.name):
        found = entry.stat(follow_symlinks=False)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.st_mtime))
        name = os.path.relpath(entry.path, base)
        yield f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {found.st_size:>12} {moment} {name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _listed(Path(entry.path), base)


def tail(path: Path) -> str:
    """The end of a file, from the beginning of a line on."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_LOG))
        data = file.read(MAX_LOG)
    return _from_a_line(data, size)


def journal(unit: str) -> str:
    """The newest lines of a unit in the journal; OSError when there is no journal."""
    tool = shutil.which("journalctl")
    if tool is None:
        raise OSError(0, "no log file in the data directory and no journalctl; name one with --log")
    done = subprocess.run(
        [tool, f"--unit={unit}", f"--lines={JOURNAL_LINES}", "--no-pager", "--output=short-iso-precise"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=True,
    )  # fmt: skip
    if done.stdout.startswith(NO_LINES):
        raise OSError(
            0,
            f"no log file in the data directory, and no lines of {unit} in the journal; name one with --log",
        )
    return _from_a_line(done.stdout[-MAX_LOG:], len(done.stdout))


def _from_a_line(data: bytes, size: int) -> str:
    """What was cut off something of `size` bytes begins with a whole line: half a secret is not known for one."""
    return (data if size <= MAX_LOG else data.partition(b"\n")[2]).decode("utf-8", "replace")

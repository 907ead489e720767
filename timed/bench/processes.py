"""Child processes: the environment they get, and what the kernel says of them, 0 once they are gone."""

from __future__ import annotations

import os
from pathlib import Path

import timed

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1e6


def environment(*directories: str) -> dict[str, str]:
    """This process's environment, in which Python also looks into `directories` and where `timed` is."""
    own = str(Path(timed.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*directories, own, *([known] if known else [])])}


def rss_mb(pid: int) -> float:
    """Resident memory."""
    fields = _read(pid, "statm").split()
    return int(fields[1]) * PAGE_BYTES / MB if len(fields) > 1 else 0.0


def anonymous_mb(pid: int) -> float:
    """Memory that is not backed by files."""
    for line in _read(pid, "status").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by all threads, in steps of a clock tick."""
    return _spent(_read(pid, "stat"))


def thread_cpu_s(pid: int) -> float:
    """CPU seconds of the first thread alone, which runs the reactor of a node."""
    return _spent(_read(pid, f"task/{pid}/stat"))


def _spent(stat: str) -> float:
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS if len(fields) > 12 else 0.0


def descriptors(pid: int) -> int:
    """Open files and sockets."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""

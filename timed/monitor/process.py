"""What the operating system knows of this process, read when somebody asks."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from pathlib import Path

from timed.allocator import allocated_bytes
from timed.monitor.row import COUNTER, GAUGE, Distribution, Durations, Row, Sample, by, one
from timed.monitor.view import View

STATUS = Path("/proc/self/status")
DESCRIPTORS = "/proc/self/fd"
KIB = 1024
_FIELDS = {"VmRSS:": "resident", "RssAnon:": "anonymous"}


def memory(status: str) -> dict[str, int]:
    """Bytes by kind, out of the text of /proc/PID/status; a kind that is not there is left out."""
    found = {}
    for line in status.splitlines():
        name, _, rest = line.partition("\t")
        if name in _FIELDS:
            found[_FIELDS[name]] = int(rest.split()[0]) * KIB
    return found


def memory_now() -> dict[str, int]:
    """Bytes of this process by kind; nothing where the system does not tell."""
    try:
        return memory(STATUS.read_text(encoding="ascii"))
    except OSError:
        return {}


def _memory(view: View) -> list[Sample]:
    found = memory_now()
    allocated = allocated_bytes()
    if allocated is not None:
        found["allocated"] = allocated
    return by(sorted(found.items()))


def _descriptors(view: View) -> list[Sample]:
    try:
        # The directory that is read is open meanwhile.
        return one(len(os.listdir(DESCRIPTORS)) - 1)
    except OSError:
        return []


def _descriptors_limit(view: View) -> list[Sample]:
    return one(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _disk(view: View) -> list[Sample]:
    try:
        state = os.statvfs(view.context.config.datadir)
    except OSError:
        return []
    return one(state.f_bavail * state.f_frsize)


def _late(view: View) -> list[Distribution]:
    return [((), view.watch.lateness.late)]


def _pauses(view: View) -> list[Distribution]:
    return [((str(number),), pauses) for number, pauses in view.watch.pauses.by_generation.items()]


PROCESS_METRICS: tuple[Row | Durations, ...] = (
    Row("timed_cpu_seconds", COUNTER, (), "CPU time of the process, all threads.",
        lambda view: one(time.process_time())),
    Row("timed_memory_bytes", GAUGE, ("kind",),
        "Memory of the process: resident, anonymous in it, and allocated: handed out by the C library and not given back.",
        _memory),
    Row("timed_python_blocks", GAUGE, (), "Small blocks that Python has handed out and not got back.",
        lambda view: one(sys.getallocatedblocks())),
    Row("timed_descriptors", GAUGE, (), "Open file descriptors.", _descriptors),
    Row("timed_descriptors_limit", GAUGE, (), "File descriptors that the process may have open.", _descriptors_limit),
    Row("timed_threads", GAUGE, (), "Python threads.", lambda view: one(threading.active_count())),
    Row("timed_disk_free_bytes", GAUGE, (), "Free bytes where the data directory is.", _disk),
    Durations("timed_reactor_late_seconds", (), "How late the reactor ran a timer.", _late),
    Row("timed_slow_turns", COUNTER, ("doing",),
        "Turns of the reactor of more than 100 ms, by what was done meanwhile; getreactorinfo shows the last.",
        lambda view: by(sorted(view.watch.turns.counts.items()))),
    Durations("timed_gc_pause_seconds", ("generation",), "How long the cycle collector stopped the process.", _pauses),
)  # fmt: skip

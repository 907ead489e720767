"""The one table of alert rules: what is wrong, how long it must be so, and what to do.

The node judges them itself; etc/alerts.yml says the same to Prometheus, and
docs/runbook.rst has a page for each. Durations are seconds.
"""

from __future__ import annotations

import attrs

from timed.monitor.readings import Count, Figure, Increase, Quantile, Rate, Size, Slope, Value

WARNING, CRITICAL = "warning", "critical"
CHECK = "check-"
"""Begins the name of a rule that looks at a check of /health."""
MIB = 1024 * 1024
MINUTE, HOUR = 60, 3600


@attrs.frozen
class Rule:
    """Raised once `figure` has been beyond `limit` for `for_s`, cleared once it has been right for `clear_s`.

    `limit` is an upper bound unless `below` is set. `summary` names the figure as {value}.
    """

    name: str
    severity: str
    figure: Figure
    limit: float
    summary: str
    remedy: str
    for_s: int = MINUTE
    clear_s: int = MINUTE
    below: bool = False
    unit: str = ""

    def broken_by(self, value: float) -> bool:
        return value < self.limit if self.below else value > self.limit


def _check(name: str, severity: str, for_s: int, remedy: str) -> Rule:
    """A named check of /health that is not ok."""
    return Rule(
        name=f"{CHECK}{name}",
        severity=severity,
        figure=Value("timed_check_state", (("check", name),)),
        limit=0,
        summary=f"the health check {name!r} is not ok",
        remedy=remedy,
        for_s=for_s,
    )


RULES: tuple[Rule, ...] = (
    _check("chain", CRITICAL, 0, "Read /health: it says whether the chain service runs and has a genesis."),
    _check("disk", CRITICAL, 0, "Read /health: it says what the disk refuses. Mend that, then start the node again."),
    _check("safety", CRITICAL, 0, "Keep the data, and compare with other operators: a restart changes nothing."),
    _check("voting", WARNING, 2 * MINUTE, "Look at the checks disk and clock: a member that doubts either does not vote."),
    _check("clock", CRITICAL, 0, "Set the clock (chronyc tracking, timedatectl); voting resumes alone."),
    _check("peers", WARNING, MINUTE, "getaddednodeinfo says how dialling fails; set p2p.peers or open the port."),
    _check("sync", WARNING, 10 * MINUTE, "getpeerinfo shows whether the peers deliver; add more with addnode."),
    _check("blocks", CRITICAL, 0, "masternodelist shows who is connected: two thirds of the weight must be."),
    _check("signatures", WARNING, 0, "Set crypto.backend = pynacl and restart."),
    _check("indexes", WARNING, 2 * MINUTE, "getindexinfo says which one and why; the node and the others go on."),
    _check("events", WARNING, 2 * MINUTE, "geteventcursor says what fails; blocks and final payments are told afterwards."),
    _check("sinks", WARNING, MINUTE, "getsubscriptions says which receiver and why; mend it before the log drops what it lacks."),
    _check("link", WARNING, MINUTE, "Start the chain process; the log of this one says why it cannot be asked."),
    _check("snapshot", CRITICAL, MINUTE, "Read /health: it names the file; the chain process makes and owns it."),
    _check("loops", WARNING, 0, "Read /health: it names the loop, why it gets nowhere and what to do; most are begun again."),
    _check("bugs", WARNING, 0, "Look for the traceback in the log and report it."),
    Rule(
        "sessions-lost", WARNING, Increase("timed_reconnects", 10 * MINUTE), 5,
        "{value} sessions were lost in 10 minutes though both ends wanted them",
        "getpeerinfo and the log name the peers; look at the network between them.",
        for_s=0, clear_s=10 * MINUTE,
    ),
    Rule(
        "member-missed", WARNING, Count("timed_members_missed"), 0,
        "members whose signatures the newest certificates lack: {value}",
        "timed-cli doctor names them, and says whether they are away or late; tell their operators.",
        for_s=MINUTE, clear_s=5 * MINUTE,
    ),
    Rule(
        "finality-slow", WARNING, Quantile("timed_finality_seconds", 0.99, 5 * MINUTE, (("stage", "final"),)), 1.0,
        "one payment in a hundred takes {value}s to be final",
        "timed-cli doctor says what is slow on this node, and which members are missed.",
        for_s=2 * MINUTE, clear_s=5 * MINUTE, unit="s",
    ),
    Rule(
        "reactor-late", WARNING, Quantile("timed_reactor_late_seconds", 0.99, 2 * MINUTE), 0.25,
        "the event loop is later than {value}s one time in a hundred",
        "Debug logging, a heavy caller (timed-cli getrpcinfo) or a starved machine; timed-cli logging shows the levels.",
        for_s=2 * MINUTE, clear_s=2 * MINUTE, unit="s",
    ),
    Rule(
        "disk-slow", WARNING, Quantile("timed_store_seconds", 0.99, 5 * MINUTE), 0.5,
        "a durable write takes {value}s one time in a hundred",
        "Another process uses the disk, or it is failing: iostat -x 1, smartctl -a.",
        for_s=2 * MINUTE, clear_s=5 * MINUTE, unit="s",
    ),
    Rule(
        "disk-space", CRITICAL, Value("timed_disk_free_bytes"), 1024 * MIB,
        "only {value} bytes are free where the data directory is",
        "Free space or move the data directory; below 32 MiB the node stops writing and voting.",
        for_s=MINUTE, below=True,
    ),
    Rule(
        "memory-grows", WARNING, Slope("timed_memory_bytes", HOUR // 2, (("kind", "anonymous"),)), 64 * MIB,
        "memory grows by {value} bytes an hour",
        "Note timed_mempool_bytes and timed_queue_bytes, restart in a quiet hour and report the figures.",
        for_s=HOUR // 2, clear_s=10 * MINUTE,
    ),
    Rule(
        "cpu-high", WARNING, Rate("timed_cpu_seconds", 5 * MINUTE), 0.9,
        "the node used {value} of a core for five minutes",
        "timed_message_cpu_seconds_total says for which messages; explainpeer says whose.",
        for_s=MINUTE, clear_s=5 * MINUTE,
    ),
    Rule(
        "log-loud", WARNING, Increase("timed_log_lines", 5 * MINUTE), 300,
        "{value} log lines in five minutes",
        "timed-cli logging shows the levels; timed-cli logging '*' info puts them back.",
        for_s=0, clear_s=5 * MINUTE,
    ),
    Rule(
        "clock-offset", WARNING, Size("timed_clock_offset_seconds"), 2.0,
        "the peers' clocks are {value}s away from this one",
        "Set the clock (chronyc tracking); above 5 s this node signs nothing.",
        for_s=MINUTE, unit="s",
    ),
    Rule(
        "equivocation", CRITICAL, Increase("timed_equivocations", HOUR), 0,
        "{value} times a member signed two conflicting things within an hour",
        "The log names the member; tell its operator: the key may run twice.",
        for_s=0,
    ),
    Rule(
        "quorum-thin", WARNING, Value("timed_quorum_margin", absent=float("inf")), 0,
        "{value} weight to spare: the connected members are no quorum",
        "masternodelist shows who is away; without them nothing becomes final.",
        for_s=2 * MINUTE, below=True,
    ),
)  # fmt: skip

REMEDIES = {rule.name: rule.remedy for rule in RULES}
"""What to do, by rule; whoever says the same elsewhere takes it from here."""
ADJUSTABLE = {rule.name: rule.limit for rule in RULES if not rule.name.startswith(CHECK)}
"""Rules whose limit an operator may choose; a check is ok or it is not."""
WATCHED = tuple(sorted({rule.figure.metric for rule in RULES}))
"""The metrics that the rules look at."""

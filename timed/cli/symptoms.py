"""Why a node is slow, alone or not there: one table of symptoms, each judged from what `sight` saw.

A figure that an alert has a limit for is judged by that limit: there is one of each.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from typing import Any

from timed import __version__
from timed.app.config import Config
from timed.app.datadir import CHAIN, NODE_KEY, OPERATOR_KEY
from timed.app.descriptors import REMEDY, wanted
from timed.app.genesis_file import read_genesis
from timed.app.ports import check_port
from timed.cli.finding import NOTE, PROBLEM, Finding, Judge, Symptom, Unseen, sentence
from timed.cli.local import log_files
from timed.cli.sight import Metrics, Sight
from timed.cli.slowness import missed, slow_payments
from timed.crypto.keys import load_key_file
from timed.errors import ConfigError, LocalError
from timed.monitor.health import BEHIND, OK
from timed.monitor.rules import REMEDIES, RULES
from timed.params import PURE_PYTHON, REGTEST
from timed.store.files import LOW_WATER

LIMITS = {rule.name: rule.limit for rule in RULES}
FEW = 20
"""Durations below which a percentile says nothing."""
DISK_MEDIAN_S = 0.05
"""Half of all durable steps take less on any disk that is fit for voting."""
CLOCK_NOTE_S = 0.5
"""A clock that NTP keeps is nearer than this."""
DESCRIPTOR_SHARE = 0.8
BUSY = 1.5
"""Processes that want to run, for each core."""


def _config(sight: Sight) -> Config:
    if sight.config is None:
        raise Unseen("there is no usable configuration")
    return sight.config


def _silent(sight: Sight) -> Unseen:
    """Of a monitor that was not asked, or did not answer."""
    _config(sight)
    return Unseen(f"the monitor tells nothing: {sight.unseen.get('monitor', 'not asked')}")


def _metrics(sight: Sight) -> Metrics:
    if sight.metrics is None:
        raise _silent(sight)
    return sight.metrics


def _call(sight: Sight, name: str) -> Any:
    _config(sight)
    if name not in sight.calls:
        raise Unseen(
            f"the RPC tells nothing: {sight.unseen.get(name) or sight.unseen.get('rpc', 'not asked')}"
        )
    return sight.calls[name]


def _state(sight: Sight, check: str) -> tuple[str, str, str]:
    """(state, reason, remedy) of a health check."""
    if sight.health is None:
        raise _silent(sight)
    found = sight.health.get("checks", {}).get(check, {})
    return str(found.get("state", OK)), str(found.get("reason", "")), str(found.get("remedy", ""))


# Dead or alive


def _configuration(sight: Sight) -> Iterator[Finding]:
    if sight.mistake is not None:
        yield Finding(
            "configuration", PROBLEM, f"The configuration cannot be used: {sight.mistake.message}",
            sight.mistake.hint or "timed-cli config check FILE names every mistake in it.",
        )  # fmt: skip


def _genesis(sight: Sight) -> Iterator[Finding]:
    config = _config(sight)
    if config.genesis_file is not None:
        try:
            read_genesis(config.genesis_file)
        except LocalError as error:
            yield Finding("genesis", PROBLEM, error.message, error.hint)
    elif config.params is not REGTEST:
        yield Finding(
            "genesis", PROBLEM, f"{config.params.name} has no genesis of its own yet: the node follows no chain.",
            "Set node.genesis to the network's genesis file.",
        )  # fmt: skip


def _data_directory(sight: Sight) -> Iterator[Finding]:
    path = _config(sight).datadir
    try:
        found = path.stat()
    except FileNotFoundError:
        if sight.health is not None and _state(sight, "disk")[0] == OK:
            yield Finding(
                "data-directory", PROBLEM,
                f"There is no data directory {path}: the node that answers has another one, or it was just removed.",
                "Name the node that is meant with --datadir, --config or --node-id.",
            )  # fmt: skip
            return
        if sight.running:
            yield Finding(
                "data-directory", PROBLEM, f"The data directory {path} is gone, though the node runs.",
                "Stop the node; put the directory back, or restore the keys and the wallet from a backup, and start it.",
            )  # fmt: skip
            return
        yield Finding(
            "data-directory", NOTE, f"There is no data directory {path}: no node ran with this configuration yet.",
            "Start the node, or name the right place with --datadir or --config.",
        )  # fmt: skip
        return
    except OSError as error:
        raise Unseen(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("data-directory", PROBLEM, f"{path} is no directory.", "Set node.datadir.")
        return
    if found.st_mode & 0o077:
        yield Finding(
            "data-directory", NOTE, f"Others may look into {path} (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"Run: chmod 700 {path}",
        )  # fmt: skip
    yield from _owners(sight, path.stat().st_uid)


def _owners(sight: Sight, owner: int) -> Iterator[Finding]:
    """Files of somebody else than the directory's owner: what a start as root leaves behind."""
    path = _config(sight).datadir
    try:
        strangers = [
            entry.name for entry in os.scandir(path) if entry.stat(follow_symlinks=False).st_uid != owner
        ]
    except OSError as error:
        raise Unseen(f"{path}: {error.strerror}") from error
    if strangers:
        yield Finding(
            "data-directory", PROBLEM,
            f"In {path} these belong to somebody else than the directory: {', '.join(sorted(strangers)[:5])}.",
            f"Stop the node and run: chown -R --reference={path} {path}",
        )  # fmt: skip


def _keys(sight: Sight) -> Iterator[Finding]:
    for name in (NODE_KEY, OPERATOR_KEY):
        path = _config(sight).datadir / name
        try:
            there = path.exists()
        except OSError as error:
            raise Unseen(f"{path}: {error.strerror}") from error
        if not there:
            continue
        if not os.access(path, os.R_OK):
            raise Unseen(f"{path} is not readable for this user: run this as the user of the node")
        try:
            load_key_file(str(path))
        except LocalError as error:
            yield Finding("keys", PROBLEM, f"The node will not start: {error.message}", error.hint)


def _running(sight: Sight) -> Iterator[Finding]:
    if sight.running:
        return
    config = _config(sight)
    if sight.held:
        yield Finding(
            "not-running", PROBLEM,
            f"Process {sight.held} uses {config.datadir / CHAIN}, but nothing answers: "
            f"{'; '.join(f'{name}: {why}' for name, why in sorted(sight.unseen.items()))}",
            f"It hangs, or runs with another configuration: read {_log_of(config)}.",
        )  # fmt: skip
        return
    yield Finding(
        "not-running", PROBLEM, f"No node runs on {config.datadir}.",
        f"Start it; why it ended stands in {_log_of(config)}.",
    )  # fmt: skip


def _log_of(config: Config) -> str:
    """Where the last lines of this node's log are."""
    files = log_files(config)
    if files:
        return f"the last lines of its log (tail -n 50 {shlex.quote(str(files[0]))})"
    if config.params is REGTEST:
        return "the terminal in which it was started, or in the file that --logfile named"
    return "the last lines of its log (journalctl -u timed -n 50)"


def _ports(sight: Sight) -> Iterator[Finding]:
    if sight.running or sight.held:
        return
    config = _config(sight)
    settings = config.settings
    for name, host, port in (
        ("p2p", settings.p2p.host, config.p2p_port),
        ("rpc", settings.rpc.host, config.rpc_port),
        ("monitor", settings.monitor.host, config.monitor_port),
    ):
        if name in settings.services.enabled:
            try:
                check_port(host, port, f"{name}.port")
            except ConfigError as error:
                yield Finding("ports", PROBLEM, f"The node will not start: {error.message}", error.hint)


def _disk_space(sight: Sight) -> Iterator[Finding]:
    _config(sight)
    free = sight.free_bytes
    if free is None:
        raise Unseen("the file system does not tell")
    if free < LIMITS["disk-space"]:
        what = "the node writes and votes no more" if free < LOW_WATER else "the node will stop writing soon"
        yield Finding(
            "disk-space", PROBLEM, f"Only {free // 2**20} MiB are free where the data directory is: {what}.",
            REMEDIES["disk-space"],
        )  # fmt: skip


def _signatures(sight: Sight) -> Iterator[Finding]:
    _config(sight)
    if sight.setting("crypto.backend") == PURE_PYTHON:
        yield Finding(
            "pure-python-signatures", PROBLEM,
            f"Signatures are checked in pure Python (crypto.backend = {PURE_PYTHON}): hundreds of times slower.",
            REMEDIES["check-signatures"],
        )  # fmt: skip


def _machine(sight: Sight) -> Iterator[Finding]:
    if sight.load is None:
        raise Unseen("this machine does not tell its load")
    if sight.load > BUSY:
        yield Finding(
            "machine-busy", NOTE, f"{sight.load:.1f} processes want to run on each core of this machine.",
            "top shows which; the node waits for its turn like everybody else.",
        )  # fmt: skip


# Alive


def _debug_logging(sight: Sight) -> Iterator[Finding]:
    levels = _call(sight, "logging")
    loud = sorted(name for name, level in levels.items() if level == "debug")
    if loud:
        yield Finding(
            "debug-logging", PROBLEM, f"Debug lines are written for {', '.join(loud)}: every message costs time.",
            "timed-cli logging '*' info, and log.level = info in the configuration.",
        )  # fmt: skip
    if sight.setting("log.messages") in ("yes", "True"):
        yield Finding(
            "debug-logging", PROBLEM, "A line is written for each message sent or received (log.messages).",
            "Set log.messages = no.",
        )  # fmt: skip


def _peers(sight: Sight) -> Iterator[Finding]:
    sessions = _metrics(sight).total("timed_sessions")
    if sessions is None:
        raise Unseen("the node does not tell its sessions")
    state, _, remedy = _state(sight, "peers")
    if sessions == 0 and state != OK:
        yield Finding("no-peers", PROBLEM, f"No session with any other node.{_failures(sight)}", remedy)
    elif sessions == 1:
        yield Finding(
            "one-peer", NOTE, "Only one peer: if it is slow, wrong or away, so is this node.",
            "Add more with p2p.peers, or open the P2P port to others.",
        )  # fmt: skip


def _failures(sight: Sight) -> str:
    """How dialling the wanted nodes failed."""
    found = [
        f" {node['addednode']}: {node['last_failure']}."
        for node in sight.calls.get("getaddednodeinfo", ())
        if not node["connected"] and node.get("last_failure")
    ]
    return "".join(found[:5])


def _clock(sight: Sight) -> Iterator[Finding]:
    metrics = _metrics(sight)
    offset = metrics.total("timed_clock_offset_seconds")
    if offset is None or abs(offset) < CLOCK_NOTE_S:
        return
    severity = PROBLEM if abs(offset) > LIMITS["clock-offset"] else NOTE
    yield Finding(
        "clock-off", severity, f"The peers' clocks are {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} this one.",
        REMEDIES["clock-offset"],
    )  # fmt: skip


def _disk_slow(sight: Sight) -> Iterator[Finding]:
    metrics, name = _metrics(sight), "timed_store_seconds"
    if metrics.count(name) < FEW:
        return
    median, slowest = metrics.quantile(name, 0.5), metrics.quantile(name, 0.99)
    if median is None or slowest is None:
        return
    if median > DISK_MEDIAN_S or slowest > LIMITS["disk-slow"]:
        yield Finding(
            "disk-slow", PROBLEM,
            f"Since the start half of the durable writes took up to {median:g} s, one in a hundred {slowest:g} s "
            "and more: votes wait for the disk.",
            REMEDIES["disk-slow"],
        )  # fmt: skip


def _quorum(sight: Sight) -> Iterator[Finding]:
    margin = _metrics(sight).total("timed_quorum_margin")
    state, reason, remedy = _state(sight, "blocks")
    texts = [] if state == OK else [sentence(reason)]
    if margin is not None and margin < 0:
        lacking = (
            f"The connected members lack a weight of {-margin:g} for a quorum: nothing becomes final here."
        )
        texts, remedy = [lacking, *texts], REMEDIES["quorum-thin"]
    if texts:
        yield Finding("no-quorum", PROBLEM, " ".join(texts), remedy)


def _behind(sight: Sight) -> Iterator[Finding]:
    behind = _metrics(sight).total("timed_blocks_behind")
    if behind is not None and behind > BEHIND:
        yield Finding(
            "behind", PROBLEM, f"{behind:g} blocks exist that this node does not have yet.",
            "Wait: it is catching up. If the number does not fall, " + REMEDIES["check-sync"],
        )  # fmt: skip


def _descriptors(sight: Sight) -> Iterator[Finding]:
    metrics = _metrics(sight)
    used, limit = metrics.total("timed_descriptors"), metrics.total("timed_descriptors_limit")
    if used is None or limit is None:
        raise Unseen("the node does not tell its descriptors")
    needed = wanted(_config(sight))
    if used > DESCRIPTOR_SHARE * limit:
        yield Finding(
            "few-descriptors", PROBLEM, f"{used:g} of {limit:g} file descriptors are open: soon nobody can connect.", REMEDY
        )  # fmt: skip
    elif limit < needed:
        yield Finding(
            "few-descriptors", NOTE,
            f"{limit:g} file descriptors are fewer than the {needed} that the configuration may take.", REMEDY,
        )  # fmt: skip


def _reactor(sight: Sight) -> Iterator[Finding]:
    metrics, name = _metrics(sight), "timed_reactor_late_seconds"
    late = metrics.quantile(name, 0.99) if metrics.count(name) >= FEW else None
    if late is not None and late > LIMITS["reactor-late"]:
        yield Finding(
            "reactor-late", PROBLEM, f"One timer in a hundred ran {late:g} s late since the start, or later.",
            REMEDIES["reactor-late"],
        )  # fmt: skip


def _missed(sight: Sight) -> Iterator[Finding]:
    return missed(_metrics(sight))


SLOWING: tuple[tuple[str, Judge], ...] = (
    ("debug-logging", _debug_logging),
    ("disk-slow", _disk_slow),
    ("machine-busy", _machine),
    ("no-quorum", _quorum),
    ("pure-python-signatures", _signatures),
    ("reactor-late", _reactor),
)
"""What makes the votes of this node late, or its view of others' votes."""


def _finality(sight: Sight) -> Iterator[Finding]:
    """The alert, with what is known of its cause instead of the figures to compare."""
    if sight.alerts is None:
        raise _silent(sight)
    for alert in sight.alerts.get("active", ()):
        if alert["name"] == "finality-slow":
            yield slow_payments(sight, str(alert["summary"]), SLOWING)


def _version(sight: Sight) -> Iterator[Finding]:
    versions = {labels["version"] for labels, _ in _metrics(sight).series("timed_info")}
    if versions - {__version__}:
        yield Finding(
            "other-version", NOTE, f"The node runs timed {', '.join(sorted(versions))}, this is {__version__}.",
            "Restart the node after an upgrade.",
        )  # fmt: skip


def _health(sight: Sight) -> Iterator[Finding]:
    """Every check that no symptom above explains better."""
    for name in (sight.health or {}).get("checks", {}):
        state, reason, remedy = _state(sight, name)
        if state != OK and name not in ("peers", "sync", "blocks", "signatures"):
            yield Finding(f"check-{name}", PROBLEM, sentence(reason), remedy)
    if sight.health is None:
        raise _silent(sight)


EXPLAINED = frozenset(
    {
        "clock-offset",
        "disk-slow",
        "disk-space",
        "finality-slow",
        "member-missed",
        "reactor-late",
        "quorum-thin",
    }
)
"""Alerts with a symptom of their own; those of health checks are in `_health`."""


def _alerts(sight: Sight) -> Iterator[Finding]:
    if sight.alerts is None:
        raise _silent(sight)
    for alert in sight.alerts.get("active", ()):
        name = str(alert["name"])
        if name not in EXPLAINED and not name.startswith("check-"):
            yield Finding(name, PROBLEM, sentence(str(alert["summary"])), str(alert["remedy"]))


SYMPTOMS: tuple[Symptom, ...] = (
    Symptom("configuration", "the configuration cannot be used", _configuration),
    Symptom("genesis", "the network has no genesis, or its file cannot be read", _genesis),
    Symptom("data-directory", "missing, open to others, or with files of another user", _data_directory),
    Symptom("keys", "a key file that others can read, or that is damaged", _keys),
    Symptom("not-running", "nothing of this node answers; with or without a process that holds the data", _running),
    Symptom("ports", "a port of a node that does not run belongs to another program", _ports),
    Symptom("disk-space", "little or nothing free", _disk_space),
    Symptom("pure-python-signatures", "the reference backend is in use", _signatures),
    Symptom("machine-busy", "more to do than there are cores", _machine),
    Symptom("debug-logging", "debug lines, or a line for each message", _debug_logging),
    Symptom("no-peers, one-peer", "no session, with how dialling fails; or a single one", _peers),
    Symptom("clock-off", "the peers' clocks say that this one is wrong", _clock),
    Symptom("disk-slow", "percentiles of the durable writes, as the node measured them", _disk_slow),
    Symptom("no-quorum", "too little weight is connected, or no block comes", _quorum),
    Symptom("behind", "blocks exist that this node does not have", _behind),
    Symptom("few-descriptors", "nearly used up, or fewer than the configuration needs", _descriptors),
    Symptom("reactor-late", "the event loop does not keep up", _reactor),
    Symptom("member-missed", "a member whose signature the newest certificates lack, away or slow", _missed),
    Symptom("finality-slow", "the alert, and what on this node or elsewhere may cause it", _finality),
    Symptom("other-version", "the node is of another version than this program", _version),
    Symptom("check-…", "every other health check that is not ok, with its reason and remedy", _health),
    Symptom("any alert", "every other alert that lasts", _alerts),
)  # fmt: skip


def judged(sight: Sight) -> tuple[list[Finding], dict[str, str]]:
    """What was found, problems first, and by symptom why it could not be judged."""
    found: list[Finding] = []
    unseen: dict[str, str] = {}
    for symptom in SYMPTOMS:
        try:
            found += symptom.judge(sight)
        except Unseen as error:
            unseen[symptom.name] = str(error)
    return sorted(found, key=lambda finding: finding.severity != PROBLEM), unseen

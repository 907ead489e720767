"""Named checks: how each part of the node is, since when, why, and what to do.

One table; a check reads the owner of the fact and keeps nothing. Only the moment
of its last change is remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from timed.crypto.rule import active_backend
from timed.monitor.rules import REMEDIES
from timed.monitor.view import View
from timed.params import PURE_PYTHON, SECOND
from timed.primitives.roster import is_quorum
from timed.rpc.probe import STALE_S

if TYPE_CHECKING:
    from timed.node.node import Node

OK, DEGRADED, FAILED = "ok", "degraded", "failed"
SEVERITY = {OK: 0, DEGRADED: 1, FAILED: 2}

BEHIND = 3
"""Proven blocks that are not applied yet; more count as catching up."""
LATE_SINK_S = 60
"""Seconds that an event may wait for a receiver of events."""
LATE_INTERVALS = 10
"""A network that made no block for this many intervals is late."""


@attrs.frozen
class Finding:
    """What a check found; `reason` and `remedy` are empty when all is well."""

    state: str = OK
    reason: str = ""
    remedy: str = ""


@attrs.frozen
class Check:
    """One row; `ready` says whether the node is fit for use only while this is ok."""

    name: str
    find: Callable[[View], Finding]
    ready: bool = False

    def look(self, view: View) -> Finding:
        """What `find` says. A bug, or a disk that cannot be read, must not hide what the other checks say."""
        try:
            return self.find(view)
        except Exception as error:  # noqa: BLE001 - see above
            view.watch.raised(f"the check {self.name}")
            reason = f"this check cannot be made: {type(error).__name__}"
            return Finding(DEGRADED, reason, REMEDIES["check-bugs"])


def _chain(view: View) -> Finding:
    if view.node is not None or view.context.config.apart:
        return Finding()
    if view.context.chosen_genesis is None:
        return Finding(
            FAILED, f"{view.context.params.name} has no genesis yet", "Set node.genesis to a genesis file."
        )
    return Finding(FAILED, "the chain service does not run", "Put chain into services.enabled.")


def _disk(view: View) -> Finding:
    failure = view.node.gate.failure if view.node is not None else None
    if failure is not None:
        return Finding(
            FAILED, f"the store refuses writes: {failure}", "Mend what it names, then start the node again."
        )
    unread = view.driver.first_unread if view.driver is not None else None
    if unread is not None:
        remedy = unread.hint or REMEDIES["check-disk"]
        return Finding(FAILED, f"the store cannot be read: {unread.message}", remedy)
    return Finding()


def _safety(view: View) -> Finding:
    state = view.consensus
    if state is not None and state.frozen is not None:
        return Finding(FAILED, state.frozen, REMEDIES["check-safety"])
    return Finding()


def _voting(view: View) -> Finding:
    state = view.consensus
    node = view.node
    if node is None or state is None or state.member is None or state.signing or state.frozen is not None:
        return Finding()
    if node.gate.failure is not None:
        return Finding(DEGRADED, "this member does not vote: its store refuses writes", "See the check disk.")
    if node.chain.paused:
        return Finding(DEGRADED, "this member does not vote: its clock is wrong", "See the check clock.")
    return Finding(
        DEGRADED,
        "this member does not vote in this epoch: its log may lack what it has signed",
        "Wait: it resumes with the next block.",
    )


def _clock(view: View) -> Finding:
    node = view.node
    if node is None or not node.chain.paused:
        return Finding()
    return Finding(
        DEGRADED,
        "the members' clocks say this one is wrong; this node signs nothing",
        REMEDIES["check-clock"],
    )


def _peers(view: View) -> Finding:
    node = view.node
    if node is None or view.peers or _is_whole_quorum(node):
        return Finding()
    peers = node.peers
    if not any(peers.dialing) and not len(peers.discovery.book) and view.context.seeds is None:
        return Finding(
            DEGRADED,
            "no session with any peer, and nobody to dial",
            "Set p2p.peers or p2p.seeds, or use addnode.",
        )
    return Finding(
        DEGRADED, "no session with any peer", "getaddednodeinfo says how dialling p2p.peers fails."
    )


def _is_whole_quorum(node: Node) -> bool:
    """True for the member that certifies by itself: it may well be alone."""
    state = node.consensus_state()
    if state.member is None:
        return False
    roster = node.ledger.roster(state.height)
    return is_quorum(roster.members[state.member].weight, roster.total_weight)


def _sync(view: View) -> Finding:
    sync = view.sync
    if sync is None or sync.behind <= BEHIND:
        return Finding()
    return Finding(DEGRADED, f"{sync.behind} blocks behind", "Wait: the node is catching up.")


def _signatures(_view: View) -> Finding:
    if active_backend().name != PURE_PYTHON:
        return Finding()
    return Finding(
        DEGRADED,
        f"signatures are checked in pure Python (crypto.backend = {PURE_PYTHON}), hundreds of times slower",
        REMEDIES["check-signatures"],
    )


def _blocks(view: View) -> Finding:
    node = view.node
    if node is None:
        return Finding()
    age_s = min(view.now() // SECOND - node.ledger.tip.header.time, int(view.uptime_s))
    if age_s <= LATE_INTERVALS * node.config.genesis.interval:
        return Finding()
    return Finding(DEGRADED, f"no block for {age_s} s", "A quorum of members must be connected and awake.")


def _bugs(view: View) -> Finding:
    faults = view.driver.counters.faults if view.driver is not None else 0
    if faults:
        return Finding(
            DEGRADED, f"{faults} internal errors", "Look for tracebacks in the log and report them."
        )
    return Finding()


def _loops(view: View) -> Finding:
    """The loops of this process, and the watchdog that looks at them."""
    loops = view.context.loops
    late_s = loops.late_s()
    if late_s is not None:
        return Finding(
            DEGRADED,
            f"the watchdog has not looked at the loops for {late_s:.0f} s",
            "It is begun again by itself; look for a traceback in the log and report it.",
        )
    troubles = loops.troubles()
    if not troubles:
        return Finding()
    more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
    return Finding(DEGRADED, f"{troubles[0].reason}{more}", troubles[0].remedy)


def _indexes(view: View) -> Finding:
    indexes = view.context.indexes
    for status in indexes.statuses() if indexes is not None else ():
        if status.enabled and status.error is not None:
            return Finding(
                DEGRADED,
                f"the index {status.name} does not go on: {status.error}",
                "Mend what it names; the index goes on by itself, or is built again after its directory is removed.",
            )
    return Finding()


def _events(view: View) -> Finding:
    """The log of events, in the process that writes it and in those that read it."""
    feed = view.context.feed
    failure = feed.failure() if feed is not None else None
    if failure is not None:
        return Finding(
            DEGRADED,
            f"the log of events does not go on: {failure}",
            "Mend what it names; it goes on by itself.",
        )
    return Finding()


def _sinks(view: View) -> Finding:
    feed = view.context.feed
    for each in feed.sinks if feed is not None else ():
        late_s = each.late_us(view.now()) // SECOND
        if late_s > LATE_SINK_S or (each.failure is not None and each.oldest_us is None):
            return Finding(
                DEGRADED,
                f"{each.sink.title} is {each.behind} events and {late_s} s behind ({each.failure or each.state.value})",
                "Mend the receiver; nothing is lost while the log keeps it. getsubscriptions shows the sinks.",
            )
    return Finding()


def _link(view: View) -> Finding:
    """Of an RPC process: what lives in the node's memory is asked of the chain process."""
    link = view.parts.link if view.parts is not None else None
    if link is None or link.up:
        return Finding()
    return Finding(
        DEGRADED,
        "the chain process is away; only what is in the blocks is answered",
        "Start it, with the same version and configuration; the log says why it cannot be asked.",
    )


def _snapshot(view: View) -> Finding:
    """Of an RPC process: blocks and coins are read from the chain process's files."""
    probe = view.parts.probe if view.parts is not None else None
    if probe is None:
        return Finding()
    if probe.error is not None:
        return Finding(FAILED, f"blocks cannot be read: {probe.error.message}", probe.error.hint)
    if probe.age_s is None:
        return Finding(DEGRADED, "no block has been read yet", "Wait a moment.")
    if probe.age_s > STALE_S:
        return Finding(
            DEGRADED,
            f"no block could be read for {probe.age_s:.0f} s",
            "Fewer heavy calls, or another process.",
        )
    return Finding()


CHECKS: tuple[Check, ...] = (
    Check("chain", _chain, ready=True),
    Check("disk", _disk, ready=True),
    Check("safety", _safety, ready=True),
    Check("voting", _voting),
    Check("clock", _clock),
    Check("peers", _peers, ready=True),
    Check("sync", _sync, ready=True),
    Check("blocks", _blocks),
    Check("signatures", _signatures),
    Check("indexes", _indexes),
    Check("events", _events),
    Check("sinks", _sinks),
    Check("link", _link, ready=True),
    Check("snapshot", _snapshot, ready=True),
    Check("loops", _loops),
    Check("bugs", _bugs),
)


class Board:
    """The last finding of every check and the time (microseconds) its state last changed."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._since: dict[str, tuple[str, int]] = {}

    def look(self) -> dict[str, dict[str, Any]]:
        """Run every check now."""
        now = self._view.now()
        shown = {}
        for check in CHECKS:
            found = check.look(self._view)
            state, since = self._since.get(check.name, ("", now))
            if state != found.state:
                since = now
                self._since[check.name] = (found.state, now)
            shown[check.name] = {
                "state": found.state,
                "since": since // SECOND,
                "reason": found.reason,
                "remedy": found.remedy,
            }
        return shown

    def health(self) -> tuple[int, dict[str, Any]]:
        """(HTTP status, body): 503 when a check has failed."""
        checks = self.look()
        states = [check["state"] for check in checks.values()]
        worst = FAILED if FAILED in states else DEGRADED if DEGRADED in states else OK
        return (503 if worst == FAILED else 200), {"state": worst, "checks": checks}

    def ready(self) -> tuple[int, dict[str, Any]]:
        """(HTTP status, body): 503 until the node may be used."""
        checks = self.look()
        waiting = [check.name for check in CHECKS if check.ready and checks[check.name]["state"] != OK]
        body = {"ready": not waiting, "waiting_for": {name: checks[name] for name in waiting}}
        return (503 if waiting else 200), body

"""The one table of metrics: name, type, labels, help, source."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from timed import __version__
from timed.feed.attendance import MISSED_IN_A_ROW
from timed.monitor.calls import RPC_METRICS
from timed.monitor.details import votes_missing
from timed.monitor.feed import FEED_METRICS
from timed.monitor.health import CHECKS, SEVERITY
from timed.monitor.observer import OTHER
from timed.monitor.peers import PEER_METRICS
from timed.monitor.process import PROCESS_METRICS
from timed.monitor.row import COUNTER, GAUGE, Distribution, Durations, Row, Sample, Source, by, one
from timed.monitor.view import View
from timed.monitor.wallet import WALLET_METRICS
from timed.params import UNITS_PER_TIME
from timed.primitives.roster import Roster

MAX_MISSING = 100
"""Members that are missing by name; the weight of the others is one sum."""


def _node_info(view: View) -> list[Sample]:
    return [((__version__, view.context.params.name, view.node_id), 1.0)]


def _height(view: View) -> list[Sample]:
    return one(view.node.ledger.tip.height if view.node is not None else None)


def _index_heights(view: View) -> list[Sample]:
    indexes = view.context.indexes
    return by(
        (one.name, one.height) for one in (indexes.statuses() if indexes is not None else ()) if one.enabled
    )


def _tip_time(view: View) -> list[Sample]:
    return one(view.node.ledger.tip.header.time if view.node is not None else None)


def _sessions(view: View) -> list[Sample]:
    if view.node is None:
        return []
    peers = view.node.peers.peers()
    outbound = sum(1 for peer in peers if peer.outbound)
    return by([("inbound", len(peers) - outbound), ("outbound", outbound)])


def _refused(view: View) -> list[Sample]:
    found: list[Sample] = [(key, float(count)) for key, count in view.counts.refused.items()]
    if view.node is not None:
        for rule, count in view.node.admission.counters.refused.items():
            found.append((("admission", rule), float(count)))
        for rule, count in view.node.inbox.counters.refused.items():
            found.append((("message", rule), float(count)))
        for rule, count in view.node.chain.judging.refused.items():
            found.append((("proposal", rule), float(count)))
    if view.context.network is not None:
        for rule, count in view.context.network.counters.refused.items():
            found.append((("connection", rule), float(count)))
    return found


def _overflows(view: View) -> list[Sample]:
    if view.node is None:
        return []
    relay, peers, network = view.node.relay, view.node.peers, view.context.network
    inbox = view.node.inbox
    return by(
        {
            "checking": view.node.admission.counters.overflow,
            "fetching": relay.fetching.overflow,
            "held": relay.overflow,
            "unchecked": inbox.counters.overload,
            "future": inbox.counters.future_dropped,
            "judged": view.node.chain.judging.overflow,
            "outbox": peers.overflows,
            "transport": 0 if network is None else network.counters.write_overflows,
            "bans": peers.conduct.bans_overflows,
        }.items()
    )


def _violations(view: View) -> list[Sample]:
    return by(view.node.peers.violations.items()) if view.node is not None else []


def _conduct(view: View) -> list[Sample]:
    if view.node is None:
        return []
    return by((event, count) for event, count in view.node.peers.conduct.counts.items() if count)


def _dials_failed(view: View) -> list[Sample]:
    network = view.context.network
    return by(network.counters.dials_failed.items()) if network is not None else []


def _supply(view: View) -> list[Sample]:
    running = view.context.running
    tip = running.store.tip() if running is not None else None
    return [] if tip is None else one(tip.supply / UNITS_PER_TIME)


def _coins(view: View) -> list[Sample]:
    running = view.context.running
    tip = running.store.tip() if running is not None else None
    return one(tip.coins if tip is not None else None)


def _recorder(view: View) -> list[Sample]:
    running = view.context.running
    if running is None or running.recordings is None:
        return []
    counters = (running.recordings.recorder.counters, running.recordings.counters)
    return by(item for those in counters for item in attrs.asdict(those).items())


def _payment_votes(view: View) -> list[Sample]:
    return _counted(view.node.chain.fastpath.counters) if view.node is not None else []


def _rounds(view: View) -> list[Sample]:
    return _counted(view.node.chain.rounds.counters) if view.node is not None else []


def _counted(counters: attrs.AttrsInstance) -> list[Sample]:
    """Each field of the counters, with dashes."""
    return by((name.replace("_", "-"), count) for name, count in attrs.asdict(counters).items())


def _store_writes(view: View) -> list[Sample]:
    if view.driver is None:
        return []
    counters = view.driver.store_queue.counters
    return by([("commit", counters.commits), ("log", counters.groups)])


def _store_durations(view: View) -> list[Distribution]:
    if view.driver is None:
        return []
    return [((kind,), spent) for kind, spent in view.driver.store_queue.counters.durations.items()]


def _stages(view: View) -> list[Distribution]:
    return [((stage,), spent) for stage, spent in view.watch.stages.since_accepted.items()]


def _checks(view: View) -> list[Sample]:
    return by((check.name, SEVERITY[check.look(view).state]) for check in CHECKS)


def _quorum_margin(view: View) -> list[Sample]:
    """Only of a member: a follower is connected with whom it likes."""
    state = view.consensus
    if view.node is None or state is None or state.member is None:
        return []
    roster = view.node.ledger.roster(state.height)
    return one(view.node.voters.weight(roster, state.member) - state.quorum_weight)


def _safety_margin(view: View) -> list[Sample]:
    state, node = view.consensus, view.node
    if node is None or state is None:
        return []
    liars = view.counts.equivocators
    lied = sum(one.weight for one in node.ledger.roster(state.height).members if one.operator_key in liars)
    return one(2 * state.quorum_weight - state.total_weight - 1 - lied)


def _named(found: Iterable[tuple[int, float]], roster: Roster) -> list[Sample]:
    """Members by place and address; what is beyond `MAX_MISSING` is one sum."""
    sums: dict[str, float] = {}
    for index, value in found:
        name = f"{index} {roster.members[index].network_address.decode('utf-8', 'replace')}"
        name = name if len(sums) < MAX_MISSING else OTHER
        sums[name] = sums.get(name, 0) + value
    return by(sums.items())


def _votes_missing(view: View) -> list[Sample]:
    node = view.node
    return [] if node is None else _named(votes_missing(node).items(), node.chain.fastpath.roster)


def _missing(view: View) -> list[Sample]:
    """Only of a member, as the margin is."""
    state, node = view.consensus, view.node
    if node is None or state is None or state.member is None:
        return []
    roster = node.ledger.roster(state.height)
    away = [
        (index, float(member.weight))
        for index, member in enumerate(roster.members)
        if member.weight and index != state.member and not node.voters.is_connected(index)
    ]
    return _named(away, roster)


def _members_missed(view: View) -> list[Sample]:
    node = view.node
    if node is None:
        return []
    in_a_row = view.watch.blocks.absent_in_a_row(node)
    roster = node.ledger.roster(node.ledger.tip.height + 1)
    missed = [
        (index, float(count))
        for index, member in enumerate(roster.members)
        if (count := in_a_row.get(member.operator_key, 0)) >= MISSED_IN_A_ROW
    ]
    return _named(missed, roster)


def _viewers(view: View) -> list[Sample]:
    viewers = getattr(view.monitor, "viewers", None)
    return one(None if viewers is None else len(viewers))


def _streams(view: View) -> list[Sample]:
    viewers = getattr(view.monitor, "viewers", None)
    return [] if viewers is None else by(viewers.counters.items())


def _untold(view: View) -> list[Sample]:
    return one(getattr(view.manager, "failures", None))


def _alert_commands(view: View) -> list[Sample]:
    command = getattr(view.monitor, "command", None)
    return [] if command is None else by(sorted(command.outcomes.items()))


def _neighbours(view: View) -> list[Sample]:
    neighbours = getattr(view.monitor, "neighbours", None)
    return [] if neighbours is None else by(sorted(neighbours.outcomes.items()))


def _epoch(view: View) -> list[Sample]:
    state = view.consensus
    if state is None:
        return []
    return by([("heard", state.transactions), ("certified", state.certified), ("final", state.final)])


def _loop_progress(view: View) -> list[Sample]:
    return by((standing.loop.name, standing.value) for standing, _ in view.context.loops)


def _loop_ages(view: View) -> list[Sample]:
    return by((standing.loop.name, age_s) for standing, age_s in view.context.loops)


def _loop_restarts(view: View) -> list[Sample]:
    return by(view.context.loops.restarts().items())


def _driver(field: str) -> Source:
    return lambda view: one(getattr(view.driver.counters, field) if view.driver is not None else None)


def _store(field: str) -> Source:
    return lambda view: one(
        getattr(view.driver.store_queue.counters, field) if view.driver is not None else None
    )


def _verifier(field: str) -> Source:
    return lambda view: one(
        getattr(view.driver.verifier.counters, field) if view.driver is not None else None
    )


def _count(name: str) -> Source:
    return lambda view: one(view.counts.sessions[name])


METRICS: tuple[Row | Durations, ...] = (
    Row("timed_info", GAUGE, ("version", "network", "node_id"), "What this node is; always 1.", _node_info),
    Row(
        "timed_uptime_seconds", GAUGE, (), "Seconds since the process was composed.",
        lambda view: one(view.uptime_s),
    ),
    Row("timed_height", GAUGE, (), "Height of the newest certified block.", _height),
    Row("timed_tip_time_seconds", GAUGE, (), "Grid time of the newest block, unix seconds.", _tip_time),
    Row(
        "timed_blocks_behind", GAUGE, (), "Blocks that are proven to exist and not applied yet.",
        lambda view: one(view.sync.behind if view.sync is not None else None),
    ),
    Row(
        "timed_blocks", COUNTER, ("how",), "Blocks certified and applied since the start.",
        lambda view: by(view.counts.blocks.items()),
    ),
    Row(
        "timed_blocks_pieced", COUNTER, (), "Blocks put together from their ids and own transactions, not sent whole.",
        lambda view: one(view.node.catchup.pieced if view.node is not None else None),
    ),
    Row("timed_supply_time", GAUGE, (), "Sum of all unspent outputs, in TIME.", _supply),
    Row("timed_coins", GAUGE, (), "Number of unspent outputs.", _coins),
    Row(
        "timed_transactions", COUNTER, ("step",), "Steps of transactions since the start.",
        lambda view: by(view.counts.transactions.items()),
    ),
    Row(
        "timed_payment_votes", COUNTER, ("event",),
        "Votes of members for payments: counted, ignored, over a member's or our own budget; what came of them.",
        _payment_votes,
    ),
    Row(
        "timed_rounds", COUNTER, ("event",),
        "Rounds of blocks begun; their proposals taken, ignored and forgotten; votes signed and ignored.",
        _rounds,
    ),
    Row("timed_epoch_transactions", GAUGE, ("state",), "Transactions of the current epoch.", _epoch),
    Row(
        "timed_mempool_transactions", GAUGE, (), "Transactions that wait for a block.",
        lambda view: one(len(view.node.mempool) if view.node is not None else None),
    ),
    Row(
        "timed_mempool_bytes", GAUGE, (), "Bytes of the transactions that wait for a block.",
        lambda view: one(view.node.mempool.bytes if view.node is not None else None),
    ),
    Row(
        "timed_double_spends", COUNTER, (), "Pairs of transactions that spend one output.",
        lambda view: one(view.counts.double_spends),
    ),
    Row(
        "timed_equivocations", COUNTER, (), "Members seen signing two conflicting things.",
        lambda view: one(view.counts.equivocations),
    ),
    Row("timed_sessions", GAUGE, ("direction",), "Open sessions with other nodes.", _sessions),
    Row("timed_sessions_opened", COUNTER, (), "Sessions opened since the start.", _count("opened")),
    Row("timed_sessions_closed", COUNTER, (), "Sessions closed since the start.", _count("closed")),
    Row(
        "timed_reconnects", COUNTER, (), "Sessions that ended although both ends were alive and wanted them.",
        _count("reconnects"),
    ),
    Row("timed_refused", COUNTER, ("what", "rule"), "What was refused since the start, by rule.", _refused),
    Row("timed_overflows", COUNTER, ("queue",),
        "What met a full place: transactions (checking, fetching, held), messages (unchecked, future), proposals "
        "(judged), sessions whose peer took nothing (outbox, transport), bans.",
        _overflows),
    Row("timed_violations", COUNTER, ("rule",), "Bytes of peers that broke a rule and ended a session.", _violations),
    Row("timed_conduct", COUNTER, ("event",), "What peers did, by the events of the conduct policy.", _conduct),
    Row("timed_dials", COUNTER, (), "Dials begun; it grows while a wanted peer is missing.",
        lambda view: one(view.node.peers.dialing.attempts if view.node is not None else None)),
    Row("timed_dials_failed", COUNTER, ("reason",), "Dials that came to nothing.", _dials_failed),
    Row("timed_round", GAUGE, (), "Round of the current height.",
        lambda view: one(view.consensus.round if view.consensus is not None else None)),
    Row("timed_signing", GAUGE, (), "1 while this node votes.",
        lambda view: one(int(view.consensus.signing) if view.consensus is not None else None)),
    Row("timed_store_writes", COUNTER, ("kind",), "Durable steps, one fsync each.", _store_writes),
    Row("timed_store_records", COUNTER, (), "Records written to the log.", _store("records")),
    Row("timed_store_failures", COUNTER, (), "Writes the disk refused.", _store("failures")),
    Row("timed_store_waiting_bytes", GAUGE, (), "Bytes that wait for the disk.", _store("waiting_bytes")),
    Durations(
        "timed_store_seconds", ("kind",), "Time of a durable step: an append to the log, or the commit of a block.",
        _store_durations,
    ),
    Durations(
        "timed_finality_seconds", ("stage",),
        "Time from a transaction's acceptance here to its next stages.", _stages,
    ),
    Row("timed_check_state", GAUGE, ("check",), "What /health finds: 0 ok, 1 degraded, 2 failed.", _checks),
    Row(
        "timed_quorum_margin", GAUGE, (),
        "Weight of this member and the connected ones above a quorum; below 0 nothing can be certified.",
        _quorum_margin,
    ),
    Row(
        "timed_safety_margin", GAUGE, (),
        "Weight that may still lie without two conflicting certificates; known liars are taken off.",
        _safety_margin,
    ),
    Row(
        "timed_members_missing", GAUGE, ("member",),
        "Weight of each member without a session with this one, by its place and address.", _missing,
    ),
    Row(
        "timed_votes_missing", GAUGE, ("member",),
        "How many of the newest 200 payments certified in this epoch lack a vote of each member; a few are late.",
        _votes_missing,
    ),
    Row(
        "timed_members_missed", GAUGE, ("member",),
        "Newest certificates in a row without the signature of each member that is missed: 6 or more.",
        _members_missed,
    ),
    Row("timed_verifier_items", COUNTER, (), "Signatures checked.", _verifier("items")),
    Row("timed_verifier_batches", COUNTER, (), "Batches of signatures checked.", _verifier("batches")),
    Row("timed_verifier_inline", COUNTER, (), "Signatures checked on the reactor's thread.", _verifier("inline")),
    Row("timed_verifier_waiting", GAUGE, (), "Signatures that wait for a thread.", _verifier("waiting_items")),
    Row("timed_turns", COUNTER, (), "Turns of the node's driver.", _driver("turns")),
    Row("timed_faults", COUNTER, (), "Exceptions out of the core or of a sink: bugs.", _driver("faults")),
    Row("timed_store_unread", COUNTER, (), "Calls of the core or of a sink that the store did not answer: see check-disk.",
        _driver("unread")),
    Row(
        "timed_loop_progress", COUNTER, ("loop",), "What each loop of the process has got done, as its watchdog counts it.",
        _loop_progress,
    ),
    Row(
        "timed_loop_age_seconds", GAUGE, ("loop",), "For how long each loop got nowhere; 0 while it owes nothing.",
        _loop_ages,
    ),
    Row(
        "timed_loop_restarts", COUNTER, ("loop",),
        "Times the watchdog began a loop again; the loop others stands for those that ended long ago.",
        _loop_restarts,
    ),
    Row("timed_recorder_bytes", GAUGE, (), "Bytes that the flight recorder holds.",
        lambda view: one(view.driver.recorder.size if view.driver is not None and view.driver.recorder else None)),
    Row(
        "timed_recorder", COUNTER, ("event",),
        "Entries and copies of the state that the flight recorder took, copies it could not take, entries that left "
        "the ring; recordings written, removed for others, failed.",
        _recorder,
    ),
    Row(
        "timed_log_lines", COUNTER, ("level",), "Log lines written.",
        lambda view: by(view.context.log_counters.lines.items()),
    ),
    Row(
        "timed_log_suppressed", COUNTER, (), "Log lines held back by the rate limit.",
        lambda view: one(view.context.log_counters.suppressed),
    ),
    Row(
        "timed_index_height",
        GAUGE,
        ("index",),
        "The newest block of each index that is on; -1 before the first.",
        _index_heights,
    ),
    *RPC_METRICS,
    *WALLET_METRICS,
    Row("timed_manager_untold", COUNTER, (), "Notifications that the service manager did not take.", _untold),
    Row("timed_viewers", GAUGE, (), "Browsers that look at the dashboard.", _viewers),
    Row(
        "timed_viewer_events", COUNTER, ("event",),
        "Streams of the dashboard opened, closed, lost, refused, cut; pictures skipped; foreign pages refused.", _streams,
    ),
    Row("timed_alert_commands", COUNTER, ("outcome",), "Runs of monitor.alert_command, and alerts dropped for it.",
        _alert_commands),
    Row(
        "timed_neighbour_answers", COUNTER, ("outcome",), "Questions to the nodes of monitor.nodes.", _neighbours
    ),
    *FEED_METRICS,
    *PEER_METRICS,
    *PROCESS_METRICS,
)  # fmt: skip


ROWS = {row.name: row for row in METRICS}

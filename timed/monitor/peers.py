"""The metrics of what passes between this node and its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nlargest

from timed.monitor.row import COUNTER, GAUGE, Row, Sample, Source, by, one
from timed.monitor.view import View
from timed.params import SECOND
from timed.peer.costs import NS_PER_S, OTHER, in_seconds
from timed.peer.dialing import Origin
from timed.peer.outbox import Queue
from timed.peer.table import PeerTable
from timed.peer.traffic import Traffic

RECEIVED, SENT = "received", "sent"
MAX_BUSIEST = 5
"""Peers that are shown by name in the table of metrics; getpeerinfo shows all."""
ID_DIGITS = 16
"""Of a node's id in a label."""


def _of(source: Callable[[PeerTable], Iterable[Sample]]) -> Source:
    """What the peer room tells; nothing while there is no node."""
    return lambda view: source(view.node.peers) if view.node is not None else []


def _by_type(received: dict[str, int], sent: dict[str, int]) -> list[Sample]:
    return [
        ((name, direction), float(count))
        for direction, counts in ((RECEIVED, received), (SENT, sent))
        for name, count in sorted(counts.items())
    ]


def _messages(traffic: Traffic) -> list[Sample]:
    return _by_type(traffic.received, traffic.sent)


def _message_bytes(traffic: Traffic) -> list[Sample]:
    return _by_type(traffic.received_bytes, traffic.sent_bytes)


def _compressed(traffic: Traffic) -> list[Sample]:
    return [
        ((SENT, "plain"), float(traffic.sent_plain)),
        ((SENT, "packed"), float(traffic.sent_packed)),
        ((RECEIVED, "plain"), float(traffic.received_plain)),
        ((RECEIVED, "packed"), float(traffic.received_packed)),
    ]


def _socket_bytes(view: View) -> list[Sample]:
    network = view.context.network
    if network is None:
        return []
    return by([(RECEIVED, network.counters.bytes_received), (SENT, network.counters.bytes_sent)])


def _through(source: Callable[[Traffic], Iterable[Sample]]) -> Source:
    """What went through all sessions; nothing while there is no node."""

    def read(view: View) -> Iterable[Sample]:
        traffic = view.traffic
        return [] if traffic is None else source(traffic)

    return read


def _total(read: Callable[[Traffic], int]) -> Source:
    return _through(lambda traffic: one(read(traffic)))


def _queues(read: Callable[[Queue], float]) -> Source:
    """One value per class out of what waits for all peers."""
    return lambda view: by((queue.priority.name.lower(), read(queue)) for queue in view.queues)


def _cpu(table: PeerTable) -> list[Sample]:
    return by(in_seconds(table.costs.spent).items())


def _calls(view: View) -> list[Sample]:
    meter = view.driver.meter if view.driver is not None else None
    return [] if meter is None else by(in_seconds(meter.spent).items())


def _busiest(table: PeerTable) -> list[Sample]:
    """The sessions that took most, by the first half of the node's id; what the others took is one sum."""
    spent = {
        peer.node_id: session.lanes.spent_ns
        for peer in table.peers()
        if (session := table.session_with(peer.node_id)) is not None
    }
    most = nlargest(MAX_BUSIEST, spent.items(), key=lambda each: (each[1], each[0]))
    shown = [(node_id.hex()[:ID_DIGITS], taken / NS_PER_S) for node_id, taken in most if taken]
    rest = sum(spent.values()) - sum(taken for _, taken in most)
    return by([*shown, (OTHER, rest / NS_PER_S)]) if shown else []


def _verdicts(table: PeerTable) -> list[Sample]:
    counts = sorted(table.conduct.verdicts.items())
    return [((verdict, "yes" if done else "no"), float(count)) for (verdict, done), count in counts]


def _bans(table: PeerTable) -> list[Sample]:
    bans = table.conduct.bans(table.now)
    theirs = sum(ban.by_operator for ban in bans)
    return by([("operator", theirs), ("node", len(bans) - theirs)])


def _addresses(table: PeerTable) -> list[Sample]:
    records = list(table.discovery.book)
    tried = sum(record.tried for record in records)
    return by([("new", len(records) - tried), ("tried", tried)])


def _wanted(table: PeerTable) -> list[Sample]:
    wanted = [target.believed for target in table.dialing if target.origin is Origin.CONFIGURED]
    there = sum(node_id is not None and table.get(node_id) is not None for node_id in wanted)
    return by([("connected", there), ("missing", len(wanted) - there)])


def _clock_offset(table: PeerTable) -> list[Sample]:
    offset = table.clock_offset()
    return one(None if offset is None else offset / SECOND)


def _memory(view: View) -> list[Sample]:
    running = view.context.running
    if running is None:
        return []
    return by([("written", running.memory.writes), ("failed", running.memory.failures)])


def _seeds(view: View) -> list[Sample]:
    seeds = view.context.seeds
    return [] if seeds is None else [(key, float(n)) for key, n in sorted(seeds.seeding.outcomes.items())]


PEER_METRICS: tuple[Row, ...] = (
    Row("timed_messages", COUNTER, ("type", "direction"), "Messages of peers.", _through(_messages)),
    Row(
        "timed_message_bytes", COUNTER, ("type", "direction"), "Bytes of these messages, headers included.",
        _through(_message_bytes),
    ),
    Row(
        "timed_message_cpu_seconds", COUNTER, ("type",),
        "CPU time of the node's thread by the type of message it was spent on; a sample, scaled.", _of(_cpu),
    ),
    Row(
        "timed_call_cpu_seconds", COUNTER, ("call",),
        "CPU time of the node's thread by what called the node; act is what it decided, executed. A sample, scaled.",
        _calls,
    ),
    Row(
        "timed_busiest_peers_seconds", GAUGE, ("peer",),
        "CPU time of the node's thread on the messages of the five open sessions that took most, and of the others.",
        _of(_busiest),
    ),
    Row("timed_socket_bytes", COUNTER, ("direction",), "Bytes of the peers' sockets, TLS included.", _socket_bytes),
    Row(
        "timed_queue_messages", GAUGE, ("class",), "Messages that wait to be written to peers.",
        _queues(lambda queue: queue.messages),
    ),
    Row(
        "timed_queue_bytes", GAUGE, ("class",), "Bytes that wait to be written to peers.",
        _queues(lambda queue: queue.bytes),
    ),
    Row(
        "timed_queue_oldest_seconds", GAUGE, ("class",), "Age of the message that has waited longest.",
        _queues(lambda queue: queue.age / SECOND),
    ),
    Row(
        "timed_dropped_messages", COUNTER, (), "Gossip dropped for want of room in a peer's queue.",
        _total(lambda traffic: traffic.dropped),
    ),
    Row(
        "timed_withheld_messages", COUNTER, (), "Messages not sent because a session's wire version lacks them.",
        _total(lambda traffic: traffic.withheld),
    ),
    Row(
        "timed_compressed_bytes", COUNTER, ("direction", "form"),
        "Bytes of compressed payloads, plain (before) and packed (after).", _through(_compressed),
    ),
    Row(
        "timed_unread_messages", COUNTER, (), "Messages left unread because they came too fast.",
        _total(lambda traffic: traffic.over_rate),
    ),
    Row(
        "timed_incomplete_bytes", GAUGE, (), "Bytes kept of peers' messages that are not complete.",
        _of(lambda table: one(table.intake.incomplete)),
    ),
    Row(
        "timed_relieved_sessions", COUNTER, (), "Sessions that ended because too much was incomplete.",
        _of(lambda table: one(table.intake.relieved)),
    ),
    Row(
        "timed_writes", COUNTER, ("rule",), "Writes to peers, by the rule of batching that let them go.",
        _through(lambda traffic: by(sorted(traffic.writes.items()))),
    ),
    Row(
        "timed_written_frames", COUNTER, (), "Frames in these writes.",
        _total(lambda traffic: traffic.frames),
    ),
    Row(
        "timed_conduct_verdicts", COUNTER, ("verdict", "done"),
        "Verdicts on peers beyond counting; done is no in a dry run.", _of(_verdicts),
    ),
    Row("timed_bans", GAUGE, ("by",), "Nodes, addresses and subnets that are refused.", _of(_bans)),
    Row("timed_addresses", GAUGE, ("table",), "Addresses in the book, heard of and tried.", _of(_addresses)),
    Row("timed_wanted_nodes", GAUGE, ("state",), "Nodes that are kept connected.", _of(_wanted)),
    Row(
        "timed_clock_offset_seconds", GAUGE, (), "How far the peers' clocks are ahead, in the middle.",
        _of(_clock_offset),
    ),
    Row(
        "timed_seed_answers", COUNTER, ("kind", "outcome"), "Times that sources of addresses were asked.", _seeds
    ),
    Row("timed_peer_memory", COUNTER, ("outcome",), "Writes of peers.json.", _memory),
)  # fmt: skip

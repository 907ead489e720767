"""Methods that tell what passes between this node and its peers, and why a peer is treated so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timed.params import SECOND
from timed.peer import limits
from timed.peer.addressbook import Record
from timed.peer.bans import Ban, Subject
from timed.peer.conduct import Entry, PeerClass
from timed.peer.costs import NS_PER_S, in_seconds
from timed.peer.dialect import Feature
from timed.peer.dialing import Target
from timed.peer.location import parse_peer
from timed.peer.outbox import Queue, merged
from timed.peer.statistics import PeerStatistics
from timed.peer.traffic import Traffic
from timed.peer.values import PeerAddress, PeerHandle, host_port
from timed.rpc.environment import Environment
from timed.rpc.errors import NOT_FOUND, RpcError
from timed.rpc.methods.addresses import address_object
from timed.rpc.methods.bans import ban_object, subject_or_none
from timed.rpc.peering import host_of, seconds
from timed.rpc.present import Object
from timed.wire.catalogue import BY_NAME
from timed.wire.message import Priority

DAY_S = 86_400


def getpeerinfo(env: Environment) -> list[Object]:
    roster = env.chain.roster(env.chain.tip().height + 1)
    costs, everybody = env.peers.table.costs, env.peers.traffic().received_bytes
    shown = []
    for peer, known in env.peers.sessions():
        member = roster.index_of(peer.operator) if peer.operator is not None else None
        shown.append(
            {
                "id": peer.generation,
                "nodeid": peer.node_id.hex(),
                "addr": peer.address,
                "inbound": not peer.outbound,
                "subver": f"/{peer.handshake.software}/",
                "version": peer.handshake.wire_version,
                "session_version": peer.version,
                "encoding": "json" if peer.features & Feature.JSON else "binary",
                "startingheight": peer.handshake.height,
                "operator": peer.operator.hex() if peer.operator is not None else None,
                "is_masternode": member is not None,
                "masternode": member,
                **_numbers(known),
                "cpu_per_msg": in_seconds(costs.of(known.received_bytes, everybody)),
            }
        )
    return shown


def getnettotals(env: Environment) -> Object:
    """Socket bytes are those of the messages by type, those of unfinished ones, and the overhead."""
    traffic = env.peers.traffic()
    received, sent = env.peers.socket_bytes()
    types = _types(traffic)
    return {
        "totalbytesrecv": received,
        "totalbytessent": sent,
        "timemillis": env.peers.now() // 1000,
        "uploadtarget": {
            "timeframe": DAY_S,
            "target": 0,
            "target_reached": False,
            "serve_historical_blocks": True,
            "bytes_left_in_cycle": 0,
            "time_left_in_cycle": 0,
        },
        "types": types,
        "classes": _classes(types.values()),
        "cpu": in_seconds(env.peers.table.costs.spent),
        "queues": {queue.priority.name.lower(): _queue(queue) for queue in merged(env.peers.table.queues())},
        "incomplete": traffic.incomplete,
        "overhead": {
            "bytesrecv": received - traffic.bytes_received,
            "bytessent": sent - traffic.bytes_sent,
        },
        "batches": _batches(traffic),
        "compression": _compression(traffic),
        "dropped": traffic.dropped,
        "over_rate": traffic.over_rate,
    }


def explainpeer(env: Environment, peer: str) -> Object:
    """A peer by node id, `host:port`, host or number of session, connected or not."""
    number = int(peer) if peer.isascii() and peer.isdecimal() and len(peer) < 10 else None
    found = env.peers.find(peer, number)
    if len(found) > 1:
        raise RpcError(
            NOT_FOUND,
            f"{len(found)} sessions with {peer}",
            rule="peer-ambiguous",
            hint="Give the node id or host:port: " + ", ".join(each.address for each in found[:10]) + ".",
            param="peer",
        )
    if found:
        return _explained(env, found[0].node_id, host_of(found[0]), found[0])
    subject = subject_or_none(peer)
    place = _place(peer) if subject is None else None
    host = place.host if place is not None else "" if isinstance(subject, bytes) else peer
    behind = env.peers.believed_at(place) if place is not None else None
    if behind is not None:
        return _explained(env, behind, host, env.peers.table.get(behind))
    if subject is None and subject_or_none(host) is None and not env.peers.dialled(None, host):
        raise RpcError(
            NOT_FOUND,
            f"Peer not found: {peer}",
            rule="peer-unknown",
            hint="Give a node id, host:port or an address as getpeerinfo or listbanned shows it.",
            param="peer",
        )
    return _explained(env, subject, host, None, place.port if place is not None else None)


def _place(text: str) -> PeerAddress | None:
    """The address that `host:port` names; None of anything else."""
    try:
        return parse_peer(text)
    except ValueError:
        return None


def _explained(
    env: Environment, subject: Subject | None, host: str, peer: PeerHandle | None, port: int | None = None
) -> Object:
    peering, conduct = env.peers, env.peers.table.conduct
    node_id = subject if isinstance(subject, bytes) else None
    known = peering.table.statistics(peer.node_id) if peer is not None else None
    ban = peering.ban_of(subject) if subject is not None else None
    seen = host or (ban.host if ban is not None else "")
    bans = {each.subject: each for each in (ban, *peering.covering(seen)) if each is not None}
    dials = peering.dialled(node_id, host, port)
    kind = known.kind if known is not None else conduct.class_of(node_id, seen, member=False)
    records = peering.records_of(node_id, host if node_id is None else "")
    unknown = port is not None and port not in {
        *(dial.port for dial in dials), *(record.port for record in records)
    }  # fmt: skip
    summary = _summary(known, kind, list(bans.values()), dials, records, peering.now())
    if unknown and not bans and (dials or records):
        summary = f"not connected, and nothing is known of port {port}; what is shown is of its host"
    own = node_id == env.identity.node_id
    return {
        "summary": "this is this node itself" if own else summary,
        "nodeid": node_id.hex() if node_id is not None else None,
        "addr": peer.address if peer is not None else seen or None,
        "state": "self" if own else _state(known is not None, bool(bans), bool(dials) and not unknown),
        "class": kind.name.lower(),
        "score": peering.score(node_id) if node_id is not None else 0.0,
        "bans": [ban_object(each, peering.now()) for each in bans.values()],
        "reasons": [_reason(entry) for entry in conduct.reasons(node_id)] if node_id is not None else [],
        "dials": [_dial(target, peering.waits_for(target)) for target in dials],
        "addresses": [host_port(record.host, record.port) for record in records],
        "book": [address_object(env, record) for record in records],
        "conduct": "dry-run" if conduct.dry_run else "enforce",
        "limits": _limits(kind),
        "session": _session(known) if known is not None else None,
    }


def _summary(
    known: PeerStatistics | None,
    kind: PeerClass,
    bans: Sequence[Ban],
    dials: Sequence[Target],
    records: Sequence[Record],
    now: int,
) -> str:
    """The rest of the answer in one sentence."""
    if known is not None:
        throttled = f", throttled for {seconds(known.throttled_for)} s" if known.throttled_for else ""
        return f"connected for {(now - known.opened_at) // SECOND} s, {_CLASSES[kind]}{throttled}"
    if bans:
        ban = bans[0]
        end = f"for {max(0, ban.until - now) // SECOND} more s" if ban.until else "until that is lifted"
        return f"refused by {'the operator' if ban.by_operator else 'this node'} {end}: {ban.reason}"
    if dials:
        dial = dials[0]
        if not dial.failures:
            return "dialled, without an outcome yet"
        return f"dialled {dial.failures} times in vain, the last time: {dial.last_failure}"
    if records:
        record = max(records, key=lambda record: record.last_success)
        if record.last_success:
            return f"not connected; met {(now - record.last_success) // SECOND} s ago"
        return f"not connected; {record.source} told of it, tried {record.attempts} times"
    return "not connected, and nothing is known of it"


_CLASSES = {
    PeerClass.ANONYMOUS: "held to every rule",
    PeerClass.MEMBER: "a member: never banned by this node",
    PeerClass.TRUSTED: "trusted: the rules exempt it",
}


def _state(connected: bool, banned: bool, dialled: bool) -> str:
    if connected:
        return "connected"
    if banned:
        return "banned"
    return "dialled" if dialled else "not connected"


def _session(known: PeerStatistics) -> Object:
    rates = {
        bucket: {"per_second": stock.rate.per_second, "burst": stock.rate.burst, "left": stock.left}
        for bucket, stock in known.rates.items()
    }
    return {**_numbers(known), "rates": rates, "throttled": seconds(known.throttled_for)}


def _limits(kind: PeerClass) -> Object:
    """The bounds of one peer; nothing is done to a trusted one."""
    return {
        "exempt": kind is PeerClass.TRUSTED,
        "ban_score": limits.BAN_SCORE,
        "ban_time": limits.BAN_TIME // SECOND,
        "score_half_life": limits.SCORE_HALF_LIFE // SECOND,
        "throttle_time": seconds(limits.THROTTLE_TIME),
        "queue_bytes": limits.PEER_QUEUE_BYTES,
        "ahead_bytes": limits.AHEAD_BYTES,
        "requests_in_flight": limits.REQUEST_WINDOW,
        "requests_served": limits.SERVED_REQUESTS,
        "silence": limits.SILENCE_LIMIT // SECOND,
        "stall": limits.STALL_LIMIT // SECOND,
    }


def _reason(entry: Entry) -> Object:
    return {
        "time": entry.time // SECOND,
        "event": entry.event,
        "detail": entry.detail,
        "points": entry.points,
        "score": entry.score,
        "verdict": entry.verdict.name.lower(),
        "done": entry.done,
    }


def _dial(target: Target, waits: int) -> Object:
    return {
        "address": host_port(target.host, target.port),
        "origin": target.origin.name.lower(),
        "phase": target.phase.value,
        "failures": target.failures,
        "last_failure": target.last_failure or None,
        "next_attempt": seconds(waits),
    }


def _numbers(known: PeerStatistics) -> Object:
    """What getpeerinfo and explainpeer tell of a session; times in seconds."""
    offset = known.clock_offset
    return {
        "class": known.kind.name.lower(),
        "conntime": known.opened_at // SECOND,
        "lastsend": known.sent_at // SECOND,
        "lastrecv": known.received_at // SECOND,
        "last_transaction": known.last_transaction // SECOND,
        "last_block": known.last_block // SECOND,
        "bytessent": known.bytes_sent,
        "bytesrecv": known.bytes_received,
        "bytessent_per_msg": dict(sorted(known.sent_bytes.items())),
        "bytesrecv_per_msg": dict(sorted(known.received_bytes.items())),
        "messages_sent": dict(sorted(known.sent.items())),
        "messages_received": dict(sorted(known.received.items())),
        "pingtime": seconds(known.round_trip),
        "minping": seconds(known.round_trip_least),
        "timeoffset": None if offset is None else round(offset / SECOND),
        "clock_offset": seconds(offset),
        "queued_bytes": known.queued,
        "ahead_bytes": known.ahead,
        "queues": {queue.priority.name.lower(): _queue(queue) for queue in known.queues},
        "batches": _batches(known),
        "compression": _compression(known),
        "unread": {"messages": known.unread, "bytes": known.unread_bytes, "paused": known.paused},
        "pauses": known.pauses,
        "dropped": known.dropped,
        "over_rate": known.over_rate,
        "unknown": known.unknown,
        "cpu": known.spent_ns / NS_PER_S,
        "withheld": known.withheld,
        "requests": known.requests,
        "served": known.served,
        "score": known.score,
    }


def _compression(counts: Traffic | PeerStatistics) -> Object:
    """Bytes of compressed payloads, before and after."""
    return {
        "sent": {"plain": counts.sent_plain, "packed": counts.sent_packed},
        "received": {"plain": counts.received_plain, "packed": counts.received_packed},
    }


def _queue(queue: Queue) -> Object:
    return {"messages": queue.messages, "bytes": queue.bytes, "age": seconds(queue.age)}


def _batches(counts: Traffic | PeerStatistics) -> Object:
    """The writes: how many, how large, and which rule let them go."""
    writes = sum(counts.writes.values())
    return {
        "writes": writes,
        "frames": counts.frames,
        "mean_bytes": counts.bytes_sent / writes if writes else None,
        "largest_bytes": counts.largest_write,
        "rules": dict(sorted(counts.writes.items())),
    }


def _types(traffic: Traffic) -> dict[str, Object]:
    """Messages and bytes by type; what this version does not know has no class."""
    names = sorted({*traffic.sent_bytes, *traffic.received_bytes})
    return {
        name: {
            "class": BY_NAME[name].priority.name.lower() if name in BY_NAME else None,
            "messages_sent": traffic.sent.get(name, 0),
            "messages_received": traffic.received.get(name, 0),
            "bytessent": traffic.sent_bytes.get(name, 0),
            "bytesrecv": traffic.received_bytes.get(name, 0),
        }
        for name in names
    }


def _classes(types: Iterable[Object]) -> dict[str, Object]:
    counted = ("messages_sent", "messages_received", "bytessent", "bytesrecv")
    sums: dict[str, Object] = {priority.name.lower(): dict.fromkeys(counted, 0) for priority in Priority}
    for row in types:
        if row["class"] is not None:
            for name in counted:
                sums[row["class"]][name] += row[name]
    return sums


HANDLERS = {handler.__name__: handler for handler in (getpeerinfo, getnettotals, explainpeer)}

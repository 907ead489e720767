"""What the dashboard shows beyond the table of metrics: names and addresses, for who may see them.

Sessions are read one by one, so that two hundred of them cost little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from timed.feed.attendance import MISSED_IN_A_ROW
from timed.monitor.blocks import RecentBlocks
from timed.params import SECOND

if TYPE_CHECKING:
    from timed.node.node import Node

MAX_PEERS = 500
"""Sessions that are shown; how many there are is told all the same."""
MAX_MEMBERS = 500
TALLIES = 200
"""Payments of the epoch whose voters are counted: the newest."""

Traffic = Mapping[bytes, tuple[int, int]]
"""Bytes received and sent by node id."""


def traffic_of(node: Node) -> Traffic:
    """What went through each open session."""
    found = {}
    for peer in node.peers.peers()[:MAX_PEERS]:
        session = node.peers.session_with(peer.node_id)
        if session is not None:
            found[peer.node_id] = (session.traffic.bytes_received, session.traffic.bytes_sent)
    return found


def votes_missing(node: Node) -> dict[int, int]:
    """By place in the roster: how many of the newest certified payments lack a vote of that member."""
    path = node.chain.fastpath
    certified = [tally for tally in islice(reversed(path.tallies.values()), TALLIES) if tally.certified]
    voted: Counter[int] = Counter()
    for tally in certified:
        voted.update(tally.votes.signers.keys())
    weighty = [index for index, member in enumerate(path.roster.members) if member.weight]
    return {index: len(certified) - voted[index] for index in weighty if voted[index] < len(certified)}


def details(node: Node, blocks: RecentBlocks, own: bytes, past: Traffic, seconds: float) -> dict[str, Any]:
    """Peers, members, blocks and the epoch. `past` is `traffic_of` some `seconds` ago."""
    state = node.consensus_state()
    return {
        "epoch": {
            "epoch": state.epoch,
            "height": state.height,
            "round": state.round,
            "step": state.step,
            "next_slot": state.slot_us / SECOND,
            "interval": node.config.genesis.interval,
            "reports": state.reports,
            "transactions": state.transactions,
            "certified": state.certified,
            "final": state.final,
            "member": state.member,
            "signing": state.signing,
            "frozen": state.frozen,
            "quorum": state.quorum_weight,
            "total_weight": state.total_weight,
            "proposer": None if state.proposer is None else state.proposer.hex(),
        },
        "tip": {"height": node.ledger.tip.height, "hash": node.ledger.tip.hash.hex()},
        "blocks": blocks.rows(node),
        "members": _members(node, own, blocks.absent_in_a_row(node)),
        "peers": _peers(node, past, seconds),
    }


def _members(node: Node, own: bytes, in_a_row: Mapping[bytes, int]) -> dict[str, Any]:
    """The current roster: who is connected, how often each voted for the newest payments, and who is missed."""
    path = node.chain.fastpath
    me = path.me
    votes: Counter[int] = Counter()
    acknowledgements: Counter[int] = Counter()
    # A dictionary keeps its order: the newest payments stand last.
    newest = list(islice(reversed(path.tallies.values()), TALLIES))
    for tally in newest:
        votes.update(tally.votes.signers.keys())
        acknowledgements.update(tally.acknowledgements.signers.keys())
    nodes = {peer.operator: peer.node_id for peer in node.peers.peers() if peer.operator is not None}
    rows = []
    for index, member in enumerate(path.roster.members[:MAX_MEMBERS]):
        node_id = own if index == me else nodes.get(member.operator_key)
        rows.append(
            {
                "index": index,
                "name": member.network_address.decode("utf-8", "replace"),
                "operator": member.operator_key.hex(),
                "node": None if node_id is None else node_id.hex(),
                "weight": member.weight,
                "self": index == me,
                "connected": node_id is not None,
                "votes": votes[index],
                "acknowledgements": acknowledgements[index],
                "unsigned": in_a_row.get(member.operator_key, 0),
                "missed": in_a_row.get(member.operator_key, 0) >= MISSED_IN_A_ROW,
            }
        )
    return {"count": len(path.roster.members), "payments": len(newest), "rows": rows}


def _peers(node: Node, past: Traffic, seconds: float) -> dict[str, Any]:
    table = node.peers
    handles = table.peers()
    now = table.clock.time
    rows = []
    for peer in handles[:MAX_PEERS]:
        session = table.session_with(peer.node_id)
        if session is None:
            continue
        traffic = session.traffic
        before = past.get(peer.node_id)
        member = node.chain.fastpath.roster.index_of(peer.operator) if peer.operator is not None else None
        rows.append(
            {
                "id": peer.generation,
                "node": peer.node_id.hex(),
                "address": peer.address,
                "outbound": peer.outbound,
                "software": peer.handshake.software,
                "version": peer.version,
                "member": member,
                "age": _seconds(now - session.opened_at),
                "ping": _seconds(traffic.round_trip),
                "ping_least": _seconds(traffic.round_trip_least),
                "clock": _seconds(traffic.clock_offset),
                "received": traffic.bytes_received,
                "sent": traffic.bytes_sent,
                "in_rate": _rate(traffic.bytes_received, before and before[0], seconds),
                "out_rate": _rate(traffic.bytes_sent, before and before[1], seconds),
                "queued": session.outbox.queued,
                "dropped": traffic.dropped,
                "paused": session.paused,
                "score": round(table.conduct.score(peer.node_id, table.now), 2),
            }
        )
    return {"count": len(handles), "rows": rows}


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / SECOND


def _rate(value: int, before: int | None, seconds: float) -> float | None:
    """Bytes per second; None while there is nothing to compare with."""
    if before is None or seconds <= 0:
        return None
    return round(max(0, value - before) / seconds, 1)

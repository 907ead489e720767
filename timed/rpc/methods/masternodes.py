"""Methods about the roster and the making of blocks."""

from __future__ import annotations

from functools import partial

from timed.params import SECOND
from timed.primitives.certificate import indices_of
from timed.primitives.roster import Roster
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError, not_found
from timed.rpc.moment import Moment
from timed.rpc.placing import from_snapshot
from timed.rpc.present import Object, member_object, quorum_weight
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot

KNOWN_AHEAD = 2
"""Rosters are known up to two blocks after the tip (protocol §2)."""


def masternodelist(env: Environment, height: int | None) -> Object:
    chain = env.chain
    tip = chain.tip().height
    if height is None:
        height = tip + 1
    if height > tip + KNOWN_AHEAD:
        raise RpcError(
            INVALID_PARAMETER,
            "The roster of that height is not known yet",
            rule="param-value",
            hint=f"The last known one is that of height {tip + KNOWN_AHEAD}.",
            param="height",
        )
    roster = chain.roster(height)
    nodes = _nodes(env)
    masternodes = [_member(env, roster, index, nodes) for index in range(len(roster.members))]
    return {"height": height, **_weights(roster), "roster": roster.hash.hex(), "masternodes": masternodes}


async def getmasternode(env: Environment, masternode: str, blocks: int) -> Object:
    chain = env.chain
    roster = chain.roster(chain.tip().height + 1)
    index = _index_of(env, roster, masternode)
    operator = roster.members[index].operator_key
    shown = _member(env, roster, index, _nodes(env))
    shown["attendance"] = await env.read(partial(_attendance, operator=operator, blocks=blocks))
    return shown


@from_snapshot
def getblockattendance(snapshot: Snapshot, block: int | bytes | Moment | None) -> Work[Object]:
    height = snapshot.tip().height if block is None else snapshot.height_of(block)
    opened = yield from snapshot.opened(height)
    roster = snapshot.roster(max(0, height - 1))
    attending = set(indices_of(opened.attendance, len(roster.members))) if height else set()
    members = [
        {**member_object(index, member, snapshot.params), "attended": index in attending}
        for index, member in enumerate(roster.members)
    ]
    return {
        "height": height,
        "hash": opened.header.hash.hex(),
        "parent": height - 1 if height else None,
        "attended": len(attending),
        "absent": len(members) - len(attending) if height else 0,
        "weight": roster.weight_of(sorted(attending)),
        "total_weight": roster.total_weight,
        "masternodes": members if height else [],
    }


def masternodestatus(env: Environment) -> Object:
    chain = env.chain
    operator = env.identity.operator
    roster = chain.roster(chain.tip().height + 1)
    index = roster.index_of(operator) if operator is not None else None
    if index is None:
        return {"status": "Not a masternode", "message": "This node is not configured as a masternode"}
    member = member_object(index, roster.members[index], env.params)
    consensus = chain.consensus()
    reason = consensus.frozen or chain.store_failure()
    voting = consensus.signing
    return {
        "status": "active" if voting else "silent",
        "index": index,
        "operator": member["operator"],
        "public_key": member["operator"],
        "address": member["address"],
        "reward_address": member["wallet_address"],
        "tier": member["tier"],
        "weight": member["weight"],
        "is_active": voting,
        "voting": voting,
        "reason": reason,
    }


def getconsensusinfo(env: Environment) -> Object:
    chain = env.chain
    state = chain.consensus()
    return {
        "type": "BFT",
        "masternodes": state.members,
        "total_weight": state.total_weight,
        "quorum": state.quorum_weight,
        "height": state.height,
        "epoch": state.epoch,
        "round": state.round,
        "step": state.step,
        "next_slot": state.slot_us // SECOND,
        "proposer": state.proposer.hex() if state.proposer is not None else None,
        "member": state.member,
        "voting": state.signing,
        "frozen": state.frozen,
        "reports": state.reports,
        "without_report": [operator.hex() for operator in state.without_report],
        "transactions": state.transactions,
        "certified": state.certified,
        "final": state.final,
    }


def _nodes(env: Environment) -> dict[bytes, bytes]:
    """The node id of each connected operator."""
    return {peer.operator: peer.node_id for peer in env.chain.peers() if peer.operator is not None}


def _member(env: Environment, roster: Roster, index: int, nodes: dict[bytes, bytes]) -> Object:
    member = roster.members[index]
    shown = member_object(index, member, env.params)
    shown["is_self"] = member.operator_key == env.identity.operator
    node = env.identity.node_id if shown["is_self"] else nodes.get(member.operator_key)
    shown["connected"] = node is not None
    shown["nodeid"] = node.hex() if node is not None else None
    return shown


def _index_of(env: Environment, roster: Roster, text: str) -> int:
    """The member that an index, an operator key, an address or a reward address names; RpcError -5."""
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < len(roster.members):
        return int(text)
    for index, member in enumerate(roster.members):
        shown = member_object(index, member, env.params)
        if text and text in (shown["operator"], shown["address"], shown["wallet_address"]):
            return index
    raise not_found(
        "Masternode",
        text[:64],
        "masternodelist shows them: give the index, operator, address or wallet_address.",
    )


def _attendance(snapshot: Snapshot, operator: bytes, blocks: int) -> Work[Object]:
    """What a member has signed and proposed of the newest `blocks`."""
    tip = snapshot.tip().height
    first = max(1, tip - blocks + 1)
    signed = proposed = counted = 0
    last_signed = last_proposed = None
    for height in range(first, tip + 1):
        certificate = snapshot.certificate(height)
        roster = snapshot.roster(height)
        index = roster.index_of(operator)
        if certificate is not None and index is not None:
            counted += 1
            if index in indices_of(certificate.bitmap, len(roster.members)):
                signed, last_signed = signed + 1, height
            if snapshot.header(height).proposer == operator:
                proposed, last_proposed = proposed + 1, height
        yield
    return {
        "first": first,
        "last": tip,
        "blocks": counted,
        "signed": signed,
        "last_signed": last_signed,
        "proposed": proposed,
        "last_proposed": last_proposed,
    }


def _weights(roster: Roster) -> Object:
    return {
        "total": len(roster.members),
        "total_weight": roster.total_weight,
        "quorum": quorum_weight(roster),
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (masternodelist, getmasternode, getblockattendance, masternodestatus, getconsensusinfo)
}

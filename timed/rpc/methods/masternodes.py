"""Methods about the roster and the making of blocks."""

from __future__ import annotations

from timed.params import SECOND
from timed.primitives.roster import Roster
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError
from timed.rpc.present import Object, member_object, quorum_weight

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
    connected = {peer.operator for peer in chain.peers()}
    masternodes = []
    for index, member in enumerate(roster.members):
        shown = member_object(index, member, env.params)
        shown["is_self"] = member.operator_key == env.identity.operator
        shown["connected"] = shown["is_self"] or member.operator_key in connected
        masternodes.append(shown)
    return {"height": height, **_weights(roster), "roster": roster.hash.hex(), "masternodes": masternodes}


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
        "transactions": state.transactions,
        "certified": state.certified,
        "final": state.final,
    }


def _weights(roster: Roster) -> Object:
    return {
        "total": len(roster.members),
        "total_weight": roster.total_weight,
        "quorum": quorum_weight(roster),
    }


HANDLERS = {handler.__name__: handler for handler in (masternodelist, masternodestatus, getconsensusinfo)}

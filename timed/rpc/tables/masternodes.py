"""The methods about masternodes and the making of blocks."""

from __future__ import annotations

from timed.rpc.method import Method, Param
from timed.rpc.schema import Integer

METHODS = (
    Method(
        "masternodelist",
        "masternodes",
        "The roster of the block being made.",
        "object: height, total, total_weight, quorum, masternodes (index, operator, owner, address, wallet_address, tier, "
        "weight, connected, is_self)",
        (Param("height", Integer(), "The roster of this height.", None),),
        cost=5,
    ),
    Method(
        "masternodestatus",
        "masternodes",
        "Whether this node is a member, and as what.",
        "object: status, and for a member index, operator, address, reward_address, tier, weight, voting, reason",
    ),
    Method(
        "getconsensusinfo",
        "masternodes",
        "Where the making of the next block stands.",
        "object: type, masternodes, total_weight, quorum, height, epoch, round, step, next_slot, proposer, member, voting, "
        "frozen, reports, transactions, certified, final",
    ),
)

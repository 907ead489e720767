"""The methods about masternodes and the making of blocks."""

from __future__ import annotations

from timed.rpc.method import Method, Param
from timed.rpc.schema import Integer, Text
from timed.rpc.tables.blocks import OPTIONAL_BLOCK

METHODS = (
    Method(
        "masternodelist",
        "masternodes",
        "The roster of the block being made.",
        "object: height, total, total_weight, quorum, masternodes (index, operator, owner, address, wallet_address, tier, "
        "weight, connected, nodeid, is_self)",
        (Param("height", Integer(), "The roster of this height.", None),),
        more=("0",),
        cost=5,
    ),
    Method(
        "getmasternode",
        "masternodes",
        "One member of the roster, and what it has signed and proposed of the newest blocks.",
        "object: the members of masternodelist, and attendance (first, last, blocks, signed, last_signed, proposed, "
        "last_proposed)",
        (
            Param("masternode", Text(256), "Its index, operator key, address or wallet_address."),
            Param("blocks", Integer(1, 1_000), "How many of the newest blocks are looked at.", 100),
        ),
        example="0",
        cost=50,
    ),
    Method(
        "getblockattendance",
        "masternodes",
        "Which members a block counts as present: the signers of its parent's certificate, who share its reward.",
        "object: height, hash, parent, attended, absent, weight, total_weight, masternodes (also attended)",
        (OPTIONAL_BLOCK,),
        example="1",
        cost=20,
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
        "frozen, reports (count), without_report (operators of the members that are waited for), transactions, certified, "
        "final",
    ),
)

"""What an operator should know, as the `warnings` of getblockchaininfo and getnetworkinfo say it."""

from __future__ import annotations

from timed.node.chain import MAX_CLOCK_OFFSET_US
from timed.params import SECOND
from timed.primitives.roster import is_quorum
from timed.rpc.environment import Environment


def warnings(env: Environment) -> str:
    """Sentences, the gravest first; empty when all is well."""
    return " ".join(_sentences(env))


def _sentences(env: Environment) -> list[str]:
    chain = env.chain
    found = []
    failure = chain.store_failure()
    if failure is not None:
        found.append(f"Nothing is written any more: {failure}.")
    frozen = chain.consensus().frozen
    if frozen is not None:
        found.append(f"This node signs nothing: {frozen}.")
    offset = env.peers.clock_offset()
    if offset is not None and abs(offset) > MAX_CLOCK_OFFSET_US:
        found.append(f"This machine's clock is off by {abs(offset) / SECOND:.1f} s.")
    lacking = _lacking(env)
    if lacking:
        found.append(lacking)
    return found


def _lacking(env: Environment) -> str:
    """Of a member, that the members it has sessions with are no quorum."""
    roster = env.chain.roster(env.chain.tip().height + 1)
    operator = env.identity.operator
    if operator is None or roster.index_of(operator) is None:
        return ""
    there = {peer.operator for peer in env.chain.peers()} | {operator}
    weight = sum(member.weight for member in roster.members if member.operator_key in there)
    total = roster.total_weight
    if is_quorum(weight, total):
        return ""
    return f"Members of weight {weight} out of {total} are connected: that is no quorum."

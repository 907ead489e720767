"""Methods about what was minted, and who received it."""

from __future__ import annotations

from timed.ledger.rewards import base_reward
from timed.primitives.transaction import Lock
from timed.rpc.blockstats import MemberReward, reward_report
from timed.rpc.chainview import check_range
from timed.rpc.environment import Environment
from timed.rpc.jsontext import amount
from timed.rpc.moment import Moment
from timed.rpc.present import Object, address_of
from timed.rpc.supply import supply
from timed.rpc.tables.blocks import MAX_REPORTED


async def getsupply(env: Environment, block: int | bytes | Moment | None) -> Object:
    view = env.view
    height = view.tip().height if block is None else view.height_of(block)
    found = await env.heavy(supply(view, height))
    members = len(view.genesis.roster_at(height).members)
    return {
        "height": height,
        "blockhash": view.header(height).hash.hex(),
        "time": found.time,
        "supply": amount(found.supply),
        "allocation": amount(found.allocation),
        "minted": amount(found.minted),
        "scheduled_supply": amount(found.scheduled),
        "burnt": amount(0),
        "fees_paid": amount(found.fees) if found.fees is not None else None,
        "next_reward_at_most": amount(base_reward(members)),
    }


async def getrewardreport(
    env: Environment, begin: int | bytes | Moment, end: int | bytes | Moment | None, address: str
) -> Object:
    view = env.view
    wanted = env.lock_of(address) if address else None
    first = max(1, view.height_of(begin, after=True))
    last = view.tip().height if end is None else view.height_of(end)
    check_range(first, last, MAX_REPORTED)
    found = await env.heavy(reward_report(view, first, last))
    shown = [one for one in found.members if wanted is None or one.output.lock == wanted]
    return {
        "begin": first,
        "end": last,
        "begin_time": view.header(first).time,
        "end_time": view.header(last).time,
        "blocks": last - first + 1,
        "minted": amount(found.minted),
        "fees": amount(found.fees),
        "total": amount(found.minted + found.fees),
        "shown_total": amount(sum(one.output.value for one in shown)),
        "masternodes": [_reward_object(env, one, last - first + 1) for one in shown],
    }


def _reward_object(env: Environment, one: MemberReward, blocks: int) -> Object:
    lock: Lock = one.output.lock
    return {
        "operator": one.operator.hex(),
        "wallet_address": address_of(lock, env.params),
        "reward": amount(one.output.value),
        "attended": one.blocks,
        "missed": blocks - one.blocks,
    }


HANDLERS = {handler.__name__: handler for handler in (getsupply, getrewardreport)}

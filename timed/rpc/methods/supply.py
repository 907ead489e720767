"""Methods about what was minted, and who received it."""

from __future__ import annotations

from timed.ledger.rewards import base_reward
from timed.primitives.transaction import Lock
from timed.rpc.blockstats import MemberReward, reward_report
from timed.rpc.chainview import check_range
from timed.rpc.jsontext import amount
from timed.rpc.moment import Moment
from timed.rpc.placing import from_snapshot
from timed.rpc.present import Object, address_of
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot
from timed.rpc.supply import supply
from timed.rpc.tables.blocks import MAX_REPORTED


@from_snapshot
def getsupply(snapshot: Snapshot, block: int | bytes | Moment | None) -> Work[Object]:
    height = snapshot.tip().height if block is None else snapshot.height_of(block)
    found = yield from supply(snapshot, height)
    members = len(snapshot.genesis.roster_at(height).members)
    return {
        "height": height,
        "blockhash": snapshot.header(height).hash.hex(),
        "time": found.time,
        "supply": amount(found.supply),
        "allocation": amount(found.allocation),
        "minted": amount(found.minted),
        "scheduled_supply": amount(found.scheduled),
        "burnt": amount(0),
        "fees_paid": amount(found.fees) if found.fees is not None else None,
        "next_reward_at_most": amount(base_reward(members)),
    }


@from_snapshot
def getrewardreport(
    snapshot: Snapshot, begin: int | bytes | Moment, end: int | bytes | Moment | None, address: str
) -> Work[Object]:
    wanted = snapshot.lock_of(address) if address else None
    first = max(1, snapshot.height_of(begin, after=True))
    last = snapshot.tip().height if end is None else snapshot.height_of(end)
    check_range(first, last, MAX_REPORTED)
    found = yield from reward_report(snapshot, first, last)
    shown = [one for one in found.members if wanted is None or one.output.lock == wanted]
    return {
        "begin": first,
        "end": last,
        "begin_time": snapshot.header(first).time,
        "end_time": snapshot.header(last).time,
        "blocks": last - first + 1,
        "minted": amount(found.minted),
        "fees": amount(found.fees),
        "total": amount(found.minted + found.fees),
        "shown_total": amount(sum(one.output.value for one in shown)),
        "masternodes": [_reward_object(snapshot, one, last - first + 1) for one in shown],
    }


def _reward_object(snapshot: Snapshot, one: MemberReward, blocks: int) -> Object:
    lock: Lock = one.output.lock
    return {
        "operator": one.operator.hex(),
        "wallet_address": address_of(lock, snapshot.params),
        "reward": amount(one.output.value),
        "attended": one.blocks,
        "missed": blocks - one.blocks,
    }


HANDLERS = {handler.__name__: handler for handler in (getsupply, getrewardreport)}

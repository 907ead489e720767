"""Methods about the whole set of coins."""

from __future__ import annotations

from typing import Any

from timed.primitives.lthash import LtHash
from timed.rpc.coinset import Found, Recount
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.placing import anywhere, from_snapshot
from timed.rpc.present import Object, address_of
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot


@from_snapshot
def gettxoutsetinfo(snapshot: Snapshot, hash_type: str) -> Work[Object]:
    if hash_type == "recount":
        found = yield from snapshot.scan.recount(snapshot)
        return _set_object(snapshot, found) | {
            "txouts": found.coins,
            "total_amount": amount(found.supply),
            "transactions": found.transactions,
            "digests": _digests(found.digests),
            "recounted": True,
            "matches": not found.differences,
            "differences": list(found.differences),
        }
    stored = snapshot.tip()
    return _set_object(snapshot, Recount(stored, stored.coins, 0, stored.supply, stored.digests))


def _set_object(snapshot: Snapshot, found: Recount) -> Object:
    tip = found.tip
    return {
        "height": tip.height,
        "bestblock": tip.block_hash.hex(),
        "transactions": None,
        "txouts": tip.coins,
        "total_amount": amount(tip.supply),
        "supply": amount(tip.supply),
        "utxo_root": snapshot.header(tip.height).utxo_root.hex(),
        "digests": _digests(tip.digests),
        "disk_size": None,
        "recounted": False,
    }


def _digests(states: tuple[bytes, ...]) -> list[str]:
    return [LtHash.from_state(state).digest().hex() for state in states]


@anywhere
async def scantxoutset(env: Environment, action: str, scanobjects: tuple[str, ...]) -> Any:
    scan = env.scan
    if action == "abort":
        return scan.abort()
    if action == "status":
        if not scan.running:
            return None
        return {"progress": 100 * scan.scanned // max(1, scan.total), "scanned": scan.scanned}
    if not scanobjects:
        raise RpcError(
            INVALID_PARAMETER,
            "There is no address to look for",
            rule="param-value",
            hint="Give a list of addresses.",
            param="scanobjects",
        )
    locks = {env.lock_of(_plain(text)) for text in scanobjects}
    scan.check_free()
    found = await env.read(lambda snapshot: snapshot.scan.find(snapshot, locks))
    return {"success": False, "unspents": []} if found is None else _found_object(env, found)


def _plain(text: str) -> str:
    """The address in one of Bitcoin's descriptors of an address."""
    return text[5:-1] if text.startswith("addr(") and text.endswith(")") else text


def _found_object(env: Environment, found: Found) -> Object:
    return {
        "success": True,
        "txouts": found.scanned,
        "height": found.tip.height,
        "bestblock": found.tip.block_hash.hex(),
        "unspents": [
            {
                "txid": outpoint.txid.hex(),
                "vout": outpoint.index,
                "address": address_of(coin.output.lock, env.params),
                "amount": amount(coin.output.value),
                "coinbase": coin.coinbase,
                "height": coin.height,
            }
            for outpoint, coin in found.coins
        ],
        "total_amount": amount(sum(coin.output.value for _, coin in found.coins)),
    }


HANDLERS = {handler.__name__: handler for handler in (gettxoutsetinfo, scantxoutset)}

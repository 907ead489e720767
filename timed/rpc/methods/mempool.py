"""Methods around the mempool: what waits there, and what would be let in."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from timed.errors import InvalidTransaction, StoreError
from timed.index.tables import SPENT
from timed.ledger.mempool import MAX_BYTES, MAX_COUNT, Entry
from timed.node.admission import Verdict
from timed.primitives.transaction import OutPoint
from timed.rpc.backend import ChainBackend
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.errors import HINTS, MISC, RpcError, not_found
from timed.rpc.jsontext import amount
from timed.rpc.present import Object
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot
from timed.rpc.submission import DECISION_US

ENTRIES_PER_TURN = 200
"""Entries shown between two turns of the reactor."""


@attrs.frozen
class _Told:
    """The event that ends an examination."""

    verdict: Verdict


def getmempoolinfo(env: Environment) -> Object:
    mempool = env.chain.mempool
    least = amount(env.chain.params.minimum_fee)
    return {
        "loaded": True,
        "size": len(mempool),
        "bytes": mempool.bytes,
        "usage": mempool.bytes,
        "maxmempool": MAX_BYTES,
        "maxcount": MAX_COUNT,
        "waiting": len(mempool.waiting),
        "mempoolminfee": least,
        "minrelaytxfee": least,
        "counters": env.chain.mempool_counters(),
    }


async def getrawmempool(env: Environment, verbose: bool) -> Any:
    chain = env.chain
    txids = chain.mempool.txids()
    if not verbose:
        return [txid.hex() for txid in txids]
    shown = {}
    for number, txid in enumerate(txids, 1):
        entry = chain.mempool.entry(txid)
        if entry is not None:
            shown[txid.hex()] = _entry_object(chain, txid, entry)
        if number % ENTRIES_PER_TURN == 0:
            await env.pause()
    return shown


def getmempoolentry(env: Environment, txid: bytes) -> Object:
    chain = env.chain
    shown = _entry_object(chain, txid, _entry(chain, txid))
    for kind, family in (("ancestor", _ancestors(chain, txid)), ("descendant", _descendants(chain, txid))):
        entries = [entry for each in (txid, *family) if (entry := chain.mempool.entry(each)) is not None]
        shown[f"{kind}count"] = len(entries)
        shown[f"{kind}size"] = sum(entry.transaction.size for entry in entries)
        shown[f"{kind}fees"] = amount(sum(entry.fee for entry in entries))
    return shown


def getmempoolancestors(env: Environment, txid: bytes, verbose: bool) -> Any:
    _entry(env.chain, txid)
    return _family(env.chain, _ancestors(env.chain, txid), verbose)


def getmempooldescendants(env: Environment, txid: bytes, verbose: bool) -> Any:
    _entry(env.chain, txid)
    return _family(env.chain, _descendants(env.chain, txid), verbose)


async def gettxspendingprevout(env: Environment, outputs: tuple[dict[str, Any], ...]) -> list[Object]:
    """Who spends it in the mempool, and of the others with the index who spent it in a block."""
    mempool = env.chain.mempool
    outpoints = [OutPoint(each["txid"], each["vout"]) for each in outputs]
    pending = {outpoint: mempool.spenders(outpoint) for outpoint in outpoints}
    free = [outpoint for outpoint, spenders in pending.items() if not spenders]
    indexes = env.indexes()
    confirmed: dict[OutPoint, Object] = {}
    if free and indexes is not None and SPENT in indexes.reader.enabled:
        confirmed = await env.read(partial(_spent_in_blocks, outpoints=free))
    found = []
    for outpoint in outpoints:
        shown: Object = {"txid": outpoint.txid.hex(), "vout": outpoint.index}
        spenders = pending[outpoint]
        if spenders:
            shown["spendingtxid"] = spenders[0].hex()
        if len(spenders) > 1:
            shown["conflicts"] = [txid.hex() for txid in spenders[1:]]
        found.append(shown | confirmed.get(outpoint, {}))
    return found


def _spent_in_blocks(snapshot: Snapshot, outpoints: list[OutPoint]) -> Work[dict[OutPoint, Object]]:
    """A damaged index, and one that has not begun, count as none: they take nothing away."""
    found: dict[OutPoint, Object] = {}
    try:
        reader = snapshot.indexes.spent if snapshot.indexes is not None else None
        if reader is None:
            return found
        for outpoint in outpoints:
            page = reader.spender(outpoint)
            found[outpoint] = {"indexed_height": page.height}
            if page.spend is not None:
                found[outpoint] |= {
                    "spendingtxid": page.spend.txid.hex(),
                    "height": page.spend.height,
                    "confirmations": page.height - page.spend.height + 1,
                }
            yield
    except StoreError:
        return {}
    return found


async def testmempoolaccept(env: Environment, rawtxs: tuple[bytes, ...]) -> list[Object]:
    """One after the other, so that a caller has one check of signatures under way."""
    shown = []
    for raw in rawtxs:
        transaction = decode_transaction(raw)
        verdict = await _examined(env, raw)
        each: Object = {
            "txid": transaction.txid.hex(),
            "allowed": verdict.refusal is None,
            "size": transaction.size,
        }
        if verdict.fee is not None:
            each["fees"] = {"base": amount(verdict.fee)}
        if verdict.displaced:
            each["displaces"] = [txid.hex() for txid in verdict.displaced]
        if verdict.refusal is not None:
            each["reject-reason"] = verdict.refusal.rule
            each["reject-details"] = str(verdict.refusal)
            each["hint"] = HINTS.get(verdict.refusal.rule, "")
        shown.append(each)
    return shown


async def _examined(env: Environment, raw: bytes) -> Verdict:
    subject = b"examined " + raw
    told = env.waiters.wait(subject, lambda event: isinstance(event, _Told), DECISION_US)
    try:
        env.chain.examine(raw, lambda verdict: env.waiters.tell(subject, _Told(verdict)))
    except InvalidTransaction as error:
        env.waiters.forget(told)
        return Verdict(refusal=error)
    event = await told
    # It may have been told in the midst of a turn of the node.
    await env.pause()
    if event is None:
        raise RpcError(
            MISC,
            "The node has not decided on the transaction in time",
            rule="submit-timeout",
            hint="Ask again when it is less busy.",
        )
    verdict: Verdict = event.verdict
    return verdict


def _entry(chain: ChainBackend, txid: bytes) -> Entry:
    entry = chain.mempool.entry(txid)
    if entry is None:
        raise not_found(
            "Transaction", txid.hex(), "It is not in the mempool; gettransaction knows those of blocks, too."
        )
    return entry


def _ancestors(chain: ChainBackend, txid: bytes) -> tuple[bytes, ...]:
    """Parents first."""
    transaction = chain.mempool.get(txid)
    if transaction is None:
        return ()
    return tuple(each.txid for each in chain.mempool.lineage(transaction, ())[:-1])


def _descendants(chain: ChainBackend, txid: bytes) -> tuple[bytes, ...]:
    return chain.mempool.descendants(txid)


def _family(chain: ChainBackend, txids: tuple[bytes, ...], verbose: bool) -> Any:
    if not verbose:
        return [txid.hex() for txid in txids]
    entries = ((txid, chain.mempool.entry(txid)) for txid in txids)
    return {txid.hex(): _entry_object(chain, txid, entry) for txid, entry in entries if entry is not None}


def _entry_object(chain: ChainBackend, txid: bytes, entry: Entry) -> Object:
    status = chain.status(txid)
    mempool = chain.mempool
    return {
        "size": entry.transaction.size,
        "fee": amount(entry.fee),
        "feerate": amount(entry.rate),
        "height": entry.height,
        "state": status.state if status is not None else None,
        "depends": list(
            dict.fromkeys(
                outpoint.txid.hex() for outpoint in entry.transaction.inputs if outpoint.txid in mempool
            )
        ),
        "spentby": [child.hex() for child in mempool.children(txid)],
        "conflicts": [other.hex() for other in mempool.conflicts(entry.transaction)],
        "kept": entry.pinned,
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getmempoolinfo,
        getrawmempool,
        getmempoolentry,
        getmempoolancestors,
        getmempooldescendants,
        gettxspendingprevout,
        testmempoolaccept,
    )
}

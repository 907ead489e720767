"""Methods that read the chain."""

from __future__ import annotations

from typing import Any

from timed.events import BlockCertified
from timed.primitives.transaction import OutPoint
from timed.rpc.chainview import no_block
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.moment import Moment
from timed.rpc.placing import from_blocks, from_snapshot
from timed.rpc.present import (
    Object,
    block_object,
    coin_object,
    header_object,
    lock_object,
    transaction_text,
)
from timed.rpc.slices import Work
from timed.rpc.snapshot import Blocks, Snapshot
from timed.rpc.waiting import NEW_BLOCK
from timed.rpc.warnings import warnings


def getblockchaininfo(env: Environment) -> Object:
    chain = env.chain
    tip, stored, sync = chain.tip(), chain.stored_tip(), chain.sync()
    best = max(sync.proven, tip.height)
    syncing = best > tip.height
    return {
        "chain": chain.params.chain,
        "network": chain.params.name,
        "height": tip.height,
        "blocks": tip.height,
        "headers": best,
        "bestblockhash": tip.hash.hex(),
        "genesishash": chain.genesis.hash.hex(),
        "time": tip.header.time,
        "mediantime": tip.header.time,
        "interval_s": chain.genesis.interval,
        "syncing": syncing,
        "initialblockdownload": syncing,
        "verificationprogress": (tip.height + 1) / (best + 1),
        "supply": amount(stored.supply) if stored is not None else None,
        "coins": stored.coins if stored is not None else None,
        "utxo_root": tip.header.utxo_root.hex(),
        "pruned": False,
        "consensus": "BFT",
        "instant_finality": True,
        "warnings": warnings(env),
    }


@from_blocks
def getblockcount(blocks: Blocks) -> int:
    return blocks.newest().height


@from_blocks
def getbestblockhash(blocks: Blocks) -> str:
    return blocks.newest().hash.hex()


@from_blocks
def getblockhash(blocks: Blocks, height: int) -> str:
    header = blocks.find_header(height)
    if header is None:
        raise RpcError(
            INVALID_PARAMETER,
            "Block height out of range",
            rule="param-value",
            hint=f"The newest block is {blocks.newest().height}.",
            param="height",
        )
    return header.hash.hex()


@from_blocks
def getchaintips(blocks: Blocks) -> list[Object]:
    tip = blocks.newest()
    return [{"height": tip.height, "hash": tip.hash.hex(), "branchlen": 0, "status": "active"}]


async def waitfornewblock(env: Environment, timeout_s: int) -> Object:
    """`timeout_s` arrives in microseconds."""
    return await _wait_for_height(env, env.chain.tip().height + 1, timeout_s)


async def waitforblockheight(env: Environment, height: int, timeout_s: int) -> Object:
    """`timeout_s` arrives in microseconds."""
    return await _wait_for_height(env, height, timeout_s)


async def _wait_for_height(env: Environment, height: int, timeout_us: int) -> Object:
    chain = env.chain

    def is_there(event: object) -> bool:
        return isinstance(event, BlockCertified) and event.height >= height

    if chain.tip().height < height:
        await env.waiters.wait(NEW_BLOCK, is_there, timeout_us)
    tip = chain.tip()
    return {"hash": tip.hash.hex(), "height": tip.height, "timed_out": tip.height < height}


@from_snapshot
def getblock(snapshot: Snapshot, block: int | bytes | Moment, verbosity: int) -> Work[Any]:
    height = snapshot.height_of(block)
    raw = snapshot.store.block(height)
    if raw is None:
        raise no_block(height)
    if verbosity == 0:
        return raw.hex()
    found = yield from snapshot.opened(height)
    shown: list[Any] = []
    for transaction in found.transactions:
        if verbosity == 2:
            shown.append((yield from transaction_text(transaction, snapshot.params)))
        else:
            shown.append(transaction.txid.hex())
    return block_object(found, len(raw), shown, snapshot)


@from_blocks
def getblockheader(blocks: Blocks, block: int | bytes | Moment, verbose: bool) -> Any:
    height = blocks.height_meant(block)
    header = blocks.find_header(height)
    if header is None:
        raise no_block(height)
    return header_object(header, blocks) if verbose else header.encode().hex()


def gettxout(env: Environment, txid: bytes, n: int, include_mempool: bool) -> Object | None:
    chain = env.chain
    outpoint = OutPoint(txid, n)
    if include_mempool and chain.spenders(outpoint):
        return None
    coin = chain.coin(outpoint)
    if coin is not None:
        shown = coin_object(coin, chain)
    else:
        output = chain.mempool.output(outpoint) if include_mempool else None
        if output is None:
            return None
        shown = {
            "bestblock": chain.tip().hash.hex(),
            "confirmations": 0,
            "value": amount(output.value),
            "scriptPubKey": lock_object(output.lock, chain.params),
            "coinbase": False,
        }
    status = chain.output_status(outpoint)
    shown["state"] = status.state
    shown["spender"] = status.spender.hex() if status.spender is not None else None
    return shown


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getblockchaininfo,
        getblockcount,
        getbestblockhash,
        getblockhash,
        getchaintips,
        waitfornewblock,
        waitforblockheight,
        getblock,
        getblockheader,
        gettxout,
    )
}

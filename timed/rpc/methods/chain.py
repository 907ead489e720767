"""Methods that read the chain."""

from __future__ import annotations

from typing import Any

from timed.primitives.lthash import LtHash
from timed.primitives.transaction import OutPoint
from timed.rpc.backend import ChainBackend
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError, not_found
from timed.rpc.jsontext import amount
from timed.rpc.present import Object, block_object, coin_object, header_object, lock_object


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
        "warnings": "",
    }


def getblockcount(env: Environment) -> int:
    return env.chain.tip().height


def getbestblockhash(env: Environment) -> str:
    return env.chain.tip().hash.hex()


def getblockhash(env: Environment, height: int) -> str:
    header = env.chain.header(height)
    if header is None:
        raise RpcError(
            INVALID_PARAMETER,
            "Block height out of range",
            rule="param-value",
            hint=f"The newest block is {env.chain.tip().height}.",
            param="height",
        )
    return header.hash.hex()


def getblock(env: Environment, block: int | bytes, verbosity: int) -> Any:
    chain = env.chain
    height = _height(chain, block)
    if verbosity == 0:
        raw = chain.raw_block(height)
        if raw is None:
            raise _no_block(block)
        return raw.hex()
    found = chain.block(height)
    if found is None:
        raise _no_block(block)
    return block_object(found, chain, decoded=verbosity == 2)


def getblockheader(env: Environment, block: int | bytes, verbose: bool) -> Any:
    header = env.chain.header(_height(env.chain, block))
    if header is None:
        raise _no_block(block)
    return header_object(header, env.chain) if verbose else header.encode().hex()


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


def gettxoutsetinfo(env: Environment) -> Object:
    chain = env.chain
    stored = chain.stored_tip()
    if stored is None:
        raise RpcError(INVALID_PARAMETER, "There is no block yet", rule="no-chain", hint="Try again soon.")
    header = chain.header(stored.height)
    return {
        "height": stored.height,
        "bestblock": stored.block_hash.hex(),
        "transactions": None,
        "txouts": stored.coins,
        "total_amount": amount(stored.supply),
        "supply": amount(stored.supply),
        "utxo_root": header.utxo_root.hex() if header is not None else None,
        "digests": [LtHash.from_state(state).digest().hex() for state in stored.digests],
        "disk_size": None,
    }


def _height(chain: ChainBackend, block: int | bytes) -> int:
    if isinstance(block, int):
        return block
    height = chain.height_of(block)
    if height is None:
        raise _no_block(block)
    return height


def _no_block(block: int | bytes) -> RpcError:
    text = str(block) if isinstance(block, int) else block.hex()
    return not_found("Block", text, "Ask getblockcount for the newest height.")


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getblockchaininfo,
        getblockcount,
        getbestblockhash,
        getblockhash,
        getblock,
        getblockheader,
        gettxout,
        gettxoutsetinfo,
    )
}

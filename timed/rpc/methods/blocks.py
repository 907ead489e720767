"""Methods about blocks: ranges of headers, filters, statistics, certificates, dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timed.crypto.batch import verify_batch
from timed.errors import InvalidCertificate, StoreError
from timed.ledger.filters import output_filter
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import BlockCertificate, SignatureItem, indices_of
from timed.primitives.filters import check_filter, filter_key, filter_root
from timed.primitives.roster import quorum_weight
from timed.rpc.blockstats import (
    MAX_COUNTED,
    PERCENTILES,
    BlockStatistics,
    block_statistics,
    count_transactions,
)
from timed.rpc.chainview import ChainView, index_needed
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, MISC, RpcError, not_found
from timed.rpc.jsontext import amount
from timed.rpc.moment import Moment
from timed.rpc.present import Object, address_of, header_object
from timed.rpc.slices import Work

SIGNATURES_PER_STEP = 16


async def getblockheaders(env: Environment, block: int | bytes | Moment, count: int, verbose: bool) -> Any:
    view = env.view
    first = view.height_of(block, after=True)
    last = min(view.tip().height, first + count - 1)

    def headers() -> Work[list[Any]]:
        shown: list[Any] = []
        for height in range(first, last + 1):
            header = view.header(height)
            shown.append(header_object(header, env.chain) if verbose else header.encode().hex())
            yield
        return shown

    return await env.heavy(headers())


async def getblockfilter(env: Environment, block: int | bytes | Moment, filtertype: str) -> Object:
    view = env.view
    header, encoded = await env.heavy(_filter(view, view.height_of(block)))
    if filter_root(encoded) != header.filter_root:
        raise StoreError(
            f"the filter of block {header.height} is not the one its header commits to.",
            "The database is damaged; restore this data directory or sync anew.",
        )
    return {
        "filter": encoded.hex(),
        "items": check_filter(encoded),
        "key": filter_key(header.tx_root).hex(),
        "filter_root": header.filter_root.hex(),
        "header": header.encode().hex(),
        "blockhash": header.hash.hex(),
        "height": header.height,
    }


def _filter(view: ChainView, height: int) -> Work[tuple[BlockHeader, bytes]]:
    block = yield from view.opened(height)
    spent = yield from view.spent_outputs(block)
    return block.header, output_filter(block.header.tx_root, block.transactions, spent)


async def getblockstats(env: Environment, block: int | bytes | Moment, stats: tuple[str, ...]) -> Object:
    view = env.view
    found = await env.heavy(block_statistics(view, view.height_of(block)))
    shown = _statistics_object(found)
    return {name: shown[name] for name in stats} if stats else shown


def _statistics_object(found: BlockStatistics) -> Object:
    header = found.block.header
    return {
        "height": header.height,
        "blockhash": header.hash.hex(),
        "time": header.time,
        "mediantime": header.time,
        "round": header.round,
        "txs": found.transactions,
        "ins": found.inputs,
        "outs": found.outputs,
        "utxo_increase": found.outputs - found.inputs,
        "total_size": found.size,
        "mintxsize": found.transaction_size.least,
        "mediantxsize": found.transaction_size.middle,
        "avgtxsize": found.transaction_size.mean,
        "maxtxsize": found.transaction_size.most,
        "total_out": amount(found.total_out),
        "totalfee": amount(found.fees),
        "minfee": amount(found.fee.least),
        "medianfee": amount(found.fee.middle),
        "avgfee": amount(found.fee.mean),
        "maxfee": amount(found.fee.most),
        "minfeerate": amount(found.fee_rate.least),
        "avgfeerate": amount(found.fee_rate.mean),
        "maxfeerate": amount(found.fee_rate.most),
        "feerate_percentiles": {
            str(percent): amount(rate) for percent, rate in zip(PERCENTILES, found.percentiles, strict=True)
        },
        "subsidy": amount(found.minted),
        "reward": amount(header.reward),
        "attending": found.attending,
        "members": found.members,
        "attending_weight": found.weight,
        "total_weight": found.total_weight,
        "reports": len(found.block.reports),
        "evidence": len(found.block.evidence),
    }


def findblockbydate(env: Environment, time: int, side: str) -> Object:
    view = env.view
    height = view.height_at(time, after=side == "after")
    if height is None:
        raise not_found("Block", f"{side} {time}", f"The chain begins at {view.header(0).time}.")
    header = view.header(height)
    return {"height": height, "hash": header.hash.hex(), "time": header.time, "asked": time, "side": side}


async def getchaintxstats(
    env: Environment, nblocks: int | None, block: int | bytes | Moment | None
) -> Object:
    view = env.view
    last = view.tip().height if block is None else view.height_of(block)
    count = min(last, MAX_COUNTED) if nblocks is None else nblocks
    if count > last:
        raise RpcError(
            INVALID_PARAMETER,
            f"There are only {last} blocks below block {last}",
            rule="param-value",
            hint="Ask for fewer blocks.",
            param="nblocks",
        )
    if count > MAX_COUNTED and (view.totals(last) is None or view.totals(last - count) is None):
        raise index_needed(f"Counting more than {MAX_COUNTED} blocks", "transactions")
    found = await env.heavy(count_transactions(view, last - count, last))
    seconds = found.last_time - found.first_time
    return {
        "time": found.last_time,
        "txcount": found.total,
        "window_final_block_hash": view.header(last).hash.hex(),
        "window_final_block_height": last,
        "window_block_count": count,
        "window_tx_count": found.transactions,
        "window_interval": seconds,
        "txrate": found.transactions / seconds if seconds else None,
    }


async def getblockcertificate(env: Environment, block: int | bytes | Moment) -> Object:
    view = env.view
    height = view.height_of(block)
    header, certificate = view.header(height), view.certificate(height)
    if certificate is None:
        raise RpcError(
            MISC,
            "The genesis block has no certificate",
            rule="certificate-none",
            hint="It is known to be right: its hash names the chain.",
        )
    problem: str | None = None
    try:
        if (certificate.height, certificate.target) != (height, header.hash):
            raise InvalidCertificate("certificate-target", "it certifies another block")
        items = certificate.signature_items(view.genesis.roster_at(height))
        if not all(await env.heavy(verdicts(items))):
            raise InvalidCertificate("signature")
    except InvalidCertificate as error:
        problem = str(error)
    return _certificate_object(view, certificate, problem)


def _certificate_object(view: ChainView, certificate: BlockCertificate, problem: str | None) -> Object:
    roster, params = view.genesis.roster_at(certificate.height), view.genesis.params
    signers = indices_of(certificate.bitmap, len(roster.members))
    members = roster.members
    return {
        "blockhash": certificate.target.hex(),
        "height": certificate.height,
        "round": certificate.round,
        "roster": certificate.roster.hex(),
        "verified": problem is None,
        "problem": problem,
        "weight": roster.weight_of(signers),
        "total_weight": roster.total_weight,
        "quorum": quorum_weight(roster.total_weight),
        "signers": [
            {
                "index": index,
                "operator": members[index].operator_key.hex(),
                "wallet_address": address_of(members[index].reward, params),
                "weight": members[index].weight,
                "signature": signature.hex(),
            }
            for index, signature in zip(signers, certificate.signatures, strict=False)
        ],
        "absent": [index for index in range(len(members)) if index not in frozenset(signers)],
        "hex": certificate.encode().hex(),
    }


def verdicts(items: Sequence[SignatureItem]) -> Work[tuple[bool, ...]]:
    """The signature rule's verdicts, in steps."""
    found: tuple[bool, ...] = ()
    for begin in range(0, len(items), SIGNATURES_PER_STEP):
        found += verify_batch(items[begin : begin + SIGNATURES_PER_STEP])
        yield
    return found


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getblockheaders,
        getblockfilter,
        getblockstats,
        findblockbydate,
        getchaintxstats,
        getblockcertificate,
    )
}

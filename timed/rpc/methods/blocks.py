"""Methods about blocks: ranges of headers, filters, statistics, certificates, dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timed.crypto.batch import verify_batch
from timed.errors import InvalidCertificate, StoreError
from timed.ledger.filters import output_filter
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
from timed.rpc.errors import INVALID_PARAMETER, MISC, RpcError, not_found
from timed.rpc.jsontext import amount
from timed.rpc.moment import Moment
from timed.rpc.placing import from_snapshot
from timed.rpc.present import Object, address_of, header_object
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot

SIGNATURES_PER_STEP = 16


@from_snapshot
def getblockheaders(
    snapshot: Snapshot, block: int | bytes | Moment, count: int, verbose: bool
) -> Work[list[Any]]:
    first = snapshot.height_of(block, after=True)
    last = min(snapshot.tip().height, first + count - 1)
    shown: list[Any] = []
    for height in range(first, last + 1):
        header = snapshot.header(height)
        shown.append(header_object(header, snapshot) if verbose else header.encode().hex())
        yield
    return shown


@from_snapshot
def getblockfilter(snapshot: Snapshot, block: int | bytes | Moment, filtertype: str) -> Work[Object]:
    opened = yield from snapshot.opened(snapshot.height_of(block))
    spent = yield from snapshot.spent_outputs(opened)
    header, encoded = opened.header, output_filter(opened.header.tx_root, opened.transactions, spent)
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


@from_snapshot
def getblockstats(snapshot: Snapshot, block: int | bytes | Moment, stats: tuple[str, ...]) -> Work[Object]:
    found = yield from block_statistics(snapshot, snapshot.height_of(block))
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


@from_snapshot
def findblockbydate(snapshot: Snapshot, time: int, side: str) -> Object:
    height = snapshot.height_at(time, after=side == "after")
    if height is None:
        raise not_found("Block", f"{side} {time}", f"The chain begins at {snapshot.header(0).time}.")
    header = snapshot.header(height)
    return {"height": height, "hash": header.hash.hex(), "time": header.time, "asked": time, "side": side}


@from_snapshot
def getchaintxstats(
    snapshot: Snapshot, nblocks: int | None, block: int | bytes | Moment | None
) -> Work[Object]:
    last = snapshot.tip().height if block is None else snapshot.height_of(block)
    count = min(last, MAX_COUNTED) if nblocks is None else nblocks
    if count > last:
        raise RpcError(
            INVALID_PARAMETER,
            f"There are only {last} blocks below block {last}",
            rule="param-value",
            hint="Ask for fewer blocks.",
            param="nblocks",
        )
    if count > MAX_COUNTED and (snapshot.totals(last) is None or snapshot.totals(last - count) is None):
        raise index_needed(f"Counting more than {MAX_COUNTED} blocks", "transactions")
    found = yield from count_transactions(snapshot, last - count, last)
    seconds = found.last_time - found.first_time
    return {
        "time": found.last_time,
        "txcount": found.total,
        "window_final_block_hash": snapshot.header(last).hash.hex(),
        "window_final_block_height": last,
        "window_block_count": count,
        "window_tx_count": found.transactions,
        "window_interval": seconds,
        "txrate": found.transactions / seconds if seconds else None,
    }


@from_snapshot
def getblockcertificate(snapshot: Snapshot, block: int | bytes | Moment) -> Work[Object]:
    height = snapshot.height_of(block)
    header, certificate = snapshot.header(height), snapshot.certificate(height)
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
        items = certificate.signature_items(snapshot.genesis.roster_at(height))
        if not all((yield from verdicts(items))):
            raise InvalidCertificate("signature")
    except InvalidCertificate as error:
        problem = str(error)
    return _certificate_object(snapshot, certificate, problem)


def _certificate_object(view: ChainView, certificate: BlockCertificate, problem: str | None) -> Object:
    roster, params = view.genesis.roster_at(certificate.height), view.genesis.params
    members = roster.members
    signers = indices_of(certificate.bitmap, len(members))
    signed = frozenset(signers)
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
        "absent": [index for index in range(len(members)) if index not in signed],
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

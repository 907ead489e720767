"""Every method's handler by the method's name."""

from __future__ import annotations

from timed.rpc.dispatch import Handler
from timed.rpc.methods import (
    addresses,
    bans,
    blocks,
    chain,
    coins,
    control,
    drafts,
    exported,
    finality,
    history,
    indexes,
    keys,
    labels,
    masternodes,
    mempool,
    network,
    peers,
    process,
    proofs,
    supply,
    transactions,
    wallet,
)

HANDLERS: dict[str, Handler] = {
    **chain.HANDLERS,
    **blocks.HANDLERS,
    **supply.HANDLERS,
    **coins.HANDLERS,
    **proofs.HANDLERS,
    **indexes.HANDLERS,
    **transactions.HANDLERS,
    **finality.HANDLERS,
    **mempool.HANDLERS,
    **drafts.HANDLERS,
    **wallet.HANDLERS,
    **history.HANDLERS,
    **keys.HANDLERS,
    **labels.HANDLERS,
    **exported.HANDLERS,
    **network.HANDLERS,
    **peers.HANDLERS,
    **addresses.HANDLERS,
    **bans.HANDLERS,
    **masternodes.HANDLERS,
    **control.HANDLERS,
    **process.HANDLERS,
}

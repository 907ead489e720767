"""Methods that prove to others that a block holds a transaction."""

from __future__ import annotations

from timed.errors import DecodeError, InvalidCertificate, RemoteError
from timed.light.proof import TransactionProof
from timed.rpc.chainview import ChainView
from timed.rpc.errors import DESERIALIZATION, INVALID_PARAMETER, NOT_FOUND, RpcError, not_found
from timed.rpc.methods.blocks import verdicts
from timed.rpc.moment import Moment
from timed.rpc.placing import from_snapshot
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot


@from_snapshot
def gettxoutproof(
    snapshot: Snapshot, txids: tuple[bytes, ...], block: int | bytes | Moment | None
) -> Work[str]:
    if not txids or len(set(txids)) != len(txids):
        raise RpcError(
            INVALID_PARAMETER,
            "Name at least one transaction, and each only once",
            rule="param-value",
            hint="Give a list of different transaction ids.",
            param="txids",
        )
    height = _block_of(snapshot, txids[0]) if block is None else snapshot.height_of(block)
    return (yield from _proof(snapshot, height, txids)).encode().hex()


def _proof(view: ChainView, height: int, txids: tuple[bytes, ...]) -> Work[TransactionProof]:
    found = yield from view.opened(height)
    yield
    places = {transaction.txid: index for index, transaction in enumerate(found.transactions)}
    for txid in txids:
        if txid not in places:
            raise not_found("Transaction", f"{txid.hex()} in block {height}", "One proof is for one block.")
    return TransactionProof.make(
        found.header, view.certificate(height), list(places), [places[txid] for txid in txids]
    )


def _block_of(view: ChainView, txid: bytes) -> int:
    place = view.store.locate(txid)
    if place is None:
        raise not_found("Transaction", txid.hex(), "No block holds it.")
    return place[0]


@from_snapshot
def verifytxoutproof(snapshot: Snapshot, proof: bytes) -> Work[list[str]]:
    try:
        decoded = TransactionProof.decode(proof)
    except DecodeError as error:
        raise RpcError(
            DESERIALIZATION,
            f"Proof decode failed: {error}",
            rule=error.rule,
            hint="Give what gettxoutproof answered.",
            param="proof",
        ) from error
    height = decoded.header.height
    if snapshot.store.height_of(decoded.header.hash) != height:
        raise not_found("Block", decoded.header.hash.hex(), "The proof is of a block that this chain lacks.")
    try:
        items = decoded.signature_items(snapshot.genesis.roster_at(height))
        if not all((yield from verdicts(items))):
            raise InvalidCertificate("signature")
    except RemoteError as error:
        raise RpcError(
            NOT_FOUND,
            f"The proof proves nothing: {error}",
            rule=error.rule,
            hint="Ask for it again, from somebody else.",
            param="proof",
        ) from error
    return [proven.txid.hex() for proven in decoded.transactions]


HANDLERS = {handler.__name__: handler for handler in (gettxoutproof, verifytxoutproof)}

"""Methods that the indexes answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from timed.errors import StoreError
from timed.index.reader import AddressReader, IndexReader, Place, SpentReader
from timed.index.records import Account
from timed.index.status import MAX_LAG, IndexStatus
from timed.index.tables import ADDRESSES, SPENT
from timed.primitives.transaction import OutPoint
from timed.rpc.chainview import index_needed
from timed.rpc.errors import MISC, WARMING_UP, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.placing import from_snapshot
from timed.rpc.present import Object
from timed.rpc.schema import bad_value
from timed.rpc.snapshot import Snapshot

LOOKUP = "txindex"
"""Bitcoin's name for finding a transaction by its id, which the store itself does."""
MAX_CURSOR = 80

Kind = TypeVar("Kind")
R = TypeVar("R")


@from_snapshot
def getaddressbalance(snapshot: Snapshot, address: str) -> Object:
    lock = snapshot.lock_of(address)
    page = ask(snapshot, ADDRESSES, _addresses, lambda reader: reader.account(lock), lambda page: page.height)
    account = page.account or Account(0, 0, 0, 0, 0, 0, 0)
    seen = page.account is not None
    return {
        "address": address,
        "balance": amount(account.balance),
        "received": amount(account.received),
        "spent": amount(account.spent),
        "txcount": account.transactions,
        "utxocount": account.coins,
        "first_height": account.first if seen else None,
        "last_height": account.last if seen else None,
        "height": page.height,
    }


@from_snapshot
def getaddresshistory(
    snapshot: Snapshot, address: str, count: int, cursor: str, newest_first: bool
) -> Object:
    lock, after = snapshot.lock_of(address), _place(cursor)
    page = ask(
        snapshot,
        ADDRESSES,
        _addresses,
        lambda reader: reader.history(lock, count, after, newest_first=newest_first),
        lambda page: page.height,
    )
    times = {height: snapshot.header(height).time for height in {entry.height for entry in page.entries}}
    return {
        "address": address,
        "height": page.height,
        "transactions": [
            {
                "txid": entry.txid.hex(),
                "height": entry.height,
                "position": entry.position,
                "time": times[entry.height],
                "confirmations": page.height - entry.height + 1,
                "received": amount(entry.received),
                "spent": amount(entry.spent),
                "change": amount(entry.received - entry.spent),
            }
            for entry in page.entries
        ],
        "cursor": None if page.following is None else f"{page.following[0]}:{page.following[1]}",
    }


@from_snapshot
def getaddressutxos(snapshot: Snapshot, address: str, count: int, cursor: str) -> Object:
    lock, after = snapshot.lock_of(address), _outpoint(cursor)
    page = ask(
        snapshot,
        ADDRESSES,
        _addresses,
        lambda reader: reader.coins(lock, count, after),
        lambda page: page.height,
    )
    following = page.following
    return {
        "address": address,
        "height": page.height,
        "utxos": [
            {
                "txid": coin.outpoint.txid.hex(),
                "vout": coin.outpoint.index,
                "amount": amount(coin.value),
                "height": coin.height,
                "confirmations": page.height - coin.height + 1,
                "coinbase": coin.coinbase,
            }
            for coin in page.coins
        ],
        "cursor": None if following is None else f"{following.txid.hex()}:{following.index}",
    }


@from_snapshot
def getspendingtransaction(snapshot: Snapshot, txid: bytes, n: int) -> Object:
    page = ask(
        snapshot, SPENT, _spent, lambda reader: reader.spender(OutPoint(txid, n)), lambda page: page.height
    )
    spend = page.spend
    return {
        "txid": txid.hex(),
        "vout": n,
        "spendingtxid": spend.txid.hex() if spend is not None else None,
        "input": spend.input if spend is not None else None,
        "height": spend.height if spend is not None else None,
        "position": spend.position if spend is not None else None,
        "confirmations": page.height - spend.height + 1 if spend is not None else 0,
        "indexed_height": page.height,
    }


@from_snapshot
def getindexinfo(snapshot: Snapshot, index_name: str) -> Object:
    tip = snapshot.tip().height
    shown: Object = {
        LOOKUP: {
            "synced": True,
            "best_block_height": tip,
            "enabled": True,
            "gives": "where a transaction stands, by its id: the store always knows",
            "target_height": tip,
            "progress": 1.0,
            "bytes": None,
            "blocks_per_second": None,
            "error": None,
        }
    }
    for status in snapshot.statuses():
        shown[status.name] = _status_object(status)
    return {name: one for name, one in shown.items() if index_name in ("", name)}


def _status_object(status: IndexStatus) -> Object:
    return {
        "synced": status.synced,
        "best_block_height": status.height,
        "enabled": status.enabled,
        "gives": status.gives,
        "target_height": status.target,
        "progress": (status.height + 1) / (status.target + 1) if status.target >= 0 else 0.0,
        "bytes": status.bytes,
        "blocks_per_second": status.blocks_per_second,
        "error": status.error,
    }


def _addresses(reader: IndexReader) -> AddressReader | None:
    return reader.addresses


def _spent(reader: IndexReader) -> SpentReader | None:
    return reader.spent


def ask(
    snapshot: Snapshot,
    name: str,
    choose: Callable[[IndexReader], Kind | None],
    question: Callable[[Kind], R],
    height: Callable[[R], int],
) -> R:
    """The answer of an index that is on, complete and whole; RpcError names the key, the progress or the damage."""
    reader = snapshot.indexes
    if reader is None or name not in reader.enabled:
        raise index_needed("This node does not keep what is asked for", name)
    try:
        index = choose(reader)
        if index is not None:
            answer = question(index)
            if height(answer) >= max(0, snapshot.tip().height - MAX_LAG):
                return answer
    except StoreError as error:
        raise RpcError(
            MISC, f"The index {name} cannot be read: {error.message}", rule="index-damaged", hint=error.hint
        ) from error
    raise _not_yet(snapshot, name)


def _not_yet(snapshot: Snapshot, name: str) -> RpcError:
    status = next(status for status in snapshot.statuses() if status.name == name)
    if status.error is not None:
        return RpcError(
            MISC,
            f"The index {name} does not go on: {status.error}",
            rule="index-failed",
            hint="getindexinfo shows it; the node's log says more.",
        )
    return RpcError(
        WARMING_UP,
        f"The index {name} is at block {status.height} of {snapshot.tip().height}",
        rule="index-syncing",
        hint="Try again later; getindexinfo says how far it is.",
    )


def _place(cursor: str) -> Place | None:
    """The place that a cursor of a history names."""
    if not cursor:
        return None
    height, _, position = cursor.partition(":")
    if len(cursor) > MAX_CURSOR or not (height.isdecimal() and position.isdecimal() and cursor.isascii()):
        raise _bad_cursor()
    place = int(height), int(position)
    if place[0] >= 2**63 or place[1] >= 2**32:
        raise _bad_cursor()
    return place


def _outpoint(cursor: str) -> OutPoint | None:
    """The outpoint that a cursor of coins names."""
    if not cursor:
        return None
    txid, _, index = cursor.partition(":")
    try:
        outpoint = OutPoint(bytes.fromhex(txid), int(index))
    except ValueError:
        raise _bad_cursor() from None
    if len(outpoint.txid) != 32 or not 0 <= outpoint.index <= 65_535:
        raise _bad_cursor()
    return outpoint


def _bad_cursor() -> RpcError:
    return bad_value(
        "cursor", "is not one of this list", "Give the cursor of the page before, or leave it out."
    )


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getaddressbalance,
        getaddresshistory,
        getaddressutxos,
        getspendingtransaction,
        getindexinfo,
    )
}

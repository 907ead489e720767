"""Methods about what happened to the wallet's addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from timed.errors import LocalError
from timed.events import PENDING
from timed.params import SECOND
from timed.primitives.transaction import LOCK_KEY_HASH, Lock
from timed.rpc.chronicle import Chronicle
from timed.rpc.environment import Environment
from timed.rpc.errors import NOT_FOUND, WALLET_ERROR, WARMING_UP, RpcError, not_found
from timed.rpc.jsontext import amount
from timed.rpc.ownership import unknown_label
from timed.rpc.present import Object, lock_text
from timed.rpc.tables.history import ANY
from timed.wallet.history import Eye, Row
from timed.wallet.historybook import HistoryBook, Received
from timed.wallet.keystore import CHANGE, POOL
from timed.wallet.records import HistoryEntry

PAGE = 500
"""Entries read from the history between two turns of the reactor."""
MIN_PAGE = 50
MAX_LISTED = 2_000
"""Lines of one answer of listsinceblock, unless one block alone has more."""
ADDRESSES_AT_ONCE = 50
"""Addresses looked up between two turns of the reactor."""
MAX_TXIDS = 100
MAX_BEHIND = 1_000
"""Blocks that a call waits for; a history that lacks more says so."""
RELEASED = "released"


async def listtransactions(
    env: Environment, label: str, count: int, skip: int, include_watchonly: bool
) -> list[Object]:
    chronicle = await _current(env)
    eye = Eye(env.wallet.keys, include_watchonly)
    window = _Window(skip, count)
    open_ones: set[bytes] = set()
    for entry in chronicle.underway.entries():
        open_ones.add(entry.txid)
        window.add(_labelled(eye, entry, label))
        if not window.lacks:
            break
    after: bytes | None = None
    while window.lacks:
        size = max(MIN_PAGE, min(PAGE, window.lacks))
        entries, after = await chronicle.read(
            lambda book, size=size, after=after: book.page(size, after)  # type: ignore[misc]
        )
        for entry in entries:
            # One that was open a moment ago may be in a block by now.
            if entry.txid not in open_ones:
                window.add(_labelled(eye, entry, label))
        if after is None:
            break
    return [_row_object(env, eye, row) for row in reversed(window.rows)]


class _Window:
    """The lines of one page; those before it are counted and not kept."""

    def __init__(self, skip: int, count: int) -> None:
        self.rows: list[Row] = []
        self._skip = skip
        self._count = count

    @property
    def lacks(self) -> int:
        """Lines to come before the page is full."""
        return self._skip + self._count - len(self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self._skip:
                self._skip -= 1
            elif len(self.rows) < self._count:
                self.rows.append(row)


async def listsinceblock(
    env: Environment, blockhash: str, target_confirmations: int, include_watchonly: bool
) -> Object:
    chronicle = await _current(env)
    eye, chain = Eye(env.wallet.keys, include_watchonly), env.chain
    height, tip = _height_of(env, blockhash), chain.tip().height
    rows: list[Row] = []
    last, more = tip, False
    after: bytes | None = None
    while True:
        entries, after = await chronicle.read(
            lambda book, after=after: book.since(height, PAGE, after)  # type: ignore[misc]
        )
        for entry in entries:
            if len(rows) >= MAX_LISTED and entry.height > last:
                more = True
                break
            rows += eye.rows(entry)
            last = entry.height if len(rows) >= MAX_LISTED else tip
        if more or after is None:
            break
    if not more:
        last = tip
        for entry in reversed(list(chronicle.underway.entries())):
            rows += eye.rows(entry)
    header = chain.header(last if more else max(0, tip - target_confirmations + 1))
    return {
        "transactions": [_row_object(env, eye, row) for row in rows],
        "removed": [],
        "lastblock": header.hash.hex() if header is not None else None,
        "more": more,
    }


async def getwallettransaction(env: Environment, txid: bytes, include_watchonly: bool) -> Object:
    await _current(env)
    shown = await _of_transaction(env, txid, Eye(env.wallet.keys, include_watchonly))
    if shown is None:
        raise not_found(
            "Transaction", txid.hex(), "It did nothing to this wallet; rescanblockchain looks for older ones."
        )
    return shown


async def wallet_part(env: Environment, txid: bytes) -> Object | None:
    """What a transaction did to the wallet; None when it did nothing, or nothing can be said now."""
    wallet, chronicle = env.own_wallet, env.own_chronicle
    if wallet is None or chronicle is None or not wallet.ready or not chronicle.book.opened:
        return None
    try:
        return await _of_transaction(env, txid, Eye(wallet.keys))
    except LocalError:
        # Its disk does not do its part; getwalletinfo and the methods of the history say so.
        return None


async def _of_transaction(env: Environment, txid: bytes, eye: Eye) -> Object | None:
    chronicle = env.chronicle
    entry = chronicle.underway.entry(txid) or await chronicle.read(lambda book: book.entry(txid))
    rows = eye.rows(entry) if entry is not None else ()
    if entry is None or not rows:
        return None
    fee = eye.fee(entry)
    moved = eye.credit(entry) - eye.debit(entry) + (fee or 0)
    return {
        "txid": txid.hex(),
        "amount": amount(moved),
        "fee": amount(-fee) if fee is not None else None,
        **_entry_object(env, entry),
        "details": [_place_object(env, eye, row) for row in rows],
        "pursuit": _pursuit_object(env, txid),
    }


def _pursuit_object(env: Environment, txid: bytes) -> Object | None:
    """How it stands with an open payment of this wallet."""
    attempt = env.own_pursuit.attempt(txid) if env.own_pursuit is not None else None
    if attempt is None or env.wallet.payment(txid) is None:
        return None
    return {
        "attempts": attempt.attempts,
        "next": attempt.at // SECOND,
        "refused": attempt.refusal or None,
    }


async def getreceivedbyaddress(env: Environment, address: str, minconf: int) -> object:
    chronicle = await _current(env)
    lock = env.lock_of(address)
    if not env.wallet.keys.watches(lock):
        raise RpcError(
            NOT_FOUND,
            "The wallet does not know this address",
            rule="address-foreign",
            hint="Watch it with importaddress, and read the blocks again with rescanblockchain.",
            param="address",
        )
    return amount(await _sum(env, chronicle, [lock], minconf))


async def getreceivedbylabel(env: Environment, label: str, minconf: int) -> object:
    chronicle = await _current(env)
    keys = env.wallet.keys
    locks = [key.lock for key in keys if key.role not in (POOL, CHANGE) and key.label == label]
    locks += [watched.lock for watched in keys.watched if watched.label == label]
    if not locks:
        raise unknown_label()
    return amount(await _sum(env, chronicle, locks, minconf))


async def listreceivedbyaddress(
    env: Environment,
    minconf: int,
    include_empty: bool,
    include_watchonly: bool,
    address_filter: str | None,
    count: int,
    skip: int,
) -> list[Object]:
    chronicle = await _current(env)
    locks = list(_handed_out(env, include_watchonly))
    if address_filter is not None:
        wanted = env.lock_of(address_filter)
        locks = [lock for lock in locks if lock == wanted]
    tip = env.chain.tip().height
    shown = []
    final = _final(env) if minconf == 0 else {}
    for first in range(0, len(locks), ADDRESSES_AT_ONCE):
        some = locks[first : first + ADDRESSES_AT_ONCE]
        found = await chronicle.read(
            lambda book, some=some: [  # type: ignore[misc]
                book.received(lock, tip - max(minconf, 1) + 1, MAX_TXIDS) for lock in some
            ]
        )
        for lock, received in zip(some, found, strict=True):
            fresh = final.get(lock, (0, ()))
            if not (received.transactions or fresh[1] or include_empty):
                continue
            if skip:
                skip -= 1
                continue
            shown.append(_received_object(env, lock, received, *fresh))
            if len(shown) == count:
                return shown
    return shown


def _received_object(
    env: Environment, lock: Lock, received: Received, value: int, fresh: tuple[bytes, ...]
) -> Object:
    """`value` units came with the transactions `fresh`, which no block holds."""
    confirmed = not fresh and received.transactions
    return {
        "address": lock_text(lock, env.params),
        "label": _label(env, lock),
        "amount": amount(received.value + value),
        "confirmations": env.chain.tip().height - received.height + 1 if confirmed else 0,
        "txcount": received.transactions + len(fresh),
        "txids": [txid.hex() for txid in (*fresh, *received.txids)[:MAX_TXIDS]],
        "involvesWatchonly": not env.wallet.keys.owns(lock),
    }


async def _current(env: Environment) -> Chronicle:
    """The history with every block of now in it; RpcError -4 while its disk refuses that, -28 while it is far behind."""
    chronicle = env.chronicle
    height, tip = chronicle.status.height, env.chain.tip().height
    if tip - height > MAX_BEHIND and chronicle.compared.called and chronicle.failure is None:
        raise RpcError(
            WARMING_UP,
            f"The wallet's history is at block {height} of {tip}",
            rule="history-syncing",
            hint="Try again later; getwalletinfo shows how far it is.",
        )
    try:
        await chronicle.caught_up()
    except LocalError as error:
        raise RpcError(
            WALLET_ERROR,
            f"The wallet's history does not go on: {error.message}",
            rule="history-failed",
            hint=error.hint or "See the node's log.",
        ) from error
    return chronicle


def _labelled(eye: Eye, entry: HistoryEntry, label: str) -> Iterator[Row]:
    """The lines of an entry, the last output first."""
    for row in reversed(eye.rows(entry)):
        if label == ANY or (
            row.output is not None
            and eye.sees(row.output.output.lock)
            and eye.keys.label_of(row.output.output.lock.data) == label
        ):
            yield row


async def _sum(env: Environment, chronicle: Chronicle, locks: list[Lock], minconf: int) -> int:
    total = 0
    highest = env.chain.tip().height - max(minconf, 1) + 1
    for first in range(0, len(locks), ADDRESSES_AT_ONCE):
        some = locks[first : first + ADDRESSES_AT_ONCE]

        def sums(book: HistoryBook, some: Iterable[Lock] = some) -> int:
            return sum(book.received(lock, highest, 0).value for lock in some)

        total += await chronicle.read(sums)
    if minconf == 0:
        final = _final(env)
        total += sum(final.get(lock, (0, ()))[0] for lock in locks)
    return total


def _final(env: Environment) -> dict[Lock, tuple[int, tuple[bytes, ...]]]:
    """What final transactions without a block bring to each address, in units, and their ids."""
    found: dict[Lock, tuple[int, tuple[bytes, ...]]] = {}
    for entry in env.chronicle.underway.entries():
        status = env.chain.status(entry.txid)
        if status is not None and status.final:
            for kept in entry.outputs:
                value, txids = found.get(kept.output.lock, (0, ()))
                more = () if entry.txid in txids else (entry.txid,)
                found[kept.output.lock] = (value + kept.output.value, txids + more)
    return found


def _handed_out(env: Environment, watched: bool) -> Iterator[Lock]:
    keys = env.wallet.keys
    for key in keys:
        if key.role not in (POOL, CHANGE):
            yield key.lock
    if watched:
        for each in keys.watched:
            yield each.lock


def _height_of(env: Environment, blockhash: str) -> int:
    if not blockhash:
        return -1
    try:
        height = env.chain.height_of(bytes.fromhex(blockhash))
    except ValueError:
        height = None
    if height is None:
        raise not_found("Block", blockhash, "Give lastblock of an earlier answer, or nothing.")
    return height


def _row_object(env: Environment, eye: Eye, row: Row) -> Object:
    return {"txid": row.entry.txid.hex(), **_place_object(env, eye, row), **_entry_object(env, row.entry)}


def _place_object(env: Environment, eye: Eye, row: Row) -> Object:
    """What happened at one address."""
    lock = row.output.output.lock if row.output is not None else None
    seen = [output.lock for output in row.entry.inputs if eye.sees(output.lock)]
    if not seen and lock is not None:
        seen = [lock]
    shown: Object = {
        "category": row.category.value,
        "address": lock_text(lock, env.params) if lock is not None else None,
        "label": _label(env, lock) if lock is not None else "",
        "amount": amount(row.amount),
        "vout": row.output.index if row.output is not None else None,
        "involvesWatchonly": not all(eye.keys.owns(one) for one in seen),
    }
    if row.fee is not None:
        shown["fee"] = amount(-row.fee)
    return shown


def _entry_object(env: Environment, entry: HistoryEntry) -> Object:
    """Where a transaction stands: as the node says it, or released."""
    chain = env.chain
    status = chain.status(entry.txid)
    state = RELEASED if entry.released else status.state if status is not None else PENDING
    height = status.height if status is not None else None
    header = chain.header(height) if height is not None else None
    time = entry.time // SECOND
    return {
        "state": state,
        "reason": entry.reason if entry.released else None,
        "confirmations": chain.tip().height - height + 1 if height is not None else 0,
        "blockhash": header.hash.hex() if header is not None else None,
        "blockheight": height,
        "blockindex": status.position if status is not None else None,
        "blocktime": header.time if header is not None else None,
        "time": entry.created // SECOND or time,
        "timereceived": entry.created // SECOND or time,
        "comment": entry.comment,
        "to": entry.comment_to,
        "abandoned": entry.released,
    }


def _label(env: Environment, lock: Lock) -> str:
    keys = env.wallet.keys
    if lock.kind == LOCK_KEY_HASH:
        return keys.label_of(lock.data)
    watched = keys.watched.get(lock)
    return watched.label if watched is not None else ""


HANDLERS = {
    handler.__name__: handler
    for handler in (
        listtransactions,
        listsinceblock,
        getwallettransaction,
        getreceivedbyaddress,
        getreceivedbylabel,
        listreceivedbyaddress,
    )
}

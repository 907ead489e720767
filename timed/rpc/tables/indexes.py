"""The methods that the indexes answer."""

from __future__ import annotations

from timed.rpc.method import Method, Param
from timed.rpc.schema import Boolean, Integer, Text, Word
from timed.rpc.tables.common import ADDRESS, HASHES, TXID

MAX_PAGE = 1_000
INDEX_NAMES = ("txindex", "transactions", "addresses", "spent")
CURSOR = Param("cursor", Text(80), "The cursor of the page before; empty for the first page.", "")
COUNT = Param("count", Integer(1, MAX_PAGE), "Entries of this page at most.", 100)

METHODS = (
    Method(
        "getaddressbalance",
        "chain",
        "What an address holds, and the sums of its past. Needs index.addresses.",
        "object: address, balance, received, spent, txcount, utxocount, first_height, last_height (null for an address "
        "that no block knows), height (of the index)",
        (Param("address", ADDRESS, "The address."),),
        example="<address>",
    ),
    Method(
        "getaddresshistory",
        "chain",
        "The confirmed transactions of an address, page by page. Needs index.addresses.",
        "object: address, height (of the index), transactions (txid, height, position, time, confirmations, received, "
        "spent, change), cursor (of the next page, null at the end)",
        (
            Param("address", ADDRESS, "The address."),
            COUNT,
            CURSOR,
            Param("newest_first", Boolean(), "true: backwards from the newest.", False),
        ),
        example="<address> 20",
        cost=20,
    ),
    Method(
        "getaddressutxos",
        "chain",
        "The unspent outputs of an address, page by page. Needs index.addresses; scantxoutset does without.",
        "object: address, height (of the index), utxos (txid, vout, amount, height, confirmations, coinbase), cursor (of "
        "the next page, null at the end)",
        (Param("address", ADDRESS, "The address."), COUNT, CURSOR),
        example="<address>",
        cost=20,
    ),
    Method(
        "getspendingtransaction",
        "chain",
        "Which confirmed transaction spent an output. Needs index.spent.",
        "object: txid, vout, spendingtxid (null while no block spends it), input, height, position, confirmations, "
        "indexed_height",
        (
            Param("txid", TXID, f"Transaction that made the output, {HASHES}."),
            Param("n", Integer(0, 65_535), "Number of the output."),
        ),
        example="<txid> 0",
    ),
    Method(
        "getindexinfo",
        "chain",
        "How far each index is, and what it takes.",
        "object: by name: synced, best_block_height, enabled, gives, target_height, progress (0 to 1), bytes, "
        "blocks_per_second, error",
        (Param("index_name", Word(("", *INDEX_NAMES)), "One index only; empty: all.", ""),),
        cost=2,
    ),
)

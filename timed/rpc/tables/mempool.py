"""The methods about what waits for a block."""

from __future__ import annotations

from timed.rpc.method import Method, Param
from timed.rpc.schema import Array, Boolean
from timed.rpc.tables.common import HASHES, INPUT, TXID

_TXID = Param("txid", TXID, f"Id of a transaction in the mempool, {HASHES}.")
_VERBOSE = Param("verbose", Boolean(), "true: as getrawmempool shows them.", False)
_ENTRY = "size, fee, feerate (per 1,000 bytes), height, state, depends, spentby, conflicts, kept (gives way to nothing)"

METHODS = (
    Method(
        "getmempoolinfo", "transactions",
        "What waits for a block.",
        "object: loaded, size, bytes, usage, maxmempool, waiting, mempoolminfee, minrelaytxfee, counters",
        cost=1,
    ),
    Method(
        "getrawmempool", "transactions",
        "The transactions that wait for a block, oldest first.",
        f"array of ids, or object from id to an object when verbose: {_ENTRY}",
        (Param("verbose", Boolean(), "true: with size, fee and state of each.", False),),
        more=("true",),
        cost=20,
    ),
    Method(
        "getmempoolentry", "transactions",
        "A transaction that waits for a block, with its family.",
        f"object: {_ENTRY}, ancestorcount, ancestorsize, ancestorfees, descendantcount, descendantsize, "
        "descendantfees (each with itself)",
        (_TXID,),
        example="<txid>",
        cost=5,
    ),
    Method(
        "getmempoolancestors", "transactions",
        "What a transaction that waits for a block descends from, parents first.",
        "array of ids, or object from id to an object when verbose",
        (_TXID, _VERBOSE),
        example="<txid>",
        cost=20,
    ),
    Method(
        "getmempooldescendants", "transactions",
        "What descends from a transaction that waits for a block, nearest first.",
        "array of ids, or object from id to an object when verbose",
        (_TXID, _VERBOSE),
        example="<txid>",
        cost=20,
    ),
    Method(
        "gettxspendingprevout", "transactions",
        "Which transactions spend the given outputs: in the mempool, and with the index spent also in blocks.",
        "array of objects: txid, vout, spendingtxid (left out when none does), conflicts (others that spend it, too); of a "
        "spender in a block height and confirmations; indexed_height, up to which blocks were searched, where they were",
        (Param("outputs", Array(INPUT, 256), '[{"txid": hex, "vout": n}, ...]'),),
        example="""'[{"txid":"<txid>","vout":0}]'""",
        cost=2,
    ),
)  # fmt: skip

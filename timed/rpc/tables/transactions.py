"""The methods about transactions and what waits for a block."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Amount, Array, Boolean, Integer, Mapping, Seconds, Verbosity
from timed.rpc.tables.common import HASHES, INPUT, TRANSACTION, TXID

METHODS = (
    Method(
        "getmempoolinfo",
        "transactions",
        "What waits for a block.",
        "object: loaded, size, bytes, usage, maxmempool, waiting, mempoolminfee, minrelaytxfee, counters",
        cost=1,
    ),
    Method(
        "getrawmempool",
        "transactions",
        "The transactions that wait for a block, oldest first.",
        "array of ids, or object from id to state when verbose",
        (Param("verbose", Boolean(), "true: with size, fee and state of each.", False),),
        cost=20,
    ),
    Method(
        "getrawtransaction",
        "transactions",
        "A transaction from the mempool or a block.",
        "hex, or the members of decoderawtransaction with state and block when verbose; with 2 and the index "
        "transactions also fee, and prevout in every vin of a confirmed one",
        (
            Param("txid", TXID, f"Id of the transaction, {HASHES}."),
            Param("verbose", Verbosity(0, 2), "false: encoded, true: decoded, 2: with what was spent.", 0),
        ),
        example="<txid> true",
        cost=2,
    ),
    Method(
        "gettransaction",
        "transactions",
        "How far a transaction is on its way, and what it holds.",
        "object: txid, state (pending, locked, certified, final, confirmed), final, epoch, votes, acknowledgements, "
        "height, confirmations, blockhash, blocktime, size, fee, vin, vout, hex",
        (Param("txid", TXID, f"Id of the transaction, {HASHES}."),),
        example="<txid>",
        cost=2,
    ),
    Method(
        "waittransactionfinality",
        "transactions",
        "Waits until a transaction is final, or until the time is over.",
        "object: as gettransaction without the contents, and waited_ms, timed_out, rejected (a rule, or null)",
        (
            Param("txid", TXID, f"Id of the transaction, {HASHES}. It may be unknown yet."),
            Param("timeout_s", Seconds(600), "Longest wait in seconds.", 30_000_000),
        ),
        example="<txid> 10",
        cost=2,
    ),
    Method(
        "sendrawtransaction",
        "transactions",
        "Hands a signed transaction to the network; answers when this node has accepted or refused it.",
        "hex: the txid",
        (Param("hexstring", TRANSACTION, "The encoded transaction."),),
        permission=WALLET,
        example="<hex>",
        cost=10,
    ),
    Method(
        "createrawtransaction",
        "transactions",
        "An unsigned transaction from inputs and outputs; nothing is added.",
        "hex",
        (
            Param("inputs", Array(INPUT, 256), '[{"txid": hex, "vout": n}, ...]'),
            Param("outputs", Mapping(Amount(0), 256), "{address: amount, ...}"),
            Param("lock_height", Integer(), "First block height that may hold it.", 0),
        ),
        example="""'[{"txid":"<txid>","vout":0}]' '{"<address>":1.5}'""",
        cost=2,
    ),
    Method(
        "decoderawtransaction",
        "transactions",
        "What an encoded transaction holds.",
        "object: txid, version, kind, size, lock_height, payload, vin, vout, witnesses",
        (Param("hexstring", TRANSACTION, "The encoded transaction."),),
        example="<hex>",
        cost=2,
    ),
)

"""The methods about transactions: what they hold, how far they are, making and sending them."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Amount, Array, Boolean, Integer, Mapping, Seconds, Verbosity
from timed.rpc.tables.common import HASHES, INPUT, TRANSACTION, TXID

_TXID = Param("txid", TXID, f"Id of the transaction, {HASHES}.")
_RAW = Param("hexstring", TRANSACTION, "The encoded transaction.")

_SHOWN = (
    Method(
        "getrawtransaction", "transactions",
        "A transaction from the mempool or a block.",
        "hex, or the members of decoderawtransaction with state and block when verbose; with 2 and the index "
        "transactions also fee, and prevout in every vin of a confirmed one",
        (
            _TXID,
            Param("verbose", Verbosity(0, 2), "false: encoded, true: decoded, 2: with what was spent.", 0),
        ),
        example="<txid> true",
        more=("<txid>", "<txid> 2"),
        cost=2,
    ),
    Method(
        "gettransaction", "transactions",
        "How far a transaction is on its way, and what it holds. Who may use the wallet is also told what it did to it.",
        "object: txid, state (pending, locked, certified, final, confirmed, released), final, epoch, votes, "
        "acknowledgements, height, confirmations, blockhash, blocktime, size, fee, vin, vout, hex; of the wallet's: wallet "
        "(object: as getwallettransaction), and amount, details, comment, time from it",
        (_TXID,),
        example="<txid>",
        cost=2,
        told_caller=True,
    ),
    Method(
        "gettransactionfinality", "transactions",
        "How surely a transaction is final: the weight that has signed for it, the weight that lacks, and the proof.",
        "object: txid, state, final, epoch, total_weight, needed, height, confirmations, blockhash, roster, votes and "
        "acknowledgements (weight, missing, members, first_ms, quorum_ms, certificate, proof); of a confirmed one "
        "blockcertificate instead",
        (_TXID, Param("proof", Boolean(), "true: the certificates, encoded in hexadecimal.", False)),
        example="<txid>",
        more=("<txid> true",),
        cost=3,
    ),
    Method(
        "explaintransaction", "transactions",
        "Why a transaction is where it is, in words and in numbers: who has voted and when, who has not, which other "
        "transaction stands in its way, and what it lacks.",
        "object: txid, state, final, summary, epoch, next_slot, weight (total, needed, votes, votes_missing, "
        "acknowledgements, acknowledgements_missing), certifiable (in this epoch), votes and acknowledgements (index, "
        "operator, address, weight, time_ms), not_voted (also connected, is_self, voted_for), conflicts (txid, outpoint, "
        "state, locked by this node's vote or a certificate, weight, voters), parents, not_before, frozen",
        (_TXID,),
        example="<txid>",
        cost=5,
    ),
    Method(
        "waittransactionfinality", "transactions",
        "Waits until a transaction is final, or until the time is over.",
        "object: as gettransaction without the contents, and waited_ms, timed_out, rejected (a rule, or null)",
        (
            Param("txid", TXID, f"Id of the transaction, {HASHES}. It may be unknown yet."),
            Param("timeout_s", Seconds(600), "Longest wait in seconds.", 30_000_000),
        ),
        example="<txid> 10",
        cost=2,
        patient=True,
    ),
)  # fmt: skip

_MADE = (
    Method(
        "sendrawtransaction", "transactions",
        "Hands a signed transaction to the network; answers when this node has accepted or refused it.",
        "hex: the txid",
        (_RAW,),
        permission=WALLET,
        example="<hex>",
        cost=10,
    ),
    Method(
        "testmempoolaccept", "transactions",
        "Whether this node would take signed transactions if they were sent now, each by itself. Nothing is sent.",
        "array of objects: txid, allowed, size, fees (base), displaces, reject-reason (a rule), reject-details, hint",
        (Param("rawtxs", Array(TRANSACTION, 25), "Encoded transactions."),),
        example="""'["<hex>"]'""",
        cost=10,
    ),
    Method(
        "createrawtransaction", "transactions",
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
        "decoderawtransaction", "transactions",
        "What an encoded transaction holds.",
        "object: txid, version, kind, size, lock_height, payload, vin, vout, witnesses",
        (_RAW,),
        example="<hex>",
        cost=2,
    ),
    Method(
        "combinerawtransaction", "transactions",
        "One transaction with the signatures that several signers gave for it; the inputs must be known here.",
        "hex",
        (Param("txs", Array(TRANSACTION, 16), "What the signers made of the same transaction."),),
        example="""'["<hex>","<hex>"]'""",
        cost=5,
    ),
    Method(
        "estimatesmartfee", "transactions",
        "The least fee of a payment. It follows from what is paid and from nothing else: more buys no haste.",
        "object: fee, paid, blocks (1), fixed (true)",
        (
            Param("conf_target", Integer(1, 1_008), "For Bitcoin's clients; it changes nothing.", 1),
            Param("paid", Amount(0), "The sum of the outputs, change among them, in TIME.", 0),
        ),
        example="1 2500",
    ),
    Method(
        "getfeeschedule", "transactions",
        "The rule of fees: a share of the sum of the outputs, between two bounds.",
        "object: minimum, divisor, largest_minimum, dust, by, examples (amount, fee)",
    ),
)  # fmt: skip

METHODS = _SHOWN + _MADE

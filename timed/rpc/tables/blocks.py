"""The methods about old blocks: ranges, filters, statistics, proofs, supply and rewards."""

from __future__ import annotations

from timed.rpc.method import Method, Param
from timed.rpc.schema import Array, BlockName, Boolean, Hex, Integer, Time, Word
from timed.rpc.tables.common import ADDRESS, HASHES, TXID

MAX_HEADERS = 500
MAX_REPORTED = 5_000
"""Blocks of one reward report: a month of ten minutes each."""
MAX_PROOF_BYTES = 1_048_576
MAX_PROVEN = 1_000
MAX_SCANNED_ADDRESSES = 1_000
STATISTICS = (
    "height", "blockhash", "time", "mediantime", "round", "txs", "ins", "outs", "utxo_increase", "total_size",
    "mintxsize", "mediantxsize", "avgtxsize", "maxtxsize", "total_out", "totalfee", "minfee", "medianfee",
    "avgfee", "maxfee", "minfeerate", "avgfeerate", "maxfeerate", "feerate_percentiles", "subsidy", "reward",
    "attending", "members", "attending_weight", "total_weight", "reports", "evidence",
)  # fmt: skip
BLOCK = Param(
    "block", BlockName(), "Height, hash or date of the block; a date means the last block until then."
)
OPTIONAL_BLOCK = Param(
    "block", BlockName(), "Height, hash or date of the block; the newest by default.", None
)

METHODS = (
    Method(
        "getblockheaders",
        "chain",
        "The headers of consecutive blocks.",
        "array of what getblockheader gives; it ends with the newest block",
        (
            Param("block", BlockName(), "Height or hash of the first; a date: the first block from then on."),
            Param("count", Integer(1, MAX_HEADERS), "How many headers at most.", 100),
            Param("verbose", Boolean(), "false: the encoded headers.", True),
        ),
        example="0 10",
        cost=100,
    ),
    Method(
        "findblockbydate",
        "chain",
        "The block next to a time, found by halving the chain.",
        "object: height, hash, time, asked (the time that was understood), side",
        (
            Param("time", Time(), "Unix seconds, or a date such as 2026-11-26 or 2026-11-26T08:00:00Z."),
            Param(
                "side",
                Word(("before", "after")),
                "before: the last block until then; after: the first.",
                "before",
            ),
        ),
        example="2026-11-26T08:00:00Z",
        cost=5,
    ),
    Method(
        "getblockfilter",
        "chain",
        "The compact filter of a block after BIP 158, over the locks of all outputs it makes and spends.",
        "object: filter (hex), items, key, filter_root (the hash of the filter that the header commits to), "
        "header (hex), blockhash, height",
        (BLOCK, Param("filtertype", Word(("basic",)), "The kind of filter; there is one.", "basic")),
        example="0",
        cost=50,
    ),
    Method(
        "getblockstats",
        "chain",
        "What a block holds in numbers: sizes, amounts, fees, reward and attendance.",
        "object: "
        + ", ".join(STATISTICS)
        + "; fees, sizes and total_out without the coinbase, rates in TIME per byte",
        (
            BLOCK,
            Param(
                "stats", Array(Word(STATISTICS), len(STATISTICS)), "The members wanted; all by default.", ()
            ),
        ),
        example="""0 '["txs","totalfee"]'""",
        cost=50,
    ),
    Method(
        "getblockcertificate",
        "chain",
        "Who certified a block, with which weight; every signature is checked now.",
        "object: blockhash, height, round, roster, verified, problem (null when verified), weight, total_weight, quorum, "
        "signers (index, operator, wallet_address, weight, signature), absent (positions in the roster), hex",
        (BLOCK,),
        example="1",
        cost=20,
    ),
    Method(
        "getchaintxstats",
        "chain",
        "How many transactions a stretch of blocks holds, and how many a second that is.",
        "object: time, txcount (null without the index transactions), window_final_block_hash, "
        "window_final_block_height, window_block_count, window_tx_count, window_interval (seconds), txrate",
        (
            Param(
                "nblocks",
                Integer(0, 2**63 - 1),
                "Length of the stretch; more than 2000 need the index.",
                None,
            ),
            Param("block", BlockName(), "The last block of the stretch; the newest by default.", None),
        ),
        example="2",
        cost=200,
    ),
    Method(
        "getsupply",
        "chain",
        "How much exists after a block: the allocation and what was minted. No fee is burnt: the attending members "
        "receive it.",
        "object: height, blockhash, time, supply, allocation, minted, scheduled_supply (had every member attended every "
        "block), burnt, fees_paid (null without the index transactions), next_reward_at_most",
        (OPTIONAL_BLOCK,),
        cost=200,
    ),
    Method(
        "getrewardreport",
        "chain",
        "What each masternode received in a stretch of blocks.",
        "object: begin, end, begin_time, end_time, blocks, minted, fees, total, shown_total, masternodes (operator, "
        "wallet_address, reward, attended, missed)",
        (
            Param(
                "begin",
                BlockName(),
                "First block: height or hash; a date means the first block from then on.",
            ),
            Param(
                "end", BlockName(), f"Last block, at most {MAX_REPORTED} in all; the newest by default.", None
            ),
            Param("address", ADDRESS, "Only rewards to this address.", ""),
        ),
        example="1",
        cost=500,
    ),
    Method(
        "gettxoutsetinfo",
        "chain",
        "The set of unspent outputs: its size, sum and digest.",
        "object: height, bestblock, transactions, txouts, total_amount, supply, utxo_root, digests, disk_size, recounted; "
        "after a recount also matches, differences",
        (
            Param(
                "hash_type",
                Word(("incremental", "recount")),
                "incremental: what is kept with every block. recount: from scratch over all coins, and compared.",
                "incremental",
            ),
        ),
        cost=50,
    ),
    Method(
        "scantxoutset",
        "chain",
        "Looks for the coins of addresses in the whole set, without an index.",
        "start: object: success, txouts (looked at), height, bestblock, unspents (txid, vout, address, amount, coinbase, "
        "height), total_amount. status: null or object: progress (per cent), scanned. abort: boolean",
        (
            Param("action", Word(("start", "status", "abort")), "One walk at a time may be under way."),
            Param(
                "scanobjects",
                Array(ADDRESS, MAX_SCANNED_ADDRESSES),
                "The addresses, also as addr(ADDRESS).",
                (),
            ),
        ),
        example="""start '["<address>"]'""",
        cost=1000,
    ),
    Method(
        "gettxoutproof",
        "chain",
        "A proof that a block holds transactions: Merkle branches, the header and its certificate.",
        "hex",
        (
            Param("txids", Array(TXID, MAX_PROVEN), f"Ids of transactions of one block, {HASHES} each."),
            Param("block", BlockName(), "The block; that of the first transaction by default.", None),
        ),
        example="""'["<txid>"]'""",
        cost=50,
    ),
    Method(
        "verifytxoutproof",
        "chain",
        "Checks a proof of gettxoutproof: branches, certificate, and that the block is of this chain.",
        "array of txids that are proven",
        (Param("proof", Hex(maximum=MAX_PROOF_BYTES), "What gettxoutproof answered."),),
        example="<hex>",
        cost=50,
    ),
)

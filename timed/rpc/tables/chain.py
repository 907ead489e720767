"""The methods about blocks, coins and the chain."""

from __future__ import annotations

from timed.rpc.method import Method, Param
from timed.rpc.schema import Boolean, Integer, Seconds, Verbosity
from timed.rpc.tables.blocks import BLOCK
from timed.rpc.tables.common import HASHES, TXID

METHODS = (
    Method(
        "getblockchaininfo",
        "chain",
        "The state of the chain as this node has it.",
        "object: chain, network, height, blocks, headers, bestblockhash, genesishash, time, interval_s, syncing, "
        "initialblockdownload, verificationprogress, supply, coins, pruned, consensus, instant_finality, warnings",
    ),
    Method("getblockcount", "chain", "The height of the newest certified block.", "integer"),
    Method("getbestblockhash", "chain", "The hash of the newest certified block.", "hex"),
    Method(
        "getblockhash",
        "chain",
        "The hash of the block at a height.",
        "hex",
        (Param("height", Integer(0, 2**63 - 1), "Height of the block; genesis is 0."),),
        example="0",
    ),
    Method(
        "getchaintips",
        "chain",
        "The ends of the chain: blocks are final, so there is one.",
        "array of one object: height, hash, branchlen, status",
    ),
    Method(
        "waitfornewblock",
        "chain",
        "Waits for the next block, or until the time is over.",
        "object: hash, height (of the newest block), timed_out",
        (Param("timeout_s", Seconds(600), "Longest wait in seconds.", 30_000_000),),
        example="30",
    ),
    Method(
        "waitforblockheight",
        "chain",
        "Waits for the block at a height, or until the time is over.",
        "object: hash, height (of the newest block), timed_out",
        (
            Param("height", Integer(), "Height of the block; genesis is 0."),
            Param("timeout_s", Seconds(600), "Longest wait in seconds.", 30_000_000),
        ),
        example="100 30",
    ),
    Method(
        "getblock",
        "chain",
        "A block, by height, hash or date.",
        "hex (verbosity 0) or object: the members of getblockheader, and merkleroot, tx (ids, or decoded "
        "transactions with verbosity 2), nTx, size, block_reward (units), masternode_rewards (count), attendance, reports",
        (
            BLOCK,
            Param("verbosity", Verbosity(0, 2), "0: encoded block, 1: with ids, 2: with transactions.", 1),
        ),
        example="0 1",
        cost=20,
    ),
    Method(
        "getblockheader",
        "chain",
        "A block's header with all its roots, by height, hash or date.",
        "hex (verbose false) or object: hash, confirmations, height, version, chain_id, time, previousblockhash, "
        "nextblockhash, tx_root, utxo_root, filter_root, roster, next_roster, attendance_root, evidence_root, reward, "
        "proposer, round, certificate",
        (
            BLOCK,
            Param("verbose", Boolean(), "false: the encoded header.", True),
        ),
        example="0",
    ),
    Method(
        "gettxout",
        "chain",
        "An unspent output, or null when it is spent or unknown.",
        "null or object: bestblock, confirmations, value, scriptPubKey, coinbase, state, spender",
        (
            Param("txid", TXID, f"Transaction that made it, {HASHES}."),
            Param("n", Integer(0, 65_535), "Number of the output."),
            Param("include_mempool", Boolean(), "Look at final and pending transactions, too.", True),
        ),
        example="<txid> 0",
    ),
)

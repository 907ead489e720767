"""The one table of methods: arguments, help, documentation and the CLI read it.

A handler's name is the method's name; `timed.rpc.methods` binds them and a test
keeps both sides equal. This module imports neither Twisted nor the node, so that
the command line starts fast.
"""

from __future__ import annotations

from typing import Any

import attrs

from timed.rpc.schema import (
    Amount,
    Array,
    BlockName,
    Boolean,
    Hex,
    Integer,
    Mapping,
    ParamType,
    Record,
    Seconds,
    SessionName,
    Text,
    Verbosity,
    Word,
)

REQUIRED: Any = object()
"""The default of a parameter that has none."""

READ, WALLET, ADMIN = "read", "wallet", "admin"
PERMISSIONS = (READ, WALLET, ADMIN)


@attrs.frozen
class Param:
    """One parameter; `default` is what the handler receives when it is left out or null."""

    name: str
    type: ParamType
    help: str
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@attrs.frozen
class Method:
    """One method. `permission` is what a caller must hold to use it."""

    name: str
    category: str
    summary: str
    result: str
    params: tuple[Param, ...] = ()
    permission: str = READ
    example: str = ""
    """The arguments of an example, as one would type them after the name."""

    @property
    def usage(self) -> str:
        """`getblock block ( verbosity )`, in Bitcoin's manner."""
        words = [param.name if param.required else f"( {param.name} )" for param in self.params]
        return " ".join([self.name, *words])


TXID = Hex(size=32)
TRANSACTION = Hex(maximum=200_000)
ADDRESS = Text(maximum=128)
INPUT = Record(members=(("txid", TXID), ("vout", Integer(0, 65_535))))
PEER = Text(maximum=400)
DEFAULT_LEVEL = "default"
LEVELS = ("debug", "info", "warn", "error", "critical", DEFAULT_LEVEL)
HASHES = "64 hexadecimal digits"

_CHAIN = (
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
        "getblock",
        "chain",
        "A block, by height or by hash.",
        "hex (verbosity 0) or object: the members of getblockheader, and merkleroot, tx (ids, or decoded "
        "transactions with verbosity 2), nTx, size, block_reward (units), masternode_rewards (count), attendance, reports",
        (
            Param("block", BlockName(), "Height or hash of the block."),
            Param("verbosity", Verbosity(0, 2), "0: encoded block, 1: with ids, 2: with transactions.", 1),
        ),
        example="0 1",
    ),
    Method(
        "getblockheader",
        "chain",
        "A block's header with all its roots, by height or by hash.",
        "hex (verbose false) or object: hash, confirmations, height, version, chain_id, time, previousblockhash, "
        "nextblockhash, tx_root, utxo_root, filter_root, roster, next_roster, attendance_root, evidence_root, reward, "
        "proposer, round, certificate",
        (
            Param("block", BlockName(), "Height or hash of the block."),
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
    Method(
        "gettxoutsetinfo",
        "chain",
        "The set of unspent outputs: its size, sum and digest.",
        "object: height, bestblock, transactions, txouts, total_amount, supply, utxo_root, digests, disk_size",
    ),
)

_TRANSACTIONS = (
    Method(
        "getmempoolinfo",
        "transactions",
        "What waits for a block.",
        "object: loaded, size, bytes, usage, maxmempool, waiting, mempoolminfee, minrelaytxfee, counters",
    ),
    Method(
        "getrawmempool",
        "transactions",
        "The transactions that wait for a block, oldest first.",
        "array of ids, or object from id to state when verbose",
        (Param("verbose", Boolean(), "true: with size, fee and state of each.", False),),
    ),
    Method(
        "getrawtransaction",
        "transactions",
        "A transaction from the mempool or a block.",
        "hex, or the members of decoderawtransaction with state and block when verbose",
        (
            Param("txid", TXID, f"Id of the transaction, {HASHES}."),
            Param("verbose", Verbosity(0, 2), "false: encoded, true: decoded.", 0),
        ),
        example="<txid> true",
    ),
    Method(
        "gettransaction",
        "transactions",
        "How far a transaction is on its way, and what it holds.",
        "object: txid, state (pending, locked, certified, final, confirmed), final, epoch, votes, acknowledgements, "
        "height, confirmations, blockhash, blocktime, size, fee, vin, vout, hex",
        (Param("txid", TXID, f"Id of the transaction, {HASHES}."),),
        example="<txid>",
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
    ),
    Method(
        "sendrawtransaction",
        "transactions",
        "Hands a signed transaction to the network; answers when this node has accepted or refused it.",
        "hex: the txid",
        (Param("hexstring", TRANSACTION, "The encoded transaction."),),
        permission=WALLET,
        example="<hex>",
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
    ),
    Method(
        "decoderawtransaction",
        "transactions",
        "What an encoded transaction holds.",
        "object: txid, version, kind, size, lock_height, payload, vin, vout, witnesses",
        (Param("hexstring", TRANSACTION, "The encoded transaction."),),
        example="<hex>",
    ),
)

_WALLET = (
    Method(
        "getbalance",
        "wallet",
        "What this wallet can spend: certified and final outputs.",
        "amount",
        (Param("address", ADDRESS, "Only the coins of this address of the wallet.", None),),
        permission=WALLET,
    ),
    Method(
        "listunspent",
        "wallet",
        "The wallet's unspent outputs.",
        "array of objects: txid, vout, address, label, amount, confirmations, state, spendable, solvable, safe",
        (
            Param(
                "minconf",
                Integer(0, 2**31),
                "Fewest confirmations; 0 takes final outputs without a block.",
                0,
            ),
            Param("maxconf", Integer(0, 2**31), "Most confirmations.", 9_999_999),
            Param("addresses", Array(ADDRESS, 1_000), "Only these addresses.", ()),
        ),
        permission=WALLET,
        example="1 9999999",
    ),
    Method(
        "getnewaddress",
        "wallet",
        "A fresh address of this wallet; it is on disk before it is shown.",
        "string",
        (Param("label", Text(100), "A name for people.", ""),),
        permission=WALLET,
        example="shop",
    ),
    Method(
        "validateaddress",
        "wallet",
        "Whether a text is an address of this network.",
        "object: isvalid, address, scriptPubKey, ismine, iswatchonly, isscript, iswitness, error",
        (Param("address", ADDRESS, "The text to look at."),),
        example="TIMER1...",
    ),
    Method(
        "sendtoaddress",
        "wallet",
        "Pays an amount to an address; the fee comes on top.",
        "hex: the txid",
        (
            Param("address", ADDRESS, "Who is paid."),
            Param("amount", Amount(), "How much, in TIME."),
            Param("comment", Text(256), "A note that stays in this wallet.", ""),
        ),
        permission=WALLET,
        example="TIMER1... 12.5",
    ),
    Method(
        "signrawtransactionwithwallet",
        "wallet",
        "Adds the witnesses that this wallet's keys can give.",
        "object: hex, complete, errors",
        (Param("hexstring", TRANSACTION, "The encoded transaction."),),
        permission=WALLET,
        example="<hex>",
    ),
)

_NETWORK = (
    Method(
        "getnetworkinfo",
        "network",
        "This node's place in the network.",
        "object: version, subversion, protocolversion, nodeid, connections, connections_in, connections_out, "
        "networkactive, networks, relayfee, incrementalfee, localaddresses, listenport, timeoffset, seeds (source, kind, "
        "outcome, addresses: the sources of addresses), warnings",
    ),
    Method(
        "getpeerinfo",
        "network",
        "One object for every open session.",
        "array of objects: id, nodeid, addr, inbound, subver, version, session_version, encoding, "
        "startingheight, operator, is_masternode, masternode, "
        "class (anonymous, member, trusted), conntime, lastsend, lastrecv, last_transaction and last_block (delivered "
        "when it was news; 0 for never), bytessent, bytesrecv, bytessent_per_msg, "
        "bytesrecv_per_msg, messages_sent, messages_received, pingtime, minping, timeoffset, clock_offset, queued_bytes, "
        "ahead_bytes, queues (per class: messages, bytes, age), batches (writes, frames, mean_bytes, largest_bytes, rules), "
        "compression (sent, received: plain, packed bytes), "
        "unread (messages, bytes, paused: its link is not read), pauses, dropped, over_rate, unknown, withheld, requests, "
        "served, score, cpu_per_msg (its part of getnettotals' cpu); times in seconds",
    ),
    Method("getconnectioncount", "network", "The number of open sessions.", "integer"),
    Method(
        "getnettotals",
        "network",
        "What went through the sockets since the start, by type and class of message.",
        "object: totalbytesrecv, totalbytessent, timemillis, uploadtarget, types and classes (messages_sent, "
        "messages_received, bytessent, bytesrecv), incomplete (bytes of messages under way), overhead (bytesrecv, "
        "bytessent: TLS and refused connections), batches, compression, dropped, over_rate, cpu (seconds of "
        "the node's thread by type of message, a sample scaled; other: not for one message), queues (per class: messages, "
        "bytes, age of the oldest); types, incomplete and overhead sum up to the totals",
    ),
    Method(
        "explainpeer",
        "network",
        "Why a peer is treated as it is, connected or not.",
        "object: summary (one sentence), nodeid, addr, state, class, score, bans, reasons (time, event, detail, points, score, verdict, done), "
        "dials, addresses, book (as getnodeaddresses), conduct (enforce, dry-run), limits, session (null, or as getpeerinfo with rates and throttled)",
        (Param("peer", PEER, "Node id, host:port, address or id of the session."),),
        example="192.0.2.7:24000",
    ),
    Method(
        "addnode",
        "network",
        "Keeps a session with a node from now on, no longer, or tries it once; a session that lives is left alone.",
        "null",
        (
            Param("node", PEER, "host:port, or node-id@host:port to insist on an identity."),
            Param("command", Word(words=("add", "remove", "onetry")), "add, remove or onetry."),
        ),
        permission=ADMIN,
        example="192.0.2.7:24000 add",
    ),
    Method(
        "getaddednodeinfo",
        "network",
        "The nodes that are kept connected: configured, or added.",
        "array of objects: addednode, nodeid, connected, addresses (address, connected), failures, last_failure",
        (Param("node", PEER, "Only this one, as it was added.", None),),
    ),
    Method(
        "getnodeaddresses",
        "network",
        "Some of the addresses this node knows, in no order.",
        "array of objects: time, services, address, port, network, nodeid, met (this node met that node there itself), "
        "source (the group of who told of it), tried, attempts (since the last success), last_try, last_success",
        (
            Param("count", Integer(0, 100_000), "How many at most; 0 for all.", 1),
            Param("network", Word(words=("ipv4", "ipv6")), "Only ipv4 or ipv6.", None),
        ),
        example="8",
    ),
    Method(
        "disconnectnode",
        "network",
        "Ends a session in good order. A node that is kept connected is dialled again: remove it with addnode first.",
        "null",
        (
            Param("address", PEER, "host:port or node id as getpeerinfo shows them.", ""),
            Param("nodeid", SessionName(), "Instead: the node id, or the id of the session.", None),
        ),
        permission=ADMIN,
        example="192.0.2.7:24000",
    ),
    Method(
        "listbanned",
        "network",
        "Who is refused: by the operator, or by this node for what they did.",
        "array of objects: subject (what setban takes), address, nodeid, ban_created, banned_until, ban_duration, "
        "time_remaining, reason, by (operator, node); times of a ban without end are null",
    ),
    Method(
        "setban",
        "network",
        "Refuses a node id, an address or a subnet, or lets it in again. A node id is refused even if it is trusted; an "
        "address or a subnet spares trusted nodes and this machine. A ban outlives the process.",
        "null",
        (
            Param("subnet", Text(maximum=128), "Node id, address, or subnet with a prefix."),
            Param("command", Word(words=("add", "remove")), "add or remove."),
            Param("bantime", Integer(0, 2**33), "Seconds; 0 for a day. With absolute: unix time.", 0),
            Param("absolute", Boolean(), "true: bantime is the unix time at which it ends.", False),
            Param("reason", Text(maximum=100), "A note for listbanned; the peer is told, too.", ""),
        ),
        permission=ADMIN,
        example="192.0.2.0/24 add 3600",
    ),
    Method(
        "clearbanned",
        "network",
        "Lifts every ban, the node's own as well as the operator's.",
        "null",
        permission=ADMIN,
    ),
)

_MASTERNODES = (
    Method(
        "masternodelist",
        "masternodes",
        "The roster of the block being made.",
        "object: height, total, total_weight, quorum, masternodes (index, operator, owner, address, wallet_address, tier, "
        "weight, connected, is_self)",
        (Param("height", Integer(), "The roster of this height.", None),),
    ),
    Method(
        "masternodestatus",
        "masternodes",
        "Whether this node is a member, and as what.",
        "object: status, and for a member index, operator, address, reward_address, tier, weight, voting, reason",
    ),
    Method(
        "getconsensusinfo",
        "masternodes",
        "Where the making of the next block stands.",
        "object: type, masternodes, total_weight, quorum, height, epoch, round, step, next_slot, proposer, member, voting, "
        "frozen, reports, transactions, certified, final",
    ),
)

_CONTROL = (
    Method("uptime", "control", "Seconds since the RPC service started.", "integer"),
    Method("stop", "control", "Stops the node.", "string", permission=ADMIN),
    Method(
        "help", "control", "The list of methods, or what one of them does.", "string",
        (Param("command", Text(64), "A method's name.", ""),),
        example="getblock",
    ),
    Method(
        "logging", "control",
        "The least important level that is written, by namespace; with a level, sets it until the node stops.",
        "object: level by namespace; * stands for all others",
        (
            Param("namespace", Text(64), "A room like node, what is in it like app.seeds, or * for all.", None),
            Param("level", Word(words=LEVELS), "debug, info, warn, error, critical; default: as its surroundings.", None),
        ),
        permission=ADMIN,
        example="node debug",
    ),
)  # fmt: skip

METHODS: dict[str, Method] = {
    method.name: method for method in _CHAIN + _TRANSACTIONS + _WALLET + _NETWORK + _MASTERNODES + _CONTROL
}
CATEGORIES = ("chain", "transactions", "wallet", "network", "masternodes", "control")

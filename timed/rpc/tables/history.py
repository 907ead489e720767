"""The methods about what happened to the wallet's addresses."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Boolean, Integer, Text
from timed.rpc.tables.common import ADDRESS, HASHES, TXID

MAX_COUNT = 1_000
MAX_ADDRESSES = 10_000
MAX_SKIP = 1_000_000
ANY = "*"
_ROW = (
    "txid, category (send, receive, generate, or self: to an own address that is no change), address, label, amount "
    "(negative when sent), vout, fee (of what this wallet paid, negative), state (pending, locked, certified, final, "
    "confirmed, released), reason (of a release), confirmations, blockhash, blockheight, blockindex, blocktime, time, "
    "timereceived, comment, to, abandoned, involvesWatchonly"
)
_WATCHED = Param("include_watchonly", Boolean(), "Also addresses that are only watched.", False)
_MINCONF = Param(
    "minconf", Integer(0, 2**31), "Fewest confirmations; 0 counts what is final without a block.", 1
)

METHODS = (
    Method(
        "listtransactions", "wallet", "The wallet's newest transactions, the oldest of them first.",
        f"array of objects: {_ROW}",
        (
            Param("label", Text(100), "Only what came to addresses of this name; * is everything.", ANY),
            Param("count", Integer(1, MAX_COUNT), "Most lines.", 10),
            Param("skip", Integer(0, MAX_SKIP), "Leave out this many of the newest.", 0),
            _WATCHED,
        ),
        permission=WALLET,
        example="'*' 20",
        more=("shop 10 0 true",),
        cost=20,
    ),
    Method(
        "listsinceblock", "wallet", "What has happened since a block, and what is on its way.",
        f"object: transactions (array of objects: {_ROW}), removed (empty: blocks are final), lastblock (ask for what "
        "follows it next time), more (true: call again at once with lastblock)",
        (
            Param("blockhash", Text(64), f"The block, {HASHES}; empty: since the beginning.", ""),
            Param("target_confirmations", Integer(1, 2**31), "lastblock is the block with so many confirmations.", 1),
            _WATCHED,
        ),
        permission=WALLET,
        example="",
        cost=50,
    ),
    Method(
        "getwallettransaction", "wallet",
        "What a transaction did to this wallet; also one that is on its way, or was released.",
        "object: txid, amount (what it brought without the fee, negative when sent), fee (negative; null unless all that "
        "was spent was this wallet's), state, reason, confirmations, blockhash, blockheight, blockindex, blocktime, time, "
        "timereceived, comment, to, abandoned, details (array of objects: category, address, label, amount, vout, fee, "
        "involvesWatchonly), pursuit (of an open payment: attempts, next: when it is looked at again, refused: the rule of "
        "the last refusal)",
        (Param("txid", TXID, f"Id of the transaction, {HASHES}."), _WATCHED),
        permission=WALLET,
        example="<txid>",
        cost=5,
    ),
    Method(
        "getreceivedbyaddress", "wallet", "What has come to an address since ever, spent or not.", "amount",
        (Param("address", ADDRESS, "An address of the wallet, own or watched."), _MINCONF),
        permission=WALLET,
        example="TIMER1...",
        cost=10,
    ),
    Method(
        "getreceivedbylabel", "wallet", "What has come to all addresses of a name since ever.", "amount",
        (Param("label", Text(100), "The name; empty: addresses without one."), _MINCONF),
        permission=WALLET,
        example="shop",
        cost=50,
    ),
    Method(
        "listreceivedbyaddress", "wallet", "What has come to each address that was handed out.",
        "array of objects: address, label, amount, confirmations (of the newest), txcount, txids (the newest 100), "
        "involvesWatchonly",
        (
            _MINCONF,
            Param("include_empty", Boolean(), "Also addresses to which nothing came.", False),
            _WATCHED,
            Param("address_filter", ADDRESS, "Only this one.", None),
            Param("count", Integer(1, MAX_ADDRESSES), "Most addresses.", MAX_ADDRESSES),
            Param("skip", Integer(0, MAX_SKIP), "Leave out this many of the first.", 0),
        ),
        permission=WALLET,
        example="1 true",
        cost=100,
    ),
    Method(
        "abandontransaction", "wallet",
        "Frees the coins of a payment that can never be final: it never left this node, or a final transaction spends "
        "one of them. A payment that others may have is refused.",
        "null",
        (Param("txid", TXID, f"Id of the payment, {HASHES}."),),
        permission=WALLET,
        example="<txid>",
        cost=10,
    ),
    Method(
        "rescanblockchain", "wallet",
        "Reads blocks again for the wallet's history, in the background; also after a restart. getwalletinfo shows how "
        "far it is.",
        "object: start_height, stop_height",
        (
            Param("start_height", Integer(0, 2**31), "The first block.", 0),
            Param("stop_height", Integer(0, 2**31), "The last one; the newest of now when left out.", None),
        ),
        permission=WALLET,
        example="0",
        more=("1 2",),
        cost=100,
    ),
    Method(
        "abortrescan", "wallet", "Ends the reading of old blocks where it is.", "boolean: false when nothing was being read",
        permission=WALLET,
        cost=2,
    ),
)  # fmt: skip

"""The methods of this node's wallet."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Array, Integer, Text
from timed.rpc.tables.common import ADDRESS, TRANSACTION

METHODS = (
    Method(
        "getbalance",
        "wallet",
        "What this wallet can spend: certified and final outputs.",
        "amount",
        (Param("address", ADDRESS, "Only the coins of this address of the wallet.", None),),
        permission=WALLET,
        cost=5,
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
        cost=20,
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
        "signrawtransactionwithwallet",
        "wallet",
        "Adds the witnesses that this wallet's keys can give.",
        "object: hex, complete, errors",
        (Param("hexstring", TRANSACTION, "The encoded transaction."),),
        permission=WALLET,
        example="<hex>",
        cost=10,
    ),
)

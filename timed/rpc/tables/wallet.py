"""The methods of this node's wallet."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Text
from timed.rpc.tables.common import ADDRESS, TRANSACTION

METHODS = (
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

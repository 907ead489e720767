"""The methods that pay from this node's wallet."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Amount, Array, Boolean, Integer, Mapping, Text
from timed.rpc.tables.common import ADDRESS, INPUT

MOST_PAYEES = 255
"""A transaction has room for one more output, which is the change."""

_COMMENT = Param("comment", Text(256), "A note that stays in this wallet.", "")
_INPUTS = Param(
    "inputs",
    Array(INPUT, 256),
    '[{"txid": hex, "vout": n}, ...]: pay with these coins and no others; also ones that are set aside.',
    (),
)
_CHANGE = Param(
    "change_address", ADDRESS, "Where change goes, an address this wallet knows; else a fresh one.", None
)
_MINCONF = Param(
    "minconf", Integer(0, 1), "1: only coins in blocks. More means nothing: a block is final.", 0
)

METHODS = (
    Method(
        "sendtoaddress",
        "wallet",
        "Pays an amount to an address; the fee comes on top, or out of the amount.",
        "hex: the txid",
        (
            Param("address", ADDRESS, "Who is paid."),
            Param("amount", Amount(), "How much, in TIME."),
            _COMMENT,
            Param("comment_to", Text(256), "Whom it is for; it stays in this wallet.", ""),
            Param(
                "subtractfeefromamount", Boolean(), "true: the receiver gets the amount less the fee.", False
            ),
            _INPUTS,
            _CHANGE,
            _MINCONF,
        ),
        permission=WALLET,
        example="TIMER1... 12.5",
        more=('TIMER1... 12.5 rent "the landlord" true',),
        cost=20,
    ),
    Method(
        "sendmany",
        "wallet",
        "Pays several addresses in one transaction, with one fee.",
        "hex: the txid",
        (
            Param("amounts", Mapping(Amount(), MOST_PAYEES), "{address: amount, ...} in TIME."),
            _COMMENT,
            Param(
                "subtractfeefrom",
                Array(ADDRESS, MOST_PAYEES),
                "Addresses whose amounts the fee is taken from, in equal parts; else it comes on top.",
                (),
            ),
            _INPUTS,
            _CHANGE,
            _MINCONF,
        ),
        permission=WALLET,
        example="""'{"TIMER1...":1.5}'""",
        more=("""'{"TIMER1...":1.5}' wages '["TIMER1..."]'""",),
        cost=20,
    ),
    Method(
        "sendall",
        "wallet",
        "Pays everything the wallet can spend, or the coins that are named, and leaves no change.",
        "object: txid, coins, amount, fee, complete",
        (
            Param("recipients", Array(ADDRESS, MOST_PAYEES), "Who takes the rest, in equal parts."),
            Param(
                "amounts",
                Mapping(Amount(), MOST_PAYEES),
                "{address: amount, ...}: who is paid before that.",
                (),
            ),
            _COMMENT,
            _INPUTS,
            _MINCONF,
        ),
        permission=WALLET,
        example="""'["TIMER1..."]'""",
        more=("""'["TIMER1..."]' '{"<address>":1.5}'""",),
        cost=20,
    ),
)

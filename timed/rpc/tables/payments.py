"""The methods that pay from this node's wallet."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Amount, Array, Boolean, Integer, Mapping, Record, Text
from timed.rpc.tables.common import ADDRESS, INPUT, TRANSACTION

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

_OPTIONS = Param(
    "options",
    Record(
        optional=(
            ("add_inputs", Boolean()),
            ("include_watched", Boolean()),
            ("change_address", ADDRESS),
            ("minconf", Integer(0, 1)),
            ("subtract_fee_from_outputs", Array(Integer(0, MOST_PAYEES), MOST_PAYEES)),
            ("lock_unspents", Boolean()),
        )
    ),
    "{add_inputs: choose further coins, include_watched: also coins whose key is elsewhere, change_address, minconf, "
    "subtract_fee_from_outputs: [numbers of outputs, as given], lock_unspents: set the coins aside}.",
    {},
)
_FUNDED = "object: hex (unsigned), fee, changepos (the output that is change, or -1)"

_PAYMENTS = (
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
        "Pays everything the wallet can spend, or the coins that are named, and leaves no change. More than 256 coins "
        "take several payments, at most 16 in one call.",
        "object: txid (of the first), txids, coins, amount, fee, complete, coins_left (free and not spent: call again, without "
        "the amounts, which are paid), reason (only when a later payment failed), undecided (the txid of that one, when "
        "it stays in the wallet and goes its way)",
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

_MERGE = (
    Method(
        "mergeutxos",
        "wallet",
        "Makes one coin of the smallest ones, so that later payments find room; it costs the fee of a payment to oneself.",
        "object: txid (null in a rehearsal), merged_count, total_value, fee, final_value, message",
        (
            Param("min_count", Integer(2, 256), "Fewer coins are left as they are.", 2),
            Param("max_count", Integer(2, 256), "Most coins of one call.", 100),
            Param("address", ADDRESS, "Only coins of this address, which also gets the new one.", None),
            Param("below", Amount(), "Only coins of less than this, in TIME.", None),
            Param("dry_run", Boolean(), "true: say what would happen and what it costs.", False),
        ),
        permission=WALLET,
        example="2 50",
        cost=40,
    ),
)

_DRAFTS = (
    Method(
        "walletcreatefundedtransaction",
        "wallet",
        "An unsigned transaction with coins of this wallet and change; nothing is sent, reserved or signed.",
        _FUNDED,
        (
            Param(
                "inputs",
                Array(INPUT, 256),
                '[{"txid": hex, "vout": n}, ...]: coins to spend in any case, also of others; with some, add_inputs is '
                "false unless it is set.",
            ),
            Param("outputs", Mapping(Amount(), MOST_PAYEES), "{address: amount, ...}"),
            Param("lock_height", Integer(), "First block height that may hold it.", 0),
            _OPTIONS,
        ),
        permission=WALLET,
        example="""'[]' '{"<address>":1.5}'""",
        more=("""'[]' '{"<address>":1.5}' 0 '{"subtract_fee_from_outputs":[0],"lock_unspents":true}'""",),
        cost=20,
    ),
    Method(
        "fundrawtransaction",
        "wallet",
        "Adds coins of this wallet and change to an unsigned transaction, so that it pays its outputs and the fee.",
        _FUNDED,
        (Param("hexstring", TRANSACTION, "The encoded transaction, without signatures."), _OPTIONS),
        permission=WALLET,
        example="<hex>",
        cost=20,
    ),
)

METHODS = _PAYMENTS + _MERGE + _DRAFTS

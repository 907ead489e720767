"""The methods about the coins of this node's wallet: what there is, which are free, which are set aside."""

from __future__ import annotations

from timed.rpc.method import WALLET, Method, Param
from timed.rpc.schema import Amount, Array, Boolean, Integer, Record
from timed.rpc.tables.common import ADDRESS, INPUT

ANY = "*"
MAX_LISTED = 10_000
"""Coins in one answer."""
MAX_SKIP = 10_000_000
MAX_MARKED = 1_000
"""Coins that one call sets aside or frees."""
MOST_CONFIRMATIONS = 2**31

_WATCHED = Param("include_watched", Boolean(), "Also what is only watched.", False)

METHODS = (
    Method(
        "getbalance",
        "wallet",
        "What this wallet owns: certified and final outputs that no payment spends.",
        "amount",
        (
            Param("address", ADDRESS, "Only the coins of this address of the wallet; * is all.", None),
            Param(
                "minconf", Integer(0, 1), "1: only coins in blocks. More means nothing: a block is final.", 0
            ),
            _WATCHED,
        ),
        permission=WALLET,
        more=("'*' 1 true",),
        cost=5,
    ),
    Method(
        "getbalances",
        "wallet",
        "The wallet's money by what may be done with it.",
        "object: mine and watchonly (trusted, untrusted_pending, immature), and of mine also what trusted has of "
        "spendable, set_aside, reserved (by payments in the making) and locked; lastprocessedblock (hash, height)",
        permission=WALLET,
        cost=10,
    ),
    Method(
        "listunspent",
        "wallet",
        "The wallet's unspent outputs, the largest first.",
        "array of objects: txid, vout, address, label, amount, confirmations, state, coinbase, spendable, set_aside, "
        "solvable, safe, ismine",
        (
            Param(
                "minconf",
                Integer(0, MOST_CONFIRMATIONS),
                "Fewest confirmations; 0 takes final outputs without a block.",
                0,
            ),
            Param("maxconf", Integer(0, MOST_CONFIRMATIONS), "Most confirmations.", 9_999_999),
            Param("addresses", Array(ADDRESS, 1_000), "Only these addresses.", ()),
            Param(
                "include_unsafe",
                Boolean(),
                "For Bitcoin's clients: what is listed is final, so nothing is unsafe.",
                True,
            ),
            Param(
                "query_options",
                Record(
                    optional=(
                        ("minimumAmount", Amount(0)),
                        ("maximumAmount", Amount(0)),
                        ("maximumCount", Integer(1, MAX_LISTED)),
                        ("minimumSumAmount", Amount(0)),
                        ("skip", Integer(0, MAX_SKIP)),
                        ("include_watched", Boolean()),
                    )
                ),
                "{minimumAmount, maximumAmount, maximumCount, minimumSumAmount (stop once they sum to it), skip "
                f"(that many of the largest), include_watched}}; {MAX_LISTED} coins at most.",
                {},
            ),
        ),
        permission=WALLET,
        example="1 9999999",
        more=("""0 9999999 '[]' true '{"minimumAmount":100,"maximumCount":20}'""",),
        cost=20,
    ),
    Method(
        "lockunspent",
        "wallet",
        "Sets coins aside, so that no payment takes one unless it is named, or frees them.",
        "boolean: true",
        (
            Param("unlock", Boolean(), "true frees them, false sets them aside."),
            Param(
                "transactions",
                Array(INPUT, MAX_MARKED),
                '[{"txid": hex, "vout": n}, ...]; left out with true: all that are set aside.',
                (),
            ),
            Param("persistent", Boolean(), "Keep it over a restart.", False),
        ),
        permission=WALLET,
        example="""false '[{"txid":"<coin>","vout":0}]' true""",
        more=("true",),
        cost=10,
    ),
    Method(
        "listlockunspent",
        "wallet",
        "The coins that are set aside.",
        "array of objects: txid, vout, persistent, address, amount",
        permission=WALLET,
        cost=5,
    ),
)

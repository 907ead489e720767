"""Which members of a result stand in its table, by method; all others are shown whole."""

from __future__ import annotations

import attrs


@attrs.frozen
class Columns:
    """`names` in their order; `under` is the member that holds the list, empty for the result itself."""

    names: tuple[str, ...]
    under: str = ""


def _columns(names: str, under: str = "") -> Columns:
    return Columns(tuple(names.split()), under)


COLUMNS: dict[str, Columns] = {
    "getpeerinfo": _columns(
        "id nodeid addr inbound class masternode session_version pingtime bytesrecv bytessent score conntime"
    ),
    "getaddednodeinfo": _columns("addednode nodeid connected failures last_failure"),
    "getnodeaddresses": _columns("address port network nodeid met tried attempts last_success source"),
    "listbanned": _columns("subject by ban_created banned_until time_remaining reason"),
    "listunspent": _columns("amount confirmations state spendable label address txid vout"),
    "listlockunspent": _columns("amount address persistent txid vout"),
    "listtransactions": _columns("time category amount fee confirmations state label address txid"),
    "listaddresses": _columns("address kind label hdkeypath"),
    "listaccounts": _columns("name permissions"),
    "masternodelist": _columns(
        "index operator address tier weight connected is_self wallet_address", "masternodes"
    ),
    "getaddresshistory": _columns("height time received spent change confirmations txid", "transactions"),
    "getaddressutxos": _columns("amount height confirmations coinbase txid vout", "utxos"),
    "getblockheaders": _columns("height time nTx reward hash"),
    "getindexinfo": _columns("enabled synced best_block_height target_height progress bytes error"),
}
HEADERS = {"inbound": "dir", "session_version": "wire", "best_block_height": "height", "target_height": "of"}
"""What stands above a column when the member's name does not say it."""

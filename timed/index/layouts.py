"""The declared encoding of what the indexes write.

The generated module is `timed.index._records_codec`, made by `python -m timed.codec`.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import Record, array, flag, hash32, text, u8, u16, u32, u64
from timed.primitives.layouts import OUTPUT

MAX_SPENT = 131_072
"""Inputs of one block: four MiB of outpoints are fewer."""


def _record(title: str, *fields: Any) -> Record:
    return Record(title, "timed.index.records", False, fields)


IDENTITY = _record("IndexIdentity", "schema" / u16, "name" / text(u8, 32), "genesis" / hash32)
PROGRESS = _record("Progress", "height" / u64, "block_hash" / hash32)
ACCOUNT = _record(
    "Account",
    "balance" / u64,
    "received" / u64,
    "spent" / u64,
    "transactions" / u64,
    "coins" / u64,
    "first" / u64,
    "last" / u64,
)
TOUCH = _record("Touch", "txid" / hash32, "received" / u64, "spent" / u64)
HOLDING = _record("Holding", "value" / u64, "height" / u64, "coinbase" / flag)
SPEND = _record("Spend", "txid" / hash32, "height" / u64, "position" / u32, "input" / u16)
SPENT_OUTPUTS = _record("SpentOutputs", "outputs" / array(u32, OUTPUT, MAX_SPENT))
TOTALS = _record("Totals", "transactions" / u64, "fees" / u64, "supply" / u64)

RECORDS = (IDENTITY, PROGRESS, ACCOUNT, TOUCH, HOLDING, SPEND, SPENT_OUTPUTS, TOTALS)

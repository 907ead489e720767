"""The declared encoding of proofs; the generated module is `timed.light._proof_codec`."""

from __future__ import annotations

from typing import Any

from timed.codec.declare import Record, array, hash32, optional, u8, u32
from timed.primitives.layouts import BLOCK_CERTIFICATE, BLOCK_HEADER

MAX_PROVEN = 1_000
"""Transactions of one proof."""
MAX_TREE = 17
"""Levels above the leaves of the largest block's tree."""


def _record(title: str, *fields: Any) -> Record:
    return Record(title, "timed.light.proof", False, fields)


PROVEN = _record("ProvenTransaction", "index" / u32, "txid" / hash32, "branch" / array(u8, hash32, MAX_TREE))
PROOF = _record(
    "TransactionProof",
    "header" / BLOCK_HEADER,
    "certificate" / optional(BLOCK_CERTIFICATE),
    "count" / u32,
    "transactions" / array(u32, PROVEN, MAX_PROVEN, minimum=1),
)

RECORDS = (PROVEN, PROOF)

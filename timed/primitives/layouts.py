"""The declared encoding of every primitive value (protocol §1).

These are the only definitions; the modules named `_*_codec.py` are generated from
them by `python -m timed.codec`.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import (
    Record,
    array,
    bytes_prefixed,
    const,
    enum,
    flag,
    hash32,
    key32,
    optional,
    signature64,
    u8,
    u16,
    u32,
    u64,
)

MAX_LOCK_BYTES = 2 + 16 * 20
"""The longest lock names sixteen key hashes."""
MAX_PAYLOAD = 1_024
MAX_INPUTS = 4_096
MAX_OUTPUTS = 65_535
"""A coinbase pays every member of the roster."""
MAX_WITNESSES = 4_096
USUAL = 2
"""Inputs, outputs and witnesses of a payment: mostly one or two."""
MAX_MEMBERS = 65_535
MAX_BITMAP = (MAX_MEMBERS + 7) // 8
MAX_NETWORK_ADDRESS = 255
MAX_BRANCH = 16
"""Levels of the largest bundle tree: 1,024 entries take ten."""
MAX_STATEMENT = 64 * 1024
MAX_EVIDENCE = 1_024
MAX_BLOCK_TRANSACTIONS = 65_535
"""What one block can hold; the networks' own limits are lower."""


def _transaction(title: str, *fields: Any, retained: bool = False) -> Record:
    return Record(title, "timed.primitives.transaction", retained, fields)


def _roster(title: str, *fields: Any, retained: bool = False) -> Record:
    return Record(title, "timed.primitives.roster", retained, fields)


def _certificate(title: str, *fields: Any, retained: bool = False) -> Record:
    return Record(title, "timed.primitives.certificate", retained, fields)


def _block(title: str, *fields: Any, retained: bool = False) -> Record:
    return Record(title, "timed.primitives.block", retained, fields)


OUTPOINT = _transaction("OutPoint", "txid" / hash32, "index" / u16)
LOCK = _transaction("Lock", "kind" / u8, "data" / bytes_prefixed(u16, MAX_LOCK_BYTES, usual=20))
OUTPUT = _transaction("Output", "value" / u64, "lock" / LOCK)
WITNESS = _transaction("Witness", "public_key" / key32, "signature" / signature64)
TRANSACTION = _transaction(
    "Transaction",
    "version" / u16,
    "kind" / u8,
    "inputs" / array(u16, OUTPOINT, MAX_INPUTS, usual=USUAL),
    "outputs" / array(u16, OUTPUT, MAX_OUTPUTS, usual=USUAL),
    "lock_height" / u64,
    "payload" / bytes_prefixed(u16, MAX_PAYLOAD, usual=0),
    "witnesses" / array(u16, WITNESS, MAX_WITNESSES, usual=USUAL),
    retained=True,
)
SPEND_STATEMENT = _transaction(
    "SpendStatement",
    "chain_id" / u32,
    "txid" / hash32,
    "spent" / array(u16, OUTPUT, MAX_INPUTS, usual=USUAL),
)
COIN_ENTRY = _transaction(
    "CoinEntry",
    "outpoint" / OUTPOINT,
    "output" / OUTPUT,
    "height" / u64,
    "coinbase" / flag,
)

MEMBER = _roster(
    "Member",
    "operator_key" / key32,
    "owner_key" / key32,
    "reward" / LOCK,
    "tier" / enum(u8, range(4)),
    "weight" / u64,
    "network_address" / bytes_prefixed(u8, MAX_NETWORK_ADDRESS),
)
ROSTER = _roster(
    "Roster",
    "members" / array(u16, MEMBER, MAX_MEMBERS, ascending="operator_key"),
    retained=True,
)

BLOCK_CERTIFICATE = _certificate(
    "BlockCertificate",
    "kind" / const(u8, 1),
    "chain_id" / u32,
    "height" / u64,
    "round" / u32,
    "target" / hash32,
    "roster" / hash32,
    "bitmap" / bytes_prefixed(u16, MAX_BITMAP),
    "signatures" / array(u16, signature64, MAX_MEMBERS),
    retained=True,
)
BUNDLE_SIGNER = _certificate(
    "BundleSigner",
    "signature" / signature64,
    "tick" / u64,
    "leaf" / u16,
    "branch" / array(u8, hash32, MAX_BRANCH),
)
BUNDLE_CERTIFICATE = _certificate(
    "BundleCertificate",
    "kind" / enum(u8, (2, 3)),
    "chain_id" / u32,
    "epoch" / u64,
    "round" / const(u32, 0),
    "target" / hash32,
    "roster" / hash32,
    "bitmap" / bytes_prefixed(u16, MAX_BITMAP),
    "signers" / array(u16, BUNDLE_SIGNER, MAX_MEMBERS),
    retained=True,
)
BLOCK_VOTE_STATEMENT = _certificate(
    "BlockVoteStatement",
    "chain_id" / u32,
    "height" / u64,
    "round" / u32,
    "step" / u8,
    "roster" / hash32,
    "block" / hash32,
)
BUNDLE_STATEMENT = _certificate(
    "BundleStatement",
    "kind" / u8,
    "chain_id" / u32,
    "epoch" / u64,
    "roster" / hash32,
    "tick" / u64,
    "root" / hash32,
)

BLOCK_HEADER = _block(
    "BlockHeader",
    "version" / u16,
    "chain_id" / u32,
    "height" / u64,
    "time" / u64,
    "previous" / hash32,
    "tx_root" / hash32,
    "utxo_root" / hash32,
    "filter_root" / hash32,
    "roster" / hash32,
    "next_roster" / hash32,
    "attendance_root" / hash32,
    "evidence_root" / hash32,
    "reward" / u64,
    "proposer" / key32,
    "round" / u32,
    retained=True,
)
REPORT_REFERENCE = _block("ReportReference", "member" / u16, "report" / hash32)
EVIDENCE = _block(
    "Evidence",
    "first" / bytes_prefixed(u32, MAX_STATEMENT),
    "second" / bytes_prefixed(u32, MAX_STATEMENT),
)
BLOCK = _block(
    "Block",
    "header" / BLOCK_HEADER,
    "transactions" / array(u32, TRANSACTION, MAX_BLOCK_TRANSACTIONS),
    "attendance" / bytes_prefixed(u16, MAX_BITMAP),
    "evidence" / array(u16, EVIDENCE, MAX_EVIDENCE),
    "parent_certificate" / optional(BLOCK_CERTIFICATE),
    "reports" / array(u16, REPORT_REFERENCE, MAX_MEMBERS),
)

RECORDS = (
    OUTPOINT, LOCK, OUTPUT, WITNESS, TRANSACTION, SPEND_STATEMENT, COIN_ENTRY,
    MEMBER, ROSTER,
    BLOCK_CERTIFICATE, BUNDLE_SIGNER, BUNDLE_CERTIFICATE, BLOCK_VOTE_STATEMENT, BUNDLE_STATEMENT,
    BLOCK_HEADER, REPORT_REFERENCE, EVIDENCE, BLOCK,
)  # fmt: skip
"""Every value of the primitives, in the order of their modules."""

"""Values of the chain as JSON objects; hashes in hexadecimal, amounts with eight decimals."""

from __future__ import annotations

from typing import Any

import msgspec

from timed.interfaces import Coin
from timed.params import NetworkParams
from timed.primitives.address import encode_address
from timed.primitives.block import Block, BlockHeader
from timed.primitives.certificate import BlockCertificate, indices_of
from timed.primitives.roster import Member, Roster, Tier
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, Output, Transaction, TransactionKind
from timed.rpc.backend import ChainBackend, TransactionStatus
from timed.rpc.jsontext import amount, encode
from timed.rpc.slices import Work
from timed.rpc.snapshot import Blocks

Object = dict[str, Any]

OUTPUTS_PER_STEP = 64
"""Outputs shown at once of a transaction in a block; an allocation or a payout has thousands."""


def address_of(lock: Lock, params: NetworkParams) -> str | None:
    """The address text of a lock; None for locks that have none."""
    if lock.kind != LOCK_KEY_HASH or len(lock.data) != 20:
        return None
    return encode_address(params, lock)


def lock_text(lock: Lock, params: NetworkParams) -> str:
    """The address, or the encoding in hexadecimal of a lock that has none."""
    return address_of(lock, params) or lock.encode().hex()


def lock_object(lock: Lock, params: NetworkParams) -> Object:
    """A lock under the name Bitcoin's clients look for."""
    shown: Object = {
        "hex": lock.encode().hex(),
        "type": "keyhash" if lock.kind == LOCK_KEY_HASH else "multisig",
    }
    address = address_of(lock, params)
    if address is not None:
        shown["address"] = address
    return shown


def header_object(header: BlockHeader, blocks: Blocks) -> Object:
    """A header with all its roots and its place in the chain."""
    newest = blocks.newest().height
    following = blocks.find_header(header.height + 1) if header.height < newest else None
    return {
        "hash": header.hash.hex(),
        "confirmations": newest - header.height + 1,
        "height": header.height,
        "version": header.version,
        "chain_id": header.chain_id,
        "time": header.time,
        "previousblockhash": header.previous.hex() if header.height else None,
        "nextblockhash": following.hash.hex() if following is not None else None,
        "tx_root": header.tx_root.hex(),
        "utxo_root": header.utxo_root.hex(),
        "filter_root": header.filter_root.hex(),
        "roster": header.roster.hex(),
        "next_roster": header.next_roster.hex(),
        "attendance_root": header.attendance_root.hex(),
        "evidence_root": header.evidence_root.hex(),
        "reward": amount(header.reward),
        "proposer": header.proposer.hex(),
        "round": header.round,
        "certificate": certificate_object(blocks.certificate(header.height), blocks),
    }


def certificate_object(certificate: BlockCertificate | None, blocks: Blocks) -> Object | None:
    """Who signed a block; None for genesis."""
    if certificate is None:
        return None
    roster = blocks.roster(certificate.height)
    signers = indices_of(certificate.bitmap, len(roster.members))
    return {
        "round": certificate.round,
        "signers": list(signers),
        "weight": roster.weight_of(signers),
        "total_weight": roster.total_weight,
    }


def block_object(block: Block, size: int, transactions: list[Any], blocks: Blocks) -> Object:
    """A block of `size` bytes: its header, and its transactions as they are to be shown."""
    coinbase = block.transactions[0]
    shown = header_object(block.header, blocks)
    shown["merkleroot"] = shown["tx_root"]
    shown["nTx"] = len(block.transactions)
    shown["size"] = size
    shown["block_reward"] = block.header.reward
    shown["masternode_rewards"] = len(coinbase.outputs) if block.header.height else 0
    shown["attendance"] = block.attendance.hex()
    shown["reports"] = [{"member": each.member, "report": each.report.hex()} for each in block.reports]
    shown["tx"] = transactions
    return shown


def transaction_object(transaction: Transaction, params: NetworkParams) -> Object:
    """What a transaction holds."""
    outputs = [output_object(index, each, params) for index, each in enumerate(transaction.outputs)]
    return _transaction(transaction, outputs)


def transaction_text(transaction: Transaction, params: NetworkParams) -> Work[msgspec.Raw]:
    """The same as text, in steps of `OUTPUTS_PER_STEP`: of a long answer only a piece is there as objects, and its text
    is one block of memory, which goes back to the system."""
    text, outputs = bytearray(b"["), transaction.outputs
    for start in range(0, len(outputs), OUTPUTS_PER_STEP):
        some = range(start, min(start + OUTPUTS_PER_STEP, len(outputs)))
        if start:
            text += b","
        text += encode([output_object(index, outputs[index], params) for index in some])[1:-1]
        yield
    text += b"]"
    shown = _transaction(transaction, msgspec.Raw(text))
    return msgspec.Raw(encode(shown))


def _transaction(transaction: Transaction, outputs: object) -> Object:
    return {
        "txid": transaction.txid.hex(),
        "version": transaction.version,
        "kind": kind_of(transaction),
        "size": transaction.size,
        "lock_height": transaction.lock_height,
        "payload": transaction.payload.hex(),
        "vin": [{"txid": each.txid.hex(), "vout": each.index} for each in transaction.inputs],
        "vout": outputs,
        "witnesses": [
            {"public_key": each.public_key.hex(), "signature": each.signature.hex()}
            for each in transaction.witnesses
        ],
    }


def kind_of(transaction: Transaction) -> str:
    try:
        return TransactionKind(transaction.kind).name.lower()
    except ValueError:
        return str(transaction.kind)


def output_object(index: int, output: Output, params: NetworkParams) -> Object:
    return {"value": amount(output.value), "n": index, "scriptPubKey": lock_object(output.lock, params)}


def status_object(status: TransactionStatus, chain: ChainBackend) -> Object:
    """Where a transaction stands; what is not known is null."""
    header = chain.header(status.height) if status.height is not None else None
    return {
        "txid": status.txid.hex(),
        "state": status.state,
        "final": status.final,
        "epoch": status.epoch,
        "votes": status.votes,
        "acknowledgements": status.acknowledgements,
        "total_weight": status.total_weight,
        "height": status.height,
        "confirmations": chain.tip().height - status.height + 1 if status.height is not None else 0,
        "blockhash": header.hash.hex() if header is not None else None,
        "blocktime": header.time if header is not None else None,
    }


def coin_object(coin: Coin, chain: ChainBackend) -> Object:
    """An output of the set of coins, as gettxout shows it."""
    tip = chain.tip()
    return {
        "bestblock": tip.hash.hex(),
        "confirmations": max(0, tip.height - coin.height + 1),
        "value": amount(coin.output.value),
        "scriptPubKey": lock_object(coin.output.lock, chain.params),
        "coinbase": coin.coinbase,
    }


def member_object(index: int, member: Member, params: NetworkParams) -> Object:
    """A masternode of a roster."""
    return {
        "index": index,
        "operator": member.operator_key.hex(),
        "owner": member.owner_key.hex(),
        "address": member.network_address.decode("utf-8", "replace"),
        "wallet_address": address_of(member.reward, params),
        "tier": Tier(member.tier).name.capitalize(),
        "weight": member.weight,
    }


def quorum_weight(roster: Roster) -> int:
    """The least weight that is a quorum of `roster` (protocol §2)."""
    return -(-2 * roster.total_weight // 3)

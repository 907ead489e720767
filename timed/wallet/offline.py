"""Signing an exported payment, with a wallet in memory or from its file alone.

Nothing here knows a node. `sign_with_file` is all that a machine without a
network needs.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from timed.errors import LocalError
from timed.ledger.rules import fee_for
from timed.params import NetworkParams
from timed.primitives.amounts import format_amount
from timed.primitives.transaction import LOCK_KEY_HASH, Lock
from timed.wallet.derivation import format_path, parse_path
from timed.wallet.exchange import Exported, InvalidExport, KeyHint, decode_export, encode_export
from timed.wallet.keystore import Keystore
from timed.wallet.sealing import open_vault
from timed.wallet.signing import sign
from timed.wallet.walletcopy import read_wallet

HIGH_FEE = 10
"""A fee above this many times the least one is signed only when the caller says so."""


@attrs.frozen
class Signed:
    """The payment with the witnesses added, and how many of them there are."""

    exported: Exported
    added: int


def hints_for(keystore: Keystore, locks: Iterable[Lock]) -> tuple[KeyHint, ...]:
    """Where the keys behind these locks stand, as far as the wallet knows."""
    found: dict[bytes, KeyHint] = {}
    for lock in locks:
        watched = keystore.watched.get(lock)
        if watched is not None and watched.public is not None and watched.path:
            found[watched.public] = KeyHint(watched.public, watched.seed, parse_path(watched.path))
        for name in lock.hashes:
            key = keystore.get(name)
            if key is not None and key.place is not None:
                found[key.public] = KeyHint(key.public, key.place.seed, keystore.path_of(key))
    return tuple(found.values())


def sign_exported(
    exported: Exported, keystore: Keystore, params: NetworkParams, *, high_fee: bool = False
) -> Signed:
    """Add every witness this wallet has keys for.

    InvalidExport("export-fee") for a fee that is suspiciously high, WalletLocked when
    a key is needed and the wallet has a passphrase.
    """
    fee = exported.fee
    if fee > HIGH_FEE * fee_for(exported.paid, params) and not high_fee:
        raise InvalidExport("export-fee", f"it gives away {format_amount(fee)} TIME")
    before = len(exported.transaction.witnesses)
    signed = sign(exported.transaction, exported.spent, params.chain_id, keystore)
    done = attrs.evolve(exported, transaction=signed)
    return Signed(done, len(signed.witnesses) - before)


def sign_with_file(
    path: str, params: NetworkParams, text: str, passphrase: str = "", *, high_fee: bool = False
) -> tuple[str, Exported]:
    """Sign the exported payment in `text` with the wallet file at `path`; the new text and what it holds.

    The file is only read. LocalError when it can not be, WrongPassphrase for a wrong
    one, InvalidExport or InvalidTransaction when the payment is none to sign.
    """
    exported = decode_export(text, params)
    keystore = open_file(path, params, passphrase)
    try:
        signed = sign_exported(exported, keystore, params, high_fee=high_fee)
    finally:
        keystore.lock()
    return encode_export(signed.exported, params), signed.exported


def open_file(path: str, params: NetworkParams, passphrase: str) -> Keystore:
    """The keys of a wallet file, unlocked; nothing of it is ever written."""
    keystore = Keystore(_no_entropy, [])
    keystore.restore(read_wallet(path, params.name))
    if keystore.vault is not None:
        keystore.unlock(open_vault(keystore.vault, passphrase), grow=False)
    return keystore


def is_mine(keystore: Keystore, lock: Lock) -> str:
    """For whoever looks before signing: the path of an own output, or what it is called."""
    key = keystore.get(lock.data) if lock.kind == LOCK_KEY_HASH else None
    if key is None:
        return ""
    return format_path(keystore.path_of(key)) if key.place is not None else key.label or "single key"


def _no_entropy(size: int) -> bytes:
    raise LocalError("a wallet that is only read makes no keys.")

"""Methods about the wallet's secrets: passphrase, seed phrase, backup and restore."""

from __future__ import annotations

import os

from timed.errors import LocalError
from timed.params import SECOND
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, NOT_FOUND, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.ownership import key_at
from timed.rpc.present import Object, address_of
from timed.wallet.derivation import account_path, format_path
from timed.wallet.keystore import CHANGE, POOL, RECEIVE, Keystore
from timed.wallet.phrase import ENTROPY_BYTES, entropy_of
from timed.wallet.sealing import check_passphrase
from timed.wallet.walletcopy import check_path
from timed.wallet.walletfile import VERSION
from timed.wallet.walletkey import WalletSeed

NAME = "wallet"
"""A node keeps one wallet, and this is what it is called."""
HISTORY_LAG = 2
"""Blocks that the history may be behind without a word: they are taken in within moments."""
OLD_COPIES = (
    "The wallet is encrypted and locked. Backups and copies of before hold its keys in plain: "
    "destroy them, or move the coins to new addresses after sethdseed."
)


def listwallets(env: Environment) -> list[str]:
    return [NAME] if env.own_wallet is not None else []


def getwalletinfo(env: Environment) -> Object:
    custody = env.custody
    wallet = custody.wallet
    keys = wallet.keys
    shown: Object = {
        "walletname": NAME,
        "walletversion": VERSION,
        "format": "json",
        "kind": kind_of(keys),
        "balance": amount(wallet.balance()) if wallet.ready else None,
        "keys": sum(key.role != POOL for key in keys),
        "keypoolsize": keys.unused(RECEIVE),
        "keypoolsize_hd_internal": keys.unused(CHANGE),
        "watchonly": len(keys.watched),
        "hdseedid": keys.seed.id if keys.seed is not None else None,
        "hdseeds": [seed.id for seed in keys.seeds],
        "hdpath": format_path(keys.seed.account) if keys.seed is not None else None,
        "encrypted": keys.vault is not None,
        "locked": keys.locked,
        "private_keys_enabled": True,
        "scanning": _scanning(env),
        "payments": len(wallet.payments),
    }
    consolidation = env.consolidation
    if consolidation is not None:
        shown["consolidation"] = {
            "above": consolidation.above,
            "below": amount(consolidation.below),
            "small": consolidation.small,
            **consolidation.counters,
            "fees": amount(consolidation.counters["fees"]),
        }
    left = custody.unlocked_for
    if left is not None:
        shown["unlocked_for_s"] = left // SECOND
    return shown


def _scanning(env: Environment) -> Object | bool:
    """What is being read for the wallet, False when nothing is."""
    wallet, chronicle = env.custody.wallet, env.own_chronicle
    shown: Object = {"what": "coins", "progress": None, "failed": None}
    if not wallet.ready:
        return shown | {"failed": str(wallet.trouble) if wallet.trouble is not None else None}
    if chronicle is None:
        return False
    status, tip = chronicle.status, env.chain.tip().height
    failed = str(chronicle.failure) if chronicle.failure is not None else None
    if status.height < tip - HISTORY_LAG or (failed is not None and status.height < tip):
        first, next_height, last = 0, status.height + 1, tip
    elif status.rescan is not None:
        first, next_height, last = status.rescan.first, status.rescan.following, status.rescan.last
    else:
        return False
    return {
        "what": "blocks",
        "progress": (next_height - first) / (last + 1 - first),
        "next_height": next_height,
        "last_height": last,
        "failed": failed,
    }


def kind_of(keys: Keystore) -> str:
    """Where new keys come from."""
    return "seed-phrase" if keys.seed is not None else "random-keys"


async def encryptwallet(env: Environment, passphrase: str) -> str:
    _usable(passphrase, "passphrase")
    await env.custody.encrypt(passphrase)
    return OLD_COPIES


async def walletpassphrase(env: Environment, passphrase: str, timeout: int) -> None:
    """`timeout` arrives in microseconds."""
    await env.custody.unlock(passphrase, timeout)


async def walletpassphrasechange(env: Environment, oldpassphrase: str, newpassphrase: str) -> None:
    _usable(newpassphrase, "newpassphrase")
    await env.custody.change(oldpassphrase, newpassphrase)


def walletlock(env: Environment) -> None:
    env.custody.require_passphrase()
    env.custody.lock()


def exportmnemonic(env: Environment, seedid: str | None) -> Object:
    keys = env.wallet.keys
    keys.check_open()
    wanted = keys.seed if seedid is None else next((seed for seed in keys.seeds if seed.id == seedid), None)
    if wanted is None:
        raise RpcError(
            NOT_FOUND,
            "This wallet has no such seed phrase",
            rule="seed-unknown",
            hint="getwalletinfo lists the seeds; a wallet of random keys has none until sethdseed.",
        )
    words, passphrase = wanted.phrase()
    elsewhere = [
        key for key in keys if key.role != POOL and (key.place is None or key.place.seed != wanted.id)
    ]
    return {
        "seedid": wanted.id,
        "mnemonic": words,
        "passphrase": passphrase,
        "path": format_path(wanted.account),
        "complete": not elsewhere,
        "keys_elsewhere": len(elsewhere),
    }


async def sethdseed(env: Environment) -> Object:
    keys = env.wallet.keys
    keys.check_open()
    keys.plant(WalletSeed.of(env.custody.entropy(ENTROPY_BYTES), "", account_path(env.params)))
    await env.custody.settle()
    return {"seedid": keys.seed.id if keys.seed is not None else None}


async def restorewallet(env: Environment, source: str, passphrase: str, gap: int) -> Object:
    wallet, custody = env.wallet, env.custody
    keys = wallet.keys
    keys.check_open()
    before = len(keys)
    if os.sep in source:
        try:
            check_path(source)
            backup = await custody.read(source)
        except LocalError as error:
            raise _bad(error, "backup", "source") from None
        await custody.merge(backup, passphrase, gap)
    else:
        try:
            entropy = entropy_of(source)
        except LocalError as error:
            raise _bad(error, "seed-phrase", "source") from None
        await custody.plant(WalletSeed.of(entropy, passphrase, account_path(env.params)), gap)
    return {
        "seedid": keys.seed.id if keys.seed is not None else None,
        "keys": len(keys) - before,
        "used": sum(key.role != POOL for key in keys),
        "balance": amount(env.wallet.balance()),
    }


async def importprivkey(env: Environment, privkey: bytes, label: str, rescan: bool) -> str:
    key = env.wallet.keys.adopt(privkey, label)
    await (env.custody.rescan() if rescan else env.custody.settle())
    return str(address_of(key.lock, env.params))


def dumpprivkey(env: Environment, address: str) -> str:
    key = key_at(env, address)
    return env.wallet.keys.signing_key(key).seed.hex()


async def backupwallet(env: Environment, destination: str) -> Object:
    try:
        size = await env.custody.backup(destination)
    except LocalError as error:
        raise _bad(error, "backup", "destination") from error
    keys = env.wallet.keys
    return {
        "destination": destination,
        "bytes": size,
        "keys": len(keys),
        "encrypted": keys.vault is not None,
        "verified": True,
    }


async def checkwallet(env: Environment) -> Object:
    keys = env.wallet.keys
    records, found, checked = await env.custody.check()
    return {
        "records": records,
        "keys": found,
        "secrets_checked": checked,
        "locked": keys.locked,
        "ok": True,
    }


def _usable(passphrase: str, param: str) -> None:
    """RpcError -8 for a passphrase that protects nothing."""
    try:
        check_passphrase(passphrase)
    except LocalError as error:
        raise _bad(error, "passphrase-form", param) from None


def _bad(error: LocalError, rule: str, param: str) -> RpcError:
    return RpcError(INVALID_PARAMETER, error.message, rule=rule, hint=error.hint, param=param)


HANDLERS = {
    handler.__name__: handler
    for handler in (
        listwallets,
        getwalletinfo,
        encryptwallet,
        walletpassphrase,
        walletpassphrasechange,
        walletlock,
        exportmnemonic,
        sethdseed,
        restorewallet,
        importprivkey,
        dumpprivkey,
        backupwallet,
        checkwallet,
    )
}

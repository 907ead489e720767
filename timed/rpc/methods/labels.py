"""Methods about addresses: what the wallet knows of them, names, and those it only watches."""

from __future__ import annotations

from timed.crypto.sizes import PUBLIC_KEY_SIZE
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, key_hash
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, NOT_FOUND, RpcError
from timed.rpc.locks import HEX_DIGITS
from timed.rpc.ownership import unknown_label
from timed.rpc.present import Object, address_of, lock_text
from timed.wallet.derivation import format_path, parse_path
from timed.wallet.keystore import CHANGE, POOL, Keystore, WalletKey
from timed.wallet.watching import Watched

WATCH = "watch"


def getaddressinfo(env: Environment, address: str) -> Object:
    keys = env.wallet.keys
    lock = env.lock_of(address)
    key = keys.key_of(lock)
    watched = keys.watched.get(lock) if key is None else None
    shown: Object = {
        "address": address_of(lock, env.params),
        "scriptPubKey": lock.encode().hex(),
        "ismine": key is not None,
        "iswatchonly": watched is not None,
        "solvable": key is not None,
        "isscript": lock.kind != LOCK_KEY_HASH,
        "iswitness": False,
        "ischange": key is not None and key.role == CHANGE,
        "isused": key is not None and key.role != POOL,
        "label": "",
        "labels": [],
        "pubkey": None,
        "hdkeypath": None,
        "hdseedid": None,
        "sigsrequired": lock.required,
    }
    if key is not None:
        shown |= _own(keys, key)
    elif watched is not None:
        public = watched.public.hex() if watched.public is not None else None
        place = {"hdkeypath": watched.path or None, "hdseedid": watched.seed or None}
        shown |= {"label": watched.label, "labels": [watched.label], "pubkey": public, **place}
    if lock.kind != LOCK_KEY_HASH:
        shown["keyhashes"] = [each.hex() for each in lock.hashes]
        shown["keys_here"] = sum(each in keys for each in lock.hashes)
    return shown


def listaddresses(env: Environment, kind: str) -> list[Object]:
    keys = env.wallet.keys
    shown = []
    for key in keys:
        if key.role != POOL and kind in ("all", key.role):
            own = _own(keys, key)
            own.pop("labels")
            shown.append({"address": address_of(key.lock, env.params), "kind": key.role, **own})
    if kind in ("all", WATCH):
        shown += [_watched_object(env, watched) for watched in keys.watched]
    return shown


async def setlabel(env: Environment, address: str, label: str) -> None:
    if not env.wallet.keys.label(env.lock_of(address), label):
        raise RpcError(
            NOT_FOUND,
            "The wallet does not know this address",
            rule="address-foreign",
            hint="Watch it with importaddress first.",
            param="address",
        )
    await env.custody.settle()


def listlabels(env: Environment) -> list[str]:
    keys = env.wallet.keys
    named = {key.label for key in keys if key.role != POOL} | {each.label for each in keys.watched}
    return sorted(named - {""})


def getaddressesbylabel(env: Environment, label: str) -> Object:
    keys = env.wallet.keys
    found: Object = {
        str(address_of(key.lock, env.params)): {"purpose": key.role}
        for key in keys
        if key.role != POOL and key.label == label
    }
    for watched in keys.watched:
        if watched.label == label:
            found[lock_text(watched.lock, env.params)] = {"purpose": WATCH}
    if not found:
        raise unknown_label()
    return found


async def importaddress(env: Environment, address: str, label: str, rescan: bool) -> Object:
    return await _watch(env, Watched(env.lock_of(address), label), rescan)


async def importpubkey(
    env: Environment, pubkey: bytes, label: str, rescan: bool, hdkeypath: str, hdseedid: str
) -> Object:
    if hdkeypath:
        try:
            parse_path(hdkeypath)
        except ValueError as error:
            raise RpcError(
                INVALID_PARAMETER,
                f"Invalid path: {error}",
                rule="param-value",
                hint="Copy it from listaddresses of the wallet that has the key.",
                param="hdkeypath",
            ) from None
    return await _watch(env, Watched(Lock.key_hash(pubkey), label, pubkey, hdseedid, hdkeypath), rescan)


def createmultisig(env: Environment, nrequired: int, keys: tuple[str, ...]) -> Object:
    lock = Lock.multisig(nrequired, [_key_hash(env, text) for text in keys])
    encoded = lock.encode().hex()
    return {
        "lock": encoded,
        "address": encoded,
        "nrequired": lock.required,
        "keyhashes": [x.hex() for x in lock.hashes],
    }


def _key_hash(env: Environment, text: str) -> bytes:
    """Of a public key in hexadecimal, or of an address."""
    if len(text) == 2 * PUBLIC_KEY_SIZE and HEX_DIGITS.issuperset(text.lower()):
        # `fromhex` alone reads blanks over, and the hash of a shorter key is nobody's.
        return key_hash(bytes.fromhex(text))
    lock = env.lock_of(text)
    if lock.kind != LOCK_KEY_HASH:
        raise RpcError(
            INVALID_PARAMETER,
            "A lock of several keys cannot be one of them",
            rule="lock-form",
            hint="Give public keys or addresses.",
            param="keys",
        )
    return lock.data


async def _watch(env: Environment, watched: Watched, rescan: bool) -> Object:
    keys = env.wallet.keys
    mine = keys.owns(watched.lock)
    if mine:
        keys.label(watched.lock, watched.label)
    else:
        keys.watch(watched)
    await (env.custody.rescan() if rescan and not mine else env.custody.settle())
    return {"address": lock_text(watched.lock, env.params), "iswatchonly": not mine, "ismine": mine}


def _own(keys: Keystore, key: WalletKey) -> Object:
    place = key.place
    return {
        "label": key.label,
        "labels": [key.label],
        "pubkey": key.public.hex(),
        "hdkeypath": format_path(keys.path_of(key)) if place is not None else None,
        "hdseedid": place.seed if place is not None else None,
    }


def _watched_object(env: Environment, watched: Watched) -> Object:
    return {
        "address": lock_text(watched.lock, env.params),
        "kind": WATCH,
        "label": watched.label,
        "pubkey": watched.public.hex() if watched.public is not None else None,
        "hdkeypath": watched.path or None,
        "hdseedid": watched.seed or None,
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getaddressinfo,
        listaddresses,
        setlabel,
        listlabels,
        getaddressesbylabel,
        importaddress,
        importpubkey,
        createmultisig,
    )
}

"""What callers say of the wallet's own addresses: RpcError for one that the wallet does not have."""

from __future__ import annotations

from timed.primitives.transaction import Lock
from timed.rpc.environment import Environment
from timed.rpc.errors import NOT_FOUND, WALLET_ERROR, RpcError
from timed.wallet.walletkey import WalletKey


def key_at(env: Environment, address: str) -> WalletKey:
    """The key of one of the wallet's own addresses; RpcError -4 when there is none."""
    key = env.wallet.keys.key_of(env.lock_of(address))
    if key is None:
        raise RpcError(
            WALLET_ERROR,
            "The wallet has no private key for this address",
            rule="address-foreign",
            hint="listaddresses shows the wallet's own ones.",
            param="address",
        )
    return key


def own_lock(env: Environment, address: str, *, watched: bool = False) -> Lock:
    """The lock of an address whose coins are the wallet's, with `watched` of one that it looks after; RpcError -5."""
    lock, keys = env.lock_of(address), env.wallet.keys
    if not (keys.watches(lock) if watched else keys.owns(lock)):
        raise RpcError(
            NOT_FOUND,
            "The address is not one of this wallet",
            rule="address-foreign",
            hint="listaddresses shows the wallet's own ones, and those it watches.",
            param="address",
        )
    return lock


def unknown_label() -> RpcError:
    """No address of the wallet is called so."""
    return RpcError(
        NOT_FOUND,
        "No addresses with this label",
        rule="label-unknown",
        hint="listlabels shows the labels.",
        param="label",
    )

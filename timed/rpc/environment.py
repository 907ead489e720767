"""What the handlers of the methods work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from timed.errors import DecodeError
from timed.params import NetworkParams
from timed.primitives.address import InvalidAddress, decode_address
from timed.primitives.transaction import Lock, Transaction
from timed.rpc.backend import ChainBackend
from timed.rpc.errors import DESERIALIZATION, NOT_FOUND, WALLET_ERROR, WARMING_UP, RpcError
from timed.rpc.waiting import Waiters
from timed.wallet.wallet import Wallet


@attrs.define
class Identity:
    """What this node says of itself; it does not change while the process runs."""

    node_id: bytes
    operator: bytes | None
    software: str
    p2p_port: int


@attrs.define
class Environment:
    """Handed to every handler. `backend` and `wallet` are None when they do not run."""

    params: NetworkParams
    identity: Identity
    monotonic: Callable[[], float]
    started: float
    """`monotonic` at the start of the service."""
    shut_down: Callable[[], None]
    waiters: Waiters
    write_wallet: Callable[[], Awaitable[None]]
    """Makes the wallet's outbox durable."""
    backend: ChainBackend | None = None
    own_wallet: Wallet | None = None

    @property
    def chain(self) -> ChainBackend:
        """The node's reads; RpcError -28 while there is no chain."""
        if self.backend is None:
            raise RpcError(
                WARMING_UP,
                f"This node follows no chain of {self.params.name}",
                rule="no-chain",
                hint="Put chain into services.enabled and set node.genesis.",
            )
        return self.backend

    @property
    def wallet(self) -> Wallet:
        """The wallet; RpcError -4 without one, -28 while it reads the set of coins."""
        if self.own_wallet is None:
            raise RpcError(
                WALLET_ERROR, "This node keeps no wallet", rule="no-wallet", hint="Set wallet.enabled = yes."
            )
        if not self.own_wallet.ready:
            raise RpcError(
                WARMING_UP,
                "The wallet is reading the set of coins",
                rule="wallet-scan",
                hint="Try again soon.",
            )
        return self.own_wallet

    def lock_of(self, address: str) -> Lock:
        """The lock of an address of this network; RpcError -5 otherwise."""
        try:
            return decode_address(self.params, address)
        except InvalidAddress as error:
            raise RpcError(
                NOT_FOUND,
                f"Invalid address: {error}",
                rule=error.rule,
                hint=f"An address of {self.params.name} starts with {self.params.address_prefix}.",
                param="address",
            ) from error


def decode_transaction(data: bytes) -> Transaction:
    """The transaction in `data`; RpcError -22 otherwise."""
    try:
        return Transaction.decode(data)
    except DecodeError as error:
        raise RpcError(
            DESERIALIZATION,
            f"TX decode failed: {error}",
            rule=error.rule,
            hint="Give the whole canonical encoding in hexadecimal.",
            param="hexstring",
        ) from error

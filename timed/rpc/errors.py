"""The errors a caller of the RPC can receive, with Bitcoin's numbers.

Every error object carries `code` and `message`; `data` holds at least `rule`,
the stable identifier shared with logs and metrics, and `hint`, one sentence
that says how to mend it.
"""

from __future__ import annotations

from typing import Any

from timed.errors import LocalError, PoolEmpty, RemoteError, TimedError, WalletLocked, WrongPassphrase

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

MISC = -1
TYPE_ERROR = -3
WALLET_ERROR = -4
NOT_FOUND = -5
INSUFFICIENT_FUNDS = -6
KEYPOOL_RAN_OUT = -12
UNLOCK_NEEDED = -13
WRONG_PASSPHRASE = -14
WRONG_ENCRYPTION_STATE = -15
INVALID_PARAMETER = -8
CLIENT_BUSY = -9
DESERIALIZATION = -22
REJECTED = -26
ALREADY_CONFIRMED = -27
WARMING_UP = -28
NODE_ALREADY_ADDED = -23
NODE_NOT_ADDED = -24
NODE_NOT_CONNECTED = -29
INVALID_SUBNET = -30
NODE_CAPACITY = -34


class RpcError(TimedError):
    """What a call answers instead of a result."""

    def __init__(self, code: int, message: str, *, rule: str, hint: str = "", **more: Any) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.data: dict[str, Any] = {"rule": rule, "hint": hint, **more}

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    def as_object(self) -> dict[str, Any]:
        """The `error` member of a response."""
        return {"code": self.code, "message": self.message, "data": self.data}


class Busy(RpcError):
    """Not now: HTTP 429 for who has spent its budget, 503 when the node has no room for anybody."""

    def __init__(self, status: int, retry_after_s: int, message: str, *, rule: str, hint: str) -> None:
        super().__init__(CLIENT_BUSY, message, rule=rule, hint=hint, retry_after_s=retry_after_s)
        self.status = status
        self.retry_after_s = retry_after_s


def not_found(what: str, text: str, hint: str = "") -> RpcError:
    """Something the caller named does not exist here."""
    return RpcError(NOT_FOUND, f"{what} not found: {text}", rule=f"{what.lower()}-unknown", hint=hint)


def rejected(reason: RemoteError) -> RpcError:
    """A transaction that this node does not take, with the rule it broke."""
    hint = HINTS.get(reason.rule, "The rule is described in docs/protocol.rst.")
    return RpcError(REJECTED, f"Transaction rejected: {reason}", rule=reason.rule, hint=hint)


def local(error: LocalError) -> RpcError:
    """What this process could not do, with the way to mend it."""
    for kind, code, rule in _LOCAL:
        if isinstance(error, kind):
            return RpcError(code, error.message, rule=rule, hint=error.hint)
    return RpcError(INTERNAL_ERROR, error.message, rule="local", hint=error.hint)


_LOCAL = (
    (WalletLocked, UNLOCK_NEEDED, "wallet-locked"),
    (WrongPassphrase, WRONG_PASSPHRASE, "wallet-passphrase"),
    (PoolEmpty, KEYPOOL_RAN_OUT, "wallet-pool"),
)


HINTS: dict[str, str] = {
    "already-confirmed": "Nothing is left to do: a block holds it.",
    "coinbase-immature": "A reward may be spent from the block after the one that paid it.",
    "fee-low": "The fee is the larger of 0.001 TIME and a thousandth of the outputs, at most 1 TIME.",
    "input-missing": "Send the transaction that makes the input first, or choose inputs from listunspent.",
    "input-spent": "Choose other inputs: listunspent shows the ones that are free.",
    "kind-not-active": "Send a transfer; this network takes no masternode transactions yet.",
    "lock-height": "Send it again when the chain has reached its lock height.",
    "mempool-conflict": "Another payment spends the same output; wait for it, or use other inputs.",
    "mempool-full": "The node's mempool is full; send it again in a few seconds.",
    "output-dust": "Make every output at least as large as the network's dust limit, or leave it out.",
    "signature": "Sign it again with signrawtransactionwithwallet; inputs and outputs must not change after that.",
    "value-created": "The outputs are worth more than the inputs: lower them or add inputs.",
    "witness-missing": "Sign it with signrawtransactionwithwallet first.",
}
"""What to do about the rules that a caller meets most."""

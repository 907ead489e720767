"""The errors a caller of the RPC can receive, with Bitcoin's numbers.

Every error object carries `code` and `message`; `data` holds at least `rule`,
the stable identifier shared with logs and metrics, and `hint`, one sentence
that says how to mend it.
"""

from __future__ import annotations

from typing import Any

from timed.errors import (
    ConfigError,
    LocalError,
    NotLive,
    NotPending,
    PoolEmpty,
    RemoteError,
    TimedError,
    UnknownKey,
    WalletFull,
    WalletLocked,
    WrongPassphrase,
)

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
WARMING_UP = -28
NODE_ALREADY_ADDED = -23
NODE_NOT_ADDED = -24
NODE_NOT_CONNECTED = -29
INVALID_SUBNET = -30
NODE_CAPACITY = -34

CANCELLED = "cancelled"

CODES: dict[str, tuple[int, str]] = {
    "PARSE_ERROR": (PARSE_ERROR, "The body is not JSON."),
    "INVALID_REQUEST": (INVALID_REQUEST, "The body is JSON but no request."),
    "METHOD_NOT_FOUND": (METHOD_NOT_FOUND, "There is no such method, or it has no meaning on this network."),
    "INVALID_PARAMS": (INVALID_PARAMS, "A parameter is missing, unknown, or one too many."),
    "INTERNAL_ERROR": (INTERNAL_ERROR, "The node failed; its log says how."),
    "MISC": (MISC, "Something else, which the message names."),
    "TYPE_ERROR": (TYPE_ERROR, "A parameter has the wrong JSON type."),
    "WALLET_ERROR": (WALLET_ERROR, "The wallet cannot do it."),
    "NOT_FOUND": (NOT_FOUND, "What was named does not exist here, or is no address of this network."),
    "INSUFFICIENT_FUNDS": (INSUFFICIENT_FUNDS, "The wallet has not that much to spend."),
    "INVALID_PARAMETER": (INVALID_PARAMETER, "A parameter is malformed or out of range."),
    "CLIENT_BUSY": (
        CLIENT_BUSY,
        "Too much at once; data.retry_after_s says when to try again, where it is known.",
    ),
    "KEYPOOL_RAN_OUT": (KEYPOOL_RAN_OUT, "A locked wallet has no fresh address left."),
    "UNLOCK_NEEDED": (UNLOCK_NEEDED, "The wallet is locked."),
    "WRONG_PASSPHRASE": (WRONG_PASSPHRASE, "The passphrase is not the wallet's."),
    "WRONG_ENCRYPTION_STATE": (WRONG_ENCRYPTION_STATE, "The wallet is encrypted already, or not at all."),
    "DESERIALIZATION": (DESERIALIZATION, "An encoded transaction or proof cannot be read."),
    "NODE_ALREADY_ADDED": (NODE_ALREADY_ADDED, "The address or ban is on the list already."),
    "NODE_NOT_ADDED": (NODE_NOT_ADDED, "The address is not on the list."),
    "REJECTED": (REJECTED, "The node does not take the transaction; data.rule is the rule it breaks."),
    "WARMING_UP": (WARMING_UP, "What is needed does not run yet, or not at all."),
    "NODE_NOT_CONNECTED": (NODE_NOT_CONNECTED, "There is no session with this peer."),
    "INVALID_SUBNET": (INVALID_SUBNET, "It is neither an address nor a network, or not on the list."),
    "NODE_CAPACITY": (NODE_CAPACITY, "The list of added addresses is full."),
}
"""By name: the number and when it is answered."""


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

    def __init__(
        self,
        status: int,
        retry_after_s: int,
        message: str,
        *,
        rule: str,
        hint: str,
        code: int = CLIENT_BUSY,
    ) -> None:
        super().__init__(code, message, rule=rule, hint=hint, retry_after_s=retry_after_s)
        self.status = status
        self.retry_after_s = retry_after_s


def cancelled() -> RpcError:
    """Whoever asked waits no more: nobody reads this."""
    return RpcError(MISC, "The call was ended", rule=CANCELLED, hint="Ask again.")


def stopping() -> Busy:
    """The node ends what it has begun."""
    return Busy(503, 1, "The node stops", rule="stopping", hint="Send it again once it is back.")


def not_found(what: str, text: str, hint: str = "") -> RpcError:
    """Something the caller named does not exist here."""
    return RpcError(NOT_FOUND, f"{what} not found: {text}", rule=f"{what.lower()}-unknown", hint=hint)


def no_monitor(message: str) -> RpcError:
    """What the monitor service would answer does not run."""
    return RpcError(MISC, message, rule="no-monitor", hint="Put monitor into services.enabled.")


def rejected(reason: RemoteError) -> RpcError:
    """A transaction that this node does not take, with the rule it broke."""
    hint = HINTS.get(reason.rule, "The rule is described in docs/protocol.rst.")
    return RpcError(REJECTED, f"Transaction rejected: {reason}", rule=reason.rule, hint=hint)


def local(error: LocalError) -> RpcError:
    """What this process could not do, with the way to mend it."""
    for kind, code, rule in LOCAL_RULES:
        if isinstance(error, kind):
            return RpcError(code, error.message, rule=rule, hint=error.hint)
    return RpcError(INTERNAL_ERROR, error.message, rule="local", hint=error.hint)


LOCAL_RULES = (
    (WalletLocked, UNLOCK_NEEDED, "wallet-locked"),
    (WrongPassphrase, WRONG_PASSPHRASE, "wallet-passphrase"),
    (PoolEmpty, KEYPOOL_RAN_OUT, "wallet-pool"),
    (WalletFull, WALLET_ERROR, "wallet-full"),
    (UnknownKey, NOT_FOUND, "config-key"),
    (NotLive, INVALID_PARAMETER, "config-restart"),
    (NotPending, INVALID_PARAMETER, "config-pending"),
    (ConfigError, INVALID_PARAMETER, "config-value"),
)
"""(kind of LocalError, code, rule); each error brings its own hint."""


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

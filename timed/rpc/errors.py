"""The errors a caller of the RPC can receive, with Bitcoin's numbers.

Every error object carries `code` and `message`; `data` holds at least `rule`,
the stable identifier shared with logs and metrics, and `hint`, one sentence
that says how to mend it.
"""

from __future__ import annotations

from typing import Any

from timed.errors import RemoteError, TimedError

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
INVALID_PARAMETER = -8
CLIENT_BUSY = -9
DESERIALIZATION = -22
REJECTED = -26
ALREADY_CONFIRMED = -27
WARMING_UP = -28


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


def not_found(what: str, text: str, hint: str = "") -> RpcError:
    """Something the caller named does not exist here."""
    return RpcError(NOT_FOUND, f"{what} not found: {text}", rule=f"{what.lower()}-unknown", hint=hint)


def rejected(reason: RemoteError) -> RpcError:
    """A transaction that this node does not take, with the rule it broke."""
    hint = HINTS.get(reason.rule, "The rule is described in docs/protocol.rst.")
    return RpcError(REJECTED, f"Transaction rejected: {reason}", rule=reason.rule, hint=hint)


HINTS: dict[str, str] = {
    "inputs-unknown": "An input is spent or was never made; look with gettxout, then choose other inputs.",
    "double-spend": "Another transaction that spends the same output came first; wait for it or use other coins.",
    "fee": "Raise the fee: the smaller of 1 TIME and the larger of 0.001 TIME and a thousandth of the outputs.",
    "dust": "Make every output at least as large as the network's dust limit, or leave it out.",
    "mempool-full": "The node's waiting room is full; send it again in a few seconds.",
}
"""What to do about the rules that a caller meets most."""

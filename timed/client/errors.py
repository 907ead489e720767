"""What can go wrong between a caller and a node, as types."""

from __future__ import annotations

from typing import Any

from timed.errors import TimedError


class ClientError(TimedError):
    """The root of every error of the client."""


class CannotConnect(ClientError):
    """No node answers there; `hint` says how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConnectionLost(CannotConnect):
    """The connection ended after the call was sent: whether it was carried out is unknown."""


class TimedOut(ConnectionLost):
    """No answer within the time given: whether the call was carried out is unknown."""


class Unauthorized(CannotConnect):
    """A node answers, but does not take these credentials."""


class Forbidden(ClientError):
    """HTTP 403: whoever calls from there, or in this way, is not served."""


class Busy(ClientError):
    """HTTP 503: nobody has time for the call, which was not carried out.

    `retry_after` is the number of seconds the server asks to wait, None when it names none.
    """

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        if self.retry_after is None:
            return f"{self.message} Try again later."
        return f"{self.message} Try again in {self.retry_after} s."


class RateLimited(Busy):
    """HTTP 429: this caller has used up its budget; the call was not carried out."""


class BadResponse(ClientError):
    """What came back is not an answer of a node."""


class RpcFailure(ClientError):
    """The node answered with an error. `rule` and `hint` are empty if it gave none."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}

    @property
    def rule(self) -> str:
        return str(self.data.get("rule", ""))

    @property
    def hint(self) -> str:
        return str(self.data.get("hint", ""))

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class MethodNotFound(RpcFailure):
    """-32601: this node has no such method."""


class InvalidArguments(RpcFailure):
    """-32602, -3 or -8: `data["param"]` names the argument at fault."""


class NotFound(RpcFailure):
    """-5: an address, block or transaction that is not there."""


class InsufficientFunds(RpcFailure):
    """-6: the wallet cannot pay that now."""


class Rejected(RpcFailure):
    """-26: a transaction that breaks the rule `rule`."""


class NotReady(RpcFailure):
    """-28 or -9: ask again later."""


_BY_CODE: dict[int, type[RpcFailure]] = {
    -32601: MethodNotFound,
    -32602: InvalidArguments,
    -3: InvalidArguments,
    -8: InvalidArguments,
    -5: NotFound,
    -6: InsufficientFunds,
    -26: Rejected,
    -28: NotReady,
    -9: NotReady,
}


LOST = "chain-lost"
"""The rule of an error that came after an RPC process had handed the call on: it may have been carried out."""


def failure(error: Any) -> ClientError:
    """The exception for the `error` member of a response; ConnectionLost where the call may have been carried out."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return BadResponse(f"not an error object: {error!r:.200}")
    code = error["code"]
    kind = _BY_CODE.get(code, RpcFailure)
    found = kind(code, str(error.get("message", "")), error.get("data"))
    return ConnectionLost(f"{found.message}.", found.hint) if found.rule == LOST else found

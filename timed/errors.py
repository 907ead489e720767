"""Two families of errors: ours and theirs.

`LocalError` is our bug or the operator's mistake; it says how to mend it.
`RemoteError` is what a peer's bytes or values did wrong; it is counted by its
rule and never becomes a traceback.
"""

from __future__ import annotations


class TimedError(Exception):
    """The root of every error this project raises on purpose."""


class LocalError(TimedError):
    """The operator's mistake or our own bug, with the way to mend it.

    `hint` is one sentence that says what to do; it may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConfigError(LocalError):
    """A configuration that cannot be used; the message names file, line and key."""


class UnknownKey(ConfigError):
    """There is no such key."""


class NotLive(ConfigError):
    """A key whose change needs a restart."""


class NotPending(ConfigError):
    """There is no change that waits to be confirmed."""


class StoreError(LocalError):
    """The data directory cannot be used, or holds what it must not hold."""


class StoreUnmade(StoreError):
    """Nobody has finished making the store there: whoever only reads it may ask again."""


class WalletLocked(LocalError):
    """A secret of the wallet is needed, and the wallet is locked."""

    def __init__(self) -> None:
        super().__init__("the wallet is locked.", "Unlock it with walletpassphrase first.")


class WalletFull(LocalError):
    """A bound of the wallet is reached."""


class PoolEmpty(LocalError):
    """A locked wallet has handed out all the addresses it had made in advance."""


class WrongPassphrase(LocalError):
    """The passphrase is not the one the wallet was encrypted with."""


class RemoteError(TimedError):
    """A peer broke `rule`; `detail` is for people.

    `rule` is a short stable identifier, shared by logs, metrics, RPC and tests.
    """

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else self.rule


class DecodeError(RemoteError):
    """Bytes that are not the one canonical encoding of a value."""


class InvalidSignature(RemoteError):
    """A signature that the one signature rule does not accept."""


class InvalidTransaction(RemoteError):
    """A transaction that breaks a ledger rule."""


class InvalidBlock(RemoteError):
    """A block, header or proposal that breaks a ledger or consensus rule."""


class InvalidCertificate(RemoteError):
    """A certificate that does not prove what it claims."""


class Refused(RemoteError):
    """A session that one side does not want; `rule` is the refusal's name."""

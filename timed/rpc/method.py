"""What a method is: one row of the table that arguments, help, documentation and the CLI read."""

from __future__ import annotations

from typing import Any, NamedTuple

from timed.rpc.schema import ParamType

REQUIRED: Any = object()
"""The default of a parameter that has none."""

READ, WALLET, ADMIN = "read", "wallet", "admin"
PERMISSIONS = (READ, WALLET, ADMIN)


class Param(NamedTuple):
    """One parameter; `default` is what the handler receives when it is left out or null."""

    name: str
    type: ParamType
    help: str
    default: Any = REQUIRED
    secret: bool = False
    """A passphrase, a key or a phrase: never logged, never kept in a history."""
    invented: bool = False
    """A secret that is made up for this call: whoever types it unseen types it twice."""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


class Method(NamedTuple):
    """One method. `permission` is what a caller must hold to use it."""

    name: str
    category: str
    summary: str
    result: str
    params: tuple[Param, ...] = ()
    permission: str = READ
    example: str = ""
    """The arguments of an example, as one would type them after the name."""
    more: tuple[str, ...] = ()
    """Further examples."""
    cost: int = 1
    """What a call is charged with, in units of a light lookup (about 0.1 ms of one core)."""
    patient: bool = False
    """It waits on purpose, for a time that the caller gives."""
    told_caller: bool = False
    """The handler also receives who calls, as `caller`: what it shows depends on that."""

    @property
    def examples(self) -> tuple[str, ...]:
        """The arguments of each example; a part in angle brackets stands for a value of the reader's own."""
        return (self.example, *self.more)

    @property
    def usage(self) -> str:
        """`getblock block ( verbosity )`, in Bitcoin's manner."""
        words = [param.name if param.required else f"( {param.name} )" for param in self.params]
        return " ".join([self.name, *words])

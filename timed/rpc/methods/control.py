"""Methods about the node itself."""

from __future__ import annotations

from timed.rpc.dispatch import Handler
from timed.rpc.documentation import overview, page
from timed.rpc.environment import Environment
from timed.rpc.errors import METHOD_NOT_FOUND, RpcError
from timed.rpc.table import METHODS


def uptime(env: Environment) -> int:
    return int(env.monotonic() - env.started)


def stop(env: Environment) -> str:
    env.shut_down()
    return "TIME Coin server stopping"


def help_(env: Environment, command: str) -> str:
    if not command:
        return overview()
    method = METHODS.get(command)
    if method is None:
        raise RpcError(
            METHOD_NOT_FOUND,
            f"Method not found: {command}",
            rule="method-unknown",
            hint="Call help without an argument for the list of methods.",
        )
    return page(method)


HANDLERS: dict[str, Handler] = {"uptime": uptime, "stop": stop, "help": help_}

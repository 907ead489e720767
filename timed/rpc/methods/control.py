"""Methods about the node itself."""

from __future__ import annotations

from timed.errors import LocalError
from timed.rpc.absent import unknown
from timed.rpc.dispatch import Handler
from timed.rpc.documentation import overview, page
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, MISC, RpcError
from timed.rpc.openrpc import document
from timed.rpc.placing import anywhere
from timed.rpc.present import Object
from timed.rpc.schema import bad_value
from timed.rpc.table import METHODS
from timed.rpc.tables.common import DEFAULT_LEVEL


def uptime(env: Environment) -> int:
    return int(env.monotonic() - env.started)


def stop(env: Environment) -> str:
    env.shut_down()
    return "TIME Coin server stopping"


@anywhere
def help_(env: Environment, command: str) -> str:
    if not command:
        return overview()
    method = METHODS.get(command)
    if method is None:
        raise unknown(command)
    return page(method)


@anywhere
def discover(env: Environment) -> Object:
    return document(METHODS)


def logging(env: Environment, namespace: str | None, level: str | None) -> dict[str, str]:
    levels = env.log_levels
    if levels is None:
        raise RpcError(MISC, "This node writes no log", rule="no-log", hint="Ask the node's own process.")
    if namespace is None and level is not None:
        raise RpcError(
            INVALID_PARAMETER, "A level belongs to a namespace", rule="param-value",
            hint="Give * for all namespaces.", param="namespace",
        )  # fmt: skip
    try:
        if namespace is not None and level == DEFAULT_LEVEL:
            levels.clear(namespace)
        elif namespace is not None and level is not None:
            levels.set(namespace, level)
    except LocalError as error:
        raise bad_value("namespace", f"cannot be used: {error.message}", error.hint) from None
    return levels.shown()


HANDLERS: dict[str, Handler] = {
    "uptime": uptime,
    "stop": stop,
    "help": help_,
    "rpc.discover": discover,
    "logging": logging,
}

"""Methods that show the configuration in force and change it while the node runs."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from timed.rpc.caller import Caller
from timed.rpc.dispatch import Handler
from timed.rpc.environment import Environment
from timed.rpc.errors import MISC, RpcError
from timed.rpc.placing import anywhere
from timed.rpc.present import Object

if TYPE_CHECKING:
    from timed.app.live import LiveConfig, Setting


def getconfig(env: Environment, key: str) -> list[Object]:
    return [_object(each) for each in _configuration(env).shown(key)]


async def setconfig(
    env: Environment, key: str, value: str | None, confirm_within: int, caller: Caller
) -> Object:
    return _object(await _configuration(env).change(key, value, confirm_within, caller.who))


async def confirmconfig(env: Environment, key: str, caller: Caller) -> list[str]:
    return await _configuration(env).confirm(key, caller.who)


@anywhere
def reload(env: Environment) -> list[Object]:
    if env.reloads is None:
        raise RpcError(MISC, "Nothing is read again here", rule="no-config", hint="Ask a running node.")
    outcomes = env.reloads.run()
    failed = [each.error for each in outcomes if each.error is not None]
    shown = [{"what": each.what, "now": each.now, "failed": each.error is not None} for each in outcomes]
    if failed:
        raise RpcError(
            MISC, " ".join(error.message for error in failed), rule="reload-failed",
            hint=" ".join(error.hint for error in failed), reloaded=shown,
        )  # fmt: skip
    return shown


def _configuration(env: Environment) -> LiveConfig:
    if env.configuration is None:
        raise RpcError(MISC, "There is no configuration here", rule="no-config", hint="Ask a running node.")
    return env.configuration


def _object(setting: Setting) -> Object:
    row, left = setting.key, setting.seconds_left
    return {
        "key": row.full_name,
        "value": setting.text,
        "source": setting.source,
        "default": row.kind.show(row.default),
        "live": row.live,
        "applied": setting.applied,
        "after_restart": setting.after_restart,
        "confirm_within": None if left is None else ceil(left),
        "kind": row.kind.name,
        "help": row.doc,
    }


HANDLERS: dict[str, Handler] = {
    "getconfig": getconfig,
    "setconfig": setconfig,
    "confirmconfig": confirmconfig,
    "reload": reload,
}

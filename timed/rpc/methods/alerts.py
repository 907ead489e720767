"""What the node's own rules say is wrong."""

from __future__ import annotations

from timed.rpc.environment import Environment
from timed.rpc.errors import MISC, RpcError
from timed.rpc.present import Object


def getalerts(env: Environment, over: bool) -> Object:
    alarms = env.alarms()
    if alarms is None:
        raise RpcError(
            MISC,
            "This node watches no alerts",
            rule="no-monitor",
            hint="Put monitor into services.enabled.",
        )
    shown = alarms.as_object()
    return shown if over else {"active": shown["active"]}


HANDLERS = {handler.__name__: handler for handler in (getalerts,)}

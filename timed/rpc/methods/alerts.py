"""What the node's own rules say is wrong."""

from __future__ import annotations

from timed.rpc.environment import Environment
from timed.rpc.errors import no_monitor
from timed.rpc.present import Object


def getalerts(env: Environment, over: bool) -> Object:
    alarms = env.alarms()
    if alarms is None:
        raise no_monitor("This node watches no alerts")
    shown = alarms.as_object()
    return shown if over else {"active": shown["active"]}


HANDLERS = {handler.__name__: handler for handler in (getalerts,)}

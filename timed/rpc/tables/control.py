"""The methods about the process itself."""

from __future__ import annotations

from timed.rpc.method import ADMIN, Method, Param
from timed.rpc.schema import Text, Word
from timed.rpc.tables.common import LEVELS

METHODS = (
    Method("uptime", "control", "Seconds since the RPC service started.", "integer"),
    Method("stop", "control", "Stops the node.", "string", permission=ADMIN),
    Method(
        "help", "control", "The list of methods, or what one of them does.", "string",
        (Param("command", Text(64), "A method's name.", ""),),
        example="getblock",
    ),
    Method(
        "rpc.discover", "control", "This table of methods, as an OpenRPC document.",
        "object: openrpc, info, methods (with x-permission and x-cost), components", cost=50,
    ),
    Method(
        "logging", "control",
        "The least important level that is written, by namespace; with a level, sets it until the node stops.",
        "object: level by namespace; * stands for all others",
        (
            Param("namespace", Text(64), "A room like node, what is in it like app.seeds, or * for all.", None),
            Param("level", Word(words=LEVELS), "debug, info, warn, error, critical; default: as its surroundings.", None),
        ),
        permission=ADMIN,
        example="node debug",
    ),
)  # fmt: skip

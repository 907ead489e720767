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
        "getrpcinfo", "control",
        "The calls that this process answers: those under way, and what became of the others.",
        "object: active_commands (oldest first: method, duration in microseconds, since, user, address, lane "
        "administrator or ordinary, state waiting, running or forwarded), active, calls, errors by rule, turns, "
        "budgets, deadline, waiters, reader, link (of an RPC process to its chain process, else null), local (the "
        "other end of it), http, authentication; most is the bound of what stands beside it",
        permission=ADMIN,
    ),
    Method(
        "getmemoryinfo", "control", "The memory of this process, and who of it holds how much within which bound.",
        "object: process (resident, anonymous, in bytes), owners (name, holds, items, most_items, bytes, "
        "most_bytes; null where there is no such count or bound), gc (the cycle collector), store ("
        "used_bytes, map_bytes; null without a file)",
        permission=ADMIN,
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

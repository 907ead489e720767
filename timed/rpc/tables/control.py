"""The methods about the process itself."""

from __future__ import annotations

from timed.rpc.method import ADMIN, Method, Param
from timed.rpc.schema import Boolean, Integer, Text, Word
from timed.rpc.tables.common import LEVELS

MAX_PROFILE_S = 60
MAX_PROFILE_HZ = 250
"""More looks would cost more than they tell."""

_SETTING = (
    "object: key, value (as a file has it; … for what may hold a secret), source (file and line, command line or "
    "setconfig; empty for the default), default, live (a change needs no restart), applied (something in this process reads it), after_restart (the "
    "value after a restart now), confirm_within (seconds until an unconfirmed change goes back, else null), kind, help"
)

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
        "getalerts", "control",
        "What the node's own rules say is wrong, and what to do about it.",
        "object: active (alerts that last, in the order of the rules) and over (the last 100 that ended, newest "
        "first), each an array of objects: name, severity warning or critical, state, since and until (unix "
        "seconds), value (what was measured), summary, remedy, runbook",
        (Param("over", Boolean(), "Also those that are over.", True),),
        example="false",
    ),
    Method(
        "getrpcinfo", "control",
        "The calls that this process answers: those under way, and what became of the others.",
        "object: active_commands (oldest first: number, method, duration in microseconds, since, user, address, lane "
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
        "getreactorinfo", "control",
        "How late this process was with its timers, how long the collector stopped it, and which turns were slow.",
        "object: late (count, seconds, p50, p99), pauses (the same by generation of the collector), slow (the newest "
        "first: time, seconds, doing, functions seen, stack), slow_counts by what they did, slow_seconds (from which "
        "length on a turn is slow), most",
        permission=ADMIN,
    ),
    Method(
        "getprofile", "control",
        "Looks for some seconds where the threads of this process are, while it works on; one profile at a time. "
        "timed-cli profile draws it.",
        "object: process (node, or rpc for a process apart), seconds, hz, looks, missed, cost (CPU seconds of looking), "
        "cpu (of the process), threads (name, samples, waiting, cpu), frames (functions), stacks (thread, frames from "
        "the outermost inwards as numbers, samples), beyond (samples of stacks without room), messages, calls and "
        "methods (CPU seconds by type of message, call of the node and RPC method, with counts), pauses of the "
        "collector, slow (turns, as getreactorinfo; null without a monitor)",
        (
            Param("seconds", Integer(1, MAX_PROFILE_S), "How long.", 10),
            Param("hz", Integer(1, MAX_PROFILE_HZ), "Looks a second.", 100),
        ),
        permission=ADMIN,
        example="1 50",
        cost=500,
        patient=True,
    ),
    Method(
        "dumprecording", "control",
        "Writes what the flight recorder holds into a file in the data directory: what went into the node lately, "
        "behind a copy of its state. timed-replay executes it again. It holds no keys; it does hold the addresses "
        "of peers and what users sent.",
        "object: path, bytes, from, to (unix time), seconds",
        (Param("why", Text(200), "Why it was written; kept in the file.", "asked for"),),
        permission=ADMIN,
        example="finality-is-slow",
        cost=200,
    ),
    Method(
        "getconfig", "control", "The configuration in force: each value and where it comes from.",
        _SETTING.replace("object", "array of objects", 1),
        (Param("key", Text(64), "A key like rpc.budget_per_s, or a section like rpc; empty for all.", ""),),
        permission=ADMIN,
        example="rpc.budget_per_s",
        more=("log", ""),
    ),
    Method(
        "setconfig", "control",
        "Gives a key another value at once. It goes back by itself unless confirmconfig keeps it; so it does at a "
        "restart. Only keys that getconfig calls live: the others need the configuration file and a restart.",
        _SETTING,
        (
            Param("key", Text(64), "A key like rpc.budget_per_s."),
            Param("value", Text(8_192),
                  "As in the configuration file; left out or null: the value without any setconfig.", None),
            Param("confirm_within", Integer(0, 3_600),
                  "Seconds until it goes back; 0: it is kept at once, on disk when the answer comes.", 60),
        ),
        permission=ADMIN,
        example="rpc.budget_per_s 5000",
        more=("log.levels peer:debug 600", "log.level info 0"),
        told_caller=True,
    ),
    Method(
        "confirmconfig", "control",
        "Keeps what setconfig changed: it is in overrides.ini in the data directory when the answer comes, and is "
        "read after the configuration file at every start.",
        "array of strings: the keys that were kept",
        (Param("key", Text(64), "One key; empty for all that wait.", ""),),
        permission=ADMIN,
        example="",
        told_caller=True,
    ),
    Method(
        "reload", "control",
        "Reads rpc.auth_file, the certificate and the secret of the webhooks again, as SIGHUP does; what cannot be used stays as it was.",
        "array of objects: what (accounts, certificate, sinks; in an RPC process overrides), now (what is in force), failed; when one has failed, an error "
        "with the rule reload-failed and this array as data.reloaded",
        permission=ADMIN,
        example="",
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

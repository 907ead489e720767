"""Methods by which the operator keeps peers out, and lets them in again."""

from __future__ import annotations

from timed.errors import LocalError
from timed.params import SECOND
from timed.peer.bans import Ban, Subject, parse_subject, subject_text
from timed.peer.location import parse_peer
from timed.rpc.environment import Environment
from timed.rpc.errors import (
    INVALID_PARAMETER,
    INVALID_SUBNET,
    MISC,
    NODE_ALREADY_ADDED,
    NODE_NOT_CONNECTED,
    RpcError,
)
from timed.rpc.present import Object

BAN_S = 86_400
"""A ban without a time, as in Bitcoin."""
REASON = "by the operator"


def listbanned(env: Environment) -> list[Object]:
    now = env.peers.now()
    return [ban_object(ban, now) for ban in env.peers.bans()]


async def setban(
    env: Environment, subnet: str, command: str, bantime: int, absolute: bool, reason: str
) -> None:
    subject = _subject(subnet)
    if command == "remove":
        _lift(env, subject, subnet)
        await _keep(env)
        return
    held = env.peers.ban_of(subject)
    if held is not None and held.by_operator:
        raise RpcError(
            NODE_ALREADY_ADDED,
            f"Error: {subject_text(subject)} is banned already",
            rule="already-banned",
            hint="Remove the ban first to give it another time.",
            param="subnet",
        )
    _refuse_own(env, subject)
    env.peers.ban(subject, _seconds(env, bantime, absolute), reason or REASON)
    await _keep(env)


async def clearbanned(env: Environment) -> None:
    env.peers.clear_bans()
    await _keep(env)


async def _keep(env: Environment) -> None:
    """What was answered outlives a crash, or the answer says that it may not."""
    try:
        await env.remember()
    except LocalError as error:
        raise RpcError(
            MISC,
            f"This is in force, but a restart may undo it: {error.message}",
            rule="not-remembered",
            hint=error.hint,
        ) from error


def disconnectnode(env: Environment, address: str, nodeid: int | bytes | None) -> None:
    number = nodeid if isinstance(nodeid, int) else None
    text = nodeid.hex() if isinstance(nodeid, bytes) else ""
    if bool(address) == (nodeid is not None):
        raise RpcError(
            INVALID_PARAMETER,
            "Only one of address and nodeid should be provided",
            rule="param-value",
            hint="Give host:port as getpeerinfo shows it, or the node id.",
            param="address",
        )
    found = [
        peer
        for peer in env.peers.find(address or text, number)
        if number is not None or (address or text) in (peer.address, peer.node_id.hex())
    ]
    if not found or not env.peers.disconnect(found[0]):
        raise RpcError(
            NODE_NOT_CONNECTED,
            "Node not found in connected nodes",
            rule="not-connected",
            hint="getpeerinfo lists the sessions: give addr, nodeid or id of one.",
        )


def ban_object(ban: Ban, now: int) -> Object:
    """A ban as listbanned shows it; the times of one without end are null."""
    node = isinstance(ban.subject, bytes)
    return {
        "subject": subject_text(ban.subject),
        "address": (ban.host or None) if node else subject_text(ban.subject),
        "nodeid": subject_text(ban.subject) if node else None,
        "ban_created": ban.since // SECOND,
        "banned_until": ban.until // SECOND if ban.until else None,
        "ban_duration": (ban.until - ban.since) // SECOND if ban.until else None,
        "time_remaining": max(0, ban.until - now) // SECOND if ban.until else None,
        "reason": ban.reason,
        "by": "operator" if ban.by_operator else "node",
    }


def subject_or_none(text: str) -> Subject | None:
    try:
        return parse_subject(text)
    except ValueError:
        return None


def _subject(text: str) -> Subject:
    subject = subject_or_none(text)
    if subject is None:
        raise RpcError(
            INVALID_SUBNET,
            f"Error: Invalid IP/Subnet: {text}",
            rule="subnet",
            hint=_address_hint(text),
            param="subnet",
        )
    return subject


def _address_hint(text: str) -> str:
    try:
        place = parse_peer(text)
    except ValueError:
        return "Give a node id of 64 hexadecimal digits, an address, or a subnet like 10.0.0.0/8."
    named = f" or its node id, {place.node_id.hex()}" if place.node_id is not None else ""
    return f"A ban has no port: give {place.host}{named}."


def _lift(env: Environment, subject: Subject, text: str) -> None:
    if env.peers.unban(subject):
        return
    covering = ", ".join(map(subject_text, _wider(env, subject)))
    raise RpcError(
        INVALID_SUBNET,
        f"Error: Unban failed. {text} was not banned.",
        rule="not-banned",
        hint=f"It lies in {covering}: remove that." if covering else "listbanned shows what is banned.",
        param="subnet",
    )


def _wider(env: Environment, subject: Subject) -> list[Subject]:
    """The banned places in which all of a place lies."""
    if isinstance(subject, bytes):
        return []
    places = [ban.subject for ban in env.peers.covering(str(subject.network_address))]
    return [place for place in places if not isinstance(place, bytes) and place.prefixlen < subject.prefixlen]


def _refuse_own(env: Environment, subject: Subject) -> None:
    if isinstance(subject, bytes):
        own = subject == env.identity.node_id
        what, hint = "this is the node's own id", "Give the id of another node, as getpeerinfo shows it."
    else:
        own = subject.is_loopback and env.peers.table.conduct.trust_loopback
        what = "this machine is never banned"
        hint = "Addresses of this machine are exempt: ban a peer on it by its node id."
    if own:
        raise RpcError(INVALID_PARAMETER, f"Error: {what}", rule="own-address", hint=hint, param="subnet")


def _seconds(env: Environment, bantime: int, absolute: bool) -> int:
    if not absolute:
        return bantime or BAN_S
    seconds = bantime - env.peers.now() // SECOND
    if seconds <= 0:
        raise RpcError(
            INVALID_PARAMETER,
            "Error: Absolute timestamp is in the past",
            rule="param-value",
            hint="Give unix seconds of a time to come, or leave absolute out.",
            param="bantime",
        )
    return seconds


HANDLERS = {handler.__name__: handler for handler in (listbanned, setban, clearbanned, disconnectnode)}

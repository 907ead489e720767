"""Genesis files: the JSON that a network's nodes share before they have a chain.

::

    {"network": "regtest", "time": 1767225600, "interval": 5, "profile": "equal", "shard_bits": 0,
     "allocation": [{"lock": "TIMER…", "amount": "10000.00000000"}],
     "members": [{"operator_key": "64 hex", "owner_key": "64 hex", "reward": "TIMER…",
                  "tier": "free", "weight": 1, "network_address": "127.0.0.1:7000"}],
     "roster_changes": [{"height": 4, "members": […]}]}

`time` and `interval` are seconds. A lock is an address, or for a lock that has
none `kind:hex`. What the fields may hold is decided by `Genesis`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timed import params as networks
from timed.errors import ConfigError, RemoteError
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import builtin_regtest
from timed.params import NetworkParams
from timed.primitives.address import decode_address, encode_address
from timed.primitives.amounts import format_amount, parse_amount
from timed.primitives.roster import Member, Roster, Tier
from timed.primitives.transaction import LOCK_KEY_HASH, Lock

if TYPE_CHECKING:
    from timed.app.config import Config

MAX_FILE_BYTES = 64 * 1024 * 1024


def read_genesis(path: Path) -> Genesis:
    """The genesis in a file; ConfigError when there is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the genesis file {path}: {error.strerror}.", "Set node.genesis."
        ) from error
    return parse_genesis(data, str(path))


def parse_genesis(data: bytes, name: str) -> Genesis:
    """The genesis in the content of the file `name`; ConfigError when there is none."""
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name} is {len(data)} bytes long; that is no genesis file.")
    try:
        return genesis_from(json.loads(data))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}", error.hint) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RemoteError) as error:
        detail = f"there is no field {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{name} is not a genesis file: {detail}.") from error


def write_genesis(path: Path, genesis: Genesis) -> None:
    """Write a file that `read_genesis` turns into an equal genesis."""
    path.write_text(json.dumps(genesis_fields(genesis), indent=1) + "\n", encoding="utf-8")


def genesis_fields(genesis: Genesis) -> dict[str, Any]:
    """The genesis as JSON values."""
    params = genesis.params
    fields: dict[str, Any] = {
        "network": params.name,
        "time": genesis.time,
        "interval": genesis.interval,
        "profile": genesis.profile,
        "shard_bits": genesis.shard_bits,
        "allocation": [
            {"lock": _lock_text(params, lock), "amount": format_amount(value)}
            for lock, value in genesis.allocation
        ],
        "members": [_member_fields(params, member) for member in genesis.members.members],
    }
    if genesis.roster_changes:
        fields["roster_changes"] = [
            {"height": height, "members": [_member_fields(params, member) for member in roster.members]}
            for height, roster in genesis.roster_changes
        ]
    return fields


def genesis_from(fields: dict[str, Any]) -> Genesis:
    """The genesis of JSON values; ConfigError, or what a missing or wrong field raises."""
    params = networks.network(str(fields["network"]))
    return Genesis(
        params=params,
        time=_integer(fields["time"]),
        interval=_integer(fields["interval"]),
        profile=str(fields["profile"]),
        shard_bits=_integer(fields.get("shard_bits", 0)),
        allocation=tuple(
            (_lock(params, entry["lock"]), parse_amount(entry["amount"])) for entry in fields["allocation"]
        ),
        members=_roster(params, fields["members"]),
        roster_changes=tuple(
            (_integer(change["height"]), _roster(params, change["members"]))
            for change in fields.get("roster_changes", ())
        ),
    )


def _roster(params: NetworkParams, entries: list[dict[str, Any]]) -> Roster:
    members = [
        Member(
            operator_key=_key(entry["operator_key"]),
            owner_key=_key(entry["owner_key"]),
            reward=_lock(params, entry["reward"]),
            tier=Tier[str(entry["tier"]).upper()],
            weight=_integer(entry["weight"]),
            network_address=str(entry.get("network_address", "")).encode("utf-8"),
        )
        for entry in entries
    ]
    if len({member.operator_key for member in members}) != len(members):
        raise ConfigError("two members have the same operator key.")
    return Roster(tuple(sorted(members, key=lambda member: member.operator_key)))


def _member_fields(params: NetworkParams, member: Member) -> dict[str, Any]:
    return {
        "operator_key": member.operator_key.hex(),
        "owner_key": member.owner_key.hex(),
        "reward": _lock_text(params, member.reward),
        "tier": Tier(member.tier).name.lower(),
        "weight": member.weight,
        "network_address": member.network_address.decode("utf-8"),
    }


def _lock(params: NetworkParams, text: str) -> Lock:
    kind, colon, data = text.partition(":")
    return Lock(int(kind), bytes.fromhex(data)) if colon else decode_address(params, text)


def _lock_text(params: NetworkParams, lock: Lock) -> str:
    return encode_address(params, lock) if lock.kind == LOCK_KEY_HASH else f"{lock.kind}:{lock.data.hex()}"


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError(f"a key has 64 hexadecimal digits, not {2 * len(key)}")
    return key


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def choose_genesis(config: Config) -> Genesis | None:
    """The configured genesis file, else regtest's own; the other networks have none yet."""
    if config.genesis_file is not None:
        genesis: Genesis = read_genesis(config.genesis_file)
        if genesis.params != config.params:
            raise ConfigError(
                f"{config.genesis_file} is a genesis of {genesis.params.name}, not of {config.params.name}.",
                "Set node.network or node.genesis.",
            )
        return genesis
    return builtin_regtest() if config.params is networks.REGTEST else None

"""Generated from timed.primitives.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    ends_elsewhere,
    is_ascending_by,
    length_out_of_bounds,
    not_a_choice,
    not_ascending,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
    retain,
)
from timed.primitives.roster import (
    Member,
    Roster,
)
from timed.primitives.transaction import (
    Lock,
)

_unpack_from_0 = struct.Struct("<32s32sBH").unpack_from
_unpack_from_1 = struct.Struct("<BQB").unpack_from
_pack_0 = struct.Struct("<32s32sBH").pack
_pack_1 = struct.Struct("<BQB").pack
_unpack_from_2 = struct.Struct("<H").unpack_from
_pack_2 = struct.Struct("<H").pack


def decode_member(data: bytes) -> Member:
    """Decode all of `data`."""
    size = len(data)
    try:
        operator_key, owner_key, reward_kind, reward_data_length = _unpack_from_0(data, 0)
        if reward_data_length > 322:
            raise length_out_of_bounds("Member.reward.data", reward_data_length)
        at = 67 + reward_data_length
        reward_data = data[67:at]
        tier, weight, network_address_length = _unpack_from_1(data, at)
        if tier > 3:
            raise not_a_choice("Member.tier", tier)
        begin = at + 10
        at = begin + network_address_length
        network_address = data[begin:at]
    except struct.error:
        raise truncated("Member") from None
    if at != size:
        raise ends_elsewhere("Member", at, size)
    return Member(operator_key, owner_key, Lock(reward_kind, reward_data), tier, weight, network_address)


def pack_member(value: Member) -> bytes:
    """The encoding of the fields."""
    try:
        operator_key = value.operator_key
        if len(operator_key) != 32:
            raise unfit("Member.operator_key", operator_key)
        owner_key = value.owner_key
        if len(owner_key) != 32:
            raise unfit("Member.owner_key", owner_key)
        reward = value.reward
        reward_data = reward.data
        if len(reward_data) > 322:
            raise unfit("Member.reward.data", reward_data)
        tier = value.tier
        if tier not in (0, 1, 2, 3):
            raise unfit("Member.tier", tier)
        network_address = value.network_address
        return b"".join(
            (
                _pack_0(operator_key, owner_key, reward.kind, len(reward_data)),
                reward_data,
                _pack_1(tier, value.weight, len(network_address)),
                network_address,
            )
        )
    except struct.error as error:
        raise unfit("Member", str(error)) from None


def read_roster(data: bytes, at: int, size: int) -> tuple[Roster, int]:
    """Decode at `at`: the value and the offset after it."""
    start = at
    (members_count,) = _unpack_from_2(data, at)
    at += 2
    if 77 * members_count > size - at:
        raise truncated("Roster.members")
    members_items = []
    for _ in range(members_count):
        (
            members_items_item_operator_key,
            members_items_item_owner_key,
            members_items_item_reward_kind,
            members_items_item_reward_data_length,
        ) = _unpack_from_0(data, at)
        if members_items_item_reward_data_length > 322:
            raise length_out_of_bounds("Roster.members.reward.data", members_items_item_reward_data_length)
        begin = at + 67
        at = begin + members_items_item_reward_data_length
        members_items_item_reward_data = data[begin:at]
        members_items_item_tier, members_items_item_weight, members_items_item_network_address_length = (
            _unpack_from_1(data, at)
        )
        if members_items_item_tier > 3:
            raise not_a_choice("Roster.members.tier", members_items_item_tier)
        begin = at + 10
        at = begin + members_items_item_network_address_length
        members_items_item_network_address = data[begin:at]
        members_items.append(
            Member(
                members_items_item_operator_key,
                members_items_item_owner_key,
                Lock(members_items_item_reward_kind, members_items_item_reward_data),
                members_items_item_tier,
                members_items_item_weight,
                members_items_item_network_address,
            ),
        )
    members = tuple(members_items)
    if not is_ascending_by("operator_key", members):
        raise not_ascending("Roster.members")
    if at > size:
        raise truncated("Roster")
    value = Roster(members)
    retain(value, data[start:at])
    return value, at


def decode_roster(data: bytes) -> Roster:
    """Decode all of `data`."""
    size = len(data)
    try:
        (members_count,) = _unpack_from_2(data, 0)
        at = 2
        if 77 * members_count > size - at:
            raise truncated("Roster.members")
        members_items = []
        for _ in range(members_count):
            (
                members_items_item_operator_key,
                members_items_item_owner_key,
                members_items_item_reward_kind,
                members_items_item_reward_data_length,
            ) = _unpack_from_0(data, at)
            if members_items_item_reward_data_length > 322:
                raise length_out_of_bounds(
                    "Roster.members.reward.data", members_items_item_reward_data_length
                )
            begin = at + 67
            at = begin + members_items_item_reward_data_length
            members_items_item_reward_data = data[begin:at]
            members_items_item_tier, members_items_item_weight, members_items_item_network_address_length = (
                _unpack_from_1(data, at)
            )
            if members_items_item_tier > 3:
                raise not_a_choice("Roster.members.tier", members_items_item_tier)
            begin = at + 10
            at = begin + members_items_item_network_address_length
            members_items_item_network_address = data[begin:at]
            members_items.append(
                Member(
                    members_items_item_operator_key,
                    members_items_item_owner_key,
                    Lock(members_items_item_reward_kind, members_items_item_reward_data),
                    members_items_item_tier,
                    members_items_item_weight,
                    members_items_item_network_address,
                ),
            )
        members = tuple(members_items)
        if not is_ascending_by("operator_key", members):
            raise not_ascending("Roster.members")
    except struct.error:
        raise truncated("Roster") from None
    if at != size:
        raise ends_elsewhere("Roster", at, size)
    value = Roster(members)
    retain(value, data)
    return value


def pack_roster(value: Roster) -> bytes:
    """The encoding of the fields."""
    try:
        members = value.members
        if not is_ascending_by("operator_key", members):
            raise unfit("Roster.members", "order")
        members_pieces: list[bytes] = []
        for members_item in members:
            members_item_operator_key = members_item.operator_key
            if len(members_item_operator_key) != 32:
                raise unfit("Roster.members.operator_key", members_item_operator_key)
            members_item_owner_key = members_item.owner_key
            if len(members_item_owner_key) != 32:
                raise unfit("Roster.members.owner_key", members_item_owner_key)
            members_item_reward = members_item.reward
            members_item_reward_data = members_item_reward.data
            if len(members_item_reward_data) > 322:
                raise unfit("Roster.members.reward.data", members_item_reward_data)
            members_item_tier = members_item.tier
            if members_item_tier not in (0, 1, 2, 3):
                raise unfit("Roster.members.tier", members_item_tier)
            members_item_network_address = members_item.network_address
            members_pieces += (
                _pack_0(
                    members_item_operator_key,
                    members_item_owner_key,
                    members_item_reward.kind,
                    len(members_item_reward_data),
                ),
                members_item_reward_data,
                _pack_1(members_item_tier, members_item.weight, len(members_item_network_address)),
                members_item_network_address,
            )
        return b"".join((_pack_2(len(members)), *members_pieces))
    except struct.error as error:
        raise unfit("Roster", str(error)) from None


bind(Member, decode_member, pack_member)
bind(Roster, decode_roster, pack_roster)

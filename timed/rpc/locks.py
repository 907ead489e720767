"""Locks as callers write them: an address, or the encoding of a lock that has none."""

from __future__ import annotations

from timed.errors import DecodeError, InvalidTransaction
from timed.params import NetworkParams
from timed.primitives.address import InvalidAddress, decode_address
from timed.primitives.transaction import Lock
from timed.rpc.errors import NOT_FOUND, RpcError

SHORTEST_LOCK = 46
"""Hexadecimal digits; no address consists of them alone."""
HEX_DIGITS = frozenset("0123456789abcdef")


def lock_of(params: NetworkParams, address: str) -> Lock:
    """The lock of an address of this network, or of a lock in hexadecimal; RpcError -5 otherwise.

    A lock of several keys has no address: its encoding takes the place.
    """
    try:
        if len(address) >= SHORTEST_LOCK and HEX_DIGITS.issuperset(address):
            return lock_of_hex(address)
        return decode_address(params, address)
    except InvalidAddress as error:
        raise RpcError(
            NOT_FOUND,
            f"Invalid address: {error}",
            rule=error.rule,
            hint=f"An address of {params.name} starts with {params.address_prefix}.",
            param="address",
        ) from error


def lock_of_hex(text: str) -> Lock:
    """A well-formed lock from its encoding; InvalidAddress("address-lock") otherwise."""
    try:
        lock = Lock.decode(bytes.fromhex(text))
        lock.check_form()
    except (DecodeError, InvalidTransaction, ValueError):
        raise InvalidAddress("address-lock", "no encoding of a lock") from None
    return lock

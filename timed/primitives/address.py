"""Addresses: the text form of a key hash (protocol §1).

`TIME1` (mainnet), `TIME0` (testnet) or `TIMER` (regtest), then base58 of the key hash
and four bytes of checksum over the network byte and the hash.
"""

from __future__ import annotations

from timed.errors import RemoteError
from timed.params import NETWORKS, NetworkParams
from timed.primitives.hashing import sha256d
from timed.primitives.transaction import KEY_HASH_SIZE, LOCK_KEY_HASH, Lock
from timed.primitives.transaction import key_hash as key_hash

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CHECKSUM_SIZE = 4
MAX_ADDRESS = 48
"""Longer texts are not looked at; the longest address has 38 characters."""

_DIGITS = {character: value for value, character in enumerate(ALPHABET)}


class InvalidAddress(RemoteError, ValueError):
    """Text that is no address of this network, or a lock that has no address.

    "address-prefix", "address-network", "address-character", "address-length",
    "address-checksum", "address-lock".
    """


def base58_encode(data: bytes) -> str:
    """Base58 with one leading `1` for every leading zero byte."""
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def base58_decode(text: str) -> bytes:
    """The bytes; InvalidAddress("address-character") for a foreign character."""
    number = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            raise InvalidAddress("address-character", repr(character))
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _checksum(params: NetworkParams, payload: bytes) -> bytes:
    return sha256d(bytes((params.address_byte,)) + payload)[:CHECKSUM_SIZE]


def encode_address(params: NetworkParams, owner: Lock | bytes) -> str:
    """The address of a kind-1 lock or of a 20-byte key hash; InvalidAddress("address-lock") otherwise."""
    if isinstance(owner, Lock):
        if owner.kind != LOCK_KEY_HASH:
            raise InvalidAddress("address-lock", f"kind {owner.kind}")
        owner = owner.data
    if len(owner) != KEY_HASH_SIZE:
        raise InvalidAddress("address-lock", f"{len(owner)} bytes")
    return params.address_prefix + base58_encode(owner + _checksum(params, owner))


def decode_address(params: NetworkParams, text: str) -> Lock:
    """The lock an address stands for; InvalidAddress names what is wrong with the text."""
    if len(text) > MAX_ADDRESS:
        raise InvalidAddress("address-length", f"{len(text)} characters")
    if not text.startswith(params.address_prefix):
        for other in NETWORKS.values():
            if text.startswith(other.address_prefix):
                raise InvalidAddress("address-network", f"an address of {other.name}")
        raise InvalidAddress(
            "address-prefix", f"addresses of {params.name} begin with {params.address_prefix}"
        )
    data = base58_decode(text[len(params.address_prefix) :])
    if len(data) != KEY_HASH_SIZE + CHECKSUM_SIZE:
        raise InvalidAddress("address-length", f"{len(data)} bytes")
    payload, checksum = data[:KEY_HASH_SIZE], data[KEY_HASH_SIZE:]
    if checksum != _checksum(params, payload):
        raise InvalidAddress("address-checksum", "a character is wrong")
    return Lock(LOCK_KEY_HASH, payload)

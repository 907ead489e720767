"""Signed lists of nodes, by which a new node finds its first peers (protocol §5.8).

A list is one JSON object that anybody may serve and nobody can alter: the network
and the genesis it is for, when it was made and until when it holds, addresses with
the node ids that answer there, and an Ed25519 signature. Whoever reads one has
been told which keys may sign.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import attrs

from timed.crypto.keys import SigningKey
from timed.crypto.rule import check
from timed.errors import InvalidSignature, LocalError, RemoteError
from timed.params import SECOND
from timed.peer.addressbook import FUTURE_TOLERATED, is_routable
from timed.peer.location import parse_peer
from timed.peer.values import PeerAddress
from timed.primitives.hashing import tagged_hash

FORMAT = 1
MAX_LIST_BYTES = 256 * 1024
MAX_LIST_ADDRESSES = 1000
_MAX_TIME = 2**40
_FIELDS = ("format", "network", "genesis", "issued", "expires", "addresses", "key")
"""What is signed: everything but the signature."""


@attrs.frozen
class SeedList:
    """What a list says. Times are seconds of unix time; every address is an IP address with a node id."""

    network: str
    genesis: bytes
    issued: int
    expires: int
    addresses: tuple[PeerAddress, ...]
    key: bytes
    """Who signed it."""


def sign(network: str, genesis: bytes, issued: int, expires: int, addresses: Collection[PeerAddress],
         key: SigningKey) -> str:  # fmt: skip
    """The text of a list, one address a line; LocalError for what no node would read."""
    listed = SeedList(network, genesis, issued, expires, tuple(addresses), key.public)
    for address in listed.addresses:
        if not _may_stand(address):
            raise LocalError(
                f"{address} cannot stand in a list.", "Give node-id@address:port with an IP address."
            )
    if not 0 < issued < expires < _MAX_TIME:
        raise LocalError("a list must expire after it was issued.")
    if not 0 < len(listed.addresses) <= MAX_LIST_ADDRESSES:
        raise LocalError(f"a list holds between 1 and {MAX_LIST_ADDRESSES} addresses.")
    fields = _plain(listed)
    fields["signature"] = key.sign(_digest(fields)).hex()
    text = json.dumps(fields, indent=1) + "\n"
    if len(text) > MAX_LIST_BYTES:
        raise LocalError(f"the list has {len(text)} bytes, more than {MAX_LIST_BYTES}.", "Leave some out.")
    return text


def read(data: bytes, network: str, genesis: bytes, keys: Collection[bytes], now: int) -> SeedList:
    """The list in `data` when it holds for this network at `now` and one of `keys` signed it.

    RemoteError otherwise: seed-list-too-long, -malformed, -network, -genesis, -key,
    -signature, -early (issued in the future) or -expired. `now` is microseconds.
    """
    listed, signature, digest = parse(data)
    if listed.network != network:
        raise RemoteError("seed-list-network", f"it is for {listed.network[:32]!r}")
    if listed.genesis != genesis:
        raise RemoteError("seed-list-genesis", f"it is for {listed.genesis.hex()}")
    if listed.key not in keys:
        raise RemoteError("seed-list-key", f"{listed.key.hex()} may not sign")
    verify(listed, signature, digest)
    if listed.issued * SECOND > now + FUTURE_TOLERATED:
        raise RemoteError("seed-list-early", f"it was issued at {listed.issued}, in the future")
    if listed.expires * SECOND <= now:
        raise RemoteError("seed-list-expired", f"it ended at {listed.expires}")
    return listed


def parse(data: bytes) -> tuple[SeedList, bytes, bytes]:
    """What `verify` takes, not verified; RemoteError for what is no list."""
    if len(data) > MAX_LIST_BYTES:
        raise RemoteError("seed-list-too-long", f"more than {MAX_LIST_BYTES} bytes")
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict) or set(fields) != {*_FIELDS, "signature"}:
            raise ValueError("it is no object with exactly these fields")
        signature = _hex(fields.pop("signature"), 64)
        if type(fields["format"]) is not int or fields["format"] != FORMAT:
            raise ValueError("its format is another one")
        listed = SeedList(
            _text(fields["network"]), _hex(fields["genesis"], 32), _time(fields["issued"]),
            _time(fields["expires"]), _addresses(fields["addresses"]), _hex(fields["key"], 32),
        )  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise RemoteError("seed-list-malformed", str(error)[:200]) from error
    return listed, signature, _digest(fields)


def verify(listed: SeedList, signature: bytes, digest: bytes) -> None:
    """RemoteError `seed-list-signature` unless the key of the list has signed `digest`."""
    try:
        check(listed.key, digest, signature)
    except InvalidSignature as error:
        raise RemoteError("seed-list-signature", "it is not the key's, or the list was altered") from error


def _plain(listed: SeedList) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "network": listed.network,
        "genesis": listed.genesis.hex(),
        "issued": listed.issued,
        "expires": listed.expires,
        "addresses": [str(address) for address in listed.addresses],
        "key": listed.key.hex(),
    }


def _digest(fields: dict[str, Any]) -> bytes:
    """Of the fields as JSON in one form: keys sorted, no spaces, ASCII. The file may be laid out anyhow."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return tagged_hash("seed-list", text.encode("ascii"))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def _hex(value: object, size: int) -> bytes:
    data = bytes.fromhex(_text(value))
    if len(data) != size or data.hex() != value:
        raise ValueError(f"{value!r:.40} is not {2 * size} hexadecimal digits in small letters")
    return data


def _time(value: object) -> int:
    if type(value) is not int or not 0 < value < _MAX_TIME:
        raise ValueError(f"{value!r:.40} is no time")
    return value


def _addresses(value: object) -> tuple[PeerAddress, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_LIST_ADDRESSES:
        raise ValueError(f"it does not hold between 1 and {MAX_LIST_ADDRESSES} addresses")
    found = tuple(parse_peer(_text(each)) for each in value)
    for address in found:
        if not _may_stand(address):
            raise ValueError(f"{str(address)!r:.120} is no IP address with a node id")
    return found


def _may_stand(address: PeerAddress) -> bool:
    """True for an IP address with a node id: a list proves who answers, and no name stands between."""
    return address.node_id is not None and is_routable(address.host, public=False)

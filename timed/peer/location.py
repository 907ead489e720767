"""How people write where a peer is: `host:port`, `[v6]:port`, with `node id in hex@` before it or not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from timed.peer.values import PeerAddress

MAX_PORT = 65_535
MAX_HOST = 255
NODE_ID_SIZE = 32
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def parse_peer(text: str) -> PeerAddress:
    """ValueError completes the sentence "key …"; `str` of the answer can be parsed again."""
    identity, at, address = text.rpartition("@")
    node_id = parse_node_id(identity) if at else None
    if at and node_id is None:
        raise ValueError(f"names the peer {text!r}, whose node id is not 64 hexadecimal digits")
    host, colon, port_text = address.rpartition(":")
    if not colon or not port_text.isascii() or not port_text.isdigit() or len(port_text) > 5:
        raise ValueError(f"names the peer {text!r}, which is not host:port")
    port = int(port_text)
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"names the peer {text!r}, whose port is not between 1 and {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return PeerAddress(check_host(host), port, node_id)


def parse_node_id(text: str) -> bytes | None:
    """A node id of 64 hexadecimal digits, None for anything else."""
    if len(text) != 2 * NODE_ID_SIZE or not _HEX_DIGITS.issuperset(text):
        return None
    return bytes.fromhex(text)


def check_host(text: str) -> str:
    """A host that can be a name or an address; ValueError as above."""
    wrong = not text or len(text) > MAX_HOST or not text.isprintable()
    if wrong or any(character.isspace() or character in "/@," for character in text):
        raise ValueError(f"must be a host name or address, not {text!r}")
    return text


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, None for a name. What IPv6 writes of an IPv4 address is that address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def is_loopback(host: str) -> bool:
    """True for localhost and the loopback addresses: what is said there does not leave this machine."""
    address = address_of(host)
    return host.lower() == "localhost" if address is None else address.is_loopback

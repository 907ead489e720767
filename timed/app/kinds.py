"""The kinds of value a configuration key may hold.

A kind turns text into a value and back; what it refuses, it refuses with a
ValueError whose text completes the sentence "section.key …".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Generic, TypeVar

import attrs

from timed.app.namespaces import LEVELS, MAX_NAMESPACES, namespace_of
from timed.errors import LocalError
from timed.peer.location import MAX_PORT, check_host, parse_node_id, parse_peer
from timed.peer.values import PeerAddress
from timed.rpc.credentials import MAX_ACCOUNTS, ROLES, Secret
from timed.rpc.credentials import parse as parse_secret

T = TypeVar("T")

HostPort = tuple[str, int | None]
"""A name and a port, None for the network's own."""
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE | re.ASCII)
_URL = re.compile(r"https?://[a-z0-9\[\].:_-]+(/[!-~]*)?", re.IGNORECASE | re.ASCII)
_URL_MAX = 2000
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
TITLE_MAX = 40
ADDRESSES_MAX = 64


@attrs.frozen
class Kind(Generic[T]):
    """`parse` raises ValueError; `show` gives text that `parse` accepts again."""

    name: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = attrs.field(default=str)
    conceal: Callable[[T], str] | None = None
    """For a value that is not to be told to everybody: what may be told of it."""

    def tell(self, value: T) -> str:
        """As `show`, for who asks a running node."""
        return self.show(value) if self.conceal is None else self.conceal(value)


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    if not digits.isascii() or not digits.removeprefix("-").isdigit():
        raise ValueError(f"must be a whole number, not {text!r}")
    return int(digits)


def integer(low: int, high: int) -> Kind[int]:
    """A whole number between two bounds, both included."""

    def parse(text: str) -> int:
        value = _integer(text)
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}, not {value}")
        return value

    return Kind(f"whole number, {low} to {high}", parse)


def _port(text: str) -> int | None:
    if text == "auto":
        return None
    value = _integer(text)
    if not 1 <= value <= MAX_PORT:
        raise ValueError(f"must be a port between 1 and {MAX_PORT} or 'auto', not {text!r}")
    return value


def _flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"must be yes or no, not {text!r}")
    return text == "yes"


def _text(text: str) -> str:
    if any(ord(character) < 0x20 for character in text):
        raise ValueError("must not hold control characters")
    return text


def choice(*names: str) -> Kind[str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {text!r}")
        return text

    return Kind(" | ".join(names), parse)


def _words(text: str) -> tuple[str, ...]:
    words = tuple(text.replace(",", " ").split())
    if len(set(words)) != len(words):
        raise ValueError("names something twice")
    return words


def _peers(text: str) -> tuple[PeerAddress, ...]:
    return tuple(parse_peer(word) for word in _words(text))


def _addresses(text: str) -> tuple[str, ...]:
    found = []
    for word in _words(text):
        place = parse_peer(word)
        if place.node_id is not None:
            raise ValueError(f"names {word!r}: a host and a port, without a node id")
        found.append(str(place))
    if len(found) > ADDRESSES_MAX:
        raise ValueError(f"names {len(found)} addresses, more than {ADDRESSES_MAX}")
    return tuple(found)


def _node_ids(text: str) -> tuple[bytes, ...]:
    ids = []
    for word in _words(text):
        node_id = parse_node_id(word)
        if node_id is None:
            raise ValueError(f"names {word!r}, which is not 64 hexadecimal digits")
        ids.append(node_id)
    return tuple(ids)


def _host_ports(text: str) -> tuple[HostPort, ...]:
    found = []
    for word in _few(_words(text)):
        host, colon, port = word.partition(":")
        if not _DOMAIN.fullmatch(host):
            raise ValueError(f"names {word!r}, which is no name in the DNS")
        try:
            found.append((host, _port(port) if colon else None))
        except ValueError:
            raise ValueError(f"names {word!r}, which is not a name or name:port") from None
    return tuple(found)


def show_host_port(name: HostPort) -> str:
    """As the operator writes it."""
    host, port = name
    return host if port is None else f"{host}:{port}"


def _urls(text: str) -> tuple[str, ...]:
    for word in _few(_words(text)):
        if not _URL.fullmatch(word) or len(word) > _URL_MAX:
            raise ValueError(f"names {word!r}, which is not http://host/path or https://host/path")
    return _words(text)


def _seed_peers(text: str) -> tuple[PeerAddress, ...]:
    return tuple(parse_peer(word) for word in _few(_words(text)))


def _few(words: tuple[str, ...]) -> tuple[str, ...]:
    # Not before it is used: the bounds come with every message there is, and the command line reads this.
    from timed.peer import limits

    if len(words) > limits.SEED_SOURCES:
        raise ValueError(f"names {len(words)} sources, more than {limits.SEED_SOURCES}")
    return words


def _name(text: str) -> str:
    if not text or len(text.split()) != 1 or "," in text:
        raise ValueError(f"must be one name, not {text!r}")
    return text


def _title(text: str) -> str:
    if not text.isprintable() or len(text) > TITLE_MAX:
        raise ValueError(f"must be at most {TITLE_MAX} printable characters")
    return text


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"is no command: {str(error).lower()}") from None
    if words and not words[0].startswith("/"):
        raise ValueError(f"must begin with the whole path of a program, not {words[0]!r}")
    return words


def _secrets(text: str) -> tuple[Secret, ...]:
    secrets = tuple(parse_secret(word) for word in _words(text))
    if len(secrets) > MAX_ACCOUNTS:
        raise ValueError(f"names {len(secrets)} accounts, more than {MAX_ACCOUNTS}")
    if len({secret.user for secret in secrets}) != len(secrets):
        raise ValueError("names one user twice")
    return secrets


def _roles(text: str) -> Mapping[str, str]:
    roles = {}
    for word in _words(text):
        user, colon, role = word.rpartition(":")
        if not colon or role not in ROLES:
            raise ValueError(f"names {word!r}, which is not user:{'|'.join(ROLES)}")
        roles[user] = role
    return roles


def _whitelist(text: str) -> Mapping[str, tuple[str, ...]]:
    lists = {}
    for word in _words(text):
        user, colon, methods = word.partition(":")
        if not colon or not user or not methods:
            raise ValueError(f"names {word!r}, which is not user:method+method")
        lists[user] = tuple(methods.split("+"))
    return lists


def _levels(text: str) -> Mapping[str, str]:
    levels = {}
    for word in _words(text):
        namespace, colon, level = word.rpartition(":")
        if not colon or level not in LEVELS:
            raise ValueError(f"names {word!r}, which is not room:{'|'.join(LEVELS)}")
        try:
            name = namespace_of(namespace)
        except LocalError as error:
            raise ValueError(f"names {namespace!r}: {error.message.rstrip('.')}") from None
        if name in levels:
            raise ValueError(f"names {namespace!r} twice")
        levels[name] = level
    if len(levels) > MAX_NAMESPACES:
        raise ValueError(f"names {len(levels)} namespaces, more than {MAX_NAMESPACES}")
    return levels


def _numbers(text: str, kind: str, known: Collection[str]) -> Mapping[str, str]:
    """The words of `text`, each `name:number`, by name; ValueError for a name that is not `known` or comes twice."""
    numbers = {}
    for word in _words(text):
        name, colon, number = word.rpartition(":")
        if not colon or name not in known:
            raise ValueError(f"names {word!r}, which is not {kind}:number; {kind}s: {', '.join(known)}")
        if name in numbers:
            raise ValueError(f"names {name!r} twice")
        numbers[name] = number
    return numbers


def _limits(text: str) -> Mapping[str, float]:
    # Not before it is used, as above: the rules come with the whole monitor.
    from timed.monitor.rules import ADJUSTABLE

    limits = {}
    for name, number in _numbers(text, "alert", ADJUSTABLE).items():
        if not _NUMBER.fullmatch(number):
            raise ValueError(f"gives {name!r} the limit {number!r}, which is no number")
        limits[name] = float(number)
    return limits


def _rates(text: str) -> Mapping[str, int]:
    # Not before it is used: the rates come with the messages that they are for.
    from timed.peer.rates import HIGHEST, RATES, least

    rates = {}
    for bucket, number in _numbers(text, "bucket", RATES).items():
        rate = _integer(number)
        if not least(bucket) <= rate <= HIGHEST:
            raise ValueError(f"gives {bucket!r} {rate} a second, not between {least(bucket)} and {HIGHEST}")
        rates[bucket] = rate
    return rates


def _subnets(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(word) for word in _words(text))
    except ValueError as error:
        raise ValueError(f"names no address or subnet: {error}") from None


def _plain(number: float) -> str:
    """Without an exponent, and without a fraction that is none."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _places(urls: tuple[str, ...]) -> str:
    """Without path and query, which often hold a secret."""
    return ", ".join("/".join([*url.split("/", 3)[:3], "…"]) for url in urls)


def _program(words: tuple[str, ...]) -> str:
    """Without its arguments, which may hold a password."""
    return shlex.join(words[:1]) + (" …" if len(words) > 1 else "")


def _show_list(values: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in values)


NODE_IDS: Kind[tuple[bytes, ...]] = Kind(
    "list of node ids", _node_ids, lambda ids: ", ".join(node_id.hex() for node_id in ids)
)
FLAG: Kind[bool] = Kind("yes | no", _flag, lambda value: "yes" if value else "no")
HOST: Kind[str] = Kind("host or address", check_host)
NAME: Kind[str] = Kind("name", _name)
COMMAND: Kind[tuple[str, ...]] = Kind("command line", _command, shlex.join, _program)
TITLE: Kind[str] = Kind("text", _title)
PATH: Kind[str] = Kind("path", _text)
PEERS: Kind[tuple[PeerAddress, ...]] = Kind("list of [node-id@]host:port", _peers, _show_list)
ADDRESSES: Kind[tuple[str, ...]] = Kind("list of host:port", _addresses, _show_list)
PORT: Kind[int | None] = Kind("port | auto", _port, lambda value: "auto" if value is None else str(value))
HOST_PORTS: Kind[tuple[HostPort, ...]] = Kind(
    "list of name or name:port", _host_ports, lambda names: ", ".join(map(show_host_port, names))
)
KEYS: Kind[tuple[bytes, ...]] = Kind("list of public keys", NODE_IDS.parse, NODE_IDS.show)
SECRETS: Kind[tuple[Secret, ...]] = Kind(
    "list of user:salt$hash",
    _secrets,
    lambda secrets: ", ".join(secret.line for secret in secrets),
    lambda secrets: ", ".join(f"{secret.user}:…" for secret in secrets),
)
ROLES_OF: Kind[Mapping[str, str]] = Kind(
    f"list of user:{'|'.join(ROLES)}",
    _roles,
    lambda roles: ", ".join(f"{user}:{role}" for user, role in roles.items()),
)
WHITELIST: Kind[Mapping[str, tuple[str, ...]]] = Kind(
    "list of user:method+method",
    _whitelist,
    lambda lists: ", ".join(f"{user}:{'+'.join(methods)}" for user, methods in lists.items()),
)
LEVELS_OF: Kind[Mapping[str, str]] = Kind(f"list of room:{'|'.join(LEVELS)}", _levels, ROLES_OF.show)
LIMITS: Kind[Mapping[str, float]] = Kind(
    "list of alert:number",
    _limits,
    lambda limits: ", ".join(f"{name}:{_plain(limit)}" for name, limit in limits.items()),
)
RATES_OF: Kind[Mapping[str, int]] = Kind(
    "list of bucket:number",
    _rates,
    lambda rates: ", ".join(f"{bucket}:{rate}" for bucket, rate in rates.items()),
)
SUBNETS: Kind[tuple[IPv4Network | IPv6Network, ...]] = Kind(
    "list of addresses or subnets", _subnets, _show_list
)
SEED_PEERS: Kind[tuple[PeerAddress, ...]] = Kind(PEERS.name, _seed_peers, _show_list)
URLS: Kind[tuple[str, ...]] = Kind("list of http or https URLs", _urls, _show_list, _places)
WORDS: Kind[tuple[str, ...]] = Kind("list of names", _words, _show_list)

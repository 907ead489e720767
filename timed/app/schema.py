"""Every configuration key: its kind, its default, what it means.

This table is the only place that knows the keys. The sample files under `etc/`,
the command line's `--set` and the error messages all come from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any, TypeVar

import attrs

from timed.app.kinds import (
    ADDRESSES,
    COMMAND,
    FLAG,
    HOST,
    HOST_PORTS,
    KEYS,
    LEVELS_OF,
    LIMITS,
    NAME,
    NODE_IDS,
    PATH,
    PEERS,
    PORT,
    RATES_OF,
    ROLES_OF,
    SECRETS,
    SEED_PEERS,
    SUBNETS,
    TITLE,
    URLS,
    WHITELIST,
    WORDS,
    HostPort,
    Kind,
    choice,
    integer,
)
from timed.app.namespaces import LEVELS
from timed.params import NETWORKS, WIRE_VERSION, WIRE_VERSION_MIN
from timed.peer.values import PeerAddress
from timed.rpc.credentials import Secret

T = TypeVar("T")


def key(kind: Kind[T], default: T, doc: str, *, live: bool = False) -> T:
    """Declare one key; its name is the attribute's. `live`: a change takes effect without a restart."""
    field: T = attrs.field(default=default, metadata={"kind": kind, "doc": doc, "live": live})
    return field


@attrs.frozen
class NodeSection:
    """What this node is."""

    network: str = key(choice(*NETWORKS), "testnet", "The network to join.")
    datadir: str = key(
        PATH, "~/.timed/{network}", "Where keys, blocks and coins live. {network} is the network's name."
    )
    genesis: str = key(
        PATH,
        "",
        "A genesis file. Empty: the network's own; mainnet and testnet have none that makes blocks yet.",
    )
    member: bool = key(
        FLAG,
        False,
        "Vote as a masternode with the operator key in the data directory (made if it is not there).",
    )
    recorder_bytes: int = key(
        integer(0, 1 << 30),
        8 << 20,
        "Bytes of the flight recorder, which keeps what went into the node lately for timed-replay. 0: none.",
    )


@attrs.frozen
class ServicesSection:
    """Which parts of the application run."""

    enabled: tuple[str, ...] = key(
        WORDS, ("chain", "index", "p2p", "rpc", "monitor"), "Services, found as plugins by these names."
    )
    sinks: tuple[str, ...] = key(
        WORDS, ("log",), "Event sinks, found as plugins: each is told every event of the node."
    )


@attrs.frozen
class P2PSection:
    """Talking to other nodes."""

    host: str = key(HOST, "0.0.0.0", "The address to listen on.")
    port: int | None = key(PORT, None, "The port to listen on. auto: the network's.")
    peers: tuple[PeerAddress, ...] = key(
        PEERS,
        (),
        "Nodes to stay connected with: host:port, or node-id@host:port to insist on an identity.",
        live=True,
    )
    seeds: tuple[PeerAddress, ...] = key(
        SEED_PEERS, (), "Nodes to ask for others: dialled while this node finds too few sessions by itself."
    )
    dns_seeds: tuple[HostPort, ...] = key(
        HOST_PORTS,
        (),
        "Names whose addresses are nodes on the given port, else the network's. Asked after seeds.",
    )
    seed_urls: tuple[str, ...] = key(
        URLS, (), "Where signed lists of nodes are fetched (timed-cli seedlist). Asked last."
    )
    seed_keys: tuple[bytes, ...] = key(KEYS, (), "The public keys that may sign such a list.")
    trusted: tuple[bytes, ...] = key(NODE_IDS, (), "Nodes that are never limited or banned.", live=True)
    trust_loopback: bool = key(
        FLAG,
        True,
        "Never limit or ban whoever comes from this machine. no: behind a proxy on it, and for tests.",
        live=True,
    )
    conduct: str = key(
        choice("enforce", "dry-run"),
        "enforce",
        "dry-run: what peers do is judged and shown, and nobody is throttled, closed or banned for it.",
        live=True,
    )
    max_inbound: int = key(integer(0, 10_000), 125, "Inbound sessions at most.", live=True)
    rates: Mapping[str, int] = key(
        RATES_OF,
        {},
        "Messages a second that a peer may send unasked, by bucket of getpeerinfo's rates, and in proportion how many "
        "at once; a tenth of the default at least.",
        live=True,
    )
    plain: bool = key(FLAG, False, "Plain TCP instead of TLS, for debugging; regtest only.")
    wire_version: int = key(
        integer(WIRE_VERSION_MIN, WIRE_VERSION),
        WIRE_VERSION,
        "The newest wire version to speak: a lower one while a network is being upgraded.",
    )
    encoding: str = key(
        choice("binary", "json"),
        "binary",
        "json: a line of JSON for each message, with peers that are set likewise; for debugging, regtest only.",
    )
    compression: bool = key(FLAG, True, "Compress what gains by it, with peers that are set likewise.")
    batching: bool = key(
        FLAG, True, "no: every message is a write of its own, to measure the difference; regtest only."
    )
    priorities: bool = key(
        FLAG, True, "no: one queue for all classes of messages, to measure the difference; regtest only."
    )


@attrs.frozen
class RPCSection:
    """JSON-RPC over HTTP."""

    host: str = key(HOST, "127.0.0.1", "The address to listen on.")
    port: int | None = key(PORT, None, "The port to listen on. auto: the P2P port + 1000.")
    cookie: str = key(
        PATH, ".cookie", "The file that holds user:password for this run, relative to the data directory."
    )
    socket: str = key(
        PATH,
        "node.sock",
        "Where RPC processes of their own reach the chain process, relative to the data directory.",
    )
    auth: tuple[Secret, ...] = key(
        SECRETS, (), "Accounts beside the cookie, as Bitcoin's rpcauth; timed-cli rpcauth USER makes one."
    )
    auth_file: str = key(
        PATH,
        "",
        "A file of mode 0600 with more accounts, one a line; read again with SIGHUP or timed-cli reload.",
    )
    roles: Mapping[str, str] = key(
        ROLES_OF,
        {},
        "What accounts may do: read, wallet (and read), admin (everything, the default).",
        live=True,
    )
    whitelist: Mapping[str, tuple[str, ...]] = key(
        WHITELIST,
        {},
        "Accounts that may call these methods only, of those that their role allows.",
        live=True,
    )
    allow: tuple[IPv4Network | IPv6Network, ...] = key(
        SUBNETS,
        (),
        "Who may connect besides this machine. Empty: everybody who can reach rpc.host.",
        live=True,
    )
    proxies: tuple[IPv4Network | IPv6Network, ...] = key(
        SUBNETS,
        (),
        "Reverse proxies whose X-Forwarded-For names the client; it is ignored from everybody else.",
        live=True,
    )
    tls_certificate: str = key(
        PATH,
        "",
        "A PEM file with the certificate and its chain. Needed for a host that others can reach. Read again as rpc.auth_file.",
    )
    tls_key: str = key(PATH, "", "A PEM file with the certificate's key, not encrypted.")
    budget_per_s: int = key(
        integer(0, 1_000_000),
        3_000,
        "What a client other than an administrator may spend a second, in light calls. 0: no limit.",
        live=True,
    )
    deadline_s: int = key(
        integer(1, 3_600),
        30,
        "The longest time of a call, unless it waits on purpose for a time of its own.",
        live=True,
    )
    max_connections: int = key(
        integer(8, 50_000),
        1_024,
        "Open connections at most; one more ends the one that was idle for longest.",
        live=True,
    )


@attrs.frozen
class MonitorSection:
    """The dashboard, /health, /ready, /alerts and /metrics."""

    host: str = key(HOST, "127.0.0.1", "The address to listen on.")
    port: int | None = key(PORT, None, "The port to listen on. auto: the P2P port + 2000.")
    limits: Mapping[str, float] = key(
        LIMITS, {}, "Limits of alerts other than the node's own, like disk-space:2000000000.", live=True
    )
    name: str = key(
        TITLE, "", "What the dashboard calls this node. Empty: by the beginning of its id.", live=True
    )
    alert_command: tuple[str, ...] = key(
        COMMAND,
        (),
        "A program with its arguments, run for each alert raised or over, which it gets as JSON on standard input.",
    )
    nodes: tuple[str, ...] = key(
        ADDRESSES, (), "Monitors of other nodes, shown beside this one and asked while somebody looks."
    )


@attrs.frozen
class StoreSection:
    """Blocks, coins and the log."""

    backend: str = key(
        NAME, "lmdb", "The storage backend, found as a plugin by this name; memory keeps nothing."
    )
    queue_bytes: int = key(
        integer(1 << 20, 1 << 30),
        64 << 20,
        "Bytes that may wait for the disk. More stops voting, as a failing disk does.",
    )


@attrs.frozen
class IndexSection:
    """Indexes over old blocks, built in the background; off by default, as each takes disk."""

    transactions: bool = key(
        FLAG, False, "Keep what every transaction spent: fees, block filters and sums of old blocks."
    )
    addresses: bool = key(FLAG, False, "Keep balance, history and coins of every address.")
    spent: bool = key(FLAG, False, "Keep which transaction spent an output.")

    @property
    def names(self) -> tuple[str, ...]:
        """The indexes that are switched on."""
        return tuple(field.name for field in attrs.fields(type(self)) if getattr(self, field.name))


@attrs.frozen
class FeedSection:
    """The events of the node as a durable log with cursors (docs/events.rst)."""

    enabled: bool = key(FLAG, True, "Keep the log and let clients follow it.")
    max_events: int = key(
        integer(1_000, 1_000_000_000), 1_000_000, "Events that are kept; the oldest make room."
    )
    max_bytes: int = key(
        integer(1 << 20, 1 << 40), 512 << 20, "Bytes of events that are kept; on disk about twice as many."
    )
    max_age_s: int = key(
        integer(0, 10 * 365 * 86_400), 30 * 86_400, "Seconds that an event is kept. 0: no limit."
    )
    max_subscribers: int = key(integer(0, 50_000), 1_024, "Subscriptions at one time.", live=True)
    max_per_client: int = key(
        integer(1, 50_000), 256, "Of them, those of one account at one address (an IPv6 /64).", live=True
    )
    waiting_bytes: int = key(
        integer(1 << 16, 1 << 30),
        1 << 20,
        "Bytes of events that may wait for a subscriber who does not read; then it is cut.",
        live=True,
    )
    sinks: tuple[str, ...] = key(
        WORDS, ("webhook",), "Kinds of sinks that carry events elsewhere, found as plugins (docs/events.rst)."
    )


@attrs.frozen
class WebhookSection:
    """Events that are posted to URLs, signed (docs/events.rst)."""

    urls: tuple[str, ...] = key(
        URLS, (), "Where events go, each URL with a place of its own in the log. Empty: nowhere."
    )
    secret_file: str = key(
        PATH,
        "",
        "A file of mode 0600 with the secret that signs, at least 16 characters; with a second line, both sign. "
        "Relative to this file.",
    )
    types: tuple[str, ...] = key(WORDS, (), "Types or families of events that are wanted. Empty: all.")
    addresses: tuple[str, ...] = key(
        WORDS, (), "Only transactions that give to or take from one of these. Empty: everything."
    )
    batch_events: int = key(integer(1, 256), 100, "Events in one request at most.")
    timeout_s: int = key(integer(1, 300), 10, "Seconds that a receiver has for its answer.")
    ca_file: str = key(
        PATH,
        "",
        "Authorities that sign the receivers' certificates, as PEM. Empty: those of the system. Relative to this file.",
    )
    allow_plain: bool = key(
        FLAG, False, "Allow http:// beyond this machine: whoever is on the way reads the events."
    )


@attrs.frozen
class CryptoSection:
    """Signatures."""

    backend: str = key(NAME, "pynacl", "The signature backend, found as a plugin by this name.")
    threads: int = key(integer(1, 64), 2, "Threads that check signatures.")
    queue_items: int = key(
        integer(64, 1 << 20),
        16_384,
        "Signatures that may wait for a thread. More are checked at once, which slows reading from peers.",
    )


@attrs.frozen
class WalletSection:
    """The wallet that RPC spends from."""

    enabled: bool = key(FLAG, True, "Keep a wallet.")
    file: str = key(PATH, "wallet.json", "The wallet file, relative to the data directory.")
    consolidate_above: int = key(
        integer(0, 10_000_000),
        0,
        "Small coins the wallet may have. While it has more, it makes one of the smallest hundred after a block, unless "
        "a payment is not final yet; that costs the fee of a payment to oneself. 0: never.",
        live=True,
    )
    consolidate_below: int = key(
        integer(1, 1_000_000), 10, "Coins of less than so many TIME are small.", live=True
    )


@attrs.frozen
class LogSection:
    """Lines for people, or for machines."""

    level: str = key(choice(*LEVELS), "info", "The least important level that is written.", live=True)
    levels: Mapping[str, str] = key(
        LEVELS_OF, {}, "Levels of single rooms, or of what is in them, like peer:debug.", live=True
    )
    format: str = key(
        choice("text", "json"),
        "text",
        "text: lines for people. json: one object a line, for machines.",
        live=True,
    )
    burst: int = key(
        integer(1, 100_000),
        30,
        "Lines one place in the code may write in a window; the rest is summed up.",
        live=True,
    )
    window: int = key(integer(1, 86_400), 60, "Length of that window, in seconds.", live=True)
    messages: bool = key(FLAG, False, "A line for each message sent or received, for debugging.")


@attrs.frozen
class Settings:
    """All sections. The attribute names are the section names."""

    node: NodeSection = attrs.field(factory=NodeSection)
    services: ServicesSection = attrs.field(factory=ServicesSection)
    p2p: P2PSection = attrs.field(factory=P2PSection)
    rpc: RPCSection = attrs.field(factory=RPCSection)
    monitor: MonitorSection = attrs.field(factory=MonitorSection)
    store: StoreSection = attrs.field(factory=StoreSection)
    index: IndexSection = attrs.field(factory=IndexSection)
    feed: FeedSection = attrs.field(factory=FeedSection)
    webhook: WebhookSection = attrs.field(factory=WebhookSection)
    crypto: CryptoSection = attrs.field(factory=CryptoSection)
    wallet: WalletSection = attrs.field(factory=WalletSection)
    log: LogSection = attrs.field(factory=LogSection)


@attrs.frozen
class Key:
    """One row of the table, for whoever reads it as a table."""

    section: str
    name: str
    kind: Kind[Any]
    default: Any
    doc: str
    live: bool = False
    """A change takes effect while the node runs."""

    @property
    def full_name(self) -> str:
        return f"{self.section}.{self.name}"


def sections() -> Iterator[tuple[str, type]]:
    """(name, class) of each section, in the table's order."""
    defaults = Settings()
    for field in attrs.fields(Settings):
        yield field.name, type(getattr(defaults, field.name))


def keys() -> Iterator[Key]:
    """Every row, in the table's order."""
    for section, cls in sections():
        for field in attrs.fields(cls):
            about = field.metadata
            yield Key(section, field.name, about["kind"], field.default, about["doc"], about["live"])

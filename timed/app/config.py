"""From defaults, a file and the command line to one checked configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from timed import params as networks
from timed.app.inifile import Entry, read_ini, read_text, scan_ini
from timed.app.overrides import read_overrides
from timed.app.schema import Settings, keys, sections
from timed.errors import ConfigError
from timed.params import BUILTIN_MEMBERS, PURE_PYTHON
from timed.peer.location import is_loopback
from timed.peer.values import host_port
from timed.ports import MONITOR_PORT_OFFSET, RPC_PORT_OFFSET

MAX_NODE_ID = 1000
OVERRIDES = "overrides.ini"


@attrs.frozen
class Layers:
    """Where values come from; each of these wins over the ones before it."""

    file: tuple[Entry, ...] = ()
    """The configuration file, or what `--node-id` implies."""
    overrides: tuple[Entry, ...] = ()
    """What `setconfig` changed for good in an earlier run."""
    command_line: tuple[Entry, ...] = ()
    changed: tuple[Entry, ...] = ()
    """What it changed in this run."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.file + self.overrides + self.command_line + self.changed

    def source(self, full_name: str) -> str:
        """Where a key's value was written; empty for a default."""
        found = [entry.origin for entry in self.entries if f"{entry.section}.{entry.key}" == full_name]
        return found[-1] if found else ""


@attrs.frozen
class Config:
    """Checked settings, and what follows from them.

    `builtin_member` is the number of the built-in regtest member this node is,
    None for everybody else. Relative paths count from `base`, the directory of
    the configuration file or, without one, the current directory.
    """

    settings: Settings
    base: Path
    builtin_member: int | None = None
    layers: Layers = Layers()

    def with_layers(self, layers: Layers) -> Config:
        """The same with other entries; ConfigError for whatever cannot be used."""
        config = attrs.evolve(self, settings=settings_from(layers.entries), layers=layers)
        _check(config)
        return config

    @property
    def params(self) -> networks.NetworkParams:
        return networks.network(self.settings.node.network)

    @property
    def datadir(self) -> Path:
        text = self.settings.node.datadir.replace("{network}", self.settings.node.network)
        return self._path(text, self.base)

    @property
    def genesis_file(self) -> Path | None:
        text = self.settings.node.genesis
        return self._path(text, self.base) if text else None

    @property
    def auth_file(self) -> Path | None:
        text = self.settings.rpc.auth_file
        return self._path(text, self.base) if text else None

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """Certificate and key of the RPC; None for plain HTTP."""
        rpc = self.settings.rpc
        if not rpc.tls_certificate:
            return None
        return self._path(rpc.tls_certificate, self.base), self._path(rpc.tls_key, self.base)

    @property
    def webhook_secret_file(self) -> Path:
        return self._path(self.settings.webhook.secret_file, self.base)

    @property
    def webhook_ca_file(self) -> Path | None:
        """None for the system's authorities."""
        text = self.settings.webhook.ca_file
        return self._path(text, self.base) if text else None

    @property
    def secret_files(self) -> tuple[Path, ...]:
        """Files of the RPC that hold passwords, their hashes or a key; those that are set, there or not."""
        rpc = self.settings.rpc
        named = [self._path(text, self.base) for text in (rpc.auth_file, rpc.tls_key) if text]
        return (self.cookie_file, *named)

    @property
    def overrides_file(self) -> Path:
        return self.datadir / OVERRIDES

    @property
    def cookie_file(self) -> Path:
        return self._path(self.settings.rpc.cookie, self.datadir)

    @property
    def socket_file(self) -> Path:
        return self._path(self.settings.rpc.socket, self.datadir)

    @property
    def apart(self) -> bool:
        """True for a process that answers RPC beside the one that runs the node."""
        enabled = self.settings.services.enabled
        return "rpc" in enabled and "chain" not in enabled

    @property
    def wallet_file(self) -> Path:
        return self._path(self.settings.wallet.file, self.datadir)

    @property
    def p2p_port(self) -> int:
        chosen = self.settings.p2p.port
        return self.params.p2p_port if chosen is None else chosen

    @property
    def rpc_port(self) -> int:
        chosen = self.settings.rpc.port
        return self.p2p_port + RPC_PORT_OFFSET if chosen is None else chosen

    @property
    def monitor_port(self) -> int:
        chosen = self.settings.monitor.port
        return self.p2p_port + MONITOR_PORT_OFFSET if chosen is None else chosen

    @staticmethod
    def _path(text: str, base: Path) -> Path:
        return Path(os.path.abspath(base / at_home(text)))


def at_home(text: str) -> Path:
    """The path, with the home directory in place of a ~; ConfigError where there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"nobody knows the home directory in {text}.", "Name the whole path, or set HOME."
        ) from error


def settings_from(entries: Sequence[Entry]) -> Settings:
    """Apply `entries` over the defaults; a later entry wins over an earlier one.

    ConfigError names origin and key, and for a key that does not exist the
    nearest one that does.
    """
    settings, mistakes = examine(entries)
    if mistakes:
        raise mistakes[0]
    return settings


def examine(entries: Sequence[Entry]) -> tuple[Settings, list[ConfigError]]:
    """The settings as far as `entries` can be understood, and every mistake among them."""
    table = {row.full_name: row for row in keys()}
    values: dict[str, dict[str, Any]] = {name: {} for name, _ in sections()}
    mistakes = []
    for entry in entries:
        full_name = f"{entry.section}.{entry.key}"
        row = table.get(full_name)
        if row is None:
            mistakes.append(
                ConfigError(f"{entry.origin}: there is no key {full_name}.", nearest(full_name, list(table)))
            )
            continue
        try:
            values[entry.section][entry.key] = row.kind.parse(entry.text)
        except ValueError as error:
            mistakes.append(ConfigError(f"{entry.origin}: {full_name} {error}."))
    return Settings(**{name: cls(**values[name]) for name, cls in sections()}), mistakes


def mistakes_in(path: str, cwd: str = ".") -> list[ConfigError]:
    """Everything that is wrong with a configuration file, in the order of its lines.

    What keys do to each other is looked at once each of them can be understood.
    ConfigError when the file cannot be read.
    """
    file = Path(cwd) / at_home(path)
    entries, unread = scan_ini(read_text(file), str(file))
    settings, misunderstood = examine(entries)
    found = [*unread, *misunderstood]
    if not found:
        found = list(_conflicts(Config(settings, file.parent.absolute())))
    return sorted(found, key=_line_of)


def _line_of(mistake: ConfigError) -> int:
    number = mistake.message.partition(": ")[0].rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def load(
    path: str | None = None,
    overrides: Sequence[Entry] = (),
    *,
    node_id: int | None = None,
    cwd: str = ".",
    as_started: bool = False,
) -> Config:
    """The configuration a node starts with.

    `overrides` (the command line) win over what `setconfig` changed, this over the
    file, the file over what `node_id` implies. ConfigError for whatever cannot be used.
    `as_started` leaves out what `setconfig` changed, for who need not be able to read
    the data directory: where a node listens is no such key.
    """
    base = Path(cwd)
    entries: list[Entry] = []
    if path is not None:
        file = base / at_home(path)
        entries.extend(read_ini(file))
        base = file.parent
    elif node_id is not None:
        entries.extend(_builtin_entries(node_id, overrides))
    layers = Layers(file=tuple(entries), command_line=tuple(overrides))
    settings = settings_from(layers.entries)
    member = None
    if path is None and node_id in BUILTIN_MEMBERS and settings.node.member:
        member = node_id
    config = Config(settings, base.absolute(), member, layers)
    if as_started:
        return config.with_layers(layers)
    return config.with_layers(attrs.evolve(layers, overrides=read_overrides(config.overrides_file)))


def override(full_name: str, text: str, origin: str) -> Entry:
    """An entry for `section.key`, as the command line gives it."""
    section, dot, name = full_name.partition(".")
    if not dot or not section or not name:
        raise ConfigError(f"{origin}: {full_name!r} is not section.key.")
    return Entry(section, name, text, origin)


def _builtin_entries(node_id: int, overrides: Sequence[Entry]) -> list[Entry]:
    """What `--node-id N` means: regtest, its own directory and ports, the members as peers."""
    if not 1 <= node_id <= MAX_NODE_ID:
        raise ConfigError(f"--node-id must lie between 1 and {MAX_NODE_ID}, not {node_id}.")
    first = networks.REGTEST.p2p_port - 1
    ports = [first + number for number in BUILTIN_MEMBERS]
    given = {f"{entry.section}.{entry.key}": entry.text for entry in overrides}
    own = given.get("p2p.port", str(first + node_id))
    peers = ", ".join(host_port("127.0.0.1", port) for port in ports if str(port) != own)
    implied: Mapping[str, str] = {
        "node.network": "regtest",
        "node.datadir": f"timed-{node_id}",
        "node.member": "yes" if node_id in BUILTIN_MEMBERS else "no",
        "p2p.host": "127.0.0.1",
        "p2p.port": own,
        "p2p.peers": peers,
    }
    origin = f"--node-id {node_id}"
    return [override(name, text, origin) for name, text in implied.items() if name not in given]


def _check(config: Config) -> None:
    """What no single key can check."""
    for conflict in _conflicts(config):
        raise conflict


def _conflicts(config: Config) -> Iterator[ConfigError]:
    settings = config.settings
    p2p = settings.p2p
    for chosen, what, hint in (
        (p2p.plain, "plain", "Only regtest may go without TLS."),
        (p2p.encoding == "json", "encoding json", "Only regtest may write JSON."),
        (not p2p.batching, "batching no", "Only regtest may write every message on its own."),
        (not p2p.priorities, "priorities no", "Only regtest may do without priorities."),
    ):
        if chosen and not config.params.plain_allowed:
            yield ConfigError(f"p2p.{what} is not allowed on {config.params.name}.", hint)
    if settings.crypto.backend == PURE_PYTHON and config.params is not networks.REGTEST:
        yield ConfigError(
            f"crypto.backend {PURE_PYTHON} is not allowed on {config.params.name}.", "Use pynacl."
        )
    if settings.p2p.seed_urls and not settings.p2p.seed_keys:
        yield ConfigError(
            "p2p.seed_urls is set and p2p.seed_keys is not: no list could be believed.",
            "Set p2p.seed_keys to the public key of whoever signs the lists.",
        )
    yield from _webhook_conflicts(config)
    enabled = settings.services.enabled
    if settings.index.names and "chain" in enabled and "index" not in enabled:
        yield ConfigError(
            f"index.{settings.index.names[0]} is on and services.enabled lacks index: nothing would build it.",
            "Add index to services.enabled.",
        )
    ports = {"p2p": config.p2p_port, "rpc": config.rpc_port, "monitor": config.monitor_port}
    wanted = [(name, port) for name, port in ports.items() if name in settings.services.enabled]
    for index, (name, port) in enumerate(wanted):
        if port > 65_535:
            yield ConfigError(f"{name}.port would be {port}, which is no port.", f"Set {name}.port.")
        for other, taken in wanted[:index]:
            if port == taken:
                yield ConfigError(f"{other}.port and {name}.port are both {port}.")


def _webhook_conflicts(config: Config) -> Iterator[ConfigError]:
    webhook = config.settings.webhook
    if webhook.urls and not webhook.secret_file:
        yield ConfigError(
            "webhook.urls is set and webhook.secret_file is not: no receiver could tell who sends.",
            "Make one: (umask 077; openssl rand -hex 32 > webhook.secret).",
        )
    if webhook.urls and not config.settings.feed.enabled:
        yield ConfigError(
            "webhook.urls is set and feed.enabled is no: there are no events.", "Set feed.enabled = yes."
        )
    for url in webhook.urls:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or port == 0:
            yield ConfigError(f"webhook.urls names {url[:80]!r}, whose host or port is none.")
        elif parts.scheme == "http" and not webhook.allow_plain and not is_loopback(host):
            yield ConfigError(
                f"webhook.urls names {host!r} without TLS, and it is not this machine.",
                "Use https://, or set webhook.allow_plain = yes.",
            )


def nearest(full_name: str, names: Sequence[str]) -> str:
    """What was probably meant by a key that does not exist, as a sentence."""
    import difflib

    section, _, name = full_name.partition(".")
    known = list(dict.fromkeys(each.partition(".")[0] for each in names))
    if section not in known:
        near = difflib.get_close_matches(section, known, n=1, cutoff=0.5)
        meant = f"{near[0]}.{name}" if near else ""
        if meant in names:
            return f"The nearest is {meant}."
        elsewhere = [each for each in names if each.endswith(f".{name}")]
        if len(elsewhere) == 1:
            return f"The nearest is {elsewhere[0]}."
        if near:
            return f"There is no section [{section}]; the nearest is [{near[0]}]."
        return f"There is no section [{section}]; there are [{'], ['.join(known)}]."
    own = [each.partition(".")[2] for each in names if each.startswith(f"{section}.")]
    close = difflib.get_close_matches(name, own, n=1, cutoff=0.6)
    if close:
        return f"The nearest is {section}.{close[0]}."
    elsewhere = [each for each in names if each.endswith(f".{name}")]
    if elsewhere:
        return f"The nearest is {elsewhere[0]}."
    return f"The keys of [{section}] are: {', '.join(own)}."

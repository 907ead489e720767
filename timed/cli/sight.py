"""What can be seen of one node, alive or dead: its configuration, its files, its monitor, its RPC.

Nothing here judges. What could not be seen is None, and `unseen` says why.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from prometheus_client.parser import text_string_to_metric_families

from timed.app.config import Config
from timed.app.datadir import CHAIN, NODE_KEY
from timed.cli.options import Options
from timed.cli.place import ANYWHERE, locate
from timed.client.blocking import Client
from timed.client.errors import ClientError
from timed.crypto.keys import load_key_file
from timed.errors import ConfigError, LocalError
from timed.monitor.histogram import quantile
from timed.monitor.view import APART
from timed.store.lmdb import LOCK

TIMEOUT_S = 5.0
"""For each question; a node that does not answer within it counts as one that hangs."""
MAX_ANSWER = 16 * 1024 * 1024
LOCKS = "/proc/locks"
QUESTIONS: tuple[tuple[str, list[str]], ...] = (
    ("logging", []),
    ("getconfig", []),
    ("getaddednodeinfo", []),
)
"""What the RPC is asked, all at once."""


class Metrics:
    """The answer of `/metrics`: samples by name, counters with their `_total`."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def series(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        return self._samples.get(name, [])

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of the series with these labels; None without any."""
        found = [value for known, value in self.series(name) if labels.items() <= known.items()]
        return sum(found) if found else None

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """The bound under which `share` of the durations since the start lie; None without any."""
        below: dict[float, float] = {}
        for known, value in self.series(f"{name}_bucket"):
            if labels.items() <= known.items():
                bound = float(known["le"])
                below[bound] = below.get(bound, 0.0) + value
        bounds = sorted(below)
        counts = [
            below[bound] - before
            for bound, before in zip(bounds, [0.0, *(below[each] for each in bounds)], strict=False)
        ]
        return quantile(bounds[:-1], counts, share)

    def count(self, name: str, **labels: str) -> float:
        """How many durations there were."""
        return self.total(f"{name}_count", **labels) or 0.0


@attrs.frozen
class Sight:
    """One node at one moment."""

    config: Config | None
    """None when it cannot be read."""
    mistake: ConfigError | None = None
    """Why not."""
    held: int | None = None
    """The process that has the data directory; 0 for none, None when nobody may look."""
    health: Mapping[str, Any] | None = None
    alerts: Mapping[str, Any] | None = None
    metrics: Metrics | None = None
    calls: Mapping[str, Any] = attrs.Factory(dict)
    """Results of the RPC by method; one that was refused is not there."""
    unseen: Mapping[str, str] = attrs.Factory(dict)
    """Why the monitor, or the RPC, or one of its methods, told nothing."""
    free_bytes: int | None = None
    """Where the data directory is, or will be."""
    load: float | None = None
    """Processes that want to run, for each core of this machine."""

    @property
    def running(self) -> bool:
        """Something answered."""
        return self.health is not None or bool(self.calls)

    def setting(self, name: str) -> str | None:
        """The value of a key in force, as a file has it: the running node's word, else the configuration's."""
        for row in self.calls.get("getconfig", ()):
            if row["key"] == name:
                return str(row["value"])
        if self.config is None:
            return None
        section, _, key = name.partition(".")
        return str(getattr(getattr(self.config.settings, section), key))


def look(config: Config | ConfigError, options: Options) -> Sight:
    """Everything that can be seen now; takes at most a few times `TIMEOUT_S`."""
    if isinstance(config, ConfigError):
        return Sight(None, config, load=_load())
    unseen: dict[str, str] = {}
    pages = _monitor(config, unseen)
    calls = _rpc(options, unseen)
    held = _held(config.datadir)
    try:
        metrics = Metrics(pages["/metrics"]) if pages else None
    except ValueError:
        unseen["monitor"] = f"what answers on port {config.monitor_port} is no node"
        pages, metrics = {}, None
    if held == 0 and metrics is not None and _of_another(metrics, config.datadir):
        unseen["monitor"] = f"another node answers on port {config.monitor_port}"
        pages, metrics = {}, None
    return Sight(
        config,
        held=held,
        health=_json(pages.get("/health")),
        alerts=_json(pages.get("/alerts")),
        metrics=metrics,
        calls=calls,
        unseen=unseen,
        free_bytes=_free(config.datadir),
        load=_load(),
    )


def fetch(config: Config, path: str) -> str:
    """The body of one page of the monitor, also of a 503; OSError when there is none."""
    host = config.settings.monitor.host
    connection = http.client.HTTPConnection(ANYWHERE.get(host, host), config.monitor_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER + 1)
    except http.client.HTTPException as error:
        raise OSError(0, f"no HTTP ({type(error).__name__})") from error
    finally:
        connection.close()
    if answer.status not in (200, 503) or len(body) > MAX_ANSWER:
        raise OSError(0, f"HTTP {answer.status} with {len(body)} bytes")
    return body.decode("utf-8", "replace")


def _monitor(config: Config, unseen: dict[str, str]) -> dict[str, str]:
    if "monitor" not in config.settings.services.enabled:
        unseen["monitor"] = "it is not in services.enabled"
        return {}
    try:
        return {path: fetch(config, path) for path in ("/health", "/alerts", "/metrics")}
    except TimeoutError:
        unseen["monitor"] = f"no answer from port {config.monitor_port} within {TIMEOUT_S:g} s"
    except OSError as error:
        unseen["monitor"] = f"port {config.monitor_port}: {error.strerror or error}"
    return {}


def _of_another(metrics: Metrics, datadir: Path) -> bool:
    """A node with another key than the one in this data directory has answered."""
    try:
        key = load_key_file(str(datadir / NODE_KEY))
    except LocalError:
        return False
    shown = {labels.get("node_id", APART) for labels, _ in metrics.series("timed_info")}
    return not shown <= {APART, key.public.hex()}


def _rpc(options: Options, unseen: dict[str, str]) -> dict[str, Any]:
    try:
        with Client(locate(options), TIMEOUT_S) as client:
            results = client.batch(list(QUESTIONS))
    except (ClientError, ConfigError) as error:
        unseen["rpc"] = str(error)
        return {}
    found = {}
    for (name, _), result in zip(QUESTIONS, results, strict=True):
        if isinstance(result, Exception):
            unseen[name] = str(result)
        else:
            found[name] = result
    return found


def _json(text: str | None) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _held(datadir: Path) -> int | None:
    """The process that holds the lock of the data directory; 0 for none, None when nobody may look.

    The lock itself is left alone: a node that starts in this moment would not get it.
    """
    try:
        inode = os.stat(datadir / CHAIN / LOCK).st_ino
        with open(LOCKS, encoding="ascii") as file:
            lines = file.readlines()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return None
    for line in lines:
        # `1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`; the device is not the file's everywhere.
        words = line.split()
        if words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return 0


def _free(datadir: Path) -> int | None:
    for path in _upwards(datadir):
        try:
            state = os.statvfs(path)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return state.f_bavail * state.f_frsize
    return None


def _upwards(path: Path) -> Iterable[Path]:
    return (path, *path.parents)


def _load() -> float | None:
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return None

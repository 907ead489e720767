"""Finding plugins: files under `timed/plugins`, and entry points where files cannot be seen.

A plugin is an object that provides one of the interfaces in `timed.interfaces`
and carries a `name`. The entry-point group is `timed.plugins`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from twisted.logger import Logger
from twisted.plugin import getPlugins

from timed import plugins as package
from timed.errors import ConfigError

ENTRY_POINT_GROUP = "timed.plugins"

_log = Logger()


def find(interface: Any) -> dict[str, Any]:
    """Every plugin for `interface`, by name. Two with one name raise ConfigError."""
    found: dict[str, Any] = {}
    candidates: list[Any] = list(getPlugins(interface, package))
    candidates += [plugin for plugin in _from_entry_points() if interface.providedBy(plugin)]
    for plugin in candidates:
        name = str(plugin.name)
        known = found.setdefault(name, plugin)
        if known is not plugin and type(known) is not type(plugin):
            raise ConfigError(f"two plugins are called {name!r}: {known!r} and {plugin!r}.", "Remove one.")
    return found


def choose(interface: Any, name: str, key: str) -> Any:
    """The plugin called `name`; ConfigError names the configuration key and what there is."""
    found = find(interface)
    if name not in found:
        raise ConfigError(
            f"{key}: there is no plugin called {name!r}.", f"There are: {', '.join(sorted(found))}."
        )
    return found[name]


def _from_entry_points() -> list[object]:
    plugins: list[object] = []
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            plugins.append(point.load())
        except Exception:  # noqa: BLE001 - somebody else's package must not stop the node
            _log.failure("the plugin {name} cannot be loaded", name=point.name)
    return plugins

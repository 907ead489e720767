"""The package that `twisted.plugin.getPlugins` searches; other distributions may add to it."""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []

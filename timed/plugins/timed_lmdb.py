"""The default store as a plugin."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from timed.store.lmdb import LmdbBackend

backend = LmdbBackend()
alsoProvides(backend, IPlugin)

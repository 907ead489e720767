"""The store that lasts as long as its process, as a plugin."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from timed.store.memory import MemoryBackend

backend = MemoryBackend()
alsoProvides(backend, IPlugin)

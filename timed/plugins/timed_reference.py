"""The pure-Python signature backend as a plugin."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from timed.crypto.backends.reference import ReferenceBackend

backend = ReferenceBackend()
alsoProvides(backend, IPlugin)

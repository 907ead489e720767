"""The default signature backend, libsodium through PyNaCl, as a plugin."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from timed.crypto.backends.pynacl import PyNaClBackend

backend = PyNaClBackend()
alsoProvides(backend, IPlugin)

"""The event sink that writes log lines, as a plugin."""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from timed.monitor.eventlog import EventLog

sink = EventLog()
alsoProvides(sink, IPlugin)

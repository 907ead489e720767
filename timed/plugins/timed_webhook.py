"""The event sink that posts to URLs, as a plugin. Finding it imports nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from timed.interfaces import ISinkMaker


@implementer(IPlugin, ISinkMaker)
class Webhooks:
    """The webhooks of the section [webhook]."""

    name = "webhook"

    def make(self, context: object) -> Sequence[object]:
        """`ISinkMaker.make`."""
        made: Sequence[object] = namedAny("timed.app.webhooks.make_sinks")(context)
        return made


sinks = Webhooks()

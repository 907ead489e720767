"""The services that come with the project. Finding them imports none of them."""

from __future__ import annotations

import attrs
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from timed.interfaces import IServiceMaker


@implementer(IPlugin, IServiceMaker)
@attrs.frozen
class ServiceByName:
    """A service whose `make` function is imported when it is needed."""

    name: str
    order: int
    maker: str

    def make(self, context: object) -> object:
        """Call the function that `maker` names."""
        return namedAny(self.maker)(context)


chain = ServiceByName("chain", 10, "timed.app.chain.make_service")
index = ServiceByName("index", 15, "timed.app.indexing.make_service")
feed = ServiceByName("feed", 16, "timed.app.feeding.make_service")
p2p = ServiceByName("p2p", 20, "timed.app.p2p.make_service")
desk = ServiceByName("desk", 25, "timed.rpc.nodedesk.make_service")
rpc = ServiceByName("rpc", 30, "timed.rpc.service.make_service")
monitor = ServiceByName("monitor", 40, "timed.monitor.service.make_service")

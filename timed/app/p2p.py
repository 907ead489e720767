"""The p2p service: the transports under the node's sessions."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.app.context import Context
from timed.net.limits import NetworkLimits
from timed.net.network import Network


class P2PService(Service):
    """Listens, and carries out the driver's Write, Close and Dial.

    After `stopService` has fired, every peer was told goodbye and no port or
    connection is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("p2p")
        self._context = context

    def startService(self) -> None:
        """LocalError when the port cannot be had."""
        super().startService()
        context = self._context
        p2p = context.config.settings.p2p
        # Above the sessions that the node wants, so that one too many is told so.
        limits = NetworkLimits(
            max_inbound=2 * p2p.max_inbound + 16, loopback_is_a_group=not p2p.trust_loopback
        )
        network = Network(
            context.reactor, context.node_key, plain=p2p.plain, host=context.driver, limits=limits,
            shut_out=self._shut_out,
        )  # fmt: skip
        context.network = network
        context.driver.attach(network)
        failures: list[Failure] = []
        # The answer has come when `listen` returns.
        network.listen(context.config.p2p_port, p2p.host).addErrback(failures.append)
        for failure in failures:
            failure.raiseException()

    def _shut_out(self, host: str) -> bool:
        running = self._context.running
        return running is not None and running.node.peers.conduct.shut_out(host, self._context.clock())

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        network = self._context.network
        if network is None:
            return
        if self._context.running is not None:
            self._context.running.driver.say_goodbye()
        await network.stop()
        self._context.network = None


def make_service(context: Context) -> P2PService:
    """`IServiceMaker.make` of the p2p service."""
    return P2PService(context)

"""Payments through JSON-RPC, timed from the call to every node's answer."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal

import attrs

from timed.errors import TimedError
from timed.events import CERTIFIED, CONFIRMED, FINAL
from timed.testnet.layout import NodePlan
from timed.testnet.network import Network
from timed.testnet.rpc import ClientError, call, connect
from timed.testnet.waiting import WaitFailed

FINAL_S = 30.0
CONFIRM_INTERVALS = 6
CONFIRM_EXTRA_S = 60.0
AMOUNT = Decimal("1.25")
CERTIFIED_POLL_S = 0.003
REACHED = (CERTIFIED, FINAL, CONFIRMED)


class NotFinal(TimedError):
    """The nodes answer, but the payment did not get where it should be in time."""


@attrs.frozen
class Payment:
    """One payment and the monotonic time at which it was asked for."""

    txid: str
    payer: NodePlan
    asked: float
    nodes: frozenset[int]
    """The nodes that ran when it was made; only their times count."""


class Payments:
    """Sends payments one after the other and writes what it measures into the report."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._sent: list[Payment] = []
        self._confirmed: set[tuple[str, int]] = set()

    def send(self, count: int) -> None:
        """Each payment is final on every running node before the next is made."""
        network = self._network
        nodes = network.running()
        payers = [node for node in nodes if node.member]
        for number in range(count):
            payer = payers[number % len(payers)]
            payee = nodes[(nodes.index(payer) + 1) % len(nodes)]
            network.reporter.progress(f"payment {number + 1} of {count}: {payer.name} pays {payee.name}")
            self._pay(payer, payee, nodes)
        network.report.payments = len(self._sent)

    def _pay(self, payer: NodePlan, payee: NodePlan, nodes: list[NodePlan]) -> None:
        try:
            address = call(payee, "getnewaddress")
            asked = time.monotonic()
            txid = str(call(payer, "sendtoaddress", address, AMOUNT, timeout=FINAL_S))
        except ClientError as error:
            raise WaitFailed(f"a payment could not be made: {error}") from error
        payment = Payment(txid, payer, asked, frozenset(node.number for node in nodes))
        self._sent.append(payment)
        with ThreadPoolExecutor(len(nodes) + 1) as pool:
            certified = pool.submit(_certified_after, payment)
            finals = {node.number: pool.submit(_final_after, payment, node) for node in nodes}
            report = self._network.report
            for number, future in finals.items():
                self._network.figures[number].to_final.append(self._time(future))
            report.to_certified.append(self._time(certified))

    def _time(self, future: Future[float]) -> float:
        try:
            return future.result(FINAL_S + 10)
        except (ClientError, NotFinal, TimeoutError) as error:
            ends = "\n".join(f"  {process.end_of_log()}" for process in self._network.living())
            raise WaitFailed(f"'payment becomes final' failed: {error}\n{ends}") from error

    def wait_confirmed(self) -> None:
        """Until every payment is in a block on every running node."""
        network = self._network
        nodes = network.running()
        total = len(self._sent) * len(nodes)

        def probe() -> tuple[bool, str]:
            for payment in self._sent:
                for node in nodes:
                    key = (payment.txid, node.number)
                    if key not in self._confirmed and self._is_confirmed(payment, node):
                        self._confirmed.add(key)
                        if node.number in payment.nodes:
                            passed = (time.monotonic() - payment.asked) * 1000
                            network.figures[node.number].to_confirmed.append(passed)
            done = sum(
                (payment.txid, node.number) in self._confirmed for payment in self._sent for node in nodes
            )
            return done == total, f"{done} of {total} (payments times nodes) are in a block"

        network.wait(
            "payments enter a block", probe, CONFIRM_INTERVALS * network.plan.interval + CONFIRM_EXTRA_S
        )

    @staticmethod
    def _is_confirmed(payment: Payment, node: NodePlan) -> bool:
        try:
            return bool(call(node, "gettransaction", payment.txid)["state"] == CONFIRMED)
        except ClientError:
            return False


def _final_after(payment: Payment, node: NodePlan) -> float:
    """Milliseconds from the request to this node's answer that the payment is final."""
    answer = call(node, "waittransactionfinality", payment.txid, FINAL_S, timeout=FINAL_S + 5)
    if not answer["final"]:
        raise NotFinal(f"{payment.txid} is {answer['state']} on {node.name} after {FINAL_S:.0f} s")
    return (time.monotonic() - payment.asked) * 1000


def _certified_after(payment: Payment) -> float:
    """Milliseconds until the payer's node knew a certificate; asked every few milliseconds."""
    deadline = payment.asked + FINAL_S
    with connect(payment.payer) as client:
        while time.monotonic() < deadline:
            if client.call("gettransaction", payment.txid)["state"] in REACHED:
                return (time.monotonic() - payment.asked) * 1000
            time.sleep(CERTIFIED_POLL_S)
    raise NotFinal(f"{payment.txid} has no certificate at {payment.payer.name} after {FINAL_S:.0f} s")

"""Open-loop load: payments signed beforehand, submitted when they are due whatever the nodes do."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Sequence

import attrs

from timed.bench.cluster import PAYER
from timed.client.blocking import Client
from timed.client.errors import ClientError
from timed.client.location import Location
from timed.crypto.keys import SigningKey
from timed.ledger.genesis import Genesis
from timed.ledger.rules import largest_total
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness, signing_hash
from timed.testnet.layout import HOST, NodePlan

PAYEE = Lock.key_hash(SigningKey.from_seed(tagged_hash("bench-payee")).public)
MAX_BATCH = 20
TIMEOUT_S = 30.0
SEED = 11


@attrs.frozen
class Payment:
    """A signed transfer of one coin."""

    txid: bytes
    text: str
    """The transaction in hexadecimal, as `sendrawtransaction` takes it."""

    @classmethod
    def of(cls, transaction: Transaction) -> Payment:
        return cls(transaction.txid, transaction.raw.hex())


def coins_of_payer(genesis: Genesis) -> list[tuple[OutPoint, Output]]:
    """What `endow` gave to `PAYER`."""
    lock = Lock.key_hash(PAYER.public)
    return [(place, coin.output) for place, coin in genesis.created() if coin.output.lock == lock]


def signed(genesis: Genesis, place: OutPoint, spent: Output, outputs: Sequence[Output]) -> Transaction:
    """A transfer of one coin of `PAYER`."""
    bare = Transaction.make(inputs=(place,), outputs=tuple(outputs))
    message = signing_hash(genesis.params.chain_id, bare.txid, (spent,))
    return bare.with_witnesses((Witness(PAYER.public, PAYER.sign(message)),))


def sign_payments(genesis: Genesis, count: int, skip: int = 0) -> list[Payment]:
    """Payments that spend one coin of `PAYER` each, no two the same."""
    return [
        Payment.of(signed(genesis, place, spent, [Output(largest_total(spent.value, genesis.params), PAYEE)]))
        for place, spent in coins_of_payer(genesis)[skip : skip + count]
    ]


def sign_in_turn(genesis: Genesis, count: int) -> list[Payment]:
    """Payments of `PAYER` to itself: with n coins, each but the first n spends what the n-th before it made."""
    held, payments = deque(coins_of_payer(genesis)), []
    for _ in range(count):
        place, spent = held.popleft()
        made = Output(largest_total(spent.value, genesis.params), spent.lock)
        transaction = signed(genesis, place, spent, [made])
        held.append((OutPoint(transaction.txid, 0), made))
        payments.append(Payment.of(transaction))
    return payments


def schedule(count: int, rate: float, seed: int = SEED) -> list[int]:
    """Nanoseconds after the start at which each of `count` payments is due: a Poisson process."""
    source = random.Random(seed)
    at, due = 0.0, []
    for _ in range(count):
        at += source.expovariate(rate)
        due.append(int(at * 1e9))
    return due


@attrs.define
class Submitted:
    """What became of a load."""

    due: dict[bytes, int] = attrs.Factory(dict)
    """Transaction id to the monotonic nanosecond at which it was to be submitted."""
    refused: list[str] = attrs.Factory(list)
    late_ns: list[int] = attrs.Factory(list)
    """How long after its moment each was handed to the connection."""
    answered_ns: list[int] = attrs.Factory(list)
    """From its moment to the node's answer."""
    lock: threading.Lock = attrs.Factory(threading.Lock)


class Load:
    """Submits to all nodes in turn, over a few connections each."""

    def __init__(
        self, nodes: Sequence[NodePlan], payments: Sequence[Payment], rate: float, connections: int = 4
    ) -> None:
        self.submitted = Submitted()
        self._start = 0
        self._stop = threading.Event()
        self._work: dict[tuple[int, int], list[tuple[int, Payment]]] = {}
        self._nodes = {node.number: node for node in nodes}
        for index, (due, payment) in enumerate(zip(schedule(len(payments), rate), payments, strict=True)):
            node = nodes[index % len(nodes)].number
            lane = index // len(nodes) % connections
            self._work.setdefault((node, lane), []).append((due, payment))
        self._threads = [
            threading.Thread(target=self._send, args=(self._nodes[node], work), daemon=True)
            for (node, _), work in self._work.items()
        ]

    def start(self) -> int:
        """Begin; the monotonic nanosecond from which the schedule counts."""
        self._start = time.monotonic_ns() + 50_000_000
        for work in self._work.values():
            for due, payment in work:
                self.submitted.due[payment.txid] = self._start + due
        for thread in self._threads:
            thread.start()
        return self._start

    def wait(self) -> Submitted:
        """Until everything was submitted and answered."""
        for thread in self._threads:
            thread.join()
        return self.submitted

    def stop(self) -> None:
        """Submit nothing more."""
        self._stop.set()

    def _send(self, node: NodePlan, work: list[tuple[int, Payment]]) -> None:
        location = Location(HOST, node.rpc_port, cookie_file=str(node.cookie))
        submitted = self.submitted
        with Client(location, TIMEOUT_S) as client:
            at = 0
            while at < len(work) and not self._stop.is_set():
                wait = self._start + work[at][0] - time.monotonic_ns()
                if wait > 0:
                    time.sleep(wait / 1e9)
                now = time.monotonic_ns()
                end = at + 1
                while end < len(work) and end - at < MAX_BATCH and self._start + work[end][0] <= now:
                    end += 1
                batch, at = work[at:end], end
                answers = self._exchange(client, [payment for _, payment in batch])
                answered = time.monotonic_ns()
                with submitted.lock:
                    submitted.refused += answers
                    submitted.late_ns += [now - self._start - due for due, _ in batch]
                    submitted.answered_ns += [answered - self._start - due for due, _ in batch]

    @staticmethod
    def _exchange(client: Client, payments: list[Payment]) -> list[str]:
        """What the node had against these payments."""
        try:
            answers = client.batch([("sendrawtransaction", [payment.text]) for payment in payments])
        except ClientError as error:
            return [str(error)] * len(payments)
        return [str(answer) for answer in answers if isinstance(answer, Exception)]

"""Calls are answered while a node catches up: a turn of the node is never as long as all that is to be done."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, genesis
from tests.rpc_world import World, parsed
from timed.rpc.dispatch import Reply

BLOCKS = 80
STEP_S = 0.001
PATIENCE = 4
"""Turns after which a call is answered, whatever the node has to do."""
LINK = 1


class Turns(Clock):
    """Each step is one turn of the reactor: what is asked for in a turn is done in the next one."""

    def callLater(self, when: float, what: Any, *args: Any, **named: Any) -> Any:
        return super().callLater(max(when, STEP_S), what, *args, **named)

    def callInThread(self, what: Any, *args: Any) -> None:
        """A thread that has done its work by the next turn."""
        self.callLater(0, what, *args)


class Wire:
    """One end of a plain link between two worlds."""

    def __init__(self, world: World, other: World) -> None:
        self.world = world
        self.other = other
        world.driver.attach(self)

    def write(self, link: int, data: bytes) -> None:
        self.world.clock.callLater(STEP_S, self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        self.other.driver.received(LINK, data)
        self.world.driver.drained(LINK)

    def close(self, link: int, reason: str, abort: bool) -> None:
        raise AssertionError(reason)

    def pause(self, link: int) -> None:
        """Nothing is lost that was under way."""

    def resume(self, link: int) -> None:
        """As `pause`."""

    def dial(self, host: str, port: int, expected_id: bytes | None) -> None:
        """There is one link, and it is up."""


class CatchingUp(SynchronousTestCase):
    def setUp(self) -> None:
        chain = ChainBuilder(genesis(1))
        for _ in range(BLOCKS):
            chain.extend()
        self.old = chain.ledger.block(1).transactions[0].txid.hex()  # type: ignore[union-attr]
        late = BLOCKS + 1
        self.clock = Turns()
        teacher = World(chain.store, member=False, with_wallet=False, number=1, clock=self.clock, late=late)
        self.student = World(member=False, with_wallet=False, number=2, clock=self.clock, late=late)
        self.student.threads = self.clock
        worlds = (teacher, self.student)
        for world, other in (worlds, worlds[::-1]):
            Wire(world, other)
        for number, world in enumerate(worlds):
            other = worlds[1 - number].node.config.node_key.public
            world.driver.connected(LINK, number == 1, other, "127.0.0.1", 7000 + number)
        self.asked: list[tuple[int, str, Deferred[Reply]]] = []
        self.answers: list[tuple[int, str, Any]] = []
        """Turns until the answer, method, response."""

    def step(self, number: int) -> None:
        """One call of each kind, and a moment."""
        for method, params in (("getblockcount", []), ("getblockhash", [0]), ("gettransaction", [self.old])):
            self.asked.append((number, method, self.student.begin(method, params)))
        self.clock.advance(STEP_S)
        waiting = []
        for begun, method, reply in self.asked:
            if reply.called:
                self.answers.append((number - begun, method, parsed(self.successResultOf(reply))))
            else:
                waiting.append((begun, method, reply))
        self.asked = waiting

    def test_every_call_is_answered_within_a_few_turns_at_many_heights(self) -> None:
        for number in range(20_000):
            if self.student.backend.tip().height == BLOCKS:
                break
            self.step(number)
        self.assertEqual(self.student.backend.tip().height, BLOCKS)
        heights = {shown["result"] for _, method, shown in self.answers if method == "getblockcount"}
        self.assertGreaterEqual(len(heights - {0, BLOCKS}), BLOCKS // 4)
        self.assertLessEqual(max(turns for turns, _, _ in self.answers), PATIENCE)
        self.assertEqual(len(self.answers) + len(self.asked), 3 * number)
        self.assertLessEqual(len(self.asked), 3 * PATIENCE)
        states = {
            shown["result"]["state"] if "result" in shown else shown["error"]["data"]["rule"]
            for _, method, shown in self.answers
            if method == "gettransaction"
        }
        self.assertEqual(states, {"transaction-unknown", "confirmed"})
        self.assertEqual(self.student.failures, [])

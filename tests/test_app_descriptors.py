"""The limit of file descriptors: lifted to what the bounds need, and what is said when it cannot be."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from timed.app import descriptors
from timed.app.config import Config, load, override
from timed.app.p2p import limits_of

DEADLINE_S = 60


def config(**settings: str) -> Config:
    """A configuration with these keys, section and name parted by two underscores."""
    given = {"node__network": "regtest", **settings}
    return load(None, [override(name.replace("__", "."), text, "the test") for name, text in given.items()])


class System:
    """What the kernel keeps for a process; like it, refuses a soft limit above the hard one."""

    RLIMIT_NOFILE = resource.RLIMIT_NOFILE
    RLIM_INFINITY = resource.RLIM_INFINITY

    def __init__(self, soft: int, hard: int) -> None:
        self.soft, self.hard = soft, hard
        self.set: list[int] = []

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self.soft, self.hard

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        soft, hard = limits
        if hard != self.hard or (hard != self.RLIM_INFINITY and soft > hard):
            raise ValueError("not allowed to raise maximum limit")
        self.set.append(soft)
        self.soft = soft


class Live:
    """The configuration in force, for one subscriber."""

    def __init__(self, at_first: Config) -> None:
        self.config = at_first
        self.told: list[Callable[[Config], None]] = []

    def subscribe(self, names: Any, tell: Callable[[Config], None]) -> Callable[[], None]:
        assert tuple(names) == descriptors.KEYS
        self.told.append(tell)
        return lambda: self.told.remove(tell)


class LimitTests(SynchronousTestCase):
    def system(self, soft: int, hard: int) -> System:
        system = System(soft, hard)
        self.patch(descriptors, "resource", system)
        return system

    def test_every_bound_of_what_runs_is_counted(self) -> None:
        everything = config(services__enabled="chain, index, p2p, rpc, monitor")
        links = limits_of(everything.settings.p2p)
        parts = {
            "p2p": links.max_inbound + links.max_outbound + links.max_half_open,
            "rpc": everything.settings.rpc.max_connections,
            "monitor": descriptors.MONITOR_CONNECTIONS,
        }
        self.assertEqual(descriptors.wanted(everything), descriptors.FOR_ITSELF + sum(parts.values()))
        for name, most in parts.items():
            alone = config(services__enabled=f"chain, {name}")
            self.assertEqual(descriptors.wanted(alone), descriptors.FOR_ITSELF + most)
        more = config(services__enabled="chain, index, p2p, rpc, monitor", rpc__max_connections="5000")
        self.assertEqual(descriptors.wanted(more) - descriptors.wanted(everything), 5000 - parts["rpc"])

    def test_the_soft_limit_is_lifted_to_what_is_needed_and_no_farther(self) -> None:
        system = self.system(1024, 500_000)
        limit = descriptors.raise_limit(2000)
        self.assertEqual((limit.now, limit.suffices, system.set), (2000, True, [2000]))

    def test_the_hard_limit_is_the_end(self) -> None:
        system = self.system(1024, 1500)
        limit = descriptors.raise_limit(2000)
        self.assertEqual((limit.now, limit.suffices, system.set), (1500, False, [1500]))

    def test_a_limit_is_never_lowered_and_nothing_is_set_in_vain(self) -> None:
        for soft, hard, now in (
            (4096, 4096, 4096),
            (1024, 1024, 1024),
            (System.RLIM_INFINITY,) * 2 + (2000,),
        ):
            system = self.system(soft, hard)
            self.assertEqual((descriptors.raise_limit(2000).now, system.set), (now, []))

    def test_without_a_hard_limit_the_soft_one_stays_finite(self) -> None:
        system = self.system(1024, System.RLIM_INFINITY)
        self.assertEqual((descriptors.raise_limit(2000).now, system.set), (2000, [2000]))


class ServiceTests(SynchronousTestCase):
    def start(self, soft: int, hard: int, **settings: str) -> tuple[System, Live, list[dict[str, Any]]]:
        system = System(soft, hard)
        self.patch(descriptors, "resource", system)
        said: list[dict[str, Any]] = []

        def observe(event: dict[str, Any]) -> None:
            if event.get("log_namespace") == "timed.app.descriptors.DescriptorsService":
                said.append(event)

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        live: Any = Live(config(**settings))
        self.service = descriptors.DescriptorsService(live)
        self.service.startService()
        return system, live, said

    def test_a_limit_that_suffices_is_no_news(self) -> None:
        system, live, said = self.start(1024, 500_000)
        self.assertEqual((system.set, said), ([descriptors.wanted(live.config)], []))

    def test_one_that_does_not_is_a_warning_with_the_way_to_mend_it(self) -> None:
        _, live, [said] = self.start(1024, 1024)
        self.assertEqual((said["now"], said["wanted"]), (1024, descriptors.wanted(live.config)))
        self.assertEqual(said["log_level"].name, "warn")
        self.assertIn("LimitNOFILE", said["remedy"])

    def test_a_bound_that_grows_while_the_node_runs_lifts_it_again(self) -> None:
        system, live, said = self.start(1024, 4000)
        [tell] = live.told
        more = config(rpc__max_connections="2500")
        tell(more)
        self.assertEqual((system.set[1:], said), ([descriptors.wanted(more)], []))
        tell(config(rpc__max_connections="5000"))
        self.assertEqual((system.set[2:], len(said)), ([4000], 1))
        self.service.stopService()
        self.assertEqual(live.told, [])


class RealProcess(SynchronousTestCase):
    def test_the_kernel_agrees(self) -> None:
        code = (
            "import resource; from timed.app.descriptors import raise_limit;"
            "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300));"
            "print(raise_limit(200).now, resource.getrlimit(resource.RLIMIT_NOFILE)[0], raise_limit(400).now)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True, env=os.environ
        )  # fmt: skip
        self.assertEqual(done.stdout.split(), ["200", "200", "300"])

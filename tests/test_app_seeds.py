"""Sources of addresses at work: asked in order, never fatal, never in anybody's way (F13)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Site

from tests.app_world import ThreadsOnClock
from tests.peer_harness import START, key
from tests.test_app_services import ServicesCase
from tests.test_net_fetch import Page, redirect
from timed.app import seeds as room
from timed.app.config import load, override
from timed.app.seedcache import KEPT, SeedCache
from timed.app.seeds import LOOK_S, Askers, Chain, Seeds, seeds_of
from timed.crew import Crew
from timed.errors import ConfigError, RemoteError
from timed.ledger.regtest import builtin_regtest
from timed.params import SECOND
from timed.peer import seedlist
from timed.peer.seeding import Seed, Seeding, SeedKind
from timed.peer.values import PeerAddress
from timed.testnet.freeports import free_ports

URL = "https://seeds.example.org/list.json"
NAME = "seed.example.org"
SIGNER = key(50)
GENESIS = bytes(32)
NODE = PeerAddress("192.0.2.7", 24_100, key(1).public)


class CrewAtOnce(Crew):
    """Has done its work when it is asked to."""

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        func(*args)


class FakeNode:
    """What the sources tell the node; it seeks until it is told not to."""

    def __init__(self) -> None:
        self.seeks = True
        self.time = START
        self.told: list[tuple[str, tuple[PeerAddress, ...]]] = []
        self.dialled: list[PeerAddress] = []

    def now(self) -> int:
        return self.time

    def seeking(self) -> bool:
        return self.seeks

    def seeded(self, places: Sequence[PeerAddress], source: str) -> int:
        self.told.append((source, tuple(places)))
        return len(places)

    def try_seed(self, place: PeerAddress) -> None:
        self.dialled.append(place)


def a_list(expires: int = START // SECOND + 3600, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "network": "testnet", "genesis": GENESIS, "issued": START // SECOND, "expires": expires,
        "addresses": [NODE], "key": SIGNER, **changes,
    }  # fmt: skip
    return seedlist.sign(**values).encode()


class SeedsCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory / "seeds.json"
        self.clock = ThreadsOnClock()
        self.node = FakeNode()
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.lines: list[LogEvent] = []
        globalLogPublisher.addObserver(self.lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.lines.append)

    def seeds(self, *seeds: Seed, replace: Any = None) -> Seeds:
        def ask(name: str) -> Deferred[Any]:
            self.asked.append(name)
            answer = self.answers.get(name, RemoteError("timeout"))
            if isinstance(answer, Deferred):
                return answer
            return fail(answer) if isinstance(answer, Exception) else succeed(answer)

        crew = CrewAtOnce("seeds", 1)
        cache = SeedCache(
            self.path, [seed.name for seed in seeds], **({"replace": replace} if replace else {})
        )
        made = Seeds(
            Seeding(seeds, random.Random(1)), Chain("testnet", GENESIS, (SIGNER.public,), 24_100),
            Askers(ask, ask), cache, self.node, self.clock, crew,
        )  # fmt: skip
        made.start()
        self.addCleanup(self.stop, made)
        return made

    def stop(self, seeds: Seeds) -> None:
        stopped = seeds.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([LOOK_S / 2] * int(2 * seconds / LOOK_S))

    def ours(self) -> list[str]:
        return [e["log_level"].name for e in self.lines if e["log_namespace"].startswith(room.__name__)]


def dns() -> Seed:
    return Seed(SeedKind.DNS, NAME)


def listed() -> Seed:
    return Seed(SeedKind.LIST, URL)


class AskingTests(SeedsCase):
    def test_addresses_of_a_name_and_of_a_list_reach_the_node_with_their_source(self) -> None:
        self.answers = {NAME: ["192.0.2.1", "2001:db8::1"], URL: a_list()}
        self.seeds(dns(), listed())
        self.pass_time(10)
        places = (PeerAddress("192.0.2.1", 24_100), PeerAddress("2001:db8::1", 24_100))
        self.assertEqual(self.node.told, [(NAME, places), (URL, (NODE,))])
        self.assertEqual(self.ours(), ["info", "info"])

    def test_port_of_a_name_is_the_one_that_was_written(self) -> None:
        self.answers = {NAME: ["192.0.2.1"]}
        self.seeds(Seed(SeedKind.DNS, f"{NAME}:7777"))
        self.assertEqual(self.node.told[0][1], (PeerAddress("192.0.2.1", 7777),))

    def test_fixed_seeds_are_dialled(self) -> None:
        self.seeds(Seed(SeedKind.FIXED, str(NODE)), Seed(SeedKind.FIXED, "node.example.org:24100"))
        self.assertEqual(self.node.dialled, [NODE, PeerAddress("node.example.org", 24_100)])

    def test_nobody_is_asked_while_the_node_does_not_seek(self) -> None:
        self.node.seeks = False
        self.seeds(Seed(SeedKind.FIXED, str(NODE)), dns(), listed())
        self.pass_time(3600)
        self.assertEqual((self.asked, self.node.dialled), ([], []))

    def test_every_failure_is_counted_and_named_once(self) -> None:
        """A source that fails for hours gives one line and a bounded number of requests."""
        self.answers = {NAME: RemoteError("unknown-host"), URL: b"<html>garbage</html>"}
        seeds = self.seeds(dns(), listed())
        self.pass_time(4 * 3600)
        self.assertEqual(self.ours(), ["warn", "warn"])
        kinds = dict(seeds.seeding.outcomes.keys())
        self.assertEqual(kinds, {"dns": "unknown-host", "list": "seed-list-malformed"})
        self.assertLess(len(self.asked), 2 * 15)

    def test_each_way_a_list_can_be_wrong_has_its_name(self) -> None:
        for name, answer in (
            ("seed-list-expired", a_list(START // SECOND - 5, issued=START // SECOND - 9)),
            ("seed-list-key", a_list(key=key(51))),
            ("seed-list-network", a_list(network="mainnet")),
            ("seed-list-genesis", a_list(genesis=bytes(31) + b"\x01")),
            ("seed-list-signature", a_list().replace(b"24100", b"24101")),
            ("http-redirects", RemoteError("http-redirects")),
        ):
            self.answers = {URL: answer}
            seeds = self.seeds(listed())
            self.assertEqual(list(seeds.seeding.outcomes), [("list", name)])
        self.assertEqual(self.node.told, [])

    def test_one_that_hangs_delays_nobody(self) -> None:
        self.answers = {NAME: Deferred(), URL: a_list()}
        self.seeds(dns(), listed())
        self.pass_time(10)
        self.assertEqual([source for source, _ in self.node.told], [URL])

    def test_a_bug_is_logged_and_asked_again(self) -> None:
        self.answers = {NAME: ZeroDivisionError(), URL: a_list()}
        seeds = self.seeds(dns(), listed())
        self.pass_time(10)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), self.asked.count(NAME))
        self.assertIn(("dns", "internal-error"), seeds.seeding.outcomes)
        self.assertEqual([source for source, _ in self.node.told], [URL])

    def test_stop_gives_up_what_is_asked_for(self) -> None:
        cancelled: list[object] = []
        self.answers = {NAME: Deferred(cancelled.append)}
        seeds = self.seeds(dns())
        self.stop(seeds)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.node.told, self.ours()), ([], []))


class CacheTests(SeedsCase):
    def test_last_good_answer_stands_in_for_a_source_that_fails(self) -> None:
        self.answers = {NAME: ["192.0.2.1"], URL: a_list()}
        again = self.seeds(dns(), listed())
        self.pass_time(10)
        good = dict(self.node.told)
        self.stop(again)
        self.node.told.clear()
        self.answers = {}
        self.seeds(dns(), listed())
        self.pass_time(1)
        self.assertEqual(dict(self.node.told), good)

    def test_answer_that_has_ended_is_not_used(self) -> None:
        self.answers = {NAME: ["192.0.2.1"], URL: a_list()}
        seeds = self.seeds(dns(), listed())
        self.pass_time(10)
        self.stop(seeds)
        self.node.told.clear()
        self.answers = {}
        self.node.time = START + 3600 * SECOND
        self.seeds(dns(), listed())
        self.pass_time(1)
        self.assertEqual([source for source, _ in self.node.told], [NAME])
        self.node.time = START + KEPT
        self.pass_time(60)
        self.assertEqual([source for source, _ in self.node.told], [NAME])

    def test_file_that_is_garbage_costs_one_line(self) -> None:
        for text in ("", "{", "[]", "null", '{"format": 2}', f'{{"format": 1, "answers": {{"{NAME}": 7}}}}'):
            self.path.write_text(text)
            self.lines.clear()
            self.stop(self.seeds(dns()))
            self.assertEqual(self.ours().count("warn"), 2, text)

    def test_sources_that_are_configured_no_more_are_forgotten(self) -> None:
        self.answers = {NAME: ["192.0.2.1"]}
        self.stop(self.seeds(dns()))
        cache = SeedCache(self.path, ["other.example.org"])
        self.assertEqual(cache.load(), "")
        self.assertEqual(cache.get(NAME, START), ())

    def test_disk_that_does_not_take_it_costs_one_line(self) -> None:
        def full(path: str, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        self.answers = {NAME: ["192.0.2.1"]}
        self.seeds(dns(), replace=full)
        self.pass_time(1)
        self.assertEqual(len(self.node.told), 1)
        self.assertEqual(self.ours(), ["info", "warn"])


class ConfigurationTests(SynchronousTestCase):
    def settings(self, *assignments: str) -> Any:
        overrides = [override(*each.split("=", 1), "--set") for each in assignments]
        return load(None, overrides, node_id=4).settings.p2p

    def test_every_kind_of_source_can_be_written(self) -> None:
        p2p = self.settings(
            f"p2p.seeds={NODE}, node.example.org:1", f"p2p.dns_seeds={NAME}, {NAME}:7777",
            f"p2p.seed_urls={URL} http://192.0.2.1:8080/x", f"p2p.seed_keys={SIGNER.public.hex()}",
        )  # fmt: skip
        self.assertEqual([seed.kind for seed in seeds_of(p2p)], [0, 0, 1, 1, 2, 2])
        self.assertEqual(p2p.seed_keys, (SIGNER.public,))

    def test_what_is_no_source_is_refused_by_name(self) -> None:
        for assignment in (
            "p2p.seeds=example.org", "p2p.dns_seeds=http://x", "p2p.dns_seeds=x:0", "p2p.seed_urls=ftp://x/",
            "p2p.seed_urls=x", "p2p.seed_keys=12", "p2p.seeds=" + " ".join(f"h{n}:1" for n in range(17)),
        ):  # fmt: skip
            error = self.assertRaises(ConfigError, self.settings, assignment)
            self.assertIn(assignment.partition("=")[0], str(error))

    def test_lists_without_a_key_to_believe_are_refused(self) -> None:
        error = self.assertRaises(ConfigError, self.settings, f"p2p.seed_urls={URL}")
        self.assertIn("p2p.seed_keys", str(error))


class ProcessTests(ServicesCase):
    """Two composed nodes on loopback, the second of which knows nobody."""

    async def joined(self, *assignments: str) -> tuple[int, str]:
        """How many peers the second node finds, once it has one; and its log."""
        other = self.compose("p2p.peers=", node_id=5)
        other.startService()
        first_directory, first_rpc = self.directory, self.rpc
        self.addCleanup(setattr, self, "directory", first_directory)
        self.directory = Path(self.mktemp()).absolute()
        seed = f"127.0.0.1:{self.p2p}"
        self.p2p, self.rpc, self.monitor = free_ports(3)
        node = self.compose("p2p.peers=", *(each.format(seed=seed) for each in assignments), node_id=6)
        node.startService()
        try:
            while not await self.ask("getconnectioncount"):
                await self.turn()
            return int(str(await self.ask("getconnectioncount"))), self.out.getvalue()
        finally:
            await node.stopService()
            self.directory, self.rpc = first_directory, first_rpc
            await other.stopService()

    def turn(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        run: Any = reactor
        run.callLater(0.05, done.callback, None)
        return done

    def serve(self, answer: Callable[[Any], Any]) -> str:
        listen: Any = reactor
        port = listen.listenTCP(0, Site(Page(answer)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/"

    async def test_node_joins_through_a_fixed_seed_while_discovery_is_broken(self) -> None:
        """F13: discovery down, redirecting for ever, garbage, silent; the seed is reached in bounded time."""
        (down,) = free_ports(1)
        urls = [
            f"http://127.0.0.1:{down}/",
            self.serve(redirect(b"/")),
            self.serve(lambda request: b"<html>garbage</html>"),
            self.serve(lambda request: NOT_DONE_YET),
        ]
        peers, log = await self.joined(
            "p2p.seeds={seed}", f"p2p.seed_urls={' '.join(urls)}", f"p2p.seed_keys={'12' * 32}"
        )
        self.assertEqual(peers, 1)
        self.assertNotIn("Traceback", log)

    async def test_node_joins_through_a_signed_list(self) -> None:
        issued = int(time.time())
        place = PeerAddress("127.0.0.1", self.p2p, key(9).public)
        data = seedlist.sign(
            "regtest", builtin_regtest().hash, issued, issued + 3600, [place], SIGNER
        ).encode()
        url = self.serve(lambda request: data)
        peers, log = await self.joined(f"p2p.seed_urls={url}", f"p2p.seed_keys={SIGNER.public.hex()}")
        self.assertEqual(peers, 1)
        self.assertIn("gave 1 addresses, 1 of them in the address book", log)

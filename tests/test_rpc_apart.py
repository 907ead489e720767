"""A process that answers RPC without a node: what it reads, what it hands on, whom it lets in."""

from __future__ import annotations

import os
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.app_world import ThreadsOnClock
from tests.builders import ChainBuilder, genesis
from tests.rpc_service import ServiceTestCase, fetch, make_context
from tests.rpc_world import RpcTestCase
from timed.app.config import load, override
from timed.app.datadir import attach
from timed.client.message import authorization
from timed.errors import ConfigError, StoreError, StoreUnmade
from timed.rpc.apart import FORWARDED, ApartDesk
from timed.rpc.auth import COOKIE_USER, write_cookie
from timed.rpc.dispatch import Dispatcher, Forward
from timed.rpc.errors import RpcError
from timed.rpc.followed import CookieFollower
from timed.rpc.handlers import HANDLERS
from timed.rpc.method import READ
from timed.rpc.placing import Place, place_of
from timed.rpc.table import METHODS
from timed.store.database import TABLES, Database
from timed.store.environment import DATA_FILE, open_tables
from timed.store.lmdb import LmdbStore
from timed.store.shared import SharedStore

GENESIS = genesis(1)


class SharedStoreTests(SynchronousTestCase):
    """The store of another process; here that process is this one."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self.shared = SharedStore(self.directory, GENESIS.params.name, GENESIS.hash)
        self.addCleanup(self.shared.close)

    def write(self, blocks: int) -> None:
        """A chain of so many blocks, whose files are left as a killed process would leave them."""
        copy = self.directory + ".made"
        store = LmdbStore(copy, GENESIS.params.name, GENESIS.hash)
        chain = ChainBuilder(GENESIS, store)
        for _ in range(blocks):
            chain.extend([])
        store.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.rename(copy, self.directory)

    def height(self) -> int:
        tip = self.shared.tip()
        assert tip is not None
        return tip.height

    def test_what_is_not_there_yet_is_said_and_found_later(self) -> None:
        error = self.assertRaises(StoreError, self.height)
        self.assertIn("holds no store", str(error))
        self.write(2)
        self.assertEqual(self.height(), 2)

    def test_files_that_were_replaced_are_opened_anew(self) -> None:
        self.write(2)
        self.assertEqual((self.height(), self.height(), self.shared.openings), (2, 2, 1))
        self.write(3)
        self.assertEqual((self.height(), self.shared.openings), (3, 2))

    def test_a_snapshot_is_of_one_moment(self) -> None:
        self.write(2)
        with self.shared.snapshot() as reads:
            tip = reads.tip()
            assert tip is not None
            self.assertEqual(tip.height, 2)
            self.assertEqual(len(list(reads.coins())), tip.coins)

    def test_it_takes_no_lock_and_writes_nothing(self) -> None:
        self.write(1)
        before = {name for _, _, names in os.walk(self.directory) for name in names}
        self.height()
        self.shared.close()
        owner = LmdbStore(self.directory, GENESIS.params.name, GENESIS.hash)
        owner.close()
        self.assertEqual({name for _, _, names in os.walk(self.directory) for name in names}, before)

    def test_another_chain_s_store_is_refused(self) -> None:
        self.write(1)
        other = SharedStore(self.directory, GENESIS.params.name, bytes(32))
        self.assertIn("belongs to a chain with genesis", str(self.assertRaises(StoreError, other.tip)))


class Cookies(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.follower = CookieFollower(self.path)

    def known(self, password: str) -> bool:
        header = authorization(COOKIE_USER, password).encode()
        return self.follower.caller(header) is not None

    def written(self) -> str:
        write_cookie(self.path)
        return Path(self.path).read_text(encoding="ascii").partition(":")[2]

    def test_without_one_nobody_is_let_in(self) -> None:
        self.assertFalse(self.known(""))

    def test_the_newest_counts_and_the_one_before_does_not(self) -> None:
        old = self.written()
        self.assertTrue(self.known(old))
        new = self.written()
        self.assertEqual((self.known(old), self.known(new)), (False, True))

    def test_it_stays_good_while_the_chain_process_is_away(self) -> None:
        password = self.written()
        self.assertTrue(self.known(password))
        os.unlink(self.path)
        self.assertTrue(self.known(password))

    def test_a_file_that_is_none_lets_nobody_in(self) -> None:
        for text in ("", ":", f"{COOKIE_USER}:", "somebody:x"):
            Path(self.path).write_text(text, encoding="ascii")
            self.follower = CookieFollower(self.path)
            self.assertFalse(self.known(""), text)
            self.assertFalse(self.known("x"), text)


class Handing(RpcTestCase):
    """What a dispatcher hands on, it hands on whole."""

    def setUp(self) -> None:
        super().setUp()
        self.handed: list[tuple[str, Any, frozenset[str]]] = []
        self.world.environment.backend = None
        self.world.dispatcher = Dispatcher(
            HANDLERS,
            self.world.environment,
            pause=self.world.dispatcher._pause,
            failed=lambda *what: self.world.failures.append(what),
            forward=Forward(FORWARDED, self.call),
        )

    async def call(self, method: str, params: Any, caller: Any) -> Any:
        self.handed.append((method, params, caller.permissions))
        raise RpcError(-1, "x", rule="handed", hint="x")

    def test_what_needs_the_node_is_handed_on_with_what_was_given(self) -> None:
        error = self.world.error("sendtoaddress", "no address at all", Decimal("0.1"))
        self.assertEqual(error["data"]["rule"], "handed")
        [(method, params, permissions)] = self.handed
        self.assertEqual((method, params[0]), ("sendtoaddress", "no address at all"))
        self.assertLessEqual({READ}, permissions)

    def test_who_may_not_call_it_here_is_refused_here(self) -> None:
        reply = self.successResultOf(
            self.world.answer('{"jsonrpc": "2.0", "id": 1, "method": "stop"}', (READ,))
        )
        self.assertEqual((reply.status, self.handed), (403, []))

    def test_every_method_has_its_place_and_what_is_of_the_node_goes_there(self) -> None:
        self.assertEqual(set(HANDLERS), set(METHODS))
        for name in FORWARDED:
            self.world.error(name)
        self.assertEqual({method for method, _, _ in self.handed}, FORWARDED)
        here = set(METHODS) - FORWARDED
        self.assertEqual(
            {place_of(HANDLERS[name]) for name in here}, {Place.SNAPSHOT, Place.BLOCKS, Place.ANYWHERE}
        )

    def test_what_is_in_the_blocks_is_answered_here(self) -> None:
        self.assertEqual(self.world.result("getblockcount"), 0)
        self.assertEqual(self.world.result("getblock", 0)["height"], 0)
        self.assertIn("getblock", self.world.result("help"))
        self.assertEqual(self.handed, [])


class Starting(SynchronousTestCase):
    def config(self, *settings: str) -> Any:
        entries = [override(*setting.split("=", 1), "test") for setting in settings]  # type: ignore[call-arg]
        return load(None, entries, node_id=1)

    def test_it_is_apart_when_rpc_runs_without_the_chain(self) -> None:
        for enabled, apart in (("rpc", True), ("rpc monitor", True), ("chain rpc", False), ("chain", False)):
            self.assertIs(self.config(f"services.enabled={enabled}").apart, apart, enabled)

    def test_a_directory_without_a_node_is_named(self) -> None:
        path = Path(self.mktemp())
        error = self.assertRaises(ConfigError, attach, path)
        self.assertIn("is no data directory of a node", str(error))
        self.assertFalse(path.exists())

    def test_the_socket_stands_in_the_data_directory(self) -> None:
        config = self.config("services.enabled=rpc")
        self.assertEqual(config.socket_file, config.datadir / "node.sock")


class FirstStart(TestCase):
    """Started with the chain process for the very first time, while that one is still making its store."""

    timeout = 60

    def setUp(self) -> None:
        self.prepare()

    def prepare(self) -> None:
        """A data directory of its own."""
        self.context = make_context(
            self.mktemp(), chain=False, others={"services.enabled": "rpc", "rpc.socket": "/nowhere/node.sock"}
        )
        self.chain = self.context.datadir.chain
        self.database = self.chain / "db"

    def desk(self) -> ApartDesk:
        desk = ApartDesk(self.context)  # type: ignore[arg-type]
        self.addCleanup(lambda: Deferred.fromCoroutine(desk.stop()))
        desk.start()
        return desk

    async def height(self, desk: ApartDesk) -> int:
        assert desk.parts.reader is not None
        height: int = await desk.parts.reader.read(lambda snapshot: snapshot.tip().height)
        return height

    def nothing(self) -> None:
        """Not even the directory."""

    def directories(self) -> None:
        self.database.mkdir(parents=True)

    def empty_file(self) -> None:
        self.directories()
        (self.database / DATA_FILE).touch()

    def half_of_the_tables(self) -> None:
        self.directories()
        environment, _ = open_tables(str(self.database), TABLES[:3])
        environment.close()

    def no_identity(self) -> None:
        self.directories()
        Database(str(self.database)).close()

    async def test_what_is_not_there_yet_is_waited_for_and_named(self) -> None:
        for stage in (
            self.nothing, self.directories, self.empty_file, self.half_of_the_tables, self.no_identity,
        ):  # fmt: skip
            self.prepare()
            stage()
            desk = self.desk()
            found = await self.assertFailure(Deferred.fromCoroutine(self.height(desk)), StoreUnmade)
            self.assertIn(str(self.chain), found.message, stage.__name__)
            self.assertIn("chain process", found.hint, stage.__name__)
            shutil.rmtree(self.chain, ignore_errors=True)
            store = LmdbStore(str(self.chain), self.context.params.name, self.context.genesis.hash)
            store.commit(self.context.genesis.commit())
            store.close()
            self.assertEqual(await self.height(desk), 0, stage.__name__)

    async def test_another_chain_s_store_still_ends_the_start(self) -> None:
        LmdbStore(str(self.chain), self.context.params.name, bytes(32)).close()
        error = self.assertRaises(StoreError, self.desk)
        self.assertIn("belongs to a chain with genesis", str(error))


class LongAnswers(SynchronousTestCase):
    def test_the_reactor_has_its_turn_between_two_pages_of_events(self) -> None:
        context = make_context(
            self.mktemp(), chain=False, others={"services.enabled": "rpc", "rpc.socket": "/nowhere/node.sock"}
        )
        clock = context.reactor = ThreadsOnClock()
        environment = ApartDesk(context)._make_environment()  # type: ignore[arg-type]

        async def pause() -> None:
            await environment.pause()

        paused = Deferred.fromCoroutine(pause())
        self.assertNoResult(paused)
        clock.advance(0)
        self.successResultOf(paused)


class Ready(ServiceTestCase):
    async def test_a_load_balancer_needs_no_credentials(self) -> None:
        for method in ("GET", "HEAD"):
            status, _, _ = await self.in_thread(fetch, self.rpc_port, method, "/ready")
            self.assertEqual(status, 200)
        status, _, _ = await self.in_thread(fetch, self.rpc_port, "POST", "/ready")
        self.assertEqual(status, 404)

    async def test_a_process_that_stops_says_so(self) -> None:
        assert self.rpc.site is not None
        endpoint: Any = self.rpc.site.handle
        endpoint._unready = lambda: "stopping"
        status, _, body = await self.in_thread(fetch, self.rpc_port, "GET", "/ready")
        self.assertEqual((status, body), (503, b"stopping\n"))

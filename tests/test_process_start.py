"""A node that cannot start beside one that runs: one sentence, exit status 1, never a traceback."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.process_world import HOST, ProcessCase
from timed.app.datadir import CHAIN, DAEMON_LOG, NODE_KEY, OPERATOR_KEY
from timed.params import REGTEST
from timed.store.lmdb import LmdbStore
from timed.testnet.freeports import free_ports


class RefusalTests(ProcessCase):
    """The configuration of a running node with something changed; that node does not care."""

    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node(1)
        self.ports = free_ports(3)

    def refused(self, sentence: str, **changes: str) -> None:
        """It cannot start with node 1's configuration, on free ports, with these lines changed."""
        done = self.world.start_in_vain(self.changed(**changes))
        self.assertIn(sentence, done.stderr)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertTrue(done.stderr.startswith("timed: "))
        self.assertNotIn("Traceback", done.stdout + done.stderr)

    def changed(self, **changes: str) -> Path:
        text = self.node.ini.read_text()
        for name, port in zip(("p2p", "rpc", "monitor"), self.ports, strict=True):
            text = text.replace(f"port = {getattr(self.node, f'{name}_port')}", f"port = {port}")
        for key, value in changes.items():
            text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        ini = self.world.plan.directory / "refused.ini"
        ini.write_text(text)
        return ini

    def test_a_busy_port(self) -> None:
        self.ports[1] = self.node.rpc_port
        self.refused(f"port {self.node.rpc_port} on {HOST} is in use by another program.")

    def test_data_that_another_process_uses(self) -> None:
        self.refused(f"another process uses {self.node.datadir / 'chain'}.")

    def test_a_directory_of_somebody_else(self) -> None:
        foreign = self.directory()
        (foreign / "letter.txt").write_text("private")
        self.refused(f"the data directory {foreign} holds files that are not timed's.", datadir=str(foreign))
        self.assertEqual([path.name for path in foreign.iterdir()], ["letter.txt"])

    def test_a_directory_that_cannot_be_made(self) -> None:
        self.refused("the data directory /proc/timed cannot be used:", datadir="/proc/timed")

    def test_data_of_another_chain(self) -> None:
        """The store, not the directory, knows whose it is."""
        other = self.directory()
        for name in (NODE_KEY, OPERATOR_KEY):
            shutil.copy(self.node.datadir / name, other / name)
        LmdbStore(str(other / CHAIN), REGTEST.name, bytes(32)).close()
        self.refused("belongs to a chain with genesis", datadir=str(other))

    def without_cookie(self) -> tuple[Path, str]:
        """A data directory in which the cookie cannot be written, and what is said of it."""
        other = self.directory()
        for name in (NODE_KEY, OPERATOR_KEY):
            shutil.copy(self.node.datadir / name, other / name)
        (other / ".cookie").mkdir()
        return other, f"cannot write the RPC cookie {other / '.cookie'}: Is a directory."

    def test_a_cookie_that_cannot_be_written(self) -> None:
        """The wallet is open by then; its thread would keep the process for ever."""
        other, sentence = self.without_cookie()
        self.refused(sentence, datadir=str(other))

    def test_a_daemon_tells_whoever_waits_for_its_start_and_its_log(self) -> None:
        """Its own standard error is closed by then."""
        other, sentence = self.without_cookie()
        done = self.world.start_in_vain(self.changed(datadir=str(other)), daemon=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write the RPC cookie", done.stderr)
        log = (other / DAEMON_LOG).read_text()
        self.assertIn(f"the node cannot start: {sentence}", log)
        self.assertNotIn("in good order", log.replace("not in good order", ""))

    def test_a_key_nobody_knows(self) -> None:
        self.refused("there is no key node.membr. The nearest is node.member.", member="yes\nmembr = yes")

    def tearDown(self) -> None:
        self.assertGreaterEqual(self.world.call(1, "getblockcount"), 0)

"""The configuration: one table, strict files, errors an operator can act on."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.app.config import load, override, settings_from
from timed.app.inifile import parse_ini
from timed.app.samples import samples
from timed.app.schema import P2PSection, Settings, keys
from timed.errors import ConfigError
from timed.peer.location import parse_peer
from timed.peer.values import PeerAddress

ROOT = Path(__file__).resolve().parent.parent


def settings(text: str) -> Settings:
    return settings_from(parse_ini(text, "node.ini"))


class ReadingIni(SynchronousTestCase):
    def refusal(self, text: str) -> str:
        return str(self.assertRaises(ConfigError, settings, text))

    def test_values_replace_the_defaults_of_their_keys_only(self) -> None:
        found = settings("[p2p]\nport = 7123\n")
        self.assertEqual(found.p2p.port, 7123)
        self.assertEqual(found.rpc, Settings().rpc)

    def test_indented_lines_continue_a_value(self) -> None:
        found = settings("[p2p]\npeers = a:1,\n    b:2\n")
        self.assertEqual(found.p2p.peers, (PeerAddress("a", 1), PeerAddress("b", 2)))

    def test_an_indented_line_behind_the_head_of_a_section_continues_nothing(self) -> None:
        found = settings("[node]\ndatadir = /srv/timed\n[p2p]\n  port = 7123\n")
        self.assertEqual((found.node.datadir, found.p2p.port), ("/srv/timed", 7123))

    def test_comments_and_empty_lines_are_skipped(self) -> None:
        self.assertEqual(settings("# one\n\n; two\n[log]\n# level = debug\n"), Settings())

    def test_an_unknown_key_names_file_line_key_and_the_nearest_one(self) -> None:
        self.assertEqual(
            self.refusal("[p2p]\n\nprot = 1\n"),
            "node.ini:3: there is no key p2p.prot. The nearest is p2p.port.",
        )

    def test_a_key_in_the_wrong_section_is_pointed_to_its_own(self) -> None:
        self.assertIn("The nearest is p2p.max_inbound.", self.refusal("[rcp]\nmax_inbound = 1\n"))

    def test_a_bad_value_names_file_line_and_key(self) -> None:
        cases = {
            "[p2p]\nport = 70000": "node.ini:2: p2p.port must be a port between 1 and 65535 or 'auto', not '70000'.",
            "[p2p]\nport = many": "node.ini:2: p2p.port must be a whole number, not 'many'.",
            "[p2p]\nplain = true": "node.ini:2: p2p.plain must be yes or no, not 'true'.",
            "[p2p]\nrates = votes:999": "node.ini:2: p2p.rates gives 'votes' 999 a second, not between 1000 and 1000000.",
            "[p2p]\nrates = votes:2000 votes:3000": "node.ini:2: p2p.rates names 'votes' twice.",
            "[p2p]\nmax_inbound = -1": "node.ini:2: p2p.max_inbound must lie between 0 and 10000, not -1.",
            "[node]\nnetwork = main": "node.ini:2: node.network must be one of mainnet, testnet, regtest, not 'main'.",
            "[p2p]\npeers = a": "node.ini:2: p2p.peers names the peer 'a', which is not host:port.",
            "[p2p]\ndns_seeds = http://a.b": "node.ini:2: p2p.dns_seeds names 'http://a.b', which is not a name or name:port.",
            "[services]\nenabled = rpc rpc": "node.ini:2: services.enabled names something twice.",
        }
        for text, sentence in cases.items():
            self.assertEqual(self.refusal(text), sentence)

    def test_a_key_given_twice_is_refused_with_both_places(self) -> None:
        self.assertEqual(
            self.refusal("[p2p]\nport = 1\nport = 2\n"),
            "node.ini:3: p2p.port was already given at node.ini:2.",
        )

    def test_lines_that_are_no_assignment_are_refused(self) -> None:
        self.assertIn("is not 'key = value'", self.refusal("[p2p]\nport\n"))
        self.assertIn("stands before the first [section]", self.refusal("port = 1\n"))
        self.assertIn("lacks its closing bracket", self.refusal("[p2p\n"))


class PeerAddresses(SynchronousTestCase):
    def test_what_is_shown_is_what_is_parsed(self) -> None:
        for peer in (
            PeerAddress("127.0.0.1", 7000),
            PeerAddress("::1", 7000, bytes(range(32))),
            PeerAddress("node.example", 1, b"\xff" * 32),
        ):
            self.assertEqual(parse_peer(str(peer)), peer)

    def test_what_is_no_host_or_no_port_is_refused(self) -> None:
        for text in (
            "",
            "h",
            "h:",
            ":1",
            "h:0",
            "h:65536",
            "h:1 ",
            "h:١",
            "h:-1",
            "h h:1",
            "h\0:1",
            "a" * 256 + ":1",
            "h:000001",
        ):
            with self.assertRaises(ValueError, msg=text):
                parse_peer(text)

    def test_a_node_id_of_the_wrong_length_is_refused(self) -> None:
        for text in ("ab@h:1", "@h:1", "zz" * 32 + "@h:1", "ab " * 21 + "a@h:1"):
            self.assertIn("64 hexadecimal digits", str(self.assertRaises(ValueError, parse_peer, text)))


class Samples(SynchronousTestCase):
    def test_the_files_in_etc_are_the_generated_ones(self) -> None:
        for name, text in samples().items():
            self.assertEqual((ROOT / "etc" / name).read_text(encoding="utf-8"), text)

    def test_a_sample_with_every_mark_removed_is_the_defaults(self) -> None:
        text = samples()["node.ini"]
        lines = [line[1:] if line.startswith("#") and line[1] != " " else line for line in text.splitlines()]
        self.assertEqual(settings("\n".join(lines)), Settings())
        for row in keys():
            self.assertIn(f"\n#{row.name} =", text)

    def test_the_regtest_sample_is_regtest(self) -> None:
        self.assertEqual(load(str(ROOT / "etc" / "node.regtest.ini")).params.name, "regtest")


class NodeId(SynchronousTestCase):
    def test_node_n_has_the_ports_directory_and_peers_of_the_roadmap(self) -> None:
        config = load(node_id=2, cwd=self.mktemp())
        self.assertEqual((config.p2p_port, config.rpc_port, config.monitor_port), (7001, 8001, 9001))
        self.assertEqual(config.datadir.name, "timed-2")
        self.assertEqual([peer.port for peer in config.settings.p2p.peers], [7000, 7002])
        self.assertEqual(config.builtin_member, 2)
        self.assertEqual(config.params.name, "regtest")

    def test_the_other_ports_follow_the_p2p_port(self) -> None:
        config = load(None, [override("p2p.port", "7500", "--p2p-port")], node_id=1)
        self.assertEqual((config.rpc_port, config.monitor_port), (8500, 9500))

    def test_nodes_beyond_the_built_in_members_follow(self) -> None:
        config = load(node_id=4)
        self.assertIsNone(config.builtin_member)
        self.assertFalse(config.settings.node.member)
        self.assertEqual([peer.port for peer in config.settings.p2p.peers], [7000, 7001, 7002])

    def test_zero_is_refused(self) -> None:
        self.assertIn("--node-id", str(self.assertRaises(ConfigError, lambda: load(node_id=0))))


class CrossChecks(SynchronousTestCase):
    def refusal(self, *assignments: str) -> str:
        entries = [override(*assignment.split("="), "--set") for assignment in assignments]
        return str(self.assertRaises(ConfigError, lambda: load(None, entries)))

    def test_plain_tcp_is_for_regtest(self) -> None:
        self.assertIn(
            "p2p.plain is not allowed on mainnet", self.refusal("node.network=mainnet", "p2p.plain=yes")
        )

    def test_the_old_way_of_speaking_is_for_regtest(self) -> None:
        for key, value in (("encoding", "json"), ("batching", "no"), ("priorities", "no")):
            refusal = self.refusal("node.network=testnet", f"p2p.{key}={value}")
            self.assertIn(f"p2p.{key} {value} is not allowed on testnet. Only regtest", refusal)
            settings = load(
                None, [override("node.network", "regtest", ""), override(f"p2p.{key}", value, "")]
            ).settings
            self.assertNotEqual(settings.p2p, P2PSection())

    def test_the_reference_backend_is_for_regtest(self) -> None:
        self.assertIn(
            "crypto.backend reference is not allowed on testnet", self.refusal("crypto.backend=reference")
        )

    def test_two_services_cannot_share_a_port(self) -> None:
        self.assertIn("rpc.port and monitor.port are both 99", self.refusal("rpc.port=99", "monitor.port=99"))

    def test_a_derived_port_must_be_one(self) -> None:
        self.assertIn("rpc.port would be 66000", self.refusal("p2p.port=65000"))

    def test_the_data_directory_counts_from_the_file(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "node.ini").write_text("[node]\nnetwork = regtest\ndatadir = data/{network}\n")
        config = load(str(directory / "node.ini"))
        self.assertEqual(str(config.datadir), os.path.abspath(directory / "data" / "regtest"))

    def test_a_home_that_nobody_knows_is_one_sentence(self) -> None:
        for entries, path in (
            ([override("node.datadir", "~no-such-user/timed", "--set")], None),
            ([], "~no-such-user/node.ini"),
        ):
            error = self.assertRaises(ConfigError, load, path, entries)
            self.assertIn("the home directory in ~no-such-user/", str(error))

    def test_a_missing_file_is_one_sentence(self) -> None:
        message = self.assertRaises(ConfigError, load, "nowhere.ini").message
        self.assertEqual(message, "cannot read the configuration nowhere.ini: there is no such file.")

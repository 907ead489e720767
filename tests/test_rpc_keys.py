"""The methods about the wallet's keys: what they answer, what they keep to themselves, what is on the disk."""

from __future__ import annotations

import itertools
import json
import os
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import wallet_key
from tests.rpc_world import FRIEND, address_of
from tests.wallet_world import PASSPHRASE, KeysWorld
from timed.errors import WrongPassphrase
from timed.ledger.regtest import well_known_key
from timed.primitives.transaction import Lock
from timed.rpc.method import REQUIRED
from timed.rpc.table import METHODS
from timed.rpc.tables import keys
from timed.wallet.keystore import POOL, POOL_SIZE
from timed.wallet.walletfile import WalletFile

COIN = 10**8


class KeysCase(SynchronousTestCase):
    """A test with a wallet that has a seed phrase."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = os.path.abspath(os.path.join(self.directory, "wallet.json"))
        self.world = KeysWorld(self.path)
        self.result, self.error = self.world.result, self.world.error
        self.worlds = [self.world]

    def tearDown(self) -> None:
        for world in self.worlds:
            world.custody.close()
            world.host.file.close()
            self.assertEqual(world.failures, [])

    def another(self, number: int) -> KeysWorld:
        """Another wallet on the same kind of chain."""
        world = KeysWorld(os.path.join(os.path.abspath(self.directory), f"wallet-{number}.json"), number)
        self.worlds.append(world)
        return world

    def code(self, method: str, *params: Any) -> tuple[int, str]:
        error = self.error(method, *params)
        self.assertTrue(error["data"]["hint"], error)
        return error["code"], error["data"]["rule"]

    def disk(self) -> str:
        """Everything in the wallet's directory, its history too."""
        files = sorted(each for each in Path(self.directory).rglob("*") if each.is_file())
        return "".join(each.read_text("latin-1") for each in files)


class Passphrases(KeysCase):
    def test_an_encrypted_wallet_leaves_no_secret_on_the_disk(self) -> None:
        words = self.result("exportmnemonic")["mnemonic"]
        secrets = [well_known_key("wallet", 1).seed.hex(), self.world.wallet.keys.seed.secret.hex()]
        for secret in secrets:
            self.assertIn(secret, self.disk())
        old = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, old)
        self.assertIn("destroy", self.result("encryptwallet", PASSPHRASE))
        for secret in [*secrets, words]:
            self.assertNotIn(secret, self.disk())
        # The bytes of before are overwritten, for whoever still holds the file or reads the blocks.
        self.assertEqual(os.read(old, 1 << 20).strip(b"\0"), b"")

    def test_a_locked_wallet_receives_and_does_not_pay(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        self.assertTrue(self.result("getnewaddress").startswith("TIMER"))
        friend = address_of(FRIEND, self.world)
        mine = address_of(well_known_key("wallet", 1), self.world)
        locked = (-13, "wallet-locked")
        self.assertEqual(self.code("sendtoaddress", friend, "1"), locked)
        self.assertEqual(self.code("signmessage", mine, "x"), locked)
        self.assertEqual(self.code("dumpprivkey", mine), locked)
        self.assertEqual(self.code("exportmnemonic"), locked)
        self.assertEqual(self.code("sethdseed"), locked)
        self.assertEqual(self.code("importprivkey", "11" * 32), locked)
        self.assertEqual(self.code("restorewallet", "zoo " * 11 + "wrong"), locked)
        self.assertEqual(len(self.world.wallet.reservations), 0)
        self.assertEqual(self.result("getwalletinfo")["keypoolsize_hd_internal"], POOL_SIZE)
        self.result("walletpassphrase", PASSPHRASE, 60)
        self.assertEqual(len(self.result("sendtoaddress", friend, "1")), 64)

    def test_the_pool_of_a_locked_wallet_ends_with_a_hint(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        for _ in range(POOL_SIZE):
            self.result("getnewaddress")
        self.assertEqual(self.code("getnewaddress"), (-12, "wallet-pool"))
        self.result("walletpassphrase", PASSPHRASE, 1)
        self.result("getnewaddress")

    def test_it_locks_itself_when_the_time_is_over(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        self.result("walletpassphrase", PASSPHRASE, 10)
        info = self.result("getwalletinfo")
        self.assertEqual((info["encrypted"], info["locked"], info["unlocked_for_s"]), (True, False, 10))
        self.world.advance(5)
        self.result("walletpassphrase", PASSPHRASE, 10)
        self.world.advance(9)
        self.assertFalse(self.result("getwalletinfo")["locked"])
        self.world.advance(1.5)
        self.assertTrue(self.result("getwalletinfo")["locked"])
        self.result("walletpassphrase", PASSPHRASE, 1000)
        self.result("walletlock")
        self.assertEqual(self.result("getwalletinfo")["unlocked_for_s"], 0)

    def test_after_a_lock_no_secret_is_in_memory(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        self.result("walletpassphrase", PASSPHRASE, 60)
        keys = self.world.wallet.keys
        key = keys._data_key
        self.result("walletlock")
        self.assertEqual(bytes(key._key), bytes(32))
        self.assertEqual([(seed.secret, seed.open) for seed in keys.seeds], [(b"", False)])
        self.assertEqual([each for each in keys if each.secret is not None], [])

    def test_a_wrong_passphrase_is_told_and_slows_down(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        for _ in range(3):
            self.assertEqual(self.code("walletpassphrase", "wrong", 60), (-14, "wallet-passphrase"))
        before = self.world.guesses
        self.assertEqual(self.code("walletpassphrase", PASSPHRASE, 60), (-14, "passphrase-delay"))
        self.assertEqual(self.code("walletpassphrasechange", PASSPHRASE, "x"), (-14, "passphrase-delay"))
        self.assertEqual(self.world.guesses, before)
        self.world.advance(1.1)
        self.assertEqual(self.code("walletpassphrase", "wrong", 60), (-14, "wallet-passphrase"))
        self.world.advance(1.1)
        self.assertEqual(self.code("walletpassphrase", PASSPHRASE, 60), (-14, "passphrase-delay"))
        self.world.advance(1)
        self.result("walletpassphrase", PASSPHRASE, 60)

    def test_the_right_passphrase_forgives_the_wrong_ones(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        for _ in range(3):
            for _ in range(2):
                self.assertEqual(self.code("walletpassphrase", "wrong", 60), (-14, "wallet-passphrase"))
            self.result("walletpassphrase", PASSPHRASE, 60)

    def test_no_passphrase_for_an_encrypted_backup_is_told_and_no_guess(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        copy = os.path.join(os.path.abspath(self.directory), "copy.json")
        self.result("backupwallet", copy)
        self.result("walletpassphrase", PASSPHRASE, 60)
        for _ in range(4):
            error = self.error("restorewallet", copy)
            self.assertEqual(error["code"], -14)
            self.assertIn("no passphrase was given", error["message"])
        self.result("restorewallet", copy, PASSPHRASE)

    def test_the_path_of_a_backup_is_not_read_as_a_phrase(self) -> None:
        """The node may run in another directory than the caller."""
        error = self.error("restorewallet", "backups/wallet.json")
        self.assertEqual(error["code"], -8)
        self.assertIn("the path of a backup must be absolute", error["message"])

    def test_a_path_that_no_file_has_is_the_caller_s_mistake(self) -> None:
        for method in ("backupwallet", "restorewallet"):
            error = self.error(method, "/no\0where")
            self.assertEqual((error["code"], error["data"]["rule"]), (-8, "backup"), method)

    def test_one_guess_at_a_time(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        waiting: Deferred[Any] = Deferred()
        self.world.custody._thread = lambda work: waiting
        first = self.world.begin("walletpassphrase", [PASSPHRASE, 60])
        self.assertEqual(self.code("walletpassphrase", PASSPHRASE, 60), (-9, "passphrase-busy"))
        self.world.custody.close()
        from timed.wallet.sealing import open_vault

        waiting.callback(open_vault(self.world.wallet.keys.vault, PASSPHRASE))
        # The node has stopped meanwhile: what the thread brings opens nothing any more.
        self.assertIn(b"-15", self.world.finish(first).body)
        self.assertTrue(self.world.wallet.keys.locked)

    def test_a_guess_whose_caller_has_left_is_one_all_the_same(self) -> None:
        """Else anybody may make any number of them at one time, each with its memory."""
        self.result("encryptwallet", PASSPHRASE)
        waiting: Deferred[Any] = Deferred()
        self.world.custody._thread = lambda work: waiting
        self.world.begin("walletpassphrase", ["wrong", 60]).cancel()
        self.assertEqual(self.code("walletpassphrase", PASSPHRASE, 60), (-9, "passphrase-busy"))
        waiting.errback(WrongPassphrase("it is another one."))
        self.assertEqual(self.world.custody._guesses.wrong, 1)
        self.world.custody._thread = lambda work: succeed(work())
        self.result("walletpassphrase", PASSPHRASE, 60)
        self.assertEqual(self.world.custody._guesses.wrong, 0)

    def test_the_passphrase_changes_as_a_whole(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        self.assertEqual(self.code("walletpassphrasechange", "wrong", "new"), (-14, "wallet-passphrase"))
        self.result("walletpassphrasechange", PASSPHRASE, "new")
        self.assertTrue(self.result("getwalletinfo")["locked"])
        self.assertEqual(self.code("walletpassphrase", PASSPHRASE, 60), (-14, "wallet-passphrase"))
        self.result("walletpassphrase", "new", 60)
        self.assertNotIn('"key": {"seed"', self.disk())

    def test_the_wrong_state_is_an_error_of_its_own(self) -> None:
        for method, params in (
            ("walletpassphrase", ["x", 1]), ("walletlock", []), ("walletpassphrasechange", ["x", "y"]),
        ):  # fmt: skip
            self.assertEqual(self.code(method, *params), (-15, "wallet-encryption"))
        self.assertEqual(self.code("encryptwallet", ""), (-8, "passphrase-form"))
        self.result("encryptwallet", PASSPHRASE)
        self.assertEqual(self.code("encryptwallet", PASSPHRASE), (-15, "wallet-encryption"))

    def test_secrets_need_the_administrator(self) -> None:
        for method, params in (
            ("exportmnemonic", []), ("dumpprivkey", ["x"]), ("encryptwallet", ["x"]), ("sethdseed", []),
            ("restorewallet", ["x"]), ("importprivkey", ["00" * 32]), ("backupwallet", ["/x"]),
        ):  # fmt: skip
            request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            reply = self.world.finish(self.world.answer(request, ("read", "wallet")))
            self.assertEqual(reply.status, 403, method)

    def test_no_secret_is_in_an_error_or_an_answer(self) -> None:
        """Every method with secrets as arguments, good and bad ones; only those that show a secret do."""
        words = self.result("exportmnemonic")["mnemonic"]
        seed = self.world.wallet.keys.seed.secret.hex()
        said = [self.world.exchange("getwalletinfo"), self.world.exchange("listaddresses")]
        said.append(self.world.exchange("encryptwallet", [PASSPHRASE]))
        for method, params in (
            ("walletpassphrase", [PASSPHRASE + "x", 5]), ("walletpassphrase", [PASSPHRASE, "5"]),
            ("walletpassphrase", [PASSPHRASE]), ("walletpassphrase", [PASSPHRASE, 5]),
            ("restorewallet", [words + " zoo"]), ("restorewallet", [words.replace(" ", "  zzz", 1)]),
            ("restorewallet", [words, PASSPHRASE, 1]), ("importprivkey", [seed[2:66] + "zz"]),
            ("importprivkey", [seed[2:66], 5]), ("walletpassphrasechange", [PASSPHRASE, ""]),
            ("checkwallet", []),
        ):  # fmt: skip
            said.append(self.world.exchange(method, params))
        text = repr(said) + repr(self.world.custody) + repr(self.world.environment)
        for secret in (PASSPHRASE, seed[2:66], *words.split()[:3]):
            self.assertNotIn(secret, text)


class Absurdities(KeysCase):
    """The same as tests.test_rpc_arguments asks of every method, of a wallet that can do everything."""

    def test_absurd_values_of_every_parameter_give_a_result_or_an_error_object(self) -> None:
        good = {"passphrase": PASSPHRASE, "timeout": 1, "gap": 20, "address": address_of(FRIEND, self.world)}
        good |= {
            "newpassphrase": "x",
            "oldpassphrase": "x",
            "privkey": "11" * 32,
            "pubkey": "22" * 32,
            "nrequired": 1,
        }
        values = [
            None,
            True,
            0,
            -1,
            2**70,
            1.5,
            "",
            " ",
            "x" * 5_000,
            "\x00",
            "\ud7ff",
            [],
            {},
            [[]],
            ["00"],
            {"a": 1},
        ]
        values += [
            "00",
            "00" * 32,
            "ff" * 40,
            "zoo " * 24,
            "/",
            "/dev/null",
            "/proc/self/mem",
            "../x",
            "timecoin:?",
        ]
        tables = (
            keys.METHODS,
            [METHODS[name] for name in ("getnewaddress", "sendtoaddress", "validateaddress")],
        )
        for _ in range(2):
            for method in itertools.chain(*tables):
                for number in range(len(method.params)):
                    for value in values:
                        params = [good.get(param.name, param.default) for param in method.params]
                        params[number] = value
                        params = ["TIMER" if each is REQUIRED else each for each in params]
                        error = self.world.exchange(method.name, params).get("error")
                        self.assertEqual(self.world.failures, [], (method.name, params))
                        if error is not None:
                            self.assertTrue(error["data"]["hint"], (method.name, params, error))
                            self.assertNotIn(error["code"], (-32603,), (method.name, params, error))
            if self.world.wallet.keys.vault is None:
                self.result("encryptwallet", PASSPHRASE)
            self.world.custody._guesses.succeeded()
            self.world.exchange("walletpassphrase", [PASSPHRASE, 100_000])

    def test_every_secret_is_marked_as_one(self) -> None:
        for method in keys.METHODS:
            for param in method.params:
                self.assertEqual(
                    param.secret,
                    param.name in ("passphrase", "oldpassphrase", "newpassphrase", "privkey", "source"),
                    (method.name, param.name),
                )


class Phrases(KeysCase):
    def test_a_phrase_on_another_node_finds_every_coin(self) -> None:
        """Also beyond addresses that were handed out and never paid."""
        addresses = [self.result("getnewaddress") for _ in range(100)]
        phrase = self.result("exportmnemonic")
        self.assertEqual((phrase["complete"], phrase["path"]), (False, "m/44'/1'/0'"))
        for number in (0, 97):
            self.result("sendtoaddress", addresses[number], "5")
            self.world.advance(1)
        self.world.block()
        other = self.another(7)
        # The other node follows the same chain: it takes the same payments.
        other.backend, other.environment.backend = self.world.backend, self.world.backend
        other.host.world = self.world
        other.wallet._chain = self.world.backend
        before = other.result("getbalance")
        done = other.result("restorewallet", phrase["mnemonic"], "", 20)
        self.assertEqual(done["seedid"], phrase["seedid"])
        mine = [other.result("getaddressinfo", address) for address in addresses]
        self.assertEqual([each["ismine"] and each["isused"] for each in mine[:98]], [True] * 98)
        self.assertGreaterEqual(other.result("getbalance"), before + 10)
        self.assertNotIn(other.result("getnewaddress"), addresses[:98])
        self.assertGreaterEqual(other.host.rescans, 2)

    def test_a_wallet_of_one_phrase_says_that_the_phrase_is_enough(self) -> None:
        self.world.wallet.keys._keys.pop(Lock.key_hash(well_known_key("wallet", 1).public).data)
        self.result("getnewaddress")
        self.assertTrue(self.result("exportmnemonic")["complete"])
        self.result("importprivkey", wallet_key(4).seed.hex(), "paper", False)
        self.assertEqual(self.result("exportmnemonic")["keys_elsewhere"], 1)

    def test_a_new_seed_keeps_the_old_one(self) -> None:
        first = self.result("getwalletinfo")["hdseedid"]
        address = self.result("getnewaddress")
        second = self.result("sethdseed")["seedid"]
        info = self.result("getwalletinfo")
        self.assertEqual((info["hdseedid"], info["hdseeds"]), (second, [first, second]))
        self.assertEqual(self.result("getaddressinfo", address)["hdseedid"], first)
        self.assertEqual(self.result("exportmnemonic", first)["seedid"], first)
        self.assertEqual(self.code("exportmnemonic", "ff"), (-5, "seed-unknown"))

    def test_a_wrong_phrase_changes_nothing(self) -> None:
        before = self.world.wallet.records()
        self.assertEqual(self.code("restorewallet", "zoo " * 12), (-8, "seed-phrase"))
        self.assertEqual(self.code("restorewallet", "/no/such/file"), (-8, "backup"))
        self.assertEqual(self.world.wallet.records(), before)

    def test_the_kind_of_wallet_is_told_while_the_coins_are_read(self) -> None:
        self.world.wallet.begin_scan()
        info = self.result("getwalletinfo")
        self.assertEqual((info["scanning"]["what"], info["balance"]), ("coins", None))
        self.assertEqual(self.code("exportmnemonic"), (-28, "wallet-scan"))

    def test_there_is_one_wallet(self) -> None:
        self.assertEqual(self.result("listwallets"), ["wallet"])
        self.assertEqual(self.result("getwalletinfo")["kind"], "seed-phrase")


class Backups(KeysCase):
    def setUp(self) -> None:
        super().setUp()
        self.copy = os.path.join(os.path.abspath(self.directory), "copy.json")

    def test_a_backup_made_while_running_restores_everything(self) -> None:
        shop = self.result("getnewaddress", "shop")
        nameless = self.result("getnewaddress")
        self.result("importprivkey", wallet_key(4).seed.hex(), "paper", False)
        self.result("importaddress", address_of(FRIEND, self.world), "friend", False)
        done = self.result("backupwallet", self.copy)
        self.assertEqual((done["verified"], done["bytes"]), (True, os.path.getsize(self.copy)))
        self.assertEqual(stat.S_IMODE(os.stat(self.copy).st_mode), 0o600)
        later = self.result("getnewaddress")
        other = self.another(7)
        other.result("restorewallet", self.copy, "", 20)
        for address in (shop, later, address_of(wallet_key(4), self.world)):
            self.assertTrue(other.result("getaddressinfo", address)["ismine"])
        self.assertEqual(other.result("listlabels"), ["friend", "paper", "regtest", "shop"])
        self.assertNotIn(other.result("getnewaddress"), (shop, nameless))
        self.assertEqual(
            other.result("exportmnemonic")["mnemonic"], self.result("exportmnemonic")["mnemonic"]
        )
        again = WalletFile(self.copy, "regtest")
        again.load()
        again.close()

    def test_an_encrypted_backup_wants_its_passphrase(self) -> None:
        self.result("encryptwallet", PASSPHRASE)
        self.result("backupwallet", self.copy)
        other = self.another(7)
        self.assertEqual(other.error("restorewallet", self.copy, "wrong", 20)["code"], -14)
        other.result("restorewallet", self.copy, PASSPHRASE, 20)
        self.assertTrue(other.result("getaddressinfo", self.result("getnewaddress"))["ismine"])
        self.assertFalse(other.result("getwalletinfo")["encrypted"])

    def test_a_backup_overwrites_nothing_and_leaves_no_half(self) -> None:
        self.result("backupwallet", self.copy)
        before = Path(self.copy).read_bytes()
        self.assertEqual(self.code("backupwallet", self.copy), (-8, "backup"))
        self.assertEqual(Path(self.copy).read_bytes(), before)
        self.assertEqual(self.code("backupwallet", "relative.json"), (-8, "backup"))
        self.assertEqual(self.code("backupwallet", "/no/such/directory/w.json"), (-8, "backup"))
        from timed.wallet import walletcopy

        def full(descriptor: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        self.patch(walletcopy, "write_all", full)
        self.assertEqual(self.code("backupwallet", self.copy + "2"), (-8, "backup"))
        self.assertFalse(os.path.exists(self.copy + "2"))

    def test_a_backup_that_reads_differently_is_none(self) -> None:
        from timed.wallet import walletcopy

        self.patch(walletcopy, "read_whole", lambda path, file: b"else")
        self.assertEqual(self.code("backupwallet", self.copy), (-8, "backup"))
        self.assertFalse(os.path.exists(self.copy))

    def test_a_pipe_or_the_wallet_itself_is_no_backup(self) -> None:
        os.mkfifo(self.copy)
        for path in (self.copy, self.path, os.path.abspath(self.directory)):
            self.assertEqual(self.code("restorewallet", path), (-8, "backup"))

    def test_one_restoration_at_a_time(self) -> None:
        self.result("backupwallet", self.copy)
        other = self.another(7)
        first = other.begin("restorewallet", [self.copy, "", 1000])
        self.assertEqual(other.error("restorewallet", self.copy)["data"]["rule"], "restore-busy")
        self.assertIn(b"seedid", other.finish(first).body)

    def test_the_check_reads_the_files_again(self) -> None:
        self.result("getnewaddress")
        done = self.result("checkwallet")
        self.assertEqual((done["ok"], done["secrets_checked"]), (True, done["keys"]))
        self.result("encryptwallet", PASSPHRASE)
        self.assertEqual(self.result("checkwallet")["secrets_checked"], 0)
        text = Path(self.path).read_text()
        Path(self.path).write_text(text.replace("derived", "derivad", 3))
        error = self.error("checkwallet")
        self.assertIn("lacks", error["message"]) if error["data"]["rule"] == "local" else self.fail(
            str(error)
        )


class Addresses(KeysCase):
    def test_names(self) -> None:
        address = self.result("getnewaddress", "shop")
        self.assertEqual(self.result("getaddressesbylabel", "shop"), {address: {"purpose": "receive"}})
        self.result("setlabel", address, "market")
        self.assertEqual(self.result("listlabels"), ["market", "regtest"])
        self.assertEqual(self.result("getaddressinfo", address)["label"], "market")
        self.assertEqual(self.code("getaddressesbylabel", "shop"), (-5, "label-unknown"))
        self.assertEqual(self.code("setlabel", address_of(FRIEND, self.world), "x"), (-5, "address-foreign"))

    def test_what_is_known_of_an_own_address(self) -> None:
        address = self.result("getnewaddress", "shop")
        info = self.result("getaddressinfo", address)
        self.assertEqual(info["hdkeypath"], "m/44'/1'/0'/0'/0'")
        self.assertEqual(info["hdseedid"], self.result("getwalletinfo")["hdseedid"])
        self.assertEqual((info["ismine"], info["ischange"], info["isused"]), (True, False, True))
        [row] = [each for each in self.result("listaddresses", "receive") if each["address"] == address]
        self.assertEqual((row["label"], row["pubkey"]), ("shop", info["pubkey"]))
        used = sum(key.role != POOL for key in self.world.wallet.keys)
        self.assertEqual(len(self.result("listaddresses")), used)

    def test_a_watched_address_is_shown_and_never_spent(self) -> None:
        friend = address_of(FRIEND, self.world)
        self.result("sendtoaddress", friend, "5")
        self.world.advance(1)
        before = self.result("getbalance")
        self.assertEqual(
            self.result("importaddress", friend, "friend"),
            {"address": friend, "iswatchonly": True, "ismine": False},
        )
        self.assertEqual(self.result("getbalance"), before)
        watched = [coin.value for coin in self.world.wallet.coins.watched.final.ascending()]
        self.assertEqual(watched, [5 * COIN])
        spendable = [coin.output.lock for coin in self.world.wallet.spendable()]
        self.assertNotIn(Lock.key_hash(FRIEND.public), spendable)
        info = self.result("getaddressinfo", friend)
        self.assertEqual((info["iswatchonly"], info["label"]), (True, "friend"))
        self.assertTrue(self.result("validateaddress", friend)["iswatchonly"])

    def test_an_imported_key_spends(self) -> None:
        friend = address_of(FRIEND, self.world)
        self.result("sendtoaddress", friend, "5")
        self.world.advance(1)
        before = self.result("getbalance")
        self.assertEqual(self.result("importprivkey", FRIEND.seed.hex(), "mine now"), friend)
        self.assertEqual(self.result("getbalance"), before + 5)
        self.assertEqual(self.result("dumpprivkey", friend), FRIEND.seed.hex())
        self.assertEqual(
            self.code("dumpprivkey", address_of(wallet_key(5), self.world)), (-4, "address-foreign")
        )

    def test_importing_an_own_address_names_it(self) -> None:
        address = self.result("getnewaddress")
        self.assertTrue(self.result("importaddress", address, "own", False)["ismine"])
        self.assertEqual(self.result("getaddressinfo", address)["label"], "own")

    def test_several_keys_together(self) -> None:
        publics = [wallet_key(number).public.hex() for number in (1, 2)]
        made = self.result("createmultisig", 2, [*publics, address_of(wallet_key(3), self.world)])
        lock = made["lock"]
        self.assertEqual(len(made["keyhashes"]), 3)
        self.assertTrue(self.result("importaddress", lock, "board", False)["iswatchonly"])
        info = self.result("getaddressinfo", lock)
        self.assertEqual((info["isscript"], info["sigsrequired"], info["label"]), (True, 2, "board"))
        self.assertEqual(self.code("createmultisig", 3, publics)[0], -26)
        self.assertEqual(self.result("createmultisig", 2, [each.upper() for each in publics])["nrequired"], 2)
        blanks = f"{publics[0][:62]}  "
        self.assertEqual(self.code("createmultisig", 1, [blanks])[0], -5, "nobody has a key of 31 bytes")
        self.assertEqual(self.code("getaddressinfo", "00" * 30), (-5, "address-lock"))


class Exported(KeysCase):
    def raw(self, address: str, lock: str | None = None) -> str:
        """An unsigned payment of the wallet's first coin."""
        coin = self.result("listunspent")[0]
        inputs = [{"txid": coin["txid"], "vout": coin["vout"]}]
        text: str = self.result("createrawtransaction", inputs, {address: "9990"})
        return text

    def test_a_payment_is_signed_on_a_machine_without_coins(self) -> None:
        """The node here only watches; the keys are in another wallet."""
        cold = self.another(7)
        address = cold.result("getnewaddress")
        info = cold.result("getaddressinfo", address)
        self.result("importpubkey", info["pubkey"], "cold", False, info["hdkeypath"], info["hdseedid"])
        self.result("sendtoaddress", address, "50")
        self.world.advance(1)
        [coin] = self.world.wallet.coins.watched.final.ascending()
        outpoint = {"txid": coin.outpoint.txid.hex(), "vout": coin.outpoint.index}
        raw = self.result("createrawtransaction", [outpoint], {address_of(FRIEND, self.world): "49.95"})
        payment = self.result("exporttransaction", raw)
        shown = self.result("analyzeexported", payment)
        self.assertEqual((shown["fee"], shown["complete"], shown["next"]), (Decimal("0.05"), False, "sign"))
        self.assertEqual(shown["keys"][0]["hdkeypath"], info["hdkeypath"])
        self.assertEqual(self.result("signexported", payment)["added"], 0)
        signed = cold.result("signexported", payment)
        self.assertEqual((signed["added"], signed["complete"]), (1, True))
        self.assertEqual(self.code("finalizeexported", payment), (-22, "export-incomplete"))
        both = self.result("combineexported", [payment, signed["payment"]])
        final = self.result("finalizeexported", both)
        txid = self.result("sendrawtransaction", final["hex"])
        self.assertEqual(txid, shown["txid"])
        self.world.block()
        self.assertEqual(self.result("gettransaction", txid)["state"], "confirmed")

    def test_two_of_three_pay_together(self) -> None:
        made = self.result("createmultisig", 2, [wallet_key(n).public.hex() for n in (4, 5, 6)])
        self.result("importaddress", made["lock"], "board", False)
        raw = self.raw(made["lock"])
        hexed = self.result("signrawtransactionwithwallet", raw)["hex"]
        funding = self.result("sendrawtransaction", hexed)
        self.world.advance(1)
        outpoint = {"txid": funding, "vout": 0}
        raw = self.result("createrawtransaction", [outpoint], {address_of(FRIEND, self.world): "9980"})
        payment = self.result("exporttransaction", raw)
        parts = []
        for number in (4, 6):
            holder = self.another(10 + number)
            holder.result("importprivkey", wallet_key(number).seed.hex(), "share", False)
            self.assertEqual(holder.result("analyzeexported", payment)["inputs"][0]["keys_here"], 1)
            parts.append(holder.result("signexported", payment)["payment"])
        final = self.result("finalizeexported", self.result("combineexported", parts))
        self.result("sendrawtransaction", final["hex"])

    def test_what_is_no_payment_says_so(self) -> None:
        for method in ("signexported", "finalizeexported", "analyzeexported"):
            self.assertEqual(self.code(method, "{}"), (-22, "export-form"))
        self.assertEqual(self.code("combineexported", []), (-8, "param-value"))
        foreign = [{"txid": "ab" * 32, "vout": 0}]
        raw = self.result("createrawtransaction", foreign, {address_of(FRIEND, self.world): "1"})
        self.assertEqual(self.code("exporttransaction", raw), (-5, "input-missing"))

    def test_signed_messages(self) -> None:
        address = self.result("getnewaddress")
        signature = self.result("signmessage", address, "it is me")
        self.assertTrue(self.result("verifymessage", address, signature, "it is me"))
        self.assertFalse(self.result("verifymessage", address, signature, "it is you"))
        self.assertFalse(self.result("verifymessage", address_of(FRIEND, self.world), signature, "it is me"))
        self.assertEqual(self.code("verifymessage", address, "x", "it is me"), (-8, "signature-form"))
        self.assertEqual(
            self.code("signmessage", address_of(FRIEND, self.world), "x"), (-4, "address-foreign")
        )
        self.world.environment.own_wallet = None
        self.assertTrue(self.result("verifymessage", address, signature, "it is me"))

    def test_payment_uris(self) -> None:
        address = address_of(FRIEND, self.world)
        made = self.result("makepaymenturi", address, "12.5", "shop", "order 7", "text")
        self.assertEqual(made["uri"], f"timecoin:{address}?amount=12.5&label=shop&message=order%207")
        self.assertIn("▄", "".join(made["qr"]))
        self.assertIn("<svg", self.result("makepaymenturi", address, None, "", "", "svg")["qr"])
        self.assertNotIn("qr", self.result("makepaymenturi", address))
        self.assertEqual(
            self.result("parsepaymenturi", made["uri"]),
            {"address": address, "amount": Decimal("12.5"), "label": "shop", "message": "order 7"},
        )
        self.assertIsNone(self.result("parsepaymenturi", f"timecoin:{address}")["amount"])
        self.assertEqual(self.code("parsepaymenturi", made["uri"] + "&req-x=1"), (-8, "uri-required"))
        self.assertEqual(self.code("makepaymenturi", "TIME1xyz"), (-8, "address-network"))

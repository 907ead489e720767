"""Keys from a phrase, sealed under a passphrase: nothing lost, nothing shown, nothing half."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.wallet_world import ACCOUNT, CHEAP, PASSPHRASE, encrypt, reopened, seeded, vectors
from timed.crypto.rule import check
from timed.errors import LocalError, PoolEmpty, WalletLocked, WrongPassphrase
from timed.ledger.regtest import well_known_key
from timed.params import MAINNET, REGTEST, TESTNET
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, signing_hash
from timed.wallet import sealing
from timed.wallet.derivation import SecretNode, account_path, format_path, parse_path
from timed.wallet.keystore import CHANGE, POOL, POOL_SIZE, RECEIVE, REFILL_AT, Keystore
from timed.wallet.merging import merge
from timed.wallet.phrase import entropy_of, phrase_of, seed_of
from timed.wallet.sealing import Cost, DataKey, Vault, new_vault, open_vault
from timed.wallet.signing import sign
from timed.wallet.walletfile import parse_journal, parse_snapshot
from timed.wallet.walletkey import WalletSeed
from timed.wallet.watching import Watched


class Vectors(SynchronousTestCase):
    def test_slip_0010(self) -> None:
        for vector in vectors("slip0010_ed25519.json")["vectors"]:
            master = SecretNode.master(bytes.fromhex(vector["seed"]))
            for chain in vector["chains"]:
                node = master.descend(parse_path(chain["path"]))
                self.assertEqual(node.secret.hex(), chain["private"])
                self.assertEqual(node.chain_code.hex(), chain["chain_code"])
                self.assertEqual(node.key().public.hex(), chain["public"])

    def test_bip_39(self) -> None:
        content = vectors("bip39_english.json")
        for vector in content["vectors"]:
            entropy = bytes.fromhex(vector["entropy"])
            self.assertEqual(phrase_of(entropy), vector["phrase"])
            self.assertEqual(entropy_of(vector["phrase"]), entropy)
            self.assertEqual(seed_of(entropy, content["passphrase"]).hex(), vector["seed"])


class Phrases(SynchronousTestCase):
    good = "legal winner thank year wave sausage worth useful legal winner thank yellow"

    def refused(self, phrase: str) -> str:
        with self.assertRaises(LocalError) as caught:
            entropy_of(phrase)
        return str(caught.exception)

    def test_case_and_blanks_do_not_matter(self) -> None:
        self.assertEqual(entropy_of(f"  {self.good.upper()}\n".replace(" ", "  ")), entropy_of(self.good))

    def test_what_is_wrong_is_said_without_the_words(self) -> None:
        self.assertIn("checksum", self.refused(self.good.replace("yellow", "year")))
        said = self.refused(self.good.replace("sausage", "sausages"))
        self.assertIn("number 6", said)
        self.assertNotIn("sausage", said)
        self.assertIn("not 11", self.refused(self.good.removesuffix(" yellow")))
        self.assertIn("not", self.refused("zoo " * 100_000))


class Paths(SynchronousTestCase):
    def test_the_coin_type_is_the_network_s(self) -> None:
        self.assertEqual(format_path(account_path(MAINNET)), "m/44'/1414090053'/0'")
        for params in (TESTNET, REGTEST):
            self.assertEqual(format_path(account_path(params)), "m/44'/1'/0'")

    def test_only_hardened_steps_are_paths(self) -> None:
        for text in ("", "m/", "m/1", "m/1'/", "n/1'", "m/-1'", "m/2147483648'", "m/١'", "m/1''"):
            with self.assertRaises(ValueError):
                parse_path(text)
        with self.assertRaises(ValueError):
            SecretNode.master(bytes(32)).child(1 << 31)


class Sealing(SynchronousTestCase):
    def setUp(self) -> None:
        self.entropy = random.Random(3).randbytes
        self.vault, self.key = new_vault(PASSPHRASE, self.entropy, CHEAP)

    def test_the_right_passphrase_opens_and_no_other(self) -> None:
        sealed = self.key.seal(b"a", b"secret", self.entropy)
        again = Vault.of_fields(self.vault.fields())
        self.assertEqual(open_vault(again, PASSPHRASE).open(b"a", sealed), b"secret")
        for wrong in ("", "Correct horse", PASSPHRASE + " "):
            with self.assertRaises(WrongPassphrase):
                open_vault(again, wrong)

    def test_a_wrong_passphrase_costs_what_the_right_one_costs(self) -> None:
        calls: list[Any] = []
        stretch = sealing._stretch
        self.patch(sealing, "_stretch", lambda *what: (calls.append(what[2]), stretch(*what))[1])
        open_vault(self.vault, PASSPHRASE)
        for wrong in ("", "x"):
            with self.assertRaises(WrongPassphrase):
                open_vault(self.vault, wrong)
        self.assertEqual(calls, [CHEAP] * 3)

    def test_a_secret_opens_under_its_own_name_only(self) -> None:
        sealed = self.key.seal(b"key one", b"secret", self.entropy)
        for name, what in ((b"key two", sealed), (b"key one", sealed[:-1]), (b"key one", b"")):
            with self.assertRaises(LocalError):
                self.key.open(name, what)

    def test_equal_secrets_are_sealed_differently(self) -> None:
        self.assertNotEqual(self.key.seal(b"a", b"s", self.entropy), self.key.seal(b"a", b"s", self.entropy))

    def test_a_cleared_key_opens_nothing(self) -> None:
        sealed = self.key.seal(b"a", b"secret", self.entropy)
        self.key.clear()
        with self.assertRaises(LocalError):
            self.key.open(b"a", sealed)

    def test_a_file_can_not_ask_for_all_memory(self) -> None:
        """And what it says of the cost is bound to the wrapped key: lowering it opens nothing."""
        fields = self.vault.fields()
        for wrong in ({"memory": 1 << 40}, {"passes": 10**6}, {"passes": 0}, {"salt": "00"}, {"kdf": "md5"}):
            with self.assertRaises(ValueError):
                Vault.of_fields(fields | wrong)
        with self.assertRaises(WrongPassphrase):
            open_vault(Vault.of_fields(fields | {"passes": 2}), PASSPHRASE)

    def test_the_default_cost_is_what_the_page_says(self) -> None:
        self.assertEqual(sealing.DEFAULT_COST, Cost(4, 128 * 1024 * 1024))


class Seeds(SynchronousTestCase):
    def setUp(self) -> None:
        self.keys, self.outbox = seeded()

    def test_keys_are_the_standard_s_branches(self) -> None:
        entropy = random.Random(1).randbytes(32)
        master = SecretNode.master(seed_of(entropy))
        for role, branch in ((RECEIVE, 0), (CHANGE, 1)):
            for index in range(3):
                expected = master.descend((*ACCOUNT, branch, index)).key().public
                self.assertEqual(self.keys.take(role).public, expected)

    def test_the_file_holds_the_seed_once_and_no_key_s_secret(self) -> None:
        taken = self.keys.take(RECEIVE, "shop")
        text = repr(self.outbox)
        self.assertNotIn(self.keys.signing_key(taken).seed.hex(), text)
        self.assertEqual(text.count(random.Random(1).randbytes(32).hex()), 1)

    def test_so_many_keys_are_made_ahead_and_more_when_few_are_left(self) -> None:
        """A copy of the file knows the addresses that come next; with a seed and without one."""
        for keys in (self.keys, Keystore(random.Random(3).randbytes, [])):
            keys.take(RECEIVE)
            left = [keys.unused(RECEIVE)]
            for _ in range(2 * POOL_SIZE):
                keys.take(RECEIVE)
                left.append(keys.unused(RECEIVE))
            self.assertEqual((max(left), min(left)), (POOL_SIZE - 1, REFILL_AT - 1))

    def test_a_key_opens_a_lock_of_its_hash_and_no_other_kind(self) -> None:
        key = self.keys.take(RECEIVE)
        self.assertEqual((self.keys.owns(key.lock), self.keys.key_of(key.lock)), (True, key))
        foreign = Lock(3, key.hash)
        self.assertEqual((self.keys.owns(foreign), self.keys.key_of(foreign)), (False, None))

    def test_witnesses_stand_by_key_one_for_each(self) -> None:
        """[5]"""
        mine = [self.keys.take(RECEIVE) for _ in range(6)]
        spent = [Output(value=10**9, lock=key.lock) for key in (*mine, mine[0])]
        inputs = [OutPoint(bytes(32), number) for number in range(7)]
        made = sign(Transaction.make(inputs=inputs, outputs=spent[:1]), spent, REGTEST.chain_id, self.keys)
        keys = [witness.public_key for witness in made.witnesses]
        self.assertEqual(keys, sorted(key.public for key in mine))
        message = signing_hash(REGTEST.chain_id, made.txid, spent)
        for witness in made.witnesses:
            check(witness.public_key, message, witness.signature)

    def test_a_restart_goes_on_where_it_was(self) -> None:
        first = [self.keys.take(RECEIVE).hash for _ in range(130)]
        again = reopened(self.outbox)
        later = [again.take(RECEIVE).hash for _ in range(130)]
        self.assertEqual(len(set(first + later)), 260)
        snapshot = reopened(again.records())
        self.assertEqual(snapshot.take(RECEIVE).hash, again.take(RECEIVE).hash)

    def test_the_phrase_alone_gives_the_same_keys(self) -> None:
        taken = [self.keys.take(RECEIVE).hash for _ in range(5)]
        words, extra = self.keys.seed.phrase()
        again = Keystore(random.Random(5).randbytes, [])
        again.plant(type(self.keys.seed).of(entropy_of(words), extra, ACCOUNT))
        self.assertEqual([again.take(RECEIVE).hash for _ in range(5)], taken)

    def test_the_passphrase_of_bip_39_makes_another_wallet(self) -> None:
        words, _ = self.keys.seed.phrase()
        other = type(self.keys.seed).of(entropy_of(words), "more", ACCOUNT)
        self.assertNotEqual(other.id, self.keys.seed.id)
        self.assertEqual(other.phrase(), (words, "more"))

    def test_a_coin_at_a_pool_key_moves_the_pool_behind_it(self) -> None:
        """The same phrase elsewhere has used the first eleven addresses."""
        elsewhere, _ = seeded()
        used = [elsewhere.take(RECEIVE) for _ in range(11)]
        self.assertTrue(self.keys.saw(used[-1].lock))
        self.assertFalse(self.keys.saw(used[3].lock))
        self.assertNotIn(self.keys.take(RECEIVE).hash, [key.hash for key in used])
        again = reopened(self.outbox)
        self.assertNotIn(again.take(RECEIVE).hash, [key.hash for key in used])

    def test_an_old_seed_s_keys_stay_when_another_is_planted(self) -> None:
        old = self.keys.take(RECEIVE)
        other, _ = seeded(2)
        self.keys.plant(type(other.seed).of(entropy_of(other.seed.phrase()[0]), "", ACCOUNT))
        self.assertEqual(self.keys.take(RECEIVE).hash, other.take(RECEIVE).hash)
        again = reopened(self.keys.records())
        self.assertEqual(again.seed.id, other.seed.id)
        self.assertEqual(again.signing_key(again.get(old.hash)).public, old.public)


class Passphrase(SynchronousTestCase):
    def setUp(self) -> None:
        self.keys, self.outbox = seeded()
        self.single = self.keys.adopt(well_known_key("wallet", 1).seed, "regtest")
        self.mine = self.keys.take(RECEIVE)

    def secrets(self) -> list[str]:
        return [
            random.Random(1).randbytes(32).hex(),
            well_known_key("wallet", 1).seed.hex(),
            self.keys.seed.phrase()[0].split()[0],
        ]

    def unlock(self, keys: Keystore) -> None:
        keys.unlock(open_vault(keys.vault, PASSPHRASE))

    def test_nothing_secret_is_in_the_records_of_an_encrypted_wallet(self) -> None:
        secrets = self.secrets()
        self.assertIn(secrets[0], repr(self.keys.records()))
        encrypt(self.keys)
        for secret in secrets:
            self.assertNotIn(secret, repr(self.keys.records()))

    def test_a_locked_wallet_receives_and_does_not_sign(self) -> None:
        encrypt(self.keys)
        for keys in (self.keys, reopened(self.keys.records())):
            address = keys.take(RECEIVE, "locked")
            self.assertTrue(keys.owns(address.lock))
            spent = [Output(value=10**9, lock=self.mine.lock)]
            unsigned = Transaction.make(inputs=[OutPoint(bytes(32), 0)], outputs=spent)
            with self.assertRaises(WalletLocked):
                sign(unsigned, spent, REGTEST.chain_id, keys)
            self.unlock(keys)
            for key in (address, self.mine, self.single):
                self.assertEqual(keys.signing_key(keys.get(key.hash)).public, key.public)
            self.assertEqual(len(sign(unsigned, spent, REGTEST.chain_id, keys).witnesses), 1)

    def test_a_locked_wallet_has_no_secret_in_memory(self) -> None:
        encrypt(self.keys)
        self.unlock(self.keys)
        self.assertNotEqual(self.keys.seed.secret, b"")
        self.keys.lock()
        self.assertEqual([(seed.open, seed.secret) for seed in self.keys.seeds], [(False, b"")])
        self.assertEqual([key.secret for key in self.keys if key.secret is not None], [])
        self.assertTrue(self.keys.locked)

    def test_a_seed_under_another_s_name_is_damaged(self) -> None:
        (record,) = [record for record in self.outbox if "seed" in record]
        renamed = {"seed": {**record["seed"], "id": "00" * 8}}
        with self.assertRaises(LocalError):
            reopened([renamed])

    def test_a_locked_wallet_s_pool_ends_and_grows_again(self) -> None:
        encrypt(self.keys)
        handed = [self.keys.take(CHANGE).hash for _ in range(POOL_SIZE)]
        with self.assertRaises(PoolEmpty) as caught:
            self.keys.take(CHANGE)
        self.assertIn("walletpassphrase", caught.exception.hint)
        self.unlock(self.keys)
        self.assertNotIn(self.keys.take(CHANGE).hash, handed)

    def test_new_secrets_of_an_open_encrypted_wallet_are_sealed(self) -> None:
        encrypt(self.keys)
        seed = well_known_key("wallet", 2).seed
        with self.assertRaises(WalletLocked):
            self.keys.adopt(seed, "")
        self.unlock(self.keys)
        self.outbox.clear()
        adopted = self.keys.adopt(seed, "")
        self.assertNotIn(seed.hex(), repr(self.outbox))
        self.assertEqual(self.keys.signing_key(adopted).seed, seed)

    def test_a_seed_that_is_planted_in_an_encrypted_wallet_is_sealed(self) -> None:
        encrypt(self.keys)
        other, _ = seeded(2)
        words = other.seed.phrase()[0]

        def planted() -> WalletSeed:
            return WalletSeed.of(entropy_of(words), "", ACCOUNT)

        with self.assertRaises(WalletLocked):
            self.keys.plant(planted())
        self.assertEqual([seed.id for seed in self.keys.seeds], [self.keys.seed.id])
        self.unlock(self.keys)
        self.outbox.clear()
        self.keys.plant(planted())
        secret = entropy_of(words).hex()
        self.assertNotIn(secret, repr(self.outbox) + repr(self.keys.records()))
        again = reopened(self.keys.records())
        self.unlock(again)
        self.assertEqual(again.seed.phrase(), (words, ""))
        self.assertEqual(again.signing_key(again.take(RECEIVE)).public, other.take(RECEIVE).public)

    def test_another_passphrase_opens_what_the_old_one_sealed(self) -> None:
        encrypt(self.keys)
        key = open_vault(self.keys.vault, PASSPHRASE)
        vault, _ = new_vault("new", random.Random(8).randbytes, CHEAP, key)
        self.keys.rewrap(vault)
        again = reopened(self.keys.records())
        with self.assertRaises(WrongPassphrase):
            open_vault(again.vault, PASSPHRASE)
        again.unlock(open_vault(again.vault, "new"))
        self.assertEqual(
            again.signing_key(again.get(self.single.hash)).seed, well_known_key("wallet", 1).seed
        )

    def test_a_random_wallet_is_encrypted_as_well(self) -> None:
        keys = Keystore(random.Random(6).randbytes, [])
        keys.refill()
        taken = keys.take(RECEIVE)
        encrypt(keys)
        again = reopened(keys.records())
        again.take(RECEIVE)
        self.unlock(again)
        self.assertEqual(again.signing_key(again.get(taken.hash)).public, taken.public)

    def test_a_record_that_was_exchanged_is_noticed(self) -> None:
        """An attacker with the file puts another public key in a key's place."""
        encrypt(self.keys)
        records = self.keys.records()
        names = [record["derived"] for record in records if "derived" in record]
        names[0]["index"], names[1]["index"] = names[1]["index"], names[0]["index"]
        again = reopened(records)
        self.unlock(again)
        with self.assertRaises(LocalError):
            again.signing_key(again.get(self.mine.hash))

    def test_a_wrong_key_leaves_the_wallet_locked(self) -> None:
        encrypt(self.keys)
        with self.assertRaises(LocalError):
            self.keys.unlock(DataKey(bytes(32)))
        self.assertTrue(self.keys.locked)
        with self.assertRaises(WalletLocked):
            self.keys.signing_key(self.mine)

    def test_a_damaged_seed_leaves_no_other_one_open(self) -> None:
        other, _ = seeded(2)
        self.keys.plant(type(other.seed).of(entropy_of(other.seed.phrase()[0]), "", ACCOUNT))
        encrypt(self.keys)
        self.keys.seeds[1].sealed = bytes(60)
        with self.assertRaises(LocalError):
            self.unlock(self.keys)
        self.assertEqual([seed.open for seed in self.keys.seeds], [False, False])
        self.assertTrue(self.keys.locked)

    def test_secrets_stay_out_of_reprs(self) -> None:
        secrets = self.secrets()
        shown = repr([*self.keys, *self.keys.seeds, self.keys.vault, DataKey(b"x" * 32)])
        for secret in secrets:
            self.assertNotIn(secret, shown)
        self.assertNotIn("xxx", shown)

    def test_damaged_records_are_told_without_what_they_hold(self) -> None:
        secret = "ab" * 32
        for record in (
            {"seed": {"id": "x", "account": "m/44'", "secret": secret}},
            {"seed": {"id": "x", "account": "m", "secret": ""}},
            {"key": {"seed": secret + "zz", "role": POOL, "label": ""}},
            {"key": {"public": secret[2:], "sealed": "00", "role": POOL, "label": ""}},
            {"derived": {"public": secret}},
            {"vault": {"kdf": "argon2id"}},
            {"watch": {"lock": "00", "public": None, "label": "", "seed": "", "path": ""}},
        ):
            with self.assertRaises(LocalError) as caught:
                reopened([record])
            self.assertNotIn("abab", str(caught.exception))


class Merging(SynchronousTestCase):
    def test_single_keys_keep_their_names_and_what_they_are_for(self) -> None:
        """Change of a wallet without a seed is no income of the one that takes it in."""
        other = Keystore(random.Random(3).randbytes, [])
        change, shop, known = other.take(CHANGE), other.take(RECEIVE, "shop"), other.take(RECEIVE, "rent")
        outbox: list[Any] = []
        into = Keystore(random.Random(4).randbytes, outbox)
        into.adopt(other.signing_key(known).seed, "")
        for _ in merge(into, other):
            pass
        again = Keystore(random.Random(5).randbytes, [])
        again.restore(outbox)
        for keys in (into, again):
            found = [keys.get(key.hash) for key in (change, shop, known)]
            self.assertEqual(
                [(key.role, key.label) for key in found],
                [(CHANGE, ""), (RECEIVE, "shop"), (RECEIVE, "rent")],
            )


class Watching(SynchronousTestCase):
    def test_a_watched_address_is_looked_after_and_never_owned(self) -> None:
        keys, outbox = seeded()
        foreign = Lock.key_hash(well_known_key("wallet", 3).public)
        several = Lock.multisig(2, [bytes([number]) * 20 for number in range(3)])
        keys.watch(Watched(foreign, "shop"))
        keys.watch(Watched(several))
        self.assertTrue(keys.label(several, "board"))
        self.assertFalse(keys.label(Lock.key_hash(bytes(32)), "nobody"))
        for each in (keys, reopened(outbox), reopened(keys.records())):
            self.assertEqual([each.watches(lock) for lock in (foreign, several)], [True, True])
            self.assertEqual([each.owns(lock) for lock in (foreign, several)], [False, False])
            self.assertEqual(each.label_of(foreign.data), "shop")
            self.assertEqual(each.watched.get(several).label, "board")

    def test_a_named_pool_key_is_never_handed_out(self) -> None:
        keys, outbox = seeded()
        expected, _ = seeded()
        first = expected.take(RECEIVE)
        keys.label(first.lock, "mine")
        self.assertNotEqual(keys.take(RECEIVE).hash, first.hash)
        self.assertEqual(reopened(outbox).label_of(first.hash), "mine")


class FormatOne(SynchronousTestCase):
    """A wallet that an earlier release has written."""

    def test_it_opens_with_every_key_and_name(self) -> None:
        old = vectors("wallet_format_1.json")
        generation, version, snapshot = parse_snapshot("w", old["snapshot"].encode(), "regtest")
        journal = parse_journal("w", old["journal"].encode(), generation)
        self.assertEqual((version, len(journal)), (1, 2))
        keys = reopened([*snapshot, *journal])
        self.assertEqual(len(keys), 1 + POOL_SIZE)
        self.assertEqual(sorted(key.label for key in keys if key.role != POOL), ["", "regtest", "shop"])
        self.assertIsNone(keys.seed)
        self.assertTrue(keys.owns(Lock.key_hash(well_known_key("wallet", 1).public)))
        known = {key.hash for key in keys}
        self.assertIn(keys.take(RECEIVE).hash, known)
        encrypt(keys)
        self.assertNotIn('"seed"', repr(keys.records()))

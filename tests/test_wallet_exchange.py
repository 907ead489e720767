"""Payments that travel unsigned, messages, payment URIs: what is read is checked, what is signed was shown."""

from __future__ import annotations

import json
import os
import random
from functools import lru_cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import wallet_key
from tests.wallet_world import ACCOUNT, PASSPHRASE, encrypt, seeded
from timed.errors import InvalidSignature, InvalidTransaction, LocalError, WalletLocked, WrongPassphrase
from timed.params import MAINNET, MAX_MONEY, REGTEST, TESTNET
from timed.primitives.address import encode_address
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness, signing_hash
from timed.wallet import messages
from timed.wallet.exchange import Exported, InvalidExport, combine, decode_export, encode_export, finalize
from timed.wallet.keystore import RECEIVE, Keystore
from timed.wallet.messages import message_hash, sign_message, verify_message
from timed.wallet.offline import hints_for, is_mine, open_file, sign_exported, sign_with_file
from timed.wallet.uri import InvalidUri, PaymentUri, make_uri, parse_uri, qr_lines, qr_svg
from timed.wallet.walletfile import WalletFile

TIME = 10**8
FRIEND = Lock.key_hash(wallet_key(9).public)


@lru_cache(maxsize=1)
def seeded_once() -> Any:
    """`seeded` for many examples of one property."""
    return seeded()


def unsigned(locks: list[Lock], value: int = 10 * TIME, paid: int | None = None) -> Exported:
    """A payment to a friend that spends one output of `value` under each lock."""
    spent = tuple(Output(value=value, lock=lock) for lock in locks)
    total = value * len(locks)
    out = total - max(100_000, total // 1000) if paid is None else paid
    inputs = [OutPoint(bytes(32), index) for index in range(len(locks))]
    return Exported(Transaction.make(inputs=inputs, outputs=[Output(value=out, lock=FRIEND)]), spent)


def holder(*numbers: int) -> Keystore:
    keys = Keystore(random.Random(4).randbytes, [])
    for number in numbers:
        keys.adopt(wallet_key(number).seed, "")
    return keys


class Exchange(SynchronousTestCase):
    def setUp(self) -> None:
        self.keys, _ = seeded()
        self.mine = [self.keys.take(RECEIVE) for _ in range(2)]
        self.exported = unsigned([key.lock for key in self.mine])

    def altered(self, **changes: Any) -> str:
        return json.dumps(json.loads(encode_export(self.exported, REGTEST)) | changes)

    def rule_of(self, text: str, params: Any = REGTEST) -> str:
        with self.assertRaises((InvalidExport, InvalidTransaction)) as caught:
            decode_export(text, params)
        return str(caught.exception.rule)

    def test_it_comes_back_as_it_went(self) -> None:
        hints = hints_for(self.keys, [output.lock for output in self.exported.spent])
        exported = Exported(self.exported.transaction, self.exported.spent, hints)
        self.assertEqual(decode_export(encode_export(exported, REGTEST), REGTEST), exported)
        self.assertEqual(hints[1].path, (*ACCOUNT, 0, 1))
        self.assertEqual(hints[1].seed, self.keys.seed.id)

    def test_signing_makes_a_transaction_every_node_takes(self) -> None:
        self.assertEqual(self.exported.lacking(), (1, 1))
        with self.assertRaises(InvalidExport):
            finalize(self.exported, REGTEST)
        signed = sign_exported(self.exported, self.keys, REGTEST)
        self.assertEqual(signed.added, 2)
        travelled = decode_export(encode_export(signed.exported, REGTEST), REGTEST)
        self.assertTrue(travelled.complete)
        self.assertEqual(finalize(travelled, REGTEST).txid, self.exported.transaction.txid)

    def test_several_signers_of_one_lock_in_any_order(self) -> None:
        lock = Lock.multisig(2, [Lock.key_hash(wallet_key(number).public).data for number in (1, 2, 3)])
        exported = unsigned([lock, lock])
        parts = [sign_exported(exported, holder(number), REGTEST).exported for number in (3, 1, 2)]
        self.assertEqual([part.lacking() for part in parts], [(1, 1)] * 3)
        self.assertEqual(len(combine(parts[:2], REGTEST).transaction.witnesses), 2)
        finalize(combine(parts[:2], REGTEST), REGTEST)
        # Three have signed where two are asked for: one witness too many is left out.
        finalize(combine(parts, REGTEST), REGTEST)

    def test_other_payments_are_not_combined(self) -> None:
        other = unsigned([key.lock for key in self.mine], paid=5 * TIME)
        lying = Exported(
            self.exported.transaction,
            tuple(Output(value=each.value + 1, lock=each.lock) for each in self.exported.spent),
        )
        for part in (other, lying):
            with self.assertRaises(InvalidExport):
                combine([self.exported, part], REGTEST)

    def test_a_signature_over_wrong_spent_outputs_is_worth_nothing(self) -> None:
        """Whoever lies to a signer about an input's value gets no valid witness (reference F117)."""
        lying = Exported(
            self.exported.transaction,
            tuple(Output(value=each.value + 5, lock=each.lock) for each in self.exported.spent),
        )
        signed = sign_exported(lying, self.keys, REGTEST).exported
        true = Exported(signed.transaction, self.exported.spent)
        self.assertEqual(self.rule_of(encode_export(true, REGTEST)), "export-witness")

    def test_a_witness_nobody_asked_for_is_refused(self) -> None:
        """Every node would refuse the transaction for it; its signer signed for nothing."""
        exported = unsigned([self.mine[0].lock])
        message = signing_hash(REGTEST.chain_id, exported.transaction.txid, exported.spent)
        stranger = wallet_key(5)
        witness = Witness(stranger.public, stranger.sign(message))
        strange = Exported(exported.transaction.with_witnesses([witness]), exported.spent)
        self.assertEqual(self.rule_of(encode_export(strange, REGTEST)), "export-witness")

    def test_a_strange_fee_is_not_signed_unless_asked_for(self) -> None:
        greedy = unsigned([self.mine[0].lock], paid=5 * TIME)
        with self.assertRaises(InvalidExport) as caught:
            sign_exported(greedy, self.keys, REGTEST)
        self.assertEqual(caught.exception.rule, "export-fee")
        self.assertTrue(sign_exported(greedy, self.keys, REGTEST, high_fee=True).exported.complete)

    def test_no_money_is_made_and_no_fee_forgotten(self) -> None:
        for paid, rule in ((21 * TIME, "value-created"), (20 * TIME, "fee-low")):
            exported = unsigned([key.lock for key in self.mine], paid=paid)
            self.assertEqual(self.rule_of(encode_export(exported, REGTEST)), rule)

    def test_texts_that_are_no_payment_are_refused(self) -> None:
        spent = {"value": TIME, "lock": self.mine[0].lock.encode().hex()}
        cases = {
            "": "export-form",
            "[]": "export-form",
            "[" * 100_000: "export-form",
            "x" * (4 * 1024 * 1024 + 1): "export-length",
            self.altered(format="other"): "export-form",
            self.altered(version=2): "export-version",
            self.altered(more=1): "export-form",
            self.altered(network="testnet"): "export-network",
            self.altered(spent=[]): "export-inputs",
            self.altered(spent=[spent, spent | {"value": 1.5}]): "export-form",
            self.altered(spent=[spent, spent | {"value": True}]): "export-form",
            self.altered(spent=[spent, spent | {"value": -1}]): "amount-range",
            self.altered(spent=[spent, spent | {"value": MAX_MONEY}]): "amount-range",
            self.altered(spent=[spent, {}]): "export-form",
            self.altered(spent=[spent] * 5_000): "export-length",
            self.altered(transaction="00"): "export-form",
            self.altered(keys=[{"public": "00", "seed": "", "path": "m/1'"}]): "export-form",
            self.altered(keys=[{"public": "00" * 32, "seed": "", "path": "m/1"}]): "export-form",
            self.altered(keys=[{"public": "00" * 32, "seed": "", "path": 5}]): "export-form",
            self.altered(keys=[{"public": "00" * 32, "seed": "", "path": None}]): "export-form",
            self.altered(keys=[{"public": "00" * 32, "seed": "\ud800", "path": "m/1'"}]): "export-form",
            self.altered(keys=5): "export-form",
            self.altered(spent=None): "export-form",
        }
        for text, rule in cases.items():
            self.assertEqual(self.rule_of(text), rule, text[:200])
        self.assertEqual(self.rule_of(encode_export(self.exported, REGTEST), TESTNET), "export-network")

    @given(st.data())
    def test_any_damage_is_an_error_of_ours(self, data: Any) -> None:
        """Members taken away, exchanged or replaced, and bytes of the text changed."""
        keys, _ = seeded_once()
        mine = next(iter(keys))
        content = json.loads(encode_export(unsigned([mine.lock]), REGTEST))
        odd = (
            st.none()
            | st.integers()
            | st.text(max_size=9)
            | st.lists(st.integers(), max_size=2)
            | st.booleans()
        )
        for name in data.draw(st.lists(st.sampled_from(sorted(content)), max_size=3)):
            content[name] = data.draw(
                odd | st.lists(st.dictionaries(st.text(max_size=6), odd, max_size=3), max_size=2)
            )
        text = json.dumps(content)
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
        try:
            exported = decode_export(text, REGTEST)
        except (InvalidExport, InvalidTransaction):
            return
        self.assertEqual(decode_export(encode_export(exported, REGTEST), REGTEST), exported)

    def test_a_locked_wallet_signs_nothing(self) -> None:
        encrypt(self.keys)
        with self.assertRaises(WalletLocked):
            sign_exported(self.exported, self.keys, REGTEST)

    def test_an_own_output_is_recognised(self) -> None:
        self.assertEqual(is_mine(self.keys, self.mine[1].lock), "m/44'/1'/0'/0'/1'")
        self.assertEqual(is_mine(self.keys, FRIEND), "")


class FromAFile(SynchronousTestCase):
    """The machine without a node."""

    def setUp(self) -> None:
        os.mkdir(directory := self.mktemp())
        self.path = os.path.join(directory, "wallet.json")
        self.keys, outbox = seeded()
        self.mine = self.keys.take(RECEIVE)
        self.text = encode_export(unsigned([self.mine.lock]), REGTEST)
        file = WalletFile(self.path, "regtest")
        file.load()
        file.append(outbox)
        self.file = file
        self.addCleanup(file.close)

    def state(self) -> list[bytes]:
        found = []
        for name in (self.path, f"{self.path}.journal"):
            with open(name, "rb") as file:
                found.append(file.read())
        return found

    def test_it_signs_and_changes_nothing(self) -> None:
        self.file.close()
        before = self.state()
        text, exported = sign_with_file(self.path, REGTEST, self.text)
        self.assertTrue(exported.complete)
        finalize(decode_export(text, REGTEST), REGTEST)
        self.assertEqual(self.state(), before)

    def test_an_encrypted_one_wants_its_passphrase(self) -> None:
        encrypt(self.keys)
        self.file.compact(self.keys.records(), wipe=True)
        self.file.close()
        with self.assertRaises(WrongPassphrase):
            sign_with_file(self.path, REGTEST, self.text)
        self.assertTrue(sign_with_file(self.path, REGTEST, self.text, PASSPHRASE)[1].complete)

    def test_a_wallet_in_use_is_left_alone(self) -> None:
        with self.assertRaises(LocalError) as caught:
            open_file(self.path, REGTEST, "")
        self.assertIn("in use", str(caught.exception))

    def test_a_missing_file_is_one_sentence(self) -> None:
        with self.assertRaises(LocalError):
            open_file(self.path + "x", REGTEST, "")


class Messages(SynchronousTestCase):
    def setUp(self) -> None:
        self.key = wallet_key(1)
        self.lock = Lock.key_hash(self.key.public)
        self.signature = sign_message(self.key, 3, "I am it")

    def rule_of(self, lock: Lock, chain: int, message: str, signature: str) -> str:
        with self.assertRaises(InvalidSignature) as caught:
            verify_message(lock, chain, message, signature)
        return str(caught.exception.rule)

    def test_the_owner_s_signature_holds(self) -> None:
        verify_message(self.lock, 3, "I am it", self.signature)
        self.assertEqual(len(self.signature), messages.SIGNED_TEXT)

    def test_nothing_else_holds(self) -> None:
        self.assertEqual(self.rule_of(self.lock, 3, "I am it.", self.signature), "signature")
        self.assertEqual(self.rule_of(self.lock, 1, "I am it", self.signature), "signature")
        other = sign_message(wallet_key(2), 3, "I am it")
        self.assertEqual(self.rule_of(self.lock, 3, "I am it", other), "signature-address")
        several = Lock.multisig(1, [self.lock.data])
        self.assertEqual(self.rule_of(several, 3, "I am it", self.signature), "signature-address")
        for text in ("", "é" * 128, self.signature[:-4], self.signature + "AAAA", " " + self.signature[1:]):
            self.assertEqual(self.rule_of(self.lock, 3, "I am it", text), "signature-form")

    def test_a_message_is_never_a_payment(self) -> None:
        """The hash has a tag of its own, and the chain's number."""
        self.assertEqual(len({message_hash(1, "m"), message_hash(2, "m"), message_hash(1, "n")}), 3)


class Uris(SynchronousTestCase):
    def setUp(self) -> None:
        self.address = encode_address(REGTEST, FRIEND)

    def rule_of(self, text: str) -> str:
        with self.assertRaises(InvalidUri) as caught:
            parse_uri(text, REGTEST)
        return str(caught.exception.rule)

    @given(
        st.none() | st.integers(1, MAX_MONEY),
        st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20),
        st.text(st.sampled_from("abc &=%?#+é€"), max_size=20),
    )
    def test_it_comes_back_as_it_went(self, amount: int | None, label: str, message: str) -> None:
        payment = PaymentUri(encode_address(REGTEST, FRIEND), amount, label, message)
        self.assertEqual(parse_uri(make_uri(payment, REGTEST), REGTEST), payment)

    @given(st.text(st.sampled_from("timecoin:TIMER17?&=%aF0.amountlabelreq-"), max_size=60))
    def test_any_text_is_a_link_or_an_error_of_ours(self, text: str) -> None:
        for each in (text, f"timecoin:{encode_address(REGTEST, FRIEND)}?{text}"):
            try:
                payment = parse_uri(each, REGTEST)
            except InvalidUri:
                continue
            self.assertEqual(parse_uri(make_uri(payment, REGTEST), REGTEST), payment)

    def test_what_everybody_writes_is_read(self) -> None:
        text = f"TimeCoin:{self.address}?amount=0.1&label=a%20b&somethingelse=5&message=x+y"
        self.assertEqual(parse_uri(text, REGTEST), PaymentUri(self.address, TIME // 10, "a b", "x+y"))
        self.assertEqual(parse_uri(f"timecoin:{self.address}", REGTEST), PaymentUri(self.address))

    def test_what_is_not_understood_is_refused(self) -> None:
        start = f"timecoin:{self.address}?"
        cases = {
            self.address: "uri-scheme",
            f"bitcoin:{self.address}": "uri-scheme",
            "timecoin:": "address-prefix",
            f"timecoin:{self.address[:-1]}": "address-checksum",
            f"timecoin://{self.address}": "address-prefix",
            "timecoin:" + encode_address(MAINNET, FRIEND): "address-network",
            start + "req-timelock=5": "uri-required",
            start + "amount=1&amount=2": "uri-parameter",
            start + "amount": "uri-parameter",
            start + "&label=x": "uri-parameter",
            start + "label=%zz": "uri-parameter",
            start + "label=%2": "uri-parameter",
            start + "label=%ff": "uri-parameter",
            start + "label=%0a": "uri-parameter",
            start + "label=a b": "uri-character",
            start + "label=é": "uri-character",
            start + "label=" + "x" * 257: "uri-parameter",
            start + "label=" + "x" * 2_000: "uri-length",
            start + "amount=1e3": "amount-format",
            start + "amount=-1": "amount-format",
            start + "amount=0": "amount-range",
            start + "amount=0.000000001": "amount-precision",
            start + "amount=99999999999999": "amount-range",
        }
        for text, rule in cases.items():
            self.assertEqual(self.rule_of(text), rule, text)

    def test_a_code_shows_the_same_modules_in_both_forms(self) -> None:
        uri = make_uri(PaymentUri(self.address, 5), REGTEST)
        lines = qr_lines(uri)
        self.assertEqual(len({len(line) for line in lines}), 1)
        self.assertEqual(len(lines), (len(lines[0]) + 1) // 2)
        self.assertEqual(set(lines[0] + lines[1]), {"█"})
        self.assertTrue(qr_svg(uri).startswith("<?xml"))
        self.assertIn(f'width="{4 * len(lines[0])}"', qr_svg(uri))

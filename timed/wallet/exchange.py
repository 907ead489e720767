"""A payment on its way between machines: unsigned, partly signed, and what it spends.

The text is JSON with the transaction, the outputs it spends in the order of its
inputs, and hints which keys of a seed stand behind them. A signer without a node
learns from it all that it signs: the hash commits to every spent value and lock
(protocol §1), so a wrong output makes a useless signature, never a larger fee.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from timed.codec.value import EncodeError
from timed.crypto import rule
from timed.crypto.sizes import PUBLIC_KEY_SIZE
from timed.errors import DecodeError, InvalidSignature, InvalidTransaction, RemoteError
from timed.interfaces import Coin
from timed.ledger.rules import check_form, check_spend, fee_for
from timed.params import NetworkParams
from timed.primitives.amounts import checked_sum
from timed.primitives.transaction import (
    TRANSFER,
    Lock,
    Output,
    Transaction,
    Witness,
    key_hash,
    signing_hash,
)
from timed.wallet.derivation import format_path, parse_path

FORMAT = "timed-payment"
VERSION = 1
MAX_TEXT = 4 * 1024 * 1024
"""Characters; the largest transaction with its spent outputs takes a quarter of it."""
MAX_HINTS = 4_096
MAX_SEED_NAME = 64
_MEMBERS = {"format", "version", "network", "transaction", "spent", "keys"}


class InvalidExport(RemoteError):
    """A text that is no exported payment of this network, or does not fit another.

    "export-length", "export-form", "export-version", "export-network", "export-inputs",
    "export-mismatch", "export-witness", "export-fee", "export-incomplete".
    """


@attrs.frozen
class KeyHint:
    """A public key and its place below a seed."""

    public: bytes
    seed: str
    path: tuple[int, ...]


@attrs.frozen
class Exported:
    """A transfer, what it spends, and hints for the signers."""

    transaction: Transaction
    spent: tuple[Output, ...]
    hints: tuple[KeyHint, ...] = ()

    @property
    def received(self) -> int:
        """Units of the inputs."""
        return checked_sum(output.value for output in self.spent)

    @property
    def paid(self) -> int:
        """Units of the outputs."""
        return checked_sum(output.value for output in self.transaction.outputs)

    @property
    def fee(self) -> int:
        """Units; InvalidTransaction("value-created") when more is paid than received."""
        fee = self.received - self.paid
        if fee < 0:
            raise InvalidTransaction("value-created", f"{self.paid} units out of {self.received}")
        return fee

    @property
    def signers(self) -> frozenset[bytes]:
        """The hashes of the keys that have signed."""
        return frozenset(key_hash(witness.public_key) for witness in self.transaction.witnesses)

    def lacking(self) -> tuple[int, ...]:
        """For each input, how many signatures its lock still wants."""
        signers = self.signers
        return tuple(
            max(0, output.lock.required - len(signers.intersection(output.lock.hashes)))
            for output in self.spent
        )

    @property
    def complete(self) -> bool:
        return not any(self.lacking())


def encode_export(exported: Exported, params: NetworkParams) -> str:
    """The text form."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "network": params.name,
        "transaction": exported.transaction.encode().hex(),
        "spent": [{"value": each.value, "lock": each.lock.encode().hex()} for each in exported.spent],
        "keys": [
            {"public": hint.public.hex(), "seed": hint.seed, "path": format_path(hint.path)}
            for hint in exported.hints
        ],
    }
    return json.dumps(content, separators=(",", ":"))


def decode_export(text: str, params: NetworkParams) -> Exported:
    """The payment in `text`, its witnesses checked; InvalidExport, InvalidTransaction otherwise."""
    if len(text) > MAX_TEXT:
        raise InvalidExport("export-length", f"{len(text)} characters")
    content = _content(text, params)
    try:
        transaction = Transaction.decode(bytes.fromhex(content["transaction"]))
        spent = tuple(_output(fields) for fields in content["spent"])
        hints = tuple(_hint(fields) for fields in content["keys"])
    except (DecodeError, EncodeError, LookupError, TypeError, ValueError) as error:
        raise InvalidExport("export-form", type(error).__name__) from None
    exported = Exported(transaction, spent, hints)
    _check(exported, params)
    return exported


def _content(text: str, params: NetworkParams) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidExport("export-form", "no JSON") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InvalidExport("export-form", f"not a {FORMAT}")
    if content.get("version") != VERSION:
        raise InvalidExport("export-version", f"version {VERSION} is understood")
    if set(content) != _MEMBERS:
        raise InvalidExport("export-form", "other members")
    if content["network"] != params.name:
        raise InvalidExport("export-network", f"not of {params.name}")
    if not isinstance(content["keys"], list) or not isinstance(content["spent"], list):
        raise InvalidExport("export-form", "keys and spent are arrays")
    if len(content["keys"]) > MAX_HINTS or len(content["spent"]) > params.max_inputs:
        raise InvalidExport("export-length", "too many inputs or keys")
    return content


def _output(fields: dict[str, Any]) -> Output:
    value = fields["value"]
    if set(fields) != {"value", "lock"} or type(value) is not int:
        raise ValueError("a spent output is a value in units and a lock")
    lock = Lock.decode(bytes.fromhex(fields["lock"]))
    return Output(value=value, lock=lock)


def _hint(fields: dict[str, Any]) -> KeyHint:
    public, seed, path = bytes.fromhex(fields["public"]), fields["seed"], fields["path"]
    if set(fields) != {"public", "seed", "path"} or not (isinstance(seed, str) and isinstance(path, str)):
        raise ValueError("a key is a public key, a seed's name and a path")
    # Half a surrogate pair is a ValueError here: no answer could show it.
    seed.encode("utf-8")
    if len(public) != PUBLIC_KEY_SIZE or len(seed) > MAX_SEED_NAME:
        raise ValueError("a key of another size")
    return KeyHint(public, seed, parse_path(path))


def _check(exported: Exported, params: NetworkParams) -> None:
    """Everything that does not depend on who has signed yet; every witness is right."""
    transaction = exported.transaction
    if transaction.kind != TRANSFER:
        raise InvalidExport("export-form", "not a transfer")
    if len(exported.spent) != len(transaction.inputs):
        raise InvalidExport("export-inputs", f"{len(exported.spent)} for {len(transaction.inputs)} inputs")
    check_form(transaction.with_witnesses([_NOBODY]), params)
    for output in exported.spent:
        output.lock.check_form()
    least = fee_for(exported.paid, params)
    if exported.fee < least:
        raise InvalidTransaction("fee-low", f"{exported.fee} units, at least {least}")
    message = signing_hash(params.chain_id, transaction.txid, exported.spent)
    wanted = {name for output in exported.spent for name in output.lock.hashes}
    for witness in transaction.witnesses:
        try:
            rule.check(witness.public_key, message, witness.signature)
        except InvalidSignature as error:
            raise InvalidExport("export-witness", error.detail) from None
        if key_hash(witness.public_key) not in wanted:
            raise InvalidExport("export-witness", "of a key that no input asks for")


_NOBODY = Witness(bytes(32), bytes(64))


def combine(parts: Sequence[Exported], params: NetworkParams) -> Exported:
    """One payment with the witnesses of all; "export-mismatch" when they are not the same payment."""
    first = parts[0]
    for part in parts[1:]:
        if part.transaction.txid != first.transaction.txid or part.spent != first.spent:
            raise InvalidExport("export-mismatch", "another payment, or other spent outputs")
    witnesses = {each.public_key: each for part in parts for each in part.transaction.witnesses}
    hints = dict.fromkeys(hint for part in parts for hint in part.hints)
    if len(hints) > MAX_HINTS:
        raise InvalidExport("export-length", "too many keys")
    kept = _enough(witnesses.values(), [output.lock for output in first.spent])
    return Exported(first.transaction.with_witnesses(kept), first.spent, tuple(hints))


def finalize(exported: Exported, params: NetworkParams) -> Transaction:
    """The transaction as every node will take it; "export-incomplete" while signatures lack."""
    if not exported.complete:
        raise InvalidExport("export-incomplete", f"{sum(exported.lacking())} signatures lack")
    transaction = exported.transaction.with_witnesses(
        _enough(exported.transaction.witnesses, [output.lock for output in exported.spent])
    )
    check_form(transaction, params)
    coins = [Coin(output, 0, False) for output in exported.spent]
    check_spend(transaction, coins, max(1, transaction.lock_height), params)
    return transaction


def _enough(witnesses: Iterable[Witness], locks: Iterable[Lock]) -> list[Witness]:
    """As many as the locks ask for, in the order of their keys: more than enough is refused by all."""
    kept = {key_hash(each.public_key): each for each in sorted(witnesses, key=lambda each: each.public_key)}
    distinct = tuple(dict.fromkeys(locks))
    for name in list(kept):
        naming = [lock for lock in distinct if name in lock.hashes]
        if all(len(kept.keys() & set(lock.hashes)) > lock.required for lock in naming):
            del kept[name]
    return list(kept.values())

"""Keystores and files for the tests of the wallet's keys."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from timed.params import REGTEST
from timed.wallet.derivation import account_path
from timed.wallet.keystore import Keystore
from timed.wallet.sealing import Cost, new_vault
from timed.wallet.walletkey import WalletSeed

VECTORS = Path(__file__).parent / "vectors"
CHEAP = Cost(passes=1, memory=8192)
"""What Argon2id takes at the least: a guess costs nothing, so for tests only."""
PASSPHRASE = "correct horse"
ACCOUNT = account_path(REGTEST)


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def seeded(number: int = 1) -> tuple[Keystore, list[dict[str, Any]]]:
    """A keystore with a seed phrase, and its outbox."""
    outbox: list[dict[str, Any]] = []
    source = random.Random(number).randbytes
    keys = Keystore(source, outbox)
    keys.plant(WalletSeed.of(source(32), "", ACCOUNT))
    return keys, outbox


def encrypt(keys: Keystore, passphrase: str = PASSPHRASE) -> None:
    """Protect the keystore and lock it."""
    vault, key = new_vault(passphrase, random.Random(77).randbytes, CHEAP)
    keys.protect(vault, key)
    keys.lock()


def reopened(records: list[dict[str, Any]], number: int = 99) -> Keystore:
    """What another process finds; records go through their text form."""
    keys = Keystore(random.Random(number).randbytes, [])
    keys.restore(json.loads(json.dumps(records)))
    return keys

"""The signature vectors of tests/vectors, as (name, public key, message, signature, valid)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

Vector = tuple[str, bytes, bytes, bytes, bool]

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")
VALID_SPECCHECK_CASES = {3}
"""Of the twelve cases only this one is valid under libsodium's rule."""


def _load(name: str) -> Any:
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)


def wycheproof() -> Iterator[Vector]:
    for group in _load("wycheproof_ed25519_test.json")["testGroups"]:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            yield (
                f"wycheproof {test['tcId']} {test['comment']}",
                public_key,
                bytes.fromhex(test["msg"]),
                bytes.fromhex(test["sig"]),
                test["result"] == "valid",
            )


def speccheck() -> Iterator[Vector]:
    for number, case in enumerate(_load("ed25519_speccheck_cases.json")):
        yield (
            f"speccheck {number}",
            bytes.fromhex(case["pub_key"]),
            bytes.fromhex(case["message"]),
            bytes.fromhex(case["signature"]),
            number in VALID_SPECCHECK_CASES,
        )

"""Golden vectors: encodings and derived hashes that must never change.

`tests/vectors/encodings.json` holds one encoding per declared value, written once.
A new value adds a vector (`python -m tests.test_codec_golden`); a vector that no
longer holds means that the protocol changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from timed.codec import interpret
from timed.codec.targets import all_records

VECTORS = Path(__file__).parent / "vectors" / "encodings.json"
CHAIN = ("timed.primitives.", "timed.wire.")
"""Values other nodes see; what a store keeps for itself has its own schema number."""

RECORDS = [record for record in all_records() if record.home.startswith(CHAIN)]


def as_json(plain: Any) -> Any:
    """Plain values with bytes as hex."""
    if isinstance(plain, dict):
        return {key: as_json(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [as_json(item) for item in plain]
    return plain.hex() if isinstance(plain, bytes) else plain


def vectors() -> dict[str, Any]:
    """The committed vectors, by the value's name."""
    loaded: dict[str, Any] = json.loads(VECTORS.read_text())
    return loaded


class GoldenVectors(SynchronousTestCase):
    """Rule [3]: the encoding of a value is the same for ever."""

    def test_every_value_has_a_vector(self) -> None:
        """[3] Declared values and committed vectors are the same set."""
        self.assertEqual(sorted(vectors()), sorted(record.title for record in RECORDS))

    def test_vectors_decode_to_their_fields_and_back(self) -> None:
        """[3] Each committed encoding gives the committed fields, and they give it back."""
        known = vectors()
        for record in RECORDS:
            vector = known[record.title]
            data = bytes.fromhex(vector["encoding"])
            value = interpret.class_of(record).decode(data)
            self.assertEqual(as_json(interpret.to_plain(record, value)), vector["fields"], record.title)
            self.assertEqual(value.pack(), data, record.title)

    def test_derived_hashes_are_the_committed_ones(self) -> None:
        """[5] Ids, hashes and signed messages of the vectors stay what they are."""
        seen = 0
        for record in RECORDS:
            vector = vectors()[record.title]
            value = interpret.class_of(record).decode(bytes.fromhex(vector["encoding"]))
            for name, digest in vector.get("derived", {}).items():
                self.assertEqual(derived(value)[name], digest, f"{record.title}.{name}")
                seen += 1
        self.assertGreaterEqual(seen, 9)


def derived(value: Any) -> dict[str, str]:
    """What is computed from a value and seen by others."""
    found = {}
    if isinstance(getattr(type(value), "txid", None), property):
        found["txid"] = value.txid.hex()
    if isinstance(getattr(type(value), "hash", None), property):
        found["hash"] = value.hash.hex()
    if hasattr(value, "signed_message"):
        found["signed_message"] = value.signed_message().hex()
    return found


def write_missing() -> None:
    """Add vectors for values that have none; existing ones are never touched."""
    known = vectors() if VECTORS.exists() else {}
    for record in RECORDS:
        if record.title not in known:
            plain = sample(record, record.title)
            value = interpret.from_plain(record, plain)
            known[record.title] = {"fields": as_json(plain), "encoding": interpret.build(record, plain).hex()}
            if derived(value):
                known[record.title]["derived"] = derived(value)
    VECTORS.write_text(json.dumps(known, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    write_missing()

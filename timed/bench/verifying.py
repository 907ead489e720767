"""How many signatures this machine checks: the ceiling of everything that checks each one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from timed.crypto.batch import verify_batch
from timed.crypto.keys import SigningKey
from timed.primitives.hashing import tagged_hash

BATCH = 64
THREADS = 2
SIGNATURES = 512


def verify_per_s(seconds: float = 1.0, threads: int = THREADS) -> float:
    """Ed25519 checks per second, in batches on `threads` threads, as the node does them."""
    key = SigningKey.from_seed(tagged_hash("bench-verify"))
    messages = [tagged_hash("bench-message", index.to_bytes(4, "little")) for index in range(SIGNATURES)]
    items = [(key.public, message, key.sign(message)) for message in messages]
    batches = [items[at : at + BATCH] for at in range(0, len(items), BATCH)]
    begun = time.monotonic()
    checked = 0
    with ThreadPoolExecutor(threads) as pool:
        while time.monotonic() - begun < seconds:
            checked += sum(map(sum, pool.map(verify_batch, batches)))
    return checked / (time.monotonic() - begun)

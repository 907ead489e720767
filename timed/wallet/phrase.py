"""Seed phrases: BIP 39 with the English words.

Errors say which word is wrong by its number; no word of a phrase stands in an error.
"""

from __future__ import annotations

from mnemonic import Mnemonic

from timed.errors import LocalError

ENTROPY_BYTES = 32
"""Entropy of a new phrase: 24 words."""
WORD_COUNTS = (12, 15, 18, 21, 24)
MAX_PHRASE = 24 * 9 + 64
"""Longer texts are not looked at: the longest word has eight letters."""


def phrase_of(entropy: bytes) -> str:
    """The words for 16, 20, 24, 28 or 32 bytes."""
    return str(Mnemonic("english").to_mnemonic(entropy))


def entropy_of(phrase: str) -> bytes:
    """What the words stand for; LocalError when they are no seed phrase."""
    words = Mnemonic.normalize_string(phrase[: MAX_PHRASE + 1]).lower().split()
    if len(phrase) > MAX_PHRASE or len(words) not in WORD_COUNTS:
        raise LocalError(
            f"a seed phrase has 12, 15, 18, 21 or 24 words, not {len(words)}.",
            "Write them with blanks between.",
        )
    reader = Mnemonic("english")
    known = frozenset(reader.wordlist)
    wrong = [str(number) for number, word in enumerate(words, 1) if word not in known]
    if wrong:
        raise LocalError(
            f"not from the list of BIP 39's English words: word number {', '.join(wrong)}.",
            "Look at what was written down again.",
        )
    try:
        return bytes(reader.to_entropy(words))
    except ValueError:
        raise LocalError(
            "the words of the seed phrase do not fit together: the checksum is wrong.",
            "One of them is another word of the list, or two have changed places.",
        ) from None


def seed_of(entropy: bytes, passphrase: str = "") -> bytes:
    """The 64 bytes from which keys are derived; `passphrase` is BIP 39's own, "" when there is none."""
    return bytes(Mnemonic.to_seed(phrase_of(entropy), passphrase))

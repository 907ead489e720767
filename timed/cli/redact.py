"""Takes secrets out of texts that go to somebody else.

Two ways at once: what this node's files hold is known and is looked for; what secrets
look like is looked for, too. A text that still holds a known one is never given out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mnemonic import Mnemonic

from timed.app.config import Config
from timed.app.datadir import NODE_KEY, OPERATOR_KEY
from timed.errors import LocalError

REMOVED = "<removed>"
LEAST = 8
"""Characters of a known secret; a shorter text would be found everywhere."""
LEAST_OF_WALLET = 16
"""Characters of a text in the wallet that is taken for one; shorter ones are labels and roles."""
MAX_WALLET_BYTES = 64 * 1024 * 1024
PHRASE_WORDS = 12
"""So many words of BIP 39 in a row are a seed phrase."""

_TOKEN = re.compile(rf"[0-9A-Za-z+/=_-]{{{LEAST_OF_WALLET},}}")
_SHAPES = (
    (re.compile(r"[!-9;-~]{1,64}:[0-9a-f]{2,64}\$[0-9a-f]{64}"), REMOVED),
    (re.compile(r"(?<=://)[^/@\s\"']*@"), f"{REMOVED}@"),
    (re.compile(r"(?i)\b(authorization:? *\w+ +|basic +|bearer +)[0-9A-Za-z+/=._-]{8,}"), rf"\1{REMOVED}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REMOVED),
    (re.compile(r"(?i)(pass(?:word|phrase|wd)?|secret|token)(\"? *[=:] *\"?)[^\s\",]{4,}"), rf"\1\2{REMOVED}"),
)  # fmt: skip
_WORDS = re.compile(rf"(?:[a-z]{{3,8}}[ \t]+){{{PHRASE_WORDS - 1},}}[a-z]{{3,8}}")


@cache
def _bip39() -> frozenset[str]:
    return frozenset(Mnemonic("english").wordlist)


class Redactor:
    """Replaces secrets in texts; `count` is how many it has replaced."""

    def __init__(self, known: Iterable[str], wallet: Iterable[str] = ()) -> None:
        # The longest first: one may be a part of another.
        self._known = sorted({each for each in known if len(each) >= LEAST}, key=len, reverse=True)
        self._wallet = frozenset(wallet)
        self.count = 0

    def clean(self, text: str) -> str:
        """`text` without secrets; LocalError when one is still in it, which would be a mistake in here."""
        for secret in self._known:
            self.count += text.count(secret)
            text = text.replace(secret, REMOVED)
        for shape, instead in _SHAPES:
            text, found = shape.subn(instead, text)
            self.count += found
        text = _TOKEN.sub(self._token, text)
        text = _WORDS.sub(self._phrase, text)
        if any(secret in text for secret in self._known):
            raise LocalError(
                "a secret could not be taken out of a text.", "Nothing was written; report this."
            )
        return text

    def _token(self, found: re.Match[str]) -> str:
        if found[0] not in self._wallet:
            return found[0]
        self.count += 1
        return REMOVED

    def _phrase(self, found: re.Match[str]) -> str:
        """Of words in a row, the runs that are long enough and all of BIP 39."""
        words = found[0].split()
        kept: list[str] = []
        run: list[str] = []
        for word in [*words, ""]:
            if word in _bip39():
                run.append(word)
                continue
            if len(run) >= PHRASE_WORDS:
                self.count += 1
                run = [REMOVED]
            kept += [*run, word]
            run = []
        changed = " ".join(kept).rstrip()
        return changed if REMOVED in changed else found[0]


def redactor_for(config: Config, *more: str) -> Redactor:
    """With everything secret that the files of a node hold, as far as this user may read them."""
    known = [*more]
    for secret in config.settings.rpc.auth:
        known += [secret.line, secret.salt, secret.digest.hex()]
    for path in (config.datadir / NODE_KEY, config.datadir / OPERATOR_KEY, *config.secret_files):
        known += _words_of(path)
    webhook = config.settings.webhook
    known += [urlsplit(url)._replace(scheme="", netloc="").geturl().lstrip("/") for url in webhook.urls]
    if webhook.secret_file:
        known += [line.strip() for line in _read(config.webhook_secret_file).splitlines()]
    wallet = config.wallet_file
    return Redactor(known, [*_strings(wallet), *_strings(wallet.with_name(f"{wallet.name}.journal"))])


def _read(path: Path) -> str:
    """Empty for what is not there; LocalError for what is there and cannot be read: it could not be taken out."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MAX_WALLET_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}; what is in it could not be kept out.",
            "Run this as the user of the node.",
        ) from error


def _words_of(path: Path) -> Iterator[str]:
    """The words of a file, and what stands in them behind a user's name."""
    for line in _read(path).splitlines():
        if line.startswith(("#", "-----")):
            continue
        for word in line.split():
            yield word
            yield from re.split(r"[:$]", word)[1:]


def _strings(path: Path) -> set[str]:
    """Every text of some length in the JSON of a wallet file or its journal."""
    text = _read(path)
    found: set[str] = set()
    for part in [text] if path.suffix == ".json" else text.splitlines():
        try:
            _collect(json.loads(part), found)
        except ValueError:
            found.update(_TOKEN.findall(part))
    return found


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, str):
        found.update(_TOKEN.findall(value))
    elif isinstance(value, list):
        for each in value:
            _collect(each, found)
    elif isinstance(value, dict):
        for each in value.values():
            _collect(each, found)

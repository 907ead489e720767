"""A strict reader of ini files that remembers where each value stood.

The standard `configparser` forgets line numbers, and an operator who is told
"bad value" wants to know the line.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from timed.errors import ConfigError

MAX_FILE_BYTES = 1024 * 1024
"""A configuration longer than this is some other file."""


@attrs.frozen
class Entry:
    """One `key = value` of one section; `origin` says where it was written."""

    section: str
    key: str
    text: str
    origin: str


def parse_ini(text: str, name: str) -> tuple[Entry, ...]:
    """The entries of an ini text, in their order; ConfigError for its first mistake.

    A line that starts with `#` or `;` is a comment; an indented line continues
    the value above it in its section. A key given twice, a key outside a section and a line
    without `=` are mistakes.
    """
    entries, mistakes = scan_ini(text, name)
    if mistakes:
        raise mistakes[0]
    return entries


def scan_ini(text: str, name: str) -> tuple[tuple[Entry, ...], tuple[ConfigError, ...]]:
    """The entries that can be read, and every mistake, both in the order of their lines."""
    entries: list[Entry] = []
    mistakes: list[ConfigError] = []
    seen: dict[tuple[str, str], str] = {}
    section, begun = "", False
    for number, line in enumerate(text.splitlines(), start=1):
        origin = f"{name}:{number}"
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0].isspace() and begun and entries:
            entries[-1] = attrs.evolve(entries[-1], text=f"{entries[-1].text} {stripped}".strip())
            continue
        if stripped[0] == "[":
            if stripped[-1] != "]":
                mistakes.append(ConfigError(f"{origin}: the section {stripped!r} lacks its closing bracket."))
            section, begun = stripped[1:].removesuffix("]").strip(), False
            continue
        begun = True
        entry = _entry(section, stripped, origin, seen)
        if isinstance(entry, ConfigError):
            mistakes.append(entry)
        else:
            entries.append(entry)
    return tuple(entries), tuple(mistakes)


def _entry(section: str, line: str, origin: str, seen: dict[tuple[str, str], str]) -> Entry | ConfigError:
    """One `key = value`, noted in `seen`, or what is wrong with it."""
    key, equals, value = (part.strip() for part in line.partition("="))
    if not equals or not key:
        return ConfigError(f"{origin}: {line!r} is not 'key = value'.")
    if not section:
        return ConfigError(f"{origin}: {key} stands before the first [section].")
    if (section, key) in seen:
        return ConfigError(f"{origin}: {section}.{key} was already given at {seen[section, key]}.")
    seen[section, key] = origin
    return Entry(section, key, value, origin)


def read_ini(path: Path) -> tuple[Entry, ...]:
    """The entries of a file; ConfigError when it cannot be read as text."""
    return parse_ini(read_text(path), str(path))


def read_text(path: Path) -> str:
    """A configuration file as text; ConfigError when it cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: there is no such file.",
            "Name the one that is meant, or write one with timed-cli init.",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}.", "Run this as a user who may."
        ) from error
    return _text(data, str(path))


def decode_ini(data: bytes, name: str) -> tuple[Entry, ...]:
    """The entries in the content of the file `name`; ConfigError when it is no text."""
    return parse_ini(_text(data, name), name)


def _text(data: bytes, name: str) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name} is {len(data)} bytes long; that is no configuration.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text (byte {error.start}).") from error

"""What `setconfig` changed for good: `overrides.ini` in the data directory, read at every start.

It wins over the configuration file, and the command line wins over it. The node
writes it anew with every change, in one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timed.app.inifile import Entry, decode_ini
from timed.app.schema import Key, keys
from timed.errors import ConfigError

INTRO = """\
# Written by the node: what setconfig changed and confirmconfig kept.
# It wins over the configuration file. Change it with setconfig, or while no node runs."""


def live_keys() -> dict[str, Key]:
    """The keys that can be changed while the node runs, by their full names."""
    return {row.full_name: row for row in keys() if row.live}


def read_overrides(path: Path) -> tuple[Entry, ...]:
    """The entries of the file, none when it is not there; ConfigError when it cannot be used.

    A key that needs a restart has no place in it: nobody would look for it there.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        # Of the directory itself its own check says more.
        return ()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}.", "Run this as the user of the node."
        ) from error
    known = live_keys()
    entries = decode_ini(data, str(path))
    for entry in entries:
        if f"{entry.section}.{entry.key}" not in known:
            raise ConfigError(
                f"{entry.origin}: {entry.section}.{entry.key} is no key that can be changed at run time.",
                "Remove the line; set such keys in the configuration file.",
            )
    return entries


def written(values: Mapping[str, str], path: Path) -> tuple[bytes, tuple[Entry, ...]]:
    """The file with these texts by full name, and what reading it gives."""
    lines, section = [INTRO], ""
    for name in sorted(values):
        own, _, key = name.partition(".")
        if own != section:
            section = own
            lines += ["", f"[{section}]"]
        lines.append(f"{key} = {values[name]}".rstrip())
    data = ("\n".join(lines) + "\n").encode("utf-8")
    return data, decode_ini(data, str(path))

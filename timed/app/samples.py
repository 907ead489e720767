"""`etc/node.ini` and `etc/node.regtest.ini`, written from the schema.

`python -m timed.app.samples etc` writes them; a test compares.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from timed.app.schema import keys, sections

NODE_INTRO = """\
A node that follows testnet from your home directory.
Run it with: twistd -n timed --config etc/node.ini
Every key is listed with its default; remove the mark before a key to change it.
What is called live can be changed while the node runs, with timed-cli setconfig."""

REGTEST_INTRO = """\
One node of a private network for development, with regtest's own genesis.
Run it with: twistd -n timed --config etc/node.regtest.ini
A network of several: timed-testnet up --nodes 3"""

REGTEST_VALUES = {
    "node.network": "regtest",
    "node.datadir": "~/.timed/regtest",
    "p2p.host": "127.0.0.1",
}


def sample(intro: str, values: Mapping[str, str]) -> str:
    """An ini text with every key; those not in `values` stand as comments."""
    lines = [f"# {line}" for line in intro.splitlines()]
    docs = {name: (cls.__doc__ or "").strip() for name, cls in sections()}
    section = ""
    for row in keys():
        if row.section != section:
            section = row.section
            lines += ["", "", f"# {docs[section]}", f"[{section}]"]
        lines.append("")
        lines += [
            f"# {line}"
            for line in textwrap.wrap(f"{row.doc} ({row.kind.name}{'; live' if row.live else ''})", 96)
        ]
        default = row.kind.show(row.default)
        if row.full_name in values:
            lines.append(f"{row.name} = {values[row.full_name]}".rstrip())
        else:
            lines.append(f"#{row.name} = {default}".rstrip())
    return "\n".join(lines) + "\n"


def samples() -> Mapping[str, str]:
    """File name and text of every sample."""
    return {"node.ini": sample(NODE_INTRO, {}), "node.regtest.ini": sample(REGTEST_INTRO, REGTEST_VALUES)}


def main(directory: str) -> None:
    for name, text in samples().items():
        Path(directory, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

"""`timed-cli config`: check a configuration, show the one in force, explain a key."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from timed.cli import local, status
from timed.cli.options import Options
from timed.errors import ConfigError

READERS = {
    "node": "every part of the node, at its start",
    "services": "the application, when it is put together",
    "p2p": "the p2p service and the peers it keeps",
    "rpc": "the rpc service, and timed-cli to find it",
    "monitor": "the monitor service",
    "store": "the chain service, for its storage backend",
    "index": "the index service",
    "crypto": "the application, for checking signatures",
    "wallet": "the rpc service, for its wallet",
    "log": "the application, for its log lines",
}
"""Who reads a section; one that is not here is read by the service of its name."""


def main(words: Sequence[str], options: Options) -> int:
    """One of check, show and explain."""
    parser = argparse.ArgumentParser(prog="timed-cli config", description="The configuration of a node.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="say everything that is wrong with a file")
    check.add_argument("file")
    check.set_defaults(act=_check)
    show = commands.add_parser(
        "show", help="every key with the value in force; what differs from the default is marked"
    )
    local.add_place(show, options)
    show.add_argument("--changed", action="store_true", help="only what differs from the default")
    show.set_defaults(act=_show)
    explain = commands.add_parser(
        "explain", help="what a key or a section means, and where its value comes from"
    )
    local.add_place(explain, options)
    explain.add_argument("key", metavar="SECTION[.KEY]")
    explain.set_defaults(act=_explain)
    found = parser.parse_args(words)
    number: int = found.act(found)
    return number


def _check(found: argparse.Namespace) -> int:
    from timed.app.composition import service_makers
    from timed.app.config import load, mistakes_in

    mistakes = mistakes_in(found.file)
    if not mistakes:
        try:
            service_makers(load(found.file).settings.services.enabled)
        except ConfigError as error:
            mistakes = [error]
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if mistakes:
        print(f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''} in {found.file}", file=sys.stderr)
        return status.USAGE
    print(f"{found.file} is good")
    return status.OK


def _show(found: argparse.Namespace) -> int:
    from timed.app.schema import keys

    config = local.config_of(found)
    section = ""
    for row in keys():
        value = getattr(getattr(config.settings, row.section), row.name)
        changed = value != row.default
        if found.changed and not changed:
            continue
        if row.section != section:
            section = row.section
            print(f"[{section}]")
        line = f"{row.name} = {row.kind.show(value)}".rstrip()
        print(
            f"{line}   # default: {row.kind.show(row.default) or 'empty'}"
            if changed and not found.changed
            else line
        )
    print(f"# data directory {config.datadir}")
    print(f"# ports: p2p {config.p2p_port}, rpc {config.rpc_port}, monitor {config.monitor_port}")
    return status.OK


def _explain(found: argparse.Namespace) -> int:
    from timed.app.config import nearest
    from timed.app.schema import keys, sections

    rows = {row.full_name: row for row in keys()}
    docs = {name: (cls.__doc__ or "").strip() for name, cls in sections()}
    if found.key in docs:
        print(f"[{found.key}] {docs[found.key]}\nread by: {_reader(found.key)}\n")
        for row in rows.values():
            if row.section == found.key:
                print(f"{row.name}: {row.doc}")
        return status.OK
    wanted = found.key if "." in found.key else _only(found.key, list(rows))
    if wanted not in rows:
        raise ConfigError(f"there is no key {found.key}.", nearest(wanted, list(rows)))
    key = rows[wanted]
    config = local.config_of(found)
    value = key.kind.show(getattr(getattr(config.settings, key.section), key.name))
    print(
        f"{key.full_name}\n  {key.doc}\n\nkind:    {key.kind.name}\ndefault: {key.kind.show(key.default) or '(empty)'}\n"
        f"section: [{key.section}] {docs[key.section]}\nread by: {_reader(key.section)}\n"
        f"changed: {'while the node runs (setconfig)' if key.live else 'with a restart'}\n"
        f"value:   {value or '(empty)'}, from {config.layers.source(key.full_name) or 'the default'}"
    )
    return status.OK


def _reader(section: str) -> str:
    return READERS.get(section, f"the {section} service")


def _only(name: str, names: list[str]) -> str:
    """The full name of a key that stands in one section only, else what looks most like it."""
    from difflib import get_close_matches

    found = [each for each in names if each.endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{name} stands in several sections.", f"Name one of {', '.join(found)}.")
    near = get_close_matches(name, [each.partition(".")[2] for each in names], n=1)
    hint = next((each for each in names if near and each.endswith(f".{near[0]}")), "")
    raise ConfigError(
        f"there is no key {name}.", f"The nearest is {hint}." if hint else "Name it as section.key."
    )

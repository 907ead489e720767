"""What `timed-cli` does by itself, without a call of that name."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`module` in `timed.cli` has `main(words, options) -> status`; imported when it is used."""

    name: str
    module: str
    summary: str
    words: tuple[str, ...] = ()
    """What may come next, for completion."""


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("help", "helping", "what a method or a command does; without a name, all of them"),
        Command("completion", "completion", "completion for a shell", ("bash", "zsh", "fish")),
        Command("init", "initial", "write a commented configuration"),
        Command(
            "config",
            "configfile",
            "check a configuration, show the one in force, explain a key",
            ("check", "show", "explain"),
        ),
        Command("keys", "keyfiles", "the node's keys: show, make, import", ("show", "generate", "import")),
        Command("address", "addresses", "what an address is, and whose", ("check", "convert", "of")),
        Command("backup", "backup", "copy keys, configuration and wallet of a node"),
        Command("doctor", "doctor", "why a node is slow, alone or not there, in plain words"),
        Command("profile", "profile", "what takes the time of a running node, as tables and a flame graph"),
        Command(
            "debug-bundle", "bundle", "one file with what explains a node's trouble, without its secrets"
        ),
        Command(
            "check-data", "datacheck", "is what a stopped node keeps on disk whole; --deep looks at all of it"
        ),
        Command("sign-offline", "signing", "sign an exported payment without a node"),
        Command("rpcauth", "rpcauth", "make an account for rpc.auth"),
        Command("seedlist", "seedlist", "make, sign and check lists of nodes", ("key", "sign", "check")),
    )
}

"""What `timed-cli` does by itself, without a call of that name."""

from __future__ import annotations

import attrs


@attrs.frozen
class Command:
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
        Command("seedlist", "seedlist", "make, sign and check lists of nodes", ("key", "sign", "check")),
    )
}

"""What may stand before the method: one table that parsing, help and completion read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FLAG = ""
"""The metavar of an option without a value."""
DISPLAYS = ("json", "compact", "human")
DEFAULT_WATCH_S = 2.0
MIN_WATCH_S = 0.1
MAX_PORT = 65_535


class UsageError(Exception):
    """The command line cannot be understood; the text says why."""


class Options:
    """The options as they were given; empty or 0 where nothing was."""

    network: str = ""
    datadir: str = ""
    config: str = ""
    node_id: int = 0
    rpcconnect: str = ""
    rpcport: int = 0
    rpc_url: str = ""
    rpcuser: str = ""
    rpcpassword: str = ""
    rpccookiefile: str = ""
    tls: bool = False
    cacert: str = ""
    timeout: float = 60.0
    wait: float = 0.0
    named: bool = False
    stdin: bool = False
    json: bool = False
    compact: bool = False
    human: bool = False
    watch: float = 0.0
    getinfo: bool = False
    netinfo: bool = False
    help: bool = False
    version: bool = False

    def __init__(self, **given: Any) -> None:
        for name, value in given.items():
            setattr(self, name, value)


class Option(NamedTuple):
    """One row: `name` is the attribute of Options; `metavar` is empty for a flag."""

    name: str
    metavar: str
    help: str
    words: tuple[str, ...] = ()
    environment: str = ""

    @property
    def spelling(self) -> str:
        """As one types it."""
        dash = "-" if self.name in ("getinfo", "netinfo") else "--"
        return dash + self.name.replace("_", "-")


WHERE = (
    Option("network", "NAME", "mainnet, testnet or regtest (default testnet)", ("mainnet", "testnet", "regtest")),
    Option("datadir", "DIR", "the node's data directory: its cookie, and node.ini if there is one", environment="TIMED_DATADIR"),
    Option("config", "FILE", "the node's configuration file"),
    Option("node-id", "N", "a node started with `timed --node-id N` in this directory"),
    Option("rpcconnect", "HOST", "where the node is (default: this machine)"),
    Option("rpcport", "PORT", "the node's RPC port (default: the configuration's, or the network's)"),
    Option("rpc-url", "URL", "http://user:password@host:port, or https, for all of this"),
)  # fmt: skip
WHO = (
    Option("rpcuser", "NAME", "an account instead of the cookie", environment="TIMED_RPCUSER"),
    Option("rpcpassword", "WORD", "its password; - reads it from standard input", environment="TIMED_RPCPASSWORD"),
    Option("rpccookiefile", "FILE", "the cookie file, if it is not in the data directory"),
    Option("tls", FLAG, "speak TLS and check the node's certificate"),
    Option("cacert", "FILE", "the authority (PEM) that signed it; implies --tls"),
)  # fmt: skip
HOW = (
    Option("timeout", "S", "longest wait for an answer (default 60)"),
    Option("wait", "S", "try for this long while the node starts, is busy or cannot be reached"),
    Option("named", FLAG, "arguments are given as name=value"),
    Option("stdin", FLAG, "secret arguments are read from standard input, a line each"),
)
DISPLAY = (
    Option("json", FLAG, "JSON with the numbers as the node wrote them (default)"),
    Option("compact", FLAG, "the same on one line"),
    Option("human", FLAG, "tables for people"),
    Option("watch", "[S]", "repeat every S seconds (default 2) until Ctrl-C"),
    Option("getinfo", FLAG, "an overview of the node on one screen"),
    Option("netinfo", FLAG, "the node's peers on one screen"),
    Option("help", FLAG, "this text"),
    Option("version", FLAG, "the version of this program"),
)
GROUPS = {"Which node": WHERE, "Credentials": WHO, "The call": HOW, "What is shown": DISPLAY}
OPTIONS: dict[str, Option] = {
    option.name.replace("-", "_"): option for group in GROUPS.values() for option in group
}
SHORT = {"h": "help", "r": "rpc_url", "rpcurl": "rpc_url"}


def split(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[Options, list[str]]:
    """The options, and the method with its arguments; UsageError for an unknown option.

    What stands after the method belongs to it, whatever it looks like.
    """
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word, equals, value = rest.pop(0).lstrip("-").partition("=")
        name = SHORT.get(word, word.replace("-", "_"))
        option = OPTIONS.get(name)
        if option is None:
            raise UsageError(f"there is no option {word!r}{_nearest(word)}")
        if option.metavar == FLAG:
            if equals:
                raise UsageError(f"the option {word!r} takes no value")
            setattr(options, name, True)
            continue
        if name == "watch" and not equals:
            value = rest.pop(0) if rest and _is_number(rest[0]) else str(DEFAULT_WATCH_S)
        elif not equals:
            if not rest:
                raise UsageError(f"the option {word!r} needs a value: {option.spelling} {option.metavar}")
            value = rest.pop(0)
        setattr(options, name, _value(option, name, value))
    _check(options)
    _complete(options, environment)
    return options, rest[1:] if rest[:1] == ["--"] else rest


def _complete(options: Options, environment: Mapping[str, str]) -> None:
    """What the environment says, unless the command line says it, or says otherwise."""
    named = options.config or options.node_id or options.rpc_url
    account = options.rpccookiefile or "@" in options.rpc_url
    for name, option in OPTIONS.items():
        overruled = named if name == "datadir" else account
        if option.environment and not getattr(options, name) and not overruled:
            setattr(options, name, environment.get(option.environment, ""))


def _value(option: Option, name: str, text: str) -> Any:
    kind = type(getattr(Options(), name))
    if option.words and text not in option.words:
        raise UsageError(f"{option.spelling} is one of {', '.join(option.words)}, not {text!r}")
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"the option {option.name!r} is not a number: {text!r}") from None
    if kind is not str and not 0 <= value < 1e9:
        raise UsageError(f"the option {option.name!r} is out of range: {text!r}")
    return value


def _check(options: Options) -> None:
    """What does not go together."""
    chosen = [name for name in DISPLAYS if getattr(options, name)]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} do not go together")
    if options.rpc_url and (options.rpcuser or options.rpcconnect) and "@" in options.rpc_url:
        raise UsageError("--rpc-url names host and user already")
    if options.timeout == 0:
        raise UsageError("the option 'timeout' is more than 0")
    if options.rpcport > MAX_PORT:
        raise UsageError(f"the option 'rpcport' is out of range: {options.rpcport}")
    if options.watch and options.watch < MIN_WATCH_S:
        raise UsageError(f"--watch repeats every {MIN_WATCH_S} s at the most often")


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, [option.name for option in OPTIONS.values()], n=1)
    return f"; did you mean {OPTIONS[near[0].replace('-', '_')].spelling}?" if near else ""

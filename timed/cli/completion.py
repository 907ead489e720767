"""`timed-cli completion SHELL`: what a shell offers after each word, from the tables.

The scripts are made once and ask nothing while one types: a node may be far away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from timed.cli import status
from timed.cli.commands import COMMANDS
from timed.cli.options import FLAG, OPTIONS, Option, Options, UsageError
from timed.rpc.method import Param
from timed.rpc.schema import Boolean, Word
from timed.rpc.table import METHODS

SHELLS = ("bash", "zsh", "fish")
OPTIONAL = ("watch",)
"""Options whose value may be left out: what follows may be the method."""
USE = """\
usage: timed-cli completion bash|zsh|fish

  bash   timed-cli completion bash > ~/.local/share/bash-completion/completions/timed-cli
  zsh    timed-cli completion zsh > ~/.zfunc/_timed-cli     (with ~/.zfunc in fpath)
  fish   timed-cli completion fish > ~/.config/fish/completions/timed-cli.fish
"""


def main(words: Sequence[str], options: Options) -> int:
    """The script of one shell on standard output."""
    del options
    if list(words) in (["--help"], ["-h"]):
        print(USE, end="")
        return status.OK
    if len(words) != 1 or words[0] not in SHELLS:
        raise UsageError(f"completion is for one of {', '.join(SHELLS)}")
    print({"bash": bash, "zsh": zsh, "fish": fish}[words[0]](), end="")
    return status.OK


def names() -> list[str]:
    """What may stand first: methods and commands."""
    return [*METHODS, *(name for name in COMMANDS if name not in METHODS)]


def choices() -> dict[str, dict[int, list[str]]]:
    """The words of each argument that has a few of them, by name and place."""
    found = {
        name: {at: words for at, param in enumerate(method.params) if (words := words_of(param))}
        for name, method in METHODS.items()
    }
    for name, command in COMMANDS.items():
        if command.words:
            found[name] = {0: list(command.words)}
    found["help"] = {0: names()}
    return {name: places for name, places in found.items() if places}


def words_of(param: Param) -> list[str]:
    """The words a parameter can be, empty when they are not a few."""
    kind = param.type
    if isinstance(kind, Word):
        return list(kind.words)
    return ["true", "false"] if isinstance(kind, Boolean) else []


def _spellings() -> list[str]:
    return [option.spelling for option in OPTIONS.values()]


def _valued() -> list[Option]:
    return [each for each in OPTIONS.values() if each.metavar != FLAG and each.name not in OPTIONAL]


def _cases(pad: str, form: str) -> Iterator[str]:
    """One line of a shell's `case` for each argument with a few words."""
    for name, places in choices().items():
        for place, words in places.items():
            yield pad + form.format(at=f"{name}:{place}", words=" ".join(words))


BASH = """\
# Completion of timed-cli for bash. Made by `timed-cli completion bash`.
_timed_cli() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} word option= method= named= place=0 i words=
    COMPREPLY=()
    [[ $cur == "=" ]] && cur=
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}} option=
        if [[ -n $method ]]; then
            place=$((place + 1))
            continue
        fi
        case $word in
            --named | -named) named=1 ;;
            {valued})
                option=$word
                [[ ${{COMP_WORDS[i + 1]}} == "=" ]] && i=$((i + 1))
                i=$((i + 1)) ;;
            -*) ;;
            *) method=${{word//-/}} ;;
        esac
        case $word in {commands}) method=$word ;; esac
    done
    if [[ -n $option && $i -gt $COMP_CWORD ]]; then
        case $option in
{option_words}
            *) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        esac
    elif [[ -z $method && $cur == -* ]]; then
        words="{options}"
    elif [[ -z $method ]]; then
        words="{names}"
    elif [[ -n $named ]]; then
        case $method in
{named}
        esac
        [[ $cur != *=* ]] && compopt -o nospace 2>/dev/null
    else
        case $method:$place in
{arguments}
            *) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _timed_cli timed-cli
"""


def bash() -> str:
    """The script for bash 4 and later."""
    named = [
        f'            {name}) words="{" ".join(f"{param.name}=" for param in method.params)}" ;;'
        for name, method in METHODS.items()
        if method.params
    ]
    return BASH.format(
        valued=" | ".join(option.spelling for option in _valued()),
        commands=" | ".join(COMMANDS),
        option_words="\n".join(
            f'            {option.spelling}) words="{" ".join(option.words)}" ;;'
            for option in _valued()
            if option.words
        ),
        options=" ".join(_spellings()),
        names=" ".join(names()),
        named="\n".join(named),
        arguments="\n".join(_cases(" " * 12, '{at}) words="{words}" ;;')),
    )


ZSH = """\
#compdef timed-cli
# Completion of timed-cli for zsh. Made by `timed-cli completion zsh`.
_timed_cli() {{
    local word option method i place=0
    for ((i = 2; i < CURRENT; i++)); do
        word=${{words[i]}} option=
        if [[ -n $method ]]; then
            (( place += 1 ))
            continue
        fi
        case $word in
            ({valued})
                option=$word
                (( i += 1 )) ;;
            (-*) ;;
            ({commands}) method=$word ;;
            (*) method=${{word//-/}} ;;
        esac
    done
    if [[ -n $option && $i -gt $CURRENT ]]; then
        case $option in
{option_words}
            (*) _files ;;
        esac
    elif [[ -z $method && ${{words[CURRENT]}} == -* ]]; then
        compadd -- {options}
    elif [[ -z $method ]]; then
        compadd -- {names}
    else
        case $method:$place in
{arguments}
            (*) _files ;;
        esac
    fi
}}
if [[ ${{funcstack[1]}} == _timed-cli ]]; then
    _timed_cli "$@"
elif (( $+functions[compdef] )); then
    compdef _timed_cli timed-cli
fi
"""


def zsh() -> str:
    """The script for zsh, to be found in fpath as `_timed-cli` or sourced after compinit."""
    return ZSH.format(
        valued="|".join(option.spelling for option in _valued()),
        commands="|".join(COMMANDS),
        option_words="\n".join(
            f"            ({option.spelling}) compadd -- {' '.join(option.words)} ;;"
            for option in _valued()
            if option.words
        ),
        options=" ".join(_spellings()),
        names=" ".join(names()),
        arguments="\n".join(_cases(" " * 12, "({at}) compadd -- {words} ;;")),
    )


FISH_HEAD = """\
# Completion of timed-cli for fish. Made by `timed-cli completion fish`.
function __timed_cli_at --description 'true when the method and the number of its arguments so far are these'
    set -l method ''
    set -l place 0
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip -eq 1
            set skip 0
        else if test -n "$method"
            set place (math $place + 1)
        else
            switch $word
                case {valued}
                    set skip 1
                case '-*'
                case {commands}
                    set method $word
                case '*'
                    set method (string replace --all -- - '' $word)
            end
        end
    end
    test "$method" = "$argv[1]"; and begin
        test -z "$argv[2]"; or test $place -eq "$argv[2]"
    end
end
complete -c timed-cli -n '__timed_cli_at ""' -f
"""


def fish() -> str:
    """The script for fish 3 and later."""
    head = FISH_HEAD.format(
        valued=" ".join(option.spelling for option in _valued()), commands=" ".join(COMMANDS)
    )
    return head + "\n".join(_fish_lines()) + "\n"


def _fish_lines() -> Iterator[str]:
    for option in OPTIONS.values():
        old = "-o" if option.spelling.count("-", 0, 2) == 1 else "-l"
        name = option.spelling.lstrip("-")
        line = f"complete -c timed-cli {old} {name} -d {_quoted(option.help)}"
        if option.words:
            line += f" -x -a {_quoted(' '.join(option.words))}"
        elif option.metavar != FLAG and option.name not in OPTIONAL:
            line += " -r"
        yield line
    summaries = {name: command.summary for name, command in COMMANDS.items()}
    summaries.update({name: method.summary for name, method in METHODS.items()})
    for name in names():
        yield f"complete -c timed-cli -n '__timed_cli_at \"\"' -a {name} -d {_quoted(summaries[name])}"
    for name, places in choices().items():
        for place, words in places.items():
            yield f"complete -c timed-cli -n '__timed_cli_at {name} {place}' -f -a {_quoted(' '.join(words))}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

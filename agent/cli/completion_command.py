"""`ml-intern completion bash|zsh|fish`: a script made from the argument parsers, so that it cannot lag behind them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from typing import Literal, TextIO

from agent.cli.args import (
    MCP_COMMANDS,
    SESSION_COMMANDS,
    TRACE_COMMANDS,
    completion_parser,
    config_parser,
    doctor_parser,
    gc_parser,
    mcp_parser,
    ps_parser,
    run_parser,
)
from agent.cli.exit_codes import ExitCode
from agent.cli.rewind_command import rewind_parser
from agent.cli.sessions_command import sessions_parser
from agent.cli.trace_command import trace_parser
from agent.light_dataclass import dataclass

_BY_METAVAR: dict[object, Literal["file", "session"]] = {"FILE": "file", "ID": "session"}
# Only plain ids: bash expands the words that it offers.
_IDS = r"""ml-intern sessions list --all --json 2>/dev/null | sed -n 's/^ *"id": "\([0-9A-Za-z-]*\)".*/\1/p'"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What may stand at a place of the command line: one of `choices`, or something of a kind; `text` is anything."""

    kind: Literal["nothing", "choice", "file", "session", "text"]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, all its spellings, and what follows it."""

    names: tuple[str, ...]
    help: str
    takes: Taken
    needs_value: bool


@dataclass(frozen=True, slots=True)
class Node:
    """The command after the words of `path`, its flags, and what it takes besides."""

    path: str
    flags: tuple[Flag, ...]
    takes: Taken


def run_completion(shell: str, out: TextIO) -> int:
    """Print the script for `shell`; returns the exit code."""
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](_nodes()), file=out)
    return ExitCode.OK


def _nodes() -> list[Node]:
    commands = ("config", "sessions", "trace", "doctor", "ps", "gc", "mcp", "completion")
    return [
        _node("", run_parser(), Taken("choice", commands)),
        Node("config", (), Taken("choice", ("show",))),
        _node("config show", config_parser()),
        _node("doctor", doctor_parser()),
        _node("ps", ps_parser()),
        _node("gc", gc_parser()),
        Node("mcp", (), Taken("choice", MCP_COMMANDS)),
        *(_node(f"mcp {name}", mcp_parser(name)) for name in MCP_COMMANDS),
        _node("completion", completion_parser()),
        Node("sessions", (), Taken("choice", SESSION_COMMANDS)),
        Node("trace", (), Taken("choice", TRACE_COMMANDS)),
        *(_node(f"trace {name}", trace_parser()) for name in TRACE_COMMANDS),
        *(_node(f"sessions {name}", parser) for name, parser in _session_parsers()),
    ]


def _session_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Of each command after `sessions`, its name and what it takes."""
    for action in sessions_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()
    yield "rewind", rewind_parser()


def _node(path: str, parser: argparse.ArgumentParser, takes: Taken | None = None) -> Node:
    actions = parser._actions  # argparse offers no other way to list them
    flags = tuple(_flag(action) for action in actions if action.option_strings)
    words = next((action for action in actions if not action.option_strings), None)
    return Node(path, flags, takes or (_taken(words) if words else Taken("nothing")))


def _flag(action: argparse.Action) -> Flag:
    takes = Taken("nothing") if action.nargs == 0 else _taken(action)
    text = (action.help or "") % {"prog": "ml-intern"}
    return Flag(tuple(action.option_strings), text, takes, action.nargs != 0 and action.nargs != "?")


def _taken(action: argparse.Action) -> Taken:
    if action.choices:
        return Taken("choice", tuple(action.choices))
    return Taken(_BY_METAVAR.get(action.metavar, "text"))


def _steps(nodes: list[Node]) -> Iterator[str]:
    """`parent child` of each step from a command to the next; the parent of the first is empty."""
    yield from (f"{head} {name}" for head, _, name in (node.path.rpartition(" ") for node in nodes if node.path))


# --- the shells: the frame of each script, and the lines that are made for it -----------------------------------------

_BASH = """\
_ml_intern_ids() { %(ids)s; }
_ml_intern() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} node= word words=
    COMPREPLY=()
    if [[ $cur == "=" ]]; then cur=; elif [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$node $word" in %(steps)s) node=${node:+$node }$word ;; *) break ;; esac
    done
    case "$node:$prev" in
%(values)s
        *) case "$node:$cur" in
%(words)s
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _ml_intern ml-intern"""


def _bash(nodes: list[Node]) -> str:
    known = {"file": "return", "session": "words=$(_ml_intern_ids)", "text": "compopt +o default 2>/dev/null; return"}

    def action(takes: Taken) -> str:
        return known.get(takes.kind) or f"words={shlex.quote(' '.join(takes.choices))}"

    values, words = [], []
    for node in nodes:
        start = shlex.quote(f"{node.path}:")
        values += [
            f"        {'|'.join(start + name for name in flag.names)}) {action(flag.takes)} ;;"
            for flag in node.flags
            if flag.takes.kind != "nothing"
        ]
        names = " ".join(name for flag in node.flags for name in flag.names)
        words.append(f"            {start}-*) words={shlex.quote(names)} ;;")
        words.append(f"            {start}*) {action(node.takes)} ;;")
    steps = "|".join(map(shlex.quote, _steps(nodes)))
    return _BASH % {"ids": _IDS, "steps": steps, "values": "\n".join(values), "words": "\n".join(words)}


_ZSH = """\
#compdef ml-intern
_ml_intern_ids() { local -a ids; ids=(${(f)"$(%(ids)s)"}); compadd -a ids }
_ml_intern() {
    local node= word depth=0
    for word in ${words[2,CURRENT-1]}; do
        case "$node $word" in (%(steps)s) node=${node:+$node }$word; ((++depth)) ;; (*) break ;; esac
    done
    words=(ml-intern "${(@)words[depth+2,-1]}")
    ((CURRENT -= depth))
    case "$node" in
%(nodes)s
    esac
}
if [[ $funcstack[1] == _ml_intern ]]; then _ml_intern "$@"; else compdef _ml_intern ml-intern; fi"""


def _zsh(nodes: list[Node]) -> str:
    known = {"file": "_files", "session": "_ml_intern_ids", "text": "_default", "nothing": "()"}

    def action(takes: Taken) -> str:
        return known.get(takes.kind) or f"({' '.join(takes.choices)})"

    lines = []
    for node in nodes:
        specs = [f"*:{node.path}:{action(node.takes)}"]
        if not node.path:
            specs = [f"1:command:{action(node.takes)}", "*:prompt:_files"]
        for flag in node.flags:
            value = f"{':' if flag.needs_value else '::'}value:{action(flag.takes)}"
            text = "".join(f"\\{c}" if c in "[]:\\" else c for c in flag.help)
            rest = f"[{text}]{'' if flag.takes.kind == 'nothing' else value}"
            specs += [f"({' '.join(flag.names)}){name}{rest}" for name in flag.names]
        lines.append(f"        ({shlex.quote(node.path)}) _arguments {' '.join(map(shlex.quote, specs))} ;;")
    steps = "|".join(map(shlex.quote, _steps(nodes)))
    return _ZSH % {"ids": _IDS, "steps": steps, "nodes": "\n".join(lines)}


_FISH = """\
function __ml_intern_ids
    %(ids)s
end
function __ml_intern_at
    set -l node ''
    for word in (commandline -opc)[2..]
        switch "$node $word"
            case %(steps)s
                set node (string trim -- "$node $word")
            case '*'
                break
        end
    end
    test "$node" = "$argv"
end
%(nodes)s"""


def _fish(nodes: list[Node]) -> str:
    known = {"file": "-F", "session": "-f -a '(__ml_intern_ids)'", "text": "", "nothing": "-f"}

    def action(takes: Taken) -> str:
        return known[takes.kind] if takes.kind in known else f"-f -a {_fish_quoted(' '.join(takes.choices))}"

    lines = []
    for node in nodes:
        start = f"complete -c ml-intern -n {_fish_quoted(f'__ml_intern_at {node.path}'.rstrip())}"
        lines.append(f"{start} {action(node.takes)}".rstrip())
        for flag in node.flags:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
            value = "" if flag.takes.kind == "nothing" else action(flag.takes) + " -r" * flag.needs_value
            lines.append(f"{start} {names} -d {_fish_quoted(flag.help)} {value}".rstrip())
    steps = " ".join(map(_fish_quoted, _steps(nodes)))
    return _FISH % {"ids": _IDS, "steps": steps, "nodes": "\n".join(lines)}


def _fish_quoted(text: str) -> str:
    """`text` in single quotes, between which fish knows a backslash before a backslash or a quote only."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

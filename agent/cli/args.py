"""The command line. Imports argparse and hardly more: `--help` and `--version` must be instant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, Literal

from agent import __version__
from agent.light_dataclass import dataclass
from agent.protocol.modes import MODES

EPILOG = """\
commands:
  ml-intern config show   print every setting, its value and its origin
  ml-intern sessions      list, show, rm, rename, export, sft, rewind saved sessions
  ml-intern trace view    show a saved session as a page in the browser
  ml-intern doctor        check tokens, models, git, disk, GPU; say what to mend
  ml-intern ps            list what runs elsewhere for you, and what it costs per hour
  ml-intern gc            end what nobody looks after any more; gc ID ends that one
  ml-intern mcp           list, add, remove, test MCP servers
  ml-intern completion    print a script for completion in bash, zsh or fish

exit codes:
  0 done   1 agent or model error   2 usage or configuration   3 credentials
  4 iteration limit   5 budget or time limit   6 approval needed or denied
  128+n signal n

without any key:
  ml-intern --model replay/demo "train a small classifier"
"""


SESSION_COMMANDS = ("list", "show", "rm", "rename", "export", "sft", "rewind")
MCP_COMMANDS = ("list", "add", "remove", "test")
TRACE_COMMANDS = ("view",)
SHELLS = ("bash", "zsh", "fish")
THEMES = ("auto", "dark", "light")

Command = Literal["run", "config show", "sessions", "trace", "doctor", "ps", "gc", "mcp", "completion"]

_LEASE = re.compile(r"[0-9a-f]{4,24}|[\w.-]+/[\w.-]+")
"""What a lease's or a job's id, or enough of its beginning, looks like; or the id of a Space."""
_NEAR_VIEW = ("show", "open", "export", "html")
_SENTENCE = 3
"""So many words after `ps` or `gc` are a prompt rather than a slip."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Which saved session to go on with: `which` as typed, None for the latest here, "" to be asked."""

    which: str | None
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the person typed, checked as far as it can be without configuration."""

    command: Command
    prompt: str | None
    print_mode: bool
    output_format: Literal["text", "json", "stream-json"]
    no_stream: bool
    config_file: str | None
    debug: bool
    as_json: bool
    flags: dict[str, Any]
    """Configuration keys set by flags."""
    resume: Resume | None = None
    rest: tuple[str, ...] = ()
    """The words after `sessions`, `trace view` or `mcp`, the shell after `completion`, the ids after `gc`."""
    probe: bool = False
    """Whether `doctor` asks the model something."""
    dry_run: bool = False
    """Whether `gc` only says what it would do."""
    everything: bool = False
    """Whether `gc` ends all there is."""


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line. Prints and exits for `--help` and `--version` (0) and for usage errors (2, on stderr).

    A prompt may begin like a command: `ml-intern doctor my data set` is one.
    """
    words = list(argv)
    name, rest = (words[0], words[1:]) if words else ("", [])
    only_flags = not rest or rest[0].startswith("-")
    if name == "config" and rest[:1] == ["show"]:
        return _arguments("config show", _parsed(config_parser(), rest[1:]))
    if name == "sessions" and (only_flags or rest[0] in SESSION_COMMANDS):
        return Arguments("sessions", None, False, "text", False, None, False, False, {}, rest=tuple(rest))
    if name == "trace" and (rest[:1] in (["--help"], ["-h"]) or (rest and rest[0] in TRACE_COMMANDS)):
        rest = rest[1:] if rest[0] in TRACE_COMMANDS else rest
        return Arguments("trace", None, False, "text", False, None, False, False, {}, rest=tuple(rest))
    if name == "doctor" and only_flags:
        return _arguments("doctor", _parsed(doctor_parser(), rest))
    if name == "ps" and len(rest) < _SENTENCE:
        return _arguments("ps", _parsed(ps_parser(), rest))
    if name == "gc" and (len(rest) < _SENTENCE or all(word.startswith("-") or _LEASE.fullmatch(word) for word in rest)):
        return _arguments("gc", _parsed(gc_parser(), rest))
    if name == "mcp" and (only_flags or rest[0] in MCP_COMMANDS):
        return Arguments("mcp", None, False, "text", False, None, False, False, {}, rest=tuple(rest or ["list"]))
    if name == "completion" and (len(rest) <= 1 or only_flags or rest[0] in SHELLS):
        shell = completion_parser().parse_args(rest).shell
        return Arguments("completion", None, False, "text", False, None, False, False, {}, rest=(shell,))
    parser = run_parser()
    parsed = _parsed(parser, words)
    if parsed.prompt == ["config", "show"]:
        return _arguments("config show", parsed)
    if parsed.prompt == ["doctor"]:
        return _arguments("doctor", parsed)
    _refuse_near_commands(parser, parsed.prompt)
    return _arguments("run", parsed)


def _refuse_near_commands(parser: argparse.ArgumentParser, prompt: list[str]) -> None:
    """Two words of which the first is a command are a slip rather than a prompt."""
    if prompt[:1] == ["config"] and len(prompt) <= 2:
        parser.error(f"there is no command '{' '.join(prompt)}'; did you mean 'ml-intern config show'?")
    if prompt[:1] == ["doctor"] and len(prompt) == 2:
        parser.error(f"there is no command '{' '.join(prompt)}'; did you mean 'ml-intern doctor'?")
    if prompt[:1] == ["sessions"] and len(prompt) == 2:
        known = ", ".join(SESSION_COMMANDS)
        parser.error(f"there is no command '{' '.join(prompt)}'; after 'sessions' comes one of {known}")
    if prompt[:1] == ["trace"] and (len(prompt) <= 2 or (len(prompt) == 3 and prompt[1] in _NEAR_VIEW)):
        parser.error(f"there is no command '{' '.join(prompt)}'; did you mean 'ml-intern trace view ID'?")
    if prompt[:1] == ["mcp"] and prompt[1:2] and prompt[1] in MCP_COMMANDS:
        parser.error(f"flags come behind the command: ml-intern {' '.join(prompt[:2])} …")
    if prompt[:1] == ["mcp"] and len(prompt) == 2:
        known = ", ".join(MCP_COMMANDS)
        parser.error(f"there is no command '{' '.join(prompt)}'; after 'mcp' comes one of {known}")


def _parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    parsed = parser.parse_args(words)
    if parsed.yolo and parsed.mode not in (None, "yolo"):
        parser.error(f"--yolo is short for --mode yolo and cannot go with --mode {parsed.mode}; leave one of them out")
    return parsed


def _arguments(command: Command, parsed: argparse.Namespace) -> Arguments:
    flags: dict[str, Any] = {}
    if parsed.model is not None:
        flags["model_name"] = parsed.model
    if parsed.max_iterations is not None:
        flags["max_iterations"] = parsed.max_iterations
    if parsed.sandbox_tools:
        flags["tool_runtime"] = "sandbox"
    if parsed.yolo:
        flags["yolo_mode"] = True
    if parsed.no_budget:
        flags["no_budget"] = True
    if parsed.plain:
        flags["plain"] = True
    same_name = ("max_cost_usd", "max_wall_s", "mode", "theme")
    flags |= {key: value for key in same_name if (value := getattr(parsed, key)) is not None}
    words = getattr(parsed, "prompt", []) if command == "run" else []
    return Arguments(
        command=command,
        prompt=" ".join(words) if words else None,
        print_mode=getattr(parsed, "print", False),
        output_format=getattr(parsed, "output_format", "text"),
        no_stream=getattr(parsed, "no_stream", False),
        config_file=parsed.config,
        debug=parsed.debug,
        as_json=getattr(parsed, "json", False),
        flags=flags,
        resume=_resume(parsed) if command == "run" else None,
        rest=tuple(getattr(parsed, "ids", ())),
        probe=getattr(parsed, "probe", False),
        dry_run=getattr(parsed, "dry_run", False),
        everything=getattr(parsed, "all", False),
    )


def _resume(parsed: argparse.Namespace) -> Resume | None:
    if parsed.go_on:
        return Resume(None)
    if parsed.fork is not None:
        return Resume(parsed.fork, fork=True)
    return Resume(parsed.resume) if parsed.resume is not None else None


def _shared_parser() -> argparse.ArgumentParser:
    """Options of every command: those that change settings."""
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument(
        "-m", "--model", metavar="MODEL", help="model to use, e.g. anthropic/claude-opus-4-8, ollama/qwen3"
    )
    shared.add_argument("--max-iterations", type=_iterations, metavar="N", help="model calls per turn (-1: no limit)")
    shared.add_argument(
        "--max-cost-usd",
        metavar="USD",
        dest="max_cost_usd",
        help="stop (exit code 5) once the session has cost this",
    )
    shared.add_argument(
        "--max-wall", metavar="TIME", dest="max_wall_s", help="stop (exit code 5) after this long, e.g. 90m, 8h"
    )
    shared.add_argument("--no-budget", action="store_true", help="allow billable compute without a cap, unattended")
    shared.add_argument("--sandbox-tools", action="store_true", help="run tools in a Hugging Face sandbox, not here")
    shared.add_argument("--mode", choices=MODES, help="how much a conversation may do without asking")
    shared.add_argument("--yolo", action="store_true", help="short for --mode yolo: run tools without asking")
    shared.add_argument("--plain", action="store_true", help="plain lines, for screen readers and simple terminals")
    shared.add_argument("--theme", choices=THEMES, help="colours for a dark or a light terminal")
    shared.add_argument("--config", metavar="FILE", help="use FILE instead of your configuration file")
    shared.add_argument("--debug", action="store_true", help="log to stderr, with tracebacks")
    return shared


def run_parser() -> argparse.ArgumentParser:
    """What `ml-intern` itself takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern",
        description="A terminal agent for machine-learning engineers.\n"
        "With a prompt it works it off and exits; without one it opens a conversation.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_parser()],
        allow_abbrev=False,
    )
    parser.add_argument("prompt", nargs="*", help="what to do; piped input is added to it; '-' waits for piped input")
    parser.add_argument(
        "-p", "--print", action="store_true", help="never open a conversation; read the prompt from stdin"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-c", "--continue", action="store_true", dest="go_on", help="go on with the latest session of this directory"
    )
    which.add_argument(
        "-r",
        "--resume",
        nargs="?",
        const="",
        metavar="ID",
        help="go on with a saved session or file; without ID, choose one",
    )
    which.add_argument("--fork", metavar="ID", help="go on with a copy of a saved session")
    parser.add_argument("--no-stream", action="store_true", help="ask the model for whole answers")
    parser.add_argument(
        "--output-format", choices=["text", "json", "stream-json"], default="text", help="what goes to stdout"
    )
    parser.add_argument("--version", action="version", version=f"ml-intern {__version__}")
    return parser


def config_parser() -> argparse.ArgumentParser:
    """What `ml-intern config show` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern config show",
        description="Print every setting, its value and the layer that set it. Secrets are masked.",
        parents=[_shared_parser()],
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def doctor_parser() -> argparse.ArgumentParser:
    """What `ml-intern doctor` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern doctor",
        description="Check what ml-intern needs, and say the cause and the remedy of each problem. Changes nothing.\n"
        "The exit code is 1 where there is a problem.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_parser()],
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--probe", action="store_true", help="ask the model for a word, which may cost a little")
    return parser


def ps_parser() -> argparse.ArgumentParser:
    """What `ml-intern ps` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern ps",
        description="List the jobs, sandboxes and background processes that sessions on this machine have started and "
        "that may still run, and what they cost per hour.",
        parents=[_shared_parser()],
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def gc_parser() -> argparse.ArgumentParser:
    """What `ml-intern gc` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern gc",
        description="End what sessions on this machine have started and nobody looks after any more: expired jobs,\n"
        "sandboxes whose session is gone. With IDs (of 'ml-intern ps'), end those, whatever their age.\n"
        "The exit code is 1 where something could not be ended.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_parser()],
        allow_abbrev=False,
    )
    parser.add_argument("ids", nargs="*", metavar="LEASE", help="what to end: an id, or its beginning")
    parser.add_argument("--all", action="store_true", help="end everything that was started from this machine")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def mcp_parser(command: str) -> argparse.ArgumentParser:
    """What `ml-intern mcp COMMAND` takes. The command of `mcp add`, which follows `--`, is taken off before."""
    about, usage, epilog = _MCP[command]
    parser = argparse.ArgumentParser(
        prog=f"ml-intern mcp {command}",
        usage=usage,
        description=about,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command != "list":
        parser.add_argument("name", metavar="NAME", help="what the server is called in your settings")
    if command == "add":
        parser.add_argument("--url", help="the address of a server that is reached over the network")
        parser.add_argument("--header", action="append", default=[], metavar="'K: V'", help="sent with each request")
        parser.add_argument("--env", action="append", default=[], metavar="K=V", help="a variable of a program")
        parser.add_argument("--transport", choices=("http", "sse"), help="how a URL is spoken to; http by default")
    if command == "list":
        parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--config", metavar="FILE", help="use FILE instead of your configuration file")
    return parser


_MCP: dict[str, tuple[str, str | None, str]] = {
    "list": ("List the MCP servers of your settings. Also: mcp add, mcp remove, mcp test.", None, ""),
    "add": (
        "Add an MCP server to your configuration file: a program to start, or an address.",
        "ml-intern mcp add NAME [--env K=V] -- COMMAND [ARGS]\n"
        "       ml-intern mcp add NAME [--header 'K: V'] --url URL",
        "examples:\n"
        "  ml-intern mcp add files -- npx -y @modelcontextprotocol/server-filesystem ~/data\n"
        "  ml-intern mcp add hub --url https://huggingface.co/mcp\n"
        "  ml-intern mcp add wiki --url https://wiki.example/mcp --header 'Authorization: Bearer ${WIKI_TOKEN}'\n"
        "${NAME} is kept as written and read from the environment at each start: no secret is in the file.",
    ),
    "remove": ("Remove an MCP server from your configuration file.", None, ""),
    "test": ("Connect to an MCP server, list its tools, and say how long it took. Exit code 1 if it fails.", None, ""),
}


def completion_parser() -> argparse.ArgumentParser:
    """What `ml-intern completion` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern completion",
        description="Print a script that makes a shell complete commands, flags and session ids.",
        epilog='bash (in ~/.bashrc):  eval "$(ml-intern completion bash)"\n'
        'zsh (in ~/.zshrc, after compinit):  eval "$(ml-intern completion zsh)"\n'
        "fish (once):  ml-intern completion fish > ~/.config/fish/completions/ml-intern.fish",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that shall read it")
    return parser


def _iterations(text: str) -> int:
    """A number of iterations: 1 or more, or -1."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1 and number != -1:
        raise argparse.ArgumentTypeError(f"{number} is not possible; give 1 or more, or -1 for no limit")
    return number

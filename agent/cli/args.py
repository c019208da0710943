"""The command line. Imports argparse and nothing else: `--help` and `--version` must be instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent import __version__

EPILOG = """\
commands:
  ml-intern config show   print every setting, its value and its origin
  ml-intern sessions      list, show, rm, rename, export, rewind saved sessions

exit codes:
  0 done   1 agent or model error   2 usage or configuration   3 credentials
  4 iteration limit   5 budget or time limit   6 approval needed or denied
  128+n signal n

without any key:
  ml-intern --model replay/demo "train a small classifier"
"""


SESSION_COMMANDS = ("list", "show", "rm", "rename", "export", "rewind")


@dataclass(frozen=True, slots=True)
class Resume:
    """Which saved session to go on with: `which` as typed, None for the latest here, "" to be asked."""

    which: str | None
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the person typed, checked as far as it can be without configuration."""

    command: Literal["run", "config show", "sessions"]
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
    """The words after `sessions`."""


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line. Prints and exits for `--help` and `--version` (0) and for usage errors (2, on stderr)."""
    if list(argv[:2]) == ["config", "show"]:
        return _arguments("config show", _config_parser().parse_args(argv[2:]))
    if list(argv[:1]) == ["sessions"] and (len(argv) == 1 or argv[1].startswith("-") or argv[1] in SESSION_COMMANDS):
        return Arguments("sessions", None, False, "text", False, None, False, False, {}, rest=tuple(argv[1:]))
    parser = _run_parser()
    parsed = parser.parse_args(argv)
    if parsed.prompt == ["config", "show"]:
        return _arguments("config show", parsed)
    if parsed.prompt[:1] == ["config"] and len(parsed.prompt) <= 2:
        parser.error(f"there is no command '{' '.join(parsed.prompt)}'; did you mean 'ml-intern config show'?")
    if parsed.prompt[:1] == ["sessions"] and len(parsed.prompt) == 2:
        known = ", ".join(SESSION_COMMANDS)
        parser.error(f"there is no command '{' '.join(parsed.prompt)}'; after 'sessions' comes one of {known}")
    return _arguments("run", parsed)


def _arguments(command: Literal["run", "config show"], parsed: argparse.Namespace) -> Arguments:
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
    flags |= {key: value for key in ("max_cost_usd", "max_wall_s") if (value := getattr(parsed, key)) is not None}
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
        "-m", "--model", metavar="ID", help="model to use, e.g. anthropic/claude-opus-4-8, ollama/qwen3"
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
    shared.add_argument("--yolo", action="store_true", help="approve tool calls automatically, as headless runs do")
    shared.add_argument("--config", metavar="FILE", help="use FILE instead of your configuration file")
    shared.add_argument("--debug", action="store_true", help="log to stderr, with tracebacks")
    return shared


def _run_parser() -> argparse.ArgumentParser:
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
        "-r", "--resume", nargs="?", const="", metavar="ID", help="go on with a saved session; without ID, choose one"
    )
    which.add_argument("--fork", metavar="ID", help="go on with a copy of a saved session")
    parser.add_argument("--no-stream", action="store_true", help="ask the model for whole answers")
    parser.add_argument(
        "--output-format", choices=["text", "json", "stream-json"], default="text", help="what goes to stdout"
    )
    parser.add_argument("--version", action="version", version=f"ml-intern {__version__}")
    return parser


def _config_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ml-intern config show",
        description="Print every setting, its value and the layer that set it. Secrets are masked.",
        parents=[_shared_parser()],
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
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

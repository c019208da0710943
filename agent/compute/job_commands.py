"""What a job runs: scripts and commands as an argv. Pure functions; trouble is `ComputeError` of kind bad_request.

A script travels inside of its job's argv: compressed, in pieces, since Linux takes at most 131,072 bytes for one
argument, and 2 MB for all of them with the environment. A few lines of POSIX shell put it back together:

    /bin/sh -c BOOTSTRAP ml-intern-job train.py 2 <piece> <piece> uv run --with torch @ml-intern-script@ --epochs 3

Words are never joined into a shell command on the way, so there is nothing that quoting could get wrong.
"""

from __future__ import annotations

import base64
import gzip
import re
import shlex
from collections.abc import Sequence
from dataclasses import field

from agent.hub.artifact_hook import unwrapped
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError

SCRIPT_IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""Where scripts run, unless something else is asked for."""
COMMAND_IMAGE = "python:3.12"
"""Where commands run, unless something else is asked for."""

MAX_WORD_BYTES = 131_071
"""MAX_ARG_STRLEN of Linux, without the final zero byte."""
PIECE_CHARS = 120_000
MAX_PACKED_CHARS = 1_400_000
"""Leaves 600 KB of the 2 MB (ARG_MAX with the usual stack of 8 MB) for other arguments and the environment."""

_MARK = "ml-intern-job"
_PLACE = "@ml-intern-script@"
_BOOTSTRAP = f"""\
fail() {{ echo "ml-intern: $1" >&2; exit 127; }}
name=$1 pieces=$2
shift 2
command -v uv >/dev/null 2>&1 || fail "this image has no uv on its PATH, which runs scripts. \
Leave out the image ({SCRIPT_IMAGE} is used then), or install uv in it."
if [ "$pieces" -gt 0 ]; then
  for tool in mktemp base64 gzip; do
    command -v "$tool" >/dev/null 2>&1 || fail "this image has no $tool, which unpacks the script. Use another image."
  done
  dir=$(mktemp -d) || fail "no temporary directory can be made in this image."
  while [ "$pieces" -gt 0 ]; do printf %s "$1"; shift; pieces=$((pieces - 1)); done >"$dir/packed" &&
    base64 -d <"$dir/packed" | gzip -dc >"$dir/$name" && rm "$dir/packed" || fail "the script cannot be unpacked."
  here=$dir/$name
  for word do
    shift
    if [ "$word" = {_PLACE} ] && [ -n "$here" ]; then word=$here here=; fi
    set -- "$@" "$word"
  done
fi
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A Python program: its text, or the URL where uv finds it. `name` is how tracebacks call it."""

    text: str = field(default="", repr=False)
    url: str | None = None
    name: str = "script.py"

    @property
    def file_name(self) -> str:
        """`name` as a plain file name that Python takes for a program."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", re.split(r"[/\\]", self.name)[-1]).removesuffix(".py").strip("._-")
        return f"{stem[:80] or 'script'}.py"


def uv_command(
    script: Script, *, dependencies: Sequence[str] = (), python: str | None = None, script_args: Sequence[str] = ()
) -> tuple[str, ...]:
    """Run `script` by `uv run`, with `dependencies` installed first. Its exit code is the job's.

    A text of about 1 MB fits whatever it is, more where it compresses well. In an image without uv the job ends with
    code 127 and says why.
    """
    options = [word for dependency in dependencies if dependency.strip() for word in ("--with", dependency.strip())]
    options += ["--python", python] if python else []
    pieces = [] if script.url else _packed(script.text)
    target = script.url or _PLACE
    argv = ("/bin/sh", "-c", _BOOTSTRAP, _MARK, script.file_name, str(len(pieces)), *pieces)
    return _checked((*argv, "uv", "run", *options, target, *script_args))


def docker_command(command: Sequence[str]) -> tuple[str, ...]:
    """`command` as it is; a single text with blanks in it is what a shell would be given."""
    if not command or not command[0].strip():
        raise _refused("The command is empty: give the program and its arguments, one text each.")
    if len(command) == 1 and len(command[0].split()) > 1:
        return _checked(("/bin/sh", "-c", command[0]))
    return _checked(tuple(command))


def default_env() -> dict[str, str]:
    """Environment of every job: logs without progress bars, and each line as soon as it is printed."""
    return {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "TRANSFORMERS_VERBOSITY": "warning",
        "UV_NO_PROGRESS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def readable(command: Sequence[str]) -> str:
    """`command` for people, on one line: `uv run --with torch train.py --epochs 3` instead of what carries it.

    Only our own way of carrying is left out, word for word: whatever else is there is a part of what runs.
    """
    words = list(unwrapped(tuple(str(word) for word in command)))
    lead = ["/bin/sh", "-c", _BOOTSTRAP, _MARK]
    at = next((at for at in range(len(words)) if words[at : at + 4] == lead), len(words))
    if (carried := _carried(words[at + 4 :])) is not None:
        words[at:] = carried
    return shlex.join(words)


def _carried(words: list[str]) -> list[str] | None:
    """The command behind a name, a number of pieces and the pieces; None if it is something else."""
    if len(words) < 2 or not re.fullmatch(r"[0-9]{1,3}", words[1]) or len(words) <= (start := 2 + int(words[1])):
        return None
    name, rest = words[0], words[start:]
    if _PLACE in rest:
        rest[rest.index(_PLACE)] = name
    return rest


def _packed(text: str) -> list[str]:
    """The script, compressed and as base64, in pieces that each fit into an argument."""
    data = text.encode("utf-8", "backslashreplace")
    # without a time stamp: the same script makes the same job
    packed = base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii")
    if len(packed) > MAX_PACKED_CHARS:
        raise _refused(
            f"The script is too long to be sent along ({len(data):,} bytes, {len(packed):,} when packed; at most "
            f"{MAX_PACKED_CHARS:,}). Upload it to a repository on the Hub and give the URL of the file, or let a short "
            "script download what it needs."
        )
    return [packed[start : start + PIECE_CHARS] for start in range(0, len(packed), PIECE_CHARS)]


def _checked(argv: tuple[str, ...]) -> tuple[str, ...]:
    for word in argv:
        if "\0" in word:
            raise _refused("An argument of the command has a zero byte in it.")
        if len(word.encode("utf-8", "replace")) > MAX_WORD_BYTES:
            raise _refused(
                f"An argument of the command is too long ({len(word):,} characters; Linux takes {MAX_WORD_BYTES:,} "
                "bytes). Give long code as a script, not as part of a command."
            )
    return argv


def _refused(text: str) -> ComputeError:
    return ComputeError(text, "bad_request", nothing_started=True)

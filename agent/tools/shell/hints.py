"""What a careful person would want pointed out before they let a command run, in a few words each.

Nothing is read anew: the hints say what the analysis has found. They decide nothing, so they rather err towards saying
too much; what can be seen at a glance in the command itself is still worth a word, because people skim.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from agent.light_dataclass import dataclass
from agent.tools.shell.danger import place
from agent.tools.shell.git import split_git
from agent.tools.shell.spelling import command_text
from agent.tools.shell.syntax import Redirect
from agent.tools.shell.words import Word, names
from agent.tools.shell.wrappers import Call

MAX_HINTS = 4
_MAX_EXAMPLE = 60

DOWNLOADS_CODE = "downloads and runs code"
DELETES = "deletes files"
OTHER_USER = "runs as another user"
UNCERTAIN = "the command could not be read for certain"
CREDENTIALS = "reads credentials"
DISCARDS = "throws away changes"
OUTSIDE = "writes outside the workspace"
PUBLISHES = "pushes to a remote"
ENDS = "ends processes"
ACCESS = "changes who may read or run files"
INSTALLS = "installs packages"
NETWORK = "opens the network"
BACKGROUND = "runs in the background"

_ORDER = (DOWNLOADS_CODE, DELETES, OTHER_USER, UNCERTAIN, CREDENTIALS, DISCARDS, OUTSIDE, PUBLISHES, ENDS, ACCESS,
          INSTALLS, NETWORK, BACKGROUND)  # fmt: skip
"""The most important first: what cannot be undone, then what leads to it, then what only reaches far."""

_PROGRAMS = {
    DELETES: names("rm rmdir unlink shred wipefs"),
    OTHER_USER: names("sudo doas su runuser pkexec"),
    ENDS: names("kill pkill killall killall5"),
    ACCESS: names("chmod chown chgrp setfacl"),
    NETWORK: names("curl wget ssh scp sftp rsync nc ncat socat telnet ftp aria2c http https lwp-download"),
    BACKGROUND: names("nohup setsid disown systemd-run"),
}
_SUB_COMMANDS = {
    DELETES: ("git clean", "git rm"),
    DISCARDS: (
        "git reset --hard", "git checkout --", "git checkout .", "git restore", "git stash drop", "git stash clear",
        "git branch -D", "git push --force", "git push -f", "git reflog expire",
    ),
    PUBLISHES: (
        "git push", "hf upload", "hf upload-large-folder", "huggingface-cli upload", "docker push", "npm publish",
        "uv publish", "twine upload", "gh release create", "gh pr create", "gh repo create", "poetry publish",
    ),
    INSTALLS: (
        "pip install", "pip3 install", "uv add", "uv sync", "uv pip", "uv tool install", "conda install",
        "conda create", "mamba install", "npm install", "npm ci", "npm i", "pnpm add", "pnpm install", "yarn add",
        "apt install", "apt-get install", "dnf install", "yum install", "brew install", "cargo install", "go install",
        "gem install", "poetry add", "poetry install", "pipx install", "snap install",
    ),
    NETWORK: (
        "git clone", "git fetch", "git pull", "hf download", "huggingface-cli download", "docker pull", "wandb sync",
    ),
}  # fmt: skip
_WRITES_TO_LAST = names("cp mv ln install rsync")
_WRITES_TO_ALL = names("tee touch mkdir truncate")
_HARMLESS_PLACES = re.compile(r"/tmp(/.*)?|/dev/(null|stdout|stderr|fd/\d+|tty)")


@dataclass(frozen=True, slots=True)
class Findings:
    """What the analysis knows of a command that hints can be made of. `credentials` are the words that name some."""

    calls: Sequence[Call]
    outputs: Sequence[Redirect]
    credentials: Sequence[str]
    dangerous: str | None
    background: bool
    uncertain: bool
    workspace: str | None
    home: str


def hints(found: Findings) -> tuple[str, ...]:
    """At most `MAX_HINTS` of them, the most important first. Never raises."""
    examples: dict[str, list[str]] = {kind: [] for kind in _ORDER}
    said: set[str] = set()
    for kind, example in _all(found):
        said.add(kind)
        if example and example not in examples[kind]:
            examples[kind].append(example)
    return tuple(_worded(kind, examples[kind]) for kind in _ORDER if kind in said)[:MAX_HINTS]


def _worded(kind: str, examples: Sequence[str]) -> str:
    if not examples:
        return kind
    more = f", and {len(examples) - 1} more" if len(examples) > 1 else ""
    shown = examples[0] if len(examples[0]) <= _MAX_EXAMPLE else f"{examples[0][:_MAX_EXAMPLE]}…"
    return f"{kind}: {shown}{more}" if kind in {OUTSIDE, CREDENTIALS} else f"{kind} ({shown}{more})"


def _all(found: Findings) -> Iterator[tuple[str, str]]:
    """Kinds of hint with an example, as they occur in the command."""
    if found.dangerous and found.dangerous.startswith("it runs what it downloads"):
        yield DOWNLOADS_CODE, ""
    if found.uncertain:
        yield UNCERTAIN, ""
    if found.background:
        yield BACKGROUND, ""
    for named in found.credentials:
        yield CREDENTIALS, named
    for redirect in found.outputs:
        yield from _outside(redirect.target, redirect.directory, found)
    for call in found.calls:
        yield from _of_call(call, found)


def _of_call(call: Call, found: Findings) -> Iterator[tuple[str, str]]:
    text = command_text(call)
    program = posixpath.basename(call.program)
    outer = posixpath.basename(call.outer.words[0].text) if call.outer.words else ""
    for kind, programs in _PROGRAMS.items():
        if program in programs or (kind == BACKGROUND and outer in programs):
            yield kind, "" if kind == BACKGROUND else text
    yield from ((OTHER_USER, power) for power in call.powers if power in _PROGRAMS[OTHER_USER])
    if program == "find" and any(word.text == "-delete" for word in call.arguments):
        yield DELETES, text
    arguments = split_git(call.arguments)[1] if program == "git" else call.arguments
    words = [program, *(word.text for word in arguments)]
    for kind, starts in _SUB_COMMANDS.items():
        if any(_begins(words, start.split()) for start in starts):
            yield kind, text
    directory = call.outer.directories[-1] if call.outer.directories else None
    for target in _written(program, call.arguments):
        yield from _outside(target, directory, found)


def _begins(words: Sequence[str], start: Sequence[str]) -> bool:
    """Whether these words stand at the beginning; an option at the end of `start` may stand anywhere behind them.

    `python -m pip` is `pip`.
    """
    if re.fullmatch(r"python[\d.]*", words[0]) and words[1:2] == ["-m"]:
        words = words[2:]
    if start[-1].startswith("-"):
        return list(words[: len(start) - 1]) == list(start[:-1]) and start[-1] in words[len(start) - 1 :]
    return list(words[: len(start)]) == list(start)


def _written(program: str, words: Sequence[Word]) -> Sequence[Word]:
    """The words that a program takes for places to write to."""
    named = [word for word in words if not word.text.startswith("-")]
    if program in _WRITES_TO_LAST:
        return named[-1:] if len(named) > 1 else []
    in_place = program == "sed" and any(re.match(r"-[a-zA-Z]*i|--in-place", word.text) for word in words)
    return named[1:] if in_place else named if program in _WRITES_TO_ALL else []


def _outside(target: Word, directory: str | None, found: Findings) -> Iterator[tuple[str, str]]:
    path = place(target, directory, found.home) if target.known else None
    if path is None or found.workspace is None or _HARMLESS_PLACES.fullmatch(path):
        return
    if not f"{path}/".startswith(posixpath.normpath(found.workspace).rstrip("/") + "/"):
        yield OUTSIDE, path

"""The permission rule that "always allow this" adds for a command."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.protocol.permissions import PermissionRule
from agent.tools.shell.git import split_git
from agent.tools.shell.words import Word, names
from agent.tools.shell.wrappers import SHELLS, Call

UNWISE = SHELLS | names(
    """rm rmdir unlink shred dd mv cp ln install tee truncate sudo doas su eval exec source . xargs find fd env export
    declare unset trap alias chmod chown chgrp kill pkill killall curl wget ssh scp rsync sftp nc socat telnet crontab
    at mount umount sed awk gawk mawk docker podman kubectl systemctl service parallel watch osascript open"""
)
"""Programs that can do anything, or too much, depending on what follows: no rule is offered for them."""

_WITH_SUB_COMMANDS = names(
    """git uv pip pip3 pipx npm pnpm yarn cargo go conda mamba poetry pdm hatch rye pixi gh hf huggingface-cli wandb
    trackio dvc make just brew apt apt-get dnf yum accelerate rustup terraform aws gcloud az modal dotnet gradle mvn"""
)
_GROUPS = frozenset(
    {("uv", "pip"), ("uv", "tool"), ("uv", "python"), ("git", "remote"), ("git", "stash"), ("git", "worktree"),
     ("git", "submodule"), ("git", "lfs"), ("npm", "run"), ("pnpm", "run"), ("yarn", "run"), ("conda", "env"),
     ("gh", "pr"), ("gh", "issue"), ("gh", "repo"), ("gh", "run"), ("hf", "repo"), ("hf", "auth"), ("hf", "jobs"),
     ("wandb", "artifact"), ("dvc", "remote")}
)  # fmt: skip
_RUNNERS = frozenset(
    {("uv", "run"), ("poetry", "run"), ("pdm", "run"), ("hatch", "run"), ("rye", "run"), ("pixi", "run")}
)
_UNWISE_SUB_COMMANDS = frozenset({("uv", "x"), ("npm", "exec"), ("pnpm", "exec"), ("conda", "run"), ("git", "config")})
_INTERPRETER = re.compile(r"(python|pypy)[\d.]*|node|ruby|perl|php|lua|Rscript|deno|bun|julia")
_PLAIN = re.compile(r"[\w./:@+-]+")


def always_rule(calls: Sequence[Call], changing: Sequence[str]) -> str | None:
    """One rule for all these calls, or None where that would be unwise, takes several or would not cover `changing`."""
    starts = {_start(call) for call in calls}
    start = next(iter(starts)) if len(starts) == 1 else None
    if start is None:
        return None
    rule = f"bash({' '.join(start)} *)"
    return rule if PermissionRule.parse(rule).covers_words(changing) else None


def _start(call: Call) -> tuple[str, ...] | None:
    """The words a rule for this call begins with."""
    if call.powers or call.unclear or call.script is not None or not call.program:
        return None
    arguments = split_git(call.arguments)[1] if call.program == "git" else call.arguments
    return _start_of((Word(call.program), *arguments))


def _start_of(words: Sequence[Word]) -> tuple[str, ...] | None:
    texts = [word.text if word.known and not word.glob else "" for word in words]
    program = texts[0] if texts else ""
    if program in UNWISE or program.startswith("-") or not _PLAIN.fullmatch(program):
        return None
    if _INTERPRETER.fullmatch(program.rsplit("/", 1)[-1]):
        return _script_start(texts)
    if program not in _WITH_SUB_COMMANDS:
        return (program,)
    pair = (program, texts[1] if len(texts) > 1 else "")
    if pair in _RUNNERS:
        inner = _start_of(words[2:])
        return None if inner is None else (*pair, *inner)
    length = 3 if pair in _GROUPS or program in {"aws", "gcloud", "az"} else 2
    start = tuple(texts[:length])
    plain = len(start) == length and all(_PLAIN.fullmatch(text) and not text.startswith("-") for text in start)
    return start if plain and pair not in _UNWISE_SUB_COMMANDS else None


def _script_start(texts: list[str]) -> tuple[str, ...] | None:
    """`python train.py`, `python -m pytest`; nothing for code on the command line or from the input."""
    at = 1
    while at < len(texts) and re.fullmatch(r"-[uBEIsSO]+", texts[at]):
        at += 1
    rest = texts[at:]
    length = 2 if rest[:1] == ["-m"] else 1
    named = [text for text in rest[:length] if text != "-m"]
    if len(named) != 1 or not _PLAIN.fullmatch(named[0]) or named[0].startswith("-") or "/dev/" in named[0]:
        return None
    return (*texts[:at], *rest[:length])

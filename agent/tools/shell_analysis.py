"""What a bash command does: whether it only looks, which commands it is made of, whether it would be a catastrophe.

    text -> shell.syntax (simple commands; how sure) -> shell.wrappers (what runs in the end)
         -> shell.readonly (only looks?), shell.danger (ruins something?), sensitive_paths (names credentials?)

The answer is about approval, not containment: a command that only looks runs unasked, so everything here that is not
known to be harmless counts as changing something. Nothing is run and no file is read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.tools import FREE, ApprovalContext, ApprovalNeed
from agent.tools.sensitive_paths import home_directory, is_sensitive_path
from agent.tools.shell.always import always_rule
from agent.tools.shell.danger import danger, feeds_download, is_fork_bomb, redirect_danger, rough_danger, rough_texts
from agent.tools.shell.hints import Findings, hints
from agent.tools.shell.readonly import READS_CREDENTIALS, changes_execution, why_changing
from agent.tools.shell.reasons import credentials_named, credentials_reason, whole_reason, writes_reason
from agent.tools.shell.spelling import allow_text, command_text, spellings
from agent.tools.shell.syntax import MAX_BYTES, Redirect, Script, join_path, read_script
from agent.tools.shell.wrappers import Call, unwrap

__all__ = ["ShellVerdict", "analyse", "bash_rule", "bash_verdict", "is_sensitive_path"]

_MAX_LAYERS = 4
_MAX_CALLS = 1000
_SAFE_FILES = re.compile(r"/dev/(null|stdout|stderr)")
_DESCRIPTORS = re.compile(r"-|\d+-?")


@dataclass(frozen=True, slots=True)
class ShellVerdict:
    """What is known of a command.

    `reason` says why it is not read-only, empty if it is. `commands` are its simple commands, wrappers taken off and
    words unquoted. `dangerous` is what it would ruin, if a person must decide even where all else is approved.

    For permission rules: `changing` are the texts that rules must cover to allow the command (those that only look need
    no rule; output into other files and what else is not plain stands there too), `spellings` those any of which a rule
    may forbid. `opaque`: it could not be read for certain, so that no pattern can allow it. `hints` are for the person
    who decides, and decide nothing.
    """

    read_only: bool
    reason: str
    commands: tuple[str, ...]
    dangerous: str | None
    changing: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    opaque: bool = False
    always_rule: str | None = None
    hints: tuple[str, ...] = ()


@dataclass(slots=True)
class _Gathered:
    """All scripts inside one another, and their calls."""

    scripts: list[Script] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    opaque: str | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether the shell may see something else in it than was found."""
        return self.opaque is not None or any(script.hazard for script in self.scripts)


def analyse(command: str, directory: str | None = None, workspace: str | None = None) -> ShellVerdict:
    """Judge a command that runs in `directory`; output into files below `workspace` is what a rule may allow.

    Never raises. Commands beyond 20 kB or deeper than any person writes are not read-only.
    """
    home = home_directory()
    if len(command) > MAX_BYTES:
        return _analyse(command, directory, workspace, home)
    return _remembered(command, directory, workspace, home)


def bash_verdict(arguments: Mapping[str, Any], context: ApprovalContext) -> ShellVerdict:
    """The verdict on a call of the `bash` tool."""
    command, work_dir = arguments.get("command"), arguments.get("work_dir")
    workspace = str(context.workspace)
    directory = join_path(workspace, work_dir) if isinstance(work_dir, str) and work_dir else workspace
    return analyse(command if isinstance(command, str) else "", directory, workspace)


def bash_rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """The approval rule of `bash`: what only looks is free, a catastrophe needs a person, the rest is asked."""
    verdict = bash_verdict(arguments, context)
    if verdict.dangerous:
        return ApprovalNeed("human", verdict.dangerous, hints=verdict.hints)
    if verdict.read_only:
        return FREE
    return ApprovalNeed("ask", verdict.reason, verdict.always_rule, hints=verdict.hints)


def _analyse(command: str, directory: str | None, workspace: str | None, home: str) -> ShellVerdict:
    found = _Gathered()
    _gather(command, directory, 0, found)
    dangerous = _danger(command, directory, home, found)
    reasons: list[str] = [found.opaque] if found.opaque else []
    changing: list[Call] = []
    besides: list[str] = []
    for call in found.calls:
        if found_reasons := _why_call_changes(call, home):
            reasons += found_reasons
            changing.append(call)
    for script in found.scripts:
        _judge_script(script, workspace, reasons, besides)
        _judge_mentions(script, {word.text for call in found.calls for word in call.words}, reasons, besides)
    if reasons and not changing:
        # What is not read-only here is the whole, not one of its commands: `echo x > file`, `sleep 9 &`.
        changing = found.calls
    texts = tuple(dict.fromkeys([*map(allow_text, changing), *besides]))
    known = [text for call in found.calls for text in spellings(call)]
    opaque = found.is_uncertain
    no_rule = opaque or dangerous or not reasons or any(reason.startswith(READS_CREDENTIALS) for reason in reasons)
    return ShellVerdict(
        read_only=not reasons,
        reason=whole_reason(reasons),
        commands=tuple(dict.fromkeys(command_text(call) for call in found.calls if _is_own_command(call))),
        dangerous=dangerous,
        changing=texts,
        spellings=tuple(dict.fromkeys([*known, *(rough_texts(command) if found.opaque else ())])),
        opaque=opaque,
        always_rule=None if no_rule else always_rule(changing, texts),
        hints=_hints(found, reasons, dangerous, workspace, home),
    )


_remembered = lru_cache(maxsize=64)(_analyse)


def _hints(
    found: _Gathered, reasons: list[str], dangerous: str | None, workspace: str | None, home: str
) -> tuple[str, ...]:
    return hints(
        Findings(
            calls=[call for call in found.calls if _is_own_command(call)],
            outputs=[redirect for script in found.scripts for redirect in script.redirects if _writes(redirect)],
            credentials=credentials_named(reasons),
            dangerous=dangerous,
            background=any(script.background for script in found.scripts),
            uncertain=found.is_uncertain,
            workspace=workspace,
            home=home,
        )
    )


def _gather(text: str, directory: str | None, depth: int, found: _Gathered) -> None:
    script = read_script(text, directory)
    found.scripts.append(script)
    found.opaque = found.opaque or script.opaque
    first = len(found.calls)
    for command in script.commands:
        found.calls += unwrap(command)
    calls = found.calls[first:]
    inner = [(call.script, call.outer.directories[-1]) for call in calls if call.script]
    if any(call.reads_script for call in calls):
        inner += [(fed, directory) for fed in script.fed_texts]
        for call in calls:
            last = call.outer.upstream[-1].words if call.reads_script and call.outer.upstream else ()
            if last and last[0].text in {"echo", "printf"}:
                inner.append((" ".join(word.text for word in last[1:]), directory))
    if len(found.calls) > _MAX_CALLS or (inner and depth >= _MAX_LAYERS):
        found.opaque = found.opaque or "it is nested too deeply to be analysed"
        return
    for inner_text, inner_directory in dict.fromkeys(inner):
        _gather(inner_text, inner_directory, depth + 1, found)


def _is_own_command(call: Call) -> bool:
    """`sh -c '...'` is not a command of its own: what it runs stands beside it."""
    return call.script is None or bool(call.powers) or call.program in {"eval", "su"}


def _why_call_changes(call: Call, home: str) -> list[str]:
    secrets = [credentials_reason(word.text, call.outer.directories) for word in call.words]
    if _is_own_command(call):
        reason = why_changing(call, home)
    else:
        harmful = next((name for name in call.settings if changes_execution(name)), None)
        reason = call.unclear or (f"it sets {harmful}, which can change what a command does" if harmful else None)
    return [found for found in (reason, *secrets) if found]


def _judge_script(script: Script, workspace: str | None, reasons: list[str], besides: list[str]) -> None:
    """What is not in a single call: structure, variables, output files."""
    if script.hazard:
        reasons.append(script.hazard)
    if script.background:
        reasons.append("it goes on in the background")
    for name in script.settings:
        if changes_execution(name):
            reasons.append(f"it sets {name}, which can change what a command does")
            besides.append(f"{name}=")
    for redirect in script.redirects:
        if _only_reads(redirect):
            continue
        reasons.append(writes_reason(redirect.target.text))
        if not _is_plain_output(redirect, workspace):
            besides.append(f"{redirect.operator} {redirect.target.text}")


def _judge_mentions(script: Script, in_calls: set[str], reasons: list[str], besides: list[str]) -> None:
    """Credentials named outside of calls: after `<`, in a variable, in the words of a loop."""
    for word, directories in script.mentions:
        if reason := credentials_reason(word.text, directories):
            reasons.append(reason)
            if word.text not in in_calls:
                besides.append(word.text)


def _only_reads(redirect: Redirect) -> bool:
    target = redirect.target
    if redirect.operator == "<":
        return target.known and not target.text.startswith(("/dev/tcp", "/dev/udp"))
    if redirect.operator in {"<&", ">&"} and (redirect.operator == "<&" or _DESCRIPTORS.fullmatch(target.text)):
        return True
    return target.known and bool(_SAFE_FILES.fullmatch(target.text)) and redirect.operator != "<>"


def _writes(redirect: Redirect) -> bool:
    return redirect.operator not in {"<", "<&"} and not _only_reads(redirect)


def _is_plain_output(redirect: Redirect, workspace: str | None) -> bool:
    """A file in the workspace with nothing hidden on the way to it, or one in /tmp: what a write could do as well."""
    target = redirect.target
    if (
        not target.known
        or target.glob
        or ".." in target.text
        or redirect.operator not in {">", ">>", ">|", "&>", "&>>"}
    ):
        return False
    if target.text.startswith("/tmp/"):
        return True
    if workspace is None or redirect.directory is None or target.text.startswith(("/", "~", "$")):
        return False
    path = posixpath.normpath(join_path(redirect.directory, target.text))
    inside = path.removeprefix(posixpath.normpath(workspace) + "/")
    return inside != path and not any(part.startswith(".") for part in inside.split("/"))


def _danger(command: str, directory: str | None, home: str, found: _Gathered) -> str | None:
    if is_fork_bomb(command):
        return "it is a fork bomb"
    assigned = frozenset(name for script in found.scripts for name in script.settings)
    for call in found.calls:
        if reason := danger(call, home, assigned):
            return reason
        if call.reads_script and any(feeds_download(text) for script in found.scripts for text in script.fed_texts):
            return f"it runs what it downloads with `{call.program}`, unseen"
    for redirect in (redirect for script in found.scripts for redirect in script.redirects):
        if reason := redirect_danger(redirect):
            return reason
    return rough_danger(command, directory, home) if found.opaque else None

"""`bash` in a sandbox."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.compute.sandbox.words import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, WORK_DIR, RunResult
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError
from agent.protocol.tools import FREE, ApprovalContext, ApprovalNeed, ApprovalRule, ToolResult, ToolSession
from agent.tools.arguments import ArgumentError, int_argument, text_argument
from agent.tools.output import last_lines
from agent.tools.printed import NO_OUTPUT, exit_note
from agent.tools.sandbox.heard import Heard, told_live
from agent.tools.sandbox.machines import Machine
from agent.tools.shell_analysis import bash_verdict

_THERE = ApprovalContext(Path(WORK_DIR))


def token_rule(may_have_token: Callable[[], bool]) -> ApprovalRule:
    """Free is what happens in the sandbox, which can be thrown away, unless commands there may have the person's
    token (`may_have_token`): a script can do whatever that allows, so all but looking is asked about."""

    def rule(arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
        if not may_have_token():
            return FREE
        verdict = bash_verdict(arguments, _THERE)
        if verdict.read_only:
            return FREE
        why = verdict.reason or verdict.dangerous or "it may change something"
        return ApprovalNeed("ask", f"has the person's Hugging Face token, and {why}", verdict.always_rule)

    return rule


@dataclass(frozen=True, slots=True)
class _Request:
    command: str
    work_dir: str | None
    timeout_s: int
    note: str


def parse(arguments: Mapping[str, Any]) -> _Request:
    """What a call asks for. Raises ArgumentError."""
    command = text_argument(arguments, "command")
    if not command.strip():
        raise ArgumentError("`command` is empty.")
    if "\0" in command:
        raise ArgumentError("`command` has a NUL character, which no shell takes.")
    timeout_s = int_argument(arguments, "timeout", DEFAULT_TIMEOUT_S, minimum=1)
    note = f"[timeout lowered from {timeout_s} to the most allowed, {MAX_TIMEOUT_S} s]" * (timeout_s > MAX_TIMEOUT_S)
    work_dir = arguments.get("work_dir") or None
    if work_dir is not None and (not isinstance(work_dir, str) or "\0" in work_dir):
        raise ArgumentError("`work_dir` must be the path of a directory.")
    return _Request(command, work_dir, min(timeout_s, MAX_TIMEOUT_S), note)


async def run(machine: Machine, arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
    """Run the command there. On cancellation it is ended there, and what it has printed is not lost."""
    request, heard = parse(arguments), Heard(session.scrub)
    try:
        async with told_live("bash", tool_call_id, heard, session):
            result = await machine.sandbox.run(
                _with_env(request.command, machine),
                work_dir=request.work_dir,
                timeout_s=request.timeout_s,
                on_output=heard.add,
            )
        return await asyncio.to_thread(_reported, result, request, session.scrub)
    except asyncio.CancelledError:
        if so_far := heard.so_far():
            session.keep_partial(tool_call_id, so_far)
        raise
    except ComputeError as error:
        so_far = heard.so_far()
        lead = f"{so_far}\n[Above is what it had printed.]\n" if so_far else ""
        return ToolResult(f"{lead}{session.scrub(str(error))}", ok=False)


def _with_env(command: str, machine: Machine) -> str:
    """The command with the variables that were wanted only after the machine was made."""
    late = {name: value for name, value in machine.env.items() if machine.made_env.get(name) != value}
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in late.items())
    return f"export {exports}\n{command}" if late else command


def _reported(result: RunResult, request: _Request, scrub: Callable[[str], str]) -> ToolResult:
    printed = scrub(result.output).rstrip("\n")
    text = printed if printed.strip() else NO_OUTPUT
    notes = [*_notes(result, request, printed=text != NO_OUTPUT), *([request.note] if request.note else ())]
    display = "\n".join([last_lines(text), *notes]) if result.truncated else None
    return ToolResult("\n".join([text, *notes]), ok=result.exit_code == 0, display=display)


def _notes(result: RunResult, request: _Request, *, printed: bool) -> list[str]:
    notes = []
    if result.background and result.spill_path:
        notes.append(f"[Background processes go on; what they print is added to {result.spill_path} in the sandbox]")
    if result.timed_out:
        so_far = "above is what it had printed" if printed else "it had printed nothing"
        notes.append(
            f"[Timed out after {request.timeout_s} s: the command and its children were ended; {so_far}. Give a "
            f"larger `timeout` (up to {MAX_TIMEOUT_S}), or start it in the background "
            "(nohup COMMAND > run.log 2>&1 &) and look at its log.]"
        )
    elif result.flooded:
        notes.append(
            f"[Ended because it had printed too much ({result.size_bytes:,} bytes). Send long output to a file of its "
            "own, or filter it.]"
        )
    elif result.killed:
        notes.append("[Ended from outside.]")
    elif result.exit_code != 0:
        notes.append(exit_note(result.exit_code))
    return notes

"""A tool call before it runs: its arguments read, what may become of it, and whether it would fail anyway."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.core.session import Session
from agent.core.turn_state import PreparedCall
from agent.protocol.messages import FunctionCall, ToolCall, valid_text
from agent.protocol.tools import ToolResult

logger = logging.getLogger(__name__)

_TOLD_NAME_CHARS = 80


def prepare(session: Session, call: ToolCall) -> PreparedCall:
    """Parse the arguments of `call` and decide what becomes of it, but for its cost: see `look_ahead`.

    History always gets valid JSON arguments.
    """
    arguments, malformed = _parse(call)
    arguments = session.router.loosened(call.function.name, arguments)
    call = replace(call, function=FunctionCall(call.function.name, json.dumps(arguments, ensure_ascii=False)))
    if malformed:
        return PreparedCall(call, arguments, problem=malformed, malformed=True)
    if problem := session.router.problem_with(call.function.name, arguments):
        told = _told_problem(session, call.function.name, problem)
        return PreparedCall(call, arguments, problem=ToolResult(problem, ok=False, display=told))
    spec = session.router.find(call.function.name)
    assert spec is not None  # problem_with knows the name
    decision = session.policy.decide(spec, arguments)
    prepared = PreparedCall(call, arguments, decision)
    if decision.action == "deny":
        denied = ToolResult(f"Not run: {decision.reason}", ok=False, display=decision.told_person)
        return replace(prepared, problem=denied)
    return prepared


def _told_problem(session: Session, name: str, problem: str) -> str:
    """What the person is told of a call that does not fit: without the advice for the model."""
    if session.router.find(name) is None:
        return f"there is no tool named {name[:_TOLD_NAME_CHARS]!r}"
    return problem.removesuffix(" Nothing was run.")


def _parse(call: ToolCall) -> tuple[dict[str, Any], ToolResult | None]:
    """Arguments as an object, and what was wrong with them. Nothing at all (`""`, `null`) means no arguments."""
    text, name = call.function.arguments, call.function.name
    if not text.strip():
        return {}, None
    try:
        arguments = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        said = (
            f"ERROR: Tool call to '{name}' had malformed JSON arguments: {error}. Nothing was run. Send the call again "
            "with valid JSON; pass long text in smaller pieces."
        )
        return {}, ToolResult(said, ok=False, display="the arguments were not valid JSON")
    if arguments is None:
        return {}, None
    if not isinstance(arguments, dict):
        kind = (
            "an array" if isinstance(arguments, list) else "a string" if isinstance(arguments, str) else "a plain value"
        )
        said = f"ERROR: The arguments of '{name}' must be a JSON object, not {kind}. Nothing was run."
        return {}, ToolResult(said, ok=False, display=f"the arguments were {kind}, not a JSON object")
    as_text = json.dumps(arguments, ensure_ascii=False)
    return (arguments if valid_text(as_text) == as_text else json.loads(valid_text(as_text))), None


def _no_constant(name: str) -> None:
    """NaN and the infinities are no JSON: a provider would refuse the whole history with them."""
    raise ValueError(f"{name} is not JSON")


async def checked(session: Session, waiting: Sequence[PreparedCall]) -> list[PreparedCall]:
    """`waiting`, with a problem where a call would fail if it ran: nobody needs to be asked about it.

    A call that may count on what one before it does (a write, then an edit of the same file) is left as it is.
    """
    looked_at: list[PreparedCall] = []
    taken: set[Path] = set()
    for prepared in waiting:
        files = _changed_files(session, prepared)
        if files is None:  # anything may be different after it
            break
        is_alone = taken.isdisjoint(files)
        looked_at.append(await asyncio.to_thread(_checked, session, prepared) if is_alone else prepared)
        taken.update(files)
    return [*looked_at, *waiting[len(looked_at) :]]


def _changed_files(session: Session, prepared: PreparedCall) -> tuple[Path, ...] | None:
    spec = session.router.find(prepared.call.function.name)
    try:
        return spec.changes(prepared.arguments, session.workspace) if spec is not None else None
    except Exception:  # noqa: BLE001 - the tool's own code
        return None


def _checked(session: Session, prepared: PreparedCall) -> PreparedCall:
    spec = session.router.find(prepared.call.function.name)
    try:
        problem = spec.check(prepared.arguments, session) if spec is not None and spec.check is not None else None
    except Exception:  # the person decides, and the call itself shows what is wrong
        logger.exception("%s could not be checked", prepared.call.function.name)
        return prepared
    return prepared if problem is None else replace(prepared, problem=ToolResult(problem, ok=False))

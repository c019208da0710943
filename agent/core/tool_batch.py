"""The tool calls of one reply: prepare in order, decide, run in parallel, tell each result at once.

Whatever happens (denied, crashed, cancelled), every call ends with exactly one result in history, in call order.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.core.file_copies import keep_files
from agent.core.guards import CallRecord
from agent.core.session import Session
from agent.core.tool_costs import hold, settle
from agent.core.turn_state import PreparedCall
from agent.protocol.events import ApprovalItem, ToolCallStarted, ToolLog, ToolOutput, ToolStateChange
from agent.protocol.messages import FunctionCall, ToolCall, tool_message, valid_text
from agent.protocol.tools import ToolResult
from agent.tools.output import as_stopped

logger = logging.getLogger(__name__)

INTERRUPTED = "Interrupted by the person before it finished. Its effects, if any, are unknown."

CHANGED_CHARS = 4_000
"""How much of an argument that the person has changed the model is told."""

NOT_BEGUN = "Interrupted by the person before it began. Nothing was run."

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


async def run_batch(
    session: Session, calls: Sequence[PreparedCall], *, announce: bool = True
) -> list[CallRecord] | None:
    """Run `calls` at the same time; returns their records in call order, None if the person stopped it.

    Each result is told as soon as it is there. `announce` sends a `tool_call` event for each call (not for approved
    ones: the approval showed them). Finished results are kept when the batch is stopped; the other calls get an
    interrupted result.
    """
    if announce:
        for prepared in calls:
            await session.send_event(_started(session, prepared))
    for prepared in calls:
        if prepared.decision is not None and prepared.decision.action == "deny":
            await session.send_event(_state(prepared, "rejected"))
    batch = _Batch(session, asyncio.create_task(_before_running(session, calls)))
    telling = asyncio.create_task(batch.tell(len(calls)))
    started = time.monotonic()
    tasks = [asyncio.create_task(_run(session, prepared, batch)) for prepared in calls]
    try:
        finished = await session.interruption.finish_or_cancel([batch.ready, *tasks])
        waited_s = time.monotonic() - started
        for prepared, task in zip(calls, tasks, strict=True):
            if task.done() and not task.cancelled():
                task.result()  # raises what is a bug of ours
            else:
                batch.add(_Outcome(prepared, _interrupted(session, prepared, batch), waited_s, was_stopped=True))
        batch.is_open = False
        await telling
    finally:
        telling.cancel()
    await session.record.sync()
    records = [_record(session, prepared, batch.results[prepared.call.id]) for prepared in calls]
    return records if finished else None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a call."""

    prepared: PreparedCall
    result: ToolResult
    duration_s: float
    was_stopped: bool = False


@dataclass(slots=True)
class _Batch:
    """Calls that run side by side. They begin once all is `ready`; a result that comes when it is no longer open, from
    a tool that would not be stopped, is too late: its call has another."""

    session: Session
    ready: asyncio.Task[None]
    is_open: bool = True
    results: dict[str, ToolResult] = field(default_factory=dict)
    """By tool call id."""
    untold: asyncio.Queue[_Outcome] = field(default_factory=asyncio.Queue)

    @property
    def has_begun(self) -> bool:
        """Whether anything may have run."""
        return self.ready.done() and not self.ready.cancelled()

    def add(self, outcome: _Outcome) -> None:
        """Put a result into history, at once: a crash while others run must not make a finished call an unknown one."""
        if self.is_open:
            self.results[outcome.prepared.call.id] = outcome.result
            remember(self.session, outcome.prepared, outcome.result)
            self.untold.put_nowait(outcome)

    async def tell(self, count: int) -> None:
        """Tell the renderers of `count` results, as they come. Apart from the calls: a stop must not cut it short."""
        for _ in range(count):
            outcome = await self.untold.get()
            if outcome.was_stopped:
                await self.session.send_event(_state(outcome.prepared, "cancelled"))
            await report(self.session, outcome.prepared, outcome.result, outcome.duration_s)


async def _before_running(session: Session, calls: Sequence[PreparedCall]) -> None:
    """Make what is about to happen survive the end of this program: which calls begin, and the files as they are."""
    runnable = [prepared for prepared in calls if prepared.problem is None]
    session.record.running([prepared.call for prepared in runnable])
    await session.record.sync()
    for prepared in runnable:
        try:
            await keep_files(session, prepared)
        except Exception:  # without a copy the call cannot be undone, but it can run
            logger.exception("no copies before %s", prepared.call.function.name)


async def _run(session: Session, prepared: PreparedCall, batch: _Batch) -> None:
    """Run one call and add its result to the batch. Raises nothing but `CancelledError`."""
    await asyncio.shield(batch.ready)
    started = time.monotonic()
    result = prepared.problem or await _call(session, prepared)
    if prepared.note:
        shown = result.display if result.display is not None else result.output
        result = replace(result, output=prepared.note + result.output, display=shown)
    batch.add(_Outcome(prepared, result, time.monotonic() - started))


async def _call(session: Session, prepared: PreparedCall) -> ToolResult:
    """Run the call within the budget."""
    held = hold(session, prepared)
    if isinstance(held, ToolResult):
        return held
    result: ToolResult | None = None
    try:
        result = await session.router.call_tool(
            prepared.call.function.name, prepared.arguments, session, prepared.call.id
        )
    finally:
        if held is not None:
            await settle(session, prepared, held, result)
    return result


async def record(session: Session, prepared: PreparedCall, result: ToolResult) -> None:
    """Put a result into history and tell the renderers."""
    remember(session, prepared, result)
    await report(session, prepared, result)


def remember(session: Session, prepared: PreparedCall, result: ToolResult) -> None:
    """Put a result into history, without the secrets it may contain."""
    session.record.add_result(tool_message(prepared.call, session.secrets.scrub(result.output)))


async def report(session: Session, prepared: PreparedCall, result: ToolResult, duration_s: float = 0.0) -> None:
    """Tell the renderers of a result, without the secrets it may contain."""
    output = session.secrets.scrub(result.output)
    display = session.secrets.scrub(result.display) if result.display is not None else None
    call = prepared.call
    await session.send_event(ToolOutput(call.function.name, call.id, output, result.ok, display, round(duration_s, 3)))


def _interrupted(session: Session, prepared: PreparedCall, batch: _Batch) -> ToolResult:
    """The result of a stopped call: what it had got, and that this is not all."""
    if not batch.has_begun:
        return ToolResult(NOT_BEGUN, ok=False, display=as_stopped(""))
    partial = session.scrub(session.take_partial(prepared.call.id))
    output = f"{partial}\n[{INTERRUPTED}]" if partial else INTERRUPTED
    return ToolResult(output, ok=False, display=as_stopped(partial))


def _started(session: Session, prepared: PreparedCall) -> ToolCallStarted:
    """What the renderers are told of a call: a model may repeat a secret that it has seen."""
    arguments = session.secrets.scrub_data(prepared.arguments)
    return ToolCallStarted(prepared.call.function.name, arguments, prepared.call.id)


def _state(prepared: PreparedCall, state: str) -> ToolStateChange:
    return ToolStateChange(prepared.call.id, prepared.call.function.name, state)


def _record(session: Session, prepared: PreparedCall, result: ToolResult) -> CallRecord:
    name = prepared.call.function.name
    spec = session.router.find(name)
    is_poll = spec.is_poll(prepared.arguments) if spec and not prepared.problem else False
    return CallRecord(name, prepared.call.function.arguments, result.output, prepared.malformed, is_poll)


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


async def approval_item(session: Session, prepared: PreparedCall) -> ApprovalItem:
    """What the person is shown of a call that waits."""
    decision, spec = prepared.decision, session.router.find(prepared.call.function.name)
    assert decision is not None  # only decided calls wait
    assert spec is not None
    return ApprovalItem(
        tool=prepared.call.function.name,
        arguments=session.secrets.scrub_data(prepared.arguments),
        tool_call_id=prepared.call.id,
        reason=decision.reason,
        preview=await asyncio.to_thread(_preview, session, prepared),
        always_rule=decision.always_rule,
        needs_human=decision.needs_human,
        auto_approval_blocked=decision.auto_approval_blocked,
        block_reason=decision.block_reason,
        estimated_cost_usd=decision.estimated_cost_usd,
        remaining_cap_usd=decision.remaining_cap_usd,
        hints=decision.hints,
        facts=prepared.facts,
        editable=spec.editable if isinstance(prepared.arguments.get(spec.editable or ""), str) else None,
    )


def _preview(session: Session, prepared: PreparedCall) -> str | None:
    spec = session.router.find(prepared.call.function.name)
    if spec is None or spec.preview is None:
        return None
    try:
        text = spec.preview(prepared.arguments, session)
        return text if text is None else session.scrub(text)
    except Exception:  # a preview is a courtesy; the approval itself must still be asked
        logger.exception("no preview of %s", spec.name)
        return None


@dataclass(frozen=True, slots=True)
class Answered:
    """Calls that waited for the person, and the answers by tool call id; a missing one is a no."""

    calls: Sequence[PreparedCall]
    answers: Mapping[str, Mapping[str, Any]]


async def settle_approvals(session: Session, answered: Answered) -> list[CallRecord] | None:
    """Carry out the person's answers. Returns the records of what ran, None if the turn was stopped."""
    approved, rejected = [], []
    for prepared in answered.calls:
        answer = answered.answers.get(prepared.call.id, {})
        if answer.get("approved"):
            edited = _with_edits(session, prepared, answer)
            approved.append(edited)
            await session.send_event(_state(prepared, "approved"))
            if edited is not prepared:
                await session.send_event(_started(session, edited))
            await _remember_rule(session, answer.get("always_rule"))
        else:
            rejected.append((prepared, _rejection(str(answer.get("feedback") or ""))))
            await session.send_event(_state(prepared, "rejected"))
    for prepared, result in rejected:  # at once: what was approved may run for hours
        await record(session, prepared, result)
    for prepared in approved:
        await session.send_event(_state(prepared, "running"))
    records = await run_batch(session, approved, announce=False) if approved else []
    if records is not None:  # guards see what was rejected too: asking for the same again and again leads nowhere
        records += [_record(session, prepared, result) for prepared, result in rejected]
    return records


async def _remember_rule(session: Session, rule: str | None) -> None:
    """Add an "always allow" rule; one that cannot be read is said, and changes nothing."""
    try:
        if rule:
            session.policy.remember(rule)
    except ValueError as error:
        await session.send_event(ToolLog("system", f"Not remembered: {error}"))


def _with_edits(session: Session, prepared: PreparedCall, answer: Mapping[str, Any]) -> PreparedCall:
    """The call as the person changed it: an edited script, another namespace."""
    spec = session.router.find(prepared.call.function.name)
    changes = {"namespace": answer.get("namespace")}
    if spec is not None and spec.editable:
        changes[spec.editable] = answer.get("edited_script")
    changes = {name: value for name, value in changes.items() if value is not None and name in prepared.arguments}
    if not changes:
        return prepared
    now = "\n".join(f"{name}: {_beginning(str(value))}" for name, value in changes.items())
    note = f"[The person changed this call before approving it. What was carried out:\n{now}]\n"
    return replace(prepared, arguments=prepared.arguments | changes, note=note)


def _beginning(text: str) -> str:
    return text if len(text) <= CHANGED_CHARS else f"{text[:CHANGED_CHARS]} … ({len(text):,} characters in all)"


def _rejection(feedback: str) -> ToolResult:
    text, told = "This call was not approved, and was not run.", " ".join(feedback.split())
    output = f"{text} {feedback}" if feedback else text
    return ToolResult(output, ok=False, display=f"rejected: {told}" if told else "rejected")

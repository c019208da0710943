"""A turn in which everything happens once, and a person who sits in front of it and can stop it at any event."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agent.protocol.events import TURN_ENDS, ApprovalRequired, Event, Interrupted, ToolOutput, TurnComplete
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, ToolResult, ToolSpec
from agent.sessions.restore import restore
from tests.grammar import check_history
from tests.unit.core.loop import Loop, call, calls

NO_ARGUMENTS = {"type": "object", "properties": {}}
QUESTION, ANSWER = "still there?", "Yes."
SUMMARY_PROMPT = "An agent for machine-learning"
ENDS_WITHIN_S = 2.0
"""Far above the 0.5 s in which a stopped turn ends, for machines that are busy with other tests."""

THOUGHTS = "Words of the model fill the window, and unlike results they cannot be moved to a file. " * 130
"""Three times as much does not fit into the window of the script."""

SCRIPT: tuple[dict[str, Any], ...] = (
    {"window": 8_000},
    {"when": f"^{SUMMARY_PROMPT}", "text": "Looked at much; all is well."},
    {"when": f"(?m)^{QUESTION[:-1]}", "text": ANSWER},
    calls(call("look", {"lines": 1}), call("look", {"lines": 2}), call("fail"), text="Three at once."),
    {"text": ["never seen"], "error": {"status": 503, "message": "overloaded"}},
    calls(call("launch"), call("look", {"lines": 3})),
    calls(call("look", {"lines": 4}), text=THOUGHTS),
    calls(call("look", {"lines": 5}), text=THOUGHTS),
    calls(call("look", {"lines": 6}), text=THOUGHTS),
    {"text": ["All ", "is ", "done."]},
)


async def _look(arguments: dict[str, Any], _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("\n".join(f"line {number} of a file" for number in range(arguments["lines"])))


async def _fail(_arguments: dict[str, Any], _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("no such thing", ok=False)


async def _launch(_arguments: dict[str, Any], _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("launched")


TOOLS = (
    ToolSpec("look", "Looks.", {"type": "object", "properties": {"lines": {"type": "integer"}}}, _look),
    ToolSpec("fail", "Fails.", NO_ARGUMENTS, _fail),
    ToolSpec("launch", "Asks first.", NO_ARGUMENTS, _launch, approval=lambda *_: ApprovalNeed("ask", "it is loud")),
)


async def work(loop: Loop, stop_at: int | None = None, ticks: int = 0) -> Event:
    """Let a turn run: approve what is asked, add a word after the first result. Returns the turn's end.

    `stop_at` is the place, among all events of the loop, of the one after which the turn is stopped, `ticks` rounds of
    the event loop later.
    """
    await loop.submit(OpType.USER_INPUT, text="go")
    while not isinstance((event := await loop.next()).payload, TURN_ENDS):
        if len(loop.events) - 1 == stop_at:
            return await _stop(loop, ticks, event)
        if isinstance(event.payload, ApprovalRequired):
            answers = [{"tool_call_id": item.tool_call_id, "approved": True} for item in event.payload.tools]
            await loop.submit(OpType.EXEC_APPROVAL, approvals=answers)
        elif isinstance(event.payload, ToolOutput) and len(loop.of(ToolOutput)) == 1:
            loop.session.steer("and hurry")
    return event


async def _stop(loop: Loop, ticks: int, event: Event) -> Event:
    for _ in range(ticks):
        await asyncio.sleep(0)
    loop.session.cancel()
    async with asyncio.timeout(ENDS_WITHIN_S):
        while not isinstance(event.payload, TURN_ENDS):
            if isinstance(event.payload, ApprovalRequired):  # a question that was on its way already
                await loop.submit(OpType.INTERRUPT)
            event = await loop.next()
    return event


async def stop(loop: Loop) -> None:
    """Stop what runs, and wait until it has ended."""
    started_s = time.monotonic()
    loop.session.cancel()
    async with asyncio.timeout(ENDS_WITHIN_S):
        await loop.until(Interrupted)
    print(f"ended after {time.monotonic() - started_s:.3f} s")  # shown by pytest -rP


async def goes_on(loop: Loop) -> None:
    """The turn has left a valid history, which the journal holds too, and another turn works."""
    check_history(loop.wire())
    end = (await loop.turn(QUESTION)).payload
    assert isinstance(end, TurnComplete)
    assert end.final_response == ANSWER
    check_history(loop.wire())
    journal = loop.session.record.journal
    assert journal is not None
    assert restore(journal.path).messages == tuple(loop.session.history.items[1:])

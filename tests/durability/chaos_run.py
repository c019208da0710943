"""A person at the keyboard of a session, doing anything at any time, at random but by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

from agent.protocol.events import TURN_ENDS, ApprovalRequired, ErrorRaised, Event, Interrupted, LLMCall
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, ToolResult, ToolSpec
from tests.grammar import check_history
from tests.unit.core.loop import Loop

_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


async def _good(arguments: dict[str, Any], _session: object, _call_id: str) -> ToolResult:
    for _ in range(arguments.get("n", 0) % 4):
        await asyncio.sleep(0)
    return ToolResult(f"result {arguments.get('n')}")


async def _big(arguments: dict[str, Any], _session: object, _call_id: str) -> ToolResult:
    return ToolResult(f"line {arguments.get('n')} of many\n" * 400)


async def _failing(_arguments: dict[str, Any], _session: object, _call_id: str) -> ToolResult:
    raise OSError("the disk is on fire")


def chaos_tools() -> list[ToolSpec]:
    """A quick tool, one with long output, one that breaks, and one that wants to be approved."""
    return [
        ToolSpec("good", "Works.", _SCHEMA, _good),
        ToolSpec("big", "Says much.", _SCHEMA, _big),
        ToolSpec("failing", "Breaks.", _SCHEMA, _failing),
        ToolSpec("careful", "Asks first.", _SCHEMA, _good, approval=lambda *_: ApprovalNeed("ask", "it matters")),
    ]


class Person:
    """Acts on `loop`, and checks after each turn that it ended as it must."""

    def __init__(self, loop: Loop, seed: int) -> None:
        self._loop = loop
        self._random = random.Random(f"person {seed}")
        self.pending: tuple[str, ...] = ()
        """Calls that were left waiting for an answer."""

    async def act(self) -> None:
        """Do one thing, and wait until it is over."""
        action = self._random.choices(
            [self.take_turn, self._compact, self._undo, self._configure, self._interrupt], [8, 2, 2, 1, 1]
        )[0]
        await action()
        check_history(self._loop.wire(), pending=self.pending)

    async def take_turn(self) -> None:
        """A request, with anything in between; it ends, or is left waiting for an approval."""
        r = self._random
        self.pending = ()
        cancel_at = r.randrange(1, 25) if r.random() < 0.4 else None
        steer_at = r.randrange(1, 15) if r.random() < 0.3 else None
        await self._loop.submit(OpType.USER_INPUT, text=f"request {r.randrange(1_000)}")
        seen = 0
        while not isinstance((event := await self._loop.next()).payload, TURN_ENDS):
            seen += 1
            if seen == steer_at:
                self._loop.session.steer("and hurry")
            if seen == cancel_at:
                self._loop.session.cancel()
            if isinstance(event.payload, ApprovalRequired) and not await self._answer(event.payload):
                return
        self.pending = ()

    async def _answer(self, question: ApprovalRequired) -> bool:
        """Approve some, stop, or walk away (False)."""
        ids = tuple(item.tool_call_id for item in question.tools)
        check_history(self._loop.wire(), pending=ids)
        how = self._random.random()
        if how < 0.15:
            self.pending = ids
            return False
        if how < 0.3:
            await self._loop.submit(OpType.INTERRUPT)
            return True
        answers = [{"tool_call_id": call_id, "approved": self._random.random() < 0.7} for call_id in ids]
        await self._loop.submit(OpType.EXEC_APPROVAL, approvals=answers)
        return True

    async def _compact(self) -> None:
        await self._count_end(await self._loop.operate(OpType.COMPACT))

    async def _configure(self) -> None:
        effort = self._random.choice(["low", "high", "max", None])
        await self._count_end(await self._loop.operate(OpType.CONFIGURE, reasoning_effort=effort))

    async def _undo(self) -> None:
        self.pending = ()
        await self._loop.operate(OpType.UNDO, turns=self._random.randrange(1, 3))

    async def _interrupt(self) -> None:
        end = await self._loop.operate(OpType.INTERRUPT)
        if not self.pending:
            await self._count_end(end)
        self.pending = ()

    async def _count_end(self, end: Event) -> None:
        """Operations that are no turn may end like one."""
        self._loop.outside_ends += isinstance(end.payload, (Interrupted, ErrorRaised))


def check_spending(events: Iterable[Event], cap_usd: float | None) -> int:
    """No call began once the cap was spent; what is lost in attempts that broke belongs to their call.

    Returns what all calls cost, in micro-dollars.
    """
    spent_micro = lost_micro = 0
    for event in events:
        call = event.payload
        if not isinstance(call, LLMCall) or not call.charged_usd:
            continue
        if call.finish_reason == "lost":  # told just before the answer of the same call
            lost_micro += round(call.charged_usd * 1e6)
            continue
        if cap_usd is not None:
            # Before its first charge, a server that should be free was let through.
            left = spent_micro < cap_usd * 1e6 or spent_micro == 0
            assert left, f"event {event.seq}: a call after {spent_micro} µ$ of {cap_usd} $"
        spent_micro += round(call.charged_usd * 1e6) + lost_micro
        lost_micro = 0
    return spent_micro + lost_micro

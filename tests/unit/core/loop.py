"""Runs the real submission loop in process, on the replay provider, and collects its events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from agent.config import Config
from agent.core.agent_loop import Resumption, submission_loop
from agent.core.session import Session
from agent.core.surroundings import Surroundings
from agent.core.tools import ToolRouter
from agent.protocol.events import OPERATION_ENDS, TURN_ENDS, ApprovalRequired, Event, Ready
from agent.protocol.operations import Operation, OpType, Submission
from agent.protocol.tools import ToolSpec
from tests.grammar import check_history, check_turn_grammar

PATIENCE_S = 20.0


def call(name: str, arguments: Any = None, call_id: str | None = None) -> dict[str, Any]:
    """A scripted tool call; `arguments` may be raw text."""
    return {"name": name, "arguments": {} if arguments is None else arguments, "id": call_id}


def calls(*tool_calls: dict[str, Any], text: str = "", **more: Any) -> dict[str, Any]:
    """A scripted answer with tool calls."""
    return {"text": text, "tool_calls": list(tool_calls), **more}


@dataclass
class Loop:
    """A running submission loop."""

    submissions: asyncio.Queue[Submission]
    queue: asyncio.Queue[Event]
    holder: list[Session | None]
    task: asyncio.Task[None]
    events: list[Event] = field(default_factory=list)
    outside_ends: int = 0
    """How many errors and interruptions of this run answer other operations than a turn."""

    @property
    def session(self) -> Session:
        assert self.holder[0] is not None
        return self.holder[0]

    async def submit(self, op_type: OpType, **data: Any) -> None:
        await self.submissions.put(Submission(Operation(op_type, data)))

    async def next(self) -> Event:
        arrival = asyncio.ensure_future(self.queue.get())
        await asyncio.wait({arrival, self.task}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        if not arrival.done():
            arrival.cancel()
            assert self.task.done(), "no event came"
            self.task.result()  # raises what ended the loop
            raise AssertionError("the loop has ended")
        event = arrival.result()
        self.events.append(event)
        return event

    async def until(self, *payload_types: type) -> Event:
        while not isinstance((event := await self.next()).payload, payload_types):
            pass
        return event

    async def turn(self, text: str = "go") -> Event:
        """Submit a prompt and wait for the end of the turn, or its question."""
        await self.submit(OpType.USER_INPUT, text=text)
        return await self.until_turn_ends()

    async def until_turn_ends(self) -> Event:
        """The end of the running turn, or its question."""
        return await self.until(*TURN_ENDS, ApprovalRequired)

    async def operate(self, op_type: OpType, **data: Any) -> Event:
        await self.submit(op_type, **data)
        return await self.until(*OPERATION_ENDS)

    def of(self, payload_type: type) -> list[Any]:
        """Payloads of one type so far."""
        return [event.payload for event in self.events if isinstance(event.payload, payload_type)]

    def kinds(self) -> list[str]:
        return [event.event_type for event in self.events]

    def wire(self) -> list[dict[str, Any]]:
        return self.session.history.wire_messages(replay_thinking=False)


def surroundings(tmp_path: Path, *, headless: bool = True, environ: dict[str, str] | None = None) -> Surroundings:
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    return Surroundings(
        workspace=workspace.resolve(),
        state_dir=tmp_path / "state",
        config_dir=tmp_path / "config",
        home=tmp_path / "home",
        environ={"PATH": "/usr/bin:/bin", **(environ or {})},
        platform="test",
        today=date(2026, 1, 2),
        headless=headless,
    )


def write_script(tmp_path: Path, answers: Iterable[dict[str, Any]]) -> str:
    """Write a replay script; returns its model id."""
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(json.dumps(answer) for answer in answers))
    return f"replay/{path}"


@asynccontextmanager
async def running(
    tmp_path: Path,
    answers: Sequence[dict[str, Any]] = (),
    *,
    tools: Sequence[ToolSpec] | None = None,
    headless: bool = True,
    stream: bool = True,
    environ: dict[str, str] | None = None,
    resumption: Resumption | None = None,
    lockstep: bool = False,
    place: Surroundings | None = None,
    **settings: Any,
) -> AsyncIterator[Loop]:
    """A loop that is ready. On leaving it is shut down, and its events and history are checked against the grammar.

    In `lockstep` it is never more than one event ahead of the test. `place` stands in for `surroundings(...)`.
    """
    settings = {"model_name": write_script(tmp_path, answers), "yolo_mode": True} | settings
    submissions: asyncio.Queue[Submission] = asyncio.Queue()
    events: asyncio.Queue[Event] = asyncio.Queue(1 if lockstep else 0)
    holder: list[Session | None] = [None]
    place = place or surroundings(tmp_path, headless=headless, environ=environ)
    task = asyncio.create_task(
        submission_loop(
            submissions,
            events,
            Config.of(settings),
            place,
            tool_router=None if tools is None else ToolRouter(tools),
            session_holder=holder,
            stream=stream,
            resumption=resumption,
        )
    )
    loop = Loop(submissions, events, holder, task)
    first = await loop.next()
    assert isinstance(first.payload, Ready)
    try:
        yield loop
    finally:
        await loop.operate(OpType.SHUTDOWN)
        await task
    check_turn_grammar(loop.events, outside_ends=loop.outside_ends)
    check_history(loop.wire())

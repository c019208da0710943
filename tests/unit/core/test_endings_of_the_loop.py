"""The end of the submission loop: nothing is said after its last word, and everything held is let go of."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, Destination, MessagingConfig
from agent.core.agent_loop import submission_loop
from agent.core.session import Session
from agent.protocol.events import ApprovalItem, ApprovalRequired, Event, Ready, Shutdown, TurnComplete
from agent.protocol.operations import OpType, Submission
from tests.fakes.slack import FakeSlack, Said
from tests.unit.core.loop import Loop, surroundings, write_script

ASKS = ApprovalRequired((ApprovalItem("bash", {}, "c1"),), 1)


async def started(tmp_path: Path, *, headless: bool, **destinations: Any) -> Loop:
    """A loop that says `Hello.` when asked, with these destinations; the test ends it."""
    flags = {"allow_auto_events": True}
    messaging = MessagingConfig(
        enabled=True,
        auto_event_types=["approval_required", "turn_complete"],
        destinations={name: Destination(**flags, **fields) for name, fields in destinations.items()},
    )
    model = write_script(tmp_path, [{"text": "Hello."}])
    config = Config.of({"model_name": model, "yolo_mode": True, "messaging": messaging})
    submissions: asyncio.Queue[Submission] = asyncio.Queue()
    events: asyncio.Queue[Event] = asyncio.Queue()
    holder: list[Session | None] = [None]
    place = surroundings(tmp_path, headless=headless)
    task = asyncio.create_task(submission_loop(submissions, events, config, place, session_holder=holder))
    loop = Loop(submissions, events, holder, task)
    await loop.until(Ready)
    return loop


async def test_nothing_is_shown_on_the_desktop_after_the_last_event(tmp_path: Path) -> None:
    loop = await started(tmp_path, headless=False, desk={"provider": "desktop"})
    notices = loop.session.notices
    assert notices is not None
    await loop.turn()
    notices.see(ASKS)
    assert (await loop.next()).event_type == "desktop_notice"
    await loop.operate(OpType.SHUTDOWN)
    notices.see(ASKS)  # such as what a tool says that would not be stopped
    await loop.task
    assert loop.queue.empty()
    assert isinstance(loop.events[-1].payload, Shutdown)


async def test_everything_is_let_go_of_though_the_session_cannot_be_closed(tmp_path: Path) -> None:
    """Here because the loop is cancelled a second time in the middle of it."""
    told = asyncio.Event()

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if told.is_set():
                    raise
                told.set()

    with FakeSlack() as receiver:
        receiver.answers.append(Said(stall=True))
        loop = await started(tmp_path, headless=True, hook={"provider": "webhook", "url": f"{receiver.url}/hook"})
        assert isinstance((await loop.turn()).payload, TurnComplete)
        await asyncio.to_thread(receiver.wait_stalled)
        chore = asyncio.create_task(stubborn())
        loop.session.chores.add(chore)
        loop.task.cancel()
        await told.wait()
        loop.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop.task
        await asyncio.to_thread(receiver.wait_client_gone)
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("notifications")]
    chore.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await chore

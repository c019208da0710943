"""A command of the person's own (`!command`): run as the agent's are, and kept in history for the model to read.

Its message stands between turns and begins none: an undo takes it back together with the turn that it follows. What it
does to files is the person's doing, which no undo touches.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time

from agent.context_manager.prompts import render
from agent.core.endings import TurnCancelled
from agent.core.file_copies import PATIENCE_S
from agent.core.session import Session
from agent.core.tools import ToolRouter
from agent.protocol.events import CommandRun, ErrorRaised, Interrupted, Payload, ToolCallStarted, ToolOutput
from agent.protocol.messages import new_id, user_message
from agent.protocol.tools import ToolResult, never_asks
from agent.tools.bash_tool import MAX_TIMEOUT_S, bash_spec
from agent.tools.output import as_stopped

logger = logging.getLogger(__name__)

TOOL = "bash"
STOPPED = "[Stopped by the person before it ended.]"

_ROUTER = ToolRouter([bash_spec(never_asks)])
"""Apart from the session's: the person needs no approval, and has a shell whatever tools the model was given."""

_ENVELOPE = re.compile(r"<(?=/?\s*(?:person_command|command_output)\b)", re.IGNORECASE)


async def run_shell(session: Session, command: str) -> Payload:
    """Run `command` in the workspace and put it into history with what it printed. Returns the operation's end.

    `Session.cancel` stops it; what it has printed by then is kept all the same.
    """
    if not command.strip():
        return ErrorRaised("There is no command to run: type it after the exclamation mark.", "usage")
    if session.pending is not None:
        return ErrorRaised("A call waits for your answer: give it first, then run the command.", "usage")
    session.interruption.clear()
    call_id, shown = f"shell_{new_id()[:24]}", session.scrub(command)
    await session.send_event(ToolCallStarted(TOOL, {"command": shown}, call_id))
    started, is_stopped = time.monotonic(), False
    try:
        result = await session.interruption.cancellable(_run(session, command, call_id))
    except TurnCancelled:
        is_stopped = True
        partial = session.scrub(session.take_partial(call_id))
        output = f"{partial}\n{STOPPED}" if partial else STOPPED
        result = ToolResult(output, ok=False, display=as_stopped(partial))
    output, duration_s = session.scrub(result.output), round(time.monotonic() - started, 3)
    display = session.scrub(result.display) if result.display is not None else None
    session.record.add(user_message(_for_model(session, shown, output), "shell"))
    await session.send_event(ToolOutput(TOOL, call_id, output, result.ok, display, duration_s))
    await session.record.sync()
    return Interrupted() if is_stopped else CommandRun(shown, output, result.ok)


async def _run(session: Session, command: str, call_id: str) -> ToolResult:
    """Run it once all is known of what the last turn has changed: an undo must not take this for the turn's doing."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await session.copies_disk.run(lambda: None)
    except TimeoutError:
        logger.warning("what the last turn has changed is still being looked at; a command of the person begins")
    return await _ROUTER.call_tool(TOOL, {"command": command, "timeout": MAX_TIMEOUT_S}, session, call_id)


def _for_model(session: Session, command: str, output: str) -> str:
    """The message; neither command nor output can close the envelope and pose as the person's words."""
    texts = {"command": _ENVELOPE.sub("&lt;", command), "output": _ENVELOPE.sub("&lt;", output)}
    return render("shell/own_command", workspace=session.workspace, **texts)

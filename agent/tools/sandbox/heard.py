"""What a command in a sandbox has printed so far: for the screen, and for its result if it is cut short."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable

from agent.protocol.events import ToolProgress
from agent.protocol.tools import ToolSession
from agent.tools.live_output import EVERY_S, FIRST_AFTER_S, MARGIN_CHARS, SHOWN_CHARS, SHOWN_LINES
from agent.tools.output import HEAD_CHARS, MAX_OUTPUT_CHARS, TAIL_CHARS, terminal_text, without_middle

logger = logging.getLogger(__name__)

WINDOW_CHARS = 96 << 10
_LINE_BREAK = re.compile(r"[\r\n]")


class Heard:
    """The beginning and the latest of the output. Memory is bounded, whatever is printed."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        self.count = 0
        self._scrub = scrub
        self._head = ""
        self._latest = ""

    def add(self, text: str) -> None:
        """The next piece."""
        self.count += len(text)
        self._head += text[: max(0, WINDOW_CHARS - len(self._head))]
        self._latest = (self._latest + text)[-WINDOW_CHARS:]

    def last_lines(self) -> str:
        """At most 20 lines, as a terminal would show them, without secrets."""
        lines = self._tail().rstrip("\n").split("\n")[-SHOWN_LINES:]
        return "\n".join(lines)[-SHOWN_CHARS:]

    def so_far(self) -> str:
        """All of it, cut in the middle where that is too much; "" for nothing."""
        tail = self._tail().rstrip("\n")
        if self.count <= WINDOW_CHARS and len(tail) <= MAX_OUTPUT_CHARS:
            return tail if tail.strip() else ""
        head = self._shown(self._head)
        return without_middle(head[:HEAD_CHARS], tail[-TAIL_CHARS:], f"[{self.count:,} characters so far]")

    def _tail(self) -> str:
        text = self._scrub(self._latest)
        if self.count > len(self._latest):  # it may begin with the end of a secret, or of an escape sequence
            text = text[MARGIN_CHARS:]
            line = _LINE_BREAK.search(text)
            text = text[line.end() :] if line else text
        return self._shown(text)

    def _shown(self, text: str) -> str:
        return self._scrub(terminal_text(self._scrub(text)))  # once more: a secret may have been printed in colours


@contextlib.asynccontextmanager
async def told_live(tool: str, tool_call_id: str, heard: Heard, session: ToolSession) -> AsyncIterator[None]:
    """Inside the block, tell in `ToolProgress` events what is heard; after it, none comes."""
    teller = asyncio.create_task(_tell(tool, tool_call_id, heard, session), name=f"live output of {tool_call_id}")
    try:
        yield
    finally:
        teller.cancel()
        await asyncio.wait({teller})
        if not teller.cancelled() and (error := teller.exception()) is not None:
            logger.error("the output of a command in the sandbox cannot be shown", exc_info=error)


async def _tell(tool: str, tool_call_id: str, heard: Heard, session: ToolSession) -> None:
    await asyncio.sleep(FIRST_AFTER_S)
    told, count = "", 0
    while True:
        if heard.count != count:
            count = heard.count
            text = await asyncio.to_thread(heard.last_lines)
            if text.strip() and text != told:
                told = text
                await session.emit(ToolProgress(tool, tool_call_id, text))
        await asyncio.sleep(EVERY_S)

"""What a running command has printed last, told while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from agent.protocol.events import ToolProgress
from agent.protocol.tools import ToolSession
from agent.tools.output import terminal_text

logger = logging.getLogger(__name__)

FIRST_AFTER_S = 0.3
"""Most commands are over by then, and nothing of this costs them anything."""
EVERY_S = 0.25
SHOWN_LINES = 20
SHOWN_CHARS = 4_000
WINDOW_BYTES = 96 << 10
MARGIN_CHARS = 16 << 10
"""Where less than the whole file is read, what was read may begin with the end of a secret: so much is not shown."""

_LINE_BREAK = re.compile(r"[\r\n]")


@contextlib.asynccontextmanager
async def live_output(tool: str, tool_call_id: str, path: Path, session: ToolSession) -> AsyncIterator[None]:
    """Inside the block, tell in `ToolProgress` events what is printed to the file `path`; after it, none comes."""
    teller = asyncio.create_task(_tell(tool, tool_call_id, path, session), name=f"live output of {tool_call_id}")
    try:
        yield
    finally:
        teller.cancel()  # whatever it is at ends at once: a read that has begun goes on in its thread, for nobody
        await asyncio.wait({teller})
        if not teller.cancelled() and (error := teller.exception()) is not None:
            logger.error("the output of a running command cannot be shown", exc_info=error)


async def _tell(tool: str, tool_call_id: str, path: Path, session: ToolSession) -> None:
    await asyncio.sleep(FIRST_AFTER_S)
    told = ""
    size_bytes = 0
    while True:
        now_bytes = await asyncio.to_thread(_size_bytes, path)
        if now_bytes != size_bytes:
            size_bytes = now_bytes
            text = await asyncio.to_thread(last_lines, path, session.scrub)
            if text.strip() and text != told:
                told = text
                await session.emit(ToolProgress(tool, tool_call_id, text))
        await asyncio.sleep(EVERY_S)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # somebody has removed it: there is nothing to show
        return 0


def last_lines(path: Path, scrub: Callable[[str], str]) -> str:
    """The last lines in the file as a terminal would show them, without secrets; "" if it cannot be read. Blocking.

    At most `WINDOW_BYTES` of it are read, and 20 lines or 4,000 characters returned.
    """
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - WINDOW_BYTES)
            file.seek(start)
            raw = file.read(WINDOW_BYTES)
    except OSError as error:
        logger.debug("cannot read %s: %s", path, error)
        return ""
    text = scrub(raw.decode("utf-8", "replace"))
    if start:
        text = text[MARGIN_CHARS:]
        line = _LINE_BREAK.search(text)  # what is before it may be half of a character or of an escape sequence
        text = text[line.end() :] if line else text
    text = scrub(terminal_text(text)).rstrip("\n")  # once more: a secret may have been printed in colours
    return "\n".join(text.split("\n")[-SHOWN_LINES:])[-SHOWN_CHARS:]

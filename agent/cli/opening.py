"""What stands behind the prompt: the session with its models and tools, the commands, and the loop that works them off.

To import this is to import nearly all there is. `agent.cli.interactive` does so once the person can type.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from agent.cli.app import App
from agent.cli.connection import Connection
from agent.cli.dialogue import Dialogue
from agent.cli.leaving import Leaving
from agent.cli.sharing import Uploads
from agent.config import Config
from agent.core.agent_loop import Resumption
from agent.protocol.events import Event, ResumeComplete


@contextlib.asynccontextmanager
async def open_dialogue(
    app: App,
    leaving: Leaving,
    config: Config,
    make_uploads: Callable[[], Uploads],
    *,
    stream: bool,
    resumption: Resumption | None,
) -> AsyncIterator[Dialogue]:
    """Inside the block the session is open, and the dialogue can be held. Raises what opening or resuming it raises."""
    uploads = await asyncio.to_thread(make_uploads)

    def see(event: Event) -> None:
        app.exchange.see(event)
        uploads.see(event)

    dialogue = Dialogue(app, leaving)
    opening = Connection(config, uploads.surroundings, stream=stream, on_event=see, resumption=resumption)
    try:
        async with opening as connection:
            if resumption is not None:
                await connection.wait_for(lambda event: isinstance(event.payload, ResumeComplete))
            async with dialogue.beside(connection):
                app.chore(uploads.begin(app.note))
                yield dialogue
    finally:
        await uploads.end()

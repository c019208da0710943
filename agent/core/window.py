"""How much the model takes: a guess at first, what is found out beside everything else, and what was ever refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.core.interruption import end_tasks
from agent.llm.params import resolve_route
from agent.llm.window import DEFAULT_WINDOW_TOKENS, UNKNOWN_LOCAL_WINDOW_TOKENS, resolve_window
from agent.protocol.events import ToolLog

if TYPE_CHECKING:
    from agent.core.session import Session


class Window:
    """The window of a session's model, whichever that is. What is learned goes into the session's history."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asking: asyncio.Task[None] | None = None
        self._is_begun = False
        self._told: set[str] = set()
        self.refused_above: dict[str, int] = {}
        """By model: what it takes at most, since it has refused more."""

    def tokens(self, found_tokens: int | None = None) -> int:
        """The window to go by: the one that was found, or a guess until then, and no more than was ever refused."""
        model_name, config = self._session.model_name, self._session.config
        is_local = resolve_route(model_name).provider.is_local
        guess = config.context_window or (UNKNOWN_LOCAL_WINDOW_TOKENS if is_local else DEFAULT_WINDOW_TOKENS)
        tokens = found_tokens or guess
        return min(tokens, self.refused_above.get(model_name, tokens))

    def begin(self) -> None:
        """From now on there is time to find out about models."""
        if not self._is_begun:
            self._is_begun = True
            self.learn()

    def learn(self) -> None:
        """Find out the model's window, beside everything else; once that has begun."""
        if not self._is_begun:
            return
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask(self._session.model_name), name="context window")

    def learn_limit(self, limit_tokens: int | None) -> None:
        """The provider has refused a request as too long: believe it, whatever else is said of the model's window."""
        self._session.history.learn_limit(limit_tokens)
        self.refused_above[self._session.model_name] = self._session.history.model_max_tokens

    async def settled(self, patience_s: float) -> None:
        """Wait until it is known how much the model takes, but no longer than `patience_s`."""
        self.begin()
        if self._asking is not None and not self._asking.done():
            await asyncio.wait({self._asking}, timeout=patience_s)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            await end_tasks({self._asking})

    async def _ask(self, model_name: str) -> None:
        session = self._session
        window = await resolve_window(
            model_name,
            configured=session.config.context_window,
            environ=session.surroundings.environ,
            client=session.llm,
        )
        await session.llm.price_of(model_name)  # from the same source: a call that is stopped is charged by it
        if model_name != session.model_name:
            return
        session.history.model_max_tokens = self.tokens(window.tokens)
        if window.warning and window.warning not in self._told:
            self._told.add(window.warning)
            await session.announced.wait()
            await session.send_event(ToolLog("system", window.warning))

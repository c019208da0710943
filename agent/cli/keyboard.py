"""Where what the person types goes: to a question, to what is running, or to the next round of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from agent.light_dataclass import dataclass

TWICE_WITHIN_S = 2.0
QUIET_S = 0.4
"""A question is asked once nothing was typed for so long: the end of a sentence must not become its answer."""


class Input(Protocol):
    """What is being typed: the composer, or its plain counterpart."""

    text: str

    @property
    def quiet_since_s(self) -> float:
        """When (monotonic) the unfinished text was changed last."""

    def clear(self) -> None: ...

    def begin_question(self, prompt: str, initial: str = "") -> None: ...

    def end_question(self) -> None: ...

    def keep_draft(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Work:
    """Something that runs: it takes lines, and can be stopped."""

    on_line: Callable[[str], None]
    stop: Callable[[], None]


class Keyboard:
    """What keys and lines mean, by what is going on. `say(text)` tells the person a word."""

    def __init__(self, *, say: Callable[[str], None], give_back: Callable[[str], None]) -> None:
        """`give_back(text)` puts what was typed, and came to nothing, back into the composer."""
        self.typed_ahead: deque[str] = deque()
        """Lines that wait for the end of what runs, or for the first `next_line`."""
        self.is_leaving = False
        self.insists = False
        """Leave, also if what runs does not end."""
        self.left = asyncio.Event()
        self._say = say
        self._give_back = give_back
        self._ours: deque[str] = deque()
        """Lines to work off before those of the person."""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        """What was typed while nothing ran; None: look again."""
        self._is_read = False
        """Whether lines are worked off already."""
        self._answer: asyncio.Future[str | None] | None = None
        self._work: _Work | None = None
        self._busy_since_s = 0.0
        self._is_stopped = False
        self._last_interrupt_s = -TWICE_WITHIN_S
        self.input: Input

    # --- what the loop asks for ---------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether something runs that Esc stops."""
        return self._work is not None

    @property
    def busy_s(self) -> float:
        """How long something has been running, 0 if nothing does."""
        return time.monotonic() - self._busy_since_s if self._work is not None else 0.0

    @property
    def is_asking(self) -> bool:
        """Whether a question waits for its answer."""
        return self._answer is not None

    @property
    def is_stopped(self) -> bool:
        """What runs has been told to stop: it takes nothing in any more."""
        return self._is_stopped

    def next_of_ours(self, text: str) -> None:
        """Work off `text` as if it had been typed, before the next line is read."""
        self._ours.append(text)

    async def next_line(self) -> str | None:
        """The next line to work off; None: leave."""
        self._is_read = True
        while not self.is_leaving:
            for waiting in (self._ours, self.typed_ahead):
                if waiting:
                    return waiting.popleft()
            if (text := await self._lines.get()) is not None:
                return text
        return None

    async def question(self, prompt: str, initial: str = "") -> str | None:
        """The line that answers `prompt`, as it was typed; None for Esc, Ctrl-C or Ctrl-D."""
        while (rest_s := self.input.quiet_since_s + QUIET_S - time.monotonic()) > 0:  # noqa: ASYNC110 - not to type
            await asyncio.sleep(rest_s)  # is no event
        if self.is_leaving or self._is_stopped:
            return None
        self._answer = asyncio.get_running_loop().create_future()
        self.input.begin_question(prompt, initial)
        try:
            return await self._answer
        finally:
            self._answer = None
            self.input.end_question()

    @contextlib.contextmanager
    def at_work(self, on_line: Callable[[str], None], stop: Callable[[], None]) -> Iterator[None]:
        """Inside the block what is typed goes to `on_line`, and Esc or Ctrl-C call `stop`. Blocks may be nested."""
        outer, self._work = self._work, _Work(on_line, stop)
        was_stopped = self._is_stopped
        self._busy_since_s = self._busy_since_s if outer else time.monotonic()
        self._is_stopped = False
        try:
            yield
        finally:
            self._work = outer
            self._is_stopped = was_stopped if outer else self._is_stopped

    def leave(self, *, insists: bool = False) -> None:
        """Leave as soon as what runs is done, or soon in any case."""
        self.is_leaving = True
        self.insists = self.insists or insists
        self._give_up()
        self._lines.put_nowait(None)
        self.left.set()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def submitted(self, text: str) -> None:
        """Enter."""
        if self._answer is not None:
            if not self._answer.done():
                self._answer.set_result(text)
        elif self._work is not None:
            if text.strip():
                self._work.on_line(text.strip())
        elif self._is_read:
            self._lines.put_nowait(text)
        else:
            self.typed_ahead.append(text)

    def escaped(self) -> None:
        """Esc: empties an answer, gives up a question, stops what runs."""
        if self._answer is not None and self.input.text:
            self.input.clear()
        elif self._answer is not None:
            self._give_up()
        else:
            self.stop()

    def interrupted(self) -> None:
        """Ctrl-C: gives up a question, stops what runs, empties the composer; pressed twice it leaves."""
        now_s = time.monotonic()
        again = now_s - self._last_interrupt_s < TWICE_WITHIN_S
        self._last_interrupt_s = now_s
        if self._answer is not None:
            self._give_up()
            self.calm()
        elif self._work is None and self.input.text:
            self.input.clear()
            self.calm()
        elif again:
            self.stop()
            self.leave(insists=True)
        elif self._work is not None:
            self.stop()
        else:
            self._say("Press Ctrl-C again to leave.")

    def ended(self) -> None:
        """Ctrl-D: gives up a question, else leaves, once what runs is done."""
        if self._answer is not None:
            self._give_up()
            return
        if self._work is not None and not self.is_leaving:
            self._say("Leaving when this is done. Esc or Ctrl-C stops it.")
        self.leave()

    def stop(self) -> None:
        """Stop what runs. What was typed to come after it stands in the composer again."""
        if self._work is None:
            return
        if not self._is_stopped and self.typed_ahead:
            self._give_back("\n".join(self.typed_ahead))
            self.typed_ahead.clear()
        self._is_stopped = True
        self._work.stop()

    def calm(self) -> None:
        """The person has typed something: the next Ctrl-C is a first one again."""
        self._last_interrupt_s = -TWICE_WITHIN_S

    def _give_up(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

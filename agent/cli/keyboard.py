"""Where what the person types goes: to a question, to what is running, or to the next round of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

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


class Keyboard:
    """What keys and lines mean, by what is going on. `stop()` stops what runs, `say(text)` tells the person a word."""

    def __init__(self, *, stop: Callable[[], None], say: Callable[[str], None]) -> None:
        self.later: deque[str] = deque()
        """Lines to work off before the next one is read."""
        self.is_leaving = False
        self._stop = stop
        self._say = say
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        """What was typed while nothing ran; None: leave."""
        self._answer: asyncio.Future[str | None] | None = None
        self._on_line: Callable[[str], None] | None = None
        self._is_stopped = False
        self._interrupts = 0
        self._last_interrupt_s = -TWICE_WITHIN_S
        self.input: Input

    # --- what the loop asks for ---------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether something runs that Esc stops."""
        return self._on_line is not None

    @property
    def is_stopped(self) -> bool:
        """What runs has been told to stop: it takes nothing in any more."""
        return self._is_stopped

    async def next_line(self) -> str | None:
        """The next line to work off; None: leave."""
        if self.is_leaving:
            return None
        return self.later.popleft() if self.later else await self._lines.get()

    async def question(self, prompt: str, initial: str = "") -> str | None:
        """The line that answers `prompt`, as it was typed; None for Esc, Ctrl-C or Ctrl-D."""
        while (rest_s := self.input.quiet_since_s + QUIET_S - time.monotonic()) > 0:  # noqa: ASYNC110 - not to type
            await asyncio.sleep(rest_s)  # is no event
        if self.is_leaving:
            return None
        self._answer = asyncio.get_running_loop().create_future()
        self.input.begin_question(prompt, initial)
        try:
            return await self._answer
        finally:
            self._answer = None
            self.input.end_question()

    @contextlib.contextmanager
    def at_work(self, on_line: Callable[[str], None]) -> Iterator[None]:
        """Inside the block what is typed goes to `on_line`, and Esc or Ctrl-C stop what runs."""
        self._on_line = on_line
        try:
            yield
        finally:
            self._on_line = None

    def begin(self) -> None:
        """Something is about to run that was not told to stop yet."""
        self._interrupts, self._is_stopped = 0, False

    def leave(self) -> None:
        """Leave as soon as what runs is done."""
        self.is_leaving = True
        self._give_up()
        self._lines.put_nowait(None)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def submitted(self, text: str) -> None:
        """Enter."""
        if self._answer is not None:
            if not self._answer.done():
                self._answer.set_result(text)
        elif self._on_line is None:
            self._lines.put_nowait(text)
        elif text.strip():
            self._on_line(text.strip())

    def escaped(self) -> None:
        """Esc: empties an answer, gives up a question, stops what runs."""
        if self._answer is not None and self.input.text:
            self.input.clear()
        elif self._answer is not None:
            self._give_up()
        elif self._on_line is not None:
            self.stop()

    def interrupted(self) -> None:
        """Ctrl-C: gives up a question, stops what runs, empties the composer; pressed twice it leaves."""
        now_s = time.monotonic()
        again = now_s - self._last_interrupt_s < TWICE_WITHIN_S
        if self._answer is not None:
            self._give_up()
        elif self._on_line is not None:
            self._interrupts += 1
            self.stop()
            if self._interrupts > 1:
                self.leave()
        elif self.input.text:
            self.input.clear()
            return
        elif again:
            self.leave()
        else:
            self._say("Press Ctrl-C again to leave.")
        self._last_interrupt_s = now_s

    def left(self) -> None:
        """Ctrl-D: gives up a question, else leaves, once what runs is done."""
        if self._answer is not None:
            self._give_up()
            return
        if self._on_line is not None and not self.is_leaving:
            self._say("Leaving when this is done. Esc stops it.")
        self.leave()

    def stop(self) -> None:
        """Stop what runs; what stood in the queue for afterwards is dropped."""
        if not self._is_stopped and self.later:
            self._say(f"(dropped) {', '.join(self.later)}")
            self.later.clear()
        self._is_stopped = True
        self._stop()

    def calm(self) -> None:
        """The person has typed something: the next Ctrl-C is a first one again."""
        self._last_interrupt_s = -TWICE_WITHIN_S

    def _give_up(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

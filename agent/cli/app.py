"""What slash commands and the dialogue work with: the person's terminal on one side, the session on the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit.formatted_text import StyleAndTextTuples
from rich.segment import Segment
from rich.text import Text

from agent import __version__
from agent.cli.exchange import Exchange
from agent.cli.keyboard import Keyboard
from agent.cli.left_running import still_running_lines
from agent.cli.parts import MakeParts
from agent.core.surroundings import Surroundings
from agent.protocol.events import DesktopNotice, Event, Payload, SettingsChanged
from agent.protocol.modes import MODES, Mode
from agent.protocol.operations import OpType
from agent.tools.process_session import still_running
from agent.ui.banner import HINT, PLAIN_HINT, print_banner
from agent.ui.composer.composer import Actions
from agent.ui.console import ThemeName, set_theme
from agent.ui.desktop import desktop_notice
from agent.ui.editor import EditorError, edit_file, edit_text
from agent.ui.sanitize import clip, visible

if TYPE_CHECKING:
    from agent.cli.model_list import ModelMenu
    from agent.protocol.compute import Ending

logger = logging.getLogger(__name__)

ECHOED_LINES = 12
QUEUE_LINES = 3
SHOWN_AFTER_S = 0.5
"""How long something that shows nothing of itself runs before that is said."""
WORKING, OPENING = "Working… · Esc stops", "Opening the session… · Ctrl-C twice leaves"


class App:
    """One interactive session at the terminal."""

    def __init__(self, surroundings: Surroundings, make_parts: MakeParts) -> None:
        self.environ: Mapping[str, str] = surroundings.environ
        self.hf_token = surroundings.hf_token
        self.hf_user = surroundings.hf_user
        self.state_dir = surroundings.state_dir
        self.workspace = surroundings.workspace
        self.exchange = Exchange(self._show_event)
        self.keyboard = Keyboard(say=self.note, give_back=self.draft)
        self._wanted_mode: Mode | None = None
        """A mode that was chosen by a key and is not in force yet."""
        self._draft = ""
        """Text of ours that stands in the composer."""
        self._chores: set[asyncio.Future[Any]] = set()
        self._editing = asyncio.Lock()
        self.model_menu: ModelMenu | None = None
        """The list of models that was shown last."""
        self.theme_name: ThemeName = "auto"
        self._opens_late = False
        """The session is still being opened, and has been for a moment."""
        parts = make_parts(self._actions(), self)
        self.status, self.console, self.renderer = parts.status, parts.console, parts.renderer
        self.screen, self.footer = parts.screen, parts.footer
        self.footer.on_problem = self.note
        self.composer = self.keyboard.input = parts.composer

    def _actions(self) -> Actions:
        keyboard = self.keyboard
        return Actions(
            submit=keyboard.submitted,
            escape=keyboard.escaped,
            rewind=lambda: keyboard.submitted("/rewind"),
            interrupt=keyboard.interrupted,
            leave=keyboard.ended,
            cycle_mode=self._cycle_mode,
            expand=self._expand,
            edit=lambda: self.chore(self._edit_draft()),
            suspend=lambda: self.screen.suspend(),
        )

    # --- saying -------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self.show(Text(visible(text)))

    def complain(self, text: str) -> None:
        """Print what is wrong with what the person typed."""
        self.show(Text(visible(text), "error"))

    def tell_failure(self, error: BaseException) -> None:
        """Say that a command of ours has failed, which is not the end of the conversation."""
        logger.error("a command failed", exc_info=error)
        self.complain(f"That failed: {type(error).__name__}: {error}. The log has more.")

    def note(self, text: str) -> None:
        """Print a word on the side."""
        self.renderer.note(text)

    def show(self, text: Text) -> None:
        """Print styled text, which must be visible (see `agent.ui.sanitize`)."""
        self.renderer.say(text)

    def echo(self, text: str, prompt: str = "> ") -> None:
        """What the person has typed becomes part of what is seen above."""
        if self.screen.echoes:
            return
        lines = visible(text).split("\n")
        more = [f"… {len(lines) - ECHOED_LINES} more lines"] * (len(lines) > ECHOED_LINES)
        self.renderer.echo("\n".join([*lines[:ECHOED_LINES], *more]), prompt)

    def set_theme(self, name: ThemeName) -> None:
        """Use the colours of a theme from now on."""
        set_theme(self.console, name)
        self.theme_name = name
        self.footer.is_light = self.console.is_light
        self.screen.restyle()

    # --- asking and doing ---------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Leave after what runs."""
        self.keyboard.leave()

    def later(self, text: str) -> None:
        """Work off `text` as if it had been typed, before the next line is read."""
        self.keyboard.next_of_ours(text)

    def draft(self, text: str) -> None:
        """Let `text` stand in the composer, before what is being typed there."""
        if text:
            self.composer.text = self._draft = "\n".join(filter(None, [text, self.composer.text]))

    def take_draft(self) -> str:
        """The text of ours that was put into the composer last; it is the caller's now."""
        draft, self._draft = self._draft, ""
        return draft

    async def ask(self, question: str) -> str | None:
        """What the person answers, stripped; None for nothing, Esc, Ctrl-C or Ctrl-D."""
        return ((await self.question(f"{question} ")) or "").strip() or None

    async def question(self, prompt: str, initial: str = "") -> str | None:
        """The line that answers `prompt`, as it was typed; None for Esc, Ctrl-C or Ctrl-D."""
        async with self._editing:  # not while an editor has the terminal
            pass
        answer = await self.keyboard.question(prompt, initial)
        self.screen.refresh()
        if answer is not None:
            self.echo(answer, prompt)
        return answer

    async def operate(self, op_type: OpType, data: dict[str, Any] | None = None) -> Payload:
        """Carry out an operation that is not a turn, and wait for its end, which Esc or Ctrl-C may bring about."""
        with self.keyboard.at_work(self.keep_for_later, self.exchange.connection.cancel):
            return await self.exchange.carry_out(op_type, data)

    async def cancel_work(self, lease_id: str) -> Ending:
        """End what runs elsewhere, beside whatever else goes on."""
        return await self.exchange.connection.cancel_work(lease_id)

    def keep_for_later(self, text: str) -> None:
        """A line typed while something runs that takes none in."""
        self.keyboard.typed_ahead.append(text)
        self.screen.refresh()

    async def edit_file(self, path: Path) -> None:
        """Let the person edit a file. Raises `EditorError`."""
        async with self._editing, self.screen.released():
            await edit_file(path, environ=self.environ)

    async def edit_text(self, text: str, suffix: str = ".txt") -> str:
        """What the person makes of `text` in their editor. Raises `EditorError`; nothing is changed then."""
        async with self._editing, self.screen.released():
            return await edit_text(text, environ=self.environ, suffix=suffix)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _cycle_mode(self) -> None:
        now = self._wanted_mode or self.status.mode
        self._wanted_mode = MODES[(MODES.index(now) + 1) % len(MODES)]
        self.switch_mode_soon()
        self.screen.refresh()

    def switch_mode_soon(self) -> None:
        """Bring a mode that was chosen by a key into force, unless something runs: that goes on as it began."""
        is_free = self.exchange.is_open and (self.keyboard.is_asking or not self.keyboard.is_busy)
        if self._wanted_mode is not None and is_free:
            self.chore(self._switch_mode(self._wanted_mode))

    async def _switch_mode(self, mode: Mode) -> None:
        if mode == self._wanted_mode != self.status.mode:
            await self.exchange.carry_out(OpType.CONFIGURE, {"mode": mode})
        if mode == self._wanted_mode:
            self._wanted_mode = None

    def _expand(self) -> None:
        if not self.renderer.expand_last():
            self.note("There is no further output to show.")

    async def _edit_draft(self) -> None:
        try:
            self.composer.text = await self.edit_text(self.composer.text, ".md")
        except EditorError as error:
            self.complain(str(error))

    def chore(self, work: Awaitable[None]) -> None:
        """Do something beside the loop, owned until it is done."""
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: asyncio.Future[Any]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a chore failed", exc_info=error)

    async def end_chores(self) -> None:
        """Stop what is done beside the loop."""
        chores = list(self._chores)
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def _show_event(self, event: Event) -> None:
        self.status.see(event)
        if isinstance(notice := event.payload, DesktopNotice):
            self.screen.send_out(desktop_notice(notice.title, notice.message, self.environ))
        elif not self._is_known(event.payload):
            self._render(event)

    def _render(self, event: Event) -> None:
        try:
            self.renderer.handle(event)
        except Exception:  # the last door to the screen: what cannot be shown must not end the session
            logger.exception("event %s could not be shown", event.event_type)
        self.screen.refresh()

    def _is_known(self, payload: Payload) -> bool:
        """Whether the status line has told it already: a mode that was chosen by a key (yolo is worth a word)."""
        is_by_key = self._wanted_mode not in (None, "yolo") and not self.footer.is_custom
        return is_by_key and isinstance(payload, SettingsChanged) and payload.changed == ("mode",)

    def live_lines(self, width: int, rows: int) -> list[list[Segment]]:
        """What is live: of the session, then what stands in the queue."""
        queued = [f"(queued) {text}" for text in self.status.steering]
        waiting_for = "after this" if self.keyboard.is_busy else "queued"
        queued += [f"({waiting_for}) {text}" for text in self.keyboard.typed_ahead]
        shown = queued[:QUEUE_LINES] + [f"and {len(queued) - QUEUE_LINES} more"] * (len(queued) > QUEUE_LINES)
        muted = self.console.get_style("muted")
        lines = self.renderer.live_lines(width, max(1, rows - len(shown)))
        if not lines and (words := self._wait_words()):
            lines = [[Segment(clip(words, width), muted)]]
        return [*lines, *([Segment(clip(text, width), muted)] for text in shown)]

    def _wait_words(self) -> str:
        """What is said while nothing else shows that something goes on."""
        if self.keyboard.busy_s > SHOWN_AFTER_S and not self.keyboard.is_asking:
            return WORKING
        return OPENING if self._opens_late else ""

    def status_line(self, width: int) -> StyleAndTextTuples:
        """The line at the bottom."""
        return [*self.footer.fragments(width, self._wanted_mode, len(self.keyboard.typed_ahead))]

    # --- begin and end ------------------------------------------------------------------------------------------------

    def terminal_claimed(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block the terminal echoes nothing by itself."""
        return self.screen.claimed()

    def begin(self, place: str, session_id: str | None) -> None:
        """Print the banner. `place` is the line on model and provider; the session need not be there yet."""
        print_banner(
            self.console,
            version=__version__,
            model=self.status.model_name,
            runs_on=place,
            directory=str(self.workspace),
            session_id=session_id,
            user=self.hf_user,
            mode=self.status.mode,
            hint=PLAIN_HINT if self.renderer.is_plain else HINT,
        )
        self.renderer.begin()

    @contextlib.asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Inside the block the session is being opened. Afterwards the mode is in force that was chosen meanwhile."""
        late = asyncio.get_running_loop().call_later(SHOWN_AFTER_S, self._set_late, True)
        try:
            yield
        finally:
            late.cancel()
            self._set_late(False)
        if self._wanted_mode is not None:
            await self._switch_mode(self._wanted_mode)

    def _set_late(self, is_late: bool) -> None:
        self._opens_late = is_late
        self.screen.refresh()

    def end(self, *, is_saved: bool) -> None:
        """The last words, once the session is closed, if it ever was open."""
        self.renderer.close()
        self.composer.keep_draft()
        if not self.exchange.is_open:
            return
        conversation = self.status.conversation
        for process in still_running(conversation.session_id):
            self.say(f"Still running: {clip(process, 160)}")
        for line in still_running_lines(self.status.work):
            self.say(line)
        if conversation.prompts and is_saved:
            self.say(f"To go on with this: ml-intern --resume {conversation.session_id}")

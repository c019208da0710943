"""The composer: where the person types. Several lines, folded pastes, history, completion, and questions in between."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from prompt_toolkit import search
from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindingsBase
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.layout import AnyContainer, ConditionalContainer, HSplit, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.processors import (
    DisplayMultipleCursors,
    HighlightIncrementalSearchProcessor,
    HighlightSelectionProcessor,
)
from prompt_toolkit.widgets import SearchToolbar

from agent.light_dataclass import dataclass
from agent.ui.composer.completion import CommandHint, ComposerCompleter
from agent.ui.composer.files import FileIndex
from agent.ui.composer.history import History
from agent.ui.composer.keys import make_key_bindings
from agent.ui.composer.menu import CompletionMenu
from agent.ui.composer.pastes import Pastes
from agent.ui.composer.terminal_input import teach_newline_keys
from agent.ui.composer.wrapping import word_wrapped
from agent.ui.sanitize import cell_width, clip, visible

PROMPT = "> "
CONTINUATION = "  "
SEARCH_PROMPT = "(search) "
MIN_MAX_ROWS = 3
"""How far the input may grow in a terminal however low; elsewhere up to a third of it."""
REWIND_WITHIN_S = 0.6
HISTORY_PATIENCE_S = 2.0
COMPLETES_WITHIN_S = 0.1
STORED_PASTE_CHARS = 20_000
"""Longer pastes stand in the history as their placeholder."""
COMPOSER_STYLE: Mapping[str, str] = MappingProxyType(
    {
        "composer.prompt": "bold",
        "composer.question": "bold",
        "composer.menu": "",
        "composer.menu.current": "bold",
        "composer.menu.help": "dim",
    }
)
"""For `prompt_toolkit.styles.Style.from_dict`."""


@dataclass(frozen=True)
class Actions:
    """What the composer asks of the program. All are called in the event loop and return quickly."""

    submit: Callable[[str], None]
    """A whole text, its pastes expanded; the composer is empty already."""
    escape: Callable[[], None]
    """Esc, when the composer has no use for it."""
    rewind: Callable[[], None]
    """Esc again on an empty composer."""
    interrupt: Callable[[], None]
    leave: Callable[[], None]
    """Ctrl-D on an empty composer."""
    cycle_mode: Callable[[], None]
    expand: Callable[[], None]
    """Show the last output in full."""
    edit: Callable[[], None]
    """Open the text in the person's editor and set it back."""
    suspend: Callable[[], None]


class Composer:
    """The input of the terminal: `container` goes into a layout, `key_bindings` into its application."""

    def __init__(
        self,
        actions: Actions,
        *,
        history: History,
        commands: Callable[[], Sequence[CommandHint]],
        files: FileIndex,
        vi_mode: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        teach_newline_keys()
        self.actions = actions
        self._history = history
        self._vi_mode = vi_mode
        self._clock = clock
        self._pastes = Pastes()
        self._completer = ComposerCompleter(commands, files)
        self._draft = Buffer(
            name="composer",
            history=history,
            completer=self._completer,
            complete_while_typing=Condition(self.wants_completion),
            on_text_changed=self._on_text_changed,
            on_completions_changed=self._on_completions_changed,
        )
        self._to_complete: Document | None = None
        """What Tab was pressed behind before its completions were found."""
        self._question: Buffer | None = None
        self._question_prompt = ""
        self._last_typed_s = -math.inf
        self._last_escape_s = -math.inf
        self._search = SearchToolbar(
            ignore_case=True, forward_search_prompt=SEARCH_PROMPT, backward_search_prompt=SEARCH_PROMPT
        )
        self.control = BufferControl(
            self._draft,
            include_default_input_processors=False,
            input_processors=[
                HighlightIncrementalSearchProcessor(),
                HighlightSelectionProcessor(),
                DisplayMultipleCursors(),
            ],
            preview_search=True,
            # A question has no history to search.
            search_buffer_control=lambda: None if self.is_asking else self._search.control,  # type: ignore[arg-type,return-value]
        )
        self._menu = CompletionMenu(lambda: self.buffer.complete_state, self._completes_soon)
        self.container: AnyContainer = self._regions()
        self.key_bindings: KeyBindingsBase = make_key_bindings(self)

    def _regions(self) -> HSplit:
        """A long question, the input, the search, the menu: from top to bottom."""
        return HSplit(
            [
                ConditionalContainer(
                    Window(FormattedTextControl(self._question_row), wrap_lines=True, dont_extend_height=True),
                    filter=Condition(lambda: self._has_question_row()),
                ),
                Window(
                    self.control,
                    height=_input_height,
                    wrap_lines=True,
                    dont_extend_height=True,
                    get_line_prefix=self._line_prefix,
                ),
                self._search,
                ConditionalContainer(
                    Window(self._menu, dont_extend_height=True), filter=Condition(lambda: self._menu.is_open)
                ),
            ]
        )

    # --- what the program uses ----------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Have earlier texts ready before the first key comes, which may well be Up."""
        await self._history.wait_until_read(HISTORY_PATIENCE_S)

    def begin(self) -> None:
        """The application that this composer belongs to begins to run."""
        self._draft.load_history_if_not_yet_loaded()

    @property
    def buffer(self) -> Buffer:
        """What is being edited: the answer to a question while there is one, else the draft."""
        return self._question if self._question is not None else self._draft

    @property
    def text(self) -> str:
        """What is being edited, pastes expanded. Setting it folds nothing and puts the cursor at the end."""
        return self._pastes.expand(self.buffer.text)

    @text.setter
    def text(self, value: str) -> None:
        typed_s = self._last_typed_s
        text = visible(value)
        self.buffer.save_to_undo_stack()
        self.buffer.document = Document(text, len(text))
        self._last_typed_s = typed_s

    @property
    def quiet_since_s(self) -> float:
        """When a key last changed the text, by the clock; minus infinity if none did since a submit or `clear`."""
        return self._last_typed_s

    def clear(self) -> None:
        """Empty what is being edited and leave a search."""
        self._stop_search()
        self.buffer.reset()
        self._to_insert_mode()
        self._last_typed_s = self._last_escape_s = -math.inf
        app = get_app()
        if app.is_running:
            self.buffer.load_history_if_not_yet_loaded()  # not only with the next frame: Up may come before
        app.invalidate()

    @property
    def is_asking(self) -> bool:
        """Whether a question stands in place of the draft."""
        return self._question is not None

    def begin_question(self, prompt: str, initial: str = "") -> None:
        """Put the draft aside and ask for another text behind `prompt`, one without history or completion.

        Enter submits it, even empty; `end_question` brings the draft back as it was. A question that is open already
        is replaced.
        """
        self._stop_search()
        self._draft.complete_state = None
        text = visible(initial)
        question = Buffer(name="question", document=Document(text, len(text)))
        question.on_text_changed += self._on_text_changed
        self._question, self._question_prompt = question, visible(prompt, keep_newlines=False)
        self._show(question)

    def end_question(self) -> None:
        """Bring back the draft, cursor included. Without a question nothing happens."""
        if self._question is not None:
            self._question = None
            self._show(self._draft)

    def keep_draft(self) -> None:
        """Put a draft that was never sent into the history, on the way out: Up brings it back in the next session."""
        if (draft := self._draft.text).strip():
            self._history.append_string(self._pastes.expand(draft, STORED_PASTE_CHARS))

    # --- what the keys do ---------------------------------------------------------------------------------------------

    def enter(self) -> None:
        r"""Take the completion; or turn a `\` before the cursor into a newline; or submit.

        The completion is the chosen one; for a part of a command's name, which nobody can mean, also the first: that
        is put in, and only sent with the next Enter.
        """
        was_chosen = self.buffer.complete_state is not None and self.buffer.complete_state.complete_index is not None
        if not was_chosen and self.has_menu() and self._completer.is_fragment(self.buffer.document):
            self.buffer.complete_next()
        state = self.buffer.complete_state
        if state is not None and state.complete_index is not None:
            self._take_completion(and_send=was_chosen)
        elif self.buffer.document.char_before_cursor == "\\":
            self.buffer.delete_before_cursor()
            self.buffer.newline(copy_margin=False)
        else:
            self._submit()

    def complete(self) -> None:
        """Choose the next completion, or the first as soon as it is found."""
        if self.has_menu():
            self.buffer.complete_next()
        elif self.wants_completion():
            self._to_complete = self.buffer.document
            self.buffer.start_completion()

    def escape(self) -> None:
        """Close the menu, or pass Esc on; the second on an empty composer rewinds."""
        if self.has_menu():
            self.buffer.cancel_completion()
            return
        may_rewind = not self.is_asking and not self.buffer.text
        now_s = self._clock()
        if may_rewind and now_s - self._last_escape_s <= REWIND_WITHIN_S:
            self._last_escape_s = -math.inf
            self.actions.rewind()
            return
        self._last_escape_s = now_s if may_rewind else -math.inf
        self.actions.escape()

    def interrupt(self) -> None:
        """Leave a search, and pass Ctrl-C on."""
        self._stop_search()
        self.actions.interrupt()

    def paste(self, pasted: str) -> None:
        """Insert a pasted text, folded if it is long; into a search only its beginning."""
        buffer = get_app().current_buffer
        if buffer is not self.buffer:
            buffer.insert_text(clip(pasted, get_app().output.get_size().columns // 2))
            return
        taken = (self._draft.text, buffer.text, *self._history.get_strings())
        buffer.insert_text(self._pastes.fold(pasted, *taken))

    def placeholder_before(self) -> int:
        """The length of the folded paste that ends at the cursor, 0 for none."""
        return self._pastes.ends_at(self.buffer.text, self.buffer.cursor_position)

    def placeholder_after(self) -> int:
        """The length of the folded paste that starts at the cursor, 0 for none."""
        return self._pastes.starts_at(self.buffer.text, self.buffer.cursor_position)

    def has_menu(self) -> bool:
        """Whether there are completions to choose from."""
        state = self.buffer.complete_state
        return state is not None and bool(state.completions)

    def wants_completion(self) -> bool:
        """Whether something that can be completed stands before the cursor."""
        return not self.is_asking and self._completer.wants(self._draft.document)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        typed, text = self.buffer.text, self.text
        if not self.is_asking:
            if not text.strip():
                return
            self._history.append_string(self._pastes.expand(typed, STORED_PASTE_CHARS))
        self.clear()
        self.actions.submit(text)

    def _take_completion(self, *, and_send: bool) -> None:
        self.buffer.complete_state = None
        if self._completer.is_whole(self.buffer.text):
            if and_send:
                self._submit()
        elif self.buffer.document.text_before_cursor.endswith((" ", "/")) and self.wants_completion():
            self.buffer.start_completion()  # what is in the directory, or the argument of the command

    def _show(self, buffer: Buffer) -> None:
        self.control.buffer = buffer
        self._last_escape_s = -math.inf
        self._to_insert_mode()
        get_app().invalidate()

    def _stop_search(self) -> None:
        if get_app().layout.is_searching:
            search.stop_search()
            self._to_insert_mode()

    def _to_insert_mode(self) -> None:
        if self._vi_mode:
            get_app().vi_state.input_mode = InputMode.INSERT

    def _on_text_changed(self, _buffer: Buffer) -> None:
        self._last_typed_s = self._clock()
        self._last_escape_s = -math.inf
        self._to_complete = None
        if self._menu.is_open:  # it is drawn again when it has become clear whether anything fits
            get_app().create_background_task(self._redraw_menu())

    def _completes_soon(self) -> bool:
        return self._clock() - self._last_typed_s < COMPLETES_WITHIN_S and self.wants_completion()

    async def _redraw_menu(self) -> None:
        await asyncio.sleep(COMPLETES_WITHIN_S)
        get_app().invalidate()

    def _on_completions_changed(self, buffer: Buffer) -> None:
        """Take the first completion if Tab came before it: prompt_toolkit forgets a Tab while it looks for them."""
        state = buffer.complete_state
        if self._to_complete is None or state is None or not state.completions:
            return
        is_meant = state.original_document == buffer.document == self._to_complete
        self._to_complete = None
        if is_meant and state.complete_index is None and not _has_nothing_to_add(state):
            buffer.go_to_completion(0)

    def _line_prefix(self, line: int, wraps: int) -> StyleAndTextTuples:
        if line or wraps:
            return [("", CONTINUATION)]
        if not self.is_asking or self._has_question_row():
            return [("class:composer.prompt", PROMPT)]
        return [("class:composer.question", self._question_prompt)]

    def _question_row(self) -> StyleAndTextTuples:
        lines = word_wrapped(self._question_prompt.rstrip(), get_app().output.get_size().columns)
        return [("class:composer.question", "\n".join(lines))]

    def _has_question_row(self) -> bool:
        """Whether the question is too long to leave room for its answer beside it."""
        return self.is_asking and cell_width(self._question_prompt) > get_app().output.get_size().columns // 3


def _has_nothing_to_add(state: CompletionState) -> bool:
    """Whether the only completion is there already; prompt_toolkit drops it."""
    only = state.completions[0]
    typed = state.original_document.text_before_cursor
    return len(state.completions) == 1 and typed.endswith(only.text) and only.start_position == -len(only.text)


def _input_height() -> Dimension:
    return Dimension(min=1, max=max(MIN_MAX_ROWS, get_app().output.get_size().rows // 3))

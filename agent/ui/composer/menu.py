"""The completion menu: ordinary lines below the input, one for each entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.buffer import CompletionState
from prompt_toolkit.completion import Completion
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import GetLinePrefixCallable, UIContent, UIControl

from agent.ui.sanitize import cell_width, clip

MAX_ROWS = 8
"""Entries shown at once; where there are more, one row more says so."""

_CHOSEN, _OTHER = "› ", "  "
_GAP = 2


class CompletionMenu(UIControl):
    """Draws the completions of `state()`, around the chosen one.

    While the next ones are being looked for, the last ones stay: the lines below the input do not come and go with
    each key.
    """

    def __init__(self, state: Callable[[], CompletionState | None], is_pending: Callable[[], bool]) -> None:
        """`is_pending()`: a key was pressed just now, and the search for what fits is about to begin."""
        self._state = state
        self._is_pending = is_pending
        self._shown: Sequence[Completion] = ()

    @property
    def is_open(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self._completions())

    def preferred_height(
        self,
        width: int,
        max_available_height: int,
        wrap_lines: bool,
        get_line_prefix: GetLinePrefixCallable | None,
    ) -> int:
        count = len(self._completions())
        return min(count if count <= MAX_ROWS else MAX_ROWS + 1, max_available_height)

    def create_content(self, width: int, height: int) -> UIContent:
        completions = self._completions()
        state = self._state()
        chosen = state.complete_index if state and state.completions else None
        shown = height if len(completions) <= height or height == 1 else height - 1
        first = min(max(0, (chosen or 0) - shown // 2), max(0, len(completions) - shown))
        rows = completions[first : first + shown]
        name_width = min(max((cell_width(row.display_text) for row in rows), default=0), max(1, width - 2 * _GAP))
        if any(row.display_meta_text for row in rows):
            name_width = min(name_width, width // 2)

        lines = [_row(row, first + index == chosen, name_width, width) for index, row in enumerate(rows)]
        if shown < height:
            lines.append(_more_row(first, len(completions) - first - shown, width))
        return UIContent(get_line=lines.__getitem__, line_count=len(lines), show_cursor=False)

    def _completions(self) -> Sequence[Completion]:
        state = self._state()
        if state is None and not self._is_pending():
            self._shown = ()
        elif state is not None and state.completions:
            self._shown = state.completions
        return self._shown


def _more_row(above: int, below: int, width: int) -> StyleAndTextTuples:
    text = f"↓ {below} more" if below else f"↑ {above} more"
    return [("class:composer.menu.help", clip(_OTHER + text, width))]


def _row(completion: Completion, is_chosen: bool, name_width: int, width: int) -> StyleAndTextTuples:
    style = "class:composer.menu.current" if is_chosen else "class:composer.menu"
    name = clip(completion.display_text, min(name_width, width - len(_OTHER)))
    row: StyleAndTextTuples = [(style, (_CHOSEN if is_chosen else _OTHER) + name)]
    gap = name_width - cell_width(name) + _GAP
    room = width - len(_OTHER) - name_width - _GAP
    if completion.display_meta_text and room > 0:
        row.append(("class:composer.menu.help", " " * gap + clip(completion.display_meta_text, room)))
    return row

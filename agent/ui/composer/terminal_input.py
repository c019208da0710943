"""What prompt_toolkit's reading of the keyboard lacks: Shift-Enter, and pastes of any size in linear time."""

from __future__ import annotations

from prompt_toolkit.input import Input
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

_NEWLINE_SEQUENCES = (
    "\x1b[13;2u",  # Shift-Enter as kitty and its like send it
    "\x1b[13;3u",  # Alt-Enter
    "\x1b[27;2;13~",  # Shift-Enter as xterm sends it with modifyOtherKeys
    "\x1b[27;3;13~",  # Alt-Enter
)
_PASTE_END = "\x1b[201~"


def teach_newline_keys() -> None:
    """Let Shift-Enter be read as Ctrl-J, which inserts a newline, where terminals tell it from Enter."""
    ANSI_SEQUENCES.update(dict.fromkeys(_NEWLINE_SEQUENCES, Keys.ControlJ))


def read_pastes_quickly(source: Input) -> None:
    """Let `source`, where it reads a terminal by escape sequences, take time linear in the length of a paste.

    prompt_toolkit's own parser copies and searches all that came so far with every kilobyte: minutes for 10 MB.
    Call it before the application runs.
    """
    parser = getattr(source, "vt100_parser", None)
    if isinstance(parser, Vt100Parser) and not isinstance(parser, PasteParser):
        source.vt100_parser = PasteParser(parser.feed_key_callback)  # type: ignore[attr-defined]


class PasteParser(Vt100Parser):
    """Collects a paste in pieces and searches each piece for its end only once."""

    def reset(self, request: bool = False) -> None:
        super().reset(request)
        self._pieces: list[str] = []
        self._tail = ""
        """What came last, shorter than the mark of the end."""

    def feed(self, data: str) -> None:
        """Feed what was read; see `Vt100Parser.feed`."""
        if not self._in_bracketed_paste:
            super().feed(data)
            return
        joined = self._tail + data
        end = joined.find(_PASTE_END)
        if end < 0:
            self._pieces.append(data)
            self._tail = joined[-(len(_PASTE_END) - 1) :]
            return
        rest = joined[end + len(_PASTE_END) :]
        self._pieces.append(data)
        pasted = "".join(self._pieces)[: -len(rest) - len(_PASTE_END)]
        self._pieces, self._tail = [], ""
        self._in_bracketed_paste = False
        self.feed_key_callback(KeyPress(Keys.BracketedPaste, pasted))
        super().feed(rest)

"""What is printed for good: lines are added below, and nothing above is ever touched again."""

from __future__ import annotations

from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agent.light_dataclass import dataclass
from agent.protocol.events import PlanItem
from agent.ui.console import print_text
from agent.ui.markdown_stream import Block
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import counted


@dataclass(frozen=True, slots=True)
class Signs:
    """How things are marked: by signs for the eye, or by words where signs are not seen."""

    start: str
    ok: str
    fail: str
    plan: dict[str, str]
    is_drawn: bool
    """Whether lines may be drawn, as those of tables are."""

    def step(self, item: PlanItem) -> str:
        """The mark of a step of the plan."""
        return self.plan.get(item.status, self.plan["pending"])


SIGNS = Signs("▸", "✓", "✗", {"completed": "✓", "in_progress": "▸", "pending": "○"}, True)
WORDS = Signs("running", "ok", "failed", {"completed": "done:", "in_progress": "now:", "pending": "to do:"}, False)

Part = tuple[str, str]
"""Text and its style."""


class Scrollback:
    """Prints on a console from `make_console`, with a blank line between things of different kinds."""

    def __init__(self, console: Console, signs: Signs) -> None:
        self.console = console
        self.signs = signs
        self.last_kind = ""
        """What was printed last: banner, text, tool, plan, note, end, turn or input; empty: nothing yet."""

    @property
    def width(self) -> int:
        """Columns."""
        return self.console.width

    def needs_gap(self, kind: str, *, goes_on: bool = False) -> bool:
        """Whether a blank line comes before the next thing: also between all paragraphs, unless the text `goes_on`."""
        return bool(self.last_kind) and (kind != self.last_kind or (kind == "text" and not goes_on))

    def block(self, block: Block) -> bool:
        """A block of the answer; False if there is nothing of it to see."""
        from agent.ui.markdown_view import print_block  # markdown-it and pygments: not before they are needed

        goes_on = block.goes_on and self.last_kind == "text"
        if not goes_on and not visible(block.text).strip():
            return False
        if not goes_on:
            self._gap("text")
        print_block(self.console, block, plain=not self.signs.is_drawn)
        return True

    def beginning(self, text: str, max_rows: int) -> None:
        """The first rows of an answer that is whole."""
        from agent.ui.markdown_view import markdown_rows, print_rows  # see `block`

        rows = markdown_rows(self.console, text, self.width, plain=not self.signs.is_drawn)
        if not rows:
            return
        self._gap("text")
        print_rows(self.console, rows[:max_rows])
        if (more := len(rows) - max_rows) > 0:
            print_text(self.console, Text(f"… {counted(more, 'more line')}", "muted"))

    def line(self, kind: str, text: str, style: str) -> None:
        """Text that wraps."""
        self.text(kind, Text(text, style))

    def text(self, kind: str, text: Text, indent: int = 0) -> None:
        """Styled text that wraps; a line's own leading blanks go on before its other rows."""
        self._gap(kind)
        lines = text.split("\n", allow_blank=True)
        for margin, group in groupby(lines, lambda line: self._margin(line, indent)):
            print_text(self.console, Text("\n").join(line[margin:] for line in group), indent + margin)

    def _margin(self, line: Text, indent: int) -> int:
        """The leading blanks of a line that is too long for a row."""
        if indent + cell_len(line.plain) <= self.width:
            return 0
        return min(len(line.plain) - len(line.plain.lstrip(" ")), self.width // 2)

    def one_line(self, kind: str, *parts: Part) -> None:
        """One line, cut at the width."""
        self._gap(kind)
        line = Text.assemble(*parts)
        line.rstrip()
        self.console.print(line, no_wrap=True, overflow="ellipsis")

    def hanging(self, kind: str, sign: Part, *parts: Part) -> None:
        """A sign and text beside it that wraps without running under the sign."""
        self._gap(kind)
        mark = Text.assemble((f"{sign[0]} ", sign[1]))  # its style is not that of the row
        print_text(self.console, Text.assemble(*parts), indent=cell_len(mark.plain), sign=mark)

    def indented(self, kind: str, lines: list[str], style: str, max_rows: int = 2) -> None:
        """Lines below what they belong to, each cut to about `max_rows` rows."""
        text = "\n".join(clip(line, self.width * max_rows) for line in lines)
        if text:
            self.text(kind, Text(text, style), indent=2)

    def _gap(self, kind: str) -> None:
        if self.needs_gap(kind):
            self.console.print()
        self.last_kind = kind

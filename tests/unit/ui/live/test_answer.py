from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from agent.protocol import events as e
from agent.ui.live.answer import MARKDOWN_CHARS
from agent.ui.live.rows import Row
from agent.ui.markdown_stream import CODE_PIECE_LINES, Block, MarkdownStream
from agent.ui.markdown_view import print_block
from agent.ui.sanitize import visible
from agent.ui.scrollback import SIGNS, Scrollback
from agent.ui.terminal import TerminalRenderer
from tests.unit.ui.samples import HOSTILE, all_events, printed, recording_console
from tests.unit.ui.test_markdown_stream import ANYTHING, ITEMS, SOURCES

CODE_LINES = st.lists(st.sampled_from(["", "x = 1", "    '''", "  ", "```py", "\ty", "漢字 # é", "``"]), max_size=150)
LONG_CODE = st.tuples(st.sampled_from(["```py", "~~~", "  ````"]), CODE_LINES, st.booleans()).map(
    lambda parts: "\n".join([parts[0], *parts[1], *([parts[0].replace("py", "")] if parts[2] else [])])
)
TEXTS = (
    ANYTHING
    | LONG_CODE
    | st.tuples(SOURCES, LONG_CODE, SOURCES).map("\n\n".join)
    | st.sampled_from([*HOSTILE.values()])
)


def renderer_at(width: int, **environ: str) -> TerminalRenderer:
    return TerminalRenderer(recording_console(width, **environ), clock=lambda: 0.0)


def text_of(rows: list[Row]) -> str:
    return "\n".join("".join(segment.text for segment in row) for row in rows)


def assert_fits(rows: list[Row], width: int, limit: int) -> None:
    assert len(rows) <= limit
    for row in rows:
        text = "".join(segment.text for segment in row)
        assert not any(segment.control for segment in row)
        assert cell_len(text) <= width
        assert text == text.rstrip()
        assert text == visible(text)
        assert "\n" not in text
        assert "\t" not in text


def chunks(text: str, cuts: list[int]) -> list[str]:
    points = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(points)]


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 2_000), max_size=12), st.sampled_from([1, 2, 10, 40, 100]), st.integers(0, 20))
def test_the_scrollback_does_not_depend_on_chunks_or_frames(
    source: str, cuts: list[int], width: int, rows: int
) -> None:
    console, whole = recording_console(width), recording_console(width)
    renderer = TerminalRenderer(console)
    for piece in chunks(source, cuts):
        renderer.handle(e.Event(e.AssistantChunk(piece)))
        assert_fits(renderer.live_lines(width, rows), width, rows)
    renderer.handle(e.Event(e.AssistantStreamEnd()))
    assert not renderer.live_lines(width, rows)
    at_once = TerminalRenderer(whole)
    at_once.handle(e.Event(e.AssistantMessage(source)))
    assert printed(console) == printed(whole)


@settings(max_examples=100, deadline=None)
@given(LONG_CODE, st.sampled_from([10, 80]))
def test_pieces_of_code_look_like_the_whole(source: str, width: int) -> None:
    renderer_console, whole = recording_console(width), recording_console(width)
    renderer = TerminalRenderer(renderer_console)
    renderer.handle(e.Event(e.AssistantMessage(source)))
    print_block(whole, Block("code", source))
    assert printed(renderer_console) == printed(whole)


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("width", [1, 7, 40, 120])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_fits(text: str, width: int, colours: bool) -> None:
    renderer = renderer_at(width, **({"FORCE_COLOR": "3"} if colours else {}))
    renderer.handle(e.Event(e.Processing()))
    for event in all_events(text):
        renderer.handle(event)
        for rows in (0, 1, 3, 30):
            assert_fits(renderer.live_lines(width, rows), width, rows)
    renderer.handle(e.Event(e.TurnComplete(1, None)))
    assert not renderer.live_lines(width, 30)


def test_a_calm_second_costs_nothing() -> None:
    renderer = renderer_at(80)
    renderer.handle(e.Event(e.AssistantChunk("some **text**")))
    assert text_of(renderer.live_lines(80, 10)) == "some text"
    cost = renderer.rendered_chars
    assert text_of(renderer.live_lines(80, 10)) == "some text"
    assert renderer.rendered_chars == cost


@pytest.mark.parametrize(
    "token",
    ["word ", "x", "漢", "x = 1\n", "- item\n", "| a | b |\n", "`", "**b** "],
)
@pytest.mark.parametrize("start", ["", "```python\n", "- a\n\n  ```py\n  "])
def test_a_frame_costs_no_more_for_a_longer_answer(token: str, start: str) -> None:
    renderer = renderer_at(100)
    renderer.handle(e.Event(e.AssistantChunk(start)))
    for count in range(20_000):
        renderer.handle(e.Event(e.AssistantChunk(token)))
        if count % 500 == 0:
            before = renderer.rendered_chars
            assert_fits(renderer.live_lines(100, 20), 100, 20)
            assert renderer.rendered_chars - before <= max(MARKDOWN_CHARS, 100 * 20 * 2)


def test_long_code_comes_in_pieces_and_is_never_cut() -> None:
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    lines = [f"line {number}" for number in range(5_000)]
    shown_at = []
    for number, line in enumerate(["```text", *lines]):
        renderer.handle(e.Event(e.AssistantChunk(f"{line}\n")))
        if number in (15, 50, 1_000):
            shown_at.append(printed(console).count("line"))
    assert shown_at == [0, 39, 999]
    renderer.handle(e.Event(e.AssistantChunk("```\n")))
    assert printed(console) == "\n".join(["```text", *lines, "```", ""])


@pytest.mark.parametrize("mark", ["-", "1."])
def test_a_long_list_comes_in_pieces_without_a_seam(mark: str) -> None:
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    shown_at = []
    renderer.handle(e.Event(e.AssistantChunk("Files:\n")))
    for number in range(1, 401):
        renderer.handle(e.Event(e.AssistantChunk(f"{mark} item **{number}**\n\n" if number % 2 else f"{mark} item\n")))
        if number in (5, 30, 400):
            shown_at.append(printed(console).count("item"))
    assert shown_at[0] == 0
    assert shown_at[1] > 15
    assert shown_at[2] > 385
    assert text_of(renderer.live_lines(80, 10)).endswith("item")
    renderer.handle(e.Event(e.AssistantChunk("\nDone.")))
    renderer.handle(e.Event(e.AssistantStreamEnd()))
    numbers = [f" {n:>2}." if mark == "1." else " •" for n in range(1, 401)]
    items = [f"{sign} item{f' {n}' if n % 2 else ''}" for n, sign in enumerate(numbers, 1)]
    assert printed(console) == "\n".join(["Files:", "", *items, "", "Done.", ""])


def test_a_list_of_long_items_comes_in_pieces() -> None:
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    for number in range(1, 5):
        renderer.handle(e.Event(e.AssistantChunk(f"{number}. {'word ' * 150}\n   - and\n")))
    assert "and\n 2. word" in printed(console).replace("  2.", " 2.")
    assert "3. word" not in printed(console)


LISTED = st.lists(
    st.sampled_from([*ITEMS, "- c", "- d", "1. y", "2. z", "text", "", "  more", "> q", "# H", "- ***", "1. ## h"]),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(LISTED.map("\n".join), st.sampled_from([20, 200]))
def test_pieces_of_lists_look_like_the_whole(source: str, width: int) -> None:
    """Apart from the room for numbers, which nobody knows before the end of a list."""
    stream, blocks = MarkdownStream(), list[Block]()
    for block in (*stream.feed(source), *stream.flush()):
        if block.number is None:
            blocks.append(block)
        else:
            blocks[-1] = replace(blocks[-1], text=blocks[-1].text + block.text, is_cut=block.is_cut)
    pieces, whole = recording_console(width), recording_console(width)
    TerminalRenderer(pieces).handle(e.Event(e.AssistantMessage(source)))
    scrollback = Scrollback(whole, SIGNS)
    for block in blocks:
        scrollback.block(block)
    if width == 200:
        assert re.sub("^ +", "", printed(pieces), flags=re.M) == re.sub("^ +", "", printed(whole), flags=re.M)
    elif "1." not in source and "2." not in source and "10)" not in source:
        assert printed(pieces) == printed(whole)


def test_what_is_wrapped_moves_only_now_and_then() -> None:
    """A paragraph without end scrolls: its rows do not wrap anew with every word."""
    renderer = renderer_at(80)
    renderer.handle(e.Event(e.AssistantChunk("word and more " * 2_000)))
    moved = 0
    for _ in range(100):
        before = text_of(renderer.live_lines(80, 10)).split("\n")
        renderer.handle(e.Event(e.AssistantChunk("word ")))
        after = text_of(renderer.live_lines(80, 10)).split("\n")
        moved += before[1] not in after[:2]
    assert moved <= 2


def test_what_is_coming_looks_as_it_will() -> None:
    renderer = renderer_at(80)
    for text, shown in (
        ("# Ti", "Ti"),
        ("tle\n\n- on", " • on"),
        ("e\n- two\n\n```py\nx", "```py\nx"),
        ("\n\ny", "```py\nx\n\ny"),
        ("\n``", "```py\nx\n\ny\n``"),
        ("`", "```py\nx\n\ny\n```"),
    ):
        renderer.handle(e.Event(e.AssistantChunk(text)))
        assert text_of(renderer.live_lines(80, 5)).strip("\n") == shown


def test_only_the_last_rows_are_live() -> None:
    renderer = renderer_at(80)
    renderer.handle(e.Event(e.AssistantChunk("\n".join(f"- item {number}" for number in range(50)))))
    assert text_of(renderer.live_lines(80, 2)) == " • item 48\n • item 49"


def test_the_end_of_a_long_list_is_a_list() -> None:
    renderer = renderer_at(80)
    renderer.handle(e.Event(e.AssistantChunk("\n".join(f"{number}. item **{number}**" for number in range(1, 900)))))
    assert text_of(renderer.live_lines(80, 2)) == " 898. item 898\n 899. item 899"


def test_a_note_among_code_stands_apart() -> None:
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    renderer.handle(e.Event(e.AssistantChunk("```text\n" + "x\n" * CODE_PIECE_LINES)))
    assert text_of(renderer.live_lines(80, 10)) == "x"
    renderer.note("queued")
    assert text_of(renderer.live_lines(80, 10)) == "\nx"
    renderer.handle(e.Event(e.AssistantChunk("```")))
    renderer.handle(e.Event(e.AssistantStreamEnd()))
    assert printed(console).endswith("x\n\nqueued\n\nx\n```\n")

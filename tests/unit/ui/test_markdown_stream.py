from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent.ui.markdown_stream import Block, MarkdownStream

PLAIN = ["text", "more text", "", "", "", "# H", "---", "===", "* * *", "> q", "  cont", "    deep", "\tx", "\r", "é漢"]
FENCES = [
    "```",
    "````",
    "~~~",
    "```py",
    "  ```",
    "  ```py",
    "   ```",
    "    ```",
    "      ```",
    "\t```",
    "```x```",
    "```\r",
]
ITEMS = [
    "- a",
    "* b",
    "- ",
    "-",
    "1. x",
    "2. y",
    "10) z",
    "- - n",
    "  - sub",
    "    - sub2",
    "-\tx",
    "-     code",
    "- # h",
]
MIXED = ["- ```", "1. ```", "~~~ a`b", "``` a`b", "      deeper"]
LINES = st.sampled_from([*PLAIN, *FENCES, *ITEMS, *MIXED])
SOURCES = st.tuples(st.lists(LINES, max_size=14), st.booleans()).map(lambda p: "\n".join(p[0]) + "\n" * p[1])
ANYTHING = SOURCES | st.text(st.sampled_from("`~-*1. \t\n\rab#>|=")) | st.text()


def split(source: str, cuts: list[int] | None = None) -> list[Block]:
    stream, blocks = MarkdownStream(), []
    points = [0, *sorted(cut % (len(source) + 1) for cut in cuts or []), len(source)]
    for start, end in pairwise(points):
        blocks += stream.feed(source[start:end])
    return blocks + stream.flush()


def fences(source: str) -> list[tuple[str, str]]:
    """Every fenced code block that a CommonMark parser finds, wherever: info string and content."""
    parser = MarkdownIt("commonmark", {"html": False})
    return [(token.info, token.content) for token in parser.parse(source) if token.type == "fence"]


@given(ANYTHING)
def test_the_blocks_are_the_source(source: str) -> None:
    assert "".join(block.text for block in split(source)) == source
    assert all(block.text for block in split(source))


@given(ANYTHING, st.lists(st.integers(0, 500), max_size=30))
def test_chunk_boundaries_do_not_matter(source: str, cuts: list[int]) -> None:
    assert split(source, cuts) == split(source)
    assert split(source, list(range(len(source)))) == split(source)


@settings(max_examples=1000)
@given(SOURCES)
def test_no_block_cuts_a_fence(source: str) -> None:
    """A CommonMark parser sees in the separate blocks exactly the fences that it sees in the whole."""
    source = source.replace("\r", "")
    assert [fence for block in split(source) for fence in fences(block.text)] == fences(source)


@settings(max_examples=300)
@given(SOURCES)
def test_code_blocks_are_one_fence_each(source: str) -> None:
    for block in split(source.replace("\r", "").replace("\t", "")):  # tabs of code in indented fences stay tabs here
        if block.kind == "code":
            [(info, content)] = fences(block.text)
            assert block.language == (info.split() or [""])[0].strip("{}.,:")
            assert block.body == content.removesuffix("\n")


@given(st.sampled_from("`~"), st.integers(3, 6), st.integers(0, 3), st.integers(0, 2), st.text("ab `~\n- 1.#"))
def test_a_fence_holds_whatever_is_inside(char: str, length: int, indent: int, longer: int, inside: str) -> None:
    inside = inside.replace(char * length, "")
    code = f"{' ' * indent}{char * length}py x\n{inside}\n{char * (length + longer)}\n"
    blocks = split(f"before\n{code}\nafter\n\n{code}")
    assert [block.text for block in blocks if block.kind == "code"] == [code, code]
    assert {block.language for block in blocks if block.kind == "code"} == {"py"}


def kinds(source: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in split(source)]


def test_blank_lines_inside_code_do_not_split_it() -> None:
    code = "```python\na = 1\n\n\nb = 2\n```\n"
    assert kinds(f"Text:\n{code}\nMore.\n") == [("markdown", "Text:\n"), ("code", code), ("markdown", "\nMore.\n")]


def test_a_shorter_fence_inside_a_longer_one_is_content() -> None:
    code = "````md\n```py\nx\n```\n````\n"
    assert kinds(code) == [("code", code)]
    assert split(code)[0].body == "```py\nx\n```"
    assert split(code)[0].fence_lines == ("````md", "````")


def test_an_unclosed_fence_is_code() -> None:
    assert kinds("a\n\n~~~\nx\n\ny") == [("markdown", "a\n\n"), ("code", "~~~\nx\n\ny")]
    assert split("~~~\nx\n\ny")[0].body == "x\n\ny"
    assert split("~~~")[0].body == ""


def test_lists_stay_whole() -> None:
    items = "1. a\n\n   more of a\n\n2. b\n   ```py\n   x\n\n   y\n   ```\n3. c\n\n"
    assert kinds(f"{items}After.\n") == [("markdown", items), ("markdown", "After.\n")]


def test_code_between_items_ends_the_list() -> None:
    code = "```\nx\n```\n"
    assert kinds(f"1. a\n{code}2. b\n") == [("markdown", "1. a\n"), ("code", code), ("markdown", "2. b\n")]


def test_tables_stay_whole_and_paragraphs_come_at_once() -> None:
    stream = MarkdownStream()
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert stream.feed("One.\n") == []
    assert stream.feed("\n") == [Block("markdown", "One.\n\n")]
    assert stream.feed(table) == []
    assert stream.feed("\n") == [Block("markdown", table + "\n")]
    assert stream.flush() == []


def test_code_comes_as_soon_as_it_is_closed() -> None:
    stream = MarkdownStream()
    assert stream.feed("```py\nx\n``") == []
    assert stream.feed("`\n") == [Block("code", "```py\nx\n```\n", "py")]


def test_a_stream_can_be_used_again() -> None:
    stream = MarkdownStream()
    stream.feed("```\nx")
    assert stream.flush() == [Block("code", "```\nx")]
    assert stream.feed("a\n\n") == [Block("markdown", "a\n\n")]


@pytest.mark.parametrize("piece", ["a b ", "- x\n", "```\n", "  - a\n", "x\n\n", "- - ", "\n", ">", "    "])
def test_time_is_linear(piece: str) -> None:
    def seconds(count: int) -> float:
        stream = MarkdownStream()
        began = time.process_time()
        for _ in range(count):
            stream.feed(piece)
        stream.flush()
        return time.process_time() - began

    assert seconds(200_000) < 10  # quadratic would be minutes

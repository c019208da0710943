from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, get_character_cell_size

from agent.ui.sanitize import cell_width, clip, escaped, visible
from tests.unit.ui.samples import HOSTILE

NASTY = st.text(
    st.one_of(
        st.sampled_from("\x1b[]()0;?m2JHAK\x07\x08\r\n\t\\\x9b\x9c\x9d\x90\x85\u2028\u202e\u2066P^_Xc#8 ab"),
        st.characters(),
        st.characters(categories=["Cs"]),
    )
)
FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\u202a\u202b\u202c\u202d\u202e"} - {"\n", "\t"}
FORBIDDEN |= {*"\u2066\u2067\u2068\u2069\u2028\u2029", *map(chr, range(0xD800, 0xE000))}


@given(NASTY)
def test_visible_text_has_no_power(text: str) -> None:
    shown = visible(text)
    assert not FORBIDDEN & set(shown)
    assert visible(shown) == shown
    assert not {"\n", "\t"} & set(visible(text, keep_newlines=False))


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.sampled_from("\n\t")))
def test_harmless_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b[2J\x1b[3Jb", "ab"),
        ("a\x1b]52;c;Zm9v\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x9b2Jb", "ab"),
        ("a\x1bcb\x1b(Bc", "abc"),
        ("a\x1b]unfinished", "aunfinished"),
        ("1%\r2%\r\n3%", "1%\n2%\n3%"),
        ("\udcff\ud83d", "\ufffd\ufffd"),
        ("[/usr/lib/x]", "[/usr/lib/x]"),
        ("שלום 漢字 👩‍👩‍👧", "שלום 漢字 👩‍👩‍👧"),
    ],
)
def test_visible_examples(text: str, expected: str) -> None:
    assert visible(text) == expected


@pytest.mark.parametrize("start", ["\x1b]", "\x9d", "\x1b[0", "\x1b[", "\x90", "\x1b ", "\x1bP"])
def test_unfinished_sequences_cost_linear_time(start: str) -> None:
    began = time.process_time()
    visible(start * 200_000)
    assert time.process_time() - began < 5  # quadratic would be hours


@given(NASTY)
def test_escaped_text_shows_what_is_hidden(text: str) -> None:
    shown = escaped(text)
    assert not FORBIDDEN & set(shown)
    assert len(shown) >= len(text)
    assert "\n" not in escaped(text, keep_newlines=False)


def test_escaped_spells_characters_out() -> None:
    assert escaped("rm\x1b[2K -rf\u202e \u200b\r\n\ud800") == "rm\\x1b[2K -rf\\u202e \\u200b\\r\n\\ud800"


@given(NASTY | st.text(), st.integers(0, 60))
def test_clip_keeps_to_the_width(text: str, width: int) -> None:
    line = clip(text, width)
    assert "\n" not in line
    assert cell_width(line) <= width
    if all(get_character_cell_size(char) <= cell_width(char) for char in line):  # the Unicode tables differ by version
        assert cell_len(line) <= width


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_our_width_is_never_below_the_terminal_s(text: str) -> None:
    line = visible(text, keep_newlines=False)
    assert cell_width(line) >= cell_len(line)


def test_clip_looks_only_at_the_beginning() -> None:
    assert clip("x" * 2_000_000, 10) == "x" * 9 + "…"
    assert clip("漢字漢字", 5) == "漢字…"
    assert clip("  a  ", 10) == "  a"

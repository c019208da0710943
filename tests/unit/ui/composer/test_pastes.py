from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from agent.ui.composer.pastes import FOLDED_CHARS, FOLDED_LINES, KEPT_CHARS, Pastes
from agent.ui.composer.terminal_input import PasteParser
from agent.ui.sanitize import visible

PIECES = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["\n" * 9, "x" * 801, "\r\n", "\r", "\x00", "[Pasted #1: 10 lines]", "[Pasted #1: 801 characters]"]
        ),
    ),
    max_size=8,
).map("".join)


def normalised(text: str) -> str:
    return visible(text.replace("\r\n", "\n").replace("\r", "\n"))


@given(st.lists(PIECES, max_size=5))
def test_what_was_pasted_is_what_is_sent(texts: list[str]) -> None:
    pastes = Pastes()
    composed = ""
    for text in texts:
        composed += pastes.fold(text, composed) + "|"
    assert pastes.expand(composed) == "".join(normalised(text) + "|" for text in texts)


@given(PIECES, PIECES)
def test_a_placeholder_is_not_in_what_was_typed(typed: str, text: str) -> None:
    pastes = Pastes()
    folded = pastes.fold(text, typed)
    assert pastes.expand(typed) == typed
    assert pastes.expand(typed + folded) == typed + normalised(text)


@given(PIECES)
def test_what_was_not_pasted_stays(text: str) -> None:
    assert Pastes().expand(text) == text


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("x" * FOLDED_CHARS, None),
        ("x\n" * FOLDED_LINES, None),
        ("x" * (FOLDED_CHARS + 1), "[Pasted #1: 801 characters]"),
        ("x\n" * FOLDED_LINES + "x", "[Pasted #1: 9 lines]"),
        ("x\r" * 1_000, "[Pasted #1: 1,000 lines]"),
    ],
)
def test_what_is_folded(text: str, folded: str | None) -> None:
    assert Pastes().fold(text) == (folded or text)


def test_long_ones_can_stay_folded() -> None:
    pastes = Pastes()
    short, long = pastes.fold("x" * 1_000), pastes.fold("y" * 30_000)
    assert pastes.expand(f"{short} {long}", 20_000) == f"{'x' * 1_000} {long}"


def test_the_oldest_are_forgotten_but_not_those_in_use() -> None:
    pastes = Pastes()
    text = "z" * (KEPT_CHARS // 2)
    used, unused = pastes.fold(text), pastes.fold(text)
    last = pastes.fold(text, f"see {used}")
    assert pastes.expand(unused) == unused
    assert len(pastes.expand(used)) == len(pastes.expand(last)) == len(text)


@given(PIECES, st.lists(st.integers(1, 12), min_size=1), PIECES)
def test_pieces_of_a_paste_are_read_as_one(text: str, sizes: list[int], after: str) -> None:
    text = text.replace("\x1b[201~", "")
    typed = "".join(char for char in after if char.isalnum())
    read: list[KeyPress] = []
    parser = PasteParser(read.append)
    left = f"a\x1b[200~{text}\x1b[201~{typed}\x1b[200~{text}\x1b[201~"
    while left:
        for size in sizes:
            parser.feed(left[:size])
            left = left[size:]
    pasted = KeyPress(Keys.BracketedPaste, text)
    assert read == [KeyPress("a", "a"), pasted, *(KeyPress(char, char) for char in typed), pasted]

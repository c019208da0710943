from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.ui.composer.wrapping import word_wrapped
from agent.ui.sanitize import cell_width


@given(st.text(st.sampled_from("ab [/é漢"), max_size=60), st.integers(2, 30))
def test_nothing_is_lost_or_too_wide(text: str, width: int) -> None:
    lines = word_wrapped(text, width)
    assert all(cell_width(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.text("ab漢", min_size=1, max_size=5), min_size=1), st.integers(10, 30))
def test_no_word_that_fits_is_broken(words: list[str], width: int) -> None:
    assert " ".join(word_wrapped(" ".join(words), width)).split() == words

"""Cutting texts to size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.context_manager.cutting import cut_text, fair_share
from agent.context_manager.tokens import estimate_text

texts = st.one_of(
    st.text(max_size=3_000), st.tuples(st.text(max_size=20), st.integers(1, 900)).map(lambda t: t[0] * t[1])
)


@given(texts, st.integers(5, 2_000), st.sampled_from([" […] ", "\n[the rest of it is in /state/spill/bash-1.txt]\n"]))
def test_a_cut_text_fits_and_keeps_its_ends(text: str, most: int, note: str) -> None:
    cut = cut_text(text, most, note)
    assert estimate_text(cut) <= most
    if estimate_text(text) <= most:
        assert cut == text
    elif most > 100:
        assert "[" in cut
        assert cut[0] == text[0]
        assert cut[-1] == text[-1]


def test_a_note_gives_way_where_it_would_be_most_of_what_is_left() -> None:
    note = "[the rest of it is in a file with a rather long name]"
    assert note in cut_text("word " * 500, 100, note)
    assert note not in cut_text("word " * 500, 15, note)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40), st.integers(0, 100_000))
def test_a_fair_share_uses_the_room_and_no_more(sizes: list[int], room: int) -> None:
    share = fair_share(sizes, room)
    assert sum(min(size, share) for size in sizes) <= room
    if share < max(sizes):
        assert sum(min(size, share + 1) for size in sizes) > room

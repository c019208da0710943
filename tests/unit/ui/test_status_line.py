from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from agent.ui.status_line import STATUS_STYLE, StatusFacts, custom_fragments, middle_cut, status_fragments
from tests.unit.ui.samples import HOSTILE, assert_calm

BUSY = StatusFacts(
    model="anthropic/claude-opus-4.8:fal-ai",
    effort="high",
    mode="auto-edit",
    context_used=0.42,
    cost_usd=1.25,
    cap_usd=5.0,
    spent_usd=1.25,
    jobs=2,
    sandboxes=1,
    per_hour_usd=3.3,
    git_branch="feature/lora",
    background=1,
    queued=2,
    title="Tune the learning rate",
    saved=False,
)


def line(facts: StatusFacts, width: int) -> str:
    return "".join(text for _, text in status_fragments(facts, width))


def styles(facts: StatusFacts, width: int = 200) -> dict[str, str]:
    return {text: style for style, text in status_fragments(facts, width)}


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (30, "auto-edit · 42% · $1.25/$5.00"),
        (40, "auto-edit · context 42% · $1.25 of $5.00"),
        (80, "auto-edit · anthropic…8:fal-ai · context 42% · $1.25/$5.00 · 3 running $3.30/h"),
        (
            120,
            "auto-edit · anthropic…8:fal-ai · 42% · $1.25 of $5.00 · 3 running $3.30/h · 1 bg · 2 queued · not saved"
            " · feature/lora",
        ),
        (
            200,
            "auto-edit · anthropic/claude-opus-4.8:fal-ai high · context 42% · $1.25 of $5.00 · 2 jobs, 1 sandbox "
            "$3.30/h · 1 in background · 2 queued · not saved · feature/lora · Tune the learning rate",
        ),
    ],
)
def test_what_matters_most_stays_longest(width: int, expected: str) -> None:
    assert line(BUSY, width) == expected


def test_a_quiet_session_says_little() -> None:
    assert line(StatusFacts("m"), 80) == "ask · m · $0.00"
    assert status_fragments(BUSY, 0) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (StatusFacts("", cost_usd=0.12), "ask · $0.12"),
        (StatusFacts("", cost_usd=0.12, cost_known=False), "ask · $0.12+?"),
        (StatusFacts("", cost_known=False, unknown_usd=0.3), "ask · $?"),
        (StatusFacts("", cost_usd=0.5, cap_usd=2.0, spent_usd=0.5), "ask · $0.50 of $2.00"),
        (StatusFacts("", cost_usd=0.5, cap_usd=2.0, spent_usd=1.0), "ask · $0.50, $1.00 of $2.00 used up"),
        (StatusFacts("", jobs=1), "ask · $0.00 · 1 job $?/h"),
        (StatusFacts("", sandboxes=1, per_hour_usd=0.0), "ask · $0.00 · 1 sandbox free"),
    ],
)
def test_money_that_nobody_knows_is_never_nothing(facts: StatusFacts, expected: str) -> None:
    assert line(facts, 120) == expected


def test_high_figures_warn_with_and_without_colours() -> None:
    full = StatusFacts("m", context_used=0.81, cost_usd=4.5, spent_usd=4.5, cap_usd=5.0)
    assert styles(full)["context 81%!"] == "class:status.warning"
    assert styles(full)["$4.50 of $5.00!"] == "class:status.warning"
    calm = styles(replace(full, context_used=0.8, spent_usd=4.0, cost_usd=4.0))
    assert calm["context 80%"] == "class:status.context"
    assert calm["$4.00 of $5.00"] == "class:status.cost"
    assert "!" in line(StatusFacts("m", cap_usd=0.0), 40)


def test_long_model_ids_are_cut_in_the_middle() -> None:
    assert middle_cut("huggingface/some-organisation/model-70B:novita", 20) == "huggingfac…0B:novita"
    assert middle_cut("模型" * 20, 9) == "模型…模型"
    assert middle_cut("short", 20) == "short"


ANY_FACTS = st.builds(
    StatusFacts,
    model=st.text(max_size=80),
    effort=st.none() | st.text(max_size=20),
    mode=st.sampled_from(["ask", "auto-edit", "plan", "yolo"]) | st.text(max_size=30),
    context_used=st.none() | st.floats(0, 1),
    cost_usd=st.floats(0, 1e6),
    cost_known=st.booleans(),
    cap_usd=st.none() | st.floats(0, 1e6),
    spent_usd=st.floats(0, 1e6),
    jobs=st.integers(0, 99),
    sandboxes=st.integers(0, 99),
    per_hour_usd=st.none() | st.floats(0, 1000),
    git_branch=st.none() | st.text(max_size=60),
    background=st.integers(0, 99),
    queued=st.integers(0, 99),
    title=st.text(max_size=80) | st.sampled_from(list(HOSTILE.values())),
    saved=st.booleans(),
)


@given(facts=ANY_FACTS, width=st.integers(-1, 220))
def test_it_is_one_line_that_fits_whatever_the_facts(facts: StatusFacts, width: int) -> None:
    fragments = status_fragments(facts, width)
    text = "".join(text for _, text in fragments)
    assert "\n" not in text
    assert sum(map(get_cwidth, text)) <= max(width, 0)
    assert_calm(text)
    for theme in STATUS_STYLE.values():
        style = Style.from_dict(dict(theme))
        for name, _ in fragments:
            style.get_attrs_for_style_str(name)


@given(facts=ANY_FACTS, width=st.integers(20, 199))
def test_more_room_never_shows_less(facts: StatusFacts, width: int) -> None:
    narrow, wide = (len(status_fragments(facts, columns)) for columns in (width, width + 1))
    assert narrow <= wide


def test_modes_look_different_and_nothing_has_a_ground() -> None:
    for theme in STATUS_STYLE.values():
        style = Style.from_dict(dict(theme))
        looks = {style.get_attrs_for_style_str(f"class:status.mode.{mode}") for mode in ("ask", "plan", "yolo")}
        assert len(looks) == 3
        assert not any(look.bgcolor or look.reverse for look in looks)
        assert style.get_attrs_for_style_str("class:status.branch").dim
        assert not style.get_attrs_for_style_str("class:status.warning").dim


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_command_says_is_harmless(text: str) -> None:
    for width in (1, 40, 200):
        fragments = custom_fragments(text, width)
        assert_calm("".join(shown for _, shown in fragments), width)
        assert "\n" not in "".join(shown for _, shown in fragments)

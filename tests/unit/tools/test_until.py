"""`until` of `hf_jobs wait`: simple patterns mean what they mean to `re`, and no line makes one slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.tools.arguments import ArgumentError
from agent.tools.jobs.announced import announced
from agent.tools.jobs.arguments import until_pattern
from agent.tools.jobs.until import SEARCHED_CHARS, LinePattern


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        ("loss|Error", "eval_loss = 3", True),
        ("loss|Error", "an error", False),
        ("(?i)error", "An ERROR", True),
        (r"epoch \d+.*loss \d+\.\d+", "epoch 3, then loss 0.51", True),
        (r"^(done|failed): \d{2}$", "failed: 12", True),
        (r"^(done|failed): \d{2}$", "failed: 123", False),
        ('{"loss": [0-9.]+}', '{"loss": 0.5}', True),
        (r"\bok\b", "token", False),
        (r"steps?( in total)?!", "1 step in total!", True),
    ],
)
def test_patterns(pattern: str, line: str, found: bool) -> None:
    until = until_pattern({"until": pattern})
    assert until is not None and until.search(line) is found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^(\w+\s?)+done$", "a group cannot be repeated"),
        (r"(a)\1", "not understood"),
        (r"(?=a)b", "not understood"),
        ("(", "unterminated"),
        ("a{5000}", "too long"),
        ("(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)", "too long"),
        ("x" * 600, "longer"),
    ],
)
def test_patterns_that_could_be_slow_are_refused(pattern: str, why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        until_pattern({"until": pattern})


@pytest.mark.timeout(20)
def test_no_line_makes_a_pattern_slow() -> None:
    until = LinePattern(r"\w*\w*\w*\w*\w*\w*\w*\w*!")
    assert not until.search("a" * 100_000)
    assert not until.search("a" * SEARCHED_CHARS + "!")  # what comes later is not looked at


ATOM = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "^", "$", r"\b", "1", "{", "}"])
REPEAT = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,}", "{,2}", "{0,2}", "*?"])
PIECE = st.tuples(ATOM, REPEAT).map(lambda each: each[0] if each[0] in ("^", "$", r"\b") else "".join(each))
WORDS = st.lists(PIECE, max_size=5).map("".join)
GROUP = st.tuples(WORDS, WORDS, st.sampled_from(["", "?"])).map(lambda each: f"({each[0]}|{each[1]}){each[2]}")


@settings(deadline=None)
@given(st.lists(WORDS | GROUP, max_size=3).map("".join), st.text("ab1. {}_é", max_size=9))
def test_they_mean_what_they_mean_to_re(pattern: str, line: str) -> None:
    try:
        wanted = re.compile(pattern)
        until = LinePattern(pattern)
    except (re.error, ValueError):
        return
    assert until.search(line) is bool(wanted.search(line))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "code", ["hub_model_id" + " " * 20_000, "push_to_hub(" + "\n" * 20_000, "push_to_hub " * 50_000]
)
def test_no_code_makes_guessing_slow(code: str) -> None:
    assert announced(code).saves
    assert announced(code).saves_to is None

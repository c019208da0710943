"""What a terminal obeys, told apart from what it shows; the same for every place that shows or keeps foreign text."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from agent.compute.job_logs import plain_line
from agent.core.work_news import shown
from agent.protocol.terminal_text import without_sequences
from agent.protocol.untrusted import readable
from agent.tools.output import terminal_text
from agent.ui.sanitize import visible

EVERYWHERE: dict[str, Callable[[str], str]] = {
    "readable": readable,
    "visible": visible,
    "terminal_text": terminal_text,
    "plain_line": plain_line,
    "shown": lambda text: shown([text])[0],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b[?25lb\x1b[>4;2mc", "abc"),
        ("a\x9b31mred\x9b0m", "ared"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("a\x9d0;title\x9cb", "ab"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x1b(Bb\x1bMc", "abc"),
    ],
)
@pytest.mark.parametrize("place", EVERYWHERE)
def test_sequences_of_7_and_8_bits_are_dropped_everywhere(place: str, text: str, expected: str) -> None:
    assert without_sequences(text) == expected
    assert EVERYWHERE[place](text) == expected


def test_other_control_characters_and_line_ends_stay() -> None:
    assert without_sequences("a\x07\r\n\x85b\x1b[K\t") == "a\x07\r\n\x85b\t"


@pytest.mark.parametrize("start", ["\x1b]a", "\x1b]", "\x9d", "\x1b[0", "\x90", "\x1b ", "\x1bP"])
@pytest.mark.parametrize("place", EVERYWHERE)
def test_unfinished_sequences_cost_linear_time(place: str, start: str) -> None:
    """Command output, job logs and news of work were quadratic in them."""
    began = time.process_time()
    EVERYWHERE[place](start * 200_000)
    assert time.process_time() - began < 5  # quadratic would be minutes

"""Markdown as Slack writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messaging.mrkdwn import escaped, to_mrkdwn


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("2 * 3 * 4 and a_b_c", "2 * 3 * 4 and a_b_c"),  # defect 23 of cli.md
        ("**bold** and *it* and ~~gone~~", "*bold* and _it_ and ~gone~"),
        ("***both***", "_*both*_"),
        ("**bold *in* bold**", "*bold _in_ bold*"),
        ("# Title **x**", "*Title x*"),
        ("a & b &amp; c <b> x < y", "a &amp; b &amp; c &lt;b&gt; x &lt; y"),
        ("`x < y && *z*` stays", "`x &lt; y &amp;&amp; *z*` stays"),
        ("[label](https://a.b/?x=1&y=2)", "<https://a.b/?x=1&amp;y=2|label>"),
        ("<https://c.d> ![plot](https://e.f/g.png)", "<https://c.d> <https://e.f/g.png|plot>"),
        ("[run](javascript:alert) [local](x.md)", "[run](javascript:alert) local"),
        ("<@U123> <!here> <#C1|general> <https://x.y|z>", "<@U123> <!here> <#C1|general> <https://x.y|z>"),
        ("- one\n- two\n  1. sub", "• one\n• two\n    1. sub"),
        ("> quote *me*\n> more", "> quote _me_\n> more"),
        ("```python\nx = 1  # **no**\n```", "```\nx = 1  # **no**\n```"),
        ("| a | bb |\n|---|---|\n| **1** | 2 |", "```\na  bb\n1  2\n```"),
        ("one\n\ntwo\nthree", "one\n\ntwo\nthree"),
        ("", ""),
    ],
)
def test_what_becomes_of_it(markdown: str, expected: str) -> None:
    assert to_mrkdwn(markdown) == expected


@given(st.text(max_size=200))
def test_nothing_but_slacks_own_markup_opens_a_bracket(text: str) -> None:
    written = to_mrkdwn(text)
    outside = written.split("<")[1:]
    assert all(part.startswith(("@", "#", "!", "http://", "https://", "mailto:")) for part in outside)


@given(st.text(max_size=200))
def test_escaping_twice_is_escaping_once(text: str) -> None:
    assert escaped(escaped(text)) == escaped(text)

"""Pages that are deeper than any that is made to be read are known before a parser gets them, and no others."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.web.html_depth import MAX_DEPTH, MAX_SELF_CLOSED, is_too_deep


@pytest.mark.parametrize(
    "piece",
    [
        "<div>",
        "<b>",
        "<DIV class='x'>",
        "<div",
        "<div/>",
        "<div a='<'>",
        "<p><i>",
        "<li><ul>",
        "<svg><desc><div></svg>",
        "</p><x>",
    ],
)
def test_a_page_that_is_deep_is(piece: str) -> None:
    page = piece * 100_000
    assert is_too_deep(page)
    assert is_too_deep(page.encode())


@pytest.mark.parametrize(
    "piece",
    [
        "<p>a<br>b",
        "<div><b>x</b></div>",
        "<tr><td>1<td>2",
        "<tbody><tr><th>x",
        "<li>one",
        "<img src='x'/><hr/>",
        "</div></b>",
        "1 < 2, a<b>c</b> ",
        "<DIV></div>",
        '<a title="1 > 0">x</a>',
        "<!-- x -->",
    ],
)
def test_a_page_that_is_only_long_is_not(piece: str) -> None:
    assert not is_too_deep(f"<html><body>{piece * 50_000}</body></html>")


def test_elements_of_pictures_and_formulas_may_close_themselves() -> None:
    assert not is_too_deep("<svg>" + '<path d="M 0 0"/>' * MAX_SELF_CLOSED + "</svg>")
    assert is_too_deep("<svg>" + '<path d="M 0 0"/>' * (MAX_SELF_CLOSED + 1) + "</svg>")


@pytest.mark.parametrize("piece", ["<", "<a", "<a ", "</", "<!--", "<a b='", "a" * 100, "<a>", "</a"])
def test_it_takes_linear_time(piece: str) -> None:
    began = time.process_time()
    is_too_deep("<" + piece * (2_000_000 // len(piece)))
    assert time.process_time() - began < 10  # quadratic would be hours


@given(st.text(alphabet="<>/ab p=\"'!-é\x00", max_size=200))
def test_a_short_page_is_never_too_deep(text: str) -> None:
    assert len(text) < MAX_DEPTH
    assert not is_too_deep(text)

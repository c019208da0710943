"""Answers as text and JSON, whatever they claim to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.web.client import WebAnswer
from agent.web.errors import WebError


def answer(body: bytes, content_type: str = "") -> WebAnswer:
    return WebAnswer(200, "https://a.example/x", {"content-type": content_type}, body)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("é".encode(), "", "é"),
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", "é"),
        (b"\x93quoted\x94", "text/html; charset=latin1", "“quoted”"),
        ("日本".encode("shift_jis"), 'text/html; charset="Shift_JIS"; x=y', "日本"),
        ("é".encode("utf-16"), "text/plain;charset=utf-16", "é"),
        (b"\xef\xbb\xbfwith a mark", "text/plain", "with a mark"),
        (b"\xff\xfe?", "text/plain; charset=utf-8", "\ufffd\ufffd?"),
        (b"x", "text/plain; charset=no-such", "x"),
        (b"x", "text/plain; charset=\x00", "x"),
    ],
)
def test_text_by_its_declared_character_set(body: bytes, content_type: str, text: str) -> None:
    assert answer(body, content_type).text == text


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "undefined", "unicode_escape", "utf-7", "zlib", "rot13", "base64"]
)
def test_what_is_a_codec_but_no_character_set_is_not_used(name: str) -> None:
    assert answer(rb"\x41+AAA- abc-", f"text/plain; charset={name}").text == r"\x41+AAA- abc-"


@given(st.binary(max_size=300), st.text(max_size=50))
def test_text_never_fails(body: bytes, charset: str) -> None:
    answer(body, f"text/plain; charset={charset}").text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[" * 100_000, b"\xff\xff", b"1" * 10_000])
def test_what_is_no_json_is_an_error_that_names_the_host(body: bytes) -> None:
    with pytest.raises(WebError, match=r"a\.example did not answer with JSON \(text/html\)") as caught:
        answer(body, "text/html; charset=utf-8").json()
    assert caught.value.problem == "garbled"

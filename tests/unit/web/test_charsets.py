"""Bytes of pages as text, whatever is said of their character set."""

from __future__ import annotations

import pytest

from agent.web.charsets import decoded, known_charset


@pytest.mark.parametrize(
    ("body", "declared", "expected"),
    [
        ("größe".encode("latin-1"), "utf-8", "größe"),
        ("größe".encode(), "no-such-set", "größe"),
        ("größe".encode(), "punycode", "größe"),
        ("größe".encode("utf-16"), "", "größe"),
        (b'<meta charset="windows-1251">' + "вес".encode("cp1251"), "", "вес"),
        ("重み".encode("shift_jis"), "Shift_JIS", "重み"),
        ("größe".encode()[:4], "utf-8", "grö"),
        (b"\xef\xbb\xbfx", "latin-1", "x"),
    ],
)
def test_wrong_and_missing_charsets(body: bytes, declared: str, expected: str) -> None:
    assert decoded(body, declared).endswith(expected)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("UTF8", "utf-8"),
        ("latin1", "cp1252"),
        ("us-ascii", "cp1252"),
        ("Big5-HKSCS", "big5hkscs"),
        ("tis-620", "tis-620"),
        ("windows-874", ""),  # Python knows it as cp874 alone
        ("cp874", "cp874"),
        ("punycode", ""),
        ("utf-7", ""),
        ("hz", ""),
        ("cp037", ""),
        ("", ""),
        ("x" * 100_000, ""),
        ("\x00", ""),
    ],
)
def test_only_character_sets_of_the_web_are_known(name: str, known: str) -> None:
    assert known_charset(name) == known

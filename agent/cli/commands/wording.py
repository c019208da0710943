"""How commands say things: a complaint is a sentence that names the next step; what they print begins at the margin."""

from __future__ import annotations


def sentence(text: str) -> str:
    """`text`, such as that of an error, with a capital letter and a full stop."""
    end = "" if text.endswith((".", "?", "!")) else "."
    return f"{text[:1].upper()}{text[1:]}{end}"

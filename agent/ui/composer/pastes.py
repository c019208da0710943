"""Pasted texts, folded: a long one stands in the composer as one short placeholder, and is whole again when sent."""

from __future__ import annotations

import re

from agent.ui.sanitize import visible

FOLDED_LINES = 8
"""A paste of more lines is folded."""
FOLDED_CHARS = 800
"""A paste of more characters is folded."""
KEPT_CHARS = 64_000_000
"""All pastes that are kept together; beyond it the oldest that are not in use are forgotten."""

_PLACEHOLDER = re.compile(r"\[Pasted #\d+: [\d,]+ (?:lines|characters)\]")


class Pastes:
    """The pastes of a session by their placeholder.

    A placeholder that no paste stands behind is ordinary text. Pastes outlive the text that they were pasted into:
    it may come back from the history, the kill ring or an undo.
    """

    def __init__(self) -> None:
        self._raw: dict[str, str] = {}
        """As pasted, but for the line breaks; cleaned when first used."""
        self._clean: dict[str, str] = {}
        self._last_number = 0

    def fold(self, pasted: str, *taken: str) -> str:
        """What to insert for `pasted`: itself, safe to show, or the placeholder of a long one.

        The placeholder is one that occurs nowhere in `taken`. A short paste that spells a placeholder is folded too,
        so that it stays what it says. Costs the same for any content: no work per character.
        """
        text = _unix_lines(pasted)
        if len(text) <= FOLDED_CHARS and _line_count(text) <= FOLDED_LINES:
            text = visible(text)
            if not any(match in self._raw for match in _PLACEHOLDER.findall(text)):
                return text
        placeholder = self._new_placeholder(text, taken)
        self._raw[placeholder] = text
        self._forget_oldest(keep=(placeholder, *taken))
        return placeholder

    def expand(self, text: str, up_to_chars: int | None = None) -> str:
        """`text` with what its placeholders stand for; longer pastes than `up_to_chars` stay folded."""

        def content(match: re.Match[str]) -> str:
            pasted = self._content(match.group())
            if pasted is None or (up_to_chars is not None and len(pasted) > up_to_chars):
                return match.group()
            return pasted

        return _PLACEHOLDER.sub(content, text)

    def ends_at(self, text: str, position: int) -> int:
        """The length of the placeholder that ends right before `position` in `text`, 0 for none."""
        line_start = text.rfind("\n", 0, position) + 1
        start = text.rfind("[", line_start, position)
        return position - start if start >= 0 and text[start:position] in self._raw else 0

    def starts_at(self, text: str, position: int) -> int:
        """The length of the placeholder that starts at `position` in `text`, 0 for none."""
        match = _PLACEHOLDER.match(text, position)
        return len(match.group()) if match and match.group() in self._raw else 0

    def _content(self, placeholder: str) -> str | None:
        if placeholder not in self._raw:
            return None
        if placeholder not in self._clean:
            self._clean[placeholder] = self._raw[placeholder] = visible(self._raw[placeholder])
        return self._clean[placeholder]

    def _new_placeholder(self, text: str, taken: tuple[str, ...]) -> str:
        lines = _line_count(text)
        size = f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"
        while True:
            self._last_number += 1
            placeholder = f"[Pasted #{self._last_number}: {size}]"
            if not any(placeholder in other for other in (text, *taken)):
                return placeholder

    def _forget_oldest(self, keep: tuple[str, ...]) -> None:
        size = sum(map(len, self._raw.values()))
        for placeholder in list(self._raw):
            if size <= KEPT_CHARS:
                return
            if not any(placeholder in text for text in keep):
                size -= len(self._raw.pop(placeholder))
                self._clean.pop(placeholder, None)


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _line_count(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n"))

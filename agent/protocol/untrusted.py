"""Text from outside, as the model is shown it: between two lines that say what it is, and unable to fake either.

Everything that is fetched (pages, papers, dataset rows, files of other people, answers of MCP servers) goes through
`as_data`. The system prompt says that what stands there is data. Nothing here looks at what the text says: that is for
the model; here it is made sure that the text cannot look like something that it is not.
"""

from __future__ import annotations

import re
import unicodedata

from agent.protocol.terminal_text import LINE_BREAK, without_sequences

TAG = "external_data"
MAX_SOURCE_CHARS = 300

_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control, bidi and invisible characters. The joiners that scripts and emoji need (U+200C, U+200D) stay."""
_JOINERS = "\u200c\u200d\ufe00-\ufe0f"
_IDLE_JOINERS = re.compile(f"(?<=[ -~])[{_JOINERS}]++(?=[\n\t -~]|$)|(?<=[{_JOINERS}]{{2}})[{_JOINERS}]++")
"""Joiners and variation selectors where they join nothing: between ASCII, and from the third in a row. A message that
no person sees can be written in them."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(r"[\n\t -~]*+")

_NOT_IN_SOURCE = re.compile(r'[\s"<>]+')


def readable(text: str) -> str:
    """`text` without terminal sequences, control, bidi and invisible characters; line breaks and tabs stay.

    Idempotent, and linear in time. Lone surrogates become U+FFFD.
    """
    if _PLAIN.fullmatch(text):
        return text
    text = _UNSEEN.sub("", LINE_BREAK.sub("\n", without_sequences(text)))
    return _SURROGATE.sub("\ufffd", _IDLE_JOINERS.sub("", text))


def harmless(text: str) -> str:
    """`readable`, and nothing in it passes for the lines around data or for a word of this program.

    Idempotent, and linear in time.
    """
    text = readable(text)
    while (calm := readable(_disarmed(text))) != text:
        text = calm
    return text


def as_data(text: str, source: str) -> str:
    """`text` from `source` (an address, a name) between the lines that mark it as data."""
    label = _NOT_IN_SOURCE.sub(" ", harmless(source)).strip()[:MAX_SOURCE_CHARS]
    return f'<{TAG} source="{label}">\n{harmless(text).strip(chr(10))}\n</{TAG}>'


# --- what looks like a word of this program --------------------------------------------------------------------------

_JOIN = "\u200d"
"""Stands for everything that has no width of its own."""
_LOOKS_LIKE = {
    **dict.fromkeys("‹〈⟨〈❮❰⧼᚜˂≺", "<"),
    **dict.fromkeys("【〔〖⟦⁅❲⦋⦗", "["),
    **dict.fromkeys("⁄∕╱⧸⟋", "/"),
    **dict.fromkeys("∖⧵⧹﹨", "\\"),
    **dict.fromkeys("∶꞉։ː˸⁚", ":"),
    **dict.fromkeys("−⁃", "-"),
    **dict(zip("аеорсухѕіјԁмтнкв", "aeopcyxsijdmthkb", strict=True)),  # Cyrillic
    **dict(zip("αεορτυινκμ", "aeoptuivkm", strict=True)),  # Greek
    **dict(zip("ıɑɡʟɴʀꜱʏᴀᴅᴇᴍᴏᴛᴜ", "iaglnrsyademotu", strict=True)),  # dotless, script and small capitals
}


class _Folding(dict[int, str]):
    """What a character looks like: one small letter or sign of ASCII where there is one. Filled as characters come."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if unicodedata.category(char) in ("Mn", "Me", "Cf"):
            folded = _JOIN
        elif unicodedata.category(char) == "Pd":
            folded = "-"
        else:
            parts = unicodedata.normalize("NFKD", char)
            folded = parts[0] if all(unicodedata.category(mark) in ("Mn", "Me") for mark in parts[1:]) else char
            folded = _LOOKS_LIKE.get(folded.casefold(), folded.casefold())
            folded = folded if len(folded) == 1 else char
        self[code] = folded
        return folded


_FOLDING = _Folding()
_GAP = rf"[\s{_JOIN}]*+"


def _spelled(word: str) -> str:
    return f"{_JOIN}*+".join(word)


_FENCE = re.compile(rf"<[\s{_JOIN}/\\]*+(?={_spelled('external')}[\s{_JOIN}_.-]*+{_spelled('data')})")
_MARKER = re.compile(
    rf"\[{_GAP}(?=(?:{_spelled('ml')}[\s{_JOIN}_.-]*+{_spelled('intern')}{_GAP}(?:{_spelled('guard')}|{_spelled('note')})"
    rf"|{_spelled('system')}){_GAP}:)"
)


def _disarmed(text: str) -> str:
    """Markers and fences that begin in `text`, however they are spelled, begin with another sign afterwards."""
    folded = text.lower() if text.isascii() else text.translate(_FOLDING)
    for pattern, sign in ((_FENCE, "‹ "), (_MARKER, "(")):
        spans = [match.span() for match in pattern.finditer(folded)]
        if spans:
            text, folded = _replaced(text, spans, sign), _replaced(folded, spans, sign)
    return text


def _replaced(text: str, spans: list[tuple[int, int]], sign: str) -> str:
    pieces, end = [], 0
    for start, stop in spans:
        pieces += [text[end:start], sign]
        end = stop
    return "".join([*pieces, text[end:]])


def as_read(text: str, *, with_source: bool = True) -> str:
    """`text` as a person reads it: in place of the lines around data, one that says where it comes from, or none."""
    return _CLOSING.sub("", _OPENING.sub(r"[\1]\n" if with_source else "", text))


_OPENING = re.compile(rf'^<{TAG} source="([^"\n]*)">\n', re.MULTILINE)
_CLOSING = re.compile(rf"^</{TAG}>$\n?", re.MULTILINE)

"""Finding the text an edit means, and changing that and nothing else.

An old_str that occurs exactly is taken wherever it occurs. Otherwise whole lines are compared, ever more loosely:
without trailing blanks, without any outer blanks, with typographic characters made plain. A loose match is always a
window of whole lines, never a part of a line; several of them are an error unless all are wanted; and new_str is
indented as the file is where old_str was not.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

from agent.light_dataclass import dataclass
from agent.tools.edit_tool import MODES
from agent.tools.python_check import validate_python

__all__ = ["MODES", "UNICODE_MAP", "apply_edit", "fuzzy_find", "fuzzy_find_original_match", "validate_python"]


UNICODE_MAP: dict[str, str] = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
}
"""Dashes, quotes and spaces that models and editors exchange for the plain ones; zero-width characters and the BOM."""

_UNICODE_TABLE = str.maketrans(UNICODE_MAP)


def _plain(text: str) -> str:
    return text.translate(_UNICODE_TABLE).strip()


_MOST_LISTED = 1_000

_Pass = tuple[str, Callable[[str], str]]
_PASSES: tuple[_Pass, ...] = (
    ("(matched after trimming trailing whitespace)", str.rstrip),
    ("(matched after trimming whitespace)", str.strip),
    ("(matched after unicode normalization)", _plain),
)


@dataclass(frozen=True, slots=True)
class _Match:
    """content[start:end]; for a loose match `line` is the index of its first line and `lines` their number."""

    start: int
    end: int
    line: int
    lines: int = 0


# --- finding ---------------------------------------------------------------------------------------------------------


def fuzzy_find(content: str, pattern: str) -> tuple[int | None, str | None]:
    """Offset in `content` of the first match of `pattern`, and a note if it was loose; (None, None) if none."""
    matches, note = _locate(content, pattern)
    return (matches[0].start, note) if matches else (None, None)


def fuzzy_find_original_match(content: str, pattern: str) -> tuple[str | None, str | None]:
    """The text of `content` that `pattern` matches first, as it stands there, and a note if the match was loose."""
    matches, note = _locate(content, pattern)
    return (content[matches[0].start : matches[0].end], note) if matches else (None, None)


def _locate(content: str, old: str) -> tuple[list[_Match], str | None]:
    """All matches of the strictest kind that has any, overlapping ones included."""
    if not _plain(old):
        return [], None
    exact = _exact_matches(content, old)
    if exact:
        return exact, None
    for note, loosen in _PASSES:
        windows = _line_windows(content, old, loosen)
        if windows:
            return windows, note
    return [], None


def _exact_matches(content: str, old: str) -> list[_Match]:
    """The first so many exact matches: enough to say where they are."""
    matches: list[_Match] = []
    line, counted = 0, 0
    start = content.find(old)
    while start >= 0 and len(matches) < _MOST_LISTED:
        line += content.count("\n", counted, start)
        counted = start
        matches.append(_Match(start, start + len(old), line))
        start = content.find(old, start + 1)
    return matches


def _line_windows(content: str, old: str, loosen: Callable[[str], str]) -> list[_Match]:
    lines = _lines(content)
    have = [loosen(line) for line in lines]
    want = [loosen(line) for line in _lines(old)]
    size = len(want)
    hits = [i for i in range(len(have) - size + 1) if have[i] == want[0] and have[i : i + size] == want]
    if not hits:
        return []
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    matches = []
    for first in hits:
        last = first + size - 1
        end = starts[last] + len(lines[last].removesuffix("\r"))
        if old.endswith("\n"):
            end = min(starts[last + 1], len(content))
        matches.append(_Match(starts[first], end, first, size))
    return matches


def _lines(text: str) -> list[str]:
    """The lines of a text, without line feeds; a line feed at the very end starts no further line."""
    lines = text.split("\n")
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


# --- editing ---------------------------------------------------------------------------------------------------------


def apply_edit(
    content: str, old_str: str, new_str: str, mode: str = "replace", replace_all: bool = False
) -> tuple[str, int, str | None]:
    """Replace `old_str`, or add `new_str` right after or before it. Returns (new content, matches changed, note).

    Nothing outside the matches changes. CR LF line ends stay what they are; the strings may be given with line feeds.
    Raises ValueError, with a message for the model, if old_str is blank, is not found, or occurs more than once and
    `replace_all` is false; and if nothing would change.
    """
    _refuse_useless(old_str, new_str, mode)
    if 0 < content.count("\n") == content.count("\r\n"):
        content, old_str, new_str = (text.replace("\r\n", "\n") for text in (content, old_str, new_str))
        changed, count, note = apply_edit(content, old_str, new_str, mode, replace_all)
        return changed.replace("\n", "\r\n"), count, note
    matches, note = _locate(content, old_str)
    if not matches:
        raise ValueError(_not_found(content, old_str))
    if len(matches) > 1 and not replace_all:
        raise ValueError(_ambiguous(matches, note))
    if note is None:
        return content.replace(old_str, _placed(old_str, new_str, mode)), content.count(old_str), None
    pieces, position, count = [], 0, 0
    for match in matches:
        if match.start < position:
            continue  # overlaps the one before
        found = content[match.start : match.end]
        pieces += [
            content[position : match.start],
            _placed(found, _fitted(content, match, old_str, new_str, mode), mode),
        ]
        position, count = match.end, count + 1
    changed = "".join([*pieces, content[position:]])
    if changed == content:
        raise ValueError("The file already reads as new_str wants it; nothing to change.")
    return changed, count, note


def _refuse_useless(old: str, new: str, mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}.")
    if not _plain(old):
        raise ValueError("old_str is blank: give the text to look for, with enough around it to be found only once.")
    if mode == "replace" and old == new:
        raise ValueError("old_str and new_str are the same; nothing to change.")
    if mode != "replace" and not new:
        raise ValueError("new_str is empty; nothing to add.")


def _placed(found: str, new: str, mode: str) -> str:
    """What stands in the place of a match after the edit."""
    if mode == "append_after":
        return found + new
    return new + found if mode == "prepend_before" else new


def _fitted(content: str, match: _Match, old: str, new: str, mode: str) -> str:
    """new_str with the indentation, line ends and final line end of the lines that a loose match found."""
    found = content[match.start : match.end]
    shifts = _indent_shifts(_lines(old), _lines(found))
    # Text added after a match that ends inside its line goes on that line: it has no indentation yet.
    continues = mode == "append_after" and not old.endswith("\n")
    new = _reindented(new, shifts, skip_first=continues)
    if old.endswith("\n") and not found.endswith("\n"):
        # The match is the file's last line and has no line end. It stays so, but new text still gets its own line.
        if mode == "append_after":
            new = "\n" + new.removesuffix("\n")
        elif mode == "replace":
            new = new.removesuffix("\n")
    if content[match.end : match.end + 1] == "\r" or found.endswith("\r\n"):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    return new


# --- indentation -----------------------------------------------------------------------------------------------------


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _indent_shifts(old_lines: Sequence[str], file_lines: Sequence[str]) -> dict[str, str]:
    """Which indentation of the file each indentation of old_str stands for. ValueError if one stands for several."""
    shifts: dict[str, str] = {}
    for old, found in zip(old_lines, file_lines, strict=True):
        if not _plain(old):
            continue
        meant = _indent(found)
        if shifts.setdefault(_indent(old), meant) != meant:
            raise ValueError(
                "old_str is found only when indentation is ignored, and its indentation differs from the file's in "
                "more than one way, so new_str cannot be indented safely. Copy old_str from the file exactly. The "
                "file has:\n" + "\n".join(file_lines[:20])
            )
    return shifts


def _reindented(text: str, shifts: dict[str, str], skip_first: bool) -> str:
    if all(old == found for old, found in shifts.items()):
        return text
    first, *rest = text.split("\n")
    return "\n".join([first if skip_first else _shifted(first, shifts), *(_shifted(line, shifts) for line in rest)])


def _shifted(line: str, shifts: dict[str, str]) -> str:
    if not line.strip():
        return line
    indent = _indent(line)
    return _meant_indent(indent, shifts) + line[len(indent) :]


def _meant_indent(indent: str, shifts: dict[str, str]) -> str:
    """`indent` of new_str in the file's terms: from the deepest known indentation it begins with, or else outwards."""
    known = sorted(shifts, key=len, reverse=True)
    for base in known:
        if indent.startswith(base):
            return shifts[base] + _more_indent(indent[len(base) :], base, shifts[base])
    base = known[-1]
    meant = shifts[base]
    if meant.startswith(base):
        return meant[len(base) :] + indent
    return indent[len(base) - len(meant) :] if base.startswith(meant) else indent


def _more_indent(rest: str, base: str, meant: str) -> str:
    """What lies deeper than `base`; in a file with tabs for spaces (or the other way round), in the same proportion."""
    kinds = set(base), set(meant)
    if len(kinds[0]) != 1 or len(kinds[1]) != 1 or kinds[0] == kinds[1] or set(rest) - kinds[0]:
        return rest
    length, odd = divmod(len(rest) * len(meant), len(base))
    return rest if odd else meant[0] * length


# --- saying what is wrong --------------------------------------------------------------------------------------------


def _ambiguous(matches: Sequence[_Match], note: str | None) -> str:
    numbers = _enumerated(match.line + 1 for match in matches)
    count = f"{len(matches)} times" + " or more" * (len(matches) >= _MOST_LISTED)
    loosely = f" {note}" if note else ""
    return (
        f"old_str occurs {count}{loosely}, at lines {numbers}. Give more of the surrounding text so that "
        "only one place fits, or set replace_all to change them all."
    )


def _enumerated(numbers: Iterable[int], most: int = 10) -> str:
    unique = sorted(set(numbers))
    return ", ".join(str(number) for number in unique[:most]) + (", ..." if len(unique) > most else "")


def _not_found(content: str, old: str) -> str:
    lines, wanted = _lines(content), _lines(old)
    while wanted and not _plain(wanted[0]):
        wanted = wanted[1:]
    said = "old_str is not in the file. Read the file again and copy the text exactly, without the line numbers."
    begun = _longest_beginning(lines, wanted)
    if begun and len(wanted) > 1:
        first, same = begun
        stop = first + same
        there = f"line {stop + 1} of the file is {_quoted(lines[stop])}" if stop < len(lines) else "the file ends"
        return (
            f"{said} Its first {same} line(s) are at line {first + 1}, but then {there}, where old_str has "
            f"{_quoted(wanted[same])}."
        )
    near = _nearest_lines(lines, wanted[0])
    if near:
        said += " Nearest lines:" + "".join(f"\n  line {number}: {_quoted(lines[number - 1])}" for number in near)
    return said


def _longest_beginning(lines: Sequence[str], wanted: Sequence[str]) -> tuple[int, int] | None:
    """Where most of the first lines of `wanted` follow each other, and how many; None if not even one is there."""
    have, want = [_plain(line) for line in lines], [_plain(line) for line in wanted]
    best: tuple[int, int] | None = None
    for first, line in enumerate(have):
        if line != want[0]:
            continue
        same = 1
        while same < len(want) and first + same < len(have) and have[first + same] == want[same]:
            same += 1
        if same < len(want) and (best is None or same > best[1]):
            best = (first, same)
    return best


def _nearest_lines(lines: Sequence[str], wanted: str, most: int = 3) -> list[int]:
    """Numbers (from 1) of the lines most like `wanted`, or that contain it."""
    target = _plain(wanted)[:200]
    holding = [number for number, line in enumerate(lines, 1) if target in _plain(line)][:most]
    if holding:
        return holding
    candidates = {_plain(line)[:200]: number for number, line in reversed(list(enumerate(lines[:20_000], 1)))}
    near = difflib.get_close_matches(target, list(candidates)[:5_000], n=most, cutoff=0.6)
    return sorted(candidates[line] for line in near)


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 120 else line[:120] + "...")

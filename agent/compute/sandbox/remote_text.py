"""Text files on the sandbox's side, for the server's plain read, write and edit routes. Standard library only."""

from __future__ import annotations

import ast

MAX_LINE_CHARS = 4000
MAX_PAGE_CHARS = 25_000


def numbered(data: bytes, offset: int, limit: int) -> str:
    """Lines `offset` (from 1) on, at most `limit` and some 25,000 characters, each with its number before a tab."""
    if offset < 1 or limit < 1:
        raise ValueError("`offset` and `limit` must be at least 1.")
    if b"\0" in data[:8192]:
        raise ValueError("It is a binary file; look at it with a program made for it.")
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        return "(the file is empty)"
    if offset > len(lines):
        raise ValueError(f"It has {len(lines):,} lines; there is no line {offset:,}.")
    shown: list[str] = []
    chars = 0
    for number, line in enumerate(lines[offset - 1 : offset - 1 + limit], offset):
        text = line.removesuffix("\r")
        if len(text) > MAX_LINE_CHARS:
            text = f"{text[:MAX_LINE_CHARS]} [... line cut; it has {len(text):,} characters]"
        chars += len(text) + 8
        if shown and chars > MAX_PAGE_CHARS:
            break
        shown.append(f"{number:6d}\t{text}")
    last = offset + len(shown) - 1
    if last < len(lines):
        shown.append(f"[{len(lines) - last:,} more lines; go on with offset {last + 1}]")
    return "\n".join(shown)


def edited(text: str, old: str, new: str, mode: str, replace_all: bool) -> tuple[str, int]:
    """`text` with `old` replaced (or `new` put after or before it), and in how many places. Exact matches only."""
    if not old.strip():
        raise ValueError("`old_str` is empty.")
    put = {"replace": new, "append_after": old + new, "prepend_before": new + old}.get(mode)
    if put is None:
        raise ValueError("`mode` must be replace, append_after or prepend_before.")
    count = text.count(old)
    if not count:
        raise ValueError("`old_str` is not in the file.")
    if count > 1 and not replace_all:
        start, numbers = 0, []
        while (start := text.find(old, start)) >= 0:
            numbers.append(str(text.count("\n", 0, start) + 1))
            start += len(old)
        raise ValueError(f"`old_str` is there {count} times, at lines {', '.join(numbers[:10])}. Give more around it.")
    return text.replace(old, put), count


def python_warnings(text: str, name: str) -> list[str]:
    """What keeps a .py file from being Python. It is only parsed, never imported."""
    if not name.endswith(".py"):
        return []
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return [f"Warning: {name} is not valid Python: {error}"]
    return []

"""Events of every kind, filled with any text, and consoles that remember."""

from __future__ import annotations

import io
import re
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rich.cells import cell_len
from rich.console import Console

from agent.protocol import events
from agent.protocol.events import Event, Payload
from agent.ui.console import make_console
from agent.ui.sanitize import visible

HOSTILE = {
    "markup": "[/usr/lib/x] [bold]b[/bold] [link=x]y[/link] :smile: [x]",
    "clear": "a\x1b[2J\x1b[3J\x1b[H\x1b[5Ab\rc\x08\x08",
    "clipboard": "a\x1b]52;c;cm0gLXJmIH4=\x07b\x1b]0;title\x1b\\c\x9d8;;http://x\x9cd",
    "unfinished": "a\x1b]52;c;\x1b[31",
    "c1": "a\x9b2Jb\x85c\x90q\x9cd",
    "surrogates": "a\ud800b\udcffc",
    "bidi": "a\u202eb\u2066c\u2069",
    "cjk": "漢字かな交じり文" * 30,
    "emoji": "👩‍👩‍👧‍👦 ❤️ 🇩🇪 " * 20,
    "tabs": "a\tb\t\tc\n\td",
    "markdown": "# H\n\n| a | b |\n|---|---|\n| [/x] | `\x1b[2J` |\n\n```py\nx\n\n[/y]\n```\n\n"
    "<b>&#x202e;</b> ![i](u)\n",
    "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-[/a]\n+\x1b[2J" + "x" * 300,
    "empty": "",
    "blank": "  \n\n ",
    "nul": "\x00\x07\x7f",
}


def all_payload_types() -> tuple[type[Any], ...]:
    return get_args(Payload)


def build(kind: type[Any], text: str, flag: bool = True) -> Any:
    """An instance with `text` in every string, however deep; `flag` in every boolean."""
    hints = get_type_hints(kind, vars(events))
    return kind(**{f.name: _value(hints[f.name], text, flag) for f in fields(kind)})


def _value(hint: Any, text: str, flag: bool) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), text, flag)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return (_value(arguments[0], text, flag),) * 2
    if origin is dict:
        return {"command": text, "path": text, "n": 1}
    if is_dataclass(hint):
        return build(hint, text, flag)  # type: ignore[arg-type]
    return {str: text, int: 3, float: 1.5, bool: flag}[hint]


def all_payloads(text: str) -> Iterator[Any]:
    for kind in all_payload_types():
        for flag in (True, False):
            yield build(kind, text, flag)


def all_events(text: str) -> list[Event]:
    return [Event(payload, seq) for seq, payload in enumerate(all_payloads(text), 1)]


def recording_console(width: int, **environ: str) -> Console:
    return make_console(io.StringIO(), {"COLUMNS": str(width), **environ})


def printed(console: Console) -> str:
    file: Any = console.file
    text = file._stream.getvalue()
    assert isinstance(text, str)
    return text


def assert_calm(text: str, width: int | None = None, colours: bool = False) -> None:
    """Nothing but text, line ends and (if asked for) colours; no line wider than `width`."""
    plain = visible(text)
    if colours:
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert plain == text
    text.encode("utf-8")
    for line in plain.split("\n"):
        assert width is None or cell_len(line) <= width, line
        assert line == line.rstrip(), repr(line)

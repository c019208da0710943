"""What a person does at the terminal, and what must be true of everything they have seen.

terminal = with_server(talk, openai_server)
take_turn(terminal, openai_server, "go", reply.text("Done."))
assert_once_in_order(terminal, ["Done."])
assert_calm(terminal)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.e2e.processes import wait_until
from tests.e2e.terminal import Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

Talk = Callable[..., Terminal]

STATUS_LINE = re.compile(r"^(ask|auto-edit|plan|yolo) · ")
"""How the status line begins."""
_AT_WORK = re.compile(r"(?m)^Working… .*Esc stops$")
_HINT = re.compile(r"^\[y\]es / \[n\]o")
_ASKED = re.compile(r"(?m)^\[y\]es / \[n\]o[^\n]*why not\n> $")
_SEQUENCE = re.compile(rb"\x1b(?:\[([0-?]*)([ -/]*[@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[@-Z\\-~])")


def ask(terminal: Terminal, text: str) -> None:
    """Type a line and send it."""
    terminal.send(text).key("enter")


def rest(terminal: Terminal, timeout_s: float = 20.0) -> None:
    """Wait until the program waits for a line: an empty composer with the status line below it, and nothing live.

    It may not have begun yet with what was just sent: wait for something of that first.
    """
    terminal.wait_until(lambda: _is_at_rest(terminal) or terminal.has_ended, timeout_s)
    assert not terminal.has_ended, "the program ended:\n" + "\n".join(terminal.scrollback())


def asked(terminal: Terminal) -> str:
    """Wait until a question about a call waits for its answer; what stands on the screen."""
    terminal.wait_until(lambda: bool(_ASKED.search(terminal.screen_text())))
    return "\n".join(terminal.screen())


def with_server(
    talk: Talk, server: FakeOpenAI, *replies: reply.Reply, args: tuple[str, ...] = (), **more: Any
) -> Terminal:
    """A conversation with a scripted server, at the prompt."""
    server.script(*replies)
    more_env = {"VLLM_BASE_URL": server.url, **more.pop("more_env", {})}
    terminal = talk(args=("-m", "vllm/m", *args), more_env=more_env, **more)
    rest(terminal, 40)
    return terminal


def take_turn(terminal: Terminal, server: FakeOpenAI, text: str, *replies: reply.Reply) -> None:
    """Send `text`; the model answers with `replies`, the last one in words not seen before, and all is at rest."""
    server.script(*replies)
    ask(terminal, text)
    terminal.wait_for(re.escape(replies[-1].text[-1].strip()))
    rest(terminal)


def bash(command: str) -> reply.Reply:
    """The model calls bash."""
    return reply.call("bash", {"command": command})


def until(name: str) -> str:
    """A command that only reads, and ends when the test has made the file."""
    return f"until [ -e {name} ]; do grep -c x /dev/null; done; ls"


def said(request: dict[str, Any], role: str = "user") -> list[str]:
    """What was said by `role` in a model call."""
    return [str(message.get("content")) for message in request["messages"] if message["role"] == role]


# --- invariants ------------------------------------------------------------------------------------------------------


def lines_of(terminal: Terminal, pattern: str) -> list[str]:
    """The parts of the lines ever shown that `pattern` fits, in order."""
    return [match.group() for line in terminal.scrollback() for match in re.finditer(pattern, line)]


def assert_once_in_order(terminal: Terminal, expected: Sequence[str], pattern: str) -> None:
    """Of all that `pattern` finds in the scrollback and on the screen: it is `expected`, each once and in order."""
    shown = lines_of(terminal, pattern)
    if shown != list(expected):
        at = next((n for n, (a, b) in enumerate(zip(shown, expected, strict=False)) if a != b), len(shown))
        raise AssertionError(
            f"{len(shown)} shown, {len(expected)} expected; from {at} on {shown[at : at + 5]} "
            f"in place of {list(expected[at : at + 5])}"
        )


def assert_calm(terminal: Terminal, timeout_s: float = 20.0) -> None:
    """Only one status line is there, in the lowest row in use, and only one composer, right above it.

    A frame may be half drawn when we look: what must hold is what the screen comes to.
    """
    wait_until(lambda: _unrest(terminal) is None, timeout_s)
    assert (unrest := _unrest(terminal)) is None, unrest


def _unrest(terminal: Terminal) -> str | None:
    """What is wrong with the end of the screen, with its last lines; None when all is well."""
    lines = terminal.scrollback()
    while lines and not lines[-1]:
        lines.pop()
    seen = "\n".join(lines[-60:])
    if [number for number, line in enumerate(lines) if STATUS_LINE.match(line)] != [len(lines) - 1]:
        return f"the status line is not there once, at the bottom:\n{seen}"
    if [number for number, line in enumerate(lines) if line == ">"] != [len(lines) - 2]:
        return f"the composer is not there once, at the bottom:\n{seen}"
    return None


def sequences(data: bytes) -> set[bytes]:
    """The kinds of control sequences in what the program wrote: `m` for colours, `H` for moves of the cursor, …"""
    return {match.group(2) or match.group()[:2] for match in _SEQUENCE.finditer(data)}


def colours(data: bytes) -> set[bytes]:
    """The parameters of every change of style."""
    return {match.group(1) for match in _SEQUENCE.finditer(data) if match.group(2) == b"m"}


def _is_at_rest(terminal: Terminal) -> bool:
    text = terminal.screen_text().rstrip("\n")
    lines = text.split("\n")
    is_composer_empty = len(lines) > 2 and lines[-2] == "> " and STATUS_LINE.match(lines[-1]) is not None
    return is_composer_empty and _AT_WORK.search(text) is None and _HINT.match(lines[-3]) is None

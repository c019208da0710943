"""Keys while the agent works, on a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.output import DummyOutput

from agent.cli.keyboard import Keyboard


class Typist:
    """A keyboard on one side of a pty, the person on the other; what was heard, in order."""

    def __init__(self, master: int, source: Vt100Input) -> None:
        self._master = master
        self.source = source
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.keyboard = Keyboard(
            source,
            DummyOutput(),
            on_escape=lambda: self.heard.put_nowait("<esc>"),
            on_interrupt=lambda: self.heard.put_nowait("<ctrl-c>"),
        )

    def listening(self) -> Any:
        return self.keyboard.listening(self.heard.put_nowait)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def hears(self) -> str:
        return await asyncio.wait_for(self.heard.get(), 10)

    def mode(self) -> list[Any]:
        return termios.tcgetattr(self.source.fileno())


@pytest.fixture
async def typist() -> AsyncIterator[Typist]:
    master, slave = os.openpty()
    with os.fdopen(slave) as stdin:
        yield Typist(master, Vt100Input(stdin))
    os.close(master)


@contextmanager
def cooked_again(typist: Typist) -> Iterator[None]:
    before = typist.mode()
    yield
    assert typist.mode() == before


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("hello\r", "hello"),
        ("hello\n", "hello"),
        ("helpo\x7f\x7flo\r", "hello"),
        ("nonsense\x15hello\r", "hello"),
        ("hel\x1b[D\x1b[3~\x1bOPlo\r", "hello"),  # arrow, delete, F1
        ("hel\x1bxlo\r", "hello"),  # Alt-x
        ("\r \rhello\r", "hello"),
        ("漢字 👍\r", "漢字 👍"),
        ("one\x1b\rtwo\r", "one\ntwo"),  # Alt-Enter
        ("see \x1b[200~a\r\nb\rc\x1b[201~ there\r", "see a\nb\nc there"),
    ],
)
async def test_a_line_is_what_was_typed(typist: Typist, keys: str, line: str) -> None:
    with cooked_again(typist), typist.listening():
        typist.type(keys)
        assert await typist.hears() == line
    assert typist.heard.empty()
    assert typist.keyboard.take_line() == ""


async def test_escape_alone_is_escape_and_ctrl_c_is_ctrl_c(typist: Typist) -> None:
    with cooked_again(typist), typist.listening():
        typist.type("\x1b")
        assert await typist.hears() == "<esc>"
        typist.type("\x03")
        assert await typist.hears() == "<ctrl-c>"
        typist.type("\x1b\x03")
        assert await typist.hears() == "<ctrl-c>"


async def test_what_is_half_typed_is_kept_and_given_once(typist: Typist) -> None:
    with typist.listening():
        typist.type("whole\rhal")
        assert await typist.hears() == "whole"
    with typist.listening():
        typist.type("f\x1b")
        assert await typist.hears() == "<esc>"
    assert typist.keyboard.take_line() == "half"
    assert typist.keyboard.take_line() == ""


async def test_keys_that_came_too_late_are_for_the_next_prompt(typist: Typist) -> None:
    with typist.listening():
        typist.type("late")
    assert "".join(press.data for press in get_typeahead(typist.source)) == "late"


async def test_nothing_is_echoed_and_an_error_restores_the_terminal(typist: Typist) -> None:
    with cooked_again(typist):
        with pytest.raises(ZeroDivisionError), typist.listening():
            assert not typist.mode()[3] & (termios.ECHO | termios.ICANON)
            raise ZeroDivisionError
        with pytest.raises(KeyboardInterrupt), typist.listening():
            raise KeyboardInterrupt


async def test_without_a_terminal_nothing_is_heard() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(write, "w"):
        typist = Typist(write, Vt100Input(stdin))
        typist.type("hello\r")
        with typist.listening():
            pass
        assert typist.heard.empty()
        assert os.read(read, 10) == b"hello\r"

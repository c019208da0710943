"""The owner of the terminal, on a real pty whose output goes to a pyte screen."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path

import pyte
import pytest
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import create_pipe_input
from rich.segment import Segment

from agent.ui.composer.composer import Actions, Composer
from agent.ui.composer.files import FileIndex
from agent.ui.composer.history import History
from agent.ui.screen import Screen
from tests.e2e.screen import Screen as Emulator


class Desk:
    """A screen, what is live on it, and the terminal below."""

    def __init__(self, screen: Screen, emulator: Emulator, descriptor: int) -> None:
        self.screen = screen
        self.live: list[str] = []
        self.status = "status"
        self.writes: list[bytes] = []
        self._emulator = emulator
        self._stream = pyte.ByteStream(emulator)
        self._descriptor = descriptor

    def live_lines(self, width: int, rows: int) -> list[list[Segment]]:
        return [[Segment(line[:width])] for line in self.live[-rows:]]

    def status_line(self, width: int) -> StyleAndTextTuples:
        return [("", self.status[:width])]

    def read(self) -> None:
        """Take what was written since; each read is what one write sent (they are far smaller than the buffer)."""
        with contextlib.suppress(OSError):  # nothing more, or closed by now
            while data := os.read(self._descriptor, 1 << 20):
                self.writes.append(data)
                self._stream.feed(data)

    async def shows(self, *lines: str) -> None:
        """Wait until the terminal shows exactly these lines, scrollback first."""
        try:
            async with asyncio.timeout(10):
                while self.lines() != list(lines):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            assert self.lines() == list(lines)

    def lines(self) -> list[str]:
        self.read()
        lines = self._emulator.everything()
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def resize(self, columns: int, rows: int) -> None:
        self.read()
        self._emulator.resize(rows, columns)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextlib.contextmanager
def terminal(columns: int, rows: int) -> Iterator[tuple[int, int]]:
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.set_blocking(ours, False)
    yield ours, theirs
    os.close(ours)


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path, *, columns: int = 40, rows: int = 24, environ: dict[str, str] | None = None
) -> AsyncIterator[Desk]:
    actions = Actions(**{field.name: lambda *_: None for field in fields(Actions)})
    composer = Composer(actions, history=History(None), commands=list, files=FileIndex(tmp_path))
    with (
        terminal(columns, rows) as (ours, theirs),
        os.fdopen(theirs, "w", encoding="utf-8") as stdout,
        create_pipe_input() as keys,
    ):
        desk: Desk
        emulator = Emulator(columns, rows, lambda _: None)

        class View:
            def live_lines(self, width: int, rows: int) -> list[list[Segment]]:
                return desk.live_lines(width, rows)

            def status_line(self, width: int) -> StyleAndTextTuples:
                return desk.status_line(width)

        screen = Screen(composer, View(), stdout=stdout, environ=environ or {}, styles=dict, source=keys)
        desk = Desk(screen, emulator, ours)
        async with screen.running(lambda: None):
            await desk.shows("", ">", "status")
            yield desk
        desk.read()


def say(desk: Desk, text: str) -> None:
    desk.screen.file.write(text)


async def test_what_is_printed_stands_above_what_is_live(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        desk.live = ["working"]
        say(desk, "one\ntwo\n")
        await desk.shows("one", "two", "", "working", ">", "status")
        desk.live = []
        say(desk, "three\n")
        await desk.shows("one", "two", "three", "", ">", "status")
    assert desk.lines() == ["one", "two", "three"]


async def test_lines_that_scroll_away_are_there_once(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        expected = [f"line {number}" for number in range(60)]
        for number, line in enumerate(expected):
            desk.live = [f"live {number}"] * (number % 7)
            say(desk, f"{line}\n")
            await desk.shows(*expected[: number + 1], "", *desk.live, ">", "status")
    assert desk.lines() == expected


async def test_a_line_is_printed_when_it_is_whole(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        say(desk, "one\nhalf ")
        await desk.shows("one", "", ">", "status")
        say(desk, "a line\n")
        await desk.shows("one", "half a line", "", ">", "status")


async def test_a_frame_is_one_write_between_the_marks_of_one(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        desk.writes.clear()
        desk.live = ["a", "b", "c"]
        for number in range(50):
            say(desk, f"{number}\n")
        await desk.shows(*map(str, range(50)), "", "a", "b", "c", ">", "status")
        assert all(data.startswith(b"\x1b[?2026h") and data.endswith(b"\x1b[?2026l") for data in desk.writes)
        assert len(desk.writes) == 1


async def test_live_lines_that_become_fewer_leave_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path, rows=30) as desk:
        desk.live = [f"live {number}" for number in range(9)]
        desk.screen.refresh()
        await desk.shows("", *desk.live, ">", "status")
        desk.live = ["last"]
        desk.screen.refresh()
        await desk.shows("", "last", ">", "status")


async def test_what_is_printed_while_another_program_has_the_terminal_waits(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        async with desk.screen.released():
            say(desk, "later\n")
            desk.screen.refresh()
            await desk.shows()
        await desk.shows("later", "", ">", "status")


@pytest.mark.parametrize(("columns", "rows"), [(20, 24), (60, 24), (40, 8), (40, 40)])
async def test_after_a_resize_nothing_is_doubled(tmp_path: Path, columns: int, rows: int) -> None:
    async with running(tmp_path) as desk:
        desk.live = ["working"]
        say(desk, "one\n")
        await desk.shows("one", "", "working", ">", "status")
        desk.resize(columns, rows)
        os.kill(os.getpid(), signal.SIGWINCH)  # the pty is not our controlling terminal
        say(desk, "two\n")
        await desk.shows("one", "two", "", "working", ">", "status")


@pytest.mark.parametrize(("environ", "rows"), [({"TMUX": "/tmp/x"}, 2), ({}, 0)])
async def test_where_the_terminal_wraps_lines_anew_their_rows_are_counted(
    tmp_path: Path, environ: dict[str, str], rows: int
) -> None:
    async with running(tmp_path, environ=environ) as desk:
        desk.live = ["x" * 40, "short"]
        desk.screen.refresh()
        await desk.shows("", "x" * 40, "short", ">", "status")
        desk.writes.clear()
        desk.resize(15, 24)
        os.kill(os.getpid(), signal.SIGWINCH)
        async with asyncio.timeout(10):
            while not desk.writes:
                await asyncio.sleep(0.005)
                desk.read()
        up = b"".join(desk.writes)
        assert (b"\x1b[2A" in up) == bool(rows)  # xterm and others cut lines off


async def test_any_thread_may_print(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await asyncio.to_thread(print, "from a thread")  # stdout is the scrollback's as long as the screen runs
        await desk.shows("from a thread", "", ">", "status")


async def test_what_has_no_line_end_is_not_lost_at_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        say(desk, "no line end")
    assert desk.lines() == ["no line end"]


async def test_rows_that_cannot_be_made_leave_the_rest_alive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path) as desk:
        desk.live = [None]  # type: ignore[list-item]
        say(desk, "one\n")
        await desk.shows("one", ">", "status")
        desk.live = ["well again"]
        say(desk, "two\n")
        await desk.shows("one", "two", "", "well again", ">", "status")
    assert "no live rows" in caplog.text


async def test_an_error_while_it_runs_ends_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running(tmp_path) as desk:
            say(desk, "one\n")
            raise ZeroDivisionError

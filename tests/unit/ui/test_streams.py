from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import IO

import pytest

from agent.ui.streams import TextSink


def written(encoding: str, text: str) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    sink = TextSink(stream)
    sink.write_line(text)
    assert sink.failure is None
    return raw.getvalue().decode(encoding)


def test_what_the_encoding_cannot_hold_is_replaced() -> None:
    assert written("utf-8", "✓ 漢字 \ud800") == "✓ 漢字 ?\n"
    assert written("ascii", "✓ ✗ ▸ ○ … • é 漢") == "+ x > o ~ * ? ?\n"
    assert written("latin-1", "▸ é 漢") == "> é ?\n"


@pytest.fixture
def abandoned_pipe() -> Iterator[IO[str]]:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        yield stream


def test_a_reader_who_left_is_no_error(abandoned_pipe: IO[str]) -> None:
    sink = TextSink(abandoned_pipe)  # type: ignore[arg-type]
    for _ in range(3):
        sink.write_line("x" * 100_000)
    assert sink.broken_pipe
    abandoned_pipe.flush()  # what Python does at exit: goes to the null device


def test_a_full_disk_is_kept_for_the_caller() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    sink = TextSink(Full())
    sink.write_line("x")
    assert isinstance(sink.failure, OSError)
    assert not sink.broken_pipe


def test_a_closed_stream_is_silent() -> None:
    stream = io.StringIO()
    stream.close()
    sink = TextSink(stream)
    sink.write_line("x")
    assert isinstance(sink.failure, ValueError)
    assert not sink.isatty()

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
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


def test_no_stream_counts_as_failed() -> None:
    sink = TextSink(None)
    sink.write_line("x")
    assert isinstance(sink.failure, OSError)
    assert not sink.broken_pipe
    assert not sink.isatty()
    with pytest.raises(OSError, match="closed"):
        sink.fileno()


WRITER = "import sys; from agent.ui.streams import TextSink; s = TextSink(sys.stdout); s.write_line('x'); "


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("redirect", "failure"), [("> /dev/full", errno.ENOSPC), (">&-", errno.EBADF)])
def test_python_ends_calmly_after_a_failed_write(redirect: str, failure: int) -> None:
    program = f"{WRITER} sys.stderr.write(str(s.failure.errno))"
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, str(failure))


def test_a_closed_stream_is_silent() -> None:
    stream = io.StringIO()
    stream.close()
    sink = TextSink(stream)
    sink.write_line("x")
    assert isinstance(sink.failure, ValueError)
    assert not sink.isatty()

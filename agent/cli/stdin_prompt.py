"""The prompt from the command line and from a pipe, joined; never stuck on a pipe that nobody closes."""

from __future__ import annotations

import os
import select
import stat
from typing import IO

from agent.cli.args import Arguments
from agent.light_dataclass import dataclass

FIRST_BYTE_WAIT_S = 3.0
IDLE_WAIT_S = 10.0
CHUNK_BYTES = 65536
MAX_BYTES = 10_000_000


class PromptError(ValueError):
    """There is no usable prompt; the text says what to do."""


@dataclass(frozen=True, slots=True)
class PromptInput:
    """The prompt (None: open a conversation) and what the person should know about how it was read."""

    text: str | None
    notices: tuple[str, ...] = ()


def read_prompt(arguments: Arguments, stdin: IO[str] | None) -> PromptInput:
    """Decide what the prompt is.

    Piped input is the prompt when none was given, else it is added below it. With a prompt given, an open pipe is
    waited for only briefly, unless the prompt is or ends in `-`. Raises `PromptError`.
    """
    words = arguments.prompt
    patient = words is not None and (words == "-" or words.endswith(" -"))
    if words is not None and patient:
        words = words[:-1].rstrip() or None
    at_terminal = stdin is None or stdin.isatty()
    if at_terminal and words is None:
        if arguments.print_mode or patient:
            raise PromptError("no prompt: give one as an argument, or pipe it in (echo 'do this' | ml-intern -p)")
        return PromptInput(None)
    piped, notices = b"", tuple[str, ...]()
    if stdin is not None and not at_terminal:
        piped, notices = _read_pipe(stdin.fileno(), patient=patient or words is None)
    text, problems = _decode(piped)
    joined = "\n\n".join(part for part in (words, text) if part and part.strip())
    if not joined.strip():
        if words is not None and stdin is not None and stdin.isatty() and not arguments.print_mode:
            return PromptInput(None)
        raise PromptError("the prompt is empty: say what to do, e.g. ml-intern 'fine-tune a small model on …'")
    return PromptInput(joined, (*notices, *problems))


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        note = f"piped input is not valid UTF-8 (byte {error.start}); the bad bytes were replaced"
        return data.decode("utf-8", "replace"), (note,)


def _read_pipe(fd: int, *, patient: bool) -> tuple[bytes, tuple[str, ...]]:
    """Everything from `fd` to its end; an impatient reader gives up on a pipe that stays silent."""
    mode = os.fstat(fd).st_mode
    can_stall = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    if stat.S_ISCHR(mode) and os.name == "posix" and not patient:
        return b"", ()  # /dev/null and its like
    chunks: list[bytes] = []
    size_bytes = 0
    wait_s = FIRST_BYTE_WAIT_S
    while True:
        if can_stall and not patient and not _readable(fd, wait_s):
            return b"".join(chunks), (_stall_note(bool(chunks), wait_s),)
        chunk = os.read(fd, CHUNK_BYTES)
        if not chunk:
            return b"".join(chunks), ()
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > MAX_BYTES:
            limit = f"{MAX_BYTES // 1_000_000} MB"
            raise PromptError(f"more than {limit} of piped input: put it in a file and name the file in the prompt")
        wait_s = IDLE_WAIT_S


def _readable(fd: int, wait_s: float) -> bool:
    ready, _, _ = select.select([fd], [], [], wait_s)
    return bool(ready)


def _stall_note(got_some: bool, wait_s: float) -> str:
    if got_some:
        return (
            f"piped input paused for {wait_s:.0f} s and is taken as it is; end the prompt with - to wait for all of it"
        )
    return f"no piped input within {wait_s:.0f} s, going on without it; end the prompt with - to wait for it"

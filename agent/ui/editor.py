"""The person's own editor, in the foreground: it has the terminal until it is closed, and the caller waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

_FALLBACKS = ("nano", "vi", "notepad")
_STOP_GRACE_S = 2.0

Run = Callable[[Sequence[str], Mapping[str, str]], Awaitable[int]]
"""`await run(argv, environ)`: the exit code of a program that has the terminal. Raises OSError if it cannot start."""


class EditorError(Exception):
    """Nothing was edited. The text says why and what to do."""


def editor_command(environ: Mapping[str, str]) -> list[str] | None:
    """What VISUAL says, else what EDITOR says, else an editor that is on the PATH; None: there is none.

    Raises `EditorError` for a variable that cannot be read as a command.
    """
    for name in ("VISUAL", "EDITOR"):
        if words := _words(name, environ.get(name, "")):
            return words
    found = (shutil.which(name, path=environ.get("PATH")) for name in _FALLBACKS)
    return next(([path] for path in found if path), None)


def _words(name: str, value: str) -> list[str]:
    try:
        if os.name == "nt":  # there a backslash is part of a path
            return [word.strip('"') for word in shlex.split(value, posix=False)]
        return shlex.split(value)
    except ValueError as error:
        raise EditorError(f"{name} is no command ({error}): {value}. Correct it and try again.") from error


async def run_in_foreground(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program that inherits the terminal; its exit code, negative for a signal. Raises OSError.

    Ctrl-C is the program's own business meanwhile. When cancelled, the program is ended first.
    """
    with _without_interrupts():
        process = await asyncio.create_subprocess_exec(*argv, env=dict(environ))
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise


async def edit_text(
    text: str, *, environ: Mapping[str, str], suffix: str = ".txt", run: Run = run_in_foreground
) -> str:
    """What the person makes of `text`, in a private file that is gone afterwards. Raises `EditorError`.

    A line end that the editor has put behind the last line is taken off again.
    """
    try:
        directory = Path(
            await asyncio.to_thread(tempfile.mkdtemp, prefix="ml-intern-", dir=environ.get("TMPDIR") or None)
        )
    except OSError as error:
        raise EditorError(f"No file to edit can be made ({error}). Set TMPDIR to a directory with room.") from error
    try:
        path = directory / f"text{suffix}"
        await asyncio.to_thread(_create, path, text)
        await edit_file(path, environ=environ, run=run)
        edited = await asyncio.to_thread(_read, path)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True))
    return edited.removesuffix("\n") if not text.endswith("\n") else edited


async def edit_file(path: Path, *, environ: Mapping[str, str], run: Run = run_in_foreground) -> None:
    """Open a file in the person's editor until they close it. Raises `EditorError`."""
    command = editor_command(environ)
    if command is None:
        raise EditorError("There is no editor. Name one, for example with `export EDITOR=nano`, and start again.")
    name = shlex.join(command)
    try:
        code = await run([*command, str(path)], environ)
    except (OSError, ValueError) as error:
        raise EditorError(f"The editor `{name}` does not start ({error}). Check VISUAL and EDITOR.") from error
    if code != 0:
        ending = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise EditorError(f"The editor `{name}` ended with {ending}, so nothing is taken over. Try again.")


def _create(path: Path, text: str) -> None:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EditorError("The text holds broken characters, which no editor keeps. Answer without editing.") from error
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise EditorError(f"The text cannot be written to {path} ({error}). Make room and try again.") from error


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise EditorError("What was saved is not UTF-8, so nothing is taken over. Save it as UTF-8.") from error
    except OSError as error:
        raise EditorError(f"What was edited cannot be read ({error}). Save it under its own name.") from error


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal; inside the block it does nothing to this one.

    A handler that does nothing, rather than SIG_IGN, which the child would inherit. Handlers of the event loop
    (`add_signal_handler`) are still called: whoever has set one takes it off first.
    """
    try:
        before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    except ValueError:  # not the main thread, which is the one that is interrupted
        yield
        return
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_GRACE_S)
        except TimeoutError:
            process.kill()
            await process.wait()

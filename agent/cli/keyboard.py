"""The keyboard while the agent works: nothing typed is shown in the middle of its output, or answers for the person."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import clear_typeahead


@contextlib.contextmanager
def echo_off() -> Iterator[None]:
    """No echo inside the block; Ctrl-C still works, and what is typed waits for the next prompt."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):  # no terminal
        yield
        return
    quiet = list(before)
    quiet[3] &= ~termios.ECHO
    with contextlib.suppress(termios.error):
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def drop_typed_ahead(source: Input) -> None:
    """Forget keys pressed before now: a question must not be answered by what was typed before it was asked."""
    clear_typeahead(source)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

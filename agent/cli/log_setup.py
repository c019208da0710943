"""Where log records go: a private file, never the screen (unless `--debug`), and never with a secret in them."""

from __future__ import annotations

import logging
import os
import sys
from functools import cached_property
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from agent.redaction.live import LiveSecrets

if TYPE_CHECKING:
    from agent.redaction.redactor import Redactor

LOG_BYTES = 2_000_000


class PrivateFileHandler(RotatingFileHandler):
    """A rotating log file that nobody else may read."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        return open(descriptor, "a", encoding=self.encoding)  # noqa: PTH123 - a descriptor, not a path


class RedactingFormatter(logging.Formatter):
    """Formats a record, traceback included, and takes secrets out of the result: those we hold, and what looks like
    one."""

    def __init__(self, secrets: LiveSecrets) -> None:
        """`secrets`: the values that must not appear."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    @cached_property
    def _redactor(self) -> Redactor:
        """It knows a hundred patterns, and loads with the first record: most runs begin without one."""
        from agent.redaction.redactor import Redactor

        return Redactor(self._secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text. One that cannot be redacted says no more than that there was one."""
        from agent.redaction.redactor import RedactionError

        try:
            return self._redactor.text(super().format(record))
        except RedactionError:
            head = f"{self.formatTime(record)} {record.levelname} {record.name}"
            return f"{head}: (a line that could not be redacted; it is left out)"


def set_up_logging(state_dir: Path, secrets: LiveSecrets, *, debug: bool) -> Path:
    """Log to `<state>/logs/ml-intern.log`, with `debug` also to stderr. Returns the file's path."""
    path = state_dir / "logs" / "ml-intern.log"
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if debug else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        state_dir.chmod(0o700)  # all that is kept lies below it: journals, spilled output, history
        handlers.append(PrivateFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"))
    except OSError as error:  # a read-only home must not keep the program from working
        print(f"ml-intern: no log file: {error}", file=sys.stderr)
    for handler in handlers:
        handler.setFormatter(RedactingFormatter(secrets))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=handlers or [logging.NullHandler()])
    for noisy in ("httpx", "httpcore", "asyncio", "markdown_it", "filelock", "urllib3", "botocore", "openai"):
        logging.getLogger(noisy).setLevel(logging.INFO if debug else logging.WARNING)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk must not put tracebacks of the logging module on the screen
    return path

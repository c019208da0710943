"""Log files: no secret in them, and no line lost."""

from __future__ import annotations

import logging

from agent.cli.log_setup import RedactingFormatter
from agent.redaction.live import LiveSecrets

FOREIGN = "ghp_" + "aB3dE5gH7j" * 4


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("agent.x", logging.WARNING, __file__, 1, message, arguments, None)


def test_known_and_unknown_secrets_stay_out() -> None:
    formatter = RedactingFormatter(LiveSecrets({"MY_TOKEN": "live-value-1"}))
    line = formatter.format(record("with %s and %s", "live-value-1", FOREIGN))
    assert line.endswith("WARNING agent.x: with [REDACTED:MY_TOKEN] and [REDACTED_GITHUB_TOKEN]")


def test_a_line_that_cannot_be_redacted_is_still_a_line() -> None:
    class Broken(LiveSecrets):
        def scrub(self, text: str) -> str:
            raise ValueError("no")

    line = RedactingFormatter(Broken({})).format(record("with %s", FOREIGN))
    assert line.endswith("WARNING agent.x: (a line that could not be redacted; it is left out)")
    assert FOREIGN not in line

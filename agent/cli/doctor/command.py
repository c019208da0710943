"""`ml-intern doctor [--json] [--probe]`."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TextIO

from agent.cli.args import Arguments
from agent.cli.doctor.examination import examine
from agent.cli.doctor.place import look_around
from agent.cli.doctor.report import Line, is_well, report_json, report_lines
from agent.cli.exit_codes import ExitCode
from agent.cli.log_setup import RedactingFormatter
from agent.redaction.live import LiveSecrets


def run_doctor(
    arguments: Arguments, *, environ: MutableMapping[str, str], cwd: Path, stdin: TextIO, out: TextIO
) -> int:
    """Examine, print the report to `out`; returns the exit code, 1 where there is a problem."""
    place = look_around(
        environ,
        cwd,
        stdin,
        out,
        config_file=arguments.config_file,
        flags=arguments.flags,
        probe=arguments.probe,
    )
    environ.update(place.environ)  # the libraries below read keys and proxies from the process environment
    _set_up_logging(LiveSecrets(environ), debug=arguments.debug)
    findings = examine(place)
    if arguments.as_json:
        print(report_json(findings), file=out)
    else:
        _print(list(report_lines(findings)), out, environ)
    return ExitCode.OK if is_well(findings) else ExitCode.ERROR


def _set_up_logging(secrets: LiveSecrets, *, debug: bool) -> None:
    """No log file: the state directory is left as it is found."""
    handler = logging.StreamHandler(sys.stderr) if debug else logging.NullHandler()
    handler.setFormatter(RedactingFormatter(secrets))
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[handler])
    logging.captureWarnings(True)


def _print(lines: list[Line], out: TextIO, environ: MutableMapping[str, str]) -> None:
    from rich.text import Text

    from agent.ui.console import make_console, print_text

    console = make_console(out, environ)
    for line in lines:
        print_text(console, Text(line.text, line.style), len(line.head), Text(line.head, line.head_style))

"""`ml-intern sessions sft`: training data from kept sessions."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from agent.config_loading import state_dir
from agent.redaction.live import LiveSecrets

ABOUT = "make training data of finished sessions of this directory and below"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="DIR", help="write rows to DIR")
    where.add_argument("--tags", action="store_true", help="write nothing; count the tags of the sessions that fit")
    for flag, metavar, about in (
        ("--tag", "T", "only with this tag (* and ? fit anything; repeat it: with all of them)"),
        ("--not-tag", "T", "only without this tag"),
        ("--model", "M", "only of this model"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar=metavar, help=about)
    parser.add_argument("--since", type=_day, metavar="D", help="begun on this day or later (2026-11-21, UTC)")
    parser.add_argument("--until", type=_day, metavar="D", help="begun on this day or before")
    parser.add_argument("--min-turns", type=_turns, default=1, metavar="N", help="with N prompts or more")
    parser.add_argument("--forks", action="store_true", help="forks as well, which repeat what they began with")
    parser.add_argument("--all", action="store_true", help="sessions of all directories")
    parser.add_argument("--single-file", action="store_true", help="one DIR/train.jsonl")


def make_rows(arguments: argparse.Namespace, environ: Mapping[str, str], cwd: Path) -> str:
    """Write the rows, or count the tags; returns what there is to say. Blocks. Raises `SessionError`."""
    from agent.sft.building import Filters, report_text, run_sft

    filters = Filters(
        tags=tuple(arguments.tag),
        not_tags=tuple(arguments.not_tag),
        models=tuple(arguments.model),
        since=arguments.since,
        until=arguments.until,
        min_turns=arguments.min_turns,
        forks=arguments.forks,
    )
    report = run_sft(
        state_dir(environ),
        None if arguments.out is None else cwd / Path(arguments.out).expanduser(),
        live=LiveSecrets(environ),
        filters=filters,
        cwd=None if arguments.all else cwd,
        single_file=arguments.single_file,
    )
    return report_text(report)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it like 2026-11-21") from error


def _turns(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of prompts; give 1 or more")
    return int(text)

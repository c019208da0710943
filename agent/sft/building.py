"""From kept sessions to rows: which are taken, and what is told of those that are not.

A session and its forks repeat each other. Of each such family one becomes a row, the longest that passes the filters,
unless all are asked for. Sub-agents' work is in no row of its own. Running sessions wait until they have ended.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import field
from datetime import UTC, date
from fnmatch import fnmatchcase
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions import tool_lists
from agent.sessions.errors import JournalError
from agent.sessions.index import SessionIndex, SessionInfo
from agent.sft.output import Written, write_rows
from agent.sft.rows import Row, row_of
from agent.traces.timeline import read_timeline

logger = logging.getLogger(__name__)

RUNNING = "still running"
OTHER_DAY = "outside the dates"
SHORT = "with fewer turns than asked for"
OTHER_MODEL = "of other models"
OTHER_TAGS = "without the tags asked for"
REPEATED = "that other rows repeat (forks)"
UNANSWERED = "without an answer"
SUB_AGENT = "of sub-agents"
UNREADABLE = "that cannot be read"
UNREDACTED = "that could not be redacted"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which sessions become rows. `tags`, `not_tags` and `models` are names with shell wildcards (`tool:hf_*`).

    A session needs a tag for each of `tags`, and none for any of `not_tags`; one of `models`, if there are any. `since`
    and `until` are the days, in UTC, on which it began, both included. `forks`: all of a family.
    """

    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    min_turns: int = 1
    forks: bool = False


EVERYTHING = Filters()


@dataclass(slots=True)
class SftReport:
    """What was done. `left_out` and `tags` are counts of sessions; `redacted` of what was replaced, by kind. `written`
    None: nothing was to be written."""

    out: Path | None = None
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    written: Written | None = None


def run_sft(
    state_dir: Path,
    out: Path | None,
    *,
    live: LiveSecrets,
    filters: Filters = EVERYTHING,
    cwd: Path | None = None,
    single_file: bool = False,
) -> SftReport:
    """Write the rows of the sessions of `cwd` and below (None: all) into the directory `out`; None: only count tags.

    Blocks, one session in memory at a time. Running it again changes nothing that is there and still right. Raises
    `SftError` when `out` cannot be written.
    """
    report, redactor = SftReport(out), Redactor(live)
    rows = build_rows(state_dir, redactor, filters, report, cwd)
    if out is None:
        for _ in rows:
            pass
    else:
        report.written = write_rows(out, rows, single_file=single_file)
    report.redacted.update(redactor.counts)
    return report


def build_rows(
    state_dir: Path, redactor: Redactor, filters: Filters, report: SftReport, cwd: Path | None = None
) -> Iterator[Row]:
    """The rows, the oldest sessions first; `report` counts them, and what was left out."""
    index = SessionIndex(state_dir)
    wanted = {info.path for info in index.list(cwd)}
    for family in _families(index.list()):
        is_told = False
        for info in family:
            if info.path not in wanted:
                continue
            if is_told and not filters.forks:
                report.left_out[REPEATED] += 1
                continue
            row = _row(info, state_dir, redactor, filters, report)
            if row is not None:
                is_told = True
                report.rows += 1
                report.tags.update(row["tags"])
                yield row


def _families(infos: Iterable[SessionInfo]) -> list[list[SessionInfo]]:
    """Sessions with their forks, the longest first; the families by when they began."""
    parents = {info.id: info.parent for info in infos}

    def root(session_id: str) -> str:
        seen = {session_id}
        while (parent := parents.get(session_id)) is not None and parent not in seen:
            seen.add(parent)
            session_id = parent
        return session_id

    families: dict[str, list[SessionInfo]] = {}
    for info in sorted(infos, key=lambda info: (info.started, info.id)):
        families.setdefault(root(info.id), []).append(info)
    return [sorted(family, key=lambda info: -info.turns) for family in families.values()]


def _row(info: SessionInfo, state_dir: Path, redactor: Redactor, filters: Filters, report: SftReport) -> Row | None:
    """The row of a session, None if it is left out."""
    reason = _unwanted(info, filters)
    row = None
    if reason is None:
        try:
            timeline = read_timeline(info.path)
            tools = (tool_lists.load(state_dir, timeline.tools) if timeline.tools else None) or []
            row = row_of(timeline, tools, redactor) if timeline.agent is None else None
            reason = _unfit(row, filters) if timeline.agent is None else SUB_AGENT
        except JournalError as error:
            reason = UNREADABLE
            logger.warning("no row of %s: %s", info.id, error)
        except (RedactionError, RecursionError) as error:
            reason = UNREDACTED
            logger.warning("no row of %s: it could not be redacted (%s)", info.id, type(error).__name__)
    if reason is None:
        return row
    report.left_out[reason] += 1
    return None


def _unwanted(info: SessionInfo, filters: Filters) -> str | None:
    """Why a session is left out before it is read."""
    day = info.started.astimezone(UTC).date()
    if info.is_running:
        return RUNNING
    if (filters.since and day < filters.since) or (filters.until and day > filters.until):
        return OTHER_DAY
    return SHORT if info.turns < filters.min_turns else None


def _unfit(row: Row | None, filters: Filters) -> str | None:
    """Why a row is left out."""
    if row is None:
        return UNANSWERED
    if filters.models and not _has(filters.models, [row["model"]]):
        return OTHER_MODEL
    has_all = all(_has([pattern], row["tags"]) for pattern in filters.tags)
    return None if has_all and not _has(filters.not_tags, row["tags"]) else OTHER_TAGS


def _has(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """Whether one of `names` is meant by one of `patterns`."""
    names = list(names)
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


# --- in words --------------------------------------------------------------------------------------------------------


def report_text(report: SftReport) -> str:
    """The report for the person; with all tags if nothing was written."""
    lines = [_written_text(report)] if report.out is not None else _tag_lines(report)
    if report.left_out:
        counts = ", ".join(f"{count} {reason}" for reason, count in report.left_out.most_common())
        lines.append(f"Left out: {counts}.")
    if report.left_out[REPEATED]:
        lines.append("--forks takes forks as well.")
    if report.left_out[OTHER_TAGS] and not report.rows:
        lines.append("--tags shows which tags there are.")
    if report.redacted:
        counts = ", ".join(f"{count} x {kind}" for kind, count in sorted(report.redacted.items()))
        lines.append(f"Redacted: {counts}.")
    if report.written is not None and report.written.others:
        lines.append(
            f"{report.out} holds {report.written.others} more .jsonl files, which were not written now and are loaded "
            "along with these: remove what you do not want."
        )
    return "\n".join(lines)


_ALL = " Sessions of other directories count with --all."


def _written_text(report: SftReport) -> str:
    if report.written is None or not report.rows:
        return f"No session became a row; {report.out} is as it was.{_ALL}"
    there = f", {report.written.unchanged} of them there already" if report.written.unchanged else ""
    return f"{report.rows} {'row' if report.rows == 1 else 'rows'} in {report.out}{there}."


def _tag_lines(report: SftReport) -> list[str]:
    if not report.rows:
        return [f"No session fits.{_ALL}"]
    width = max(map(len, report.tags))
    return [f"{tag:<{width}}  {count}" for tag, count in sorted(report.tags.items())]

"""The findings, as lines for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from agent import __version__
from agent.cli.doctor.findings import Finding, Status
from agent.light_dataclass import dataclass
from agent.ui.tool_lines import counted

SIGNS: dict[Status, str] = {"ok": "✓", "warning": "!", "problem": "✗", "skipped": "–"}
_STYLES: dict[Status, str] = {"ok": "tool.ok", "warning": "warning", "problem": "error", "skipped": "muted"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the report: a `head` of its own style, and a text whose further lines begin below its first word."""

    head: str
    text: str
    head_style: str = ""
    style: str = ""

    def __str__(self) -> str:
        return self.head + self.text


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem."""
    return all(finding.status != "problem" for finding in findings)


def report_lines(findings: Sequence[Finding]) -> Iterator[Line]:
    """A line for each finding; causes and remedies below it; the sum at the end."""
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        style = "muted" if finding.status in ("ok", "skipped") else ""
        head = f"{SIGNS[finding.status]} {finding.name:<{width}}  "
        yield Line(head, finding.detail, _STYLES[finding.status], style)
        if finding.cause:
            yield Line("    cause:  ", finding.cause, "muted", "muted")
        if finding.remedy:
            yield Line("    remedy: ", finding.remedy, "muted")
    yield Line("", _sum(findings))


def _sum(findings: Sequence[Finding]) -> str:
    problems = sum(finding.status == "problem" for finding in findings)
    warnings = sum(finding.status == "warning" for finding in findings)
    if not problems and not warnings:
        return "No problems found."
    return f"{counted(problems, 'problem') if problems else 'No problem'}, {counted(warnings, 'warning')}."


def report_json(findings: Sequence[Finding]) -> str:
    """One object: `version`, `ok`, `findings` with `name`, `status`, `detail`, `cause`, `remedy` each."""
    whole = {"version": __version__, "ok": is_well(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(whole, indent=2, ensure_ascii=False)

"""Commands about what the model is given and what has been changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.protocol.events import ContextReport, Feedback, WorkspaceDiff
from agent.protocol.operations import OpType
from agent.ui.diff_view import preview_text
from agent.ui.sanitize import clip, visible

if TYPE_CHECKING:
    from agent.cli.app import App

BAR_CELLS = 20
_MARKS = ("█", "▓", "▒", "░")
"""For the system prompt, the tools, the messages and what is free."""

_RATINGS = {"good": "up", "bad": "down"}
_DIFF_COLUMNS = 2_000


@command("context", group="Workspace")
async def context(app: App, _argument: str) -> None:
    """Show what fills the model's window."""
    report = await app.operate(OpType.CONTEXT)
    if isinstance(report, ContextReport):
        app.say(context_text(report))


@command("tools", group="Workspace")
async def tools(app: App, _argument: str) -> None:
    """List the tools that the model has."""
    report = await app.operate(OpType.CONTEXT)
    if not isinstance(report, ContextReport):
        return
    if not report.tools:
        app.say("The model has no tools.")
        return
    width = max(len(tool.name) for tool in report.tools)
    app.say("\n".join(f"{tool.name:<{width}}  {visible(tool.summary, False)}" for tool in report.tools))


@command("diff", group="Workspace")
async def diff(app: App, _argument: str) -> None:
    """Show what this session has changed in files.

    It goes back as far as the copies of the files do. What somebody else has done to the same files shows as well.
    """
    report = await app.operate(OpType.DIFF)
    if not isinstance(report, WorkspaceDiff):
        return
    if report.diff:
        text = visible(report.diff)
        app.show(preview_text(text, text.count("\n") + 1, _DIFF_COLUMNS))
    else:
        app.say("No changes.")
    if report.not_covered:
        app.say(f"Note: {visible(report.not_covered, False)}")


@command("feedback", "good|bad [comment]", group="Workspace", choices=tuple(_RATINGS))
async def feedback(app: App, argument: str) -> None:
    """Rate the last answer, for the record of this session.

    The rating is kept in the session's journal on this machine and goes nowhere.
    """
    word, _, comment = argument.partition(" ")
    rating = _RATINGS.get(word.lower())
    if rating is None:
        app.complain("Say /feedback good or /feedback bad, and a comment if you like.")
        return
    end = await app.operate(OpType.FEEDBACK, {"rating": rating, "comment": comment.strip()})
    if isinstance(end, Feedback):
        app.say("Kept in the session's journal on this machine; it goes nowhere.")


def context_text(report: ContextReport) -> str:
    """A bar, a row for each part of the window with its share, and the files of guidance in use."""
    free = max(0, report.window_tokens - report.used_tokens)
    count = report.message_count
    names = ("System prompt", f"Tools ({len(report.tools)})", f"Messages ({count:,})", "Free")
    sizes = (report.system_tokens, report.tools_tokens, report.messages_tokens, free)
    width = max(map(len, names))
    figures = [f"{size:,}" for size in sizes]
    column = max(map(len, figures))
    lines = [
        f"{_bar(sizes)}  about {report.used_tokens:,} of {report.window_tokens:,} tokens",
        *(
            f"{mark} {name:<{width}}  {figure:>{column}}  {_percent(size, report.window_tokens):>5}"
            for mark, name, figure, size in zip(_MARKS, names, figures, sizes, strict=True)
        ),
        f"Above {report.threshold_tokens:,} tokens the conversation is shortened.",
    ]
    files = [f"Memory: {clip(path, 200)}" for path in report.memory_files]
    return "\n".join([*lines, *(files or ["Memory: no AGENTS.md here; /init writes one."])])


def _bar(sizes: Iterable[int]) -> str:
    """Twenty cells in the proportion of `sizes`, one mark for each; what there is has one cell at least."""
    parts = list(sizes)
    total, seen, bar = max(1, sum(parts)), 0, ""
    for mark, size in zip(_MARKS, parts, strict=True):
        seen += size
        bar += mark * max(int(BAR_CELLS * seen / total + 0.5) - len(bar), size > 0)
    return bar[:BAR_CELLS]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.0f} %" if part == 0 or 100 * part >= whole else "< 1 %"

"""Interactive mode's view of the events: what is over goes to the scrollback, what is going on is live below it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol, assert_never

from rich.console import Console
from rich.text import Text

from agent.protocol.events import (
    ApprovalItem,
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    BudgetStatus,
    CommandRun,
    Compacted,
    ContextReport,
    DesktopNotice,
    ErrorRaised,
    Event,
    Feedback,
    HfJobComplete,
    HfJobSubmit,
    Interrupted,
    LLMCall,
    NewComplete,
    Payload,
    PlanItem,
    PlanUpdate,
    Processing,
    Ready,
    Renamed,
    ResumeComplete,
    ResumedFrom,
    SandboxCreate,
    SandboxDestroy,
    SessionTerminated,
    SettingsChanged,
    Shutdown,
    Steered,
    ToolCallStarted,
    ToolCharge,
    ToolLog,
    ToolOutput,
    ToolProgress,
    ToolStateChange,
    TurnComplete,
    UndoComplete,
    WorkspaceDiff,
    WorkStatus,
)
from agent.ui.limits import LimitNotes
from agent.ui.live.activity import Activity
from agent.ui.live.answer import LiveAnswer
from agent.ui.live.rows import Row
from agent.ui.live.tools import LiveTools
from agent.ui.markdown_stream import Block, MarkdownStream
from agent.ui.notices import OperationEnd, operation_lines, plan_title, terminated_text
from agent.ui.plain_tools import PlainTools
from agent.ui.sanitize import clip, visible
from agent.ui.scrollback import SIGNS, WORDS, Scrollback
from agent.ui.tool_results import Limits, ToolResults

TextPayload = AssistantChunk | AssistantMessage | AssistantStreamEnd
ToolPayload = ToolCallStarted | ToolOutput | ToolLog | ToolStateChange | ToolProgress | ApprovalRequired
EndPayload = TurnComplete | Interrupted | ErrorRaised | SessionTerminated

_PLAN_STYLES = {"completed": "tool.ok", "in_progress": "bold"}
_PROMPT_LINES, _ANSWER_ROWS = 3, 12
"""What is shown of the last prompt and the last answer of a session that goes on."""
_ROOMY = 8
"""With fewer rows than this, the live lines have no blank ones between them."""


class ToolView(Protocol):
    """What is done with tool calls: see `LiveTools` and `PlainTools`."""

    @property
    def running(self) -> list[str]: ...
    @property
    def is_ticking(self) -> bool: ...
    def new_turn(self) -> None: ...
    def wait(self, items: Iterable[ApprovalItem]) -> None: ...
    def start(self, payload: ToolCallStarted) -> None: ...
    def change(self, payload: ToolStateChange) -> None: ...
    def progress(self, payload: ToolProgress) -> None: ...
    def log(self, payload: ToolLog) -> None: ...
    def finish(self, payload: ToolOutput) -> None: ...
    def end_turn(self, *, is_ok: bool) -> None: ...
    def rows(self, width: int, limit: int) -> list[Row]: ...


class TerminalRenderer:
    """Renders events on a console from `make_console`, append-only; what is not over yet is in `live_lines`.

    Answers appear block by block, as soon as a block is complete; calls appear once, with their result. Approvals are
    only noted here: whoever asks the person prints them with `approval_panel`. `on_change` is called whenever the live
    lines may have changed. With `live=False` there are none: calls are told when they start too, and what signs say
    elsewhere is said in words.
    """

    def __init__(
        self,
        console: Console,
        *,
        live: bool = True,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
    ) -> None:
        self._is_live = live
        self._on_change = on_change
        self._out = Scrollback(console, SIGNS if live else WORDS)
        self._stream = MarkdownStream()
        self._answer = LiveAnswer(console, self._stream)
        self._results = ToolResults(self._out, limits or Limits(), can_expand=live)
        self._tools: ToolView = (
            LiveTools(self._out, self._results, clock) if live else PlainTools(self._out, self._results)
        )
        self._activity = Activity(clock)
        self._limit_notes = LimitNotes()
        self._plan: tuple[PlanItem, ...] = ()
        self._answer_shown = False
        """Whether text of the model was shown since the last call or the start of the turn."""

    @property
    def is_plain(self) -> bool:
        """Whether nothing is live."""
        return not self._is_live

    @property
    def is_ticking(self) -> bool:
        """Whether the live lines show how long something takes: they change with the time."""
        return self._is_live and (self._activity.is_on or self._tools.is_ticking)

    @property
    def rendered_chars(self) -> int:
        """Characters of unfinished answers that were rendered for live lines so far: what the frames have cost."""
        return self._answer.rendered_chars

    def live_lines(self, width: int, rows: int) -> list[Row]:
        """What is going on, in at most `rows` rows of at most `width` cells, without blanks at their ends."""
        if not self._is_live or width < 1 or rows < 1:
            return []
        blank: list[Row] = [[]] if rows >= _ROOMY else []
        end: list[Row] = []
        if self._activity.is_on:
            end = [*blank, self._activity.row(self._out.console, width, self._step(), self._tools.running)]
        tools = self._tools.rows(width, rows - len(end) - len(blank))
        if tools and self._out.needs_gap("tool"):
            tools = [*blank, *tools]
        answer = self._answer.rows(width, rows - len(end) - len(tools) - len(blank))
        if answer and self._out.needs_gap("text", goes_on=self._stream.goes_on):
            answer = [*blank, *answer]
        return [*answer, *tools, *end][-rows:]

    def expand_last(self) -> bool:
        """Print the last tool output in full (at most 2,000 lines), and again: the one before. False: none (left).

        What a call has printed that runs now is the last one.
        """
        is_there = self._results.expand()
        self._on_change()
        return is_there

    def begin(self) -> None:
        """The banner stands above now."""
        self._out.last_kind = "banner"

    def handle(self, event: Event) -> None:
        """Show one event."""
        self._limit_notes.see(event)
        self._activity.see(event.payload)
        self._show(event.payload)
        self._on_change()

    def note(self, *lines: str) -> None:
        """Print lines of the user interface's own among the events; lines of an answer are never torn by them."""
        for line in lines:
            self._out.line("note", visible(line), "muted")
        self._on_change()

    def say(self, text: Text) -> None:
        """Print styled text of the user interface's own."""
        self._out.text("note", text)
        self._on_change()

    def echo(self, text: str, prompt: str) -> None:
        """Print what the person has typed behind `prompt`."""
        self._out.hanging("input", (prompt.rstrip(), "muted"), (visible(text), "input"))
        self._on_change()

    def close(self) -> None:
        """Show what has not been rendered yet."""
        self._flush_text()
        self._tools.end_turn(is_ok=False)
        self._on_change()

    def _show(self, payload: Payload) -> None:
        match payload:
            case AssistantChunk() | AssistantMessage() | AssistantStreamEnd():
                self._take_text(payload)
            case ToolCallStarted() | ToolOutput() | ToolLog() | ToolStateChange() | ToolProgress() | ApprovalRequired():
                self._show_tool(payload)
            case PlanUpdate():
                self._show_plan(payload)
            case TurnComplete() | Interrupted() | ErrorRaised() | SessionTerminated():
                self._end_turn(payload)
            case Compacted() | UndoComplete() | NewComplete() | ResumeComplete() | Renamed() | SettingsChanged():
                self._show_operation(payload)
            case Steered():
                self._flush_text()
                self._out.hanging("input", (">", "muted"), (visible(payload.text).strip(), "muted"))
            case Processing():
                self._out.last_kind = self._out.last_kind or "input"
                self._answer_shown = False
                self._tools.new_turn()
            case Ready() | Shutdown() | LLMCall() | BudgetStatus() | ResumedFrom() | HfJobSubmit() | HfJobComplete():
                pass
            case ContextReport() | WorkspaceDiff() | CommandRun() | WorkStatus():
                pass  # shown by the command, by the tool's output, and at the bottom
            case DesktopNotice() | ToolCharge() | SandboxCreate() | SandboxDestroy() | Feedback():
                pass
            case _ as never:
                assert_never(never)

    def _show_operation(self, payload: OperationEnd) -> None:
        self.note(*operation_lines(payload))
        if isinstance(payload, NewComplete):
            self._plan = ()
        elif isinstance(payload, ResumeComplete):
            self._show_last_words(payload)

    def _show_last_words(self, payload: ResumeComplete) -> None:
        """Where the conversation was left."""
        if lines := visible(payload.last_prompt).strip().split("\n") if payload.last_prompt.strip() else []:
            shown = [clip(line, self._out.width - 4) for line in lines[:_PROMPT_LINES]]
            shown[-1] += " …" if len(lines) > len(shown) else ""
            self._out.hanging("input", (">", "muted"), ("\n".join(shown), "muted"))
        self._out.beginning(payload.last_answer, _ANSWER_ROWS)
        if payload.last_prompt or payload.last_answer:
            self._out.last_kind = "turn"

    # --- text --------------------------------------------------------------------------------------------------------

    def _take_text(self, payload: TextPayload) -> None:
        match payload:
            case AssistantChunk():
                if blocks := self._stream.feed(payload.content):
                    self._print_blocks(blocks)
                self._answer.changed()
            case AssistantMessage():
                self._print_blocks(self._stream.feed(payload.content))
                self._flush_text()
            case AssistantStreamEnd():
                self._flush_text()
            case _ as never:
                assert_never(never)

    def _flush_text(self) -> None:
        self._print_blocks(self._stream.flush())
        self._answer.changed()

    def _print_blocks(self, blocks: list[Block]) -> None:
        for block in blocks:
            if self._out.block(block):
                self._answer_shown = True

    # --- tools -------------------------------------------------------------------------------------------------------

    def _show_tool(self, payload: ToolPayload) -> None:
        match payload:
            case ToolCallStarted():
                self._flush_text()
                self._answer_shown = False
                self._tools.start(payload)
            case ToolOutput():
                self._tools.finish(payload)
            case ToolLog():
                self._tools.log(payload)
            case ToolProgress():
                self._tools.progress(payload)
            case ToolStateChange():
                self._tools.change(payload)
            case ApprovalRequired():
                self._flush_text()
                self._answer_shown = False
                self._results.asked(payload.tools)
                self._tools.wait(payload.tools)
            case _ as never:
                assert_never(never)

    def _show_plan(self, payload: PlanUpdate) -> None:
        if payload.plan == self._plan:
            return
        self._plan = payload.plan
        self._out.line("plan", plan_title(payload.plan), "bold")
        for item in payload.plan:
            style = _PLAN_STYLES.get(item.status, "muted")
            self._out.hanging("plan", (self._out.signs.step(item), style), (clip(item.content, 500), ""))

    def _step(self) -> str:
        """The step of the plan that is under way."""
        return next((item.content for item in self._plan if item.status == "in_progress"), "")

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end_turn(self, payload: EndPayload) -> None:
        self._flush_text()
        self._tools.end_turn(is_ok=isinstance(payload, TurnComplete))
        match payload:
            case TurnComplete():
                if payload.final_response and not self._answer_shown:
                    self._print_blocks([*self._stream.feed(payload.final_response), *self._stream.flush()])
                if limit := self._limit_notes.reached(payload.stop_reason):
                    go_on = self._limit_notes.go_on_here(payload.stop_reason)
                    self._out.line("note", f"Stopped at {limit}. {go_on}", "warning")
            case Interrupted():
                self._out.line("end", "Interrupted", "warning")
            case ErrorRaised():
                self._out.line("end", f"Error: {visible(payload.error).strip()}", "error")
            case SessionTerminated():
                self._out.line("end", f"Error: {terminated_text(payload).strip()}", "error")
            case _ as never:
                assert_never(never)
        self._answer_shown = False
        self._out.last_kind = "turn"

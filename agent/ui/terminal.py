"""Interactive mode's screen, the plain one: lines are added below, and nothing above is ever touched again."""

from __future__ import annotations

from typing import assert_never

from rich.console import Console
from rich.text import Text

from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    BudgetStatus,
    CommandRun,
    Compacted,
    ContextReport,
    ErrorRaised,
    Event,
    Feedback,
    HfJobComplete,
    HfJobSubmit,
    Interrupted,
    LLMCall,
    NewComplete,
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
)
from agent.ui.console import print_text
from agent.ui.diff_view import is_diff, preview_text
from agent.ui.limits import LimitNotes
from agent.ui.markdown_stream import Block, MarkdownStream
from agent.ui.notices import job_line, log_line, operation_lines, plan_sign, plan_title, terminated_text
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import (
    NO_OUTPUT,
    QUIET_TOOLS,
    Call,
    OpenCalls,
    call_summary,
    counted,
    failure_summary,
    reason_lines,
    result_summary,
)

ToolPayload = ToolCallStarted | ToolOutput | ToolLog | ToolStateChange | ApprovalRequired
EndPayload = TurnComplete | Interrupted | ErrorRaised | SessionTerminated

_PLAN_STYLES = {"completed": "tool.ok", "in_progress": "bold"}
_TAIL_TOOLS = frozenset({"bash"})
"""Tools whose last lines of output are worth seeing; of the others the size is enough."""


class TerminalRenderer:
    """Renders events on a console from `make_console`, append-only and without animation.

    Answers appear block by block, as soon as a block is complete. Approvals are only noted here: whoever asks the
    person prints them with `approval_panel`. At most `diff_lines` lines of an edit's diff are shown, `output_lines` of
    a command's output, `reason_limit` of a failure.
    """

    def __init__(self, console: Console, *, diff_lines: int = 60, output_lines: int = 4, reason_limit: int = 6) -> None:
        self._console = console
        self._diff_lines = diff_lines
        self._output_lines = output_lines
        self._reason_limit = reason_limit
        self._stream = MarkdownStream()
        self._calls = OpenCalls()
        self._limits = LimitNotes()
        self._plan: tuple[PlanItem, ...] = ()
        self._last_kind = ""
        """What was printed last: a blank line goes between things of different kinds."""
        self._answer_shown = False
        """Whether text of the model was shown since the last call or the start of the turn."""

    def handle(self, event: Event) -> None:
        """Show one event."""
        self._limits.see(event)
        match event.payload:
            case AssistantChunk() | AssistantMessage() | AssistantStreamEnd() as payload:
                self._take_text(payload)
            case ToolCallStarted() | ToolOutput() | ToolLog() | ToolStateChange() | ApprovalRequired() as payload:
                self._show_tool(payload)
            case PlanUpdate() as payload:
                self._show_plan(payload)
            case TurnComplete() | Interrupted() | ErrorRaised() | SessionTerminated() as payload:
                self._end_turn(payload)
            case Compacted() | UndoComplete() | NewComplete() | ResumeComplete() as payload:
                self.note(*operation_lines(payload))
            case Renamed() | SettingsChanged() as payload:
                self.note(*operation_lines(payload))
            case Steered() as payload:
                self._flush_text()
                self._hanging(("> ", "muted"), (visible(payload.text).strip(), "muted"), kind="input")
            case Processing():
                self._last_kind = self._last_kind or "input"
                self._answer_shown = False
            case Ready() | Shutdown() | LLMCall() | BudgetStatus() | ResumedFrom() | HfJobSubmit() | HfJobComplete():
                pass
            case ToolProgress() | ContextReport() | WorkspaceDiff() | CommandRun():
                pass
            case ToolCharge() | SandboxCreate() | SandboxDestroy() | Feedback():
                pass
            case _ as never:
                assert_never(never)

    def note(self, *lines: str) -> None:
        """Print lines of the user interface's own among the events; lines of an answer are never torn by them."""
        for line in lines:
            self._line("note", visible(line), "muted")

    def close(self) -> None:
        """Show what has not been rendered yet."""
        self._flush_text()

    # --- text --------------------------------------------------------------------------------------------------------

    def _take_text(self, payload: AssistantChunk | AssistantMessage | AssistantStreamEnd) -> None:
        match payload:
            case AssistantChunk():
                self._print_blocks(self._stream.feed(payload.content))
            case AssistantMessage():
                self._print_blocks(self._stream.feed(payload.content))
                self._flush_text()
            case AssistantStreamEnd():
                self._flush_text()
            case _ as never:
                assert_never(never)

    def _flush_text(self) -> None:
        self._print_blocks(self._stream.flush())

    def _print_blocks(self, blocks: list[Block]) -> None:
        for block in blocks:
            if visible(block.text).strip():
                from agent.ui.markdown_view import print_block  # markdown-it and pygments: not before they are needed

                self._gap("text")
                print_block(self._console, block)
                self._answer_shown = True

    # --- tools -------------------------------------------------------------------------------------------------------

    def _show_tool(self, payload: ToolPayload) -> None:
        match payload:
            case ToolCallStarted():
                self._flush_text()
                self._answer_shown = False
                self._show_start(self._calls.start(payload))
            case ToolOutput():
                self._show_result(payload)
            case ToolLog():
                if line := log_line(payload):
                    self._line("tool", f"  {line}", "muted")
            case ToolStateChange():
                self._show_start(self._calls.change(payload))
                if line := job_line(payload):
                    self._line("tool", f"  {line}", "muted")
            case ApprovalRequired():
                self._flush_text()
                self._answer_shown = False
                self._calls.wait(payload.tools)
            case _ as never:
                assert_never(never)

    def _show_start(self, call: Call | None) -> None:
        if call is not None and call.tool not in QUIET_TOOLS:
            tool = clip(call.tool, 40)
            about = call_summary(call.tool, call.arguments, self._room(len(tool) + 4))
            self._one_line(("▸ ", "muted"), (tool, "tool.name"), (f"  {about}", "muted"))

    def _show_result(self, payload: ToolOutput) -> None:
        call = self._calls.finish(payload)
        if payload.success and payload.tool in QUIET_TOOLS:
            return
        tool, room = clip(payload.tool, 40), self._console.width
        about = f"  ({call_summary(call.tool, call.arguments, self._room(40))})" if call else ""
        if payload.success:
            summary = result_summary(payload, room)
            self._one_line(("✓ ", "tool.ok"), (tool, "tool.name"), (f" {summary}{about}", "muted"))
            self._show_output(payload)
            return
        reasons, more = reason_lines(payload.display or payload.output, self._reason_limit)
        summary = failure_summary(payload, reasons, room * 4)
        self._hanging(("✗ ", "tool.fail"), (tool, "tool.name"), (f" {summary}{about}", "tool.fail"))
        if len(reasons) > 1:
            self._indented([*reasons, *([f"… {counted(more, 'more line')}"] if more else [])], "tool.fail")

    def _show_output(self, payload: ToolOutput) -> None:
        if payload.display:
            shown = visible(payload.display)
            limit = self._diff_lines if is_diff(shown) else self._output_lines
            self._print("tool", preview_text(shown, limit, self._console.width * 4), indent=2)
        elif payload.tool in _TAIL_TOOLS and self._output_lines and payload.output.strip() != NO_OUTPUT:
            lines = [line.rstrip() for line in visible(payload.output).split("\n") if line.strip()]
            hidden = len(lines) - self._output_lines
            before = [f"… {counted(hidden, 'line')} before"] if hidden > 0 else []
            self._indented([*before, *lines[-self._output_lines :]], "muted")

    def _show_plan(self, payload: PlanUpdate) -> None:
        if payload.plan == self._plan:
            return
        self._plan = payload.plan
        self._line("plan", plan_title(payload.plan), "bold")
        for item in payload.plan:
            style = _PLAN_STYLES.get(item.status, "muted")
            self._hanging((f"{plan_sign(item)} ", style), (clip(item.content, 500), ""), kind="plan")

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end_turn(self, payload: EndPayload) -> None:
        self._flush_text()
        self._calls.clear()
        match payload:
            case TurnComplete():
                if payload.final_response and not self._answer_shown:
                    self._print_blocks([*self._stream.feed(payload.final_response), *self._stream.flush()])
                if limit := self._limits.reached(payload.stop_reason):
                    go_on = self._limits.go_on_here(payload.stop_reason)
                    self._line("note", f"Stopped at {limit}. {go_on}", "warning")
            case Interrupted():
                self._line("end", "Interrupted", "warning")
            case ErrorRaised():
                self._line("end", f"Error: {visible(payload.error).strip()}", "error")
            case SessionTerminated():
                self._line("end", f"Error: {terminated_text(payload).strip()}", "error")
            case _ as never:
                assert_never(never)
        self._answer_shown = False
        self._last_kind = "turn"

    # --- lines -------------------------------------------------------------------------------------------------------

    def _room(self, used: int) -> int:
        return max(self._console.width - used, 8)

    def _gap(self, kind: str) -> None:
        """A blank line between different things, and between all paragraphs."""
        if self._last_kind and (kind != self._last_kind or kind == "text"):
            self._console.print()
        self._last_kind = kind

    def _line(self, kind: str, text: str, style: str) -> None:
        self._print(kind, Text(text, style))

    def _print(self, kind: str, text: Text, indent: int = 0) -> None:
        self._gap(kind)
        print_text(self._console, text, indent)

    def _one_line(self, *parts: tuple[str, str]) -> None:
        """One line about a tool, cut at the width."""
        self._gap("tool")
        line = Text.assemble(*parts)
        line.rstrip()
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def _hanging(self, sign: tuple[str, str], *parts: tuple[str, str], kind: str = "tool") -> None:
        """A sign and text beside it that wraps without running under the sign."""
        self._gap(kind)
        print_text(self._console, Text.assemble(*parts), indent=2, sign=Text(*sign))

    def _indented(self, lines: list[str], style: str) -> None:
        """Lines of a tool's output below its result, each cut to a few rows."""
        text = "\n".join(clip(line, self._console.width * 2) for line in lines)
        if text:
            self._print("tool", Text(text, style), indent=2)

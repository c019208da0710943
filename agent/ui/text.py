"""Headless text mode: the answer alone on stdout, everything on the way there on stderr, no colours, append-only."""

from __future__ import annotations

from typing import TextIO, assert_never

from agent.protocol.events import (
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
    to_data,
)
from agent.ui.hub_lines import named_again
from agent.ui.limits import LimitNotes
from agent.ui.notices import (
    JobLines,
    log_line,
    model_call_line,
    operation_lines,
    plan_sign,
    plan_title,
    terminated_text,
)
from agent.ui.sanitize import clip, visible
from agent.ui.streams import TextSink
from agent.ui.tool_lines import QUIET_TOOLS, Call, OpenCalls, call_summary, compact_json, outcome_summary, tool_title

ToolPayload = ToolCallStarted | ToolOutput | ToolLog | ToolStateChange | ApprovalRequired
EndPayload = TurnComplete | Interrupted | ErrorRaised | SessionTerminated
Telemetry = HfJobSubmit | HfJobComplete | SandboxCreate | SandboxDestroy | Feedback | ResumedFrom


class TextRenderer:
    """Text for a person who reads it later, or for a program that wants the answer.

    stdout gets the final response and nothing else. What the model says between its calls goes to stderr with the tool
    lines; which text is final is known only at the end of the turn, so each answer is held until the next event
    decides. `verbose` adds model calls and telemetry. `width` bounds tool lines, in columns.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, *, verbose: bool = False, width: int = 100) -> None:
        self.out = TextSink(stdout)
        self.err = TextSink(stderr)
        self._verbose = verbose
        self._width = width
        self._calls = OpenCalls()
        self._jobs = JobLines()
        self._limits = LimitNotes()
        self._coming: list[str] = []
        """Pieces of the answer that is streaming."""
        self._held = ""
        """The last whole answer, not yet shown anywhere."""
        self._plan: tuple[PlanItem, ...] = ()

    @property
    def broken_pipe(self) -> bool:
        """True once the reader of stdout or stderr has gone; the caller may then end quietly."""
        return self.out.broken_pipe or self.err.broken_pipe

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
            case (
                Compacted() | UndoComplete() | NewComplete() | ResumeComplete() | Renamed() | SettingsChanged() as done
            ):
                self._progress(*operation_lines(done))
            case Ready() as payload:
                self._progress(f"session {clip(payload.session_id, 80)}, model {clip(payload.model_name, 200)}")
            case LLMCall() | Steered() as payload:
                self._show_detail(payload)
            case HfJobSubmit() | HfJobComplete() | SandboxCreate() | SandboxDestroy() | Feedback() | ResumedFrom():
                self._show_detail(event.payload)
            case Processing() | Shutdown() | BudgetStatus() | ToolCharge() | ToolProgress():
                pass
            case ContextReport() | WorkspaceDiff() | CommandRun() | WorkStatus() | DesktopNotice():
                pass  # answers to a person at a terminal
            case _ as never:
                assert_never(never)

    def _show_detail(self, payload: LLMCall | Steered | Telemetry) -> None:
        """What only a reader of everything wants to know."""
        if not self._verbose:
            return
        match payload:
            case LLMCall():
                self._progress(f"· {model_call_line(payload)}")
            case Steered():
                self._progress(f"> {clip(payload.text, self._width)}")
            case _:
                self._progress(f"· {payload.event_type} {clip(compact_json(to_data(payload)), self._width)}")

    def close(self) -> None:
        """Show text that no event has decided about."""
        self._release()
        self.out.flush()
        self.err.flush()

    # --- text --------------------------------------------------------------------------------------------------------

    def _take_text(self, payload: AssistantChunk | AssistantMessage | AssistantStreamEnd) -> None:
        match payload:
            case AssistantChunk():
                if not self._coming:
                    self._release()
                self._coming.append(payload.content)
            case AssistantMessage():
                self._release()
                self._held = payload.content
            case AssistantStreamEnd():
                self._settle()
            case _ as never:
                assert_never(never)

    def _settle(self) -> None:
        """What was streaming is now a whole answer."""
        if self._coming:
            self._held = "".join(self._coming)
            self._coming.clear()

    def _release(self) -> None:
        """The text so far was not the final response, or not all of it: progress."""
        self._settle()
        text, self._held = visible(self._held).strip(), ""
        if text:
            self._progress(text)

    # --- tools -------------------------------------------------------------------------------------------------------

    def _show_tool(self, payload: ToolPayload) -> None:
        match payload:
            case ToolCallStarted():
                self._release()
                self._show_start(self._calls.start(payload))
            case ToolOutput():
                self._show_result(payload)
            case ToolLog():
                if line := log_line(payload):
                    self._progress(f"note: {line}" if payload.tool == "system" else f"  {line}")
            case ToolStateChange():
                self._show_start(self._calls.change(payload))
                if line := self._jobs.line(payload):
                    self._progress(f"  {line}")
            case ApprovalRequired():
                self._release()
                self._calls.wait(payload.tools)
                for item in payload.tools:
                    reason = f" ({clip(item.reason, self._width)})" if item.reason else ""
                    about = call_summary(item.tool, named_again(item), self._width)
                    self._progress(f"needs approval: {clip(tool_title(item.tool), 60)}{about and f'  {about}'}{reason}")
            case _ as never:
                assert_never(never)

    def _show_start(self, call: Call | None) -> None:
        if call is not None and call.tool not in QUIET_TOOLS:
            tool = clip(tool_title(call.tool), 60)
            self._progress(f"▸ {tool}  {call_summary(call.tool, call.arguments, self._width)}".rstrip())

    def _show_result(self, payload: ToolOutput) -> None:
        call = self._calls.finish(payload)
        if payload.success and payload.tool in QUIET_TOOLS:
            return
        sign = "✓" if payload.success else "✗"
        about = call_summary(call.tool, call.arguments, self._width // 2) if call else ""
        suffix = f"  ({about})" if about else ""
        self._progress(f"{sign} {clip(tool_title(payload.tool), 60)} {outcome_summary(payload, self._width)}{suffix}")

    def _show_plan(self, payload: PlanUpdate) -> None:
        if payload.plan != self._plan:
            self._plan = payload.plan
            steps = [f"  {plan_sign(item)} {clip(item.content, self._width)}" for item in payload.plan]
            self._progress(plan_title(payload.plan), *steps)

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end_turn(self, payload: EndPayload) -> None:
        self._calls.clear()
        self._jobs.clear()
        match payload:
            case TurnComplete():
                self._complete(payload)
            case Interrupted():
                self._release()
                self._progress("interrupted")
            case ErrorRaised():
                self._release()
                self._progress(f"error: {visible(payload.error).strip()}")
            case SessionTerminated():
                self._release()
                self._progress(f"error: {terminated_text(payload).strip()}")
            case _ as never:
                assert_never(never)

    def _complete(self, payload: TurnComplete) -> None:
        self._settle()
        final = payload.final_response or ""
        if final.rstrip().endswith(self._held.strip()):
            self._held = ""
        self._release()
        if limit := self._limits.reached(payload.stop_reason):
            self._progress(f"note: stopped at {limit}; to go on: {self._limits.go_on(payload.stop_reason)}")
        self.err.flush()
        if answer := visible(final).lstrip("\n").rstrip():
            self.out.write_line(answer)

    def _progress(self, *lines: str) -> None:
        for line in lines:
            self.err.write_line(line.rstrip())

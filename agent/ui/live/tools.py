"""Tool calls where there is a live region: they run there, and come into the scrollback once, with their result."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.protocol.events import ApprovalItem, ToolCallStarted, ToolLog, ToolOutput, ToolProgress, ToolStateChange
from agent.ui.live.agents import SubAgents
from agent.ui.live.calls import RunningCalls
from agent.ui.live.rows import Row
from agent.ui.notices import JobLines, log_line
from agent.ui.scrollback import Scrollback
from agent.ui.tool_lines import QUIET_TOOLS
from agent.ui.tool_results import ToolResults

_ENDING_COLUMNS = 24
"""Of a line about a call that was stopped: its sign, its time, and that word."""


class LiveTools:
    """The running calls and sub-agents, and the entries that they become."""

    def __init__(self, scrollback: Scrollback, results: ToolResults, clock: Callable[[], float]) -> None:
        self._out = scrollback
        self._results = results
        self._clock = clock
        self._calls = RunningCalls(clock)
        self._agents = SubAgents(clock)
        self._jobs = JobLines()
        self._frozen: set[str] = set()
        """Calls that were shown as interrupted: a result that comes after all is not shown."""

    @property
    def running(self) -> list[str]:
        """The tools of the running calls."""
        return self._calls.tools

    @property
    def is_ticking(self) -> bool:
        """Whether the rows show how long something has taken."""
        return bool(self._calls.tools or self._agents.ids)

    def new_turn(self) -> None:
        """Ids may come again."""
        self._agents.new_turn()
        self._frozen.clear()

    def wait(self, items: Iterable[ApprovalItem]) -> None:
        """These calls wait for the person."""
        self._calls.wait(items)

    def start(self, payload: ToolCallStarted) -> None:
        """A call starts."""
        if payload.tool not in QUIET_TOOLS:
            self._calls.start(payload)

    def change(self, payload: ToolStateChange) -> None:
        """A call has another state."""
        self._calls.change(payload)
        if line := self._jobs.line(payload):
            self._out.line("tool", f"  {line}", "muted")

    def progress(self, payload: ToolProgress) -> None:
        """A call has come further."""
        running = self._calls.progress(payload)
        if running is not None and payload.text.strip():
            self._results.printing(running.call.tool, running.about, payload.text)

    def log(self, payload: ToolLog) -> None:
        """A tool, a sub-agent or the loop says something."""
        if payload.agent_id is not None and payload.tool != "system":
            self._agents.log(payload.agent_id, payload)
        elif line := log_line(payload):
            self._out.line("tool", f"  {line}", "muted")

    def finish(self, payload: ToolOutput) -> None:
        """A call has its result: its entry."""
        call = self._calls.finish(payload)
        if payload.tool_call_id in self._frozen or (payload.success and payload.tool in QUIET_TOOLS):
            return
        is_done = payload.success and not (call is not None and call.was_stopped)
        agent = self._agents.finish(payload.tool_call_id, self._room(payload.tool, is_done), is_named=is_done)
        if payload.tool not in self._calls.tools:
            others = self._agents.finish_all(self._room("", payload.success), payload.tool)
            self._freeze_agents(others, is_ok=payload.success)
        about = agent or (call.about if call else "")
        if call is not None and call.was_stopped:
            self._results.interrupted(payload.tool, about, payload.duration_s, payload)
        elif agent and payload.success:
            self._results.keep(payload, agent)
            self._freeze_agents([agent], is_ok=True)
        else:
            self._results.entry(payload, about)

    def end_turn(self, *, is_ok: bool) -> None:
        """The turn is over: whatever still runs stays as it is, as interrupted."""
        for running in self._calls.drain():
            self._frozen.add(running.call_id)
            room = self._room(running.call.tool, is_done=False)
            about = self._agents.finish(running.call_id, room, is_named=False) or running.about
            self._results.interrupted(running.call.tool, about, self._clock() - running.began)
        self._freeze_agents(self._agents.finish_all(self._room("", is_ok)), is_ok=is_ok)
        self._jobs.clear()

    def rows(self, width: int, limit: int) -> list[Row]:
        """The running calls and agents, in at most `limit` rows of at most `width` cells."""
        agents = self._agents.rows(self._out.console, width, limit)
        return [*self._calls.rows(self._out.console, width, limit - len(agents), self._agents.ids), *agents]

    def _room(self, tool: str, is_done: bool) -> int:
        """Columns for what an agent was: beside the sign, or else beside its tool and how that ended."""
        return self._out.width - (2 if is_done else len(tool) + _ENDING_COLUMNS)

    def _freeze_agents(self, summaries: list[str], *, is_ok: bool) -> None:
        signs = self._out.signs
        sign, style, end = (signs.ok, "tool.ok", "") if is_ok else (signs.fail, "tool.fail", "  interrupted")
        for summary in summaries:
            self._out.one_line("tool", (f"{sign} ", style), (summary, ""), (end, style))

"""Sub-agents at work: a block for one, a line each for several, and one line for good once they are done."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import field

from rich.console import Console
from rich.text import Text

from agent.light_dataclass import dataclass
from agent.protocol.events import ToolLog
from agent.ui.live.rows import Row, cut_row
from agent.ui.notices import is_counter, tokens_text
from agent.ui.sanitize import clip
from agent.ui.tool_lines import counted, elapsed_text

_COUNTER = re.compile(r"(tokens|tools):\s*(\d{1,15})\s*", re.ASCII)
_SHOWN_LOGS = 4
_SHOWN_AGENTS = 6
_LABEL_COLUMNS, _LEAST_LABEL_COLUMNS = 70, 12
_LOG_COLUMNS = 300


@dataclass(slots=True)
class _Agent:
    tool: str
    label: str
    began: float
    tool_uses: int = 0
    tokens: int = 0
    logs: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN_LOGS))

    def summary(self, now: float, columns: int, *, is_named: bool = True) -> str:
        """`label (3 tool uses · 12k tokens · 34s)` in at most `columns`; the label gives way, not the figures."""
        uses = counted(self.tool_uses, "tool use")
        figures = f"({uses} · {tokens_text(self.tokens)} tokens · {elapsed_text(now - self.began)})"
        label = self.label if is_named else self.label.removeprefix(f"{self.tool}: ")
        return f"{clip(label, max(columns - len(figures) - 1, _LEAST_LABEL_COLUMNS))} {figures}"


class SubAgents:
    """What the sub-agents of running tool calls do, by their ids; an agent is often named by its call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._agents: dict[str, _Agent] = {}
        self._gone: set[str] = set()
        """Agents of this turn that are done: what they say late is not shown."""

    @property
    def ids(self) -> set[str]:
        """The agents at work."""
        return set(self._agents)

    def log(self, agent_id: str, payload: ToolLog) -> None:
        """An agent says what it does, or counts. Whatever it says, nothing is raised."""
        if agent_id in self._gone:
            return
        agent = self._agents.get(agent_id)
        if agent is None:
            label = clip(payload.label or payload.tool, _LABEL_COLUMNS)
            agent = self._agents[agent_id] = _Agent(payload.tool, label, self._clock())
        text = payload.log.strip()
        if count := _COUNTER.fullmatch(text):
            if count[1] == "tokens":
                agent.tokens = int(count[2])
            else:
                agent.tool_uses = int(count[2])
        elif text and not is_counter(text):
            agent.logs.append(clip(text, _LOG_COLUMNS).removeprefix("▸ "))

    def finish(self, agent_id: str, columns: int, *, is_named: bool = True) -> str | None:
        """One agent is done: what it was in at most `columns`, without the name of its tool if not `is_named`; None if
        it is not known."""
        agent = self._agents.pop(agent_id, None)
        self._gone.add(agent_id)
        return agent.summary(self._clock(), columns, is_named=is_named) if agent else None

    def finish_all(self, columns: int, tool: str | None = None) -> list[str]:
        """All agents (of a tool) are done: the same of each."""
        ids = [agent_id for agent_id, agent in self._agents.items() if tool in (None, agent.tool)]
        return [summary for agent_id in ids if (summary := self.finish(agent_id, columns))]

    def new_turn(self) -> None:
        """Ids may come again."""
        self._gone.clear()

    def rows(self, console: Console, width: int, limit: int) -> list[Row]:
        """What they do, in at most `limit` rows of at most `width` cells."""
        agents = list(self._agents.values())
        if not agents or limit < 1:
            return []
        now = self._clock()
        more = len(agents) - _SHOWN_AGENTS
        lines = [Text.assemble(("▸ ", "muted"), agent.summary(now, width - 2)) for agent in agents[:_SHOWN_AGENTS]]
        if len(agents) == 1:
            lines += [Text(f"  {clip(log, max(width - 2, 0))}", "muted") for log in agents[0].logs]
        elif more > 0:
            lines.append(Text(f"  and {more} more", "muted"))
        return [cut_row(console, line, width) for line in lines[:limit]]

"""The session of a research sub-agent: the same shape as its parent's, with fewer rights, limits of its own, and the
parent's purse. What it does becomes a few lines among the parent's events."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from agent import __version__
from agent.budget.share import Share
from agent.context_manager.manager import ContextManager
from agent.context_manager.prompts import render
from agent.core.approval_policy import LookingPolicy
from agent.core.inbox import Inbox
from agent.core.model_calls import report_abandoned
from agent.core.record import Record
from agent.core.session import Session
from agent.core.sub_agent_model import at_most_high, is_routable, research_model
from agent.core.tools import ToolRouter
from agent.core.wall_clock import WallClock
from agent.protocol.events import (
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    Event,
    LLMCall,
    Payload,
    ToolCallStarted,
    ToolCharge,
    ToolLog,
    ToolOutput,
)
from agent.protocol.messages import utc_now
from agent.protocol.tools import Brief
from agent.redaction.cutting import beginning
from agent.sessions.journal import Journal

TOOL = "research"
KIND = "research"
"""The heading of all its model calls in the accounts."""

TOOLS_AT_ONCE = 4
SHARE_OF_TIME_LEFT = 0.9
"""Of the time that is left for the whole run: somebody has to make use of what is found."""
CALLS_PER_ANSWER = 1.5
"""An answer is reckoned at so many times the dearest call so far."""

LABEL_CHARS = 50
ARGUMENTS_CHARS = 80
NOTE_CHARS = 8_000
RESULT_CHARS = 1_500
SHOWN_RESULTS = 4
SHOWN_CALLS = 40


class SubAgentSession(Session):
    """Made with `under`. Its events go through `send_event` into its own journal, and as far as they concern the
    person, as `tool_log`, into the parent's stream; what it spends is told there as it is."""

    parent: Session
    brief: Brief
    tool_call_id: str
    ledger: Share

    @classmethod
    async def under(cls, parent: Session, brief: Brief, tool_call_id: str) -> SubAgentSession:
        """A session for `brief`, ready for its only turn."""
        wanted = research_model(parent.model_name, parent.config.research_model)
        model = wanted if is_routable(wanted) else parent.model_name
        is_same = model == parent.model_name
        child = cls(
            event_queue=parent.event_queue,
            # a window that the person has set is that of their own model
            config=parent.config if is_same else replace(parent.config, context_window=None),
            surroundings=parent.surroundings,
            router=_router_for(parent),
            llm=parent.llm,
            policy=LookingPolicy(parent.policy),
            secrets=parent.secrets,
            person_env=parent.person_env,
            model_name=model,
            reasoning_effort=at_most_high(parent.reasoning_effort),
            wall=WallClock(_time_for(parent)),
            stream=parent.stream,
            call_kind=KIND,
            tools_at_once=TOOLS_AT_ONCE,
            stopped_by="the time limit of this research",
        )
        child.parent, child.brief, child.tool_call_id = parent, brief, tool_call_id
        child.refused_model = None if model == wanted else wanted
        await child._begin()
        return child

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refused_model: str | None = None
        """The model that was wanted, and routes nowhere."""
        self.is_over = False
        """Nothing it says from now on is told."""
        self._is_closed = False
        self.model_calls = self.tool_calls = self.tokens = 0
        self._dearest_call_usd = 0.0
        self._texts: list[str] = []
        self._streaming = ""
        self._calls: list[str] = []

    async def _begin(self) -> None:
        parent = self.parent
        self.session_id, self.parent_id = parent.session_id, parent.session_id  # its processes are the session's
        self.started = utc_now()
        self.spill_dir, self.disk, self.copies_disk = parent.spill_dir, parent.disk, parent.copies_disk
        self.known_checkpoints, self.work = parent.checkpoints, parent.work
        self.model_effective_effort = {
            model: at_most_high(effort) for model, effort in parent.model_effective_effort.items()
        }
        self.window.refused_above = dict(parent.window.refused_above)
        self.ledger = Share(parent.ledger, KIND, self.config.research_max_usd)
        self.inbox = Inbox()
        self.title, self.plan, self.turns, self.turn_count = "", (), [], 0
        self.was_compacted = False
        self._call_ids = set()
        self._assumed_mode = self.mode
        is_saved = parent.record.journal is not None
        journal = Journal.create(self.journal_path, self.secrets) if is_saved else None
        self.record = Record(await self._new_history(), journal, self.disk, self._write_head)
        self.announced.set()
        self.window.begin()

    @property
    def journal_path(self) -> Path:
        """`<state>/agents/<session id>/<tool call id>.jsonl`: apart from the sessions, which are found by looking."""
        name = re.sub(r"[^A-Za-z0-9_-]", "_", self.tool_call_id)[:80] or "agent"
        return self.surroundings.state_dir / "agents" / self.session_id / f"{name}.jsonl"

    def _write_head(self, journal: Journal) -> None:
        journal.append(
            "start",
            {
                "id": f"{self.session_id}/{self.tool_call_id}",
                "parent": self.session_id,
                "agent": TOOL,
                "cwd": str(self.workspace),
                "version": __version__,
                "model": self.model_name,
                "effort": self.reasoning_effort,
                "cap_usd": self.ledger.cap_usd,
                "headless": self.surroundings.headless,
            },
        )

    async def _new_history(self) -> ContextManager:
        place = self.surroundings
        prompt = render(
            "research/system",
            tools=frozenset(self.router.names),
            today=place.today.isoformat(),
            hf_user=place.hf_user,
        )
        return ContextManager(prompt, self.window.tokens(), self.router.get_tool_specs_for_llm())

    def use_model_of_parent(self) -> bool:
        """Go on with the session's own model; False if that is the one in use."""
        if self.model_name == self.parent.model_name:
            return False
        self.config = self.parent.config
        self.update_model(self.parent.model_name)
        return True

    def cancel(self) -> None:
        """Stop what runs now. The file copies are the parent's, and go on."""
        self.interruption.press()

    async def close(self) -> None:
        """Leave nothing behind: no task, nothing held in the budget, no open file."""
        self.is_over = True
        for settled in self.ledger.close():
            await report_abandoned(self, KIND, settled)
        self._is_closed = True
        self.record.repair()
        await self._close_record()

    async def _close_record(self) -> None:
        await self.window.close()
        await self.record.close(1)

    # --- money ------------------------------------------------------------------------------------------------------

    @property
    def payer(self) -> Session:
        return self.parent

    def is_nearly_spent(self) -> bool:
        """Whether there is hardly more money than one answer takes."""
        left_usd = self.ledger.left_usd(KIND)
        return left_usd is not None and left_usd < CALLS_PER_ANSWER * self._dearest_call_usd

    # --- what is told -----------------------------------------------------------------------------------------------

    async def send_event(self, payload: Payload) -> Event:
        """Number and journal an event, and tell the parent's person what concerns them."""
        self._seq += 1
        event = Event(payload, self._seq)
        self.record.write_event(event)
        match payload:
            case LLMCall():
                if not self._is_closed:  # what ends later was charged when this was closed
                    await self._charged(payload)
            case ToolCharge():
                await self.parent.send_event(payload)
            case ToolLog():
                await self.tell(payload.log)
            case ToolCallStarted():
                arguments = json.dumps(payload.arguments, ensure_ascii=False)
                line = f"{payload.tool}  {beginning(arguments, ARGUMENTS_CHARS)}"
                self._calls.append(line)
                await self.tell(f"▸ {line}")
            case ToolOutput():
                self.tool_calls += 1
                await self.tell(f"tools:{self.tool_calls}")
            case AssistantChunk():
                self._streaming += payload.content
            case AssistantMessage():
                self._texts.append(payload.content)
            case AssistantStreamEnd():
                self._texts.append(self._streaming)
                self._streaming = ""
        return event

    async def _charged(self, call: LLMCall) -> None:
        """A model call was paid for: it stands in the parent's accounts, but takes no room in the parent's window."""
        await self.parent.send_event(replace(call, window_tokens=0, context_tokens=0))
        self._dearest_call_usd = max(self._dearest_call_usd, call.charged_usd)
        self.model_calls += call.finish_reason != "lost"
        self.tokens += call.total_tokens or call.prompt_tokens + call.completion_tokens
        await self.tell(f"tokens:{self.tokens}")

    async def tell(self, text: str) -> None:
        """A line for the person."""
        if not self.is_over:
            await self.parent.send_event(line_about(self.parent, self.brief, self.tool_call_id, text))

    # --- what it has found ------------------------------------------------------------------------------------------

    def notes(self) -> str:
        """What it has got so far, for a report that will not be written: its words, its calls, the last results.

        Empty if it has not begun.
        """
        said = "\n\n".join(text.strip() for text in (*self._texts, self._streaming) if text.strip())
        results = [message.content or "" for message in self.history.items if message.role == "tool"]
        parts = []
        if said:
            parts.append(f"What the sub-agent wrote:\n{_end_of(said)}")
        if self._calls:
            lines = "\n".join(f"- {line}" for line in self._calls[-SHOWN_CALLS:])
            parts.append(f"What it looked at ({len(self._calls)} calls, the last ones):\n{lines}")
        if results:
            shown = "\n\n".join(_beginning_of(text) for text in results[-SHOWN_RESULTS:])
            parts.append(f"Beginnings of its last results:\n{shown}")
        return "\n\n".join(parts)


def line_about(parent: Session, brief: Brief, tool_call_id: str, text: str) -> ToolLog:
    """A line for the person about a sub-agent; its label is `research: ` and the beginning of the task."""
    task = parent.scrub(" ".join(brief.task.split()))
    label = f"{TOOL}: {task[:LABEL_CHARS]}…" if len(task) > LABEL_CHARS else f"{TOOL}: {task}"
    return ToolLog(TOOL, parent.scrub(text), agent_id=tool_call_id, label=label)


def _router_for(parent: Session) -> ToolRouter:
    """The parent's tools that a sub-agent may have."""
    found = (parent.router.find(name) for name in parent.router.names)
    return ToolRouter(spec for spec in found if spec is not None and spec.in_research)


def _time_for(parent: Session) -> float:
    remaining_s = parent.wall.remaining_s
    limit_s = parent.config.research_max_s
    return limit_s if remaining_s is None else min(limit_s, SHARE_OF_TIME_LEFT * remaining_s)


def _beginning_of(text: str) -> str:
    return text if len(text) <= RESULT_CHARS else f"{text[:RESULT_CHARS]} […]"


def _end_of(text: str) -> str:
    return text if len(text) <= NOTE_CHARS else f"[…] {text[-NOTE_CHARS:]}"

"""A session: the state of one conversation. Only the submission task changes it; a user interface sees its events.

The two exceptions are `cancel()`, which a user interface calls to stop the running turn at once, and the event queue,
which it reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from agent.config import Config
from agent.context_manager.manager import ContextManager
from agent.context_manager.memory import find_memory_files
from agent.context_manager.system_prompt import SystemPromptInputs, render_system_prompt
from agent.core.approval_policy import ApprovalPolicy, Mode
from agent.core.tools import ToolRouter
from agent.core.turn_state import PendingApproval, TurnState
from agent.llm.client import LLMClient
from agent.llm.local import discover_context_window
from agent.llm.params import resolve_route
from agent.protocol.events import Event, Payload, PlanItem, PlanUpdate, ToolLog
from agent.protocol.messages import Message, ToolCall, new_id, utc_now
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalContext, FileFingerprint
from agent.sessions.journal import Journal, journal_path
from agent.sessions.redact import LiveSecrets, child_environment

__all__ = ["Event", "OpType", "Session", "Surroundings", "TurnCancelled"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_WINDOW_TOKENS = 200_000
UNKNOWN_LOCAL_WINDOW_TOKENS = 32_768
CANCEL_PATIENCE_S = 2.0


class TurnCancelled(Exception):
    """The person stopped the turn."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a session runs: everything it takes from outside, handed in by the composition root."""

    workspace: Path
    state_dir: Path
    config_dir: Path
    home: Path
    environ: Mapping[str, str]
    platform: str
    today: date
    headless: bool = False
    hf_token: str | None = None
    hf_user: str | None = None


@dataclass
class Session:
    """One conversation. Make it with `Session.open`, once the tools are known."""

    event_queue: asyncio.Queue[Event]
    config: Config
    surroundings: Surroundings
    router: ToolRouter
    llm: LLMClient
    policy: ApprovalPolicy
    secrets: LiveSecrets
    child_env: Mapping[str, str]
    model_name: str
    stream: bool = True
    is_running: bool = True
    turn_count: int = 0
    turn: TurnState | None = None
    pending: PendingApproval | None = None
    plan: tuple[PlanItem, ...] = ()
    known_files: dict[Path, FileFingerprint] = field(default_factory=dict)
    model_effective_effort: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    async def open(
        cls,
        event_queue: asyncio.Queue[Event],
        config: Config,
        surroundings: Surroundings,
        router: ToolRouter,
        *,
        stream: bool = True,
    ) -> Session:
        """A session ready for its first turn. Raises `UnknownModelError` for a model id that routes nowhere."""
        resolve_route(config.model_name)
        secrets = LiveSecrets(surroundings.environ, {"HF_TOKEN": surroundings.hf_token})
        session = cls(
            event_queue=event_queue,
            config=config,
            surroundings=surroundings,
            router=router,
            llm=LLMClient(surroundings.hf_token, surroundings.environ),
            policy=_policy(config, surroundings),
            secrets=secrets,
            child_env=child_environment(surroundings.environ, tuple(config.child_env)),
            model_name=config.model_name,
            stream=stream,
        )
        await session._begin()
        return session

    def __post_init__(self) -> None:
        self._cancelled = asyncio.Event()
        self._window_task: asyncio.Task[None] | None = None
        self._seq = 0
        self._call_ids: set[str] = set()
        self._told_unsaved = False

    async def _begin(self) -> None:
        """A fresh conversation: id, system prompt, history, journal."""
        self.session_id = new_id()
        self.started = utc_now()
        self.spill_dir = self.surroundings.state_dir / "spill" / self.session_id
        prompt = await asyncio.to_thread(self._system_prompt)
        self.history = ContextManager(prompt, self._window_tokens(), self.router.get_tool_specs_for_llm())
        path = journal_path(self.surroundings.state_dir, self.session_id, self.started)
        self.journal = Journal(path, self.secrets) if self.config.save_sessions else None
        if self.journal:
            start = {"id": self.session_id, "model": self.model_name, "cwd": str(self.workspace)}
            self.journal.append("start", start)
            self.journal.append_message(self.history.items[0])
        self.turn_count, self.plan, self.pending, self.turn = 0, (), None, None
        self.known_files.clear()
        self._call_ids.clear()
        self._cancelled.clear()
        self._learn_window()

    def _system_prompt(self) -> str:
        place = self.surroundings
        return render_system_prompt(
            SystemPromptInputs(
                tool_names=self.router.names,
                runtime=self.config.tool_runtime,
                headless=place.headless,
                workspace=place.workspace,
                today=place.today,
                platform=place.platform,
                hf_user=place.hf_user,
                memory=find_memory_files(place.workspace, place.config_dir, place.home),
            )
        )

    async def start_new_conversation(self) -> dict[str, Any]:
        """Close this conversation and begin another in its place; settings, permissions and tools stay.

        Returns what `NewComplete` reports of the old one.
        """
        old = {
            "previous_session_id": self.session_id,
            "previous_turn_count": self.turn_count,
            "previous_message_count": len(self.history.items),
            "saved_path": str(self.journal.path) if self.journal else None,
        }
        await self._close_journal()
        await self._begin()
        return old

    async def close(self) -> None:
        """Save and let go of everything held."""
        if self._window_task is not None:
            await _end({self._window_task})
        await self._close_journal()
        with contextlib.suppress(OSError):
            self.spill_dir.rmdir()  # nothing was spilled

    async def _close_journal(self) -> None:
        if self.journal:
            self.journal.append("end", {"turns": self.turn_count})
            await asyncio.to_thread(self.journal.close)

    # --- what tools see (agent.protocol.tools.ToolSession) ----------------------------------------------------------

    @property
    def workspace(self) -> Path:
        """Directory that relative paths start from."""
        return self.surroundings.workspace

    async def emit(self, payload: Payload) -> None:
        """Send an event; a changed plan is remembered with the turn it belongs to."""
        if isinstance(payload, PlanUpdate):
            self.plan = payload.plan
            if self.turn is not None:
                self.turn.has_plan = True
        await self.send_event(payload)

    # --- events and history -----------------------------------------------------------------------------------------

    async def send_event(self, payload: Payload) -> Event:
        """Number, journal and queue an event."""
        self._seq += 1
        event = Event(payload, self._seq)
        if self.journal:
            self.journal.append_event(event)
        await self.event_queue.put(event)
        if self.journal and self.journal.problem and not self._told_unsaved:
            self._told_unsaved = True
            await self.send_event(ToolLog("system", f"This session is not being saved: {self.journal.problem}"))
        return event

    def remember(self, message: Message) -> None:
        """Add a message to history and journal."""
        stored = self.history.add_message(message)
        if self.journal:
            self.journal.append_message(stored)

    def remember_result(self, message: Message) -> None:
        """Add a tool result in its place."""
        stored = self.history.add_result(message)
        if self.journal:
            self.journal.append_message(stored)

    def repair_history(self) -> None:
        """Answer what was left without a result."""
        for stub in self.history.repair():
            if self.journal:
                self.journal.append_message(stub)

    def with_unique_id(self, call: ToolCall) -> ToolCall:
        """`call`, under a new id if an earlier call of this session has the same (some servers count per reply)."""
        if call.id in self._call_ids:
            call = replace(call, id=f"call_{new_id()[:24]}")
        self._call_ids.add(call.id)
        return call

    async def save(self) -> None:
        """Make the journal durable."""
        if self.journal:
            await asyncio.to_thread(self.journal.sync)

    # --- settings ---------------------------------------------------------------------------------------------------

    @property
    def yolo_mode(self) -> bool:
        """Whether tool calls are approved automatically, by the rules of agent/core/approval_policy.py."""
        return self.policy.mode == "yolo"

    def set_yolo_mode(self, on: bool) -> None:
        """Switch automatic approval for the rest of the session."""
        self.policy.mode = "yolo" if on else "ask"

    def update_model(self, model_name: str) -> None:
        """Use another model from the next call on. Raises `UnknownModelError`."""
        resolve_route(model_name)
        self.model_name = model_name
        self.history.model_max_tokens = self._window_tokens()
        self.history.forget_usage()
        self._learn_window()

    def effective_effort_for(self, model_name: str) -> str | None:
        """The effort to ask `model_name` for: what was found to work, else the configured one."""
        return self.model_effective_effort.get(model_name, self.config.reasoning_effort)

    def _window_tokens(self) -> int:
        is_local = resolve_route(self.model_name).provider.is_local
        return self.config.context_window or (UNKNOWN_LOCAL_WINDOW_TOKENS if is_local else DEFAULT_WINDOW_TOKENS)

    def _learn_window(self) -> None:
        """Ask a local server for its window, beside everything else."""
        route = resolve_route(self.model_name)
        if self._window_task is not None:
            self._window_task.cancel()
        if self.config.context_window is None and route.provider.is_local:
            self._window_task = asyncio.create_task(self._ask_window(self.model_name), name="context window")

    async def _ask_window(self, model_name: str) -> None:
        window = await discover_context_window(resolve_route(model_name), self.surroundings.environ)
        if window and model_name == self.model_name:
            self.history.model_max_tokens = window

    # --- interruption -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop the running turn as soon as possible. Safe to call at any time."""
        self._cancelled.set()

    def reset_cancel(self) -> None:
        """Forget an earlier cancellation: a new turn or an approval begins."""
        self._cancelled.clear()

    @property
    def is_cancelled(self) -> bool:
        """Whether the running turn has been stopped."""
        return self._cancelled.is_set()

    async def cancellable(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, or end it and raise `TurnCancelled` when the turn is stopped."""
        task = asyncio.ensure_future(work)
        if not await self.finish_or_cancel([task]):
            raise TurnCancelled
        return task.result()

    async def finish_or_cancel(self, tasks: Iterable[asyncio.Future[Any]]) -> bool:
        """Wait until all `tasks` are done, or end those that are not when the turn is stopped. True if all finished."""
        waiting = set(tasks)
        stop = asyncio.ensure_future(self._cancelled.wait())
        try:
            while waiting and not stop.done():
                done, _ = await asyncio.wait({stop, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting -= done
            return not waiting
        finally:
            stop.cancel()
            await _end(waiting)


async def _end(tasks: set[asyncio.Future[Any]]) -> None:
    """Cancel `tasks` and wait for them, but not forever: some libraries swallow a cancellation."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=CANCEL_PATIENCE_S)
        for task in stuck:
            logger.warning("%r did not end when cancelled", task)


def _policy(config: Config, surroundings: Surroundings) -> ApprovalPolicy:
    context = ApprovalContext(surroundings.workspace, config.confirm_cpu_jobs, config.auto_file_upload)
    rules = config.permissions
    mode: Mode = "yolo" if config.yolo_mode else "ask"
    return ApprovalPolicy(
        mode, context=context, allow=rules.allow, ask=rules.ask, deny=rules.deny, home=surroundings.home
    )

"""A session: the state of one conversation. Only the submission task changes it; a user interface sees its events.

The exceptions: `cancel()` and `steer()`, with which a user interface reaches a running turn at once, and the event
queue, which it reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.budget.ledger import Ledger
from agent.config import Config, cache_dir
from agent.context_manager.manager import ContextManager
from agent.context_manager.memory import find_memory_files
from agent.context_manager.system_prompt import SystemPromptInputs, render_system_prompt
from agent.core.approval_policy import ApprovalPolicy
from agent.core.disk import Disk
from agent.core.inbox import Inbox
from agent.core.interruption import Interruption, end_tasks
from agent.core.known_files import KnownFiles
from agent.core.mode_news import news_of_mode
from agent.core.record import Record
from agent.core.remote_work import RemoteWork
from agent.core.surroundings import SESSION_VARIABLE, Surroundings
from agent.core.tools import ToolRouter
from agent.core.turn_state import PendingApproval, TurnState
from agent.core.wall_clock import WallClock
from agent.core.window import Window
from agent.light_dataclass import dataclass
from agent.llm.client import LLMClient
from agent.llm.params import resolve_route
from agent.protocol.compute import ComputeDesk
from agent.protocol.events import Event, Payload, PlanItem, PlanUpdate, Ready, SettingsChanged, ToolLog, WorkStatus
from agent.protocol.messages import ToolCall, new_id, user_message, utc_now
from agent.protocol.modes import Mode
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalContext, Brief, Findings
from agent.redaction.live import LiveSecrets, child_environment
from agent.sessions.journal import Journal, journal_path
from agent.sessions.restore import RestoredSession, TurnMark
from agent.tools.propose_plan_tool import propose_plan_spec
from agent.traces.uploads.mark import Mark
from agent.traces.uploads.outbox import Outbox
from agent.traces.uploads.sharing import switched_off

if TYPE_CHECKING:
    from agent.core.notices import Notices
    from agent.sessions.checkpoints import Checkpoints
    from agent.tools.sandbox.machines import Sandboxes

__all__ = ["Event", "OpType", "Session"]

SubAgent = Callable[[Brief, str], Awaitable[Findings]]
"""`await sub_agent(brief, tool_call_id)`"""

WORK_PATIENCE_S = 7.0
"""How long the end of the program waits for sandboxes to be deleted."""


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
    person_env: Mapping[str, str]
    model_name: str
    reasoning_effort: str | None
    wall: WallClock
    stream: bool = True
    is_running: bool = True
    interruption: Interruption = field(default_factory=Interruption)
    inbox: Inbox = field(default_factory=Inbox)
    turn: TurnState | None = None
    pending: PendingApproval | None = None
    model_effective_effort: dict[str, str | None] = field(default_factory=dict)
    told_of_mechanical_compaction: bool = False
    summaries_to_skip: int = 0
    work: RemoteWork = field(init=False, repr=False)
    """What runs elsewhere; see agent/core/session_work.py."""
    sandboxes: Sandboxes | None = None
    """The sandbox that the tools are in, if they are in one."""
    notices: Notices | None = field(default=None, repr=False)
    """Who sends the person a message of what happens."""
    sub_agent: SubAgent | None = field(default=None, repr=False)
    """Who works on what is delegated; None in a sub-agent itself."""
    call_kind: str = "main"
    """The heading in the accounts of this session's model calls."""
    tools_at_once: int | None = None
    """How many calls of one reply run side by side; None: all of them."""
    stopped_by: str = "the person"
    """Who presses the stop button, as the model is told of a call that was stopped."""

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
            llm=LLMClient(
                surroundings.hf_token,
                surroundings.environ,
                cache_dir=cache_dir(surroundings.environ),
                cache_ttl=config.prompt_cache_ttl,
                backend=config.llm_backend,
            ),
            policy=_policy(config, surroundings),
            secrets=secrets,
            person_env=child_environment(surroundings.environ, tuple(config.child_env)),
            model_name=config.model_name,
            reasoning_effort=config.reasoning_effort,
            wall=WallClock(config.max_wall_s),
            stream=stream,
        )
        if not surroundings.headless:
            router.add(propose_plan_spec(lambda: session.mode_after_plan))
        await session._begin_conversation(surroundings.first_session_id or new_id())
        return session

    def __post_init__(self) -> None:
        self.window = Window(self)
        self._seq = 0
        self.known_checkpoints: Checkpoints | None = None
        self.announced = asyncio.Event()
        """The very first event was sent."""
        self.disk = Disk("session-journal")
        self.copies_disk = Disk("session-copies")
        self._told_problem: str | None = None
        self._partials: dict[str, str] = {}
        self._spent_usd: dict[str, float] = {}
        self._has_ended_work = False
        self.chores: set[asyncio.Task[None]] = set()
        """What is done beside everything else, and given up at the end."""
        self.cap_usd = self.config.max_cost_usd
        self.cap_is_of_run = self.cap_usd is not None

    async def _begin_conversation(self, session_id: str) -> None:
        """A fresh conversation. Nothing is written before it has a message."""
        self._identify(session_id)
        self.started = utc_now()
        path = journal_path(self.surroundings.state_dir, self.session_id, self.started)
        journal = Journal.create(path, self.secrets) if self.config.save_sessions else None
        share = self._mark(journal)
        self.record = Record(await self._new_history(), journal, self.disk, self._write_head, share=share)
        if not self.cap_is_of_run:
            self.cap_usd = None
        self.summaries_to_skip = 0
        self.ledger = self._new_ledger()
        self.parent_id: str | None = None
        self.inbox = Inbox()
        self.title, self.pending, self.turn = "", None, None
        self.plan: tuple[PlanItem, ...] = ()
        self.turns: list[TurnMark] = []
        self.turn_count = 0
        self.was_compacted = False
        self._call_ids: set[str] = set()
        self._assumed_mode = self.policy.mode_before_plan if self.mode == "plan" else self.mode
        self.interruption.clear()
        self.window.learn()

    def _mark(self, journal: Journal | None, earlier: str | None = None) -> Mark | None:
        """What puts this session, which goes on from `earlier`, into the outbox of uploads."""
        if journal is None:
            return None
        outbox, owner = Outbox(self.surroundings.state_dir), self.surroundings.shares_as
        return Mark(outbox, self.session_id, journal.path, lambda: self.shares, earlier, owner)

    @property
    def shares(self) -> bool:
        """Whether the person wants what is said now to be uploaded."""
        return not switched_off(self.config, self.surroundings.environ)

    def _identify(self, session_id: str) -> None:
        """Take `session_id` for everything that is kept outside of the journal."""
        self.session_id = session_id
        self.llm.session_id = session_id
        self.spill_dir = self.surroundings.state_dir / "spill" / session_id
        self.known_checkpoints = None

    async def _new_history(self) -> ContextManager:
        prompt = await asyncio.to_thread(self._system_prompt)
        return ContextManager(prompt, self.window.tokens(), self.router.get_tool_specs_for_llm())

    @property
    def checkpoints(self) -> Checkpoints:
        """Copies of what is changed. They load with the first change, or the first look at one."""
        if self.known_checkpoints is None:
            from agent.sessions.checkpoints import Checkpoints

            self.known_checkpoints = Checkpoints(self.surroundings.state_dir, self.session_id, self.workspace)
        return self.known_checkpoints

    def has_held(self, session_id: str) -> bool:
        """Whether this run was in that session before."""
        return session_id in self._spent_usd

    def _new_ledger(self) -> Ledger:
        """An empty ledger under the cap in force; the other conversations of this run have taken their part of it."""
        return Ledger(self.cap_usd, self._spent_elsewhere_usd() if self.cap_is_of_run else 0.0)

    def _spent_elsewhere_usd(self) -> float:
        """What the other conversations of this run have spent."""
        return sum(usd for session_id, usd in self._spent_usd.items() if session_id != self.session_id)

    def charge_other(self, session_id: str, usd: float) -> None:
        """Another conversation of this run has spent something more: its job has ended."""
        self._spent_usd[session_id] = self._spent_usd.get(session_id, 0.0) + usd
        if self.cap_is_of_run:
            self.ledger.charge_elsewhere(usd)

    @property
    def payer(self) -> Session:
        """Whose person is told what is spent: a sub-agent spends the money of the session it works for."""
        return self

    def set_cap(self, cap_usd: float | None) -> None:
        """Set, change or (None) take away the cap on what this run, and the session it goes on with, may cost."""
        if not self.cap_is_of_run:  # from now on all of this run counts
            self.ledger.charge_elsewhere(self._spent_elsewhere_usd())
        self.cap_usd, self.cap_is_of_run = cap_usd, True
        self.ledger.set_cap(cap_usd)
        self.work.rehold()
        self.summaries_to_skip = 0
        self.record.write("cap", {"cap_usd": cap_usd})

    def _write_head(self, journal: Journal) -> None:
        """Begin a new file."""
        head = {
            "id": self.session_id,
            "parent": self.parent_id,
            "user": self.surroundings.hf_user,
            "cwd": str(self.workspace),
            "version": __version__,
            "model": self.model_name,
            "effort": self.reasoning_effort,
            "cap_usd": self.cap_usd,
            "headless": self.surroundings.headless,
        }
        journal.append("start", head)
        if self.title:
            journal.append("title", {"title": self.title, "by": "person"})

    async def adopt(self, restored: RestoredSession, journal: Journal | None, session_id: str) -> None:
        """Become the restored session, writing on in `journal`; what that does not hold stays as it is."""
        await self._close_record()
        self._identify(session_id)
        self.started = restored.started
        history = await self._new_history()
        history.restore(restored.messages)
        known_files, share = KnownFiles(restored.known_files), self._mark(journal, restored.session_id)
        self.record = Record(history, journal, self.disk, self._write_head, known_files, share)
        self.parent_id = restored.session_id if session_id != restored.session_id else restored.parent
        self.inbox = Inbox()
        self.title, self.plan = restored.title, restored.plan
        self.pending = self.turn = None
        self.turns, self.turn_count = list(restored.turns), restored.turn_count
        self.was_compacted = restored.messages != restored.transcript
        said = (*restored.transcript, *restored.messages)  # what was compacted away has had its ids as well
        self._call_ids = {call.id for message in said for call in message.tool_calls}
        self._assumed_mode = self.policy.mode_before_plan if self.mode == "plan" else self.mode
        if not self.cap_is_of_run:  # a session does not lose its cap because this run was started without one
            self.cap_usd = restored.cap_usd
        self.summaries_to_skip = 0
        self.ledger = self._new_ledger()
        for charge in restored.charges if session_id == restored.session_id else ():
            self.ledger.charge_earlier(charge.kind, charge.usd, charge.known)
        self.interruption.clear()
        self.window.learn()

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
            "saved_path": str(self.record.saved_path) if self.record.saved_path else None,
        }
        async with self.work.changing_session():
            await self._close_record()
            await self._begin_conversation(new_id())
        return old

    async def close(self) -> None:
        """Save and let go of everything held. What runs elsewhere and is not told to end goes on."""
        self.is_running = False
        await end_tasks(set(self.chores))
        await self.end_work(WORK_PATIENCE_S)
        await self._close_record()
        await self.llm.aclose()
        self.disk.close()
        self.copies_disk.close()

    async def end_work(self, patience_s: float) -> None:
        """End what goes with this program (sandboxes), and tell what goes on. Calling it again does nothing."""
        if self._has_ended_work:
            return
        self._has_ended_work = True
        if self.sandboxes is not None:
            await self.sandboxes.close()
        left = await self.work.close(patience_s)
        if left:
            await self.send_event(WorkStatus(left))

    async def _close_record(self) -> None:
        await self.window.close()
        earlier_usd = self._spent_usd.get(self.session_id, 0.0)
        self._spent_usd[self.session_id] = earlier_usd + self.ledger.spent_here_usd
        await self.record.close(self.turn_count)
        with contextlib.suppress(OSError):
            self.spill_dir.rmdir()  # nothing was spilled

    # --- what tools see (agent.protocol.tools.ToolSession) ----------------------------------------------------------

    @property
    def workspace(self) -> Path:
        """Directory that relative paths start from."""
        return self.surroundings.workspace

    @property
    def child_env(self) -> Mapping[str, str]:
        """The person's environment without secrets, and a mark by which this session's processes are known again."""
        return {**self.person_env, SESSION_VARIABLE: self.session_id}

    @property
    def known_files(self) -> KnownFiles:
        """Files whose content the agent knows."""
        return self.record.known_files

    @property
    def compute(self) -> ComputeDesk:
        """Where work is handed in that runs outside of this program."""
        return self.work

    def scrub(self, text: str) -> str:
        """`text` without the secrets this program holds."""
        return self.secrets.scrub(text)

    def keep_partial(self, tool_call_id: str, output: str) -> None:
        """Remember what a call that is being stopped has got so far; `take_partial` hands it over."""
        self._partials[tool_call_id] = output

    def take_partial(self, tool_call_id: str) -> str:
        """What the stopped call has got, scrubbed by whoever records it; empty if it left nothing."""
        return self._partials.pop(tool_call_id, "")

    async def emit(self, payload: Payload) -> None:
        """Send an event; a changed plan is remembered with the turn it belongs to."""
        if isinstance(payload, PlanUpdate):
            self.plan = payload.plan
            if self.turn is not None:
                self.turn.has_plan = True
        await self.send_event(payload)

    async def delegate(self, brief: Brief, tool_call_id: str) -> Findings:
        """Let a sub-agent work on `brief`."""
        if self.sub_agent is None:
            return Findings("", is_complete=False, ended="there is no sub-agent in this session")
        return await self.sub_agent(brief, tool_call_id)

    async def leave_plan_mode(self) -> bool:
        """Go back to the mode before plan mode, and say so; False if plan mode is not on."""
        if (mode := self.mode_after_plan) is None:
            return False
        self.set_mode(mode)
        await self.send_event(self.settings(("mode",)))
        return True

    # --- events and history -----------------------------------------------------------------------------------------

    @property
    def history(self) -> ContextManager:
        """What the model is shown. Changes go through `record`, which writes them down."""
        return self.record.history

    async def announce(self) -> None:
        """Send the very first event; what else there is to say comes after it."""
        count = len(self.router.names)
        await self.send_event(Ready(f"{count} tools ready", count, self.session_id, self.model_name))
        self.announced.set()

    async def send_event(self, payload: Payload) -> Event:
        """Number, journal and queue an event."""
        self._seq += 1
        event = Event(payload, self._seq)
        self.record.write_event(event)
        await self.event_queue.put(event)
        if self.notices is not None:
            self.notices.see(payload)
        if self.record.problem != self._told_problem:
            self._told_problem = self.record.problem
            if self._told_problem is not None:
                await self.send_event(ToolLog("system", f"This session is not being saved: {self._told_problem}"))
        return event

    def with_unique_id(self, call: ToolCall) -> ToolCall:
        """`call`, under a new id if an earlier call of this session has the same (some servers count per reply)."""
        if call.id in self._call_ids:
            call = replace(call, id=f"call_{new_id()[:24]}")
        self._call_ids.add(call.id)
        return call

    def steer(self, text: str) -> None:
        """What the person adds while a turn runs; a user interface may call this at any time, like `cancel`."""
        self.inbox.steer(text)

    def take_inbox(self) -> list[str]:
        """Put what waits for the model into history; returns the person's part of it."""
        texts, notes = self.inbox.take()
        for text in texts:
            self.record.add(user_message(text, "steering"))
        for note in (*notes, news_of_mode(self.history.items, self.mode, self._assumed_mode)):
            if note:
                self.record.add(user_message(note, "guard"))
        return texts

    # --- settings ---------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """How much runs without asking, by the rules of agent/core/approval_policy.py."""
        return self.policy.mode

    def set_mode(self, mode: Mode) -> None:
        """Switch the mode for the rest of the session. Calls that wait for the person go on waiting."""
        self.policy.mode = mode

    @property
    def yolo_mode(self) -> bool:
        """Whether tool calls are approved automatically."""
        return self.mode == "yolo"

    @property
    def mode_after_plan(self) -> Mode | None:
        """The mode that an accepted plan leads to; None outside plan mode."""
        return self.policy.mode_before_plan if self.mode == "plan" else None

    def settings(self, changed: tuple[str, ...]) -> SettingsChanged:
        """The settings now; `changed` names those that were asked for."""
        return SettingsChanged(self.model_name, self.yolo_mode, self.reasoning_effort, changed, self.mode)

    def update_model(self, model_name: str) -> None:
        """Use another model from the next call on. Raises `UnknownModelError`."""
        resolve_route(model_name)
        if model_name == self.model_name:
            return
        self.model_name = model_name
        self.history.model_max_tokens = self.window.tokens()
        self.history.forget_usage()
        self.window.learn()

    def effective_effort_for(self, model_name: str) -> str | None:
        """The effort to ask `model_name` for: what was found to work, else the preferred one."""
        return self.model_effective_effort.get(model_name, self.reasoning_effort)

    def record_settings(self) -> None:
        """Write down the model and effort in use."""
        self.record.write("model", {"model": self.model_name, "effort": self.reasoning_effort})

    # --- interruption -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop the running turn as soon as possible. Safe to call at any time."""
        self.interruption.press()
        if self.known_checkpoints is not None:
            self.known_checkpoints.interrupt()


def _policy(config: Config, surroundings: Surroundings) -> ApprovalPolicy:
    context = ApprovalContext(surroundings.workspace, config.confirm_cpu_jobs, config.auto_file_upload)
    rules = config.permissions
    mode: Mode = "yolo" if config.yolo_mode else config.mode
    return ApprovalPolicy(
        mode, context=context, allow=rules.allow, ask=rules.ask, deny=rules.deny, home=surroundings.home
    )

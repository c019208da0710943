"""What a user interface knows of its session, gathered from events and from what the person submitted."""

from __future__ import annotations

from dataclasses import field

from agent.light_dataclass import dataclass
from agent.protocol.events import (
    BudgetStatus,
    Compacted,
    Event,
    LLMCall,
    NewComplete,
    Processing,
    Ready,
    Renamed,
    ResumeComplete,
    SettingsChanged,
    Steered,
    ToolCharge,
    UndoComplete,
    WorkItem,
    WorkStatus,
)
from agent.protocol.modes import Mode


@dataclass(slots=True)
class KindUsage:
    """What calls of one kind took. `cost_usd` is the known part; `unknown_usd` the most the rest can be."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    unknown_calls: int = 0
    unknown_usd: float = 0.0

    def add(self, call: LLMCall) -> None:
        """Count a model call."""
        self.charge(call)
        self.prompt_tokens += call.prompt_tokens
        self.completion_tokens += call.completion_tokens
        self.cached_tokens += call.cache_read_tokens

    def charge(self, call: LLMCall | ToolCharge) -> None:
        """Count a call and its cost."""
        self.calls += 1
        if call.cost_usd is None:
            self.unknown_calls += 1
            self.unknown_usd += call.charged_usd
        else:
            self.cost_usd += call.cost_usd


@dataclass(slots=True)
class Conversation:
    """Figures of one conversation. Usage is what this process has seen of it; `earlier_cost_usd` came before."""

    session_id: str = ""
    title: str = ""
    prompts: list[str] = field(default_factory=list)
    """What the person asked, a text per turn, oldest first."""
    usage: dict[str, KindUsage] = field(default_factory=dict)
    """By kind of model call (main, compaction, …)."""
    tools: dict[str, KindUsage] = field(default_factory=dict)
    """By tool, for calls of tools that cost money."""
    prompt_tokens: int = 0
    """In the last request."""
    total_tokens: int = 0
    earlier_cost_usd: float = 0.0
    """What the session had cost before it was resumed."""
    earlier_cost_known: bool = True

    @property
    def model_calls(self) -> int:
        """Model calls of all kinds."""
        return sum(usage.calls for usage in self.usage.values())

    @property
    def cost_usd(self) -> float:
        """The known part of all costs."""
        return self.earlier_cost_usd + sum(usage.cost_usd for usage in self.costs)

    @property
    def cost_known(self) -> bool:
        """False once a call of unknown price was made."""
        return self.earlier_cost_known and not any(usage.unknown_calls for usage in self.costs)

    @property
    def unknown_usd(self) -> float:
        """The most that the calls of unknown price can have cost."""
        return sum(usage.unknown_usd for usage in self.costs)

    @property
    def costs(self) -> list[KindUsage]:
        """All that has cost something since the session was begun or resumed."""
        return [*self.usage.values(), *self.tools.values()]

    def undo(self, undone: UndoComplete) -> None:
        """Forget the turns that were taken back from the conversation."""
        if undone.removed_messages:
            del self.prompts[max(0, len(self.prompts) - undone.removed_turns) :]


@dataclass(slots=True)
class Status:
    """The settings as they are now, and the current conversation."""

    model_name: str = ""
    mode: Mode = "ask"
    reasoning_effort: str | None = None
    budget: BudgetStatus = BudgetStatus(0.0, 0.0, 0.0, None)
    conversation: Conversation = field(default_factory=Conversation)
    window_tokens: int | None = None
    """The model's context window, as of the last call."""
    steering: list[str] = field(default_factory=list)
    """Lines passed on to the running turn that it has not taken in yet."""
    work: tuple[WorkItem, ...] = ()
    """What runs outside of this program, or has just ended, oldest first."""
    _asked: str | None = None
    """What was submitted, until its turn begins."""

    @property
    def yolo_mode(self) -> bool:
        """Whether tool calls are approved automatically."""
        return self.mode == "yolo"

    def submitted(self, text: str) -> None:
        """The person has asked for something: the next turn is about it."""
        self._asked = text

    def see(self, event: Event) -> None:
        """Take note of an event."""
        now = self.conversation
        match event.payload:
            case Ready() as ready:
                self.model_name, now.session_id = ready.model_name, ready.session_id
            case SettingsChanged() as settings:
                self.model_name, self.mode = settings.model_name, settings.mode
                self.reasoning_effort = settings.reasoning_effort
            case BudgetStatus() as budget:
                self.budget = budget
            case WorkStatus() as status:
                self.work = status.items
            case NewComplete() as new:
                self.conversation = Conversation(new.session_id)
            case ResumeComplete() as resumed:
                self.model_name, self.reasoning_effort = resumed.model_name, resumed.reasoning_effort
                self.window_tokens = resumed.window_tokens or self.window_tokens
                self.conversation = _resumed(resumed)
            case Renamed() as renamed:
                now.title = renamed.title
            case UndoComplete() as undone:
                now.undo(undone)
            case Compacted() as compacted:
                now.prompt_tokens = compacted.new_tokens
            case _:
                self._see_turn(event, now)

    def _see_turn(self, event: Event, now: Conversation) -> None:
        match event.payload:
            case Processing():
                if self._asked is not None:  # otherwise a turn goes on after an approval
                    now.prompts.append(self._asked)
                    self._asked = None
            case LLMCall() as call:
                now.usage.setdefault(call.kind, KindUsage()).add(call)
                if call.kind == "main":
                    now.prompt_tokens = call.context_tokens or call.prompt_tokens
                self.window_tokens = call.window_tokens or self.window_tokens
                now.total_tokens += call.total_tokens
            case ToolCharge() as charge:
                now.tools.setdefault(charge.tool, KindUsage()).charge(charge)
            case Steered() as steered:
                if steered.text in self.steering:
                    self.steering.remove(steered.text)


def _resumed(resumed: ResumeComplete) -> Conversation:
    return Conversation(
        session_id=resumed.session_id,
        title=resumed.title,
        prompts=list(resumed.prompts),
        prompt_tokens=resumed.prompt_tokens,
        earlier_cost_usd=resumed.cost_usd,
        earlier_cost_known=resumed.cost_known,
    )

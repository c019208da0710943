"""What a user interface knows of its session, gathered from events alone."""

from __future__ import annotations

from dataclasses import dataclass

from agent.protocol.events import (
    ApprovalRequired,
    Compacted,
    Event,
    LLMCall,
    NewComplete,
    Processing,
    Ready,
    SettingsChanged,
    TurnComplete,
    UndoComplete,
)


@dataclass(slots=True)
class Status:
    """Figures of the current conversation. `cost_known` is false once a call of unknown price was made."""

    model_name: str = ""
    session_id: str = ""
    yolo_mode: bool = False
    turns: int = 0
    model_calls: int = 0
    history_size: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True
    _waiting: bool = False
    """For an approval: what is processed next belongs to the same turn."""

    def see(self, event: Event) -> None:
        """Take note of an event."""
        match event.payload:
            case Ready() as ready:
                self.model_name, self.session_id = ready.model_name, ready.session_id
            case SettingsChanged() as now:
                self.model_name, self.yolo_mode = now.model_name, now.yolo_mode
            case NewComplete() as new:
                self.session_id = new.session_id
                self.turns = self.model_calls = self.history_size = self.prompt_tokens = self.total_tokens = 0
                self.cost_usd, self.cost_known = 0.0, True
            case LLMCall() as call:
                self._count(call)
            case Compacted() as compacted:
                self.prompt_tokens = compacted.new_tokens
            case TurnComplete() as end:
                self.history_size = end.history_size
            case UndoComplete() as undo:
                self.history_size = max(0, self.history_size - undo.removed_messages)
                self.turns -= 1 if undo.removed_messages else 0
            case ApprovalRequired():
                self._waiting = True
            case Processing():
                self.turns += 0 if self._waiting else 1
                self._waiting = False

    def _count(self, call: LLMCall) -> None:
        self.model_calls += 1
        self.prompt_tokens = call.prompt_tokens
        self.total_tokens += call.total_tokens
        if call.cost_usd is None:
            self.cost_known = False
        else:
            self.cost_usd += call.cost_usd

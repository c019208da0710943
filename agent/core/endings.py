"""What can end a turn before the model's last word. Each is caught in one place, `Handlers._drive`."""

from __future__ import annotations

from agent.protocol.events import StopReason


class TurnCancelled(Exception):
    """The person stopped the turn."""


class TurnStopped(Exception):
    """A guard ended the turn; the text says why and what to do."""


class LimitReached(Exception):
    """The person's own limit on money or time is used up; the text says which, and how to go on."""

    def __init__(self, stop_reason: StopReason, text: str) -> None:
        super().__init__(text)
        self.stop_reason = stop_reason

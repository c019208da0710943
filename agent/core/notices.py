"""Messages that events send by themselves, where the person wants that: a question, an error, a finished turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.protocol.events import (
    ApprovalRequired,
    DesktopNotice,
    ErrorRaised,
    Payload,
    Processing,
    ToolLog,
    TurnComplete,
)
from agent.redaction.redactor import RedactionError, Redactor

if TYPE_CHECKING:
    from agent.core.session import Session
    from agent.messaging.gateway import NotificationGateway
    from agent.messaging.words import Severity

ERROR_CHARS = 500
ANSWER_CHARS = 39_000
DESKTOP_AFTER_S = 20.0
"""A person who has waited for a shorter time is still looking at the terminal."""


class Notices:
    """Watches the events of a session and sends what the configuration wants sent."""

    def __init__(
        self,
        gateway: NotificationGateway,
        redact: Callable[[str], str],
        facts: Callable[[], dict[str, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`facts` are the session's id and model now; `redact` takes secrets out, or raises `RedactionError`."""
        self._gateway = gateway
        self._redact = redact
        self._facts = facts
        self._clock = clock
        self._since = clock()

    def see(self, payload: Payload) -> None:
        """Take note of an event; returns at once."""
        if isinstance(payload, Processing):
            self._since = self._clock()
        words = _words(payload)
        if words is None or payload.event_type not in self._gateway.config.auto_event_types:
            return
        from agent.messaging.words import NotificationRequest

        title, message, limit, severity = words
        try:
            message = _cut(self._redact(message), limit)  # cut afterwards: half a key would not be known
        except RedactionError:
            message = "What it says cannot be told here: it could not be cleared of secrets."
        waited_s = self._clock() - self._since
        for name, destination in self._gateway.destinations.items():
            is_seen = destination.provider == "desktop" and severity != "warning" and waited_s < DESKTOP_AFTER_S
            if destination.allow_auto_events and not is_seen:
                facts = {**self._facts(), "event_type": payload.event_type}
                self._gateway.enqueue(NotificationRequest(name, message, title, severity, facts, payload.event_type))

    def end(self) -> None:
        """The session's last event is about to be sent: from now on nothing is shown by way of its events."""
        self._gateway.leave_terminal()


def start_notices(session: Session, gateway: NotificationGateway) -> Notices | None:
    """Let the gateway take messages of `session`; None where no destination is in use."""
    if not gateway.destinations:
        return None

    async def show(title: str, message: str) -> bool:
        await session.send_event(DesktopNotice(title, message))
        return True

    async def tell(text: str) -> None:
        await session.send_event(ToolLog("system", text))

    for name, destination in gateway.destinations.items():
        for secret in (destination.token, destination.url, *destination.headers.values()):
            session.secrets.add(f"messaging.{name}", secret)
    gateway.start(None if session.surroundings.headless else show, tell)
    return Notices(
        gateway, Redactor(session.secrets).text, lambda: {"session_id": session.session_id, "model": session.model_name}
    )


def _words(payload: Payload) -> tuple[str, str, int, Severity] | None:
    """Title, message, its greatest length and severity of the notice about an event; None for one that sends none."""
    match payload:
        case ApprovalRequired(tools=tools):
            names = ", ".join(dict.fromkeys(item.tool for item in tools))
            count = "1 call waits" if len(tools) == 1 else f"{len(tools)} calls wait"
            return "Approval needed", f"{count} for your answer: {names}", ANSWER_CHARS, "warning"
        case ErrorRaised(error=error, kind=kind) if kind != "usage":
            return "The turn ended with an error", error, ERROR_CHARS, "error"
        case TurnComplete(final_response=answer, stop_reason="done"):
            return "The turn is complete", answer or "There is no final answer.", ANSWER_CHARS, "success"
        case TurnComplete(final_response=answer, stop_reason=reason):
            ended = f"Stopped early ({reason.replace('_', ' ')})."
            return "The turn was cut short", f"{ended}\n\n{answer or ''}".strip(), ANSWER_CHARS, "warning"
        case _:
            return None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

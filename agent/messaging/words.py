"""What a notification is, what came of it, and what a provider has to be able to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol

from agent.config import Destination
from agent.light_dataclass import dataclass

if TYPE_CHECKING:
    from agent.lean_httpx import httpx

Severity = Literal["info", "success", "warning", "error"]


@dataclass(frozen=True, slots=True)
class NotificationRequest:
    """A message for one destination, by its name. `metadata` are further lines, a label and its text each.

    `event_type` names the event that sent it by itself. ValueError for an empty destination or message.
    """

    destination: str
    message: str
    title: str | None = None
    severity: Severity = "info"
    metadata: Mapping[str, str] = field(default_factory=dict)
    event_type: str | None = None

    def __post_init__(self) -> None:
        if not self.destination.strip() or not self.message.strip():
            raise ValueError("a notification needs a destination and a message")


@dataclass(frozen=True, slots=True)
class NotificationResult:
    """What came of it. `provider` is `unknown` for a destination that is not there, `disabled` when none is used."""

    destination: str
    ok: bool
    provider: str
    error: str | None = None
    external_id: str | None = None


class NotificationError(Exception):
    """A provider could not deliver a message, and would not the next time either. The text names cause and next step,
    and holds nothing secret."""


class RetryableNotificationError(NotificationError):
    """It may work soon; `retry_after_s` is what the service has asked for."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Ways:
    """What providers send with: a client for HTTP, the environment (services' addresses), and the person's terminal."""

    http: Callable[[], Awaitable[httpx.AsyncClient]]
    environ: Mapping[str, str]
    show: Callable[[str, str], Awaitable[bool]]
    """`await show(title, message)` puts a notice on the person's desktop; False where there is no terminal."""


class Provider(Protocol):
    """A kind of destination. To add one: its class, a line in `PROVIDERS`, and its keys in `Destination`."""

    async def send(self, destination: Destination, request: NotificationRequest, ways: Ways) -> str | None:
        """Deliver `request`; returns the message's id there, if it has one. Raises NotificationError."""

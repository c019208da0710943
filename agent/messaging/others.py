"""Destinations other than Slack: any web address that takes JSON, and the desktop that the terminal is on."""

from __future__ import annotations

from agent.config import Destination
from agent.messaging.posting import post
from agent.messaging.words import NotificationError, NotificationRequest, Ways
from agent.protocol.messages import utc_now


class Webhook:
    """Posts `{title, message, severity, metadata, event_type, time}` to an address."""

    async def send(self, destination: Destination, request: NotificationRequest, ways: Ways) -> str | None:
        """Deliver it. Raises NotificationError."""
        body = {
            "title": request.title or "",
            "message": request.message,
            "severity": request.severity,
            "metadata": dict(request.metadata),
            "event_type": request.event_type,
            "time": utc_now().isoformat(timespec="seconds"),
        }
        await post(await ways.http(), destination.url or "", body, destination.headers, "the webhook")
        return None


class Desktop:
    """Lets the terminal show a notice (OSC 9), which most of them pass on to the desktop."""

    async def send(self, destination: Destination, request: NotificationRequest, ways: Ways) -> str | None:
        """Deliver it. Raises NotificationError where there is no terminal."""
        if not await ways.show(request.title or "ml-intern", request.message):
            raise NotificationError("there is no terminal that could show it")
        return None

"""Slack: `chat.postMessage` with a bot's token. Source: Slack's Web API documentation of that method."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from agent.config import Destination
from agent.messaging.mrkdwn import to_mrkdwn
from agent.messaging.posting import post
from agent.messaging.words import NotificationError, NotificationRequest, RetryableNotificationError, Ways

DEFAULT_BASE_URL = "https://slack.com/api"
MAX_CHARS = 39_000
_RETRIED = frozenset({"ratelimited", "rate_limited", "internal_error", "service_unavailable", "request_timeout"})
_ADVICE = {
    "invalid_auth": "check the token",
    "not_authed": "check the token",
    "account_inactive": "the token belongs to an account that is gone",
    "token_revoked": "make a new token",
    "channel_not_found": "check the channel's id, and invite the bot if the channel is private",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "the channel is archived",
    "missing_scope": "give the bot the scope chat:write",
}


class Slack:
    """Sends to a channel."""

    async def send(self, destination: Destination, request: NotificationRequest, ways: Ways) -> str | None:
        """Post the message; returns its timestamp, which is its id there. Raises NotificationError."""
        base = (ways.environ.get("SLACK_BASE_URL", "").strip() or DEFAULT_BASE_URL).rstrip("/")
        body: dict[str, Any] = {
            "channel": destination.channel,
            "text": await asyncio.to_thread(slack_text, request),
            "mrkdwn": True,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        more = {"username": destination.username, "icon_emoji": destination.icon_emoji}
        body |= {name: value for name, value in more.items() if value}
        headers = {"Authorization": f"Bearer {destination.token}"}
        response = await post(await ways.http(), f"{base}/chat.postMessage", body, headers, "Slack")
        try:
            answer = response.json()
        except ValueError as error:
            raise RetryableNotificationError("Slack did not answer with JSON") from error
        if isinstance(answer, dict) and answer.get("ok") is True:
            return str(answer["ts"]) if answer.get("ts") else None
        code = answer.get("error") if isinstance(answer, dict) else None
        code = code if isinstance(code, str) and re.fullmatch(r"\w{1,60}", code) else "unknown error"
        if code in _RETRIED:
            raise RetryableNotificationError(f"Slack says {code}")
        advice = _ADVICE.get(code)
        raise NotificationError(f"Slack says {code}" + (f": {advice}" if advice else ""))


def slack_text(request: NotificationRequest) -> str:
    """The whole message as mrkdwn: severity and title, the message, a line for each of its metadata."""
    head = f"[{request.severity.upper()}]" + (f" {request.title}" if request.title else "")
    facts = "\n".join(f"{name}: {value}" for name, value in request.metadata.items())
    parts = [to_mrkdwn(head.replace("[", "\\[", 1)), to_mrkdwn(request.message.strip()), to_mrkdwn(facts)]
    text = "\n".join(filter(None, parts))
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"

"""`notify`: the agent sends the person a message where they have allowed it."""

from __future__ import annotations

from functools import partial
from typing import Any

from agent.messaging.gateway import NotificationGateway
from agent.messaging.words import NotificationRequest
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec

DESCRIPTION = """\
Send the person a short message through a channel they have set up (Slack, a webhook, their desktop).

Only when they asked to be told of something ("let me know when it is done"), and once for each thing: the outcome, \
the figures that matter, the URL, what you need from them. Markdown is understood. Nothing secret belongs in it."""


def notify_spec(gateway: NotificationGateway) -> ToolSpec | None:
    """The `notify` tool for the destinations that the agent may use; None if there is no such destination."""
    names = [name for name, place in gateway.destinations.items() if place.allow_agent_tool]
    if not names:
        return None
    parameters: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["destinations", "message"],
        "properties": {
            "destinations": {
                "type": "array",
                "items": {"type": "string", "enum": names},
                "minItems": 1,
                "description": "Where to send it.",
            },
            "message": {"type": "string", "minLength": 1, "description": "The message, in Markdown."},
            "title": {"type": "string", "description": "A few words ahead of it."},
            "severity": {"type": "string", "enum": ["info", "success", "warning", "error"]},
        },
    }
    return ToolSpec(
        name="notify",
        description=DESCRIPTION,
        parameters=parameters,
        handler=partial(_notify, gateway, frozenset(names)),
    )


async def _notify(
    gateway: NotificationGateway,
    allowed: frozenset[str],
    arguments: dict[str, Any],
    session: ToolSession,
    _tool_call_id: str,
) -> ToolResult:
    message, title = str(arguments["message"]).strip(), str(arguments.get("title") or "").strip()
    if not message:
        return ToolResult("The message is empty; nothing was sent.", ok=False)
    lines, all_sent = [], True
    for name in dict.fromkeys(map(str, arguments["destinations"])):
        if name not in allowed:
            lines.append(f"{name}: failed (the agent may not send there)")
            all_sent = False
            continue
        request = NotificationRequest(
            name,
            session.scrub(message),
            session.scrub(title) or None,
            arguments.get("severity") or "info",
            {"session_id": session.session_id},
        )
        result = await gateway.send(request)
        lines.append(f"{name}: sent" if result.ok else f"{name}: failed ({result.error})")
        all_sent = all_sent and result.ok
    return ToolResult("\n".join(lines), ok=all_sent)

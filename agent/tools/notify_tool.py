"""`notify`: the agent sends the person a message where they have allowed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.door import Door

if TYPE_CHECKING:
    from agent.config import Destination
    from agent.messaging.gateway import NotificationGateway

DESCRIPTION = """\
Send the person a short message through a channel they have set up (Slack, a webhook, their desktop).

Only when they asked to be told of something ("let me know when it is done"), and once for each thing: the outcome, \
the figures that matter, the URL, what you need from them. Markdown is understood. Nothing secret belongs in it."""


def notify_spec(destinations: Mapping[str, Destination], gateway: Callable[[], NotificationGateway]) -> ToolSpec | None:
    """The `notify` tool for those of `destinations`, which are in use, that the agent may use; None if there are none.
    `gateway` is asked for at the first call."""
    names = [name for name, place in destinations.items() if place.allow_agent_tool]
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
    allowed, way_out = frozenset(names), Door(gateway)

    async def handle(arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
        return await _notify(await way_out.opened(), allowed, arguments, session)

    return ToolSpec(
        name="notify",
        description=DESCRIPTION,
        parameters=parameters,
        handler=handle,
    )


async def _notify(
    gateway: NotificationGateway, allowed: frozenset[str], arguments: Mapping[str, Any], session: ToolSession
) -> ToolResult:
    from agent.messaging.words import NotificationRequest

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

"""What the tools that look things up have in common: what they are to the loop, and how they repeat what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.protocol.tools import Handler, ToolSpec, always_looks

_ECHO_CHARS = 200


def looking_tool(
    name: str,
    description: str,
    parameters: dict[str, Any],
    handler: Handler,
    subject: Callable[[Mapping[str, Any], Path], str] = lambda _arguments, _workspace: "",
) -> ToolSpec:
    """A tool that changes nothing anywhere, and that a research sub-agent has too."""
    return ToolSpec(
        name=name,
        description=description,
        parameters=parameters,
        handler=handler,
        only_looks=always_looks,
        subject=subject,
        in_research=True,
    )


def echo(text: str) -> str:
    """What was asked, in quotation marks, for an answer: the beginning of it where it is long."""
    return repr(clipped(text))


def clipped(text: str) -> str:
    """The same without quotation marks."""
    return text if len(text) <= _ECHO_CHARS else f"{text[:_ECHO_CHARS]}…"

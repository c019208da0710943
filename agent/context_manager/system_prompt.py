"""The system prompt: what the session is, as inputs, and the text rendered from them.

The text is made once the tools are known and again only when they change. All that varies between days, people and
directories stands at its end, so that providers can reuse the long beginning from their cache.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Literal

from agent.context_manager.memory import MemoryFile
from agent.context_manager.prompts import render
from agent.light_dataclass import dataclass

Runtime = Literal["local", "sandbox"]

_ENVELOPE = re.compile(r"<(?=/?\s*guidance\b)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class SystemPromptInputs:
    """What the system prompt depends on. `tool_names` are the tools really registered; only they are mentioned.

    `runtime` says where the shell and the files are, `headless` that no person can answer. `today` is the person's own
    date, `platform` a short description of the machine the commands run on.
    """

    tool_names: Collection[str]
    runtime: Runtime
    headless: bool
    workspace: Path
    today: date
    platform: str
    hf_user: str | None = None
    memory: tuple[MemoryFile, ...] = ()


def render_system_prompt(inputs: SystemPromptInputs) -> str:
    """The system prompt for `inputs`: the same text for the same inputs, whatever the order of the tools."""
    return render(
        "system",
        tools=frozenset(inputs.tool_names),
        mode="headless" if inputs.headless else "interactive",
        runtime=inputs.runtime,
        memory=[{"path": _one_line(file.path), "text": _enclosed(file.text)} for file in inputs.memory],
        today=inputs.today.isoformat(),
        workspace=_one_line(inputs.workspace),
        platform=_one_line(inputs.platform),
        hf_user=_one_line(inputs.hf_user) if inputs.hf_user else None,
    )


def _one_line(value: Path | str) -> str:
    """Names from outside on one line of valid text: a directory name may hold newlines and undecodable bytes."""
    text = os.fsencode(value).decode("utf-8", "replace")
    return _CONTROL.sub("\ufffd", text)


def _enclosed(text: str) -> str:
    """Guidance text that cannot close its envelope and pose as a rule of ours."""
    return _ENVELOPE.sub("&lt;", text)

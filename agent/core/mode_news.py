"""What the model is told of the mode: one note per change, and again where its history has lost the note."""

from __future__ import annotations

from collections.abc import Sequence

from agent.context_manager.prompts import render
from agent.protocol.messages import Message
from agent.protocol.modes import Mode

_BEGINNING = "[ml-intern guard: mode]"
"""Of the notes rendered from agent/prompts/guards/mode.md.j2."""


def news_of_mode(history: Sequence[Message], mode: Mode, assumed: Mode) -> str | None:
    """The note that the model needs to know of `mode`; None if it knows.

    What it knows is what its history says last, whatever undo, compaction and resuming have made of that; without a
    note there, it takes the mode for `assumed`.
    """
    texts = (message.content or "" for message in reversed(history) if message.origin == "guard")
    told = next((text for text in texts if text.startswith(_BEGINNING)), None)
    if told is None and mode == assumed:
        return None
    note = render("guards/mode", mode=mode)
    return None if told == note else note

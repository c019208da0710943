"""The few static lines an interactive session starts with."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from agent.ui.console import print_text
from agent.ui.sanitize import clip

PLAIN_HINT = "Type what you want done, /help for commands. Ctrl-C stops a turn, Ctrl-D leaves."
HINT = "Type what you want done, /help for commands. Esc stops a turn, Ctrl-D leaves."


def print_banner(
    console: Console,
    *,
    version: str,
    model: str,
    runs_on: str,
    directory: str,
    session_id: str | None = None,
    user: str | None = None,
    mode: str = "ask",
    hint: str = HINT,
) -> None:
    """Print the banner; nothing is cleared and nothing moves.

    `runs_on` says in a few words where the model comes from and where tools run, e.g. `Anthropic API, tools run here`.
    What is not known (the session's id, the Hugging Face `user`) gets no line, nor does the usual `mode`, to ask.
    """
    print_text(console, Text.assemble(("ml-intern", "bold"), (f" {clip(version, 40)}", "muted")))
    rows = {"model": model, "runs on": runs_on, "HF user": user, "directory": directory, "session": session_id}
    rows["mode"] = mode if mode != "ask" else None
    for name, value in rows.items():
        if value:
            print_text(console, Text(clip(value, 1000)), indent=12, sign=Text(f"  {name:<10}", "muted"))
    print_text(console, Text(hint, "muted"))

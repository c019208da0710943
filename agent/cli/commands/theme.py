"""The command about colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from agent.cli.commands.registry import command
from agent.ui.console import ThemeName

if TYPE_CHECKING:
    from agent.cli.app import App

_THEMES: tuple[ThemeName, ...] = get_args(ThemeName)


@command("theme", "[auto|dark|light]", group="Program", choices=_THEMES)
async def theme(app: App, argument: str) -> None:
    """Show or change the colours: for a dark or a light terminal.

    Only the 16 colours of the terminal's own palette are used. `auto` asks the environment (COLORFGBG).
    """
    choices = "/theme auto, /theme dark or /theme light"
    if not argument:
        app.say(f"Now: {app.theme_name}. Change it with {choices}.")
        return
    name = next((name for name in _THEMES if name == argument.strip().lower()), None)
    if name is None:
        app.complain(f"There is no such theme; say {choices}.")
        return
    app.set_theme(name)
    app.say(f'Colours for: {name}. To keep them, set "theme": "{name}" in your configuration file.')

"""Commands about how much the agent may do without asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.protocol.events import SettingsChanged
from agent.protocol.modes import MEANINGS, MODES
from agent.protocol.operations import OpType

if TYPE_CHECKING:
    from agent.cli.app import App


@command("mode", "[ask|auto-edit|plan|yolo]", group="Model and mode", choices=MODES)
async def mode(app: App, argument: str) -> None:
    """Show how much runs without asking, or change it."""
    wanted = argument.lower()
    if not wanted:
        app.say("\n".join(f"{'*' if one == app.status.mode else ' '} {one:<10} {MEANINGS[one]}" for one in MODES))
    elif wanted in MODES:
        await app.operate(OpType.CONFIGURE, {"mode": wanted})
    else:
        app.complain(f"That is no mode; say /mode {', /mode '.join(MODES[:-1])} or /mode {MODES[-1]}.")


@command("plan", "[task]", group="Model and mode")
async def plan(app: App, argument: str) -> None:
    """Switch to plan mode; with a task: have it planned.

    Until you accept its plan, the agent only looks. With your yes the mode is again what it was before.
    """
    if app.status.mode == "plan":
        if not argument:
            app.say("Plan mode is on already: say what to plan.")
    elif not isinstance(await app.operate(OpType.CONFIGURE, {"mode": "plan"}), SettingsChanged):
        return  # the reason is on the screen
    if argument:
        app.later(argument)


@command("yolo", "[on|off]", group="Model and mode", choices=("on", "off"))
async def yolo(app: App, argument: str) -> None:
    """Switch automatic approval of tool calls on or off."""
    wanted = argument.lower()
    if wanted not in ("", "on", "off"):
        app.complain("Say /yolo, /yolo on or /yolo off.")
        return
    await app.operate(OpType.CONFIGURE, {"yolo_mode": wanted == "on" if wanted else not app.status.yolo_mode})

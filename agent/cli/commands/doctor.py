"""The command that examines what is here."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from agent.cli.commands.registry import command

if TYPE_CHECKING:
    from agent.cli.app import App


@command("doctor", group="Program")
async def doctor(app: App, _argument: str) -> None:
    """Check tokens, models, servers, git, disk and GPU, and say how to mend what is wrong."""
    from agent.cli.doctor.examination import examine
    from agent.cli.doctor.place import look_around
    from agent.cli.doctor.report import report_lines

    def found() -> list[str]:
        flags = {"model_name": app.status.model_name}
        place = look_around(app.environ, app.workspace, sys.stdin, sys.stdout, flags=flags)
        return [str(line) for line in report_lines(examine(place))]

    for line in await asyncio.to_thread(found):
        app.say(line)

"""`hf_jobs`: run work on Hugging Face Jobs (or, where asked for, in a sandbox or here), and look after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.door import Door
from agent.tools.jobs.wording import DESCRIPTION, PLACES, parameters

if TYPE_CHECKING:
    from agent.compute.hf_jobs import HfJobs
    from agent.hub.account import HubAccount
    from agent.tools.jobs.desk import JobsDesk
    from agent.tools.jobs.parts import SeedTrackio, WrapArtifacts
    from agent.tools.jobs.script_source import ReadScript

PATIENCE_S = 5.0
"""What is not known after this time when looking ahead is said not to be known."""


def hf_jobs_spec(
    account: HubAccount,
    jobs: Callable[[], HfJobs],
    *,
    read_script: ReadScript | None = None,
    seed_trackio: SeedTrackio | None = None,
    artifact_wrap: WrapArtifacts | None = None,
    offers_local: bool = True,
    patience_s: float = PATIENCE_S,
) -> ToolSpec:
    """The `hf_jobs` tool.

    `jobs`, the place, is asked for when a call is first looked at. `read_script` reads a script's path where the
    session's tools run, if that is a sandbox; `seed_trackio` makes a metrics dashboard ready; `artifact_wrap` marks
    what a remote command pushes to the Hub as the session's. Without `offers_local` nothing can be run on this machine.
    `patience_s`: how long a look ahead may take.
    """
    places = tuple(place for place in PLACES if offers_local or place != "local")

    def door() -> JobsDesk:
        from agent.tools.jobs.desk import JobsDesk
        from agent.tools.jobs.parts import Parts

        return JobsDesk(Parts(account, jobs(), read_script, seed_trackio, artifact_wrap, places, patience_s))

    desk = Door(door)

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        return await (await desk.opened()).handle(arguments, session, tool_call_id)

    return ToolSpec(
        name="hf_jobs",
        description=DESCRIPTION,
        parameters=parameters(places),
        handler=handle,
        ready=desk.ready,
        approval=lambda arguments, context: desk().approval(arguments, context),
        is_charged_by_work=True,
        preview=lambda arguments, session: desk().preview(arguments, session),
        is_poll=lambda arguments: desk().is_poll(arguments),
        subject=lambda arguments, _workspace: desk().subject(arguments),
        only_looks=lambda arguments, _workspace: desk().only_looks(arguments),
        changes=lambda arguments, _workspace: desk().changes(arguments),
        estimate_cost=lambda arguments: desk().estimate(arguments),
        editable="script",
        preflight=lambda arguments, session: desk().preflight(arguments, session),
    )

"""Looking ahead before a run is decided on: who pays, on what, how much at most, and is the result kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from typing import Any, TypeVar

from agent.compute.durations import in_words
from agent.compute.job_commands import COMMAND_IMAGE, SCRIPT_IMAGE
from agent.hub.access import resolve_namespace
from agent.hub.errors import BILLING_URL, HubError
from agent.hub.hardware import TABLE, job_hardware
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError
from agent.protocol.tools import ApprovalContext, CostEstimate, Preflight, ToolSession
from agent.tools.approval_rules import HANDS_SECRETS, hf_jobs_rule
from agent.tools.arguments import ArgumentError
from agent.tools.jobs.announced import Announced, announced
from agent.tools.jobs.arguments import RunRequest, operation_of, parse_run
from agent.tools.jobs.environment import environment, require_no_secret
from agent.tools.jobs.money_words import at_most, most_usd, per_hour
from agent.tools.jobs.parts import Parts, schedule_place
from agent.tools.jobs.script_source import Source, kind_of, load_here
from agent.tools.jobs.wording import Place
from agent.tools.jobs.work import remote_command

STARTS = {"run": False, "scheduled run": True}
"""The operations that may cost money, and whether they make a schedule."""

_COMMAND_CHARS = 400

T = TypeVar("T")


@dataclass(slots=True)
class _Findings:
    facts: list[tuple[str, str]] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    problem: str | None = None
    usd_per_hour: float | None = None
    flavor_text: str = ""


async def look_ahead(parts: Parts, arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
    """What can be known of a call before it runs; of those that start nothing there is nothing to say."""
    operation = operation_of(arguments)
    parts.ours.add(*session.compute.running)
    if operation == "scheduled resume":
        return await _resumed(parts, arguments)
    if operation not in STARTS:
        return Preflight()
    try:
        request = parse_run(arguments, scheduled=STARTS[operation], places=parts.places)
        require_no_secret(request, session.scrub)
        look = _LOOKS[request.place]
        source, findings = await asyncio.gather(_source(parts, request, session), look(parts, request, session))
        if request.place != "local":
            await asyncio.to_thread(remote_command, request, source)
    except (ArgumentError, ComputeError) as error:
        return Preflight(problem=str(error))
    if findings.problem is not None:
        return Preflight(problem=findings.problem)
    if environment(request, parts.account.token, session.scrub).secrets_asked(request):
        findings.hints.append(HANDS_SECRETS)
    ahead = await asyncio.to_thread(_summed_up, request, source, findings, session)
    said = hf_jobs_rule(arguments, ApprovalContext(session.workspace)).hints
    hints = tuple(hint for hint in ahead.hints if hint not in said)
    pinned = {**arguments, "script": source.text} if source is not None and source.kind == "file" else None
    return replace(ahead, hints=hints, pinned=pinned)


def preview_of(parts: Parts, arguments: Mapping[str, Any], session: ToolSession) -> str | None:
    """The script that would run, None where it cannot be read here. Blocking."""
    script = arguments.get("script")
    if not isinstance(script, str) or not script.strip():
        return None
    if (known := parts.files.find(script)) is not None:
        return known.text
    kind = kind_of(script, session.workspace if parts.read_script is None else None)
    if kind == "url" or (kind == "path" and parts.read_script is not None):
        return None
    if kind == "code":
        return script
    try:
        return load_here(script, session.workspace).text
    except ArgumentError:
        return None


def estimated(arguments: Mapping[str, Any]) -> CostEstimate | None:
    """The most that a call can cost as far as its arguments and this program's table tell; None: nothing at once.

    A schedule costs nothing when it is made: what its runs cost is told in the facts.
    """
    if operation_of(arguments) != "run":
        return None
    try:
        request = parse_run(arguments)
    except ArgumentError:
        return None  # it will not run
    if request.place == "local":
        return None
    flavor = TABLE.find(request.flavor)
    return _estimate(request, flavor.usd_per_hour if flavor is not None else None)


def _estimate(request: RunRequest, usd_per_hour: float | None) -> CostEstimate:
    noun = "job" if request.place == "hf_jobs" else "sandbox"
    what = f"the {noun} on {request.flavor} for {in_words(request.timeout_s)}"
    return CostEstimate(most_usd(usd_per_hour, request.timeout_s), what)


# --- asking ----------------------------------------------------------------------------------------------------------


async def _in_time(parts: Parts, question: Awaitable[T]) -> T | None:
    """The answer, None if it takes too long. All questions are asked at the same time."""
    try:
        async with asyncio.timeout(parts.patience_s):
            return await question
    except TimeoutError:
        return None


async def _source(parts: Parts, request: RunRequest, session: ToolSession) -> Source | None:
    """The script, None where it is a command. Raises ArgumentError, also if it cannot be read in time: what nobody has
    seen could be another one by the time it runs."""
    if request.script is None:
        return None
    source = await _in_time(parts, parts.source(request.script, session))
    if source is None:
        raise ArgumentError(
            f"`script`: {request.script.strip()[:200]} could not be read within {parts.patience_s:g} s, so nothing was "
            "started. Try again, or give the code itself."
        )
    return source


async def _job(parts: Parts, request: RunRequest, _session: ToolSession) -> _Findings:
    found = _Findings()
    namespace, catalogue = await asyncio.gather(_namespace(parts, request, found), job_hardware(parts.account))
    flavor = catalogue.find(request.flavor)
    if flavor is None:
        found.problem = found.problem or f"{catalogue.unknown(request.flavor)}\nAll hardware:\n{catalogue.menu()}"
        return found
    source = "" if catalogue.source == "live" else " (by the table of this program: the Hub did not tell)"
    found.usd_per_hour = flavor.usd_per_hour
    default_image = SCRIPT_IMAGE if request.script is not None else COMMAND_IMAGE
    found.facts = [
        ("namespace", namespace),
        ("hardware", f"{flavor.name}: {flavor.text}{source}"),
        ("image", request.image or default_image),
    ]
    return found


async def _namespace(parts: Parts, request: RunRequest, found: _Findings) -> str:
    """Who pays, in words; what is against it goes to `found`."""
    try:
        answer = await _in_time(parts, resolve_namespace(parts.account, request.namespace))
    except HubError as error:
        found.problem = str(error)
        return ""
    if answer is None:
        return f"{request.namespace or 'not known'} (the Hub did not answer in time)"
    namespace, access = answer
    if access is None:
        return f"{namespace} (not checked: the Hub cannot be reached)"
    if access.pays.get(namespace) is False:
        found.hints.append(f"{namespace} has no way to pay: the Hub will refuse paid hardware ({BILLING_URL})")
    return namespace


async def _sandbox(parts: Parts, request: RunRequest, session: ToolSession) -> _Findings:
    found = _Findings()
    try:
        price = await _in_time(parts, session.compute.price("hf_sandbox", request.flavor))
    except ComputeError as error:
        found.problem = str(error)
        return found
    found.usd_per_hour = price.usd_per_hour if price is not None else None
    found.facts = [
        ("runs in", "a sandbox of its own"),
        ("hardware", f"{request.flavor}: {per_hour(found.usd_per_hour)}"),
    ]
    return found


async def _local(_parts: Parts, _request: RunRequest, _session: ToolSession) -> _Findings:
    return _Findings(facts=[("runs on", "this machine, free")], usd_per_hour=0.0)


_LOOKS: Mapping[Place, Callable[[Parts, RunRequest, ToolSession], Awaitable[_Findings]]] = {
    "hf_jobs": _job,
    "hf_sandbox": _sandbox,
    "local": _local,
}


async def _resumed(parts: Parts, arguments: Mapping[str, Any]) -> Preflight:
    """What would go on costing money: the call itself names nothing but an id."""
    try:
        where, schedule_id = await schedule_place(parts, arguments)
        row = await _in_time(parts, parts.jobs.scheduled_inspect(schedule_id, where))
        if row is None:
            return Preflight(facts=(("schedule", "not known (the Hub did not answer in time)"),))
        flavor = (await job_hardware(parts.account)).find(row.flavor)
    except (ArgumentError, HubError, ComputeError) as error:
        return Preflight(problem=str(error))
    facts = (
        ("namespace", row.namespace),
        ("schedule", row.schedule),
        ("hardware", f"{row.flavor}: {flavor.text}" if flavor is not None else row.flavor),
        ("image", row.image),
        ("command", row.command[:_COMMAND_CHARS]),
    )
    return Preflight(facts=facts)


# --- judging ---------------------------------------------------------------------------------------------------------


def _summed_up(request: RunRequest, source: Source | None, found: _Findings, session: ToolSession) -> Preflight:
    code = " ".join([source.text if source is not None else "", *request.command, *request.script_args])
    said = announced(code)
    is_remote = request.place != "local"
    limit = in_words(request.timeout_s)
    facts = [*found.facts, ("time limit", limit if request.has_own_timeout else f"{limit} (the default)")]
    if is_remote:
        most = most_usd(found.usd_per_hour, request.timeout_s)
        facts += [("at most", at_most(most, request.schedule)), ("saves to", _saves_to(source, request, said))]
    if source is not None and source.kind != "code":
        facts.append(("script from", source.text if source.kind == "url" else str(source.path or source.name)))
    hints = [*found.hints, *(_hints(request, said, session.scrub(code) != code) if is_remote else ())]
    is_charged = is_remote and request.schedule is None
    return Preflight(
        estimate=_estimate(request, found.usd_per_hour) if is_charged else None,
        facts=tuple(facts),
        hints=tuple(hints),
    )


def _saves_to(source: Source | None, request: RunRequest, said: Announced) -> str:
    if said.saves_to is not None:
        return said.saves_to
    if said.saves:
        return "the Hub (where is not seen)"
    if source is not None and source.kind == "url":
        return "not known: the script was not read"
    return "nothing seen"


def _hints(request: RunRequest, said: Announced, shows_secret: bool) -> list[str]:
    checks = (
        (
            said.is_lost and said.trains,
            "trains, but pushes nothing to the Hub: what it makes is lost when the job ends",
        ),
        (said.is_lost and not said.trains, "saves files on the job's own disk only: they are lost when the job ends"),
        (
            said.trains and not request.has_own_timeout,
            f"trains, with the default time limit of {in_words(request.timeout_s)}: it is ended then, done or not",
        ),
        (shows_secret or said.holds_key, "has a key in the script or command, where whoever sees the job can read it"),
    )
    return [hint for applies, hint in checks if applies]

"""What a call of `sandbox_create` asks for, and what is looked up before it is decided on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from agent.compute.hub_calls import ask
from agent.compute.sandbox.machines import BACKEND
from agent.compute.sandbox.space import FREE_HARDWARE
from agent.hub.access import resolve_namespace
from agent.hub.errors import BILLING_URL, HubError
from agent.hub.hardware import SPACE_FLAVORS, TABLE, space_price
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError, Price
from agent.protocol.tools import (
    FREE,
    ApprovalContext,
    ApprovalNeed,
    ApprovalRule,
    CostEstimate,
    Preflight,
    ToolSession,
)
from agent.tools.approval_rules import sandbox_create_rule
from agent.tools.arguments import ArgumentError, bool_argument
from agent.tools.jobs.money_words import at_most, per_hour
from agent.tools.sandbox.machines import Machine, Sandboxes, paused_text

PATIENCE_S = 5.0
SPACE_ID = re.compile(r"[\w][\w.-]*/sandbox-[0-9a-f]{8}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of a call. `hardware` None: whatever is there, else the free one."""

    hardware: str | None
    attach: str | None
    replace: bool
    pause: bool
    trackio_space_id: str | None
    trackio_project: str | None

    @property
    def flavor(self) -> str:
        """What a new one is made on."""
        return self.hardware or FREE_HARDWARE


def parse(arguments: Mapping[str, Any]) -> Wanted:
    """Read a call. Raises ArgumentError."""
    texts = {name: _text(arguments, name) for name in ("hardware", "attach", "trackio_space_id", "trackio_project")}
    wanted = Wanted(**texts, replace=bool_argument(arguments, "replace"), pause=bool_argument(arguments, "pause"))
    if wanted.pause and (wanted.hardware or wanted.attach or wanted.replace):
        raise ArgumentError("`pause` stops the present sandbox, and cannot be combined with other arguments.")
    if wanted.attach and wanted.hardware:
        raise ArgumentError("`attach` goes on with a sandbox as it is: leave `hardware` out.")
    if wanted.hardware and wanted.hardware not in SPACE_FLAVORS:
        raise ArgumentError(TABLE.unknown(wanted.hardware))
    return wanted


def _text(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    if value is not None and not isinstance(value, str):
        raise ArgumentError(f"`{name}` must be a string, not {type(value).__name__}.")
    return (value or "").strip() or None


def create_rule(sandboxes: Sandboxes) -> ApprovalRule:
    """A new one is asked about as its hardware wants it; so is what starts one again, loses somebody's files, or makes
    something else on the Hub."""

    def rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
        attach = str(arguments.get("attach") or "").strip()[:100]
        pauses, replaces = (arguments.get(name) in (True, "true") for name in ("pause", "replace"))
        made = FREE if pauses or attach else sandbox_create_rule(arguments, context)
        space = str(arguments.get("trackio_space_id") or "").strip()[:100] if sandboxes.seed_trackio else ""
        reasons = [
            attach and f"starts the sandbox {attach} again, at the price of its hardware",
            made.reason,
            pauses and sandboxes.in_use and f"stops the sandbox {sandboxes.in_use}, whose files are lost",
            replaces and sandboxes.in_use and f"deletes the sandbox {sandboxes.in_use} with its files",
            space and _dashboard_text(space),
        ]
        if not any(reasons):
            return made
        text = "; ".join(reason for reason in reasons if reason)
        return ApprovalNeed("ask", text, billable=made.billable or bool(attach), hints=made.hints)

    return rule


def _dashboard_text(space: str) -> str:
    return f"makes the Space {space} and the bucket {space}-bucket, or fills them for a metrics dashboard"


# --- what is there ---------------------------------------------------------------------------------------------------


def kept(machine: Machine, wanted: Wanted) -> str | None:
    """What to say where the present sandbox stays, None where another one is to be made."""
    if wanted.replace or machine.id == wanted.attach:
        return None
    if machine.is_paused:
        return paused_text(machine)
    if wanted.attach:
        return (
            f"The sandbox {machine.id} ({machine.hardware}) is active. replace=true deletes it, with its files, and "
            f"goes on with {wanted.attach}."
        )
    if wanted.hardware in (None, machine.hardware):
        return f"A sandbox is active already: {machine.id} on {machine.hardware}. bash, read, write and edit use it."
    if machine.is_spare:
        return None
    return (
        f"The sandbox {machine.id} is active on {machine.hardware}. You asked for {wanted.hardware}: the hardware of a "
        "sandbox cannot be changed in place. replace=true makes a new one and deletes this one, with all its files; "
        "copy what you need first. Do not send this call again without it."
    )


# --- looking ahead ---------------------------------------------------------------------------------------------------


async def look_ahead(sandboxes: Sandboxes, arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
    """What a call would cost and who pays, or why nobody has to be asked about it."""
    try:
        wanted = parse(arguments)
        if wanted.pause:
            return Preflight()
        dashboard = await _dashboard_facts(sandboxes, wanted)
        machine = sandboxes.present(session)
        text = kept(machine, wanted) if machine is not None else None
        if text is not None:
            # with free hardware nobody is asked, so the call itself may say it
            is_free = wanted.hardware in (None, FREE_HARDWARE) and not wanted.attach
            return Preflight(facts=dashboard) if is_free else Preflight(text)
        if machine is None and sandboxes.is_starting and wanted.flavor == FREE_HARDWARE and not wanted.attach:
            return Preflight(facts=dashboard)
        flavor, usd = await _machine_to_come(sandboxes, wanted, session)
        facts, hints = await _who_pays(sandboxes, wanted)
    except (ArgumentError, ComputeError, HubError) as error:
        return Preflight(problem=session.scrub(str(error)))
    if machine is not None and not machine.is_spare and machine.id != wanted.attach:
        hints.append(f"deletes the sandbox {machine.id} ({machine.hardware}) with all its files")
    facts += [("hardware", _hardware_text(flavor, usd)), ("visibility", "private")]
    if usd != 0:
        then = "" if usd is None else " for the first hour, then by the hour"
        facts.append(("at most", f"{at_most(usd, None)}{then}"))
    facts.append(("runs until", "the session ends, or it is deleted or paused"))
    facts += dashboard
    # what this session has made is charged by its desk all the time; of anything else the first hour is held
    is_charged = wanted.attach is not None and session.compute.find(wanted.attach) is not None
    estimate = (
        None
        if usd == 0 or is_charged
        else CostEstimate(usd, f"an hour of the sandbox on {flavor or 'unknown hardware'}")
    )
    return Preflight(estimate=estimate, facts=tuple(facts), hints=tuple(hints))


async def _machine_to_come(
    sandboxes: Sandboxes, wanted: Wanted, session: ToolSession
) -> tuple[str | None, float | None]:
    """Its hardware and price, None for what could not be found out."""
    if wanted.attach is None:
        price: Price | None = await _in_time(session.compute.price(BACKEND, wanted.flavor))
        return wanted.flavor, price.usd_per_hour if price is not None else None
    running = session.compute.find(wanted.attach)
    if running is not None:
        return running.flavor, running.usd_per_hour
    require_sandbox_id(wanted.attach)
    flavor = await _in_time(hardware_of(sandboxes, wanted.attach))
    if flavor:
        require_free(sandboxes, wanted.attach, flavor)
    return flavor, space_price(flavor) if flavor else None


async def _dashboard_facts(sandboxes: Sandboxes, wanted: Wanted) -> tuple[tuple[str, str], ...]:
    if not wanted.trackio_space_id or sandboxes.seed_trackio is None:
        return ()
    space = wanted.trackio_space_id
    if "/" not in space and (who := await _in_time(sandboxes.account.whoami())) is not None:
        space = f"{who.name}/{space}"
    return (("dashboard", _dashboard_text(space)),)


def require_free(sandboxes: Sandboxes, space_id: str, flavor: str) -> None:
    """Raises ComputeError for another session's sandbox that costs money: no lease here would end it."""
    usd = space_price(flavor)
    if usd == 0:
        return
    text = (
        f"The sandbox {space_id} was made by another session and is on {flavor} ({per_hour(usd)}): nothing here would "
        f"end it or count its cost. Make one on such hardware with sandbox_create, or set it to {FREE_HARDWARE} at "
        f"{sandboxes.account.url(space_id, 'space')}/settings and attach it then."
    )
    raise ComputeError(text, "unsupported", nothing_started=True)


def require_sandbox_id(space_id: str) -> None:
    """Raises ArgumentError for what no sandbox is called: attaching changes a secret of the Space, and restarts it."""
    if not SPACE_ID.fullmatch(space_id):
        raise ArgumentError(f"`attach`: {space_id[:100]} is no sandbox: owner/sandbox-1a2b3c4d is what one looks like.")


async def hardware_of(sandboxes: Sandboxes, space_id: str) -> str:
    """What a Space runs on, or will. Raises ComputeError."""
    runtime = await ask(
        sandboxes.account, lambda api: api.get_space_runtime(space_id), f"looking at the sandbox {space_id}"
    )
    return str(runtime.requested_hardware or runtime.hardware or "")


async def _who_pays(sandboxes: Sandboxes, wanted: Wanted) -> tuple[list[tuple[str, str]], list[str]]:
    requested = wanted.attach.partition("/")[0] if wanted.attach and "/" in wanted.attach else None
    answer = await _in_time(resolve_namespace(sandboxes.account, requested))
    if answer is None:
        return [("namespace", "not known (the Hub did not answer in time)")], []
    namespace, access = answer
    is_paid = wanted.flavor != FREE_HARDWARE
    if access is not None and is_paid and access.pays.get(namespace) is False:
        return [("namespace", namespace)], [
            f"{namespace} has no way to pay: the Hub will refuse paid hardware ({BILLING_URL})"
        ]
    return [("namespace", namespace)], []


def _hardware_text(flavor: str | None, usd: float | None) -> str:
    if not flavor:
        return "not known (the Hub did not answer in time)"
    known = TABLE.find(flavor)
    parts = [known.cpu, known.ram, known.accelerator] if known is not None else []
    return f"{flavor}: {', '.join([*(part for part in parts if part), per_hour(usd)])}"


async def _in_time(question: Awaitable[T]) -> T | None:
    """The answer, None if it takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await question
    except TimeoutError:
        return None

"""One piece of work elsewhere, as this run knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import field, replace
from datetime import datetime
from typing import Final

from agent.compute.leases import Lease
from agent.core.work_costs import Bill
from agent.core.work_log import WorkLog
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeBackend, Handle, Running, Status
from agent.protocol.events import WorkItem

MAX_NOTES: Final = 40
"""So many times at most the model is told of one piece of work, its end included."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A call that waits. `fresh`: there is output it has not shown; `woken`: what it waits for is there."""

    tool_call_id: str
    until: Callable[[str], bool] | None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def look(self, line: str) -> None:
        """A new line. A condition that cannot be asked ends the wait with its error."""
        self.fresh.set()
        if self.until is None or self.woken.is_set():
            return
        try:
            found = self.until(line)
        except Exception as error:  # noqa: BLE001 - a tool's own code: it is the tool that is told
            self.error, found = error, True
        if found:
            self.woken.set()


@dataclass(eq=False, slots=True)
class Told:
    """What was said of it so far, so that nothing is said twice and not too much."""

    notes: int = 0
    metrics_at: datetime | None = None
    broken_at: dict[str, datetime] = field(default_factory=dict)
    lowest: dict[str, float] = field(default_factory=dict)
    alerts: set[str] = field(default_factory=set)
    traceback_lines: int = 0
    """How many lines of a traceback have come that is not over yet; 0: there is none."""
    trouble: str = ""
    is_silent: bool = False
    """That its place cannot be reached."""
    missed: Callable[[], None] | None = None
    """Tells the model what it was not told while a call of its waited."""


@dataclass(eq=False)
class Entry:
    """What is known of it. Its lease here is the truth, the one on disk follows.

    `is_over`: it has ended, and that was told and written down. `is_seen` is set once its place was asked about it, or
    could not be. `is_recognised`: it is sure that the account that is signed in has made it. `pressing` is the task
    that orders its end until it is over.
    """

    lease: Lease
    backend: ComputeBackend
    bill: Bill
    log: WorkLog
    status: Status = field(default_factory=lambda: Status("creating"))
    cost_usd: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    waiters: set[Waiter] = field(default_factory=set)
    is_over: bool = False
    is_dropped: bool = False
    """Its lease is gone: nothing of it is left to be done by anybody."""
    is_seen: asyncio.Event = field(default_factory=asyncio.Event)
    is_recognised: bool = False
    pressing: asyncio.Task[None] | None = None
    paused_at: datetime | None = None
    """When it was last looked at, if it was paused then."""
    gone_since: datetime | None = None
    """Since when its place does not know it."""
    silent_since: datetime | None = None
    """Since when its place gives no answer."""
    ending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def id(self) -> str:
        """The lease's id."""
        return self.lease.id

    @property
    def handle(self) -> Handle | None:
        """What the place knows it by, once it has said."""
        return self.lease.handle

    @property
    def tool(self) -> str:
        """The tool that it is told under."""
        return self.bill.tool

    @property
    def has_command(self) -> bool:
        """Whether it runs something that ends, rather than being a machine for the asking."""
        return self.lease.kind != "sandbox" or self.lease.has_command

    @property
    def is_metered(self) -> bool:
        """Whether it is charged by the hour, having no end of its own; all else is charged once, when it is over."""
        return self.lease.kind == "sandbox" and self.lease.timeout_s is None

    @property
    def is_unwanted(self) -> bool:
        """Whether it is to be ended as soon as that can be done."""
        return self.lease.is_unwanted

    def see(self, status: Status | None, now: datetime) -> None:
        """A look at a sandbox (None: there was no answer). Between two looks that find it paused it was paused: it
        takes longer than that until it falls asleep again."""
        is_paused = status is not None and status.stage == "paused"
        if is_paused and self.paused_at is not None:
            paused_s = self.lease.paused_s + (now - self.paused_at).total_seconds()
            self.lease = replace(self.lease, paused_s=paused_s)
        self.paused_at = now if is_paused else None

    @property
    def label(self) -> str:
        """A few words by which a person knows it."""
        place_id = self.handle.id if self.handle is not None else self.id
        return f"{self.lease.kind} {place_id} ({self.lease.name})"

    def view(self) -> Running:
        """As tools see it."""
        return Running(
            lease_id=self.id,
            kind=self.lease.kind,
            name=self.lease.name,
            flavor=self.lease.flavor,
            handle=self.handle or Handle(self.lease.backend, "", self.lease.namespace),
            status=self.status,
            created_at=self.lease.created_at,
            session_id=self.lease.session_id,
            tool_call_id=self.lease.tool_call_id,
            usd_per_hour=self.lease.usd_per_hour,
            timeout_s=self.lease.timeout_s,
            seen_lines=self.log.count,
            last_line="".join(self.log.last(1)),
            metrics=dict(self.metrics),
            log_path=self.log.path,
            cost_usd=self.cost_usd,
        )

    def item(self) -> WorkItem:
        """As events tell of it."""
        status, handle = self.status, self.handle
        return WorkItem(
            id=self.id,
            kind=self.lease.kind,
            name=self.lease.name,
            backend=self.lease.backend,
            place_id=handle.id if handle is not None else "",
            flavor=self.lease.flavor,
            stage=status.stage,
            is_over=self.is_over,
            created_at=self.lease.created_at.isoformat(),
            usd_per_hour=self.lease.usd_per_hour,
            url=handle.url if handle is not None else None,
            namespace=(handle.namespace if handle is not None else None) or self.lease.namespace,
            started_at=status.started_at.isoformat() if status.started_at else None,
            ended_at=status.ended_at.isoformat() if status.ended_at else None,
            cost_usd=self.cost_usd,
            last_line="".join(self.log.last(1))[:400],
            metrics={name: value for name, value in self.metrics.items() if abs(value) < float("inf")},
            log_path=str(self.log.path),
        )

"""The fake Hub's scheduled jobs: when they are due, and their routes. Time does not pass by itself: see `Jobs.fire`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_job import Job, admit
from tests.fakes.hub_part import Part, Refused, Route, object_of, send_json, stamp

if TYPE_CHECKING:
    from tests.fakes.hub_jobs import Jobs

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def next_run(schedule: str, now: datetime) -> datetime:
    """The first time after `now` that a cron expression names (both day fields must match). ValueError if malformed."""
    fields = _PRESETS.get(schedule, schedule).split()
    if len(fields) != 5:
        raise ValueError(f"Invalid schedule: {schedule}")
    minutes, hours, days, months, weekdays = (
        _cron_values(text, *limits) for text, limits in zip(fields, _CRON_RANGES, strict=True)
    )
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for day in (midnight + timedelta(days=number) for number in range(366 * 5)):
        if day.day in days and day.month in months and {day.isoweekday(), day.isoweekday() % 7} & weekdays:
            times = (day.replace(hour=hour, minute=minute) for hour in sorted(hours) for minute in sorted(minutes))
            if (found := next((each for each in times if each > now), None)) is not None:
                return found
    raise ValueError(f"Invalid schedule: {schedule}")


def _cron_values(text: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if match is None:
            raise ValueError(f"Invalid schedule field: {text}")
        first, last, step = (int(group) if group else None for group in match.groups())
        start = low if first is None else first
        end = last if last is not None else (high if first is None or step else start)
        values |= set(range(start, end + 1, step or 1))
    if not values or not values <= set(range(low, high + 1)):
        raise ValueError(f"Invalid schedule field: {text}")
    return values


@dataclass(slots=True)
class Scheduled:
    """A scheduled job."""

    id: str
    namespace: str
    created_at: datetime
    spec: dict[str, Any]
    schedule: str
    suspend: bool = False
    concurrency: bool = False
    runs: list[Job] = field(default_factory=list)


class Schedules(Part):
    """All scheduled jobs; `known` has them by id."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__(jobs.hub)
        self.known: dict[str, Scheduled] = {}
        self._jobs = jobs

    def routes(self) -> Iterable[Route]:
        """All routes of schedules."""
        schedules = r"/api/scheduled-jobs/(?P<namespace>[^/]+)"
        one = schedules + r"/(?P<scheduled_id>[^/]+)"
        return (
            Route("POST", schedules, self._schedule),
            Route("GET", schedules, self._list),
            Route("GET", one, self._inspect),
            Route("DELETE", one, self._delete),
            Route("PUT", one + "/labels", self._set_labels),
            Route("POST", one + "/(?P<what>suspend|resume)", self._suspend_or_resume),
            Route("POST", one + "/run", self._trigger),
        )

    async def _schedule(self, exchange: Exchange, namespace: str) -> None:
        body = object_of(exchange)
        spec = self._jobs.startable(exchange, namespace, body.get("jobSpec"))
        try:
            next_run(str(body.get("schedule")), self.hub.now())
        except ValueError as problem:
            raise Refused(400, str(problem)) from problem
        with self._jobs.changing():
            one = Scheduled(self._jobs.new_id(), namespace, self.hub.now(), spec, body["schedule"])
            one.suspend, one.concurrency = bool(body.get("suspend")), bool(body.get("concurrency"))
            self.known[one.id] = one
        await send_json(exchange, 200, self._answer(one))

    def _answer(self, one: Scheduled) -> dict[str, Any]:
        last = one.runs[-1] if one.runs else None
        return {
            "id": one.id,
            "createdAt": stamp(one.created_at),
            "jobSpec": {**one.spec, "secrets": dict.fromkeys(one.spec.get("secrets") or {}, "")},
            "schedule": one.schedule,
            "suspend": one.suspend,
            "concurrency": one.concurrency,
            "status": {
                "lastJob": {"id": last.id, "at": stamp(last.created_at)} if last else None,
                "nextJobRunAt": None if one.suspend else stamp(next_run(one.schedule, self.hub.now())),
            },
            "owner": self._jobs.owner(one.namespace),
        }

    def run(self, one: Scheduled) -> Job:
        """Start it now."""
        with self._jobs.changing():
            job = self._jobs.new(one.namespace, one.spec, {"type": "scheduled-job", "id": one.id})
            one.runs.append(job)
            self._jobs.begin(job)
        return job

    def _found(self, exchange: Exchange, namespace: str, scheduled_id: str) -> Scheduled:
        """The scheduled job a request is about. Raises Refused."""
        admit(self.hub, exchange, namespace)
        one = self.known.get(scheduled_id)
        if one is None or one.namespace != namespace:
            raise Refused(404, "Scheduled job not found")
        return one

    async def _list(self, exchange: Exchange, namespace: str) -> None:
        admit(self.hub, exchange, namespace)
        key, _, value = exchange.request.query.get("label", "").partition("=")
        found = [one for one in list(self.known.values()) if one.namespace == namespace]
        found = [one for one in found if not key or (one.spec.get("labels") or {}).get(key) == value]
        await send_json(exchange, 200, [self._answer(one) for one in reversed(found)])

    async def _inspect(self, exchange: Exchange, namespace: str, scheduled_id: str) -> None:
        one = self._found(exchange, namespace, scheduled_id)
        await send_json(exchange, 200, self._answer(one))

    async def _delete(self, exchange: Exchange, namespace: str, scheduled_id: str) -> None:
        one = self._found(exchange, namespace, scheduled_id)
        with self._jobs.changing():
            del self.known[one.id]
        await send_json(exchange, 200, {})

    async def _set_labels(self, exchange: Exchange, namespace: str, scheduled_id: str) -> None:
        one = self._found(exchange, namespace, scheduled_id)
        one.spec["labels"] = dict(object_of(exchange)["labels"])
        await send_json(exchange, 200, self._answer(one))

    async def _suspend_or_resume(self, exchange: Exchange, namespace: str, scheduled_id: str, what: str) -> None:
        one = self._found(exchange, namespace, scheduled_id)
        with self._jobs.changing():
            one.suspend = what == "suspend"
        await send_json(exchange, 200, {})

    async def _trigger(self, exchange: Exchange, namespace: str, scheduled_id: str) -> None:
        one = self._found(exchange, namespace, scheduled_id)
        if not one.concurrency and any(not job.is_over for job in one.runs):
            raise Refused(409, "An instance of this scheduled job is already running")
        await send_json(exchange, 200, self.run(one).answer())

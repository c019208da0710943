"""Sweeping leases: what nobody looks after ends, nothing is forgotten on doubt, and the listing says what runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.compute.hf_jobs import HfJobs
from agent.compute.hf_sandbox import HfSandbox
from agent.compute.leases import Lease, LeaseStore, Owner, new_lease, this_process
from agent.compute.sweep import Swept, listing, sweep
from agent.hub.account import HubAccount
from agent.protocol.compute import LEASE_LABEL, ComputeError, Ending, Handle, Kind, LogLine, Price, Status, Work
from tests.fakes.hub import FakeHub

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DEAD = replace(this_process(), started=-1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Place:
    """A place in memory: what is there by lease id, and what was asked of it."""

    def __init__(self, kind: Kind = "job", name: str = "place") -> None:
        self.kind: Kind = kind
        self.name = name
        self.user = "tester"
        self.blinks = 0
        """So many looks do not see what is there."""
        self.there: dict[str, Status] = {}
        self.asked: list[tuple[str, str]] = []
        self.errors: dict[str, Exception] = {}
        self.stuck = False
        self.gate: asyncio.Event | None = None
        self.busy = self.busiest = 0

    def holds(self, lease: Lease, stage: Any = "running", **facts: Any) -> Handle:
        self.there[lease.id] = Status(stage, **facts)
        return self.handle(lease)

    def handle(self, lease: Lease) -> Handle:
        return Handle(self.name, lease.id, None, f"https://place/{lease.id}", {"token": "t0p-s3cret"})

    async def _ask(self, what: str, lease_id: str) -> None:
        self.asked.append((what, lease_id))
        if what in self.errors:
            raise self.errors[what]
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.busy -= 1

    async def account(self) -> str:
        return self.user

    async def price(self, flavor: str) -> Price:
        return Price(None, "unknown")

    async def submit(self, work: Work, lease_id: str) -> Handle:
        raise NotImplementedError

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        await self._ask("find", lease_id)
        return Handle(self.name, lease_id) if lease_id in self.there else None

    async def status(self, handle: Handle) -> Status:
        await self._ask("status", handle.id)
        if self.blinks:
            self.blinks -= 1
            return Status("gone")
        return self.there.get(handle.id, Status("gone"))

    def logs(self, handle: Handle, *, skip: int = 0) -> AsyncIterator[LogLine]:
        raise NotImplementedError

    async def cancel(self, handle: Handle) -> Ending:
        await self._ask("cancel", handle.id)
        if self.stuck:
            return Ending(False, "It does not stop.")
        self.there[handle.id] = replace(self.there[handle.id], stage="canceled")
        return Ending(True, "It was stopped.")

    async def teardown(self, handle: Handle) -> None:
        await self._ask("teardown", handle.id)
        if not self.stuck:
            self.there.pop(handle.id, None)


@pytest.fixture
def store(tmp_path: Path) -> LeaseStore:
    return LeaseStore(tmp_path)


def a_lease(place: Place, age: timedelta = DAY, **changes: Any) -> Lease:
    """A running lease of a dead program, an hour's work, expired after an hour and a half."""
    lease = new_lease(
        place.kind,
        place.name,
        name="train.py",
        session_id="session1",
        tool_call_id="call1",
        flavor="a10g-large",
        namespace="acme",
        usd_per_hour=1.5,
        timeout_s=3600.0,
        now=NOW - age,
    )
    return replace(lease, **({"owner": DEAD, "state": "running", "handle": place.handle(lease)} | changes))


async def at_once(_seconds: float) -> None:
    """For `sleep`."""
    await asyncio.sleep(0)


async def swept(store: LeaseStore, *places: Place, **options: Any) -> list[tuple[str, str]]:
    backends = {place.name: place for place in places}
    done = await sweep(store, backends, now=NOW, **{"sleep": at_once} | options)
    return [(each.lease.id, each.action) for each in done]


async def one(store: LeaseStore, place: Place, **options: Any) -> Swept:
    [done] = await sweep(store, {place.name: place}, now=NOW, **{"sleep": at_once} | options)
    return done


# --- who is swept ----------------------------------------------------------------------------------------------------


def living(lease: Lease) -> Lease:
    """Of this machine's first process: it lives, and is not us."""
    from agent.compute.processes import start_of

    return replace(lease, owner=Owner(1, start_of(1) or 0, this_process().host))


def elsewhere(lease: Lease) -> Lease:
    """Of a program on another machine: nobody here can tell whether it lives."""
    return replace(lease, owner=replace(DEAD, host="elsewhere"))


@pytest.mark.parametrize(
    ("change", "is_swept"),
    [
        (lambda lease: lease, True),
        (lambda lease: replace(lease, owner=this_process()), True),
        (living, False),
        (lambda lease: replace(lease, owner=replace(DEAD, host="elsewhere")), True),
        (lambda lease: elsewhere(replace(lease, is_unwanted=True, expires_at=NOW + MINUTE)), False),
        (lambda lease: replace(lease, expires_at=NOW + MINUTE), False),
        (lambda lease: replace(lease, expires_at=NOW + MINUTE, is_unwanted=True), True),
        (lambda lease: living(replace(lease, is_unwanted=True)), False),
        (lambda lease: replace(lease, session_id="resumed"), False),
    ],
)
async def test_only_what_is_expired_and_has_no_program(
    store: LeaseStore, change: Callable[[Lease], Lease], is_swept: bool
) -> None:
    place = Place()
    lease = store.write(change(a_lease(place)))
    place.holds(lease)
    done = await swept(store, place, keep_sessions={"resumed"})
    assert done == ([(lease.id, "ended")] if is_swept else [])
    assert bool(place.asked) == is_swept


async def test_what_a_person_names_ends_whatever_its_age(store: LeaseStore) -> None:
    place = Place()
    young, other = (store.write(living(a_lease(place, MINUTE))) for _ in range(2))
    place.holds(young)
    place.holds(other)
    assert await swept(store, place, only={young.id}) == []
    assert await swept(store, place, only={young.id}, force=True) == [(young.id, "ended")]
    assert place.there[other.id].stage == "running"
    assert store.get(young.id) == young, "its session lives, and charges it itself"


# --- what is done ----------------------------------------------------------------------------------------------------


async def test_a_job_that_runs_is_canceled_and_waits_to_be_charged(store: LeaseStore) -> None:
    place = Place()
    lease = store.write(a_lease(place))
    place.holds(lease, billed_s=1800.0)
    done = await one(store, place)
    assert done.action == "ended" and "$0.75" in done.text
    kept = store.get(lease.id)
    assert kept is not None
    assert (kept.state, kept.stage, kept.cost_usd, kept.ended_at) == ("ended", "canceled", 0.75, NOW)
    place.asked.clear()
    assert await swept(store, place) == [] and place.asked == []


async def test_a_job_that_is_over_is_only_noted(store: LeaseStore) -> None:
    place = Place()
    lease = store.write(a_lease(place, charged_usd=0.25))
    ended_at = NOW - 20 * HOUR
    place.holds(lease, "completed", billed_s=3600.0, ended_at=ended_at)
    done = await one(store, place)
    assert done.action == "ended" and "$1.25 will be charged" in done.text
    kept = store.get(lease.id)
    assert kept is not None
    assert (kept.stage, kept.cost_usd, kept.ended_at) == ("completed", 1.5, ended_at)
    assert [what for what, _ in place.asked] == ["status"]


@pytest.mark.parametrize("stage", ["running", "paused", "completed", "failed", "gone"])
async def test_a_sandbox_is_deleted_in_whatever_state(store: LeaseStore, stage: str) -> None:
    place = Place("sandbox")
    lease = store.write(a_lease(place, usd_per_hour=0.0))
    place.holds(lease, stage)
    assert await swept(store, place) == [(lease.id, "deleted")]
    assert [what for what, _ in place.asked].count("teardown") == 1, "one look may miss it"
    assert store.all() == [], "it was free: nothing is left to charge"


@pytest.mark.parametrize(
    ("usd_per_hour", "status", "cost_usd"),
    [
        (1.5, Status("running"), 36.0),  # a day: since it was made
        (1.5, Status("running", started_at=NOW - 2 * HOUR), 3.0),
        (1.5, Status("running", billed_s=60.0), 0.025),
        (1.5, Status("gone"), 1.5),  # until its lease ran out, at most
        (None, Status("running", billed_s=60.0), None),
    ],
)
async def test_what_a_sandbox_is_said_to_have_cost(
    store: LeaseStore, usd_per_hour: float | None, status: Status, cost_usd: float | None
) -> None:
    place = Place("sandbox")
    lease = store.write(a_lease(place, usd_per_hour=usd_per_hour, timeout_s=None, expires_at=NOW - DAY + HOUR))
    place.there[lease.id] = status
    done = await one(store, place)
    kept = store.get(lease.id)
    assert kept is not None and kept.cost_usd == cost_usd
    assert ("not known" in done.text) == (cost_usd is None)


@pytest.mark.parametrize(
    ("known", "status", "cost_usd"),
    [
        ({"paused_s": 7200.0}, Status("running"), 33.0),  # a day, less two hours
        ({}, Status("paused"), 1.5),  # asleep: until its lease ran out, at most
        ({"paused_s": 1800.0}, Status("paused"), 0.75),
        ({"charged_usd": 4.5}, Status("queued"), 4.5),  # it starts again, and ran before
    ],
)
async def test_the_whole_cost_of_a_sandbox_leaves_out_its_pauses_and_nothing_that_was_charged(
    store: LeaseStore, known: dict[str, Any], status: Status, cost_usd: float
) -> None:
    place = Place("sandbox")
    notes = {"image": "img"}
    lease = store.write(a_lease(place, timeout_s=None, expires_at=NOW - DAY + HOUR, notes=notes, **known))
    place.there[lease.id] = status
    await one(store, place)
    kept = store.get(lease.id)
    if "charged_usd" in known:
        assert kept is None, "all of it was charged"
    else:
        assert kept is not None and (kept.cost_usd, dict(kept.notes)) == (cost_usd, notes)


async def test_what_has_been_charged_in_full_is_forgotten(store: LeaseStore) -> None:
    place = Place("sandbox")
    place.holds(store.write(a_lease(place, charged_usd=1.5)), billed_s=3600.0)
    done = await one(store, place)
    assert done.action == "deleted" and "$" not in done.text
    assert store.all() == []


async def test_a_job_never_costs_more_than_its_time_limit(store: LeaseStore) -> None:
    place = Place()
    lease = store.write(a_lease(place))
    place.holds(lease, "gone")
    await swept(store, place)
    kept = store.get(lease.id)
    assert kept is not None and (kept.stage, kept.cost_usd) == ("gone", 1.5)


async def test_what_was_queued_has_cost_nothing_and_is_forgotten(store: LeaseStore) -> None:
    place = Place()
    place.holds(store.write(a_lease(place)), "queued")
    done = await one(store, place)
    assert done.action == "ended" and "cost" not in done.text
    assert store.all() == []


async def test_a_process_keeps_its_output_for_its_session(store: LeaseStore) -> None:
    place = Place("process")
    lease = store.write(a_lease(place, usd_per_hour=0.0))
    place.holds(lease, "completed")
    assert await swept(store, place) == [(lease.id, "ended")]
    kept = store.get(lease.id)
    assert kept is not None and (kept.state, kept.stage) == ("ended", "completed")
    assert await swept(store, place) == [] and ("teardown", lease.id) not in place.asked
    store.update(lease.id, ended_at=NOW - 30 * DAY)
    assert await swept(store, place) == [(lease.id, "dropped")]
    assert place.there == {} and store.all() == []


async def test_what_has_ended_waits_a_month_for_its_session(store: LeaseStore) -> None:
    place = Place()
    young = store.write(a_lease(place, state="ended", stage="failed", cost_usd=1.0, ended_at=NOW - 29 * DAY))
    store.write(a_lease(place, state="ended", stage="failed", cost_usd=1.0, ended_at=NOW - 30 * DAY))
    store.write(a_lease(place, state="ended", stage="failed", cost_usd=0.0, ended_at=NOW - MINUTE))
    store.write(living(a_lease(place, state="ended", stage="failed", cost_usd=0.0, ended_at=NOW - MINUTE)))
    assert [action for _, action in await swept(store, place)] == ["dropped", "dropped"]
    assert {lease.owner == DEAD for lease in store.all()} == {True, False} and young in store.all()
    done = await one(store, place, only={young.id}, force=True)
    assert done.action == "ended" and "$1.00" in done.text and young in store.all()


# --- what was never seen to begin -------------------------------------------------------------------------------------


async def test_what_was_made_without_a_known_id_is_found_and_ended(store: LeaseStore) -> None:
    place = Place()
    lease = store.write(a_lease(place, state="creating", handle=None))
    place.holds(lease, billed_s=3600.0)
    assert await swept(store, place) == [(lease.id, "ended")]
    kept = store.get(lease.id)
    assert kept is not None and kept.handle == Handle("place", lease.id) and kept.cost_usd == 1.5


@pytest.mark.parametrize(("age", "action"), [(9 * MINUTE, "kept"), (10 * MINUTE, "dropped")])
async def test_what_is_not_found_may_still_appear_for_a_while(store: LeaseStore, age: timedelta, action: str) -> None:
    place = Place()
    lease = store.write(a_lease(place, age, state="creating", handle=None, is_unwanted=True))
    assert await swept(store, place) == [(lease.id, action)]
    assert bool(store.all()) == (action == "kept")


@pytest.mark.parametrize(
    ("age", "change", "action"),
    [
        (MINUTE, living, "kept"),
        (2 * MINUTE, living, "dropped"),
        (timedelta(seconds=1), lambda lease: lease, "dropped"),  # its program is dead: nobody makes it any more
    ],
)
async def test_what_a_person_names_and_was_never_made_is_forgotten_soon(
    store: LeaseStore, age: timedelta, change: Callable[[Lease], Lease], action: str
) -> None:
    place = Place()
    lease = store.write(change(a_lease(place, age, state="creating", handle=None)))
    assert await swept(store, place, force=True) == [(lease.id, action)]
    assert bool(store.all()) == (action == "kept")
    assert len(place.asked) == (1 if action == "kept" else 2), "it is looked for once more"


async def test_what_appears_at_the_second_look_is_ended(store: LeaseStore) -> None:
    place = Place()
    lease = store.write(a_lease(place, timedelta(seconds=1), state="creating", handle=None))

    async def appear(_seconds: float) -> None:
        place.holds(lease)

    assert await swept(store, place, force=True, sleep=appear) == [(lease.id, "ended")]
    assert place.there[lease.id].stage == "canceled"


async def test_a_single_look_that_sees_nothing_ends_no_ones_watch(store: LeaseStore) -> None:
    job, box = Place(), Place("sandbox", "boxes")
    for place in (job, box):
        place.holds(store.write(a_lease(place)), billed_s=3600.0)
        place.blinks = 1
    assert sorted(action for _, action in await swept(store, job, box)) == ["deleted", "ended"]
    assert [status.stage for status in job.there.values()] == ["canceled"] and box.there == {}


async def test_a_job_in_a_queue_is_left_alone_and_its_time_begins_when_it_runs(store: LeaseStore) -> None:
    place = Place()
    lease = store.write(a_lease(place, 3 * HOUR))
    place.holds(lease, "queued")
    assert await swept(store, place) == [] and place.there[lease.id].stage == "queued"
    store.update(lease.id, expires_at=lease.expires_at)
    place.holds(lease, "running", started_at=NOW - 31 * MINUTE)
    assert await swept(store, place) == [] and place.there[lease.id].stage == "running"
    [row] = await listing(store, {"place": place}, NOW)
    assert not row.is_expired
    renewed = store.get(lease.id)
    assert renewed is not None and renewed.expires_at == NOW + 59 * MINUTE
    store.update(lease.id, expires_at=lease.expires_at)
    place.holds(lease, "running", started_at=NOW - 91 * MINUTE)
    assert await swept(store, place) == [(lease.id, "ended")]


async def test_what_another_account_made_is_kept_and_said(store: LeaseStore) -> None:
    """To this account the place tells of nothing, and it may well be there."""
    place, box = Place(), Place("sandbox", "boxes")
    leases = [
        store.write(a_lease(place, account="somebody")),
        store.write(a_lease(box, account="somebody", handle=None, state="creating")),
        store.write(a_lease(place, account="tester")),
    ]
    rows = {row.lease.id: row for row in await listing(store, {"place": place, "boxes": box}, NOW)}
    for lease in leases[:2]:
        assert rows[lease.id].status is None and "somebody" in str(rows[lease.id].problem)
    for force in (False, True):
        done = {
            each.lease.id: each
            for each in await sweep(store, {"place": place, "boxes": box}, now=NOW, force=force, sleep=at_once)
        }
        for lease in leases[:2]:
            assert done[lease.id].action == "kept" and "signed in as tester" in done[lease.id].text
            assert store.get(lease.id) == lease
    assert {lease_id for _, lease_id in [*place.asked, *box.asked]} == {leases[2].id}


async def test_what_its_session_comes_back_for_meanwhile_is_left_to_it(store: LeaseStore) -> None:
    place = Place()
    place.gate = asyncio.Event()
    lease = store.write(a_lease(place))
    place.holds(lease)
    sweeping = asyncio.create_task(swept(store, place))
    async with asyncio.timeout(30):
        while not place.asked:
            await asyncio.sleep(0.01)
        store.update(lease.id, owner=living(lease).owner)
        place.gate.set()
        assert await sweeping == []
    assert place.there[lease.id].stage == "running"


async def test_what_this_program_follows_itself_is_left_alone(store: LeaseStore) -> None:
    place = Place()
    followed, other = (store.write(a_lease(place, owner=this_process())) for _ in range(2))
    place.holds(followed)
    place.holds(other)
    assert await swept(store, place, is_followed=lambda lease_id: lease_id == followed.id) == [(other.id, "ended")]
    assert place.there[followed.id].stage == "running"


async def test_what_killed_programs_left_beside_the_leases_goes(store: LeaseStore, tmp_path: Path) -> None:
    import os

    store.write(a_lease(Place(), owner=this_process(), expires_at=NOW + HOUR))
    stray, fresh = tmp_path / "leases" / "0123456789ab.log.kept", tmp_path / "leases" / "0123456789ac.log"
    for path, at in ((stray, NOW - DAY), (fresh, NOW)):
        path.touch()
        os.utime(path, (at.timestamp(), at.timestamp()))
    assert await swept(store, dry_run=True) == [] and stray.exists()
    assert await swept(store) == [] and not stray.exists() and fresh.exists()


# --- doubt -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["job", "sandbox"])
@pytest.mark.parametrize("what", ["find", "status", "cancel", "teardown"])
@pytest.mark.parametrize("error", [ComputeError("the Hub has trouble", "server"), KeyError("a bug")])
async def test_on_any_failure_the_lease_stays_as_it_is(
    store: LeaseStore, kind: Kind, what: str, error: Exception
) -> None:
    place = Place(kind)
    made = a_lease(place, handle=None, state="creating") if what == "find" else a_lease(place)
    lease = store.write(made)
    place.holds(lease)
    place.errors[what] = error
    if (kind, what) in {("job", "teardown"), ("sandbox", "cancel")}:
        assert (await one(store, place)).action in ("ended", "deleted"), "that is not how this kind is ended"
        return
    done = await one(store, place)
    assert done.action == "kept" and str(error) in done.text
    assert store.all() == [lease] and place.there[lease.id].stage == "running"


@pytest.mark.parametrize("kind", ["job", "sandbox"])
async def test_what_does_not_end_keeps_its_lease(store: LeaseStore, kind: Kind) -> None:
    place = Place(kind)
    lease = store.write(a_lease(place))
    place.holds(lease)
    place.stuck = True
    assert (await one(store, place)).action == "kept"
    assert store.all() == [lease]


async def test_a_place_this_version_does_not_know(store: LeaseStore) -> None:
    lease = store.write(a_lease(Place(name="slurm")))
    done = await one(store, Place())
    assert done.action == "kept" and "slurm" in done.text and store.all() == [lease]


async def test_one_failure_does_not_keep_the_others(store: LeaseStore) -> None:
    good, bad = Place(name="good"), Place(name="bad")
    bad.errors["status"] = ComputeError("no answer", "network")
    leases = [store.write(a_lease(place, n * DAY)) for n, place in ((3, bad), (2, good), (1, bad))]
    good.holds(leases[1])
    assert [action for _, action in await swept(store, good, bad)] == ["kept", "ended", "kept"]


async def test_a_dry_run_changes_nothing(store: LeaseStore) -> None:
    job, sandbox = Place(), Place("sandbox", "boxes")
    running, box = store.write(a_lease(job, 5 * DAY)), store.write(a_lease(sandbox, 4 * DAY))
    store.write(a_lease(job, 3 * DAY, handle=None, state="creating"))
    store.write(a_lease(job, 2 * DAY, state="ended", cost_usd=0.0, stage="completed"))
    job.holds(running)
    sandbox.holds(box, "failed")
    before = store.all()
    done = await sweep(store, {"place": job, "boxes": sandbox}, now=NOW, dry_run=True)
    assert [each.action for each in done] == ["would be ended"] * 2 + ["would be dropped"] * 2
    assert store.all() == before and {what for what, _ in job.asked + sandbox.asked} == {"find", "status"}


# --- several at a time -----------------------------------------------------------------------------------------------


async def test_at_most_eight_at_a_time(store: LeaseStore) -> None:
    place = Place()
    place.gate = asyncio.Event()
    for number in range(12):
        place.holds(store.write(a_lease(place, (number + 1) * DAY)), "completed", billed_s=1.0)
    sweeping = asyncio.create_task(swept(store, place))
    async with asyncio.timeout(30):
        while len(place.asked) < 8:
            await asyncio.sleep(0.01)
    place.gate.set()
    assert [action for _, action in await sweeping] == ["ended"] * 12
    assert place.busiest == 8


async def test_two_sweeps_do_not_do_the_same_work(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    place.gate = asyncio.Event()
    lease = store.write(a_lease(place))
    place.holds(lease)
    first = asyncio.create_task(swept(store, place))
    async with asyncio.timeout(30):
        while not place.asked:
            await asyncio.sleep(0.01)
        assert await swept(LeaseStore(tmp_path), place) == [], "the other one does it"
        with pytest.raises(ComputeError, match="Another"):
            await sweep(store, {}, now=NOW, patience_s=0.4, sleep=lambda _s: asyncio.sleep(0))
        patient = asyncio.create_task(swept(store, place, patience_s=60.0, sleep=lambda _s: asyncio.sleep(0)))
        place.gate.set()
        assert await first == [(lease.id, "ended")]
        assert await patient == []
    assert [what for what, _ in place.asked].count("cancel") == 1


async def test_a_lease_that_vanishes_meanwhile_stays_away(store: LeaseStore) -> None:
    place = Place()
    place.gate = asyncio.Event()
    lease = store.write(a_lease(place))
    place.holds(lease, "completed", billed_s=60.0)
    sweeping = asyncio.create_task(swept(store, place))
    async with asyncio.timeout(30):
        while not place.asked:
            await asyncio.sleep(0.01)
        store.drop(lease.id)
        place.gate.set()
        await sweeping
    assert store.all() == []


# --- the listing -----------------------------------------------------------------------------------------------------


async def test_the_listing_tells_how_each_stands(store: LeaseStore) -> None:
    jobs, boxes = Place(), Place("sandbox", "boxes")
    boxes.errors["status"] = ComputeError("the Hub cannot be reached", "network")
    running = store.write(a_lease(jobs, 4 * HOUR, owner=this_process(), expires_at=NOW + HOUR))
    silent = store.write(a_lease(boxes, 3 * HOUR))
    found = store.write(a_lease(jobs, 2 * HOUR, state="creating", handle=None))
    creating = store.write(a_lease(jobs, HOUR, state="creating", handle=None))
    store.write(a_lease(jobs, MINUTE, state="ended", stage="completed", cost_usd=3.0))
    jobs.holds(running, billed_s=7200.0)
    jobs.holds(found, "completed", billed_s=3600.0)
    before = store.all()
    rows = await listing(store, {"place": jobs, "boxes": boxes}, NOW)
    assert [row.lease for row in rows] == [running, silent, found, creating]
    assert [row.status and row.status.stage for row in rows] == ["running", None, "completed", "creating"]
    assert [row.so_far_usd for row in rows] == [3.0, None, 1.5, 0.0]
    assert [row.may_run for row in rows] == [True, True, False, True]
    assert [row.is_orphan for row in rows] == [False, True, True, True]
    assert [row.is_expired for row in rows] == [False, True, True, False]
    assert [row.problem for row in rows] == [None, "the Hub cannot be reached", None, None]
    assert store.all() == before


# --- with the real client --------------------------------------------------------------------------------------------


async def test_jobs_on_the_hub(store: LeaseStore) -> None:
    with FakeHub() as hub:
        account = HubAccount(hub.token, {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url})
        jobs = HfJobs(account, sleep=lambda _s: asyncio.sleep(0))
        hub.jobs.on_submit = lambda job: job.start()
        work = Work("train", ("python", "train.py"), image="python:3.12", timeout_s=3600.0, namespace="acme")
        place = Place(name="hf_jobs")
        lost = store.write(a_lease(place, DAY, state="creating", handle=None))
        never = store.write(a_lease(place, HOUR, state="creating", handle=None, expires_at=NOW))
        handle = await jobs.submit(work, lost.id)
        rows = await listing(store, {"hf_jobs": jobs}, NOW)
        assert [(row.handle and row.handle.id, row.status and row.status.stage) for row in rows] == [
            (handle.id, "running"),
            (None, "creating"),
        ]
        assert await sweep(store, {}, now=NOW, only=()) == []
        later = datetime.now(UTC) + DAY  # the job runs since just now
        done = await sweep(store, {"hf_jobs": jobs}, now=later, sleep=at_once)
        assert [(each.lease.id, each.action) for each in done] == [(lost.id, "ended"), (never.id, "dropped")]
        [job] = hub.jobs.wait_for(1)
        assert (job.stage, job.labels[LEASE_LABEL]) == ("CANCELED", lost.id)
        kept = store.get(lost.id)
        assert kept is None or kept.state == "ended"
        hub.check()


async def test_what_this_token_may_not_see_is_not_taken_for_gone(store: LeaseStore) -> None:
    """The Hub answers 404 to whoever may not look: after a change of account, work of the old one still runs."""
    with FakeHub() as hub:
        environ = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}
        jobs = HfJobs(HubAccount(hub.token, environ), sleep=lambda _s: asyncio.sleep(0))
        boxes = HfSandbox(HubAccount(hub.token, environ), sleep=lambda _s: asyncio.sleep(0), environ=environ)
        theirs = store.write(a_lease(Place(name="hf_jobs"), handle=Handle("hf_jobs", "1" * 24, "somebody")))
        box = Handle("hf_sandbox", "somebody/sandbox-01234567", "somebody", None, {"flavour": "space"})
        their_box = store.write(a_lease(Place("sandbox", "hf_sandbox"), handle=box, usd_per_hour=0.0))
        ours = store.write(a_lease(Place(name="hf_jobs"), handle=Handle("hf_jobs", "2" * 24, "tester")))
        hub.fail("GET", "/api/jobs/somebody/", status=404, times=99)
        backends = {"hf_jobs": jobs, "hf_sandbox": boxes}
        rows = {row.lease.id: row for row in await listing(store, backends, NOW)}
        for lease in (theirs, their_box):
            problem = rows[lease.id].problem or ""
            assert "no member of somebody" in problem and "hf auth login" in problem and rows[lease.id].may_run
        assert rows[ours.id].status is not None and rows[ours.id].status.stage == "gone"
        done = {each.lease.id: each for each in await sweep(store, backends, now=NOW, sleep=at_once)}
        assert [done[lease.id].action for lease in (theirs, their_box, ours)] == ["kept", "kept", "ended"]
        assert [store.get(lease.id) for lease in (theirs, their_box)] == [theirs, their_box]
        with pytest.raises(ComputeError) as refused:
            await boxes.teardown(box)
        assert refused.value.kind == "forbidden"
        hub.check()


async def test_what_nobody_can_tell_whose_it_is_is_not_taken_for_gone(store: LeaseStore) -> None:
    with FakeHub() as hub:
        environ = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}
        account = HubAccount(hub.token, environ, sleep=lambda _s: asyncio.sleep(0))
        jobs = HfJobs(account, sleep=lambda _s: asyncio.sleep(0))
        lease = store.write(a_lease(Place(name="hf_jobs"), handle=Handle("hf_jobs", "1" * 24, "tester")))
        silent = hub.fail("GET", "/whoami", status=503, times=99)
        [kept] = await sweep(store, {"hf_jobs": jobs}, now=NOW)
        assert kept.action == "kept" and store.get(lease.id) == lease
        silent.times = 0
        [ended] = await sweep(store, {"hf_jobs": jobs}, now=NOW, sleep=at_once)
        assert ended.action == "ended"

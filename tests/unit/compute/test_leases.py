"""Leases: what is on disk, who may see it, and who still looks after it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.compute.leases import Lease, LeaseStore, Owner, expiry, new_lease, this_process
from agent.protocol.compute import Handle, Kind

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def a_lease(kind: Kind = "job", timeout_s: float | None = 3600.0, **changes: object) -> Lease:
    lease = new_lease(
        kind,
        "hf_jobs",
        name="train.py – größer",
        session_id="session1",
        tool_call_id="call1",
        flavor="a10g-large",
        namespace="acme",
        usd_per_hour=1.5,
        timeout_s=timeout_s,
        now=NOW,
    )
    return replace(lease, **changes)


@pytest.fixture
def store(tmp_path: Path) -> LeaseStore:
    return LeaseStore(tmp_path / "state")


def test_a_lease_comes_back_as_it_was_written(store: LeaseStore, tmp_path: Path) -> None:
    lease = a_lease(
        state="ended",
        handle=Handle("hf_jobs", "68f0", "acme", "https://hub/jobs/68f0", {"api_token": "t0p"}),
        stage="failed",
        ended_at=NOW + timedelta(hours=1),
        cost_usd=0.25,
        notes={"image": "img"},
        account="me",
        is_unwanted=True,
        charged_usd=0.1,
        paused_s=7.5,
        has_command=True,
        price_source="live",
    )
    store.write(lease)
    assert LeaseStore(tmp_path / "state").all() == [lease]
    assert store.get(lease.id) == lease
    assert "t0p" not in repr(lease)


def test_nobody_else_can_read_it_and_nothing_half_written_is_left(store: LeaseStore, tmp_path: Path) -> None:
    lease = store.write(a_lease())
    store.update(lease.id, state="running", handle=Handle("hf_jobs", "68f0"))
    leases = tmp_path / "state" / "leases"
    assert [path.name for path in leases.iterdir()] == [f"{lease.id}.json"]
    assert stat.S_IMODE(leases.stat().st_mode) == 0o700
    assert stat.S_IMODE((leases / f"{lease.id}.json").stat().st_mode) == 0o600
    found = store.get(lease.id)
    assert found is not None and (found.state, found.handle) == ("running", Handle("hf_jobs", "68f0"))


def test_what_another_process_has_dropped_is_not_brought_back(store: LeaseStore) -> None:
    lease = store.write(a_lease())
    store.log_path(lease.id).write_text("output")
    store.drop(lease.id)
    store.drop(lease.id)
    assert store.update(lease.id, state="running") is None
    assert store.get(lease.id) is None and store.all() == [] and not store.log_path(lease.id).exists()


def test_the_oldest_comes_first(store: LeaseStore) -> None:
    young, old = a_lease(), a_lease(created_at=NOW - timedelta(days=1))
    store.write(young)
    store.write(old)
    assert store.all() == [old, young]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "0123456789ab"}', '{"from_the_future": 1}'])
def test_what_cannot_be_read_stays_and_is_named(store: LeaseStore, tmp_path: Path, text: str) -> None:
    kept = store.write(a_lease())
    broken = tmp_path / "state" / "leases" / "0123456789ab.json"
    broken.write_text(text)
    assert store.all() == [kept]
    assert store.unreadable() == [broken]


def test_a_field_of_a_later_version_makes_it_unreadable_not_wrong(store: LeaseStore, tmp_path: Path) -> None:
    lease = store.write(a_lease())
    path = tmp_path / "state" / "leases" / f"{lease.id}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"paused_by": "somebody"}))
    assert (store.all(), store.unreadable()) == ([], [path])


def test_an_id_cannot_lead_out_of_the_directory(store: LeaseStore, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "secret.json").write_text("{}")
    assert store.get("../secret") is None
    with pytest.raises(ValueError, match="no lease id"):
        store.drop("../secret")


@pytest.mark.parametrize(
    ("kind", "timeout_s", "after"),
    [
        ("job", 7200.0, timedelta(hours=2, minutes=30)),
        ("job", None, timedelta(hours=1)),
        ("sandbox", None, timedelta(hours=1)),
        ("sandbox", 60.0, timedelta(hours=1)),
        ("process", 7200.0, timedelta(hours=2, minutes=30)),
        ("process", None, timedelta(days=30)),
    ],
)
def test_when_a_lease_runs_out(kind: Kind, timeout_s: float | None, after: timedelta) -> None:
    assert expiry(kind, NOW, timeout_s) == NOW + after
    lease = a_lease(kind, timeout_s)
    assert not lease.is_expired(NOW + after - timedelta(seconds=1))
    assert lease.is_expired(NOW + after)


def test_the_owner_lives_as_long_as_its_process() -> None:
    code = (
        "import sys; from agent.compute.leases import this_process as t; o = t(); print(o.pid, o.started, flush=True)"
    )
    command = [sys.executable, "-c", f"{code}; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, started = map(int, process.stdout.readline().split())
        owner = Owner(pid, started, this_process().host)
        assert owner.is_alive
        assert not replace(owner, started=started + 1).is_alive, "another process that got the same number"
        process.kill()
        process.wait()
        assert not owner.is_alive
    assert this_process().is_alive
    assert replace(owner, host="elsewhere").is_alive, "nobody here can tell"


def test_only_one_cleans_up_at_a_time(store: LeaseStore) -> None:
    first = store.try_lock()
    assert first is not None
    assert store.try_lock() is None
    first.close()
    second = store.try_lock()
    assert second is not None
    second.close()
    assert store.all() == [] and store.unreadable() == []


def test_a_lease_that_cannot_be_opened_does_not_hide_the_others(store: LeaseStore) -> None:
    good = store.write(a_lease())
    odd = store.log_path("0").parent / "odd.json"
    odd.mkdir()
    assert (store.all(), store.get("odd"), store.unreadable()) == ([good], None, [odd])


def test_a_file_in_the_place_of_the_leases_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "leases").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        LeaseStore(tmp_path).all()


def test_a_lease_of_an_older_version_is_read(store: LeaseStore) -> None:
    lease = store.write(a_lease())
    path = store.log_path("0").parent / f"{lease.id}.json"
    data = json.loads(path.read_text())
    for name in ("account", "is_unwanted", "charged_usd", "paused_s", "has_command", "price_source"):
        del data[name]
    path.write_text(json.dumps(data))
    assert store.get(lease.id) == lease


def test_what_killed_programs_have_left_goes_when_it_is_old(store: LeaseStore) -> None:
    lease = store.write(a_lease())
    directory = store.log_path("0").parent
    strays = ["0a.log", "0b.log.kept", "0c.log.new", "0d.12-ab.new", f"{lease.id}.12-ab.new"]
    kept = [f"{lease.id}.json", f"{lease.id}.log", "sweep.lock", "0f.json", "0f.log"]
    for name in strays + kept[1:]:
        (directory / name).write_text("x")
    now = datetime.now(UTC)
    store.remove_strays(now - timedelta(days=1))
    assert {path.name for path in directory.iterdir()} == {*strays, *kept}
    store.remove_strays(now + timedelta(minutes=1))
    assert {path.name for path in directory.iterdir()} == set(kept)

"""The fake Hub's jobs, schedules and hardware, through the real huggingface_hub client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, Sandbox, Volume
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, JobNotFoundError, SandboxError

from tests.fakes.hub import FakeHub
from tests.fakes.hub_job import Cut, line, polled, stage, streamed
from tests.fakes.hub_sandbox_server import SandboxServer
from tests.fakes.hub_schedules import next_run

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Clock:
    """The Hub's clock, in the test's hand."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub
        hub.check()


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def run(api: HfApi, **more: Any) -> Any:
    return api.run_job(**{"image": "python:3.12", "command": ["python", "x.py"], "namespace": "tester", **more})


class Follower:
    """Reads a job's logs in a thread of its own, as a program would."""

    def __init__(self, api: HfApi, job_id: str, **more: Any) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(api, job_id, more), daemon=True)
        self._thread.start()

    def _read(self, api: HfApi, job_id: str, more: dict[str, Any]) -> None:
        for text in api.fetch_job_logs(job_id=job_id, namespace="tester", follow=True, **more):
            with self._changed:
                self.lines.append(text)
                self._changed.notify_all()

    def wait_lines(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= count, 10), self.lines
            return list(self.lines)

    def finish(self) -> list[str]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.lines


def test_a_submitted_job_is_kept_as_sent_and_its_secrets_come_back_as_names_only(hub: FakeHub, api: HfApi) -> None:
    job = run(
        api,
        env={"A": "1"},
        secrets={"HF_TOKEN": "hf_secret"},
        flavor="a10g-small",
        timeout="2h",
        labels={"lease": "L1"},
        volumes=[Volume(type="model", source="a/b", mount_path="/m")],
    )
    assert (job.status.stage, job.flavor, job.docker_image) == ("SCHEDULING", "a10g-small", "python:3.12")
    assert (job.owner.name, job.owner.type, job.initiator.name) == ("tester", "user", "tester")
    assert job.url == f"{hub.url}/jobs/tester/{job.id}"
    assert job.environment == {"A": "1"} and list(job.secrets) == ["HF_TOKEN"]
    assert "hf_secret" not in str(job) and job.labels["lease"] == "L1" and job.volumes[0].mount_path == "/m"
    [kept] = hub.jobs.wait_for(1)
    assert kept.secrets == {"HF_TOKEN": "hf_secret"} and kept.spec["timeoutSeconds"] == 7200
    assert api.update_job_labels(job_id=job.id, labels={"x": "y"}, namespace="tester").labels == {"x": "y"}


def test_a_space_image_and_the_whoami_namespace(hub: FakeHub, api: HfApi) -> None:
    job = api.run_job(image="hf.co/spaces/lhoestq/duckdb", command=["duckdb"])
    assert (job.space_id, job.docker_image, job.owner.name) == ("lhoestq/duckdb", None, "tester")
    assert api.inspect_job(job_id=job.id).id == job.id


def test_times_and_durations_follow_the_hubs_clock(hub: FakeHub, api: HfApi) -> None:
    clock = Clock()
    hub.now = clock
    job = hub.jobs.get(run(api).id)
    clock.pass_s(6)
    job.start()
    clock.pass_s(90)
    seen = api.inspect_job(job_id=job.id, namespace="tester")
    assert seen.created_at == NOON and seen.started_at == NOON + timedelta(seconds=6) and seen.finished_at is None
    assert (seen.durations.scheduling_secs, seen.durations.running_secs, seen.durations.total_secs) == (6, 90, 96)
    job.end("ERROR", "exit code 1")
    clock.pass_s(1000)
    seen = api.inspect_job(job_id=job.id, namespace="tester")
    assert (seen.status.stage, seen.status.message) == ("ERROR", "exit code 1")
    assert seen.durations.running_secs == 90 and seen.finished_at == NOON + timedelta(seconds=96)


@pytest.mark.parametrize(
    ("namespace", "more", "status"),
    [
        ("stranger", {}, 403),
        ("acme", {}, 402),
        ("tester", {"flavor": "h100"}, 400),
        ("tester", {"labels": {"a": "no spaces allowed"}}, 400),
    ],
)
def test_refusals(hub: FakeHub, api: HfApi, namespace: str, more: dict[str, Any], status: int) -> None:
    hub.jobs.no_credit.add("acme")
    with pytest.raises(HfHubHTTPError) as caught:
        run(api, namespace=namespace, **more)
    assert caught.value.response.status_code == status and hub.jobs.all() == []


@pytest.mark.usefixtures("api")
def test_without_or_with_a_wrong_token_nothing_is_told(hub: FakeHub) -> None:
    for token in (False, "hf_wrong"):
        with pytest.raises(HfHubHTTPError) as caught:
            HfApi(endpoint=hub.url, token=token).inspect_job(job_id="x", namespace="tester")
        assert caught.value.response.status_code == 401


def test_a_token_that_may_only_read_looks_and_changes_nothing(hub: FakeHub, api: HfApi) -> None:
    job = hub.jobs.add()
    hub.social.role = "read"
    assert api.inspect_job(job_id=job.id, namespace="tester").id == job.id
    for attempt in (lambda: run(api), lambda: api.cancel_job(job_id=job.id, namespace="tester")):
        with pytest.raises(HfHubHTTPError) as caught:
            attempt()
        assert caught.value.response.status_code == 403
    assert hub.jobs.running() == [job]


def test_cancel_works_once_and_only_where_the_job_is(hub: FakeHub, api: HfApi) -> None:
    ended: list[str] = []
    hub.jobs.on_end.append(lambda job: ended.append(job.id))
    job_id = run(api, namespace="acme").id
    for namespace, status in (("tester", 404), ("stranger", 403)):
        with pytest.raises(HfHubHTTPError) as caught:
            api.cancel_job(job_id=job_id, namespace=namespace)
        assert caught.value.response.status_code == status
    assert [job.id for job in hub.jobs.running()] == [job_id]
    api.cancel_job(job_id=job_id, namespace="acme")
    assert api.inspect_job(job_id=job_id, namespace="acme").status.stage == "CANCELED" and ended == [job_id]
    assert hub.jobs.running() == []
    with pytest.raises(HfHubHTTPError, match="409"):
        api.cancel_job(job_id=job_id, namespace="acme")
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0" * 24, namespace="acme")


def test_listing_pages_and_filters(hub: FakeHub, api: HfApi) -> None:
    hub.jobs.page_size = 2
    made = [hub.jobs.add({"labels": {"n": str(number % 2), "all": "yes"}}) for number in range(5)]
    hub.jobs.add(namespace="acme")
    made[0].start()
    made[3].start()

    def ids(**more: Any) -> list[str]:
        return [job.id for job in api.list_jobs(namespace="tester", **more)]

    assert ids() == [job.id for job in reversed(made)]
    assert len([request for request in hub.requests if request.path == "/api/jobs/tester"]) == 3
    assert ids(status="running") == [made[3].id, made[0].id]
    assert ids(labels={"n": "1"}) == [made[3].id, made[1].id]
    with pytest.raises(BadRequestError):
        ids(status="PENDING")


def test_listing_filters_by_several_stages_and_labels(hub: FakeHub, api: HfApi) -> None:
    jobs = [hub.jobs.add({"labels": {"a": "1", "b": str(number)}}) for number in range(3)]
    jobs[0].start()
    jobs[1].end()
    found = api.list_jobs(namespace="tester", status=["RUNNING", "SCHEDULING"])
    assert {job.id for job in found} == {jobs[0].id, jobs[2].id}
    assert [job.id for job in api.list_jobs(namespace="tester", labels={"a": "1", "b": "2"})] == [jobs[2].id]


def test_the_status_lags_behind_as_long_as_the_test_wants(hub: FakeHub, api: HfApi) -> None:
    job = hub.jobs.add()
    job.start()
    job.status_lag = 2
    job.end("COMPLETED")
    shown = [api.inspect_job(job_id=job.id, namespace="tester") for _ in range(3)]
    assert [each.status.stage for each in shown] == ["RUNNING", "RUNNING", "COMPLETED"]
    assert shown[0].finished_at is None and shown[2].finished_at is not None


def test_a_script_runs_by_polls_and_streams(hub: FakeHub, api: HfApi) -> None:
    hub.jobs.script = [polled(2), stage("RUNNING"), line("one"), streamed(), line("two"), stage("COMPLETED")]
    hub.jobs.cuts = [Cut(2, "end")]
    job_id = run(api).id
    stages = [api.inspect_job(job_id=job_id, namespace="tester").status.stage for _ in range(3)]
    assert stages == ["SCHEDULING", "SCHEDULING", "RUNNING"]
    assert Follower(api, job_id).finish() == ["one"]  # the client takes a proper end for the end of all
    assert Follower(api, job_id).finish() == ["one", "two"]
    assert hub.jobs.get(job_id).streams == 2


def test_a_stream_is_followed_live_and_ends_with_the_job(hub: FakeHub, api: HfApi) -> None:
    hub.jobs.on_submit = lambda job: job.print("queued")
    job = hub.jobs.get(run(api).id)
    job.start()
    follower = Follower(api, job.id)
    hub.jobs.wait_streams(job)
    job.print("a", "b")
    assert follower.wait_lines(3) == ["queued", "a", "b"]
    job.print("ü {}")
    assert follower.wait_lines(4)[3] == "ü {}"
    job.end()
    assert follower.finish() == job.lines == ["queued", "a", "b", "ü {}"]


def test_cut_streams_are_replayed_from_the_start(hub: FakeHub, api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_api.time.sleep", lambda _: None)
    job = hub.jobs.add()
    job.start()
    job.print("a", "b", "c")
    job.cuts = [0, 2, None]
    follower = Follower(api, job.id)
    assert follower.wait_lines(3) == ["a", "b", "c"]
    job.end()
    assert follower.finish() == ["a", "b", "c"] and job.streams == 3


def test_a_stream_may_hang_and_its_client_may_leave(hub: FakeHub, api: HfApi) -> None:
    job = hub.jobs.add()
    job.start()
    job.print("a")
    job.cuts = [Cut(2, "hang")]
    logs = api.fetch_job_logs(job_id=job.id, namespace="tester", follow=True)
    assert next(iter(logs)) == "a"
    hub.wait_stalled()
    logs.close()  # type: ignore[attr-defined]
    hub.wait_client_gone()


def test_tail_and_logs_without_following(hub: FakeHub, api: HfApi) -> None:
    hub.jobs.holds_open = False
    job = hub.jobs.add()
    job.start()
    job.print(*"abcde")
    assert list(api.fetch_job_logs(job_id=job.id, namespace="tester")) == list("abcde")
    assert list(api.fetch_job_logs(job_id=job.id, namespace="tester", tail=2)) == ["d", "e"]
    job.end()
    job.print("late")
    assert list(api.fetch_job_logs(job_id=job.id, namespace="tester", tail=1)) == ["late"]


def test_an_answer_that_is_lost_leaves_a_job_behind(hub: FakeHub, api: HfApi) -> None:
    hub.fail("POST", "/api/jobs/tester", kind="after")
    with pytest.raises(Exception, match="disconnected"):
        run(api, labels={"lease": "L1"})
    [found] = api.list_jobs(namespace="tester", labels={"lease": "L1"})
    assert hub.jobs.get(found.id).stage == "SCHEDULING"


def test_hardware_has_the_prices_of_the_hub_per_minute(hub: FakeHub, api: HfApi) -> None:
    by_name = {row.name: row for row in api.list_jobs_hardware()}
    a10g = by_name["a10g-large"]
    assert (a10g.unit_cost_usd, a10g.unit_cost_micro_usd, a10g.unit_label) == (0.025, 25000, "minute")
    assert (a10g.accelerator.model, a10g.accelerator.vram, a10g.ram) == ("A10G", "24 GB", "46 GB")
    assert by_name["cpu-basic"].accelerator is None and "h100" not in by_name
    hub.jobs.hardware = hub.jobs.hardware[:1]
    assert [row.name for row in api.list_jobs_hardware()] == ["cpu-basic"]


def test_schedules_from_creation_to_deletion(hub: FakeHub, api: HfApi) -> None:
    hub.now = Clock()
    made = api.create_scheduled_job(
        image="python:3.12", command=["x"], schedule="@hourly", secrets={"K": "hidden"}, namespace="tester"
    )
    assert (made.schedule, made.suspend, made.status.last_job) == ("@hourly", False, None)
    assert made.status.next_job_run_at == NOON + timedelta(hours=1) and "hidden" not in str(made)
    of = {"scheduled_job_id": made.id, "namespace": "tester"}
    api.suspend_scheduled_job(**of)
    [listed] = api.list_scheduled_jobs(namespace="tester")
    assert listed.suspend is True and listed.status.next_job_run_at is None
    api.resume_scheduled_job(**of)
    assert api.inspect_scheduled_job(**of).suspend is False
    ran = api.trigger_scheduled_job(**of)
    assert ran.command == ["x"] and ran.initiator.type == "scheduled-job"
    assert hub.jobs.get(ran.id).secrets == {"K": "hidden"}
    last = api.inspect_scheduled_job(**of).status.last_job
    assert last is not None and (last.id, last.at) == (ran.id, NOON)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.trigger_scheduled_job(**of)
    hub.jobs.get(ran.id).end()
    fired = hub.jobs.fire(made.id)
    last = api.inspect_scheduled_job(**of).status.last_job
    assert fired.spec["command"] == ["x"] and last is not None and last.id == fired.id
    assert api.update_scheduled_job_labels(**of, labels={"a": "b"}).job_spec.labels == {"a": "b"}
    assert api.list_scheduled_jobs(namespace="tester", labels={"a": "c"}) == []
    api.delete_scheduled_job(**of)
    with pytest.raises(HfHubHTTPError, match="404"):
        api.inspect_scheduled_job(**of)


def test_a_bad_schedule_is_refused(hub: FakeHub, api: HfApi) -> None:
    for schedule in ("every day", "61 * * * *", "0 9 * *"):
        with pytest.raises(BadRequestError):
            api.create_scheduled_job(image="i", command=["x"], schedule=schedule, namespace="tester")
    assert hub.jobs.scheduled == {}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 9 * * 1", datetime(2026, 5, 11, 9, 0, tzinfo=UTC)),  # NOON is a Monday
        ("*/15 * * * *", datetime(2026, 5, 4, 12, 15, tzinfo=UTC)),
        ("30 1-3,6 1 */2 *", datetime(2026, 7, 1, 1, 30, tzinfo=UTC)),
        ("0 0 * * 7", datetime(2026, 5, 10, tzinfo=UTC)),
        ("@yearly", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_when_a_schedule_is_due(schedule: str, expected: datetime) -> None:
    assert next_run(schedule, NOON) == expected


# --- the server inside of a sandbox's job ---


@pytest.fixture
def server(
    hub: FakeHub, api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SandboxServer]:  # api: for its patch
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    with SandboxServer(tmp_path / "machines", hub) as server:
        yield server
        server.check()


def sandbox(hub: FakeHub, **more: Any) -> Sandbox:
    return Sandbox.create(token=hub.token, **more)


def test_a_sandbox_runs_commands_for_real_and_ends_with_its_job(hub: FakeHub, server: SandboxServer) -> None:
    server.booting = 2
    with sandbox(hub, env={"GIVEN": "1"}, secrets={"KEY": "k"}, labels={"lease": "L1"}) as box:
        done = box.run("echo hi; echo $GIVEN$KEY$EXTRA >&2", env={"EXTRA": "x"})
        assert (done.stdout, done.stderr, done.exit_code) == ("hi\n", "1kx\n", 0)
        assert box.run("env").stdout.count("SBX_") == 0
        assert box.run(["printf", "%s", "a b"]).stdout == "a b" and box.run("cat", stdin="in").stdout == "in"
        job = hub.jobs.get(box.id)
        assert job.labels["lease"] == "L1" and job.stage == "RUNNING"
        assert Sandbox.connect(box.id, token=hub.token).run("echo again").stdout == "again\n"
    assert job.stage == "CANCELED"


def test_a_sandboxs_failures_are_told_apart(hub: FakeHub, server: SandboxServer) -> None:
    box = sandbox(hub)
    assert box.run("exit 3", check=False).exit_code == 3
    slow = box.run("sleep 60 & sleep 60", timeout=0.2, check=False)
    assert slow.timed_out and slow.exit_code is None
    assert box.run("kill -9 $$", check=False).signal == 9
    for wrong in ({"cmd": ["no-such-program"]}, {"cmd": "true", "cwd": "/nowhere"}):
        with pytest.raises(SandboxError):
            box.run(**wrong)
    server.cuts = [1]
    with pytest.raises(Exception, match=r"incomplete|peer closed"):
        box.run("echo a; read x; echo b; touch done", stdin="y\n")
    assert box.run("until [ -e done ]; do sleep 0.01; done; echo there", timeout=10).stdout == "there\n"


def test_a_sandboxs_output_streams(hub: FakeHub, server: SandboxServer) -> None:
    box = sandbox(hub)
    seen: list[str] = []

    def heard(text: str) -> None:
        seen.append(text)
        box.files.write("/go", "")

    done = box.run("echo first; until [ -e go ]; do sleep 0.01; done; echo second", on_stdout=heard, timeout=10)
    assert seen[0] == "first\n" and done.stdout == "first\nsecond\n"


def test_a_sandboxs_background_processes(hub: FakeHub, server: SandboxServer) -> None:
    box = sandbox(hub)
    process = box.run("sleep 60", background=True)
    [listed] = box.processes()
    assert listed.id == process.id and listed.running and listed.cmd == "sleep 60"
    assert process.kill() is True and process.kill() is False
    assert box.processes()[0].running is False
    left = box.run("sleep 60", background=True)
    box.kill()
    assert server.machine(box.id).processes[left.id or ""].process.wait(10) == -9


def test_a_sandboxs_files(hub: FakeHub, server: SandboxServer, tmp_path: Path) -> None:
    server.page_size = 2
    box = sandbox(hub)
    box.files.write("/app/run.sh", "echo ran", mode="755")
    assert box.run("./run.sh", cwd="/app").stdout == "ran\n"
    assert (server.home(box.id) / "app" / "run.sh").read_text() == "echo ran"
    facts = box.files.stat("/app/run.sh")
    assert (facts.name, facts.path, facts.type, facts.size, facts.mode) == ("run.sh", "/app/run.sh", "file", 8, "755")
    big = bytes(range(256)) * 12000
    box.files.write("/app/big", big)
    assert box.files.read("/app/big") == big
    box.files.download("/app/run.sh", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "echo ran"
    box.files.mkdir("/app/deep/er")
    assert [(each.name, each.type) for each in box.files.list("/app")] == [
        ("big", "file"),
        ("deep", "dir"),
        ("run.sh", "file"),
    ]
    with pytest.raises(SandboxError, match="not empty"):
        box.files.delete("/app/deep")
    box.files.delete("/app/deep", recursive=True)
    assert not box.files.exists("/app/deep") and not box.files.exists("/app/x")
    with pytest.raises(SandboxError, match="invalid path"):
        box.files.read("/../../secret")


def test_a_sandbox_is_only_for_those_who_may(hub: FakeHub, server: SandboxServer) -> None:
    box = sandbox(hub)
    url = f"{server.url}/{box.id}--49983.hf.jobs"
    bearer = {"Authorization": f"Bearer {hub.token}"}
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 401
    assert httpx.get(f"{url}/v1/processes", headers=bearer, trust_env=False).status_code == 403
    assert httpx.get(f"{url}/health", headers=bearer, trust_env=False).status_code == 200
    box.kill()
    assert httpx.get(f"{url}/health", headers=bearer, trust_env=False).status_code == 404


def test_a_sandbox_that_cannot_start_is_cancelled(hub: FakeHub, server: SandboxServer) -> None:
    hub.jobs.on_submit = lambda job: job.end("ERROR", "no such image")
    with pytest.raises(SandboxError, match="no such image"):
        sandbox(hub)
    hub.jobs.on_submit = None
    server.health = {"status": "ok"}
    with pytest.raises(SandboxError, match="protocol"):
        sandbox(hub)
    assert hub.jobs.running() == []

"""`hf_jobs`: running work and waiting for it, over a fake Hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.compute.job_commands import readable
from agent.protocol.compute import ComputeError, Status
from agent.protocol.events import ToolLog, ToolStateChange
from agent.protocol.tools import ToolSession
from tests.fakes.hub import TOKEN
from tests.fakes.hub_job import line, stage
from tests.unit.tools.hf_jobs_kit import Bench, made_bench

RUNS = [stage("RUNNING"), line("hello"), stage("COMPLETED")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with made_bench(tmp_path) as made:
        yield made


# --- a run -----------------------------------------------------------------------------------------------------------


async def test_a_run_waits_for_the_end_and_tells_all(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    result = await bench.call("run", script="print('hello')", hardware_flavor="t4-small", timeout="2h")
    job = bench.hub.jobs.all()[0]
    assert result.ok
    assert result.cost_usd is None  # the desk charges
    assert result.output.splitlines()[0].startswith(f"Job {job.id} (script.py) on t4-small completed after ")
    assert f"{bench.hub.url}/jobs/tester/{job.id}" in result.output
    assert "\nhello\n" in result.output
    assert str(bench.desk.known["000000000001"].log_path) in result.output
    assert result.display is not None and result.display.endswith("hello")
    assert (job.spec["flavor"], job.spec["timeoutSeconds"], job.namespace) == ("t4-small", 7200, "tester")
    assert job.spec["dockerImage"].startswith("ghcr.io/astral-sh/uv")
    assert bench.desk.submitted[0][2] == "call-1"


async def test_the_token_is_a_secret_and_nothing_else(bench: Bench) -> None:
    bench.hub.jobs.script = [stage("RUNNING"), line(f"leaked {TOKEN}"), stage("COMPLETED")]
    result = await bench.call(
        "run", command=["env"], env={"HF_TOKEN": TOKEN, "A": "1"}, secrets={"HF_TOKEN": "$HF_TOKEN"}
    )
    job = bench.hub.jobs.all()[0]
    assert job.secrets == {"HF_TOKEN": TOKEN, "HUGGINGFACE_HUB_TOKEN": TOKEN}
    visible = {name: value for name, value in job.spec.items() if name != "secrets"}
    assert TOKEN not in json.dumps(visible)
    assert visible["environment"]["A"] == "1"
    assert TOKEN not in result.output + str(result.display) + repr(bench.work) + repr(bench.desk.submitted)


async def test_what_looks_secret_in_env_becomes_a_secret(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    key = "sk-abcdefghijklmnop1234"
    result = await bench.call(
        "run",
        command=["true"],
        env={"WANDB_API_KEY": "w1", "OTHER": key, "MAX_TOKENS": "5", "RUN_ID": "x", "N": 3, "F": True},
    )
    assert bench.work.secrets == {
        "WANDB_API_KEY": "w1",
        "OTHER": key,
        "HF_TOKEN": TOKEN,
        "HUGGINGFACE_HUB_TOKEN": TOKEN,
    }
    assert bench.work.env.items() >= {"MAX_TOKENS": "5", "RUN_ID": "x", "N": "3", "F": "true"}.items()
    assert "WANDB_API_KEY" not in bench.work.env and "OTHER" not in bench.work.env
    assert "Passed as secrets, not as env, since they look secret: WANDB_API_KEY, OTHER." in result.output
    assert key not in result.output


async def test_a_placeholder_is_no_secret(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    result = await bench.call(
        "run", command=["true"], secrets={"WANDB_API_KEY": "$WANDB_API_KEY", "HF_TOKEN": "$HF_TOKEN"}
    )
    assert set(bench.work.secrets) == {"HF_TOKEN", "HUGGINGFACE_HUB_TOKEN"}
    assert "placeholder for a value: WANDB_API_KEY." in result.output


async def test_what_the_call_sets_beats_the_defaults(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    await bench.call("run", command=["true"], env={"TQDM_DISABLE": "0", "TRACKIO_PROJECT": "mine"}, trackio_project="p")
    assert bench.work.env["TQDM_DISABLE"] == "0"
    assert bench.work.env["TRACKIO_PROJECT"] == "mine"
    assert bench.work.env["PYTHONUNBUFFERED"] == "1"
    assert "HF_HUB_ENABLE_HF_TRANSFER" not in bench.work.env


async def test_a_failed_run_is_not_ok_and_gets_advice(bench: Bench) -> None:
    bench.hub.jobs.script = [
        stage("RUNNING"),
        line("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        stage("ERROR", "Job failed with exit code: 1"),
    ]
    result = await bench.call("run", script="x = 1")
    assert not result.ok
    assert "FAILED (Job failed with exit code: 1)" in result.output
    assert "halve the batch size" in result.output
    assert result.output.count("\n[") == 2  # one line of advice, one about the log


@pytest.mark.parametrize(
    ("printed", "tip"),
    [
        ("ModuleNotFoundError: No module named 'trl'", "add it to `dependencies`"),
        ("Job timeout exceeded", "longer `timeout`"),
        ("huggingface_hub.errors.GatedRepoError: x", "accept its terms"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ValueError: nothing known", None),
    ],
)
async def test_advice(bench: Bench, printed: str, tip: str | None) -> None:
    bench.hub.jobs.script = [stage("RUNNING"), line(printed), stage("ERROR")]
    result = await bench.call("run", script="x = 1")
    last = result.output.splitlines()[-1]
    assert (tip in last) if tip is not None else last.endswith(".log]")


async def test_installs_are_left_out_and_long_output_is_cut(bench: Bench) -> None:
    bench.hub.jobs.script = [
        stage("RUNNING"),
        line("Downloading torch (800 MB)"),
        line("Installed 45 packages in 120ms"),
        line("first line"),
        *[line(f"step {number} {'x' * 90}") for number in range(600)],
        line("last line"),
        stage("COMPLETED"),
    ]
    result = await bench.call("run", script="x = 1")
    assert "Downloading" not in result.output
    assert "[installs truncated]\nfirst line" in result.output
    assert "last line" in result.output
    assert "step 300 " not in result.output
    assert len(result.output) < 27_000
    path = bench.desk.known["000000000001"].log_path
    assert f"All of it is in {path}" in result.output
    assert "Downloading" in Path(str(path)).read_text()


async def test_wait_false_returns_a_handle(bench: Bench) -> None:
    result = await bench.call("run", script="x = 1", wait=False, hardware_flavor="a10g-large", timeout="4h")
    job = bench.hub.jobs.all()[0]
    assert result.ok
    assert f"Started: Job {job.id} (script.py) on a10g-large, $1.50/h, at most 4 h." in result.output
    assert "`wait`" in result.output
    assert not job.is_over


async def test_an_organisation_pays(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    assert (await bench.call("run", command=["true"], namespace="acme")).ok
    assert bench.hub.jobs.all()[0].namespace == "acme"
    refused = await bench.call("run", command=["true"], namespace="somebody")
    assert not refused.ok
    assert "Allowed: tester, acme" in refused.output
    assert len(bench.desk.submitted) == 1


async def test_no_credit_is_said_and_nothing_else_is_tried(bench: Bench) -> None:
    bench.hub.jobs.no_credit.add("tester")
    result = await bench.call("run", command=["true"])
    assert not result.ok
    assert "settings/billing" in result.output
    assert "do not turn to other hardware" in result.output
    assert ToolStateChange("call-1", "hf_jobs", "billing_required", namespace="tester") in bench.session.emitted
    assert [place for place, _, _ in bench.desk.submitted] == ["hf_jobs"]


# --- stopped ---------------------------------------------------------------------------------------------------------


async def stopped(bench: Bench, operation: str, **arguments: object) -> str:
    """What a call leaves behind that is stopped while it waits."""
    bench.desk.is_waiting.clear()
    call = asyncio.create_task(bench.call(operation, **arguments))
    await asyncio.wait_for(bench.desk.is_waiting.wait(), 10)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    assert call.cancelled()
    return bench.session.partials["call-1"]


async def test_a_stopped_run_cancels_its_job_where_it_is(bench: Bench) -> None:
    left = await stopped(bench, "run", command=["sleep", "9"], namespace="acme")
    job = bench.hub.jobs.all()[0]
    assert job.stage == "CANCELED"
    assert f"Job {job.id} is cancelled" in left


async def test_a_stopped_run_whose_job_cannot_be_cancelled_says_so(bench: Bench) -> None:
    bench.hub.fail("POST", "/cancel", status=403, body={"error": "forbidden"}, times=9)
    left = await stopped(bench, "run", command=["sleep", "9"])
    assert "could NOT be ended" in left
    assert not bench.hub.jobs.all()[0].is_over


async def test_a_run_that_is_stopped_while_it_starts_says_so(bench: Bench) -> None:
    bench.desk.gate = asyncio.Event()
    left = await stopped(bench, "run", command=["sleep", "9"])
    assert left.startswith("sleep 9 was being started when this was stopped.")


async def test_stopping_a_wait_leaves_the_job_alone(bench: Bench) -> None:
    await bench.call("run", command=["sleep", "9"], wait=False)
    left = await stopped(bench, "wait")
    assert "only the waiting was stopped" in left
    assert not bench.hub.jobs.all()[0].is_over


# --- wait ------------------------------------------------------------------------------------------------------------


async def test_wait_for_the_end(bench: Bench) -> None:
    await bench.call("run", command=["true"], wait=False)
    bench.hub.jobs.all()[0].advance(*RUNS)
    result = await bench.call("wait")
    assert result.ok
    assert "completed" in result.output
    assert "hello" in result.output
    again = await bench.call("wait", job_id=bench.hub.jobs.all()[0].id)  # what is over is told at once
    assert "completed" in again.output


async def test_wait_until_a_line(bench: Bench) -> None:
    await bench.call("run", command=["true"], wait=False)
    job = bench.hub.jobs.all()[0]
    job.advance(stage("RUNNING"), line("warming up"), line("epoch 1 loss 0.5"))
    result = await bench.call("wait", job_id=job.id, until=r"epoch \d+")
    assert result.ok
    assert "is running; a line matches `until`: epoch 1 loss 0.5." in result.output
    assert not job.is_over


async def test_wait_no_longer_than_asked(bench: Bench) -> None:
    await bench.call("run", command=["true"], wait=False)
    result = await bench.call("wait", wait_timeout="0.05")
    assert result.ok
    assert "`wait_timeout` has passed" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"job_id": "nosuch"}, "must name one piece of work that this session has started"),
        ({"until": "("}, "`until` is no regular expression"),
        ({"wait_timeout": "soon"}, "`wait_timeout` cannot be 'soon'"),
    ],
)
async def test_wait_refuses(bench: Bench, arguments: dict[str, str], said: str) -> None:
    await bench.call("run", command=["true"], wait=False)
    result = await bench.call("wait", **arguments)
    assert not result.ok
    assert said in result.output


# --- scripts ---------------------------------------------------------------------------------------------------------


def script_of(bench: Bench, tmp_path: Path) -> str:
    """The script that the handed-in argv runs, found by running it with a `uv` that prints it."""
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir(exist_ok=True)
    uv.write_text('#!/bin/sh\nfor word do case "$word" in *.py) cat "$word"; exit 0;; esac; done\n')
    uv.chmod(0o755)
    path = f"{uv.parent}:/usr/bin:/bin"
    return subprocess.run(bench.work.command, env={"PATH": path}, capture_output=True, text=True, check=True).stdout


async def test_a_path_is_read_and_sent_as_code(bench: Bench, tmp_path: Path) -> None:
    bench.hub.jobs.script = RUNS
    (bench.session.workspace / "train.py").write_text("print('trained ü')\n")
    result = await bench.call(
        "run", script="train.py", dependencies=["torch>=2.0", "trl"], python="3.11", script_args=["--name", "a b; $(x)"]
    )
    assert result.ok
    assert "(train.py)" in result.output
    assert await asyncio.to_thread(script_of, bench, tmp_path) == "print('trained ü')\n"
    assert readable(bench.work.command) == (
        "uv run --with 'torch>=2.0' --with trl --python 3.11 train.py --name 'a b; $(x)'"
    )


@pytest.mark.parametrize("code", ["print(1)", "import this", "x = 'a.py'", "import a\nprint(a)", "raise SystemExit"])
async def test_code_of_one_line_is_code(bench: Bench, tmp_path: Path, code: str) -> None:
    bench.hub.jobs.script = RUNS
    assert (await bench.call("run", script=code)).ok
    assert await asyncio.to_thread(script_of, bench, tmp_path) == code


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("train.py", "there is no file train.py in the workspace"),
        ("scripts/train.py", "there is no file scripts/train.py in the workspace"),
        ("/nowhere/x", "there is no file /nowhere/x"),
        ("binary.py", "binary.py is a binary file"),
        ("latin.py", "is not UTF-8 text"),
        ("empty.py", "is empty"),
        ("run.sh", "is no Python script"),
        ("./", "is a directory"),
        ("~/.ssh/id_rsa", "usually holds secrets"),
    ],
)
async def test_paths_that_cannot_be_sent(bench: Bench, script: str, said: str) -> None:
    work = bench.session.workspace
    (work / "binary.py").write_bytes(b"\x89PNG\r\n\0")
    (work / "latin.py").write_bytes("x = 'ü'".encode("latin-1"))
    (work / "empty.py").write_text(" \n")
    (work / "run.sh").write_text("echo")
    keys = Path.home() / ".ssh"
    keys.mkdir()
    (keys / "id_rsa").write_text("key")
    result = await bench.call("run", script=script)
    assert not result.ok
    assert said in result.output
    assert not bench.desk.submitted
    ahead = await bench.ahead("run", script=script)
    assert ahead.problem is not None and said in ahead.problem


async def test_urls_go_to_uv_and_pages_to_their_files(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    for url, sent in (
        ("https://example.com/a/train.py", "https://example.com/a/train.py"),
        ("https://huggingface.co/u/r/blob/main/x.py", "https://huggingface.co/u/r/resolve/main/x.py"),
        ("https://github.com/u/r/blob/main/x.py", "https://github.com/u/r/raw/main/x.py"),
    ):
        assert (await bench.call("run", script=url)).ok
        assert readable(bench.work.command) == f"uv run {sent}"


async def test_a_path_in_the_sandbox_is_read_there(bench: Bench, tmp_path: Path) -> None:
    async def read(path: str, _session: ToolSession) -> str:
        if path != "/app/train.py":
            raise FileNotFoundError(path)
        return "print('from the sandbox')\n"

    bench.hub.jobs.script = RUNS
    there = bench.remade(read_script=read)
    (bench.session.workspace / "local.py").write_text("print('here')\n")
    assert (await there.call("run", script="/app/train.py")).ok
    assert await asyncio.to_thread(script_of, bench, tmp_path) == "print('from the sandbox')\n"
    missing = await there.call("run", script="local.py")
    assert not missing.ok
    assert "cannot be read where the tools run" in missing.output


def preview(bench: Bench, **arguments: object) -> str | None:
    assert bench.spec.preview is not None
    return bench.spec.preview({"operation": "run", **arguments}, bench.session)


async def test_what_was_approved_is_what_runs(bench: Bench, tmp_path: Path) -> None:
    bench.hub.jobs.script = RUNS
    path = bench.session.workspace / "train.py"
    for approved in ("print('small')\n", "other.py"):  # the latter reads like a path, and is the code of a file
        path.write_text(approved)
        ahead = await bench.ahead("run", script="train.py", timeout="1h")
        assert ahead.pinned == {"operation": "run", "script": approved, "timeout": "1h"}
        assert dict(ahead.facts)["script from"] == str(path)
        path.write_text("print('huge')\n")
        assert preview(bench, script=ahead.pinned["script"]) == approved
        result = await bench.session.call(bench.spec, **ahead.pinned)
        assert result.ok
        assert "(train.py)" in result.output  # it keeps its name
        assert await asyncio.to_thread(script_of, bench, tmp_path) == approved


async def test_what_was_approved_is_what_runs_here(bench: Bench) -> None:
    path = bench.session.workspace / "train.py"
    path.write_text("print('small')\n")
    ahead = await bench.ahead("run", script="train.py", backend="local")
    assert ahead.pinned is not None
    await bench.session.call(bench.spec, **ahead.pinned)
    assert bench.work.command[-1] == str(path)
    path.write_text("print('huge')\n")
    await bench.session.call(bench.spec, **ahead.pinned)
    assert bench.work.command[-2:] == ("-c", "print('small')\n")


def test_the_preview_is_the_code(bench: Bench) -> None:
    (bench.session.workspace / "t.py").write_text("print('t')\n")
    assert preview(bench, script="t.py") == "print('t')\n"
    assert preview(bench, script="print(1)") == "print(1)"
    assert preview(bench, script="https://x.org/a.py") is None
    assert preview(bench, script="nosuch.py") is None
    assert preview(bench, command=["true"]) is None


async def test_artifacts_are_marked_by_a_wrapper(bench: Bench) -> None:
    bench.hub.jobs.script = RUNS
    wrapped = bench.remade(artifact_wrap=lambda argv, session: ("wrap", session.session_id, *argv))
    await wrapped.call("run", command=["echo", "x"])
    assert bench.hub.jobs.all()[0].spec["command"] == ["wrap", "s-1", "echo", "x"]


# --- trackio ---------------------------------------------------------------------------------------------------------


async def test_the_dashboard_is_made_ready(bench: Bench) -> None:
    async def seed(space: str, log: object) -> bool:
        assert callable(log)
        log(f"seeding {space}")
        return True

    bench.hub.jobs.script = RUNS
    seeded = bench.remade(seed_trackio=seed)
    result = await seeded.call("run", command=["true"], trackio_space_id="board", trackio_project="p1")
    assert result.ok
    assert bench.work.env["TRACKIO_SPACE_ID"] == "tester/board"
    assert bench.work.env["TRACKIO_PROJECT"] == "p1"
    assert f"{bench.hub.url}/spaces/tester/board" in result.output
    assert ToolLog("hf_jobs", "seeding tester/board") in bench.session.emitted


async def test_a_dashboard_that_fails_stops_no_job(bench: Bench) -> None:
    async def seed(_space: str, _log: object) -> bool:
        raise RuntimeError("no bucket")

    bench.hub.jobs.script = RUNS
    result = await bench.remade(seed_trackio=seed).call("run", command=["true"], trackio_space_id="a/b")
    assert result.ok
    assert "could not be made ready (no bucket)" in result.output


# --- other places ----------------------------------------------------------------------------------------------------


async def test_work_on_this_machine(bench: Bench) -> None:
    (bench.session.workspace / "a b.py").write_text("print(1)\n")
    result = await bench.call("run", backend="local", script="a b.py", script_args=["--x", "1 2"])
    assert result.ok
    assert bench.desk.submitted[0][0] == "local"
    work = bench.work
    assert work.command[1:] == ("-u", str(bench.session.workspace / "a b.py"), "--x", "1 2")
    assert Path(work.command[0]).name.startswith("python")
    assert (work.work_dir, work.namespace, work.image) == (bench.session.workspace, None, "")
    assert "done elsewhere" in result.output
    assert not bench.hub.jobs.all()
    await bench.call("run", backend="local", script="print('one line')")
    assert subprocess.run(bench.work.command, capture_output=True, text=True, check=True).stdout == "one line\n"


@pytest.mark.parametrize("place", ["local", "hf_sandbox"])
async def test_other_places_get_the_token_only_when_asked(bench: Bench, place: str) -> None:
    await bench.call("run", backend=place, command=["true"])
    assert not bench.work.secrets
    assert TOKEN not in repr(dict(bench.work.env))
    await bench.call("run", backend=place, command=["true"], secrets={"HF_TOKEN": "$HF_TOKEN"})
    assert bench.work.secrets == {"HF_TOKEN": TOKEN, "HUGGINGFACE_HUB_TOKEN": TOKEN}


async def test_packages_on_this_machine_need_uv(bench: Bench, tmp_path: Path) -> None:
    bench.session.child_env = {"PATH": str(tmp_path)}
    refused = await bench.call("run", backend="local", script="x = 1", dependencies=["trl"])
    assert not refused.ok
    assert "need uv" in refused.output
    none = await bench.call("run", backend="local", script="x = 1")
    assert "no Python on the PATH" in none.output
    assert not bench.desk.submitted


async def test_a_sandbox_of_its_own_goes_with_its_work(bench: Bench) -> None:
    bench.desk.ending = Status("failed", message="exit code 1")
    result = await bench.call("run", backend="hf_sandbox", script="x = 1", hardware_flavor="t4-small")
    assert not result.ok
    assert bench.desk.submitted[0][0] == "hf_sandbox"
    assert bench.desk.cancelled == ["000000000001"]
    assert "is deleted" in result.output
    assert not bench.hub.jobs.all()


async def test_an_error_of_one_place_is_no_reason_to_use_another(bench: Bench) -> None:
    bench.desk.refusal = ComputeError("No credit.", "payment", nothing_started=True)
    result = await bench.call("run", backend="hf_sandbox", script="x = 1")
    assert not result.ok
    assert [place for place, _, _ in bench.desk.submitted] == ["hf_sandbox"]


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "neither is given"),
        ({"script": "x = 1", "command": ["true"]}, "both are given"),
        ({"script": " "}, "neither is given"),
        ({"command": ["true"], "dependencies": ["a"]}, "`dependencies` goes with `script`"),
        ({"command": "true"}, "`command` must be a list"),
        ({"command": [{"a": 1}]}, "`command` must be a list"),
        ({"script": "x = 1", "timeout": "soon"}, "`timeout` cannot be 'soon'"),
        ({"script": "x = 1", "timeout": "-5"}, "`timeout` cannot be '-5'"),
        ({"script": "x = 1", "timeout": True}, "`timeout` cannot be 'True'"),
        ({"script": "x = 1", "env": "A=1"}, "`env` must be an object"),
        ({"script": "x = 1", "env": {"A B": "1"}}, "no environment variable can have"),
        ({"script": "x = 1", "secrets": {"A": ["s3cretvalue"]}}, "the value of A must be text"),
        ({"script": "x = 1\0"}, "NUL"),
        ({"script": "x = 1", "backend": "slurm"}, "no backend 'slurm'"),
        ({"script": "x = 1", "backend": "local", "image": "a"}, "`image` is for hf_jobs"),
        ({"script": "x = 1", "backend": "local", "hardware_flavor": "t4-small"}, "local is this machine"),
        ({"script": "x = 1", "backend": "local", "namespace": "acme"}, "local costs nothing"),
        ({"script": "x = 1", "wait": "maybe"}, "`wait` must be true or false"),
    ],
)
async def test_arguments_that_make_no_sense(bench: Bench, arguments: dict[str, object], said: str) -> None:
    result = await bench.call("run", **arguments)
    assert not result.ok
    assert said in result.output
    assert "s3cretvalue" not in result.output
    assert not bench.desk.submitted
    assert (await bench.ahead("run", **arguments)).problem == result.output


async def test_no_operation_and_an_unknown_one(bench: Bench) -> None:
    usage = await bench.session.call(bench.spec)
    assert usage.ok
    assert "- scheduled resume: " in usage.output
    unknown = await bench.call("stop")
    assert not unknown.ok
    assert "There is no operation 'stop'." in unknown.output
    assert "scheduled suspend" in unknown.output
    assert "Did you mean cancel" in (await bench.call("cancle")).output
    bench.hub.jobs.script = RUNS
    assert (await bench.call(" RUN ", command=["true"])).ok


def test_the_description_is_short_and_the_schema_is_strict(bench: Bench) -> None:
    assert len(bench.spec.description) <= 2_200
    assert bench.spec.parameters["additionalProperties"] is False
    assert bench.spec.editable == "script"


@pytest.mark.parametrize(
    "operation", ["run", "wait", "ps", "logs", "inspect", "cancel", "scheduled ps", "scheduled run"]
)
def test_which_calls_look_and_which_poll(bench: Bench, operation: str) -> None:
    arguments = {"operation": operation.title(), "backend": "local"}
    looks, work = bench.spec.only_looks(arguments, bench.session.workspace), bench.session.workspace
    assert looks == (operation in ("wait", "ps", "logs", "inspect", "scheduled ps"))
    assert bench.spec.is_poll(arguments) == (operation in ("wait", "ps", "logs", "inspect"))
    assert (bench.spec.changes(arguments, work) is None) == (operation == "run")
    assert bench.spec.changes({"operation": operation}, work) == ()


def test_what_permission_rules_see(bench: Bench) -> None:
    work = bench.session.workspace
    assert bench.spec.subject({"operation": "run", "hardware_flavor": "a10g-large"}, work) == "run a10g-large"
    assert bench.spec.subject({"operation": "run", "backend": "local"}, work) == "run local"
    assert bench.spec.subject({"operation": "ps"}, work) == "ps"

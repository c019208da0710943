"""Sandboxes that are jobs: huggingface_hub's own `Sandbox` over a stand-in for its server, which really runs things."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.compute.hf_sandbox import HfSandbox
from agent.compute.sandbox.words import ABSENT, FileConflict, Sandbox
from agent.hub.account import HubAccount
from agent.protocol.compute import LEASE_LABEL, ComputeError, Work
from tests.fakes.http_base import Exchange
from tests.fakes.hub import FakeHub
from tests.fakes.hub_sandbox_server import SandboxServer
from tests.unit.compute.sandbox.conftest import runs, until
from tests.unit.compute.sandbox.space_hub import LEASE, Clock


class JobHub(FakeHub):
    """Calls `watch` for each request before it is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.watch: Any = lambda _request: None

    async def respond(self, exchange: Exchange) -> None:
        self.watch(f"{exchange.request.method} {exchange.request.path}")
        await super().respond(exchange)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobHub]:
    with JobHub() as hub:
        # huggingface_hub's sandboxes know only the Hub that was set when it was imported
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        yield hub
        hub.check()


@pytest.fixture
def server(hub: JobHub, tmp_path: Path) -> Iterator[SandboxServer]:
    with SandboxServer(tmp_path / "machines", hub) as server:
        yield server
        server.check()


@pytest.fixture
def backend(hub: JobHub, server: SandboxServer, tmp_path: Path) -> HfSandbox:
    return make_backend(hub, tmp_path)


def make_backend(hub: JobHub, tmp_path: Path, **more: Any) -> HfSandbox:
    environ = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}
    account = HubAccount(hub.token, environ, sleep=hub.clock.sleep)
    places: dict[str, Any] = {"work_dir": str(tmp_path / "app"), "work_root": str(tmp_path / "work")}
    return HfSandbox(account, "job", sleep=hub.clock.sleep, now=hub.clock.now, **places, **more)


def machine(tmp_path: Path, command: tuple[str, ...] = (), **more: Any) -> Work:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return Work("a machine", command, env={"TMPDIR": str(tmp_path / "tmp"), "A": "b"}, **more)


@pytest.fixture
async def sandbox(backend: HfSandbox, tmp_path: Path) -> Sandbox:
    return await backend.connect(await backend.submit(machine(tmp_path), LEASE))


async def test_a_machine_is_made_found_and_ended(hub: JobHub, backend: HfSandbox, tmp_path: Path) -> None:
    handle = await backend.submit(machine(tmp_path, secrets={"S": "hidden"}, flavor="t4-small"), LEASE)
    job = hub.jobs.all()[0]
    assert (handle.id, handle.namespace, job.spec["labels"][LEASE_LABEL]) == (job.id, "tester", LEASE)
    assert job.spec["flavor"] == "t4-small" and "HF_TOKEN" not in job.secrets
    assert (await backend.status(handle)).stage == "running"
    found = await make_backend(hub, tmp_path).find(LEASE, None)
    assert found is not None and found.id == handle.id
    again = await make_backend(hub, tmp_path).connect(found)
    assert (await again.run("echo $A $S; pwd")).output == f"b hidden\n{tmp_path / 'app'}"
    await again.close()
    await backend.teardown(handle)
    assert (await backend.status(handle)).is_over and job.stage == "CANCELED"
    await backend.teardown(handle)


async def test_the_token_is_shared_only_where_that_was_asked_for(
    hub: JobHub, server: SandboxServer, tmp_path: Path
) -> None:
    backend = make_backend(hub, tmp_path, forward_token=True)
    await backend.submit(machine(tmp_path), LEASE)
    assert hub.jobs.all()[0].secrets["HF_TOKEN"] == hub.token
    await backend.close()


async def test_commands(sandbox: Sandbox) -> None:
    heard: list[str] = []
    result = await sandbox.run("echo out; echo err >&2; exit 3", on_output=heard.append)
    assert (result.output, result.exit_code, "".join(heard)) == ("out\nerr", 3, "out\nerr\n")
    result = await sandbox.run("seq 1 20000")
    assert result.truncated and result.spill_path is not None and result.output.startswith("1\n2\n")
    assert (await sandbox.read(result.spill_path)).endswith(b"20000\n")
    result = await sandbox.run("echo x; sleep 300", timeout_s=0.3)
    assert result.timed_out and result.output == "x"
    assert "SBX" not in (await sandbox.run("env")).output
    with pytest.raises(ComputeError, match="no such directory"):
        await sandbox.run("true", work_dir="/not/there")


async def test_a_cancelled_command_is_ended_there(sandbox: Sandbox) -> None:
    heard: list[str] = []
    running = asyncio.ensure_future(sandbox.run("echo $$; sleep 300", on_output=heard.append))
    await until(lambda: bool(heard))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not runs(heard[0].strip())


async def test_kill_all_ends_what_runs(sandbox: Sandbox) -> None:
    heard: list[str] = []
    running = asyncio.ensure_future(sandbox.run("echo x; sleep 300", on_output=heard.append))
    await until(lambda: bool(heard))
    assert await sandbox.kill_all() == 1
    assert (await running).killed


async def test_a_connection_that_breaks_stops_the_command(server: SandboxServer, sandbox: Sandbox) -> None:
    server.cuts = [1]
    heard: list[str] = []
    with pytest.raises(ComputeError):
        await sandbox.run("echo $$; sleep 300", on_output=heard.append)
    await until(lambda: not heard or not runs(heard[0].strip()))


async def test_files(sandbox: Sandbox, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    written = await sandbox.write("deep/a.bin", data, expect=ABSENT)
    assert (tmp_path / "app" / "deep" / "a.bin").read_bytes() == data == await sandbox.read("deep/a.bin")
    assert (await sandbox.stat("deep/a.bin", digest=True)).sha256 == written.sha256
    assert await sandbox.read("deep/a.bin", offset=255, limit_bytes=2) == b"\xff\x00"
    with pytest.raises(FileConflict):
        await sandbox.write("deep/a.bin", b"x", expect="0" * 64)
    assert await sandbox.exists("deep") and not await sandbox.exists("nowhere")
    with pytest.raises(ComputeError) as caught:
        await sandbox.read("nowhere")
    assert caught.value.kind == "not_found"
    assert (await sandbox.health()).ok


async def test_a_command_in_its_background_is_followed_to_its_end(
    server: SandboxServer, backend: HfSandbox, tmp_path: Path
) -> None:
    argv = ("sh", "-c", f"echo $A; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo last")
    handle = await backend.submit(machine(tmp_path, argv), LEASE)
    assert len(server.machine(handle.id).processes) == 1
    lines = backend.logs(handle)
    assert (await anext(lines)).text == "b"
    (tmp_path / "go").touch()
    assert [line.text async for line in lines] == ["last"]
    assert (await backend.status(handle)).stage == "completed"
    await backend.teardown(handle)


async def test_a_command_can_be_stopped(backend: HfSandbox, tmp_path: Path) -> None:
    handle = await backend.submit(machine(tmp_path, ("sleep", "300")), LEASE)
    assert (await backend.cancel(handle)).worked
    assert (await backend.status(handle)).stage == "canceled"


async def test_no_credit_leaves_nothing(hub: JobHub, backend: HfSandbox, tmp_path: Path) -> None:
    hub.jobs.no_credit.add("tester")
    with pytest.raises(ComputeError) as caught:
        await backend.submit(machine(tmp_path), LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("payment", True)


async def test_a_lost_answer_is_followed_up(hub: JobHub, backend: HfSandbox, tmp_path: Path) -> None:
    hub.fail("POST", "/api/jobs/tester$", kind="after")
    with pytest.raises(ComputeError) as caught:
        await backend.submit(machine(tmp_path), LEASE)
    assert caught.value.nothing_started
    assert [job.stage for job in hub.jobs.all()] == ["CANCELED"]


@pytest.mark.parametrize("step", ["GET /api/whoami-v2", "POST /api/jobs/tester"])
async def test_a_cancellation_leaves_nothing_that_runs(
    hub: JobHub, backend: HfSandbox, tmp_path: Path, step: str
) -> None:
    loop = asyncio.get_running_loop()
    making = asyncio.ensure_future(backend.submit(machine(tmp_path), LEASE))
    seen: list[str] = []
    is_there = threading.Event()

    def cancel_now() -> None:
        making.cancel()
        is_there.set()

    def cancel(request: str) -> None:
        if not seen and request == step:
            seen.append(request)
            loop.call_soon_threadsafe(cancel_now)
            assert is_there.wait(10)

    hub.watch = cancel
    with pytest.raises(asyncio.CancelledError):
        await making
    assert seen and all(job.stage == "CANCELED" for job in hub.jobs.all())


async def test_another_hub_than_the_clients_own_is_refused(
    hub: JobHub, backend: HfSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example")
    with pytest.raises(ComputeError, match="HF_ENDPOINT") as caught:
        await backend.submit(machine(tmp_path), LEASE)
    assert caught.value.kind == "unsupported" and hub.jobs.all() == []

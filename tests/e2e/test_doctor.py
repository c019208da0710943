"""`ml-intern doctor` as people run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import NetworkLog
from tests.e2e.harness import run_headless, start_headless
from tests.e2e.test_headless import local
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import Reply

TOKEN = "hf_abcdefghijklmnop"
WRITER = {"name": "ada", "isPro": False, "auth": {"accessToken": {"role": "write"}}}


@pytest.fixture
def served(env: dict[str, str], openai_server: FakeOpenAI) -> dict[str, str]:
    """An environment in which a local model, a Hub and a router answer, all from one server."""
    openai_server.route("GET", "/api/whoami-v2", WRITER)
    hub = {"HF_TOKEN": TOKEN, "HF_ENDPOINT": openai_server.url, "HF_ROUTER_BASE_URL": openai_server.base_url}
    online = {name: value for name, value in env.items() if name != "HF_HUB_OFFLINE"}
    return local(online, openai_server) | hub


def test_all_is_well(served: dict[str, str], tmp_path: Path) -> None:
    done = run_headless(["doctor", "-m", "vllm/test-model"], env=served, cwd=tmp_path)
    assert done.exit_code == 0, done.stdout
    assert "✓ HF token" in done.stdout
    assert "ada (free)" in done.stdout
    assert "✗" not in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_json_is_one_object_and_the_problem_makes_exit_code_1(served: dict[str, str], tmp_path: Path) -> None:
    done = run_headless(["doctor", "--json", "-m", "vllm/other"], env=served, cwd=tmp_path)
    report = done.json()
    assert (done.exit_code, report["ok"]) == (1, False)
    assert set(report) == {"version", "ok", "findings"}
    (problem,) = [one for one in report["findings"] if one["status"] == "problem"]
    assert problem["name"] == "model"
    assert problem["cause"]
    assert problem["remedy"]


def test_nothing_at_all(env: dict[str, str], tmp_path: Path, network_log: NetworkLog) -> None:
    home = tmp_path / "empty"
    home.mkdir()
    bare = {name: value for name, value in env.items() if not name.startswith("XDG_")} | {"HOME": str(home)}
    done = run_headless(["doctor"], env=bare, cwd=tmp_path)
    assert done.exit_code == 1
    assert "✗ model" in done.stdout
    assert "! HF router" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(home.iterdir()) == []  # looking changes nothing
    assert network_log.lines()


def test_a_broken_configuration_does_not_end_it(served: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"max_iterations": "many"}')
    done = run_headless(["doctor", "--config", str(file)], env=served, cwd=tmp_path)
    assert done.exit_code == 1
    assert "✗ configuration" in done.stdout
    assert "max_iterations" in done.stdout
    assert "✓ HF token" in done.stdout


def test_litellm_is_only_imported_to_probe(served: dict[str, str], tmp_path: Path) -> None:
    done = run_headless(["doctor"], env=served | {"PYTHONPROFILEIMPORTTIME": "1"}, cwd=tmp_path)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "httpx" in imported
    assert not {"litellm", "torch", "fastmcp"} & imported


class Silent(HttpFake):
    """A server that takes every request and says nothing."""

    async def respond(self, exchange: Exchange) -> None:
        await exchange.stall()


def test_servers_that_say_nothing_do_not_hang_it(served: dict[str, str], tmp_path: Path) -> None:
    with Silent() as silent:
        hanging = served | {
            "HF_ENDPOINT": silent.url,
            "HF_ROUTER_BASE_URL": f"{silent.url}/v1",
            "VLLM_BASE_URL": silent.url,
        }
        done = run_headless(["doctor", "--json"], env=hanging, cwd=tmp_path, timeout_s=30)
    causes = [one["cause"] for one in done.json()["findings"] if one["name"] in ("HF token", "HF router")]
    assert all("did not answer within" in cause for cause in causes)


def test_a_program_that_hangs_does_not_hang_it(served: dict[str, str], tmp_path: Path) -> None:
    hanging = tmp_path / "bin" / "nvidia-smi"
    hanging.parent.mkdir()
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o755)
    path = {"PATH": f"{hanging.parent}:{served['PATH']}"}
    with start_headless(["doctor"], env=served | path, cwd=tmp_path) as running:
        done = running.wait(30)
    assert "nvidia-smi does not work" in done.stdout
    assert done.children == ()


# --- with --probe -----------------------------------------------------------------------------------------------------


def test_the_model_answers(served: dict[str, str], openai_server: FakeOpenAI, tmp_path: Path) -> None:
    openai_server.script(reply.text("pong"))
    done = run_headless(["doctor", "--probe", "-m", "vllm/test-model"], env=served, cwd=tmp_path)
    assert done.exit_code == 0, done.stdout
    assert "vllm/test-model answers" in done.stdout


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (reply.auth_error(), "key"),
        (reply.insufficient_quota(), "no credit"),
        (reply.model_not_found("claude-opus-4-8"), "unknown model"),
    ],
)
def test_the_cause_is_named(
    served: dict[str, str], anthropic_server: FakeAnthropic, tmp_path: Path, answer: Reply, cause: str
) -> None:
    anthropic_server.script(answer)
    keys = {"ANTHROPIC_API_KEY": "sk-ant-key-one", "ANTHROPIC_BASE_URL": anthropic_server.url}
    done = run_headless(["doctor", "--probe", "--json"], env=served | keys, cwd=tmp_path)
    (probe,) = [one for one in done.json()["findings"] if one["name"] == "probe"]
    assert (done.exit_code, probe["status"]) == (1, "problem")
    assert cause in probe["cause"]
    assert probe["remedy"]
    assert "sk-ant-key-one" not in done.stdout

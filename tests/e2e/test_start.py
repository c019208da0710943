"""The way to the first request: what is not loaded for it, what it does not wait for, and the little that it does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, rest, take_turn, with_server
from tests.e2e.harness import Finished, run_headless, start_headless
from tests.e2e.watched_server import WatchedServer, events_of, priced, tool_names, with_settings
from tests.fakes import reply
from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.mcp_server import FakeMcp, text, tool
from tests.fakes.openai_server import FakeOpenAI

HEAVY = {
    "litellm",
    "openai",
    "pydantic",
    "fastmcp",
    "huggingface_hub",
    "rich",
    "prompt_toolkit",
    "click",
    "pygments",
}
ROUTER_MODEL = "org/model:novita"
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200}
COST_USD = 1_000 * 1e-6 + 200 * 5e-6
"""Of `USAGE` at the prices below."""


@pytest.fixture
def mute_server() -> Iterator[WatchedServer]:
    """It answers model calls, and nothing else."""
    with WatchedServer(mute=True) as server:
        server.models = (priced("org/model", 1.0, 5.0),)
        yield server
        server.check()


def local(env: dict[str, str], server: FakeOpenAI) -> dict[str, str]:
    return env | {"VLLM_BASE_URL": server.url}


def router(env: dict[str, str], server: FakeOpenAI) -> dict[str, str]:
    return env | {"HF_TOKEN": "hf_key_three", "HF_ROUTER_BASE_URL": server.base_url}


def imported(done: Finished) -> set[str]:
    """What a run with PYTHONPROFILEIMPORTTIME has imported."""
    return {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


# --- what is not loaded ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "variables"),
    [
        ("vllm/m", {"VLLM_BASE_URL": "{url}"}),
        (ROUTER_MODEL, {"HF_TOKEN": "hf_key_three", "HF_ROUTER_BASE_URL": "{url}/v1"}),
        ("openai/gpt-4.1", {"OPENAI_API_KEY": "sk-key-two", "OPENAI_BASE_URL": "{url}/v1"}),
    ],
)
def test_a_model_is_asked_without_the_heavy_packages(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path, model: str, variables: dict[str, str]
) -> None:
    openai_server.script(reply.text("Hello"))
    theirs = {name: value.format(url=openai_server.url) for name, value in variables.items()}
    done = run_headless(["-m", model, "hi"], env=env | theirs | {"PYTHONPROFILEIMPORTTIME": "1"}, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    assert "httpx" in imported(done)
    assert not HEAVY & imported(done)


def test_the_token_of_a_login_is_used_without_the_package_that_wrote_it(
    env: dict[str, str], openai_server: FakeOpenAI, tmp_path: Path, work: Path
) -> None:
    openai_server.script(reply.text("Hello"))
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "token").write_text("hf_of_the_login\n")
    theirs = {"HF_HOME": str(tmp_path / "hub"), "HF_ROUTER_BASE_URL": openai_server.base_url}
    done = run_headless(["-m", ROUTER_MODEL, "hi"], env=env | theirs | {"PYTHONPROFILEIMPORTTIME": "1"}, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    (request,) = [request for request in openai_server.requests if request.method == "POST"]
    assert request.headers["authorization"] == "Bearer hf_of_the_login"
    assert not HEAVY & imported(done)


# --- what is not waited for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("vllm/m", "VLLM_BASE_URL"),
        ("ollama/qwen3", "OLLAMA_BASE_URL"),
        ("lm_studio/m", "LMSTUDIO_BASE_URL"),
        ("llamacpp/m", "LLAMACPP_BASE_URL"),
    ],
)
def test_a_local_server_that_says_nothing_of_its_models_is_asked_at_once(
    env: dict[str, str], mute_server: WatchedServer, work: Path, model: str, variable: str
) -> None:
    mute_server.script(reply.stall_before_headers().but(text=("Hello",)))
    with start_headless(["-m", model, "hi"], env=env | {variable: mute_server.url}, cwd=work) as running:
        mute_server.wait_stalled(2, 30)  # the model's answer, and whatever is asked about the model
        mute_server.resume()
        done = running.wait()
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    assert mute_server.over_before_the_model_was_asked == []


def test_the_routers_catalog_is_not_waited_for(env: dict[str, str], mute_server: WatchedServer, work: Path) -> None:
    mute_server.script(reply.text("Hello"))
    with start_headless(["-m", ROUTER_MODEL, "hi"], env=router(env, mute_server), cwd=work) as running:
        mute_server.wait_stalled(1, 30)
        running.wait_until(lambda: bool(mute_server.chat_requests))
        mute_server.resume()
        done = running.wait()
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    assert mute_server.over_before_the_model_was_asked == []


def test_in_a_conversation_the_catalog_is_not_waited_for_either(
    env: dict[str, str], talk: Talk, mute_server: WatchedServer
) -> None:
    terminal = talk(args=("-m", ROUTER_MODEL), more_env=router({}, mute_server))
    mute_server.wait_stalled(1, 30)  # it is asked for as soon as the session is open
    rest(terminal)
    mute_server.script(reply.text("Hello"))
    ask(terminal, "hi")
    terminal.wait_for("Hello")
    assert mute_server.over_before_the_model_was_asked == []
    mute_server.resume()
    rest(terminal)


def test_a_proxy_is_not_in_the_way_to_this_machine(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    """`env` names a closed proxy; whoever tries it fails the test."""
    openai_server.script(reply.call("bash", {"command": "ls"}), reply.text("Hello"))
    without = {name: value for name, value in env.items() if name.lower() != "no_proxy"}
    assert {"HTTP_PROXY", "https_proxy"} <= set(without)
    done = run_headless(["-m", "vllm/m", "hi"], env=local(without, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    assert len(openai_server.chat_requests) == 2


class MuteHub(HttpFake):
    """A Hub that never answers."""

    async def respond(self, exchange: Exchange) -> None:
        await exchange.stall()


def test_the_hub_is_not_asked_before_the_model_is(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    """With a token, and nothing that says that there is no network; whoever tries any other host fails the test."""
    openai_server.script(reply.text("Hello"))
    online = {name: value for name, value in env.items() if name not in ("HF_HUB_OFFLINE", "DO_NOT_TRACK")}
    with MuteHub() as hub:
        theirs = {"HF_TOKEN": "hf_key_three", "HF_ENDPOINT": hub.url}
        done = run_headless(["-m", "vllm/m", "hi"], env=local(online, openai_server) | theirs, cwd=work)
        asked = [request.path for request in hub.requests if request.time_s < openai_server.requests[0].time_s]
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    assert openai_server.requests[0].method == "POST"
    assert asked == []


# --- prices ----------------------------------------------------------------------------------------------------------


def run_with_a_late_catalog(
    env: dict[str, str], server: WatchedServer, work: Path, *args: str
) -> tuple[Finished, list[dict[str, Any]]]:
    """A run at the router whose catalog is answered once the model was asked, or the run waits for it."""
    server.script(reply.text("Hello", usage=USAGE))
    with start_headless(["-m", ROUTER_MODEL, *args, "hi"], env=router(env, server), cwd=work) as running:
        server.wait_stalled(1, 30)
        asked_meanwhile = server.chat_requests
        server.resume()
        return running.wait(), asked_meanwhile


def test_a_price_that_comes_late_is_charged(env: dict[str, str], mute_server: WatchedServer, work: Path) -> None:
    done, _ = run_with_a_late_catalog(env, mute_server, work, "--output-format", "json")
    answer = done.json()
    assert (answer["result"], answer["exit_code"]) == ("Hello", 0)
    assert mute_server.over_before_the_model_was_asked == []
    assert (answer["cost_usd"], answer["cost_known"]) == (pytest.approx(COST_USD), True)


def test_a_price_that_comes_late_is_in_the_budget(env: dict[str, str], mute_server: WatchedServer, work: Path) -> None:
    done, _ = run_with_a_late_catalog(env, mute_server, work, "--output-format", "stream-json")
    assert mute_server.over_before_the_model_was_asked == []
    last = events_of(done, "budget_status")[-1]
    assert last["spent_usd"] == pytest.approx(COST_USD)
    assert (last["unknown_usd"], last["reserved_usd"]) == (0, 0)


def test_a_price_that_never_comes_is_a_worst_case(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.route("GET", "/v1/models", {"error": "down"}, status=500)
    openai_server.script(reply.text("Hello", usage=USAGE))
    args = ["-m", ROUTER_MODEL, "--output-format", "stream-json", "hi"]
    done = run_headless(args, env=router(env, openai_server), cwd=work)
    assert done.exit_code == 0, done.stderr
    last = events_of(done, "budget_status")[-1]
    assert last["unknown_usd"] == last["spent_usd"] > COST_USD
    assert [call["cost_known"] for call in events_of(done, "llm_call")] == [False]


def test_under_a_cap_the_price_is_waited_for(env: dict[str, str], mute_server: WatchedServer, work: Path) -> None:
    args = ("--max-cost-usd", "1", "--output-format", "json")
    done, asked_meanwhile = run_with_a_late_catalog(env, mute_server, work, *args)
    assert asked_meanwhile == []
    assert mute_server.over_before_the_model_was_asked == ["/v1/models"]
    answer = done.json()
    assert (answer["result"], answer["cost_usd"]) == ("Hello", pytest.approx(COST_USD))


# --- MCP servers -----------------------------------------------------------------------------------------------------


class SlowMcp(FakeMcp):
    """It lists its tools when the test says so (`resume`)."""

    async def respond(self, exchange: Exchange) -> None:
        """Answer one message."""
        message = exchange.request.json
        if isinstance(message, dict) and message.get("method") == "tools/list":
            await exchange.stall()
        await super().respond(exchange)


@pytest.fixture
def slow_mcp() -> Iterator[SlowMcp]:
    with SlowMcp([tool("add")], {"add": text("3")}) as server:
        yield server
        server.check()


def test_a_server_that_nobody_requires_is_not_waited_for(
    env: dict[str, str], openai_server: FakeOpenAI, slow_mcp: SlowMcp, tmp_path: Path, work: Path
) -> None:
    openai_server.script(reply.stall_before_headers().but(text=("Hello",)))
    settings = with_settings(tmp_path, mcpServers={"slow": slow_mcp.config})
    with start_headless(["-m", "vllm/m", *settings, "hi"], env=local(env, openai_server), cwd=work) as running:
        openai_server.wait_stalled(1, 30)
        slow_mcp.wait_stalled(1, 30)  # it is connected to all the same
        openai_server.resume()
        done = running.wait()
    assert (done.exit_code, done.stdout) == (0, "Hello\n"), done.stderr
    (request,) = openai_server.chat_requests
    assert [name for name in tool_names(request) if "slow" in name] == ["mcp__slow__wait_for_tools"]


def test_a_server_that_is_required_is_waited_for(
    env: dict[str, str], openai_server: FakeOpenAI, slow_mcp: SlowMcp, tmp_path: Path, work: Path
) -> None:
    openai_server.script(reply.call("mcp__slow__add"), reply.text("Three"))
    settings = with_settings(tmp_path, mcpServers={"slow": {**slow_mcp.config, "required": True}})
    with start_headless(["-m", "vllm/m", *settings, "hi"], env=local(env, openai_server), cwd=work) as running:
        slow_mcp.wait_stalled(1, 30)
        asked_meanwhile = openai_server.requests
        slow_mcp.resume()
        done = running.wait()
    assert asked_meanwhile == []
    assert (done.exit_code, done.stdout) == (0, "Three\n"), done.stderr
    for request in openai_server.chat_requests:
        assert [name for name in tool_names(request) if "slow" in name] == ["mcp__slow__add"]


def test_a_run_ends_whose_required_server_cannot_be_reached(
    env: dict[str, str], openai_server: FakeOpenAI, tmp_path: Path, work: Path
) -> None:
    server = {"url": "http://127.0.0.1:9/mcp", "required": True}
    settings = with_settings(tmp_path, mcpServers={"far": server})
    done = run_headless(["-m", "vllm/m", *settings, "hi"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "MCP server far is required and not available" in done.stderr
    assert "Traceback" not in done.stderr
    assert openai_server.chat_requests == []


def test_a_conversation_goes_on_without_its_required_server(
    talk: Talk, openai_server: FakeOpenAI, tmp_path: Path
) -> None:
    settings = with_settings(tmp_path, mcpServers={"far": {"url": "http://127.0.0.1:9/mcp", "required": True}})
    terminal = with_server(talk, openai_server, args=settings)
    take_turn(terminal, openai_server, "hi", reply.text("Hello"))
    terminal.wait_for("MCP server far is not available")


# --- an end without warning ------------------------------------------------------------------------------------------


def test_what_was_asked_is_on_disk_when_the_model_hears_of_it(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path
) -> None:
    openai_server.script(reply.stall_before_headers(), reply.text("Going on."))
    with start_headless(["-m", "vllm/m", "the question"], env=local(env, openai_server), cwd=work) as running:
        openai_server.wait_stalled(1, 30)
        os.kill(running.pid, signal.SIGKILL)
        assert running.wait().exit_code == -signal.SIGKILL
    (journal,) = Path(env["XDG_STATE_HOME"]).rglob("sessions/*/*/*/*.jsonl")
    assert "the question" in journal.read_text()
    done = run_headless(["--continue", "and now?"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Going on.\n"), done.stderr
    asked = [m["content"] for m in openai_server.chat_requests[-1]["messages"] if m["role"] == "user"]
    assert asked == ["the question\n\nand now?"]  # in one message, as it was never answered

"""What `doctor` finds: each check over real files, real programs and loopback servers."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.commands import find
from agent.cli.doctor.examination import examine
from agent.cli.doctor.findings import Finding
from agent.cli.doctor.machine import hf_cache_dir
from agent.cli.doctor.place import look_around
from agent.cli.doctor.report import is_well, report_json, report_lines
from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.sessions.keeping import keep_session

TOKEN = "hf_abcdefghijklmnop"
WRITER = {"name": "ada", "isPro": True, "auth": {"accessToken": {"displayName": "laptop", "role": "write"}}}

Examine = Callable[..., dict[str, Finding]]


class Hub(HttpFake):
    """A Hub and a router on one address."""

    async def respond(self, exchange: Exchange) -> None:
        await exchange.json(404, {"error": exchange.request.path})


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        server.route("GET", "/api/whoami-v2", WRITER)
        server.route("GET", "/v1/models", {"data": [{"id": "org/a"}, {"id": "org/b"}]})
        yield server
        server.check()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environ(hub: Hub, home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_ENDPOINT": hub.url,
        "HF_ROUTER_BASE_URL": f"{hub.url}/v1",
    }


@pytest.fixture
def look(environ: dict[str, str]) -> Examine:
    """Examine with more in the environment; the findings by name, a problem before a warning before the rest."""

    def look(more: dict[str, str] | None = None, **options: Any) -> dict[str, Finding]:
        free = options.pop("free_bytes", lambda _path: 10**11)
        place = look_around(environ | (more or {}), Path.cwd(), io.StringIO(), io.StringIO(), **options)
        findings = examine(replace(place, free_bytes=free))
        order = ["problem", "warning", "ok", "skipped"]
        return {one.name: one for one in sorted(findings, key=lambda one: order.index(one.status), reverse=True)}

    return look


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


# --- the account ------------------------------------------------------------------------------------------------------


def test_a_write_token_is_well_and_never_shown(look: Examine, hub: Hub) -> None:
    found = look({"HF_TOKEN": TOKEN})
    assert found["HF token"].status == "ok"
    assert "ada (pro), role write, from HF_TOKEN" in found["HF token"].detail
    (asked,) = [request for request in hub.requests if request.path == "/api/whoami-v2"]
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in report_json(list(found.values()))


def test_without_a_token_it_is_said_what_cannot_be_done(look: Examine) -> None:
    finding = look()["HF token"]
    assert finding.status == "warning"
    assert "job" in finding.cause
    assert "hf auth login" in finding.remedy


def test_the_token_of_a_login_is_found(look: Examine, home: Path) -> None:
    stored = home / ".cache" / "huggingface" / "token"
    stored.parent.mkdir(parents=True)
    stored.write_text(TOKEN)
    finding = look()["HF token"]
    assert (finding.status, "from `hf auth login`" in finding.detail) == ("ok", True)


def test_refused_and_unreachable_are_told_apart(look: Examine, hub: Hub) -> None:
    hub.route("GET", "/api/whoami-v2", {"error": "bad"}, status=401)
    refused = look({"HF_TOKEN": TOKEN})["HF token"]
    assert refused.status == "problem"
    assert "refuses it (401)" in refused.cause
    away = look({"HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9"})["HF token"]
    assert away.status == "problem"
    assert "no connection to 127.0.0.1:9" in away.cause


def test_a_hub_in_trouble_is_no_verdict_on_the_token(look: Examine, hub: Hub) -> None:
    hub.route("GET", "/api/whoami-v2", b"<html>", status=503)
    finding = look({"HF_TOKEN": TOKEN})["HF token"]
    assert (finding.status, "503" in finding.cause) == ("warning", True)


def test_a_read_token_cannot_push(look: Examine, hub: Hub) -> None:
    hub.route("GET", "/api/whoami-v2", {"name": "ada", "auth": {"accessToken": {"role": "read"}}})
    finding = look({"HF_TOKEN": TOKEN})["HF token"]
    assert (finding.status, "cannot push" in finding.cause) == ("warning", True)


def test_a_fine_grained_token_names_what_it_lacks(look: Examine, hub: Hub) -> None:
    rights = {
        "global": ["inference.serverless.write"],
        "scoped": [{"permissions": ["repo.content.read", "repo.write"]}],
    }
    token = {"role": "fineGrained", "fineGrained": rights}
    hub.route("GET", "/api/whoami-v2", {"name": "ada", "auth": {"accessToken": token}})
    finding = look({"HF_TOKEN": TOKEN})["HF token"]
    assert finding.cause == "it may not run jobs (job.write)"
    rights["global"].append("job.write")
    hub.route("GET", "/api/whoami-v2", {"name": "ada", "auth": {"accessToken": token}})
    assert look({"HF_TOKEN": TOKEN})["HF token"].status == "ok"


@pytest.mark.parametrize("token", ["hf_with blank inside", "hf_tokén_with_accent"])
def test_a_mangled_token_is_not_sent(look: Examine, hub: Hub, token: str) -> None:
    assert look({"HF_TOKEN": token})["HF token"].status == "problem"
    assert "/api/whoami-v2" not in [request.path for request in hub.requests]


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"{}", b'{"auth": 3, "name": "x"}', b'{"name": "x", "auth": {"accessToken": []}}']
)
def test_odd_answers_break_nothing(look: Examine, hub: Hub, body: bytes) -> None:
    hub.route("GET", "/api/whoami-v2", body)
    assert "could not be checked" not in look({"HF_TOKEN": TOKEN})["HF token"].detail


def test_what_the_hub_says_cannot_paint_the_terminal(look: Examine, hub: Hub) -> None:
    hub.route("GET", "/api/whoami-v2", WRITER | {"name": "\x1b[2J[red]ada\n\x1b]0;x\x07"})
    detail = look({"HF_TOKEN": TOKEN})["HF token"].detail
    assert "[red]ada" in detail
    assert not set("\x1b\x07\n") & set(detail)


# --- models -----------------------------------------------------------------------------------------------------------


def test_with_nothing_at_all_there_is_a_remedy(look: Examine) -> None:
    finding = look()["model"]
    assert finding.status == "problem"
    assert "ANTHROPIC_API_KEY" in finding.remedy


def test_auto_says_what_a_start_would_choose(look: Examine) -> None:
    found = look(
        {"ANTHROPIC_API_KEY": "sk-ant-secret-value", "ANTHROPIC_BASE_URL": "http://me:pw12345678@127.0.0.1:1/x"}
    )
    assert found["model"].status == "ok"
    assert "claude-opus-4-8 via Anthropic at 127.0.0.1:1 (chosen as ANTHROPIC_API_KEY is set)" in found["model"].detail
    text = report_json(list(found.values()))
    assert "sk-ant-secret-value" not in text
    assert "pw12345678" not in text
    assert found["provider keys"].detail == "ANTHROPIC_API_KEY"
    assert found["probe"].status == "skipped"


def test_a_model_without_its_key_is_a_problem(look: Examine) -> None:
    finding = look(flags={"model_name": "openai/gpt-5.5"})["model"]
    assert (finding.status, finding.cause) == ("problem", "no key")
    assert "OPENAI_API_KEY" in finding.remedy


def test_an_id_that_leads_nowhere_is_a_problem(look: Examine) -> None:
    assert look(flags={"model_name": "nonsense"})["model"].status == "problem"


def test_a_key_in_quotes_is_noticed(look: Examine) -> None:
    finding = look({"OPENAI_API_KEY": '"sk-quoted-key"'})["provider keys"]
    assert (finding.status, finding.detail) == ("warning", "OPENAI_API_KEY")


def test_local_servers_and_their_models(look: Examine, openai_server: FakeOpenAI) -> None:
    here = {"VLLM_BASE_URL": openai_server.url}
    found = look(here, flags={"model_name": "vllm/test-model"})
    assert "vLLM at 127.0.0.1" in found["local server"].detail
    assert "test-model" in found["local server"].detail
    assert found["model"].status == "ok"
    missing = look(here, flags={"model_name": "vllm/other"})["model"]
    assert (missing.status, "it has test-model" in missing.cause) == ("problem", True)


def test_a_local_server_that_is_away(look: Examine) -> None:
    found = look({"OLLAMA_BASE_URL": "http://127.0.0.1:9"}, flags={"model_name": "ollama/qwen3"})
    assert (found["model"].status, found["local server"].status) == ("problem", "warning")
    assert "ollama serve" in found["model"].remedy


def test_the_router_is_a_problem_only_for_who_uses_it(look: Examine, hub: Hub) -> None:
    assert look()["HF router"].detail.startswith("2 models at 127.0.0.1")
    hub.route("GET", "/v1/models", {"oops": 1}, status=502)
    assert look({"ANTHROPIC_API_KEY": "sk-ant-1234567890"})["HF router"].status == "warning"
    routed = look({"HF_TOKEN": TOKEN})["HF router"]
    assert (routed.status, routed.cause) == ("problem", "it answered 502")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_broken_configuration_is_a_finding(look: Examine, home: Path) -> None:
    file = home / ".config" / "ml-intern" / "cli_agent_config.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"max_iteration": 3}')
    found = look()
    finding = found["configuration"]
    assert finding.status == "problem"
    assert f"{file}: max_iteration: unknown key" in finding.detail
    assert found["model"].status == "skipped"
    file.write_text("{not json")
    assert "not valid JSON" in look()["configuration"].detail


def test_rules_and_variables_that_name_nothing(look: Examine, home: Path) -> None:
    file = home / ".config" / "ml-intern" / "cli_agent_config.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"permissions": {"deny": ["bashh(rm *)"]}}')
    assert "bashh" in look()["configuration"].detail
    file.unlink()
    odd = look({"ML_INTERN_MODEL_NAM": "x"})["configuration"]
    assert (odd.status, "ML_INTERN_MODEL_NAME" in odd.detail) == ("warning", True)


def test_dotenv_files_by_name_only(look: Examine) -> None:
    Path(".env").write_text(f"HF_TOKEN={TOKEN}\nGIT_SSH_COMMAND=/evil\n")
    found = look()
    assert "GIT_SSH_COMMAND was not taken" in found[".env files"].cause
    assert "export it" in found[".env files"].remedy
    assert f"from HF_TOKEN in {Path('.env').absolute()}" in found["HF token"].detail
    assert TOKEN not in report_json(list(found.values()))


def test_mcp_servers_are_named(look: Examine, home: Path) -> None:
    file = home / ".config" / "ml-intern" / "cli_agent_config.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"mcpServers": {"files": {"command": "x"}}}')
    finding = look()["MCP servers"]
    assert (finding.status, finding.detail) == ("ok", "files; 'ml-intern mcp test NAME' tries one")


def test_where_messages_go_is_named_and_half_a_slack_is_not_enough(look: Examine) -> None:
    assert look()["notifications"].detail == "none configured"
    whole = look({"SLACK_BOT_TOKEN": "xoxb-secret", "SLACK_CHANNEL": "C1"})["notifications"]
    assert (whole.status, whole.detail) == ("ok", "slack.default (slack)")
    half = look({"SLACK_BOT_TOKEN": "xoxb-secret"})["notifications"]
    assert (half.status, half.remedy) == ("warning", "set SLACK_CHANNEL_ID too")


def test_sessions_are_counted_and_others_kept_out(look: Examine, home: Path) -> None:
    state = home / ".local" / "state" / "ml-intern"
    assert "none yet" in look()["state"].detail
    keep_session(state, "aaaa1111bbbb2222", "a question")
    state.chmod(0o700)
    assert look()["state"].detail.endswith("1 session, private")
    state.chmod(0o755)
    open_to_all = look()["state"]
    assert (open_to_all.status, open_to_all.remedy) == ("warning", f"chmod 700 {state}")


def test_sessions_that_cannot_be_read_are_a_problem(look: Examine, home: Path) -> None:
    state = home / ".local" / "state" / "ml-intern"
    state.mkdir(parents=True, mode=0o700)
    (state / "sessions").write_text("a file")
    finding = look()["state"]
    assert finding.status == "problem"
    assert str(state / "sessions") in finding.cause


def test_proxies_without_their_passwords(look: Examine) -> None:
    found = look({"HTTPS_PROXY": "http://ada:secret@proxy.corp:3128", "SSL_CERT_FILE": "/nowhere.pem"})
    assert found["proxies"].status == "problem"
    assert "/nowhere.pem" in found["proxies"].detail
    assert "secret" not in report_json(list(found.values()))


# --- the machine ------------------------------------------------------------------------------------------------------


def test_git_without_a_name_to_commit_with(look: Examine, home: Path) -> None:
    finding = look()["git"]
    assert (finding.status, "not inside a work tree" in finding.detail) == ("warning", True)
    assert "user.email" in finding.cause
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    assert look()["git"].status == "ok"


def test_no_git_and_no_gpu(look: Examine, tmp_path: Path) -> None:
    found = look({"PATH": str(tmp_path / "empty")})
    assert found["git"].status == "warning"
    assert (found["gpu"].status, found["gpu"].detail[:13]) == ("ok", "no NVIDIA GPU")


def test_the_gpu_as_nvidia_smi_tells(look: Examine, tmp_path: Path) -> None:
    answer = 'case "$1" in --query*) echo "NVIDIA H100, 81559, 550.54" ;; *) echo "| CUDA Version: 12.4 |" ;; esac'
    program(tmp_path / "bin", "nvidia-smi", answer)
    finding = look({"PATH": str(tmp_path / "bin")})["gpu"]
    assert (finding.status, finding.detail) == ("ok", "NVIDIA H100 80 GiB, driver 550.54, CUDA 12.4")


def test_a_driver_that_does_not_fit(look: Examine, tmp_path: Path) -> None:
    program(
        tmp_path / "bin", "nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"
    )
    finding = look({"PATH": str(tmp_path / "bin")})["gpu"]
    assert (finding.status, "mismatch" in finding.cause) == ("warning", True)


@pytest.mark.parametrize(("free", "status"), [(6e9, "ok"), (4e9, "warning"), (5e8, "problem")])
def test_room_on_the_disks(look: Examine, free: float, status: str) -> None:
    found = look(free_bytes=lambda _path: int(free))
    assert {found[f"disk: {name}"].status for name in ("workspace", "sessions", "HF cache")} == {status}


def test_the_cache_is_where_huggingface_hub_has_it() -> None:
    assert hf_cache_dir({"HF_HUB_CACHE": "/a", "HF_HOME": "/b", "HOME": "/h"}) == Path("/a")
    assert hf_cache_dir({"HF_HOME": "/b", "HOME": "/h"}) == Path("/b/hub")
    assert hf_cache_dir({"HOME": "/h"}) == Path("/h/.cache/huggingface/hub")


def test_one_broken_check_does_not_hide_the_others(look: Examine) -> None:
    def broken(_path: Path) -> int:
        raise RuntimeError("boom")

    found = look(free_bytes=broken)
    assert (found["disk"].status, found["disk"].cause) == ("warning", "RuntimeError: boom")
    assert found["program"].status == "ok"


def test_a_disk_that_hangs_is_left_behind(environ: dict[str, str]) -> None:
    released = threading.Event()
    place = look_around(environ, Path.cwd(), io.StringIO(), io.StringIO())
    hanging = replace(place, free_bytes=lambda _path: int(released.wait()))
    found = {one.name: one for one in examine(hanging, time_limit_s=0.2)}
    assert not released.is_set()
    released.set()
    assert (found["disk"].status, "no result within 0.2 s" in found["disk"].cause) == ("warning", True)


async def test_the_slash_command_says_the_same_in_a_session(environ: dict[str, str]) -> None:
    said: list[str] = []
    status = SimpleNamespace(model_name="replay/demo")
    app = SimpleNamespace(environ=environ, workspace=Path.cwd(), status=status, say=said.append)
    found, argument = find("/doctor")
    await found.run(app, argument)  # type: ignore[arg-type]
    assert any(line.startswith("✓ model") and "replay/demo" in line for line in said)
    assert said[-1].startswith("No problem")


# --- the report -------------------------------------------------------------------------------------------------------

FINDINGS = st.builds(
    Finding,
    name=st.text(min_size=1),
    status=st.sampled_from(["ok", "warning", "problem", "skipped"]),
    detail=st.text(),
    cause=st.text(),
    remedy=st.text(),
)


@given(st.lists(FINDINGS))
def test_json_says_the_same_as_the_findings(findings: list[Finding]) -> None:
    report = json.loads(report_json(findings))
    assert report["ok"] == is_well(findings) == all(one.status != "problem" for one in findings)
    assert [(one["name"], one["status"], one["cause"]) for one in report["findings"]] == [
        (one.name, one.status, one.cause) for one in findings
    ]


def test_a_problem_is_followed_by_cause_and_remedy() -> None:
    findings = [Finding("git", "ok", "2.40"), Finding("disk", "problem", "full", "no room", "Make some.")]
    lines = [str(line) for line in report_lines(findings)]
    assert lines == [
        "✓ git   2.40",
        "✗ disk  full",
        "    cause:  no room",
        "    remedy: Make some.",
        "1 problem, 0 warnings.",
    ]

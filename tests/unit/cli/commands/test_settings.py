"""/model and /effort: what is shown, what is refused, and what is asked of the session."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.operations import OpType
from agent.ui.sanitize import cell_width
from tests.fakes.http_base import Exchange, HttpFake
from tests.unit.cli.commands.recording import RecordingApp

LOCAL_ENVS = ("OLLAMA", "VLLM", "LMSTUDIO", "LLAMACPP")


def provider(name: str, **changes: Any) -> dict[str, Any]:
    row = {
        "provider": name,
        "status": "live",
        "context_length": 262_144,
        "pricing": {"input": 0.5, "output": 2.5},
        "supports_tools": True,
    }
    return row | changes


CATALOG = [
    {"id": "moonshotai/Kimi-K2.6", "providers": [provider("novita"), provider("slow", status="error")]},
    {
        "id": "zai-org/GLM-5.1",
        "providers": [
            provider("cheap", pricing={"input": 0.035, "output": 0.1}, context_length=None),
            provider("mute", supports_tools=False),
        ],
    },
    {"id": "MiniMaxAI/MiniMax-M2.7", "providers": [provider("other")]},
    {"id": "org/asleep", "providers": [provider("novita", status="staging")]},
    {"id": "org/toolless", "providers": [provider("a", supports_tools=False), provider("b", supports_tools=False)]},
]


@pytest.fixture
def closed() -> Iterator[dict[str, str]]:
    """An environment in which nothing listens where local servers would."""
    with ExitStack() as stack:
        environ = {}
        for env in LOCAL_ENVS:
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else gets the port
            environ[f"{env}_BASE_URL"] = f"http://127.0.0.1:{holder.getsockname()[1]}"
        yield environ


@pytest.fixture
def router() -> Iterator[HttpFake]:
    with HttpFake() as server:
        server.route("GET", "/v1/models", {"data": CATALOG})
        yield server
        server.check()


@pytest.fixture
def app(tmp_path: Path, closed: dict[str, str], router: HttpFake) -> RecordingApp:
    app = RecordingApp(tmp_path, closed | {"HF_ROUTER_BASE_URL": f"{router.url}/v1"})
    app.hf_token = "hf_x"
    return app


def switches(app: RecordingApp) -> list[Any]:
    return [data["model_name"] for op, data in app.operations if op is OpType.CONFIGURE and data]


# --- the list --------------------------------------------------------------------------------------------------------


async def test_the_list_groups_suggestions_by_provider_and_says_which_keys_are_there(app: RecordingApp) -> None:
    app.environ |= {"ANTHROPIC_API_KEY": "sk-secret-1", "GROQ_API_KEY": "gsk-secret"}
    await app.type("/model")
    assert "Now: model replay/demo via replay script" in app.text
    assert "+ HF Router (the token of `hf auth login`)" in app.text
    assert "+ Anthropic (ANTHROPIC_API_KEY is set)" in app.text
    assert "- OpenAI: needs OPENAI_API_KEY" in app.text
    assert "+ Groq (GROQ_API_KEY is set): groq/<model>" in app.text
    assert "secret" not in app.text
    assert "Ollama" not in app.text


async def test_router_models_come_with_price_window_and_tools(app: RecordingApp) -> None:
    await app.type("/model")
    (kimi,) = (line for line in app.text.split("\n") if "Kimi-K2.6" in line)
    assert kimi.split() == ["3", "moonshotai/Kimi-K2.6:novita", "0.50", "2.50", "262k", "yes"]
    (minimax,) = (line for line in app.text.split("\n") if "MiniMax-M2.7" in line)
    assert minimax.split() == ["4", "MiniMaxAI/MiniMax-M2.7:novita"]  # not served by novita
    assert all(cell_width(line) < 80 for line in app.text.split("\n") if "$/1M" in line or "0.50" in line)


async def test_narrow_terminals_get_the_facts_below(app: RecordingApp) -> None:
    app.console.width = 50
    await app.type("/model")
    assert "    $/1M in 0.50, out 2.50, context 262k, tools yes" in app.text.split("\n")


async def test_without_a_token_the_router_is_not_asked(app: RecordingApp, router: HttpFake) -> None:
    app.hf_token = None
    await app.type("/model")
    assert "- HF Router: needs INFERENCE_TOKEN or HF_TOKEN" in app.text
    assert router.requests == []


async def test_local_servers_are_listed_with_ids_to_type(app: RecordingApp) -> None:
    with HttpFake() as ollama, HttpFake() as vllm:
        names = ["qwen3:8b", "nomic-embed-text", "evil\x1b[2J", "two words"]
        ollama.route("GET", "/v1/models", {"data": [{"id": name} for name in names]})
        vllm.route("GET", "/v1/models", {"data": []})
        app.environ |= {"OLLAMA_BASE_URL": ollama.url, "VLLM_BASE_URL": vllm.url}
        await app.type("/model")
        lines = app.text.split("\n")
        at = lines.index(f"+ Ollama at {ollama.url.removeprefix('http://')}")
        assert lines[at + 1].split()[1:] == ["ollama/qwen3:8b"]
        assert lines[at + 2] == f"+ vLLM at {vllm.url.removeprefix('http://')}"
        assert "no chat model" in lines[at + 3]
        assert "\x1b" not in app.text
        assert "embed" not in app.text
        await app.type(f"/model {lines[at + 1].split()[0]}")
    assert switches(app) == ["ollama/qwen3:8b"]


class Silent(HttpFake):
    async def respond(self, exchange: Exchange) -> None:
        await exchange.stall()


async def test_whoever_does_not_answer_holds_nobody_up(app: RecordingApp) -> None:
    with Silent() as silent:
        app.environ |= {"HF_ROUTER_BASE_URL": silent.url, "OLLAMA_BASE_URL": silent.url}
        await app.type("/model")  # would otherwise run into the test's time limit
    assert "moonshotai/Kimi-K2.6:novita" in app.text
    assert "Ollama" not in app.text


async def test_a_number_picks_from_the_list_shown_last(app: RecordingApp) -> None:
    await app.type("/model 3")
    assert app.complaints == ["No list was shown yet: /model shows it, /model ID takes any model."]
    await app.type("/model")
    await app.type("/model 3")
    assert switches(app) == ["moonshotai/Kimi-K2.6:novita"]
    await app.type("/model 99")
    assert "There is no number 99 in the list; the numbers are 1 to 13." in app.complaints
    await app.type(f"/model {'9' * 5000}")
    assert switches(app) == ["moonshotai/Kimi-K2.6:novita"]


# --- the choice ------------------------------------------------------------------------------------------------------


async def test_a_switch_is_preceded_by_what_the_router_knows(app: RecordingApp) -> None:
    await app.type("/model zai-org/GLM-5.1:cheapest")
    assert app.complaints == []
    assert app.said[0] == "Routing: the cheapest provider first."
    assert [line.split() for line in app.said[1:]] == [
        ["provider", "$/1M", "in", "out", "context", "tools"],
        ["cheap", "0.035", "0.10", "?", "yes"],
        ["mute", "0.50", "2.50", "262k", "no"],
    ]
    assert len({cell_width(line) for line in app.said[1:]}) == 1
    assert switches(app) == ["zai-org/GLM-5.1:cheapest"]


@pytest.mark.parametrize(
    ("model_id", "warning"),
    [
        ("moonshotai/Kimi-K2.5", "does not list moonshotai/Kimi-K2.5. Did you mean moonshotai/Kimi-K2.6"),
        ("org/asleep", "No provider serves org/asleep at the moment"),
        ("org/asleep:novita", "No provider serves org/asleep at the moment"),
        ("moonshotai/Kimi-K2.6:fal-ai", "fal-ai does not serve moonshotai/Kimi-K2.6; novita would"),
        ("moonshotai/Kimi-K2.6:slow", "slow does not answer for it at the moment; novita would"),
        ("org/toolless", "org/toolless does not support tools"),
        ("zai-org/GLM-5.1:mute", "zai-org/GLM-5.1 at mute does not support tools"),
    ],
)
async def test_what_speaks_against_a_router_model_is_a_warning_and_no_refusal(
    app: RecordingApp, model_id: str, warning: str
) -> None:
    await app.type(f"/model {model_id}")
    (complaint,) = app.complaints
    assert warning in complaint
    assert switches(app) == [model_id]


async def test_an_unreachable_router_does_not_stand_in_the_way(app: RecordingApp, router: HttpFake) -> None:
    router.route("GET", "/v1/models", {"error": "down"}, status=503)
    await app.type("/model org/model")
    assert "cannot be had" in app.text
    assert switches(app) == ["org/model"]


async def test_a_pinned_provider_that_is_fine_gets_no_warning(app: RecordingApp) -> None:
    await app.type("/model moonshotai/Kimi-K2.6:novita")
    assert app.complaints == []
    assert app.said[0] == "Routing: only novita."
    assert "slow" not in app.text


async def test_names_from_the_router_cannot_move_the_cursor(app: RecordingApp, router: HttpFake) -> None:
    evil = [{"id": "org/evil", "providers": [provider("a\x1b[2Jb\nc")]}, {"id": "org/evi\x1b[2Jl2", "providers": []}]
    router.route("GET", "/v1/models", {"data": evil})
    await app.type("/model org/evil")
    await app.type("/model org/evil3")
    assert "\x1b" not in app.text + "".join(app.complaints)
    assert all("\n" not in line for line in app.said)


@pytest.mark.parametrize(
    ("model_id", "complaint"),
    [
        ("gpt-5", "openai/gpt-5"),
        ("openai/gpt-5.5", "OPENAI_API_KEY"),
        ("replay/nosuch", "no replay script 'nosuch'"),
        ("bad\x1b[2Jid", "invisible"),
    ],
)
async def test_what_cannot_work_is_refused_at_once(app: RecordingApp, model_id: str, complaint: str) -> None:
    await app.type(f"/model {model_id}")
    (shown,) = app.complaints
    assert complaint in shown
    assert "\x1b" not in shown
    assert app.operations == []


async def test_a_broken_script_is_refused_at_once(app: RecordingApp, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("no json\n")
    await app.type(f"/model replay/{tmp_path / 'bad.jsonl'}")
    assert "bad.jsonl" in app.complaints[0]
    await app.type("/model replay/demo")
    assert switches(app) == ["replay/demo"]


# --- effort ----------------------------------------------------------------------------------------------------------


async def test_effort_on_a_model_with_levels(app: RecordingApp) -> None:
    app.status.model_name, app.status.reasoning_effort = "openai/gpt-5.5", "high"
    await app.type("/effort")
    assert app.text == "Now: high. Levels: minimal, low, medium, high, xhigh."
    await app.type("/effort LOW")
    await app.type("/effort off")
    assert app.operations == [
        (OpType.CONFIGURE, {"reasoning_effort": "low"}),
        (OpType.CONFIGURE, {"reasoning_effort": None}),
    ]
    await app.type("/effort extreme")
    assert "That is no level of openai/gpt-5.5. Levels: minimal" in app.complaints[0]


@pytest.mark.parametrize(
    ("model", "typed", "said"),
    [
        ("openai/gpt-5.5", "hgih", "That is no level of openai/gpt-5.5. Did you mean high? Levels: "),
        ("openai/gpt-5.5", "max", "That is no level of openai/gpt-5.5. Did you mean xhigh? Levels: "),
        ("ollama/qwen3", "hgih", "There is no level hgih. Did you mean high? ollama/qwen3 takes no effort level"),
        ("ollama/qwen3", "12", "There is no level 12. ollama/qwen3 takes no effort level"),
    ],
)
async def test_what_is_no_level_gets_the_nearest(app: RecordingApp, model: str, typed: str, said: str) -> None:
    app.status.model_name = model
    await app.type(f"/effort {typed}")
    assert app.complaints[0].startswith(said)
    assert app.operations == []


async def test_effort_on_a_model_without_levels(app: RecordingApp) -> None:
    app.status.model_name, app.status.reasoning_effort = "ollama/qwen3", "high"
    await app.type("/effort")
    assert app.text == "ollama/qwen3 takes no effort level. high is kept for models that do."
    await app.type("/effort low")
    assert app.complaints[0].startswith("ollama/qwen3 takes no effort level")
    assert app.operations == []


# --- status ----------------------------------------------------------------------------------------------------------


async def test_status_says_what_runs_without_asking(app: RecordingApp) -> None:
    await app.type("/status")
    assert "Model:    replay/demo via replay script" in app.text
    assert "Approval: ask\n" in app.text
    app.status.mode = "plan"
    await app.type("/status")
    assert "(plan)" in app.said[-1]

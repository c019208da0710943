"""Which environment variables lead the real litellm client to a loopback server."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import text

pytestmark = pytest.mark.xdist_group("litellm")

HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
async def test_openai_base_from_the_environment(
    openai_server: FakeOpenAI, litellm: ModuleType, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, openai_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    openai_server.script(text("hi"))
    await litellm.acompletion(model="openai/gpt-4o-mini", messages=HI, max_retries=0)
    assert openai_server.requests[0].headers["authorization"] == "Bearer from-env"


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"])
@pytest.mark.parametrize("suffix", ["", "/v1/messages"])
async def test_anthropic_base_from_the_environment(
    anthropic_server: FakeAnthropic, litellm: ModuleType, monkeypatch: pytest.MonkeyPatch, variable: str, suffix: str
) -> None:
    monkeypatch.setenv(variable, anthropic_server.base_url + suffix)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-env")
    anthropic_server.script(text("hi"))
    await litellm.acompletion(model="anthropic/claude-sonnet-4-6", messages=HI, max_retries=0)
    assert anthropic_server.requests[0].headers["x-api-key"] == "from-env"


async def test_which_variable_wins(
    openai_server: FakeOpenAI, anthropic_server: FakeAnthropic, litellm: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:1"
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.base_url)
    monkeypatch.setenv("OPENAI_API_BASE", nowhere)
    monkeypatch.setenv("ANTHROPIC_API_BASE", anthropic_server.base_url)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", nowhere)
    openai_server.script(text("hi"))
    anthropic_server.script(text("hi"))
    await litellm.acompletion(model="openai/gpt-4o-mini", messages=HI, max_retries=0)
    await litellm.acompletion(model="anthropic/claude-sonnet-4-6", messages=HI, max_retries=0)
    assert (len(openai_server.requests), len(anthropic_server.requests)) == (1, 1)


async def test_the_base_of_the_module_outranks_the_environment(
    openai_server: FakeOpenAI, litellm: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(litellm, "api_base", openai_server.base_url)
    openai_server.script(text("hi"))
    await litellm.acompletion(model="openai/gpt-4o-mini", messages=HI, max_retries=0)
    assert len(openai_server.requests) == 1

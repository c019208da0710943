"""The first start without a key: every way through the choice, and every way out of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input
from prompt_toolkit.output import DummyOutput

from agent.cli.first_run import FirstChoice, ask_for_model
from agent.llm.auto import DEMO, ROUTER_MODEL
from tests.fakes.http_base import HttpFake

TOKEN = "hf_" + "a" * 34


class Person:
    """Someone at the terminal: types `keys`, and sees `shown`."""

    def __init__(self, pipe: PipeInput, environ: dict[str, str]) -> None:
        self.environ = environ
        self.shown = ""
        self._pipe = pipe

    async def types(self, keys: str, *, then_closes: bool = True) -> FirstChoice | None:
        self._pipe.send_text(keys)
        if then_closes:
            self._pipe.close()
        return await ask_for_model(self.environ, self._sees)

    def _sees(self, text: str) -> None:
        self.shown += text + "\n"


@pytest.fixture
def person() -> Iterator[Person]:
    """In front of a machine on which no local server runs."""
    with ExitStack() as stack:
        environ = {"HOME": os.environ["HOME"]}
        for env in ("OLLAMA", "VLLM", "LMSTUDIO", "LLAMACPP"):
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))  # bound but not listening
            environ[f"{env}_BASE_URL"] = f"http://127.0.0.1:{holder.getsockname()[1]}"
        pipe = stack.enter_context(create_pipe_input())
        stack.enter_context(create_app_session(input=pipe, output=DummyOutput()))
        yield Person(pipe, environ)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpFake]:
    """The Hub, as the library's shared client sees it; that fixes its address when it is imported."""
    from huggingface_hub import constants, hf_api

    with HttpFake() as server:
        monkeypatch.setattr(hf_api.api, "endpoint", server.url)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)  # where the library asks which agents there are
        home = Path(os.environ["HOME"])
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
        yield server
        server.check()


@pytest.mark.parametrize("keys", ["q\r", "quit\r", "\r", "\x03", "\x04", "", "nonsense\r", "7\r8\r9\r"])
async def test_every_way_out_ends_it(person: Person, keys: str) -> None:
    assert await person.types(keys) is None
    assert "paste a Hugging Face token" in person.shown


async def test_the_demo_needs_nothing(person: Person) -> None:
    assert await person.types("3\r") == FirstChoice(DEMO, "")


async def test_other_keys_are_named_and_never_shown(person: Person) -> None:
    person.environ["MISTRAL_API_KEY"] = "secret-key"
    await person.types("q\r")
    assert "ANTHROPIC_API_KEY or OPENAI_API_KEY" in person.shown
    assert "MISTRAL_API_KEY is set: ml-intern --model mistral/<name>" in person.shown
    assert "secret-key" not in person.shown


# --- local servers ---------------------------------------------------------------------------------------------------


async def test_no_local_server_is_offered_where_none_answers(person: Person) -> None:
    assert await person.types("2\r") is None
    assert "none answers yet" in person.shown
    assert "No local server answers. Start Ollama" in person.shown


async def test_the_only_model_of_a_server_is_taken_at_once(person: Person) -> None:
    with HttpFake() as ollama:
        ollama.route("GET", "/v1/models", {"data": [{"id": "nomic-embed-text"}, {"id": "qwen3:8b"}]})
        person.environ["OLLAMA_BASE_URL"] = ollama.url
        place = f"Ollama at {ollama.url.removeprefix('http://')}"
        assert await person.types("2\r") == FirstChoice("ollama/qwen3:8b", f"{place}: ")
    assert f"2  use a model of {place}: ollama/qwen3:8b\n" in person.shown


@pytest.mark.parametrize(
    ("keys", "expected"),
    [("2\r2\r", "vllm/org/B"), ("2\r\r2\r1\r", "ollama/a"), ("2\r9\r", None), ("2\r\x03", None), ("2\r\x04q\r", None)],
)
async def test_of_several_models_the_person_picks_one_or_goes_back(
    person: Person, keys: str, expected: str | None
) -> None:
    with HttpFake() as ollama, HttpFake() as vllm:
        ollama.route("GET", "/v1/models", {"data": [{"id": "a"}, {"id": "evil\x1b[2J"}]})
        vllm.route("GET", "/v1/models", {"data": [{"id": "org/B"}]})
        person.environ |= {"OLLAMA_BASE_URL": ollama.url, "VLLM_BASE_URL": vllm.url}
        choice = await person.types(keys)
    assert (choice.model_name if choice else None) == expected
    assert "or of vLLM at" in person.shown
    assert "\x1b" not in person.shown


async def test_a_server_without_a_model_says_so(person: Person) -> None:
    with HttpFake() as ollama:
        ollama.route("GET", "/v1/models", {"data": []})
        person.environ["OLLAMA_BASE_URL"] = ollama.url
        assert await person.types("2\r") is None
    assert "has no model that can chat" in person.shown


# --- the token -------------------------------------------------------------------------------------------------------


async def test_a_good_token_is_checked_stored_and_never_shown(person: Person, hub: HttpFake) -> None:
    hub.route("GET", "/api/whoami-v2", {"name": "ada", "auth": {"accessToken": {"displayName": "t", "role": "read"}}})
    choice = await person.types(f"1\r  {TOKEN}\r")
    assert choice == FirstChoice(ROUTER_MODEL, "", TOKEN)
    (asked,) = (request for request in hub.requests if request.path == "/api/whoami-v2")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert (Path(os.environ["HOME"]) / "token").read_text() == TOKEN
    assert TOKEN not in person.shown


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_leads_back_to_the_choice(person: Person, hub: HttpFake, status: int) -> None:
    hub.route("GET", "/api/whoami-v2", {"error": "Invalid credentials"}, status=status)
    assert await person.types(f"1\r{TOKEN}\r3\r") == FirstChoice(DEMO, "")
    assert "does not accept this token" in person.shown
    assert not (Path(os.environ["HOME"]) / "token").exists()


async def test_a_hub_in_trouble_is_no_objection_to_a_token(person: Person, hub: HttpFake) -> None:
    hub.route("GET", "/api/whoami-v2", {"error": "down"}, status=500)
    choice = await person.types(f"1\rapi_{TOKEN}\r")
    assert choice is not None
    assert choice.hf_token == f"api_{TOKEN}"
    assert "for this session only" in person.shown


@pytest.mark.parametrize("pasted", ["sk-ant-1234", "hf_two words", "export HF_TOKEN=hf_x"])
async def test_what_is_no_token_is_not_sent_anywhere(person: Person, hub: HttpFake, pasted: str) -> None:
    assert await person.types(f"1\r{pasted}\r") is None
    assert "does not look like a Hugging Face token" in person.shown
    assert pasted not in person.shown
    assert hub.requests == []


@pytest.mark.parametrize("keys", ["\r", "\x03", "\x04"])
async def test_the_token_question_can_be_left(person: Person, keys: str) -> None:
    assert await person.types(f"1\r{keys}3\r") == FirstChoice(DEMO, "")

"""The model that `auto` picks."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.llm.auto import AutoChoice, choose_model
from agent.llm.local import LocalServer
from agent.llm.params import missing_credentials, resolve_route
from agent.llm.providers import LOCAL_PROVIDERS

OLLAMA, VLLM, _, _ = LOCAL_PROVIDERS
SERVER = LocalServer(OLLAMA, "http://user:pw@localhost:11434/v1", ("nomic-embed-text", "has space", "qwen3:8b"))

EVERYTHING = {
    "ANTHROPIC_API_KEY": "sk-ant-1",
    "ANTHROPIC_AUTH_TOKEN": "t",
    "OPENAI_API_KEY": "sk-1",
    "INFERENCE_TOKEN": "hf_i",
    "HF_TOKEN": "hf_x",
    "AWS_ACCESS_KEY_ID": "AKIA",
}

ORDER = [
    ("ANTHROPIC_API_KEY", "anthropic/claude-opus-4-8", "ANTHROPIC_API_KEY is set"),
    ("ANTHROPIC_AUTH_TOKEN", "anthropic/claude-opus-4-8", "ANTHROPIC_AUTH_TOKEN is set"),
    ("OPENAI_API_KEY", "openai/gpt-5.5", "OPENAI_API_KEY is set"),
    ("INFERENCE_TOKEN", "anthropic/claude-opus-4.8:fal-ai", "INFERENCE_TOKEN is set"),
    ("HF_TOKEN", "anthropic/claude-opus-4.8:fal-ai", "HF_TOKEN is set"),
    ("AWS_ACCESS_KEY_ID", "bedrock/us.anthropic.claude-opus-4-8", "AWS credentials are set up"),
]


def test_the_order() -> None:
    environ = dict(EVERYTHING)
    for name, model_name, because in ORDER:
        choice = choose_model(environ, None, [SERVER])
        assert choice == AutoChoice(model_name, because)
        assert missing_credentials(resolve_route(model_name), environ, None) is None
        del environ[name]
    assert choose_model(environ, None, [SERVER]) == AutoChoice("ollama/qwen3:8b", "Ollama answers at localhost:11434")
    assert choose_model(environ, None, []) is None


def test_a_login_counts_as_a_token() -> None:
    choice = choose_model({"AWS_PROFILE": "p"}, "hf_login", [SERVER])
    assert choice == AutoChoice("anthropic/claude-opus-4.8:fal-ai", "you are logged in to Hugging Face")


def test_blank_variables_are_unset() -> None:
    assert choose_model(dict.fromkeys(EVERYTHING, " \n"), "", []) is None


def test_servers_without_a_usable_model_are_passed_over() -> None:
    empty = LocalServer(OLLAMA, "http://localhost:11434/v1", ())
    only_embeddings = LocalServer(OLLAMA, "http://localhost:11434/v1", ("text-embedding-x",))
    vllm = LocalServer(VLLM, "http://localhost:8000/v1", ("Qwen/Qwen3",))
    choice = choose_model({}, None, [empty, only_embeddings, vllm])
    assert choice is not None
    assert choice.model_name == "vllm/Qwen/Qwen3"


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("config", "[default]\nregion = us-east-1\n", False),
        ("config", "[default]\nsso_session = work\n", True),
        ("config", "[profile x]\nrole_arn = arn:aws:iam::1:role/x\n", True),
        ("credentials", "[default]\naws_access_key_id = AKIA\n", True),
        ("credentials", "", False),
    ],
)
def test_a_region_alone_is_no_credential(tmp_path: Path, name: str, text: str, counts: bool) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / name).write_text(text)
    environ = {"HOME": str(tmp_path), "AWS_REGION": "us-east-1"}
    assert (choose_model(environ, None, []) is not None) is counts


def test_an_empty_environment_looks_at_no_files() -> None:
    """The first-run dialogue asks with an empty environment to get a local server and nothing else."""
    choice = choose_model({}, None, [SERVER])
    assert choice is not None
    assert choice.model_name == "ollama/qwen3:8b"

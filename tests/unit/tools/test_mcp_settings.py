"""From settings to requests and processes: who gets which secret, and what is shown of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config_keys import McpServer
from agent.tools.mcp.addresses import (
    NotReachableError,
    Place,
    address_text,
    directory_of,
    environment_of,
    headers_for,
    is_hugging_face,
    secrets_of,
    transport_to,
)
from agent.tools.sensitive_paths import is_sensitive_path

TOKEN = "hf_abcdefghijklmnop"


@pytest.mark.parametrize(
    "url", ["https://huggingface.co/mcp?login", "https://hf.co/mcp", "https://x.huggingface.co:443/"]
)
def test_the_token_goes_to_hugging_face(url: str) -> None:
    assert headers_for(McpServer(url=url), TOKEN) == {"Authorization": f"Bearer {TOKEN}"}
    assert headers_for(McpServer(url=url), None) == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/mcp",
        "https://huggingface.co.evil.example/mcp",
        "https://evilhuggingface.co/mcp",
        "https://evil.example/huggingface.co",
        "https://huggingface.co@evil.example/mcp",
        "https://me:pw@huggingface.co/mcp",
        "https://someone-app.hf.space/mcp",
        "https://huggingface.co:8443/mcp",
        "https://huggingface.co:x/",
        "https://evil.example#@huggingface.co/",
    ],
)
def test_the_token_goes_nowhere_else(url: str) -> None:
    """Defect 27: it went to every server."""
    assert not is_hugging_face(url)
    assert headers_for(McpServer(url=url), TOKEN) == {}


def test_the_token_never_replaces_what_is_configured() -> None:
    """Defect 27: it replaced a configured header."""
    url = "https://huggingface.co/mcp"
    mine = {"authorization": "Bearer mine", "X-Team": "ml"}
    assert headers_for(McpServer(url=url, headers=mine), TOKEN) == mine
    assert headers_for(McpServer(url=url, auth="mine"), TOKEN) == {"Authorization": "Bearer mine"}
    assert headers_for(McpServer(url=url, auth="Basic bWU="), TOKEN) == {"Authorization": "Basic bWU="}


def test_a_program_gets_what_is_configured_and_no_mark_of_the_session(tmp_path: Path) -> None:
    place = Place(tmp_path, {"PATH": "/bin", "ML_INTERN_SESSION": "s", "A": "1"}, tmp_path, TOKEN)
    server = McpServer(command="x", env={"A": "2", "HF_TOKEN": "given"})
    assert environment_of(server, place) == {"PATH": "/bin", "A": "2", "HF_TOKEN": "given"}


def test_where_a_program_starts(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    place = Place(tmp_path, {"HOME": str(tmp_path)}, tmp_path)
    assert directory_of(McpServer(command="x"), place) == tmp_path
    assert directory_of(McpServer(command="x", cwd="sub"), place) == tmp_path / "sub"
    assert directory_of(McpServer(command="x", cwd="~/sub"), place) == tmp_path / "sub"
    with pytest.raises(NotReachableError, match="does not exist; correct it"):
        directory_of(McpServer(command="x", cwd="none"), place)


@pytest.mark.parametrize(
    ("entry", "hidden"),
    [
        ({"command": "x", "env": {"API_KEY": "secret-1", "REGION": "eu"}}, {"secret-1"}),
        ({"command": "x", "args": ["--token", "secret-2", "--api-key=secret-3", "-v"]}, {"secret-2", "secret-3"}),
        ({"url": "https://u:secret-4@x.example/?key=secret-5&q=1"}, {"secret-4", "secret-5"}),
        ({"url": "https://x.example", "headers": {"Authorization": "Bearer secret-6", "X": "1"}}, {"secret-6"}),
        ({"url": "https://x.example", "auth": "secret-7"}, {"secret-7"}),
        ({"url": "https://x.example", "auth": "oauth"}, set()),
        ({"url": "https://x.example/s/ZTk4YjQxMmEtNWQ0/mcp"}, {"ZTk4YjQxMmEtNWQ0"}),
        ({"command": "x", "args": ["-e", "API_KEY=secret-8"]}, {"secret-8"}),
        ({"command": "x", "env": {"PROJECT": "a81bc81b0dead4e5dabff"}}, {"a81bc81b0dead4e5dabff"}),
        ({"url": "https://x.example", "headers": {"X-Team": "a81bc81b0dead4e5dabff"}}, {"a81bc81b0dead4e5dabff"}),
    ],
)
def test_secrets_are_known_and_not_in_the_address(entry: dict[str, Any], hidden: set[str]) -> None:
    server = McpServer.of(entry)
    found = set(secrets_of(server))
    assert hidden <= found
    assert "eu" not in found
    assert not any(secret in address_text(server) for secret in hidden)


@pytest.mark.parametrize("base", ["~/.config", "/elsewhere"])
def test_our_own_settings_are_not_read_without_asking(base: str) -> None:
    assert is_sensitive_path(f"{base}/ml-intern/cli_agent_config.json")
    assert not is_sensitive_path(f"{base}/project/cli_agent_config.json")


@pytest.mark.parametrize("value", ["us-east-1", "/home/me/project2/data12345", "gpt-4o-mini-2024-07-18", "production"])
def test_plain_values_are_no_secrets(value: str) -> None:
    """They would be blotted out of everything that any tool says."""
    assert list(secrets_of(McpServer(command="x", args=[f"--where={value}"], env={"WHERE": value}))) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"env": {"TOKENIZER_PATH": "/home/me/project", "SECRETS_DIR": "project", "TOKENIZER": "gpt2-large"}},
        {"env": {"GOOGLE_APPLICATION_CREDENTIALS": "/home/me/gcp.json", "KEY_COLUMN": "document_id"}},
        {"env": {"DATA": "mydataset2024", "MAX_TOKENS": "16000000"}},
        {"args": ["--api-key-file", ".key", "--max-tokens", "16000000", "--tokenizer=gpt2-large", "--tokenizer", "x"]},
    ],
)
def test_settings_that_only_sound_secret_are_none(entry: dict[str, Any]) -> None:
    """They are ordinary words of a session, and would be blotted out of all of it."""
    assert list(secrets_of(McpServer(command="x", **entry))) == []


def test_a_key_may_begin_like_a_path() -> None:
    key = "/9aB8cD7eF6gH5iJ4kL3mN2/oP1qR0sT9uV8wX7y"
    assert list(secrets_of(McpServer(command="x", env={"API_KEY": key}))) == [key]


@pytest.mark.parametrize("url", ["http://[", "https://x.example:port/mcp", "https://"])
def test_an_address_that_cannot_be_read_is_no_crash(url: str) -> None:
    server = McpServer(url=url)
    assert list(secrets_of(server)) == []
    assert address_text(server).startswith("http")
    assert headers_for(server, TOKEN) == {}


def test_signing_in_through_a_browser_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(NotReachableError, match=r"put a token in the place of oauth"):
        transport_to("a", McpServer(url="https://x.example", auth="oauth"), Place(tmp_path, {}, tmp_path))

"""`ml-intern mcp`, and `/mcp`."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli.args import parse
from agent.cli.commands import mcp as slash
from agent.cli.mcp_command import run_mcp
from agent.config_keys import McpServer
from agent.tools.mcp.addresses import Place
from agent.tools.mcp.servers import McpServers
from tests.fakes.mcp_server import stdio_server, tool
from tests.unit.cli.commands.recording import RecordingApp


@dataclass
class Person:
    """Somebody at a shell."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    code: int = 0
    out: str = ""
    err: str = ""

    @property
    def file(self) -> Path:
        return self.home / ".config" / "ml-intern" / "cli_agent_config.json"

    @property
    def data(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.file.read_text())
        return value

    def types(self, *words: str, **environ: str) -> int:
        arguments = parse(["mcp", *words])
        assert arguments.command == "mcp"
        out = StringIO()
        self.code = run_mcp(arguments.rest, environ={**os.environ, **environ}, cwd=Path.cwd(), out=out)
        self.out, self.err = out.getvalue(), self.capsys.readouterr().err
        return self.code


@pytest.fixture
def person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(tmp_path / "home", capsys)


def test_add_list_and_remove_a_program(person: Person) -> None:
    assert person.types("add", "files", "--env", "ROOT=/data=1", "--", "npx", "-y", "server", "--", "--url") == 0
    assert person.data["mcpServers"]["files"] == {
        "command": "npx",
        "args": ["-y", "server", "--", "--url"],
        "env": {"ROOT": "/data=1"},
    }
    assert stat.S_IMODE(person.file.stat().st_mode) == 0o600
    assert person.types("list") == 0
    assert [line.split() for line in person.out.splitlines()] == [
        ["name", "kind", "where"],
        ["files", "stdio", "npx", "-y", "server", "--", "--url"],
        ["All", "of", f"{person.file}."],
    ]
    assert person.types("remove", "files") == 0
    assert person.data["mcpServers"] == {}
    assert person.types() == 0
    assert "No MCP servers" in person.out


def test_add_an_address_with_a_secret_in_the_environment(person: Person) -> None:
    words = ("add", "wiki", "--url", "https://wiki.example/mcp", "--header", "Authorization: Bearer ${WIKI_TOKEN}")
    assert person.types(*words, WIKI_TOKEN="secret-key-123") == 0
    assert person.err == ""
    assert person.data["mcpServers"]["wiki"]["headers"] == {"Authorization": "Bearer ${WIKI_TOKEN}"}
    assert "not set" not in person.out
    assert "secret-key-123" not in person.file.read_text()
    assert person.types("list", "--json", WIKI_TOKEN="secret-key-123") == 0
    (row,) = json.loads(person.out)
    assert row == {"name": "wiki", "kind": "http", "where": "https://wiki.example/mcp", "file": str(person.file)}
    assert person.types("list") == 2  # as everything else that needs the settings
    assert "the environment variable WIKI_TOKEN is not set" in person.err
    assert person.types("remove", "wiki") == 0  # but this mends them
    assert person.types(*words) == 0
    assert "WIKI_TOKEN is not set" in person.out


def test_what_is_unusable_now_is_said_at_once(person: Person) -> None:
    assert person.types("add", "a", "--url", "https://x.example/${WIKI_PATH}") == 0
    assert "the environment variable WIKI_PATH is not set" in person.err


def test_a_secret_that_is_written_out_is_pointed_at(person: Person) -> None:
    assert person.types("add", "a", "--env", "API_KEY=secret-key-123", "--", "x", "--token", "secret-key-456") == 0
    assert "env API_KEY is in the file" in person.err
    assert person.types("list") == 0
    assert "secret-key" not in person.out + person.err
    assert "***" in person.out


def test_the_rest_of_the_file_stays(person: Person) -> None:
    person.file.parent.mkdir(parents=True)
    target = person.file.with_name("dotfiles.json")
    target.write_text('{\n    "theme": "dark",\n    "mcpServers": {"old": {"command": "ä"}},\n    "plain": true\n}\n')
    target.chmod(0o644)
    person.file.symlink_to(target)
    assert person.types("add", "new", "--url", "https://x.example/mcp", "--transport", "sse") == 0
    assert person.file.is_symlink()
    assert list(person.data) == ["theme", "mcpServers", "plain"]
    assert list(person.data["mcpServers"]) == ["old", "new"]
    assert '\n    "theme"' in target.read_text()
    assert "ä" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert person.types("add", "more", "--env", "A=b", "--", "x") == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600  # now it may hold a secret
    assert [path.name for path in person.file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("add", "a"), "give either --url URL, or after -- the command"),
        (("add", "a", "--url", "https://x.example", "--", "x"), "give either"),
        (("add", "a", "--url", "ftp://x"), "url must start with http"),
        (("add", "a", "--url", "https://x.example", "--env", "A=b"), "--env goes with a command"),
        (("add", "a", "--header", "A: b", "--", "x"), "--header and --transport go with --url"),
        (("add", "a", "--env", "A", "--", "x"), "write --env NAME=VALUE"),
        (("add", "a", "--url", "https://x.example", "--header", "A"), "write --header 'Name: value'"),
        (("add", "a b", "--", "x"), "cannot be a name"),
        (("add", "a", "python", "serve.py"), "comes after --: ml-intern mcp add a -- python serve.py"),
        (("remove", "a", "b"), "unrecognized arguments: b"),
        (("remove", "a"), "there is no MCP server a in"),
        (("test", "a"), "there is no MCP server a in your settings"),
        (("add",), "required: NAME"),
    ],
)
def test_slips_are_said_and_nothing_is_written(words: tuple[str, ...], problem: str, person: Person) -> None:
    assert person.types(*words) == 2
    assert problem in person.err
    assert not person.file.exists()


def test_a_name_is_not_taken_twice(person: Person) -> None:
    person.types("add", "a", "--", "x")
    assert person.types("add", "a", "--", "y") == 2
    assert "'ml-intern mcp remove a' removes it" in person.err
    assert person.data["mcpServers"]["a"]["command"] == "x"


def test_a_file_that_cannot_be_read_is_left_alone(person: Person) -> None:
    person.file.parent.mkdir(parents=True)
    person.file.write_text("{broken")
    assert person.types("add", "a", "--", "x") == 2
    assert "not valid JSON" in person.err
    assert person.file.read_text() == "{broken"


def test_another_file(person: Person, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    assert person.types("add", "a", "--config", str(other), "--", "x") == 0
    assert json.loads(other.read_text()) == {"mcpServers": {"a": {"command": "x"}}}
    assert person.types("list", ML_INTERN_CLI_CONFIG=str(other)) == 0
    assert str(other) in person.out


def test_help_is_about_all(person: Person) -> None:
    assert person.types("--help") == 0
    assert all(f"ml-intern mcp {name} " in person.out for name in ("list", "add", "remove", "test"))


def test_secrets_by_their_looks_are_not_listed(person: Person) -> None:
    person.types("add", "a", "--url", "https://x.example/s/ZTk4YjQxMmEtNWQ0/mcp")
    person.types("add", "b", "--", "docker", "run", "-e", "API_KEY=secret-key-123", "image")
    for words in (("list",), ("list", "--json")):
        assert person.types(*words) == 0
        assert "ZTk4YjQxMmEtNWQ0" not in person.out
        assert "secret-key-123" not in person.out
    assert "https://x.example/s/***/mcp" in person.out


def test_trying_a_server_with_too_many_tools(person: Person, tmp_path: Path) -> None:
    config = stdio_server(tmp_path, tools=[tool(f"t{n:03}") for n in range(200)]).config
    person.types("add", "fake", "--", config["command"], *config["args"])
    assert person.types("test", "fake") == 0
    assert "128 of 200 tools (a request to a model has no room for more)" in person.out
    assert "left out: t128, t129" in person.out


def test_trying_a_server(person: Person, tmp_path: Path) -> None:
    tools = [tool("look", annotations={"readOnlyHint": True}), tool("write")]
    config = stdio_server(tmp_path, tools=tools).config
    person.types("add", "fake", "--", config["command"], *config["args"])
    assert person.types("test", "fake") == 0
    head, *lines = person.out.splitlines()
    assert head.startswith("fake (fake 1): 2 tools, ")
    assert lines == ["  look  (only looks)  Does look.", "  write  (asks first)  Does write."]


def test_trying_a_server_that_fails(person: Person, tmp_path: Path) -> None:
    config = stdio_server(tmp_path, start="die", stderr="bad key secret-key-123").config
    person.types("add", "fake", "--env", "API_KEY=secret-key-123", "--", config["command"], *config["args"])
    assert person.types("test", "fake") == 1
    assert "exit code 3" in person.err
    assert "bad key" in person.err
    assert "secret-key-123" not in person.err


@pytest.mark.parametrize("words", [["mcp", "servers", "are", "great"], ["mcp?"]])
def test_a_prompt_may_begin_like_the_command(words: list[str]) -> None:
    assert parse(words).command == "run"


# --- /mcp ------------------------------------------------------------------------------------------------------------


async def types(servers: McpServers | None, tmp_path: Path, argument: str) -> RecordingApp:
    app = RecordingApp(tmp_path)
    app.exchange = SimpleNamespace(connection=SimpleNamespace(mcp_servers=servers))  # type: ignore[attr-defined]
    await slash.mcp(app, argument)  # type: ignore[arg-type]
    return app


async def test_the_slash_command(tmp_path: Path) -> None:
    good, broken = (
        stdio_server(tmp_path, tools=[tool("a")]),
        stdio_server(tmp_path, name="b", start="die", stderr="\x1b[2J"),
    )
    configured = {"good": McpServer(**good.config), "broken": McpServer(**broken.config)}
    servers = McpServers(configured, Place(tmp_path, dict(os.environ), tmp_path / "logs"))
    assert "connecting" in (await types(servers, tmp_path, "")).text
    assert "connected" in (await types(servers, tmp_path, "reconnect good")).text
    said = (await types(servers, tmp_path, "reconnect broken")).text
    assert said.startswith("Connecting to broken …")
    assert "exit code 3" in said
    lines = (await types(servers, tmp_path, "")).text.splitlines()
    assert [line.split()[:2] for line in (lines[0], lines[3])] == [["broken", "failed"], ["good", "connected"]]
    assert lines[3].endswith("1 tool")
    assert "\x1b" not in "".join(lines)
    assert "/mcp shows those there are" in (await types(servers, tmp_path, "reconnect x")).complaints[0]
    assert "Say /mcp" in (await types(servers, tmp_path, "restart")).complaints[0]
    await servers.close()
    assert "No MCP servers" in (await types(None, tmp_path, "")).text

"""The configuration: its layers, where each key came from, and how it is shown."""

from __future__ import annotations

import io
import json
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from agent.cli.config_command import show_config
from agent.config import (
    Config,
    Layer,
    LoadedConfig,
    bundled_config_path,
    cache_dir,
    config_dir,
    describe,
    load_config,
    state_dir,
)
from agent.config_loading import Tree
from tests.unit.config_place import Place

SECRET = "hf_sEcReTsEcReTsEcReT"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- layers and provenance -------------------------------------------------------------------------------------------


def test_defaults_are_the_bundled_file_and_the_classes(place: Place) -> None:
    loaded = place.load()
    assert loaded.config == Config()
    assert loaded.config.model_name == "auto"
    assert loaded.layers["model_name"] == Layer("bundled", str(bundled_config_path()))
    assert loaded.layers["child_env"] == Layer("default")
    assert not loaded.config.share_traces and loaded.config.session_dataset_repo is None


@pytest.mark.parametrize(
    ("layers", "mode", "set_by"),
    [
        ({}, "ask", "default"),
        ({"user": {"mode": "plan"}}, "plan", "user"),
        ({"user": {"yolo_mode": True}}, "yolo", "user"),
        ({"user": {"yolo_mode": True, "mode": "auto-edit"}}, "auto-edit", "user"),
        ({"user": {"yolo_mode": False, "mode": "yolo"}}, "yolo", "user"),
        ({"user": {"mode": "plan"}, "flags": {"yolo_mode": True}}, "yolo", "flags"),
        ({"user": {"yolo_mode": True}, "flags": {"mode": "plan"}}, "plan", "flags"),
        ({"user": {"mode": "yolo"}, "environ": {"ML_INTERN_YOLO_MODE": "0"}}, "ask", "environment"),
        ({"user": {"mode": "plan"}, "environ": {"ML_INTERN_YOLO_MODE": "0"}}, "plan", "user"),
        ({"user": {"mode": "yolo"}, "environ": {"ML_INTERN_MODE": "auto-edit"}}, "auto-edit", "environment"),
    ],
)
def test_the_mode_is_what_the_strongest_layer_says_of_it_in_either_word(
    place: Place, layers: dict[str, Any], mode: str, set_by: str
) -> None:
    loaded = place.load(**layers)
    assert (loaded.config.mode, loaded.config.yolo_mode) == (mode, mode == "yolo")
    assert loaded.layers["mode"].name == set_by


def test_the_older_word_alone_means_yolo() -> None:
    assert Config.of({"yolo_mode": True}).mode == "yolo"
    assert Config.of({"mode": "yolo"}).yolo_mode
    assert not Config.of({"mode": "plan", "yolo_mode": True}).yolo_mode


def test_the_command_of_the_status_line_is_taken_as_written(place: Place) -> None:
    text = 'echo "${PWD##*/} ${NOT_SET}"'
    assert place.load({"status_line_command": text}).config.status_line_command == text


def test_each_layer_beats_the_one_before_it(place: Place) -> None:
    layers: list[tuple[str, str, dict[str, Any]]] = [
        ("user", str(place.user), {"user": {"model_name": "a/user"}}),
        ("project", str(place.project), {"project": {"model_name": "a/project"}}),
        ("environment", "ML_INTERN_MODEL_NAME", {"environ": {"ML_INTERN_MODEL_NAME": "a/environment"}}),
        ("flags", "--model", {"flags": {"model_name": "a/flags"}}),
    ]
    given_so_far: dict[str, Any] = {}
    for name, source, arguments in layers:
        given_so_far |= arguments
        loaded = place.load(**given_so_far)
        assert loaded.config.model_name == f"a/{name}"
        assert loaded.layers["model_name"] == Layer(name, source)


def test_objects_merge_lists_and_scalars_replace_null_deletes(place: Place, tmp_path: Path) -> None:
    named = tmp_path / "named.json"
    server = {"command": "run", "args": ["a", "b"], "env": {"X": "1", "Y": None}}
    named.write_text(
        json.dumps({"mcpServers": {"one": server, "two": None}, "child_env": ["A"], "context_window": None})
    )
    flags = {"mcpServers": {"one": {"args": ["c"]}, "three": {"url": "https://x.example/mcp", "auth": "oauth"}}}
    loaded = place.load(config_file=named, flags=flags)
    one = loaded.config.mcpServers["one"]
    assert set(loaded.config.mcpServers) == {"one", "three"}
    assert (one.command, one.args, one.env) == ("run", ["c"], {"X": "1"})
    assert loaded.layers["mcpServers.one.command"] == Layer("user", str(named))
    assert loaded.layers["mcpServers.one.args"] == Layer("flags", "--mcpServers")
    assert loaded.config.context_window is None


def test_null_drops_an_inherited_server() -> None:
    tree = Tree()
    tree.add({"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}, Layer("bundled", "b"))
    tree.add({"mcpServers": {"a": None}}, Layer("user", "u"))
    assert tree.data == {"mcpServers": {"b": {"command": "y"}}}
    assert set(tree.origins) == {("mcpServers", "b", "command")}


def test_a_section_that_is_null_is_empty(place: Place) -> None:
    assert place.load({"mcpServers": None, "permissions": None, "messaging": None}).config == Config()


def test_config_file_takes_the_place_of_the_user_file(place: Place, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"max_iterations": 7}')
    loaded = place.load({"max_iterations": 5, "yolo_mode": True}, config_file=tmp_path / "other.json")
    assert loaded.config.max_iterations == 7
    assert not loaded.config.yolo_mode


def test_user_file_by_variable_and_by_xdg(place: Place, tmp_path: Path) -> None:
    (place.home / "mine.json").write_text('{"max_iterations": 8}')
    assert place.load(environ={"ML_INTERN_CLI_CONFIG": "~/mine.json"}).config.max_iterations == 8
    assert place.load(environ={"ML_INTERN_CLI_CONFIG": "../mine.json"}).config.max_iterations == 8
    assert place.load({"max_iterations": 9}, environ={"ML_INTERN_CLI_CONFIG": ""}).config.max_iterations == 9
    xdg = tmp_path / "xdg" / "ml-intern"
    xdg.mkdir(parents=True)
    (xdg / "cli_agent_config.json").write_text('{"max_iterations": 10}')
    assert place.load(environ={"XDG_CONFIG_HOME": str(xdg.parent)}).config.max_iterations == 10


def test_project_file_is_the_nearest_one_inside_the_work_tree(place: Place) -> None:
    below = place.cwd / "a" / "b"
    below.mkdir(parents=True)
    place.load(project={"max_iterations": 3})

    def iterations() -> int:
        return load_config(environ={"HOME": str(place.home)}, cwd=below).config.max_iterations

    assert iterations() == 300  # no git: the current directory only
    (place.cwd / ".git").mkdir()
    assert iterations() == 3
    (place.cwd / "a" / ".git").write_text("gitdir: elsewhere\n")
    assert iterations() == 300  # a work tree of its own ends the search


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("YOLO_MODE", "1", "yolo_mode", True),
        ("SAVE_SESSIONS", "No", "save_sessions", False),
        ("SHARE_TRACES", "TRUE", "share_traces", True),
        ("MAX_ITERATIONS", "-1", "max_iterations", -1),
        ("CONTEXT_WINDOW", " 32768 ", "context_window", 32768),
        ("REASONING_EFFORT", "off", "reasoning_effort", None),
        ("MAX_COST_USD", "$2.50", "max_cost_usd", 2.5),
        ("MAX_WALL_S", "1h30m", "max_wall_s", 5400.0),
        ("MAX_WALL_S", "90", "max_wall_s", 90.0),
        ("TOOL_RUNTIME", "sandbox", "tool_runtime", "sandbox"),
        ("SESSION_DATASET_REPO", "me/x", "session_dataset_repo", "me/x"),
        ("MODEL_NAME", "${HOME}", "model_name", "${HOME}"),
        ("MODEL_NAME", "", "model_name", "auto"),
    ],
)
def test_scalar_keys_from_the_environment(place: Place, variable: str, text: str, key: str, value: object) -> None:
    assert getattr(place.load(environ={f"ML_INTERN_{variable}": text}).config, key) == value


def test_flags_that_are_none_were_not_given(place: Place) -> None:
    loaded = place.load({"max_iterations": 4}, flags={"max_iterations": None, "yolo_mode": True})
    assert loaded.config.max_iterations == 4
    assert loaded.layers["yolo_mode"] == Layer("flags", "--yolo")


def test_deny_and_ask_rules_add_up(place: Place) -> None:
    user = {"permissions": {"allow": ["bash(ls *)"], "deny": ["bash(rm *)"]}}
    project = {"permissions": {"deny": ["bash(rm *)", "bash(curl ${X})"], "ask": ["write"]}}
    loaded = place.load(user, project)
    assert loaded.config.permissions.deny == ["bash(rm *)", "bash(curl ${X})"]
    assert loaded.config.permissions.ask == ["write"]
    assert loaded.config.permissions.allow == ["bash(ls *)"]
    assert loaded.layers["permissions.deny"] == Layer("user + project", f"{place.user} + {place.project}")


def test_config_is_frozen_and_does_not_show_secrets(place: Place) -> None:
    token = {"a": {"url": "https://x.example", "headers": {"Authorization": SECRET}, "auth": SECRET}}
    config = place.load({"mcpServers": token}).config
    assert SECRET not in repr(config)
    with pytest.raises(FrozenInstanceError):
        config.yolo_mode = True  # type: ignore[misc]


def test_directories_follow_xdg_and_are_not_created(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "nobody"), "XDG_STATE_HOME": str(tmp_path / "s"), "XDG_CACHE_HOME": "relative"}
    assert config_dir(environ) == tmp_path / "nobody/.config/ml-intern"
    assert state_dir(environ) == tmp_path / "s/ml-intern"
    assert cache_dir(environ) == tmp_path / "nobody/.cache/ml-intern"
    assert config_dir({}) == Path.home() / ".config/ml-intern"
    assert list(tmp_path.glob("nobody")) == []


def test_web_file_is_a_valid_configuration(place: Place) -> None:
    web = bundled_config_path("frontend_agent_config.json")
    assert place.load(config_file=web).config.model_name == "moonshotai/Kimi-K2.6"
    chosen = place.load(config_file=web, environ={"ML_INTERN_DEFAULT_MODEL_ID": "a/b"})
    assert chosen.config.model_name == "a/b"


# --- showing it ------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_secrets(place: Place) -> LoadedConfig:
    headers = {"X-Api-Key": "plainkey", "X-Auth": "plain6", "X-Team": "ml ${TEAM}"}
    remote = {"url": "https://u:pw@x.example/mcp", "headers": headers}
    local = {
        "command": "c",
        "args": ["--token", "plainarg", "--api-key=plain2", "-v", "data", "-e", "X_TOKEN=plain4"],
        "env": {"A_SECRET": "plain3", "MY_PAT": "plain5"},
    }
    other = {"url": "https://x.example/${MY_TOKEN}", "auth": "plainauth", "headers": {"X": SECRET}}
    slack = {"provider": "slack", "token": "plainslack", "channel": "#c"}
    user = {
        "mcpServers": {"r": remote, "l": local, "o": other, "k": {"url": "https://k.example", "auth": "oauth"}},
        "messaging": {"destinations": {"d": slack}},
        "child_env": ["HF_TOKEN"],
    }
    return place.load(user, environ={"TEAM": "blue", "MY_TOKEN": "plainvalue"}, flags={"yolo_mode": True})


def test_describe_masks_secrets_and_nothing_else(with_secrets: LoadedConfig) -> None:
    shown = {key: value for key, value, _ in describe(with_secrets)}
    assert not [text for text in shown.values() if "plain" in text or SECRET in text or "pw" in text]
    assert shown["mcpServers.l.args"] == '["--token", "***", "***", "-v", "data", "-e", "***"]'
    assert shown["mcpServers.o.auth"] == '"***"'
    assert shown["mcpServers.k.auth"] == '"oauth"'
    assert shown["mcpServers.r.headers.X-Team"] == '"ml blue"'
    assert shown["messaging.destinations.d.channel"] == '"#c"'
    assert shown["child_env"] == '["HF_TOKEN"]'
    assert shown["context_window"] == "null"
    assert "mcpServers.l.url" not in shown


def test_show_config_is_an_aligned_table(with_secrets: LoadedConfig) -> None:
    out = io.StringIO()
    show_config(with_secrets, out)
    lines = out.getvalue().splitlines()
    column = lines[0].index("layer (source)")
    assert lines[0].startswith("key ")
    assert {line[column - 2 : column] for line in lines} == {"  "}
    yolo = next(line for line in lines if line.startswith("yolo_mode "))
    assert yolo.split() == ["yolo_mode", "true", "flags", "(--yolo)"]
    assert next(line for line in lines if line.startswith("child_env ")).split()[2] == "user"


def test_show_config_as_json(with_secrets: LoadedConfig) -> None:
    out = io.StringIO()
    show_config(with_secrets, out, as_json=True)
    items = {item["key"]: item for item in json.loads(out.getvalue())}
    assert items["yolo_mode"] == {"key": "yolo_mode", "value": True, "layer": "flags", "source": "--yolo"}
    assert items["prompt_cache_ttl"]["source"] is None
    assert items["mcpServers.r.headers.X-Api-Key"]["value"] == "***"


def test_what_would_repaint_the_terminal_is_escaped_and_still_json(place: Place) -> None:
    name = "a/模型\u00a0\x1b[2J\x9b\u202e\U000e0001"
    loaded = place.load({"model_name": name})
    out, as_json = io.StringIO(), io.StringIO()
    show_config(loaded, out)
    assert "模型" in out.getvalue()
    assert all(line.isprintable() for line in out.getvalue().splitlines())
    show_config(loaded, as_json, as_json=True)
    assert json.loads(as_json.getvalue())[0]["value"] == name


def test_keys_that_do_nothing_any_more_are_told_of_and_not_refused(place: Place) -> None:
    loaded = place.load({"auto_save_interval": 3, "mode": "plan"}, {"heartbeat_interval_s": 0})
    assert loaded.config.mode == "plan"
    assert len(loaded.notes) == 2
    assert loaded.notes[0].startswith(f"{place.user}: auto_save_interval: does nothing any more")
    assert loaded.notes[1].startswith(f"{place.project}: heartbeat_interval_s: does nothing any more")
    assert place.load({}, {}).notes == ()

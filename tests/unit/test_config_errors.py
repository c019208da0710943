"""What people read when their configuration is wrong, and what a cloned repository may not set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config
from agent.config_loading import PROJECT_KEYS
from tests.unit.config_place import Place

SECRET = "hf_sEcReTsEcReTsEcReT"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- the messages ----------------------------------------------------------------------------------------------------

BAD_USER_FILES: list[tuple[Any, str]] = [
    ('{"model_name": "x",\n  oops}', "line 2 column 3: not valid JSON"),
    ("", "line 1 column 1: not valid JSON: the file is empty; write {}"),
    ("[1]", "the top level is a list; it must be an object"),
    ("null", "the top level is null; it must be an object"),
    (b'{"model_name": "\xff"}', "not UTF-8 (byte 16)"),
    ('{"max_iterations": NaN}', "NaN is not valid JSON"),
    ('{"yolo_mode": true, "yolo_mode": false}', "yolo_mode: written twice in the same object"),
    ('{"model_name": "\\ud800"}', "surrogate"),
    ("[" * 100_000, "nested too deeply"),
    ('{"a":' * 50 + "1" + "}" * 50, "nested too deeply"),
    ({"model_nmae": "x"}, 'model_nmae: unknown key; did you mean "model_name"?'),
    ({"mcpservers": {}}, 'mcpservers: unknown key; did you mean "mcpServers"?'),
    ({"zzz": 1}, "zzz: unknown key; known here: model_name, mcpServers,"),
    ({"\x1b[2J": 1}, r"\x1b[2J: unknown key"),
    ({"messaging": {"enable": True}}, 'messaging.enable: unknown key; did you mean "enabled"?'),
    ({"mcpServers": {"a": {"comand": "x"}}}, 'mcpServers.a.comand: unknown key; did you mean "command"?'),
    ({"permissions": {"denny": []}}, 'permissions.denny: unknown key; did you mean "deny"?'),
    ({"max_iterations": "300"}, "max_iterations: expected a whole number, got a text"),
    ({"max_iterations": 2.5}, "max_iterations: expected a whole number, got a decimal number"),
    ({"max_iterations": True}, "max_iterations: expected a whole number, got true or false"),
    ({"max_iterations": None}, "max_iterations: expected a whole number, got null"),
    ({"max_iterations": 0}, "max_iterations: must be at least 1, or -1 for no limit"),
    ({"max_iterations": -7}, "max_iterations: must be at least 1, or -1 for no limit"),
    ({"yolo_mode": "yes"}, "yolo_mode: expected true or false, got a text"),
    ({"yolo_mode": "yes", "mode": "plan"}, "yolo_mode: expected true or false, got a text"),
    ({"mode": "Plan"}, 'mode: expected one of ask, auto-edit, plan, yolo; did you mean "plan"?'),
    ({"mode": True, "yolo_mode": True}, "mode: expected one of ask, auto-edit, plan, yolo, got true or false"),
    ({"theme": "pink"}, "theme: expected one of auto, dark, light"),
    ({"status_line_command": ""}, "status_line_command: must not be empty"),
    ({"model_name": ["x"]}, "model_name: expected a text, got a list"),
    ({"model_name": " "}, "model_name: must not be empty"),
    ({"mcpServers": []}, "mcpServers: expected an object, got a list"),
    ({"mcpServers": {"a": "x"}}, "mcpServers.a: expected an object, got a text"),
    ({"child_env": "HF_TOKEN"}, "child_env: expected a list, got a text"),
    ({"child_env": ["A=1"]}, "child_env: list names of environment variables only"),
    ({"context_window": 4096}, "context_window: must be at least 8000"),
    ({"max_cost_usd": -1}, "max_cost_usd: must be at least 0"),
    ({"max_cost_usd": "a lot"}, "max_cost_usd: give an amount in US dollars"),
    ({"max_wall_s": "soon"}, "max_wall_s: give a duration such as 90m, 8h or 1h30m"),
    ({"max_wall_s": 0}, "max_wall_s: must be more than 0"),
    ({"reasoning_effort": "hgih"}, "reasoning_effort: expected one of minimal, low, medium, high, xhigh, max; did you"),
    ({"tool_runtime": "docker"}, "tool_runtime: expected one of local, sandbox"),
    ({"mcpServers": {"a": {}}}, 'mcpServers.a: give it either a "command" to start or a "url"'),
    ({"mcpServers": {"a": {"command": "x", "headers": {}}}}, "mcpServers.a: headers cannot be combined with command"),
    ({"mcpServers": {"a": {"url": "ftp://x"}}}, "mcpServers.a: url must start with http:// or https://"),
    (
        {"mcpServers": {"a": {"url": "http://x", "transport": "stdio"}}},
        'mcpServers.a: transport is "stdio" with a command',
    ),
    ({"messaging": {"enabled": True}}, "messaging: enabled without any destination"),
    (
        {"messaging": {"auto_event_types": ["eror"]}},
        "messaging.auto_event_types[0]: expected one of approval_required,",
    ),
    (
        {"messaging": {"destinations": {"x": {"provider": "slack"}}}},
        "messaging.destinations.x: a slack destination needs token and channel",
    ),
    (
        {"messaging": {"destinations": {"x": {"provider": "fax"}}}},
        "messaging.destinations.x.provider: expected one of slack",
    ),
    (
        {"messaging": {"destinations": {"My Desk": {"provider": "desktop"}}}},
        'messaging.destinations: rename "My Desk": only a-z',
    ),
]


@pytest.mark.parametrize(("content", "problem"), BAD_USER_FILES, ids=[problem[:40] for _, problem in BAD_USER_FILES])
def test_bad_file_is_reported_with_file_key_and_problem(place: Place, content: Any, problem: str) -> None:
    lines = place.problems(content)
    assert any(line.startswith(f"{place.user}: {problem}") or problem in line for line in lines), lines
    assert all(line.startswith(f"{place.user}: ") for line in lines)
    assert all(line.isprintable() for line in lines)


def test_all_problems_are_reported_at_once(place: Place) -> None:
    lines = place.problems({"yolo_mode": 1, "modelname": "x"}, {"max_iterations": 1.5}, flags={"context_window": 1})
    assert [line.partition(": ")[0] for line in sorted(lines)] == sorted(
        ["--context-window", str(place.user), str(place.user), str(place.project)]
    )


def test_a_bad_value_that_a_later_layer_replaces_does_no_harm(place: Place) -> None:
    assert place.load({"model_name": "${UNSET}"}, flags={"model_name": "a/b"}).config.model_name == "a/b"


def test_byte_order_mark_is_tolerated(place: Place) -> None:
    assert place.load(b'\xef\xbb\xbf{"max_iterations": 2}').config.max_iterations == 2


def test_environment_and_flags_are_named_as_such(place: Place) -> None:
    environ = {"ML_INTERN_MAX_ITERATIONS": "many", "ML_INTERN_YOLO_MODE": "maybe", "ML_INTERN_PERMISSIONS": "{}"}
    assert place.problems(environ=environ) == [
        "environment ML_INTERN_YOLO_MODE: expected true or false (also 1, 0, yes, no)",
        "environment ML_INTERN_MAX_ITERATIONS: expected a whole number",
        'environment ML_INTERN_PERMISSIONS: cannot be set by an environment variable; put "permissions" in '
        "your user file",
    ]
    assert place.problems(environ={"ML_INTERN_CONTEXT_WINDOW": "5"}) == [
        "environment ML_INTERN_CONTEXT_WINDOW: must be at least 8000"
    ]
    assert place.problems(flags={"max_iterations": 0}) == ["--max-iterations: must be at least 1, or -1 for no limit"]


def test_named_file_must_exist_and_be_a_file(place: Place, tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    assert place.problems(config_file=missing) == [f"{missing}: file not found; create it or correct the path"]
    assert place.problems(environ={"ML_INTERN_CLI_CONFIG": str(missing)})[0].startswith(f"{missing}: file not found")
    assert place.problems(config_file=tmp_path) == [f"{tmp_path}: not a regular file; replace it by one"]


def test_file_that_is_no_settings_file_is_not_swallowed(place: Place) -> None:
    place.project.parent.mkdir()
    place.project.symlink_to("/dev/zero")
    assert "not a regular file" in place.problems()[0]
    place.project.unlink()
    place.project.write_bytes(b" " * (1 << 20) + b"{}")
    assert "larger than" in place.problems()[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(place: Place) -> None:
    place.load({})
    place.user.chmod(0)
    assert "cannot be read (Permission denied)" in place.problems()[0]


def test_no_value_is_ever_quoted(place: Place) -> None:
    server = {"url": SECRET, "auth": [SECRET], "headers": {"Authorization": {"x": SECRET}}, "env": SECRET}
    destination = {"provider": SECRET, "token": [SECRET], "channel": {"t": SECRET}}
    user = {
        "mcpServers": {"a": server, "b": {"url": SECRET}},
        "messaging": {"destinations": {"d": destination}, "auto_event_types": [SECRET]},
        "reasoning_effort": "${MY_TOKEN}",
        "model_name": {"token": SECRET},
        "child_env": [f"HF_TOKEN={SECRET}"],
        "max_iterations": "${MY_TOKEN}",
    }
    for line in place.problems(user, environ={"MY_TOKEN": SECRET}):
        assert SECRET not in line
    del user["max_iterations"]
    lines = place.problems(user, environ={"MY_TOKEN": SECRET})
    assert len(lines) > 8
    assert not any(SECRET in line for line in lines)


def test_bad_permission_rule_names_the_file_that_wrote_it(place: Place) -> None:
    user, project = {"permissions": {"deny": ["bash(rm *)"]}}, {"permissions": {"deny": ["bash(rm"]}}
    (line,) = place.problems(user, project)
    assert line.startswith(f"{place.project}: permissions.deny[1]: ")


# --- a project's file is not trusted ---------------------------------------------------------------------------------

TRUSTED_ONLY: dict[str, Any] = {
    "yolo_mode": True,
    "mcpServers": {"evil": {"command": "sh"}},
    "messaging": {"enabled": False},
    "child_env": ["HF_TOKEN"],
    "share_traces": True,
    "session_dataset_repo": "evil/traces",
    "personal_trace_repo_template": "evil/traces",
    "save_sessions": False,
    "confirm_cpu_jobs": False,
    "auto_file_upload": True,
    "tool_runtime": "local",
    "sandbox_backend": "job",
    "hub_artifacts": "card",
    "max_cost_usd": 1000.0,
    "max_wall_s": 1e6,
    "no_budget": True,
    "llm_backend": "litellm",
    "prompt_cache_ttl": "1h",
    "mode": "auto-edit",
    "theme": "dark",
    "vi_mode": True,
    "plain": True,
    "status_line_command": "curl evil.example",
    "research_model": "local/x",
    "research_max_usd": 1000.0,
    "research_max_s": 1e6,
    "web_search_provider": "searxng",
    "fetch_private_hosts": ["127.0.0.1"],
}


def test_every_key_is_either_free_for_projects_or_refused() -> None:
    assert set(Config.key_names()) == set(TRUSTED_ONLY) | PROJECT_KEYS | {"permissions"}


@pytest.mark.parametrize("key", TRUSTED_ONLY)
def test_project_may_not_set(place: Place, key: str) -> None:
    expected = f"{place.project}: {key}: a project may not set this; if you want it, put it in your user file"
    assert place.problems(project={key: TRUSTED_ONLY[key]}) == [expected]
    assert place.problems(project={key: None}) == [expected]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"permissions": {"allow": ["bash"]}}, "permissions.allow: a project may not allow itself anything"),
        ({"permissions": {"deny": None}}, "permissions.deny: a project may not remove permission rules"),
        ({"permissions": None}, "permissions: a project may not remove permission rules"),
        ({"permissions": "none"}, "permissions: expected an object, got a text"),
        ({"permissions": {"deny": "none"}}, "permissions.deny: expected a list, got a text"),
        ({"max_iterations": 301}, "max_iterations: a project may lower the limit of 300, not raise it"),
        ({"max_iterations": -1}, "max_iterations: a project may lower the limit of 300, not raise it"),
        ({"model_name": "replay/evil.jsonl"}, "model_name: a project may not choose scripted"),
        ({"model_name": " Replay/evil"}, "model_name: a project may not choose scripted"),
        ({"model_name": "litellm/x/y"}, "model_name: a project may not choose scripted"),
        ({"model_name": "huggingface/https://evil.example/v1"}, "model_name: a project may not choose scripted"),
        ({"model_name": "a/${HF_TOKEN}"}, "model_name: a project may not read your environment (${HF_TOKEN})"),
        ({"model_name": "${X:-replay/evil}"}, "model_name: a project may not read your environment (${X})"),
    ],
)
def test_project_may_only_tighten(place: Place, values: dict[str, Any], problem: str) -> None:
    (line,) = place.problems(project=values, environ={"HF_TOKEN": SECRET})
    assert line.startswith(f"{place.project}: {problem}")


def test_project_limit_is_measured_against_the_person_s(place: Place) -> None:
    assert place.load({"max_iterations": 1000}, {"max_iterations": 900}).config.max_iterations == 900
    assert place.load({"max_iterations": -1}, {"max_iterations": 900}).config.max_iterations == 900
    assert "lower the limit of 20" in place.problems({"max_iterations": 20}, {"max_iterations": 21})[0]

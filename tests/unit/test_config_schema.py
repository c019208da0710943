"""The published schema and what the program takes say the same; and nothing heavy is loaded to check it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.config import Config, ConfigError, Destination, McpServer, MessagingConfig, Permissions, bundled_config_path
from agent.config_loading import RETIRED_KEYS, SCHEMA_KEY
from agent.config_values import InvalidValuesError, Section
from tests.unit.config_place import Place
from tests.unit.test_config_errors import BAD_USER_FILES

SCHEMA = json.loads(bundled_config_path("config.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
SECTIONS: dict[type[Section], dict[str, Any]] = {
    Config: SCHEMA["properties"],
    **{section: SCHEMA["$defs"][section.__name__]["properties"] for section in (McpServer, Destination)},
    **{section: SCHEMA["$defs"][section.__name__]["properties"] for section in (MessagingConfig, Permissions)},
}
KEYS = [(section, field) for section in SECTIONS for field in fields(section)]
NAMES = [f"{section.__name__}.{field.name}" for section, field in KEYS]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def default_of(field: Field[Any]) -> Any:
    """The default as JSON, or MISSING."""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return asdict(value) if is_dataclass(value) else value


def words_of(annotation: Any) -> set[str]:
    """The words that literals in an annotation allow."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {word for part in get_args(annotation) for word in words_of(part)}


def words_in(schema: Any) -> set[str]:
    """The words that a key's schema allows."""
    if isinstance(schema, list):
        return {word for part in schema for word in words_in(part)}
    if not isinstance(schema, dict):
        return set()
    return {*schema.get("enum", ())} - {None} | words_in(schema.get("anyOf")) | words_in(schema.get("items"))


def test_the_schema_is_one_and_tells_of_each_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    told = [part for section in SECTIONS.values() for part in section.values()]
    assert all(part["title"] and part["description"] for part in told)


def test_both_have_the_same_keys() -> None:
    extra = {Config: {SCHEMA_KEY, *RETIRED_KEYS}}
    for section, schema in SECTIONS.items():
        assert set(schema) == {*section.key_names()} | extra.get(section, set())


@pytest.mark.parametrize(("section", "field"), KEYS, ids=NAMES)
def test_a_key_has_the_same_default_and_the_same_words_in_both(section: type[Section], field: Field[Any]) -> None:
    schema = SECTIONS[section][field.name]
    assert schema.get("default", MISSING) == default_of(field)
    for_null = {"off"} if field.name == "reasoning_effort" else set()
    assert words_in(schema) == words_of(field.type) | for_null


GOOD: list[dict[str, Any]] = [
    {SCHEMA_KEY: "./config.schema.json", "auto_save_interval": 3},
    {"mcpServers": None, "permissions": None, "messaging": None, "reasoning_effort": "off"},
    {"max_cost_usd": "$2.50", "research_max_usd": " 5 ", "max_wall_s": "1h30m", "research_max_s": 90},
    {"max_iterations": -1, "context_window": "${X:-8000}", "vi_mode": "${X:-yes}", "mode": "${X:-plan}"},
    {"mcpServers": {"a": {"command": "x", "args": ["y"], "env": {"A": None}}, "b": None, "c": {"url": "http://x"}}},
    {"messaging": {"enabled": True, "destinations": {"a.b": {"provider": "slack", "token": "t", "channel": "c"}}}},
    {"messaging": {"auto_event_types": ["error"], "destinations": {"d": {"provider": "desktop"}, "e": None}}},
    {"permissions": {"allow": ["bash(ls *)"], "deny": None}, "child_env": ["HF_TOKEN"], "llm_backend": "litellm"},
]


@pytest.mark.parametrize("values", GOOD)
def test_what_is_right_is_right_for_both(place: Place, values: dict[str, Any]) -> None:
    assert place.load(values)
    assert [error.message for error in VALIDATOR.iter_errors(values)] == []


BAD = [(content, problem) for content, problem in BAD_USER_FILES if isinstance(content, dict)]
LATER = ("enabled without any destination",)
"""What only all layers together can tell."""


@pytest.mark.parametrize(("values", "problem"), BAD, ids=[problem[:40] for _, problem in BAD])
def test_what_is_wrong_is_wrong_for_an_editor_too(values: dict[str, Any], problem: str) -> None:
    assert VALIDATOR.is_valid(values) == any(text in problem for text in LATER)


def test_the_shipped_files_are_right() -> None:
    for name in ("cli_agent_config.json", "frontend_agent_config.json"):
        VALIDATOR.validate(json.loads(bundled_config_path(name).read_text("utf-8")))


def test_a_project_may_name_the_schema_too(place: Place) -> None:
    loaded = place.load(project={SCHEMA_KEY: "${HOME}/x.json", "max_iterations": 4})
    assert loaded.config.max_iterations == 4
    assert SCHEMA_KEY not in loaded.layers


# --- the checker ------------------------------------------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
words = st.sampled_from(["ask", "slack", "local", "off", "$5", "1h", "x", "\udcff"]) | leaves
keys = st.sampled_from([*(name for section in SECTIONS for name in section.key_names()), "x"])
values = st.recursive(
    words, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@settings(deadline=None)
@given(st.dictionaries(keys, values, max_size=6))
def test_any_values_are_a_configuration_or_named_problems(data: dict[str, Any]) -> None:
    try:
        config = Config.of(data)
    except InvalidValuesError as error:
        assert all(text for _, text in error.problems)
        return
    assert json.loads(json.dumps(asdict(config), allow_nan=False)) == asdict(config)
    assert Config.of(asdict(config) | {"mcpServers": config.mcpServers, "messaging": config.messaging}) == config


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"max_cost_usd": float("inf")}, "max_cost_usd: must be a finite number"),
        ({"max_cost_usd": "nan"}, "max_cost_usd: must be a finite number"),
        ({"max_wall_s": 10**400}, "max_wall_s: must be a finite number"),
        ({"max_iterations": 2.0}, "max_iterations: expected a whole number, got a decimal number"),
        ({"model_name": "a\udcff"}, "model_name: expected a text in UTF-8"),
        ({"mcpServers": {"a": {"command": "x", "env": {"B": 1}}}}, "mcpServers.a.env.B: expected a text, got a number"),
        (
            {"messaging": {"destinations": {"d": {}}}},
            "messaging.destinations.d.provider: missing; this key is required",
        ),
        (
            {"messaging": {"destinations": {"D d": {"provider": "desktop"}}}},
            'messaging.destinations: rename "D d": only a-z',
        ),
        ([], "expected an object, got a list"),
    ],
)
def test_what_no_file_of_ours_holds_is_refused_too(values: Any, told: str) -> None:
    with pytest.raises(InvalidValuesError) as caught:
        Config.of(values)
    assert str(caught.value).startswith(told)


def test_parts_that_are_built_already_are_taken_as_they_are() -> None:
    desk = Destination(provider="desktop")
    config = Config.of({"messaging": MessagingConfig(destinations={"d": desk}), "permissions": {"ask": ["write"]}})
    assert config.messaging.destinations["d"] is desk
    assert config.permissions == Permissions(ask=["write"])


def test_the_two_words_for_yolo_cannot_be_built_apart() -> None:
    with pytest.raises(ValueError, match="one thing"):
        Config(yolo_mode=True)
    assert Config.of({"yolo_mode": True}) == Config(mode="yolo", yolo_mode=True)


# --- cost -------------------------------------------------------------------------------------------------------------

LOADS = """
import sys
from pathlib import Path
from agent.config import load_config
loaded = load_config(environ={"HOME": "h", "ML_INTERN_MAX_ITERATIONS": "7", "X": "x"}, cwd=Path("h/work"))
assert (loaded.config.max_iterations, loaded.config.model_name) == (7, "a/b"), loaded
assert loaded.config.mcpServers["a"].args == ["x"] and loaded.config.permissions.deny == ["bash(rm *)"]
heavy = {"pydantic", "typing_extensions", "jsonschema", "litellm", "fastmcp", "dotenv", "huggingface_hub"}
heavy |= {"difflib", "tempfile", "subprocess", "asyncio"}
print(*sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_loading_imports_nothing_heavy(place: Place, tmp_path: Path) -> None:
    server = {"command": "c", "args": ["${X}"]}
    user = {"mcpServers": {"a": server}, "permissions": {"deny": ["bash(rm *)"]}, "max_wall_s": "8h"}
    place.load(user, {"model_name": "a/b"}, environ={"X": "x"})
    done = subprocess.run([sys.executable, "-c", LOADS], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_bad_file_raises_the_error_that_the_start_expects(place: Place) -> None:
    with pytest.raises(ConfigError, match="llm_backend: expected one of auto, litellm"):
        place.load({"llm_backend": "openai"})

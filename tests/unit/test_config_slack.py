"""A Slack bot in the environment is a destination, and what is wrong with its variables is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config import describe
from tests.unit.config_place import Place

BOT = {"SLACK_BOT_TOKEN": "xoxb-plain-secret", "SLACK_CHANNEL": "C9"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_bot_and_a_channel_make_a_destination(place: Place) -> None:
    loaded = place.load(environ=BOT | {"SLACK_CHANNEL_ID": "C1", "ML_INTERN_SLACK_AUTO_EVENTS": "error, turn_complete"})
    messaging = loaded.config.messaging
    assert messaging.enabled
    assert messaging.auto_event_types == ["error", "turn_complete"]
    made = messaging.destinations["slack.default"]
    assert (made.token, made.channel, made.allow_agent_tool, made.allow_auto_events) == (
        BOT["SLACK_BOT_TOKEN"],
        "C1",
        True,
        True,
    )
    shown = {key: (value, layer.where(())) for key, value, layer in describe(loaded)}
    assert shown["messaging.destinations.slack.default.token"][0] == '"***"'
    assert "SLACK_BOT_TOKEN" in shown["messaging.destinations.slack.default.channel"][1]


@pytest.mark.parametrize(
    ("user", "more"),
    [
        (None, {"ML_INTERN_SLACK_NOTIFICATIONS": "no"}),
        (None, {"SLACK_CHANNEL": ""}),
        ({"messaging": {"enabled": False}}, {}),
    ],
)
def test_no_destination_where_none_is_wanted(place: Place, user: Any, more: dict[str, str]) -> None:
    assert place.load(user, environ=BOT | more).config.messaging.destinations == {}


def test_the_persons_file_comes_first(place: Place) -> None:
    mine = {"provider": "slack", "token": "mine", "channel": "C2"}
    names = {"ML_INTERN_SLACK_DESTINATION": "ops", "ML_INTERN_SLACK_ALLOW_AUTO_EVENTS": "0"}
    messaging = place.load({"messaging": {"destinations": {"ops": mine}}}, environ=BOT | names).config.messaging
    assert messaging.destinations["ops"].channel == "C2"
    hook = {"provider": "webhook", "url": "https://hooks.example/secret-path"}
    loaded = place.load({"messaging": {"enabled": True, "destinations": {"hook": hook}}}, environ=BOT | names)
    assert set(loaded.config.messaging.destinations) == {"hook", "ops"}
    assert not loaded.config.messaging.destinations["ops"].allow_auto_events
    assert "secret-path" not in str(describe(loaded))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ALLOW_AUTO_EVENTS", "maybe", "expected true or false (also 1, 0, yes, no)"),
        ("NOTIFICATION", "1", "unknown variable; did you mean ML_INTERN_SLACK_NOTIFICATIONS?"),
    ],
)
def test_a_mistyped_variable_is_named(place: Place, name: str, value: str, problem: str) -> None:
    """Defect 8 of cli.md: these ended in a traceback."""
    assert place.problems(environ=BOT | {f"ML_INTERN_SLACK_{name}": value}) == [f"ML_INTERN_SLACK_{name}: {problem}"]


def test_an_unknown_event_or_name_is_named(place: Place) -> None:
    told = place.problems(
        environ=BOT | {"ML_INTERN_SLACK_AUTO_EVENTS": "eror", "ML_INTERN_SLACK_DESTINATION": "My Place"}
    )
    assert any(line.startswith("environment ML_INTERN_SLACK_AUTO_EVENTS: expected one of") for line in told)
    assert any(line.startswith('environment ML_INTERN_SLACK_DESTINATION: rename "My Place"') for line in told)
    assert not any("xoxb" in line for line in told)


@pytest.mark.parametrize(
    ("destination", "problem"),
    [
        ({"provider": "webhook"}, "a webhook destination needs url"),
        ({"provider": "webhook", "url": "ftp://x"}, "url must start with http:// or https://"),
        ({"provider": "desktop", "token": "plain"}, "token cannot be set for a desktop destination"),
        ({"provider": "slack", "token": "t"}, "a slack destination needs channel"),
    ],
)
def test_a_destination_is_checked(place: Place, destination: dict[str, str], problem: str) -> None:
    told = place.problems({"messaging": {"destinations": {"x": destination}}})
    assert told == [f"{place.user}: messaging.destinations.x: {problem}"]

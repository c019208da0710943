"""The README names only what is there: pictures, commands, flags, keys of the configuration."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent.cli.args import (
    MCP_COMMANDS,
    completion_parser,
    config_parser,
    doctor_parser,
    gc_parser,
    mcp_parser,
    ps_parser,
    run_parser,
)
from agent.cli.commands.registry import find
from agent.cli.rewind_command import rewind_parser
from agent.cli.sessions_command import sessions_parser
from agent.cli.trace_command import trace_parser
from agent.config_keys import Config
from agent.protocol.modes import MODES
from agent.ui.status_line import StatusFacts
from tests.bench.__main__ import bench_parser
from tests.screenshots.render import HERE, MOST_BYTES
from tests.screenshots.scenes import SCENES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PICTURES = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
CODE = re.findall(r"(?s)```.*?```|`[^`\n]+`", README)
"""What stands between backticks."""


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All flags of a parser and of the commands below it."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= options(below)
    return found


def test_the_commands_that_it_promises_stand_there() -> None:
    assert '\n```\nuv run ml-intern --model replay/demo "train a small classifier"\n```\n' in README
    assert "\n```\nuv run pytest\n```\n" in README
    assert "\nuv run pytest\n" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_each_picture_is_shown_and_is_there() -> None:
    assert sorted(PICTURES) == sorted(f"tests/screenshots/{scene.name}.svg" for scene in SCENES)
    assert {path.stem for path in HERE.glob("*.svg")} == {scene.name for scene in SCENES}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_needs_nothing_from_elsewhere(name: str) -> None:
    picture = (ROOT / name).read_text("utf-8")
    assert len(picture.encode()) < MOST_BYTES
    assert re.findall(r"[\"(]https?://[^\")]*", picture) == ['"http://www.w3.org/2000/svg']
    assert "@font-face" not in picture
    assert "/tmp/ml-intern-pictures" not in picture
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_every_flag_exists() -> None:
    named = {flag for code in CODE for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)}
    of_work, of_mcp = (ps_parser(), gc_parser()), map(mcp_parser, MCP_COMMANDS)
    of_sessions = (sessions_parser(), rewind_parser(), trace_parser())
    others = (config_parser(), doctor_parser(), completion_parser(), bench_parser())
    parsers = (run_parser(), *others, *of_sessions, *of_work, *of_mcp)
    assert "--plain" in named
    assert named <= set().union(*(options(parser) for parser in parsers))


def test_every_slash_command_exists() -> None:
    named = {word for code in CODE for word in re.findall(r"(?:^`|(?<=[ `]))(/[a-z][a-z-]*)(?=[ `]|$)", code)}
    assert {"/help", "/mode", "/context"} <= named
    for word in named - {"/re"}:  # the beginning of several
        find(word)


def test_every_mode_and_key_of_the_terminal_exists() -> None:
    assert set(re.findall(r"(?m)^\| `([a-z-]+)`(?: \(the default\))? \|", README)) == set(MODES)
    (paragraph,) = re.findall(r"For the terminal: (.*?)\. ", README, re.DOTALL)
    keys = set(re.findall(r"`(\w+)`(?: \(|,|$)", re.sub(r" \([^)]*\)", "", paragraph)))
    assert keys == {"mode", "theme", "vi_mode", "plain", "status_line_command"}
    assert keys <= set(Config.key_names())


def test_the_settings_shown_are_valid_and_the_status_line_gets_the_fields_named() -> None:
    for block in re.findall(r"```json\n(.*?)\n```", README, re.DOTALL):
        Config.of(json.loads(block.replace("${MY_HOOK_URL}", "https://hook.example")))
    (paragraph,) = re.findall(r"The fields: (.*?)\n\n", README, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", paragraph)) == {field.name for field in fields(StatusFacts)} | {"cwd"}

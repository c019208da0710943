"""Finding what was typed: commands, other names for them, slips, and what is not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import commands
from agent.cli.commands.registry import GROUPS, REGISTRY, command


@pytest.fixture
def registered() -> Iterator[None]:
    @command("zzz-test", "[on|off]", group="Workspace", choices=("on", "off"), aliases=("zzz-other",))
    async def _run(app: object, argument: str) -> None:
        """Do nothing at all.

        Nothing, whatever
        the argument.
        """

    yield
    del REGISTRY["zzz-test"]


@pytest.mark.usefixtures("registered")
def test_a_command_carries_all_that_help_and_completion_need() -> None:
    one, argument = commands.find("/ZZZ-test  on ")
    assert (one.name, one.usage, one.help, one.group) == ("zzz-test", "[on|off]", "Do nothing at all.", "Workspace")
    assert (one.choices, one.details, argument) == (("on", "off"), "Nothing, whatever\nthe argument.", "on")
    assert commands.find("/zzz-other")[0] is one
    assert commands.find("/zzz-test\nkeep this")[1] == "keep this"


def test_every_command_has_help_in_one_line_and_a_heading() -> None:
    for one in REGISTRY.values():
        assert one.help.endswith("."), one.name
        assert one.group in GROUPS
        assert one.usage or not one.choices, f"/{one.name} takes no argument to choose"


def test_a_slip_gets_what_was_probably_meant() -> None:
    with pytest.raises(ValueError, match=r"no command /statsu\. Did you mean /status\? /help"):
        commands.find("/statsu")
    with pytest.raises(ValueError, match=r"Did you mean /mode or /model\?"):
        commands.find("/mod")
    with pytest.raises(ValueError, match=r"no command /\."):
        commands.find("/")
    with pytest.raises(ValueError, match=r"no command /xq\. /help lists"):
        commands.find("/xq\x1b[2J"[:3])


@pytest.mark.usefixtures("registered")
def test_completion_knows_the_other_names() -> None:
    (hint,) = (hint for hint in commands.command_hints() if hint.name == "zzz-test")
    assert hint.aliases == ("zzz-other",)


def test_a_prompt_that_begins_with_a_path_is_no_command(tmp_path: Path) -> None:
    assert not commands.is_command("/etc/hosts looks odd")
    assert not commands.is_command("/tmp is full, why?")
    assert not commands.is_command("what does /help do")
    assert commands.is_command("/help")
    assert commands.is_command("/clear")
    assert commands.is_command("/nothing-of-that-name")
    assert commands.is_command("/")


@given(st.text(max_size=50))
def test_whatever_is_typed_is_found_or_refused(text: str) -> None:
    line = f"/{text}"
    if commands.is_command(line):
        try:
            commands.find(line)
        except ValueError as error:
            assert "\x1b" not in str(error)
            assert "\n" not in str(error)

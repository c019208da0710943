"""The command line: commands, prompts that look like them, and the flags of the terminal."""

from __future__ import annotations

import pytest

from agent.cli.args import parse


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("doctor", "doctor"),
        ("doctor --json --probe", "doctor"),
        ("--debug doctor", "doctor"),
        ("doctor my failing run", "run"),
        ("completion zsh", "completion"),
        ("completion of my thesis", "run"),
        ("sessions list", "sessions"),
        ("config show", "config show"),
        ("", "run"),
    ],
)
def test_a_prompt_may_begin_like_a_command(line: str, command: str) -> None:
    assert parse(line.split()).command == command


def test_doctor_takes_settings_and_its_own_flags() -> None:
    arguments = parse(["doctor", "--json", "-m", "ollama/x"])
    assert (arguments.as_json, arguments.probe, arguments.flags) == (True, False, {"model_name": "ollama/x"})
    assert parse(["completion", "fish"]).rest == ("fish",)


@pytest.mark.parametrize(
    "line",
    [
        "doctor foo",
        "mcp lst",
        "--plain mcp test x",
        "completion tcsh",
        "completion",
        "--mode careful",
        "--yolo --mode ask",
        "--theme pink",
    ],
)
def test_slips_are_usage_errors(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(line.split())
    assert end.value.code == 2
    assert capsys.readouterr().err


def test_flags_of_the_terminal_are_configuration_keys() -> None:
    flags = parse("--mode plan --plain --theme light".split()).flags
    assert {"mode": "plan", "plain": True, "theme": "light"}.items() <= flags.items()
    assert {"mode", "plain", "theme"}.isdisjoint(parse([]).flags)
    assert parse("--yolo --mode yolo".split()).flags["yolo_mode"] is True

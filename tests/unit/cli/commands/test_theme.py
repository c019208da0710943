"""/theme: which colours, and how to keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.commands.recording import RecordingApp


@pytest.mark.parametrize("name", ["auto", "dark", "light"])
async def test_a_theme_is_set_and_how_to_keep_it_is_told(tmp_path: Path, name: str) -> None:
    app = RecordingApp(tmp_path)
    await app.type(f"/theme {name.upper()} ")
    assert app.theme_name == name
    assert f'"theme": "{name}"' in app.text


async def test_alone_it_names_the_present_one(tmp_path: Path) -> None:
    app = RecordingApp(tmp_path)
    app.theme_name = "light"
    await app.type("/theme")
    assert app.said == ["Now: light. Change it with /theme auto, /theme dark or /theme light."]
    assert app.complaints == []


async def test_anything_else_names_the_choices(tmp_path: Path) -> None:
    app = RecordingApp(tmp_path)
    await app.type("/theme pink")
    assert app.theme_name == "auto"
    assert app.complaints == ["There is no such theme; say /theme auto, /theme dark or /theme light."]

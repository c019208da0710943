"""/theme: which colours, and how to keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.commands.recording import RecordingApp


class ThemedApp(RecordingApp):
    theme = ""

    def set_theme(self, name: str) -> None:
        self.theme = name


@pytest.mark.parametrize("name", ["auto", "dark", "light"])
async def test_a_theme_is_set_and_how_to_keep_it_is_told(tmp_path: Path, name: str) -> None:
    app = ThemedApp(tmp_path)
    await app.type(f"/theme {name.upper()} ")
    assert app.theme == name
    assert f'"theme": "{name}"' in app.text


@pytest.mark.parametrize("argument", ["", " pink"])
async def test_anything_else_names_the_choices(tmp_path: Path, argument: str) -> None:
    app = ThemedApp(tmp_path)
    await app.type(f"/theme{argument}")
    assert not app.theme
    assert app.complaints == ["Say /theme auto, /theme dark or /theme light."]

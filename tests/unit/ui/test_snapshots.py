"""What every event looks like, at three widths, as text files that are read in review.

They are in `snapshots/`, one for each event and each scene of several: what was printed, what is live (between
`┌` and `└`), and what `--plain` prints. After a change that is meant, renew them and look at the difference:

    PYTEST_UPDATE_SNAPSHOTS=1 uv run pytest -n0 tests/unit/ui/test_snapshots.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.protocol import events as e
from agent.ui.banner import print_banner
from agent.ui.terminal import TerminalRenderer
from tests.unit.ui.samples import all_payload_types, printed, recording_console
from tests.unit.ui.scenes import EVENTS, TOGETHER

FOLDER = Path(__file__).with_name("snapshots")
WIDTHS = (40, 80, 120)
ROWS = 12
SCENES = {kind.event_type: scene for kind, scene in EVENTS.items()} | TOGETHER
IS_UPDATE = bool(os.environ.get("PYTEST_UPDATE_SNAPSHOTS"))


class Clock:
    """A second passes with every event."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(scene: tuple[e.Payload, ...], width: int, *, live: bool) -> str:
    console, clock = recording_console(width), Clock()
    renderer = TerminalRenderer(console, live=live, clock=clock)
    for payload in scene:
        clock.now += 1
        renderer.handle(e.Event(payload))
    rows = ["".join(segment.text for segment in row) for row in renderer.live_lines(width, ROWS)]
    assert all(row == row.rstrip() for row in rows)
    assert live or not rows
    return printed(console) + "\n".join(["┌", *rows, "└", ""] if live else [])


def check(name: str, text: str) -> None:
    path = FOLDER / f"{name}.txt"
    if IS_UPDATE:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_every_event_has_a_scene() -> None:
    assert set(EVENTS) == set(all_payload_types())
    for kind, scene in EVENTS.items():
        assert any(isinstance(payload, kind) for payload in scene)


@pytest.mark.parametrize("name", SCENES)
def test_snapshot(name: str) -> None:
    parts = []
    for width in WIDTHS:
        for live in (True, False):
            title = f" {width} columns{'' if live else ', plain'} "
            parts.append(f"{title:=^{width}}\n{shown(SCENES[name], width, live=live)}")
    check(name, "\n".join(parts))


def test_banner() -> None:
    parts = []
    for width in WIDTHS:
        console = recording_console(width)
        print_banner(
            console,
            version="0.2.0",
            model="anthropic/claude-opus-4-6",
            runs_on="Anthropic API, tools run here",
            directory="/home/me/projects/a-classifier-of-reviews",
            user="me",
            mode="plan",
        )
        parts.append(f"{f' {width} columns ':=^{width}}\n{printed(console)}")
    check("banner", "\n".join(parts))


def test_no_snapshot_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {*SCENES, "banner"}

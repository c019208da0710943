"""Draws the README's pictures: the installed command in a real terminal, with recorded answers and without network.

    uv run python -m tests.screenshots.render            # all of them
    uv run python -m tests.screenshots.render answer     # one
    uv run python -m tests.screenshots.render --text     # what they show, as text, and nothing is written

What is new in every run (ids, places, durations) is the same in every picture: a file changes if the screen does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from tests.conftest import CLOSED_PROXY, GUARD_DIR, PROXY_VARIABLES
from tests.e2e.terminal import Terminal
from tests.fakes.hub import FakeHub
from tests.screenshots.picture import DARK, LIGHT, Mask, screen_rows, svg
from tests.screenshots.scenes import PRICED, RULES, SCENES, Scene

HERE = Path(__file__).parent
COLUMNS = 100
STILL_S = 0.5
"""A screen that has not changed for so long shows what is to be seen. Clocks on it tick once a second."""
MOST_BYTES = 200_000

_MASKS = (
    Mask(re.compile(r"http://127\.0\.0\.1:\d+"), "https://huggingface.co"),
    Mask(re.compile(r"(?<=session   )\S+"), "0123456789abcdef0123456789abcdef"),
    Mask(re.compile(r"/\S*/ml-intern-demo-\w+"), "/tmp/ml-intern-demo-1a2b3c4d"),
    Mask(re.compile(r"\b\d+\.\ds\b"), "0.4s"),
    Mask(re.compile(r"\b\d+s\b"), "4s"),
)


def rows_of(scene: Scene) -> list[Text]:
    """What the terminal shows at the end of the scene. Raises AssertionError if it does not come to that."""
    with _home() as home, _hub(scene) as hub, scene.sites() as sites:
        work = _workspace(home, scene)
        with Terminal(
            ["-m", scene.model, *scene.args],
            _environment(home) | hub | dict(sites or {}),
            cwd=work,
            columns=COLUMNS,
            rows=scene.rows,
        ) as terminal:
            terminal.wait_for("Ctrl-D leaves")
            terminal.wait_for(r"(?m)^\w+ · replay/.* · main$" if scene.answers else r"(?m)^\w+ · replay/")
            scene.act(terminal)
            raw = _still(terminal)
        masks = (Mask(re.compile(re.escape(str(home))), "/home/ada"), *_MASKS)
        return screen_rows(raw, COLUMNS, scene.rows, masks)


def picture_of(scene: Scene) -> str:
    """The SVG."""
    return svg(rows_of(scene), COLUMNS, scene.name, "ml-intern", LIGHT if scene.is_light else DARK)


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """An empty directory, always the same: the model is told its name, and what it is told is counted in tokens."""
    home = Path(tempfile.gettempdir()).resolve() / "ml-intern-pictures"
    shutil.rmtree(home, ignore_errors=True)  # of a run that was killed
    home.mkdir(mode=0o700)
    try:
        yield home
    finally:
        shutil.rmtree(home)


@contextlib.contextmanager
def _hub(scene: Scene) -> Iterator[dict[str, str]]:
    """The variables that lead to the scene's Hub, if it has one."""
    if scene.hub is None:
        yield {"HF_HUB_OFFLINE": "1"}
        return
    with FakeHub(user="ada") as hub:
        scene.hub(hub)
        account = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url, "HF_TOKEN": hub.token}
        yield account | {"HF_HUB_DISABLE_TELEMETRY": "1"}


def _workspace(home: Path, scene: Scene) -> Path:
    """A small project under version control, with the recorded answers in it."""
    work = home / "digits"
    for name, content in scene.files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(content, "utf-8")
    work.mkdir(exist_ok=True)
    if scene.answers:
        (work / "answers").write_text("\n".join(json.dumps(line) for line in (PRICED, *scene.answers)), "utf-8")
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(work)], check=True)
    settings = home / ".config" / "ml-intern" / "cli_agent_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(RULES), "utf-8")
    return work


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the developer's, and no way to the network."""
    return {
        **dict.fromkeys(PROXY_VARIABLES, CLOSED_PROXY),
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(GUARD_DIR),
    }


def _still(terminal: Terminal) -> bytes:
    """All that was written, once nothing more comes for a moment."""
    raw = b""
    while raw != (raw := terminal.raw_output()):
        time.sleep(STILL_S)
    return raw


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draw the README's pictures.")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(scene.name for scene in SCENES))
    parser.add_argument("--text", action="store_true", help="print what they show; write nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - {scene.name for scene in SCENES}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    for scene in SCENES:
        if options.names and scene.name not in options.names:
            continue
        if options.text:
            print(f"== {scene.name}", *(row.plain for row in rows_of(scene)), sep="\n")
            continue
        picture = picture_of(scene)
        assert len(picture.encode()) < MOST_BYTES, f"{scene.name} is too large"
        target = HERE / f"{scene.name}.svg"
        has_changed = not target.exists() or target.read_text("utf-8") != picture
        target.write_text(picture, "utf-8")
        print(f"{target.name}: {len(picture.encode()):,} bytes{', changed' if has_changed else ''}")


if __name__ == "__main__":
    main()

"""/memory, #note, /init and /export: what is written where."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.cli.commands.project import LATER, remember
from agent.context_manager.memory import FILE_LIMIT_BYTES
from tests.unit.cli.commands.recording import RecordingApp
from tests.unit.sessions.keeping import keep_session

SESSION = "abcd1234-5678"


@pytest.fixture
def repo() -> Path:
    repo = Path(os.environ["HOME"]) / "code" / "repo"
    (repo / ".git").mkdir(parents=True)
    (repo / "src").mkdir()
    return repo


@pytest.fixture
def app(repo: Path) -> RecordingApp:
    return RecordingApp(repo / "src")


def user_file() -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "ml-intern" / "AGENTS.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# --- /memory ---------------------------------------------------------------------------------------------------------


async def test_memory_lists_what_is_read_and_what_could_be(app: RecordingApp, repo: Path) -> None:
    (repo / "CLAUDE.md").write_text("use uv\n")
    await app.type("/memory")
    assert app.said == [
        "1  ~/code/repo/CLAUDE.md (for this project; 7 bytes)",
        "2  ~/.config/ml-intern/AGENTS.md (for all your projects; not there yet)",
        LATER,
    ]
    (repo / "src" / "AGENTS.md").write_text("x" * (FILE_LIMIT_BYTES + 1))
    user_file().write_text("be brief\n")
    app.said.clear()
    await app.type("/memory")
    assert [line.split(" (")[0].strip() for line in app.said[:-1]] == [
        "1  ~/code/repo/src/AGENTS.md",
        "2  ~/code/repo/CLAUDE.md",
        "3  ~/.config/ml-intern/AGENTS.md",
    ]
    assert "only the first 32.8 kB are read" in app.said[0]


async def test_memory_edit_opens_the_projects_file_or_the_one_asked_for(app: RecordingApp, repo: Path) -> None:
    await app.type("/memory edit")
    await app.type("/memory edit 2")
    assert app.edited == [repo / "AGENTS.md", user_file()]
    assert app.said == [LATER] * 2
    await app.type("/memory edit 3")
    await app.type("/memory edit first")
    await app.type("/memory show")
    assert app.complaints == [
        "There is no file 3; the files are 1 to 2.",
        *["Say /memory, /memory edit, or /memory edit and a number of the list."] * 2,
    ]


async def test_an_editor_that_fails_is_told(app: RecordingApp) -> None:
    def fail(path: Path) -> None:
        raise OSError(f"no editor for {path.name}")

    app.edit = fail
    await app.type("/memory edit")
    assert app.complaints == ["no editor for AGENTS.md"]
    assert app.said == []


# --- #note -----------------------------------------------------------------------------------------------------------


async def test_a_note_makes_the_file_at_the_root_of_the_repository(app: RecordingApp, repo: Path) -> None:
    heard = await remember(app, "use uv, never pip")  # type: ignore[arg-type]
    assert (repo / "AGENTS.md").read_text() == "- use uv, never pip\n"
    assert app.said == ["Noted in ~/code/repo/AGENTS.md."]
    assert heard is not None
    assert "use uv, never pip" in heard
    assert str(repo / "AGENTS.md") in heard


async def test_a_note_is_added_where_the_guidance_is_read(app: RecordingApp, repo: Path) -> None:
    (repo / "CLAUDE.md").write_bytes(b"# Rules\r\n\r\n- be brief")
    (repo / "CLAUDE.md").chmod(0o640)
    await remember(app, "two\nlines")  # type: ignore[arg-type]
    assert (repo / "CLAUDE.md").read_bytes() == b"# Rules\r\n\r\n- be brief\r\n- two\r\n  lines\r\n"
    assert (repo / "CLAUDE.md").stat().st_mode & 0o777 == 0o640
    assert not (repo / "AGENTS.md").exists()  # it would hide CLAUDE.md


async def test_a_link_is_followed_to_markdown_only(app: RecordingApp, repo: Path) -> None:
    (repo / "docs.md").write_text("# Docs\n")
    (repo / "AGENTS.md").symlink_to("docs.md")
    await remember(app, "a")  # type: ignore[arg-type]
    assert (repo / "AGENTS.md").is_symlink()
    assert (repo / "docs.md").read_text() == "# Docs\n\n- a\n"
    (repo / "AGENTS.md").unlink()
    (repo / "key").write_text("secret")
    (repo / "AGENTS.md").symlink_to("key")
    assert await remember(app, "b") is None  # type: ignore[arg-type]
    assert (repo / "key").read_text() == "secret"
    assert "no Markdown file" in app.complaints[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_what_cannot_be_written_is_told(app: RecordingApp, repo: Path) -> None:
    repo.chmod(0o500)
    assert await remember(app, "a") is None  # type: ignore[arg-type]
    assert "permission denied" in app.complaints[0]


async def test_a_directory_in_the_way_is_told(app: RecordingApp, repo: Path) -> None:
    (repo / "AGENTS.md").mkdir()
    assert await remember(app, "a") is None  # type: ignore[arg-type]
    assert "directory" in app.complaints[0]


async def test_an_empty_note_writes_nothing(app: RecordingApp, repo: Path) -> None:
    assert await remember(app, " \x1b[2J ") is None  # type: ignore[arg-type]
    assert not (repo / "AGENTS.md").exists()
    assert len(app.complaints) == 1


async def test_a_note_that_will_not_be_read_is_told(app: RecordingApp, repo: Path) -> None:
    (repo / "AGENTS.md").write_text("x" * FILE_LIMIT_BYTES)
    await remember(app, "a")  # type: ignore[arg-type]
    assert "only the first" in app.complaints[0]


# --- /init -----------------------------------------------------------------------------------------------------------


async def test_init_asks_the_agent_to_write_or_improve_the_projects_file(app: RecordingApp, repo: Path) -> None:
    await app.type("/init")
    (repo / "AGENTS.md").write_text("# Old\n")
    await app.type("/init")
    wrote, improved = app.submitted
    assert wrote.startswith(f"Write {repo / 'AGENTS.md'}")
    assert improved.startswith(f"Bring {repo / 'AGENTS.md'} up to date")
    assert "Keep what is still right" in improved
    assert "Keep what is still right" not in wrote


# --- /export ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(app: RecordingApp) -> RecordingApp:
    keep_session(app.state_dir, SESSION, "what colour?", cwd=str(app.workspace))
    app.status.conversation.session_id = SESSION
    app.status.conversation.title = "Colours / [b]"
    app.status.conversation.prompts = ["what colour?"]
    return app


async def test_export_writes_markdown_into_the_workspace_and_never_overwrites(kept: RecordingApp) -> None:
    await kept.type("/export")
    await kept.type("/export")
    first = kept.workspace / "ml-intern-colours-b-abcd1234.md"
    second = kept.workspace / "ml-intern-colours-b-abcd1234-2.md"
    assert kept.said == [f"Written to {first}", f"Written to {second}"]
    assert "what colour?" in first.read_text()
    assert first.read_text() == second.read_text()
    assert first.stat().st_mode & 0o777 == 0o600


async def test_export_as_json_to_a_place_of_the_persons(kept: RecordingApp, repo: Path) -> None:
    await kept.type("/export json")
    await kept.type("/export ../notes and more.json")
    await kept.type(f"/export JSON {repo}")
    shown = [line.removeprefix("Written to ") for line in kept.said]
    assert [Path(path).name for path in shown] == [
        "ml-intern-colours-b-abcd1234.json",
        "notes and more.json",
        "ml-intern-colours-b-abcd1234.json",
    ]
    for path in shown:
        assert json.loads(Path(path).read_text())["session"]["id"] == SESSION


@pytest.mark.parametrize("path", ["nosuch/dir/x.md", "x" * 300, "a\0b"])
async def test_an_export_that_cannot_be_written_is_told(kept: RecordingApp, path: str) -> None:
    await kept.type(f"/export markdown {path}")
    assert kept.said == []
    assert kept.complaints[0].startswith("Nothing was exported: ")
    assert "\n" not in kept.complaints[0]
    assert kept.complaints[0].endswith(".")


async def test_there_may_be_nothing_to_export(app: RecordingApp) -> None:
    await app.type("/export")
    app.status.conversation.prompts = ["hi"]
    app.status.conversation.session_id = "ffff0000-1"
    await app.type("/export")
    assert app.complaints == [
        "There is nothing to export yet: ask something first.",
        "Nothing was exported: this session is not kept on disk (save_sessions in the settings).",
    ]


async def test_a_word_that_is_no_format_is_no_file(kept: RecordingApp) -> None:
    await kept.type("/export pdf")
    assert kept.complaints == [
        "There is no format pdf; there are markdown, html, json, claude-code, hub, legacy, or give a path."
    ]
    await kept.type("/export './my page.html'")
    assert (kept.workspace / "my page.html").read_text().startswith("<!doctype html>")

"""`ml-intern trace view` and the formats of `ml-intern sessions export`: what is written where, without secrets."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.cli.args import parse
from agent.cli.commands.project import EXPORTED_AS
from agent.cli.exports import FORMATS, ExportError, Source, export_text, redactor_for, write_export
from agent.cli.sessions_command import run_sessions
from agent.cli.trace_command import run_trace
from agent.protocol.messages import assistant_message, tool_message, user_message
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions.index import SessionIndex
from agent.sessions.journal import Journal
from tests.unit.sessions.keeping import NO_SECRETS, call, keep_session

LIVE = "qT7vLp2ZxW9sRk4mNb8c"
FOREIGN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state"), "MY_API_KEY": LIVE}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ml-intern"


@pytest.fixture
def kept(state: Path, tmp_path: Path) -> Path:
    """A session with secrets in it, and one of a sub-agent that worked for it."""
    path = keep_session(state, "abcd1234", "sort the data", cwd=str(tmp_path))
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append_message(user_message(f"my key is {LIVE}"))
    looking = call("look-1", arguments=json.dumps({"command": f"curl -H 'Authorization: token {FOREIGN}'"}))
    journal.append_message(assistant_message(f"Not {FOREIGN}?", (looking,)))
    journal.append_message(tool_message(looking, f"GITHUB_TOKEN={FOREIGN}"))
    journal.close()
    agent = Journal.create(state / "agents" / "abcd1234" / "look-1.jsonl", NO_SECRETS)
    agent.append("start", {"id": "abcd1234/look-1", "parent": "abcd1234", "agent": "research", "model": "replay/demo"})
    agent.append_message(user_message(f"find {FOREIGN}"))
    agent.append_message(assistant_message("Nothing was found."))
    agent.close()
    return path


@pytest.fixture
def export(environ: dict[str, str], tmp_path: Path) -> Run:
    def run(*argv: str) -> tuple[int, str]:
        out = io.StringIO()
        return run_sessions(["export", *argv], environ=environ, cwd=tmp_path, out=out), out.getvalue()

    return run


@pytest.fixture
def view(environ: dict[str, str], tmp_path: Path) -> Run:
    def run(*argv: str) -> tuple[int, str]:
        out = io.StringIO()
        return run_trace(argv, environ=environ, cwd=tmp_path, out=out), out.getvalue()

    return run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_both_ways_to_export_know_the_same_formats() -> None:
    assert tuple(FORMATS) == EXPORTED_AS


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_the_session_without_its_secrets(name: str, export: Run, kept: Path) -> None:
    code, text = export("abcd", "--format", name)
    assert code == 0
    assert "sort the data" in text and "Done." in text
    assert LIVE not in text and FOREIGN not in text


@pytest.mark.parametrize("name", ["claude-code", "hub"])
def test_sub_agents_get_files_of_their_own(
    name: str, export: Run, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Nothing was found." not in export("abcd", "--format", name)[1]
    assert capsys.readouterr().err == "ml-intern: 1 sub-agent left out; -o FILE writes them too\n"
    code, said = export("abcd", "--format", name, "-o", "run.jsonl")
    folder = tmp_path / "run.agents"
    assert (code, said) == (0, f"Written to {tmp_path / 'run.jsonl'}, and 1 sub-agent to {folder}\n")
    (file,) = folder.iterdir()
    assert file.name == "look-1.jsonl" and file.stat().st_mode & 0o777 == 0o600
    assert "Nothing was found." in file.read_text() and FOREIGN not in file.read_text()
    assert all(json.loads(line) for line in file.read_text().splitlines())


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_gets_what_is_printed_piece_by_piece(
    name: str, kept: Path, environ: dict[str, str], state: Path, tmp_path: Path
) -> None:
    source = Source(SessionIndex(state).find("abcd"), state, redactor_for(environ))
    write_export(source, name, path := tmp_path / "x", overwrite=False)
    assert path.read_text() == export_text(source, name) + "\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_export(source, name, path, overwrite=False)


def test_a_file_is_not_left_half_when_redaction_fails_in_the_middle(
    kept: Path, environ: dict[str, str], state: Path, tmp_path: Path
) -> None:
    class Failing(Redactor):
        def text(self, text: str) -> str:
            if text == "Done.":
                raise RedactionError("no")
            return super().text(text)

    source = Source(SessionIndex(state).find("abcd"), state, Failing())
    before = set(tmp_path.iterdir())
    with pytest.raises(ExportError, match="nothing was written"):
        write_export(source, "claude-code", tmp_path / "x", overwrite=False)
    assert set(tmp_path.iterdir()) == before


def test_the_names_of_the_formats_cost_nothing() -> None:
    """They are asked for at every start of `ml-intern sessions`."""
    code = "import sys, agent.cli.exports\nprint(*sorted(name for name in sys.modules if name.startswith('agent.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.split()
    assert "agent.cli.exports" in loaded
    assert not {"agent.traces.timeline", "agent.redaction.redactor", "agent.hub.tokens"} & set(loaded)


def test_an_export_with_sub_agents_is_whole_or_not_at_all(export: Run, kept: Path, tmp_path: Path, state: Path) -> None:
    folder = tmp_path / "run.agents"
    assert export("abcd", "-o", "run.jsonl")[0] == 0
    (tmp_path / "run.jsonl").unlink()
    assert export("abcd", "-o", "run.jsonl")[0] == 2
    assert not (tmp_path / "run.jsonl").exists()
    keep_session(state, "ffff5678", "no sub-agent")
    assert export("ffff", "-o", "run.jsonl", "--force")[0] == 0
    assert list(folder.glob("*.jsonl")) == []  # what was there was of another session


def test_the_ending_of_a_file_means_a_format(export: Run, kept: Path, tmp_path: Path) -> None:
    assert export("abcd", "-o", "run.html")[0] == 0
    assert (tmp_path / "run.html").read_text().startswith("<!doctype html>")
    assert export("abcd", "-o", "run.html.txt", "--format", "json")[0] == 0
    assert json.loads((tmp_path / "run.html.txt").read_text())["session"]["id"] == "abcd1234"
    assert export("abcd", "-o", "-")[1].startswith("# sort the data")


def test_a_device_or_a_link_stays_what_it_is(export: Run, kept: Path, tmp_path: Path) -> None:
    pipe, link, real = tmp_path / "pipe", tmp_path / "link.md", tmp_path / "real.md"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text)
        assert export("abcd", "-o", "pipe", "--force")[0] == 0
        assert "sort the data" in read.result(20)
    assert pipe.is_fifo()
    real.write_text("old")
    link.symlink_to(real)
    assert export("abcd", "-o", "link.md")[0] == 2
    assert export("abcd", "-o", "link.md", "--force")[0] == 0
    assert link.is_symlink() and "sort the data" in real.read_text()


def test_the_page_is_written_for_the_person_alone_and_goes_with_the_session(
    view: Run, kept: Path, state: Path, tmp_path: Path
) -> None:
    code, said = view("abcd", "--no-open")
    page = state / "views" / "abcd1234.html"
    assert (code, said) == (0, f"{page}\n")
    assert page.stat().st_mode & 0o777 == 0o600 and page.parent.stat().st_mode & 0o777 == 0o700
    text = page.read_text()
    assert text.lower().startswith("<!doctype html>") and "sort the data" in text and "Nothing was found." in text
    assert LIVE not in text and FOREIGN not in text
    assert view("abcd", "--no-open") == (0, f"{page}\n")
    index = SessionIndex(state)
    index.remove(index.find("abcd", tmp_path))
    assert not page.exists()


def test_a_page_elsewhere_is_never_written_over(
    view: Run, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert view("abcd", "-o", "run.html")[0] == 0
    assert view("abcd", "-o", "run.html")[0] == 2
    assert capsys.readouterr().err == f"ml-intern: {tmp_path / 'run.html'} exists; say --force to overwrite it\n"
    assert view("abcd", "-o", "run.html", "--force")[0] == 0
    assert view("abcd", "-o", "no/such/run.html")[0] == 1
    assert view("zzzz")[0] == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".run")] == []


def test_the_page_is_opened_on_a_desktop_alone(
    kept: Path, state: Path, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))

    def view(out: io.StringIO, *argv: str, **more: str) -> bool:
        opened.unlink(missing_ok=True)
        assert run_trace(["abcd", *argv], environ=environ | more, cwd=tmp_path, out=out) == 0
        return opened.exists()

    assert not view(Terminal())
    assert not view(io.StringIO(), DISPLAY=":7")
    assert not view(Terminal(), "--no-open", DISPLAY=":7")
    assert not view(Terminal(), "-o", "run.html", DISPLAY=":7")
    assert not view(Terminal(), DISPLAY=":7", SSH_CONNECTION="1.2.3.4 5 6.7.8.9 22")
    assert view(Terminal(), DISPLAY=":7")
    assert opened.read_text() == f"{(state / 'views' / 'abcd1234.html').as_uri()}\n"


@pytest.mark.parametrize("words", [["trace"], ["trace", "veiw"], ["trace", "abcd"], ["trace", "show", "abcd"]])
def test_near_misses_are_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(words)
    assert end.value.code == 2 and "ml-intern trace view ID" in capsys.readouterr().err


def test_a_prompt_may_begin_like_the_command() -> None:
    assert parse(["trace", "the", "bug"]).prompt == "trace the bug"
    assert parse(["trace", "view", "abcd"]).command == "trace"

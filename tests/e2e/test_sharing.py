"""Sharing sessions with the installed command: off as shipped, said before anything is sent, never in the way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.traces.uploads.outbox import Outbox
from tests.e2e.harness import Finished, run_headless, start_headless
from tests.e2e.terminal import Terminal
from tests.fakes.hub import FakeHub
from tests.unit.traces.uploads.upload_runs import Person

SAY = "uploaded to the dataset"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def person(hub: FakeHub, env: dict[str, str]) -> Person:
    """Somebody who shares sessions and was told of nothing yet."""
    person = Person.at(hub, env)
    (person.state_dir / "uploads" / "told.json").unlink()
    person.env["HF_TOKEN"] = hub.token
    return person


def script(tmp_path: Path, *texts: str) -> list[str]:
    path = tmp_path / "script.jsonl"
    answers: list[dict[str, Any]] = [{"goes_on": True}, *({"text": text} for text in texts)]
    path.write_text("\n".join(map(json.dumps, answers)))
    return ["-m", f"replay/{path}"]


def ok(done: Finished) -> Finished:
    assert done.exit_code == 0, done.stderr
    return done


def test_as_shipped_nothing_is_marked_started_or_asked(
    person: Person, hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    """Defect 10."""
    del person.env["ML_INTERN_SHARE_TRACES"]
    done = ok(run_headless([*script(tmp_path, "Hello."), "hi"], env=person.env, cwd=work))
    assert done.children == ()
    assert SAY not in done.stderr
    assert hub.requests == []
    assert person.outbox.is_empty()


def test_the_person_is_told_once_and_the_session_arrives_whole(
    person: Person, hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    model = script(tmp_path, "Hello.", "Again.")
    first = ok(run_headless([*model, "hi"], env=person.env, cwd=work))
    assert first.stderr.count(SAY) == 1
    assert "ml-intern-sessions" in first.stderr
    assert first.stdout == "Hello.\n"
    # the harness has killed whoever the command left behind: the next one sees to it
    with start_headless(["--continue", "and?"], env=person.env, cwd=work) as second:
        done = ok(second.wait())
        assert done.stdout == "Again.\n"
        second.wait_until(lambda: bool(person.commits()) and person.outbox.is_empty(), 40)
    assert done.stderr.count(SAY) <= 1  # once more if the user's name was not known the first time
    (name,) = [name for name in person.files() if name.startswith("sessions/")]
    sent = person.files()[name].decode()
    assert "Hello." in sent
    assert "Again." in sent


def test_no_exit_waits_for_a_hub_that_never_answers(person: Person, hub: FakeHub, tmp_path: Path, work: Path) -> None:
    hub.fail("*", "^/api/", kind="stall", times=1_000)
    with start_headless([*script(tmp_path, "Hello."), "hi"], env=person.env, cwd=work) as run:
        assert ok(run.wait()).stdout == "Hello.\n"
        hub.wait_stalled(timeout_s=30)  # the command has ended, and the request is held
        (left,) = run.children()
        assert "agent.traces.uploads.process" in left.command
        assert hub.token not in left.command


def test_a_hostile_repository_chooses_neither_code_nor_account(
    person: Person, hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    """Defect 15. The token that a repository brings would send the session to its author."""
    for name in ("agent/__init__.py", "agent/traces/__init__.py", "agent/traces/uploads/process.py"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    del person.env["HF_TOKEN"], person.env["HF_ENDPOINT"], person.env["OPENID_PROVIDER_URL"]
    theirs = f"HF_TOKEN={hub.token}\nHF_ENDPOINT={hub.url}\nOPENID_PROVIDER_URL={hub.url}\n"
    (work / ".env").write_text(theirs)
    person.outbox.remember_told(["{hf_user}/ml-intern-sessions"])
    with start_headless([*script(tmp_path, "Hello."), "hi"], env=person.env, cwd=work) as run:
        ok(run.wait())
        run.wait_until(lambda: "no Hugging Face token of yours" in person.log, 30)
        run.assert_no_children(30)
    assert hub.requests == []
    assert not (tmp_path / "owned").exists()
    (waiting,) = person.outbox.waiting()  # it is kept for a token of the person's own
    assert waiting.targets == {}


def test_a_switch_in_a_later_run_stops_what_waits(person: Person, hub: FakeHub, tmp_path: Path, work: Path) -> None:
    hub.fail("*", "^/api/", status=401, times=1_000)
    model = script(tmp_path, "Hello.")
    with start_headless([*model, "hi"], env=person.env, cwd=work) as run:
        ok(run.wait())
        run.wait_until(lambda: bool(person.outbox.troubles()), 30)
        run.assert_no_children(30)
    asked = len(hub.requests)
    done = ok(run_headless([*model, "hi"], env=person.env | {"DO_NOT_TRACK": "1"}, cwd=work))
    assert done.children == ()
    assert len(hub.requests) == asked
    assert len(person.outbox.waiting()) == 1  # the first one stays, the second was never put in


def test_a_removed_session_is_not_sent_any_more(person: Person, hub: FakeHub, tmp_path: Path, work: Path) -> None:
    hub.fail("*", "^/api/", status=401, times=1_000)
    with start_headless([*script(tmp_path, "Hello."), "hi"], env=person.env, cwd=work) as run:
        ok(run.wait())
    (entry,) = Outbox(person.state_dir).waiting()
    ok(run_headless(["sessions", "rm", "--yes", entry.session_id], env=person.env, cwd=work))
    assert person.outbox.is_empty()


@pytest.mark.skipif(sys.platform == "win32", reason="a pty")
def test_at_the_terminal_a_session_goes_when_another_one_begins(
    person: Person, hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    with Terminal(script(tmp_path, "Hello.", "Second."), person.env, cwd=work) as terminal:
        terminal.wait_for("Ctrl-D leaves")
        terminal.wait_for(SAY)
        terminal.send("one").key("enter")
        terminal.wait_for("Hello.")
        terminal.wait_for(r"(?m)^> ")
        terminal.send("/new").key("enter")
        terminal.wait_until(lambda: len(person.commits()) == 1, 40)
        terminal.send("two").key("enter")
        terminal.wait_for("(Second|Hello).", count=2)
        terminal.key("ctrl-d")
        assert terminal.exit_code() == 0
        terminal.wait_until(lambda: len(person.commits()) == 2 and person.outbox.is_empty(), 40)
    assert len([name for name in person.files() if name.startswith("sessions/")]) == 2

"""`kill -9` of the uploading process between any two of its steps, and of the session itself: nothing is lost, nothing
is doubled, and the last record always arrives."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.traces.uploads.outbox import Outbox
from tests.e2e.harness import start_headless
from tests.fakes.hub import FakeHub
from tests.unit.traces.uploads.upload_runs import ONE, REPO, TWO, Person

STEPS = {
    "whoami": ("GET", "/api/whoami-v2"),
    "create": ("POST", "/api/repos/create"),
    "look": ("GET", "/api/datasets/[^/]+/[^/]+$"),
    "preupload": ("POST", "/preupload/"),
    "validate": ("POST", "/validate-yaml"),
    "commit": ("POST", "/commit/main$"),
}
"""What the process asks the Hub for a first session, in this order."""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def person(hub: FakeHub, env: dict[str, str]) -> Person:
    return Person.at(hub, env)


def test_these_are_all_steps(person: Person, hub: FakeHub) -> None:
    person.keeps()
    person.uploads()
    asked = [(request.method, request.path) for request in hub.requests]
    assert len(asked) == len(STEPS), asked


@pytest.mark.parametrize("session", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("kind", ["stall", "late"], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_the_next_process_sends_everything_once(
    person: Person, hub: FakeHub, step: str, kind: str, session: int
) -> None:
    if session and step not in ("preupload", "commit"):
        pytest.skip("asked once in a run")
    paths = [person.keeps(session_id) for session_id in (ONE, TWO)]
    method, pattern = STEPS[step]
    hub.fail(method, pattern, kind=kind, skip=session)
    process = person.starts()
    hub.wait_stalled(timeout_s=30)
    process.kill()
    process.wait(30)
    hub.wait_client_gone(timeout_s=30)
    assert sum(entry.session_id == TWO for entry in person.outbox.waiting()) == 1
    person.uploads()
    person.assert_all_sent(*paths)
    assert [commit.title for commit in person.commits()] == [f"Add session {ONE}", f"Add session {TWO}"]
    assert "README.md" in person.files()
    assert list((person.state_dir / "uploads").glob(".[!l]*")) == []


def test_killed_on_the_disk_between_a_commit_and_its_note(person: Person, hub: FakeHub) -> None:
    """The content is offered again, and the Hub has it already."""
    path = person.keeps()
    before = (person.state_dir / "uploads" / f"{ONE}.json").read_bytes()
    person.uploads()
    (person.state_dir / "uploads" / "done" / f"{ONE}.json").unlink()
    (person.state_dir / "uploads" / f"{ONE}.json").write_bytes(before)  # as a kill right after the commit leaves it
    person.uploads()
    person.assert_all_sent(path)
    assert len(person.commits()) == 1


def test_killed_between_a_note_and_putting_away(person: Person) -> None:
    path = person.keeps()
    person.uploads()
    done = person.state_dir / "uploads" / "done" / f"{ONE}.json"
    done.rename(person.state_dir / "uploads" / f"{ONE}.json")
    person.uploads()
    person.assert_all_sent(path)
    assert len(person.commits()) == 1


def test_a_killed_session_is_sent_by_the_next_program(person: Person, hub: FakeHub, tmp_path: Path) -> None:
    """Defect 8."""
    script = tmp_path / "script.jsonl"
    slow = {"tool_calls": [{"id": "c1", "name": "bash", "arguments": {"command": "echo begun > begun; sleep 600"}}]}
    script.write_text("\n".join(map(json.dumps, [{"text": "First."}, {"text": "Bye."}])))
    running = tmp_path / "running.jsonl"
    running.write_text("\n".join(map(json.dumps, [{"text": "Starting.", **slow}])))
    work = tmp_path / "project"
    work.mkdir()
    env = {**person.env, "HF_TOKEN": hub.token}
    with start_headless(["-m", f"replay/{running}", "go"], env=env, cwd=work) as program:
        program.wait_until(lambda: (work / "begun").exists())
        (entry,) = Outbox(person.state_dir).waiting()  # it is there while the session runs
        program.signal_group(signal.SIGKILL)
        program.wait()
        with start_headless(["-m", f"replay/{script}", "hello"], env=env, cwd=work) as other:
            assert other.wait().exit_code == 0
            other.wait_until(lambda: len(person.commits()) == 2, 40)
            other.wait_until(lambda: person.outbox.is_empty(), 40)
    assert len([name for name in person.files(REPO) if entry.session_id in name]) == 1
    person.assert_all_sent(*(each.journal for each in person.outbox.done()))

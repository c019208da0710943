"""What a session has changed by now, told from its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.sessions.checkpoint_states import StoppedError
from agent.sessions.checkpoints import Checkpoints, FileChange

PLENTY = 1 << 20


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    (path / "train.py").write_text("lr = 1\n")
    return path


@pytest.fixture
def checkpoints(tmp_path: Path, workspace: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "state", "s1", workspace)


def turn(checkpoints: Checkpoints, turn_id: str, path: Path, text: str | None) -> None:
    """A turn in which a file tool writes, or a command removes."""
    checkpoints.begin_turn(turn_id)
    checkpoints.before_change((path,))
    write(path, text)
    checkpoints.end_turn()


def write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text)


def only(checkpoints: Checkpoints) -> FileChange:
    (change,) = checkpoints.changes().files
    return change


def test_before_and_now(checkpoints: Checkpoints, workspace: Path) -> None:
    turn(checkpoints, "t1", workspace / "train.py", "lr = 2\n")
    turn(checkpoints, "t2", workspace / "train.py", "lr = 3\n")
    change = only(checkpoints)
    assert change.name == "train.py"
    assert checkpoints.contents(change, PLENTY) == (b"lr = 1\n", b"lr = 3\n")


def test_a_turn_that_still_runs_counts(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    checkpoints.before_change(None)
    (workspace / "new.py").write_text("new")
    assert checkpoints.contents(only(checkpoints), PLENTY) == (None, b"new")


def test_another_process_knows_as_much(checkpoints: Checkpoints, workspace: Path, tmp_path: Path) -> None:
    turn(checkpoints, "t1", workspace / "train.py", None)
    again = Checkpoints(tmp_path / "state", "s1", workspace)
    assert again.contents(only(again), PLENTY) == (b"lr = 1\n", None)
    assert Checkpoints(tmp_path / "state", "s2", workspace).changes().files == ()


def test_what_is_gone_or_too_large_is_said(checkpoints: Checkpoints, workspace: Path, tmp_path: Path) -> None:
    turn(checkpoints, "t1", workspace / "train.py", "lr = 2\n" * 10)
    change = only(checkpoints)
    with pytest.raises(OSError, match="too large to show \\(70 bytes\\)"):
        checkpoints.contents(change, 20)
    for blob in (tmp_path / "state/checkpoints/blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    with pytest.raises(OSError, match="its copy is gone"):
        checkpoints.contents(change, PLENTY)


def test_it_can_be_stopped(checkpoints: Checkpoints, workspace: Path) -> None:
    turn(checkpoints, "t1", workspace / "train.py", "lr = 2\n")
    change = only(checkpoints)
    checkpoints.interrupt()
    with pytest.raises(StoppedError):
        checkpoints.contents(change, PLENTY)
    assert only(checkpoints) == change


TEXTS = st.sampled_from([None, "one", "two", "three"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b"]), TEXTS), max_size=8), first=TEXTS)
def test_it_is_told_exactly_what_differs(
    steps: list[tuple[bool, str, str | None]], first: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("changes")
    workspace = place / "workspace"
    workspace.mkdir()
    write(workspace / "a", first)
    checkpoints = Checkpoints(place / "state", "s1", workspace)
    before: dict[str, bytes | None] = {}
    for number, (by_agent, name, text) in enumerate(steps):
        path = workspace / name
        was = path.read_bytes() if path.exists() else None
        if not by_agent:
            write(path, text)
            continue
        turn(checkpoints, f"t{number}", path, text)
        if was != (text.encode() if text else None):
            before.setdefault(name, was)
    changes = checkpoints.changes()
    now = {name: (workspace / name).read_bytes() if (workspace / name).exists() else None for name in before}
    told = {change.name: checkpoints.contents(change, PLENTY) for change in changes.files}
    assert told == {name: (before[name], now[name]) for name in before if before[name] != now[name]}
    if all(by_agent for by_agent, _, _ in steps):
        assert changes.not_covered is None

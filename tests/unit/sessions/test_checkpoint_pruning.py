"""The store of checkpoints stays small: the oldest copies go first, and with a session all that is only its own."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from agent.sessions.checkpoint_pruning import forget, prune
from agent.sessions.checkpoints import Checkpoints

SIZE = 1000


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


def turn(state_dir: Path, session_id: str, turn_id: str, path: Path, age: int) -> None:
    """A turn that replaces a file of 1,000 bytes; a lower `age` is an older turn."""
    path.write_bytes(turn_id.encode() * (SIZE // len(turn_id)))
    checkpoints = Checkpoints(state_dir, session_id, path.parent)
    checkpoints.begin_turn(turn_id)
    checkpoints.before_change((path,))
    path.write_text(f"after {turn_id}")
    checkpoints.end_turn()
    for manifest in (state_dir / "checkpoints/sessions" / session_id).glob("*.json"):
        if turn_id in manifest.read_text():
            os.utime(manifest, (age, age))


def stored_bytes(state_dir: Path) -> int:
    return sum(path.stat().st_size for path in (state_dir / "checkpoints/blobs").glob("??/*"))


def test_a_small_store_stays_as_it_is(state_dir: Path, workspace: Path) -> None:
    prune(state_dir)
    assert not state_dir.exists()
    turn(state_dir, "s1", "t1", workspace / "a", age=1)
    prune(state_dir)
    assert Checkpoints(state_dir, "s1", workspace).restore(["t1"]).restored == ("a",)


def test_the_oldest_turns_lose_their_copies_and_it_is_said(state_dir: Path, workspace: Path) -> None:
    turn(state_dir, "s1", "t1", workspace / "a", age=1)
    turn(state_dir, "s2", "t2", workspace / "b", age=2)
    turn(state_dir, "s2", "t3", workspace / "c", age=3)
    prune(state_dir, keep_bytes=2 * SIZE)
    assert stored_bytes(state_dir) <= 2 * SIZE
    report = Checkpoints(state_dir, "s1", workspace).restore(["t1"])
    assert report.restored == ()
    assert report.not_covered == "the copies of an older turn were dropped to save space"
    assert Checkpoints(state_dir, "s2", workspace).restore(["t2", "t3"]).restored == ("b", "c")


def test_nothing_is_removed_while_somebody_makes_copies(state_dir: Path, workspace: Path) -> None:
    turn(state_dir, "s1", "t1", workspace / "a", age=1)
    with (state_dir / "checkpoints/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        prune(state_dir, keep_bytes=0)
    assert stored_bytes(state_dir) == SIZE
    prune(state_dir, keep_bytes=0)
    assert stored_bytes(state_dir) == 0


def test_what_killed_processes_left_is_swept(state_dir: Path, workspace: Path) -> None:
    turn(state_dir, "s1", "t1", workspace / "a", age=1)
    leftover = next((state_dir / "checkpoints/blobs").iterdir()) / ".tmp-0123"
    leftover.write_bytes(bytes(SIZE))
    prune(state_dir, keep_bytes=SIZE)
    assert not leftover.exists()


def test_with_a_session_go_the_copies_that_are_only_its_own(state_dir: Path, workspace: Path) -> None:
    turn(state_dir, "s1", "t1", workspace / "a", age=1)
    turn(state_dir, "s1", "t2", workspace / "b", age=2)
    turn(state_dir, "s2", "t2", workspace / "c", age=3)
    forget(state_dir, "s1")
    forget(state_dir, "s1")
    assert stored_bytes(state_dir) == SIZE
    assert Checkpoints(state_dir, "s1", workspace).restore(["t1", "t2"]).restored == ()
    assert Checkpoints(state_dir, "s2", workspace).restore(["t2"]).restored == ("c",)


def test_forgetting_takes_a_plain_name_only(state_dir: Path) -> None:
    with pytest.raises(ValueError, match="session id"):
        forget(state_dir, "..")

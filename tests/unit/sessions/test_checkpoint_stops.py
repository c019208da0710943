"""Nobody waits for checkpoints: not for another process, and not once a person has stopped the turn."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.sessions.checkpoint_pruning import prune
from agent.sessions.checkpoints import Checkpoints, Limits, RestoreReport

FILES = 30
_listeners: list[Callable[[str, str], None]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    for listener in list(_listeners):
        _listeners.remove(listener)  # what it does itself is not heard
        listener(event, str(arguments[0]) if arguments else "")
        _listeners.append(listener)


@pytest.fixture(scope="module", autouse=True)
def _hearing() -> None:
    sys.addaudithook(_hear)  # for the rest of this process: without listeners it does nothing


@contextmanager
def hearing(listener: Callable[[str, str], None]) -> Iterator[None]:
    """`listener` is told each system call that Python audits, and its first argument."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.clear()


@contextmanager
def interrupted_at(checkpoints: Checkpoints, event: str, count: int) -> Iterator[list[str]]:
    """Interrupted at the so-and-so-manieth such call; yields the arguments of all of them."""
    heard: list[str] = []

    def listener(name: str, argument: str) -> None:
        if name == event:
            heard.append(argument)
            if len(heard) == count:
                checkpoints.interrupt()

    with hearing(listener):
        yield heard


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    for at in range(FILES):
        (path / f"{at}.py").write_text(f"file {at}")
    return path


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def checkpoints(state_dir: Path, workspace: Path) -> Checkpoints:
    return Checkpoints(state_dir, "s1", workspace)


def change(checkpoints: Checkpoints, path: Path, text: str = "agent") -> None:
    checkpoints.before_change((path,))
    path.write_text(text)


@contextmanager
def tidied_by_another(state_dir: Path) -> Iterator[None]:
    directory = state_dir / "checkpoints"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- another process -------------------------------------------------------------------------------------------------


def test_a_change_does_not_wait_for_a_process_that_never_ends(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    checkpoints.begin_turn("t1")
    with tidied_by_another(state_dir):
        change(checkpoints, workspace / "0.py")
    changes = checkpoints.end_turn()
    assert changes is not None
    assert changes.not_covered == "no copies could be kept (another ml-intern is tidying the checkpoints up)"


def test_a_restore_changes_nothing_while_another_process_tidies_up(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    checkpoints.begin_turn("t1")
    change(checkpoints, workspace / "0.py")
    checkpoints.end_turn()
    with tidied_by_another(state_dir):
        report = checkpoints.restore(["t1"])
    assert report == RestoreReport(
        (), (), "no file was restored (another ml-intern is tidying the checkpoints up)", failed=True
    )
    assert (workspace / "0.py").read_text() == "agent"
    assert checkpoints.restore(["t1"]).restored == ("0.py",)


def test_waiting_for_another_process_can_be_interrupted(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    checkpoints.begin_turn("t1")
    with tidied_by_another(state_dir), interrupted_at(checkpoints, "fcntl.flock", 2) as tries:
        checkpoints.before_change((workspace / "0.py",))
    assert len(tries) == 2
    changes = checkpoints.end_turn()
    assert changes is not None
    assert changes.not_covered == "no copies could be kept (it was stopped before all was looked at)"


def test_copies_are_not_pruned_while_files_are_put_back(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    checkpoints.begin_turn("t1")
    change(checkpoints, workspace / "0.py")
    checkpoints.end_turn()

    def tidy(_event: str, argument: str) -> None:
        if argument.startswith(str(workspace)):
            prune(state_dir, keep_bytes=0)

    with hearing(tidy):
        report = checkpoints.restore(["t1"])
    assert report == RestoreReport(("0.py",), (), None)


# --- a person stops it -----------------------------------------------------------------------------------------------


def test_an_interrupted_survey_ends_at_once_and_what_it_saw_counts(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    checkpoints.begin_turn("t1")
    change(checkpoints, workspace / "0.py")
    with interrupted_at(checkpoints, "open", 20) as opened:
        checkpoints.before_change(None)
    assert len(opened) < 25
    for at in range(FILES):
        (workspace / f"{at}.py").write_text("changed all the same")
    with interrupted_at(checkpoints, "os.scandir", 100) as listed:
        changes = checkpoints.end_turn()
    assert str(workspace) not in listed
    assert changes is not None
    assert changes.not_covered == "it was stopped before all was looked at"
    assert "0.py" in changes.paths
    assert 2 < len(changes.paths) < FILES
    assert checkpoints.restore(["t1"]).restored == changes.paths
    texts = [(workspace / f"{at}.py").read_text() for at in range(FILES)]
    assert texts.count("changed all the same") == FILES - len(changes.paths)
    assert texts[0] == "file 0"


def test_reading_one_large_file_is_interrupted(checkpoints: Checkpoints, state_dir: Path, workspace: Path) -> None:
    (workspace / "0.py").write_bytes(bytes(20 << 20))
    checkpoints.begin_turn("t1")
    with interrupted_at(checkpoints, "open", 2) as opened:
        checkpoints.before_change((workspace / "0.py",))
    assert opened[-1] == str(workspace / "0.py")
    assert not (state_dir / "checkpoints/blobs").exists()


def test_what_a_stopped_command_did_is_still_known(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    checkpoints.before_change(None)
    (workspace / "0.py").unlink()
    (workspace / "new.py").write_text("agent")
    checkpoints.interrupt()
    changes = checkpoints.end_turn()
    assert changes is not None
    assert (changes.paths, changes.not_covered) == (("0.py", "new.py"), None)


def test_the_end_of_a_stopped_turn_takes_limited_time(state_dir: Path, workspace: Path) -> None:
    checkpoints = Checkpoints(state_dir, "s1", workspace, Limits(stopped_s=0))
    checkpoints.begin_turn("t1")
    checkpoints.before_change(None)
    (workspace / "0.py").unlink()
    checkpoints.interrupt()
    changes = checkpoints.end_turn()
    assert changes is not None
    assert changes.not_covered is not None
    assert "it was stopped before all was looked at" in changes.not_covered
    assert checkpoints.restore(["t1"]).restored == ()


@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_end_of_a_turn_can_be_interrupted_too(checkpoints: Checkpoints, workspace: Path, count: int) -> None:
    checkpoints.begin_turn("t1")
    checkpoints.before_change(None)
    for at in range(FILES):
        (workspace / f"{at}.py").write_text("agent")
    with interrupted_at(checkpoints, "open", count) as opened:
        changes = checkpoints.end_turn()
    assert len(opened) < count + 5
    assert changes is not None
    assert len(changes.paths) < FILES
    assert changes.not_covered == "it was stopped before all was looked at"
    assert checkpoints.restore(["t1"]).restored == changes.paths


def test_a_restore_that_is_stopped_before_it_begins_changes_nothing(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    for at in range(FILES):
        change(checkpoints, workspace / f"{at}.py")
    checkpoints.end_turn()
    with interrupted_at(checkpoints, "open", 10):
        report = checkpoints.restore(["t1"])
    assert report == RestoreReport(
        (), (), "no file was restored (it was stopped before all was looked at)", failed=True
    )
    assert {path.read_text() for path in workspace.iterdir()} == {"agent"}
    assert len(checkpoints.restore(["t1"]).restored) == FILES


def test_an_interruption_is_over_with_the_next_work(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.interrupt()
    assert checkpoints.end_turn() is None
    checkpoints.interrupt()
    checkpoints.begin_turn("t1")
    checkpoints.before_change(None)
    (workspace / "29.py").unlink()
    changes = checkpoints.end_turn()
    assert changes is not None
    assert (changes.paths, changes.not_covered) == (("29.py",), None)

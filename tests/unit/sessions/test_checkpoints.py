"""File checkpoints: what a turn did to files is undone, what somebody else did is not, and nothing is ever lost."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sessions.checkpoint_contents import StatusCache
from agent.sessions.checkpoints import Checkpoints, Limits, RestoreReport, TurnChanges


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    (path / "train.py").write_text("lr = 1\n")
    return path


@pytest.fixture
def checkpoints(state_dir: Path, workspace: Path) -> Checkpoints:
    return Checkpoints(state_dir, "s1", workspace)


def again(state_dir: Path, workspace: Path, **limits: int) -> Checkpoints:
    """The same session in another process."""
    return Checkpoints(state_dir, "s1", workspace, Limits(**limits))


def command(checkpoints: Checkpoints, turn_id: str) -> Checkpoints:
    """A turn with a shell command begins."""
    checkpoints.begin_turn(turn_id)
    checkpoints.before_change(None)
    return checkpoints


def write(checkpoints: Checkpoints, path: Path, text: str) -> None:
    """What the file tools do."""
    checkpoints.before_change((path,))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def everything_in(directory: Path) -> Iterator[Path]:
    yield directory
    yield from directory.rglob("*")


# --- files that a tool names -----------------------------------------------------------------------------------------


def test_nothing_is_touched_before_the_first_change(checkpoints: Checkpoints, state_dir: Path) -> None:
    checkpoints.begin_turn("t1")
    checkpoints.before_change(())
    assert checkpoints.end_turn() is None
    assert not state_dir.exists()


def test_a_written_file_comes_back_with_its_mode(checkpoints: Checkpoints, workspace: Path) -> None:
    path = workspace / "train.py"
    path.chmod(0o750)
    checkpoints.begin_turn("t1")
    write(checkpoints, path, "lr = 2\n")
    path.chmod(0o600)
    write(checkpoints, path, "lr = 3\n")
    assert checkpoints.end_turn() == TurnChanges("t1", ("train.py",), None)
    assert checkpoints.restore(["t1"]) == RestoreReport(("train.py",), (), None)
    assert path.read_text() == "lr = 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_a_new_file_goes_with_the_directories_made_for_it(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "a/b/c.txt", "new")
    write(checkpoints, workspace / "a/d.txt", "new")
    checkpoints.end_turn()
    assert checkpoints.restore(["t1"]).restored == ("a/b/c.txt", "a/d.txt")
    assert sorted(workspace.iterdir()) == [workspace / "train.py"]


def test_a_directory_in_which_somebody_else_put_something_stays(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "a/b.txt", "new")
    checkpoints.end_turn()
    (workspace / "a/mine.txt").write_text("mine")
    assert checkpoints.restore(["t1"]) == RestoreReport(("a/b.txt",), (), None)
    assert (workspace / "a/mine.txt").read_text() == "mine"


def test_a_turn_that_changed_nothing_leaves_no_trace(
    checkpoints: Checkpoints, workspace: Path, state_dir: Path
) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "train.py", "lr = 1\n")
    assert checkpoints.end_turn() is None
    assert list((state_dir / "checkpoints/sessions/s1").iterdir()) == []


def test_files_outside_of_the_workspace_are_covered_when_named(
    checkpoints: Checkpoints, workspace: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "notes/plan.md"
    checkpoints.begin_turn("t1")
    write(checkpoints, outside, "new")
    checkpoints.end_turn()
    assert checkpoints.restore(["t1"]).restored == (str(outside),)
    assert not outside.parent.exists()


def test_a_named_file_may_be_larger_than_those_a_command_may_touch(state_dir: Path, workspace: Path) -> None:
    checkpoints = again(state_dir, workspace, file_bytes=10, exact_file_bytes=100)
    path = workspace / "data.csv"
    path.write_text("x" * 50)
    command(checkpoints, "t1")
    write(checkpoints, path, "y" * 50)
    checkpoints.end_turn()
    checkpoints.restore(["t1"])
    assert path.read_text() == "x" * 50


def test_a_named_file_that_is_too_large_is_said(state_dir: Path, workspace: Path) -> None:
    checkpoints = again(state_dir, workspace, exact_file_bytes=10)
    (workspace / "data.csv").write_text("x" * 50)
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "data.csv", "y" * 51)
    assert checkpoints.end_turn() == TurnChanges("t1", (), "too large to be kept: data.csv")
    assert checkpoints.restore(["t1"]) == RestoreReport((), (), "too large to be kept: data.csv")


# --- what somebody else did ------------------------------------------------------------------------------------------


def test_a_file_changed_since_is_kept(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "train.py", "agent")
    write(checkpoints, workspace / "other.py", "agent")
    checkpoints.end_turn()
    (workspace / "train.py").write_text("person")
    assert checkpoints.restore(["t1"]) == RestoreReport(("other.py",), ("train.py",), None)
    assert (workspace / "train.py").read_text() == "person"


def test_an_edit_between_two_turns_is_not_undone_with_them(checkpoints: Checkpoints, workspace: Path) -> None:
    path = workspace / "train.py"
    checkpoints.begin_turn("t1")
    write(checkpoints, path, "first turn")
    checkpoints.end_turn()
    path.write_text("person")
    checkpoints.begin_turn("t2")
    write(checkpoints, path, "second turn")
    checkpoints.end_turn()
    assert checkpoints.restore(["t1", "t2"]).kept == ("train.py",)
    assert path.read_text() == "person"


def test_another_session_in_the_same_workspace(checkpoints: Checkpoints, state_dir: Path, workspace: Path) -> None:
    other = Checkpoints(state_dir, "s2", workspace)
    for session, text in ((checkpoints, "one"), (other, "two")):
        session.begin_turn("t1")
        write(session, workspace / "train.py", text)
        session.end_turn()
    assert checkpoints.restore(["t1"]).kept == ("train.py",)
    assert other.restore(["t1"]).restored == ("train.py",)
    assert (workspace / "train.py").read_text() == "one"
    assert checkpoints.restore(["t1"]).restored == ("train.py",)
    assert (workspace / "train.py").read_text() == "lr = 1\n"


def test_a_directory_that_became_a_link_is_not_followed(
    checkpoints: Checkpoints, workspace: Path, tmp_path: Path
) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "a/x.txt", "agent")
    checkpoints.end_turn()
    (workspace / "a").rename(tmp_path / "elsewhere")
    (workspace / "a").symlink_to(tmp_path / "elsewhere")
    checkpoints.restore(["t1"])
    assert (tmp_path / "elsewhere/x.txt").read_text() == "agent"


def test_what_is_replaced_is_kept(checkpoints: Checkpoints, workspace: Path, state_dir: Path) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "made.py", "precious")
    checkpoints.end_turn()
    checkpoints.restore(["t1"])
    copies = [path.read_text() for path in (state_dir / "checkpoints/blobs").rglob("*") if path.is_file()]
    assert "precious" in copies
    assert len(list((state_dir / "checkpoints/sessions/s1").glob("restored-*.json"))) == 1


def test_undoing_twice_changes_nothing_more(checkpoints: Checkpoints, workspace: Path) -> None:
    for turn_id in ("t1", "t2"):
        checkpoints.begin_turn(turn_id)
        write(checkpoints, workspace / "train.py", turn_id)
        checkpoints.end_turn()
    assert checkpoints.restore(["t2", "t1"]).restored == ("train.py",)
    assert checkpoints.restore(["t1", "t2"]) == RestoreReport((), (), None)
    assert (workspace / "train.py").read_text() == "lr = 1\n"


# --- commands --------------------------------------------------------------------------------------------------------


def test_what_a_command_did_is_undone(checkpoints: Checkpoints, workspace: Path) -> None:
    (workspace / "old").mkdir()
    (workspace / "old/a.txt").write_text("a")
    (workspace / "empty").mkdir()
    command(checkpoints, "t1")
    shutil.rmtree(workspace / "old")
    (workspace / "empty").rmdir()
    (workspace / "old").write_text("now a file")
    (workspace / "made/deep").mkdir(parents=True)
    (workspace / "train.py").rename(workspace / "made/train.py")
    changes = checkpoints.end_turn()
    assert changes is not None
    assert changes.paths == ("empty", "made/deep", "made/train.py", "old/a.txt", "train.py")
    report = checkpoints.restore(["t1"])
    assert (report.kept, report.not_covered) == ((), None)
    names = sorted(str(path.relative_to(workspace)) for path in everything_in(workspace))
    assert names == [".", "empty", "old", "old/a.txt", "train.py"]


def test_a_file_made_by_a_tool_and_then_by_a_command_was_never_there(checkpoints: Checkpoints, workspace: Path) -> None:
    command(checkpoints, "t1")
    (workspace / "a").mkdir()
    (workspace / "a/x.txt").write_text("by the command")
    write(checkpoints, workspace / "a/x.txt", "by the tool")
    checkpoints.end_turn()
    checkpoints.restore(["t1"])
    assert not (workspace / "a").exists()


def test_a_tool_before_a_command_keeps_the_first_state(checkpoints: Checkpoints, workspace: Path) -> None:
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "train.py", "by the tool")
    checkpoints.before_change(None)
    (workspace / "train.py").write_text("by the command")
    checkpoints.end_turn()
    checkpoints.restore(["t1"])
    assert (workspace / "train.py").read_text() == "lr = 1\n"


@pytest.mark.parametrize("name", [".git", "node_modules", "__pycache__", "wandb", "my-env"])
def test_what_can_be_made_again_is_left_alone(checkpoints: Checkpoints, workspace: Path, name: str) -> None:
    (workspace / name).mkdir()
    (workspace / name / "pyvenv.cfg").write_text("")
    (workspace / name / "a").write_text("before")
    command(checkpoints, "t1")
    (workspace / name / "a").write_text("after")
    (workspace / name / "b").write_text("after")
    assert checkpoints.end_turn() is None


def test_an_environment_that_was_one_no_more_loses_nothing(checkpoints: Checkpoints, workspace: Path) -> None:
    environment = workspace / "env"
    environment.mkdir()
    (environment / "pyvenv.cfg").write_text("")
    (environment / "precious").write_text("never recorded")
    command(checkpoints, "t1")
    (environment / "pyvenv.cfg").unlink()
    checkpoints.end_turn()
    checkpoints.restore(["t1"])
    assert (environment / "precious").exists()


def test_the_state_directory_inside_of_the_workspace_is_no_part_of_it(workspace: Path) -> None:
    checkpoints = again(workspace / ".state", workspace)
    command(checkpoints, "t1")
    assert checkpoints.end_turn() is None


def test_special_files_and_links_out_are_not_read(checkpoints: Checkpoints, workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    (workspace / "root").symlink_to("/")
    command(checkpoints, "t1")
    (workspace / "root").unlink()
    os.mkfifo(workspace / "pipe2")
    changes = checkpoints.end_turn()
    assert changes == TurnChanges("t1", ("root",), "no regular files: pipe2")
    checkpoints.restore(["t1"])
    assert (workspace / "root").readlink() == Path("/")
    assert (workspace / "pipe2").exists()


def test_a_missing_workspace_is_no_trouble(state_dir: Path, tmp_path: Path) -> None:
    checkpoints = command(again(state_dir, tmp_path / "gone"), "t1")
    changes = checkpoints.end_turn()
    assert changes is not None
    assert changes.not_covered == "no copies could be kept (no such file or directory)"


# --- limits ----------------------------------------------------------------------------------------------------------


def test_large_files_are_said_only_when_they_changed(state_dir: Path, workspace: Path) -> None:
    checkpoints = again(state_dir, workspace, file_bytes=100, exact_file_bytes=1000)
    (workspace / "data.bin").write_bytes(bytes(500))
    (workspace / "same.bin").write_bytes(bytes(500))
    command(checkpoints, "t1")
    (workspace / "data.bin").write_bytes(bytes(501))
    (workspace / "model.bin").write_bytes(bytes(1001))
    (workspace / "small.bin").write_bytes(bytes(999))
    assert checkpoints.end_turn() == TurnChanges("t1", ("small.bin",), "too large to be kept: data.bin, model.bin")
    checkpoints.restore(["t1"])
    assert sorted(path.name for path in workspace.iterdir()) == ["data.bin", "model.bin", "same.bin", "train.py"]


def test_copies_for_one_turn_are_limited_and_made_up_for_in_the_next(state_dir: Path, workspace: Path) -> None:
    checkpoints = again(state_dir, workspace, copied_bytes=100)
    for name in "abc":
        (workspace / name).write_bytes(name.encode() * 40)
    for turn_id in ("t1", "t2"):
        command(checkpoints, turn_id)
        checkpoints.end_turn()
    command(checkpoints, "t3")
    for name in "abc":
        (workspace / name).unlink()
    changes = checkpoints.end_turn()
    assert changes == TurnChanges("t3", ("a", "b", "c"), None)
    checkpoints.restore(["t3"])
    assert [(workspace / name).read_bytes()[:1] for name in "abc"] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("limits", [Limits(files=20), Limits(walk_s=0)])
def test_a_workspace_beyond_the_limits_loses_nothing_that_was_not_seen(
    state_dir: Path, workspace: Path, limits: Limits
) -> None:
    for at in range(10):
        (workspace / f"d{at}").mkdir()
        for name in range(10):
            (workspace / f"d{at}/{name}").write_text("old")
    checkpoints = command(Checkpoints(state_dir, "s1", workspace, limits), "t1")
    for at in range(9):
        shutil.rmtree(workspace / f"d{at}")
    checkpoints.end_turn()
    report = Checkpoints(state_dir, "s1", workspace).restore(["t1"])
    assert report.not_covered is not None
    assert report.not_covered.startswith("a workspace ")
    assert len(list((workspace / "d9").iterdir())) == 10
    assert (workspace / "train.py").exists()


# --- the store -------------------------------------------------------------------------------------------------------


def test_another_process_can_restore(checkpoints: Checkpoints, state_dir: Path, workspace: Path) -> None:
    command(checkpoints, "t1")
    (workspace / "train.py").write_text("agent")
    checkpoints.end_turn()
    assert again(state_dir, workspace).restore(["t1"]).restored == ("train.py",)


def test_all_is_private_and_every_content_stored_once(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    for name in ("a", "b", "c"):
        (workspace / name).write_text("the same")
    command(checkpoints, "t1")
    (workspace / "a").write_text("other")
    checkpoints.end_turn()
    store = state_dir / "checkpoints"
    assert {stat.S_IMODE(path.stat().st_mode) for path in everything_in(store)} == {0o700, 0o600}
    assert len([path for path in (store / "blobs").rglob("*") if path.is_file()]) == 2


def test_a_turn_that_never_ended_is_adopted(checkpoints: Checkpoints, state_dir: Path, workspace: Path) -> None:
    command(checkpoints, "t1")
    (workspace / "train.py").write_text("agent")
    resumed = again(state_dir, workspace)
    resumed.adopt_unfinished()
    (workspace / "train.py").write_text("person")
    assert resumed.restore(["t1"]).kept == ("train.py",)
    (workspace / "train.py").write_text("agent")
    assert resumed.restore(["t1"]).restored == ("train.py",)


def test_a_fork_can_undo_the_turns_before_it(checkpoints: Checkpoints, state_dir: Path, workspace: Path) -> None:
    for turn_id in ("t1", "t2"):
        checkpoints.begin_turn(turn_id)
        write(checkpoints, workspace / "train.py", turn_id)
        if turn_id == "t1":
            checkpoints.end_turn()
    (workspace / "train.py").write_text("t1")
    fork = Checkpoints(state_dir, "s2", workspace)
    fork.inherit("s1")
    fork.begin_turn("t3")
    write(fork, workspace / "train.py", "t3")
    fork.end_turn()
    assert fork.restore(["t3", "t1"]).restored == ("train.py",)
    assert (workspace / "train.py").read_text() == "lr = 1\n"


def test_a_turn_in_several_parts_is_one(checkpoints: Checkpoints, workspace: Path) -> None:
    for text in ("one", "two"):
        checkpoints.begin_turn("t1")
        write(checkpoints, workspace / "train.py", text)
        checkpoints.end_turn()
    assert checkpoints.restore(["t1"]).restored == ("train.py",)
    assert (workspace / "train.py").read_text() == "lr = 1\n"


@pytest.mark.parametrize(("harm", "said"), [("gone", "its copy is gone"), ("damaged", "is damaged")])
def test_a_copy_that_is_no_good_changes_nothing(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path, harm: str, said: str
) -> None:
    command(checkpoints, "t1")
    (workspace / "train.py").write_text("agent")
    checkpoints.end_turn()
    for path in (state_dir / "checkpoints/blobs").glob("??/*"):
        if harm == "gone":
            path.unlink()
        else:
            path.write_text("!")
    report = checkpoints.restore(["t1"])
    assert report.kept == ("train.py",)
    assert report.not_covered is not None
    assert said in report.not_covered
    assert (workspace / "train.py").read_text() == "agent"


def test_a_store_that_cannot_be_written_is_said_and_hinders_nothing(tmp_path: Path, workspace: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    checkpoints = Checkpoints(tmp_path / "file", "s1", workspace)
    checkpoints.begin_turn("t1")
    write(checkpoints, workspace / "train.py", "agent")
    changes = checkpoints.end_turn()
    assert changes is not None
    assert changes.not_covered is not None
    assert changes.not_covered.startswith("no copies could be kept")
    report = checkpoints.restore(["t1"])
    assert report.restored == ()
    assert report.not_covered is not None
    assert (workspace / "train.py").read_text() == "agent"


def test_a_foreign_file_among_the_manifests_is_passed_over(
    checkpoints: Checkpoints, state_dir: Path, workspace: Path
) -> None:
    command(checkpoints, "t1")
    (workspace / "train.py").write_text("agent")
    checkpoints.end_turn()
    for name in ("000009.json", "notes.json", ".tmp-1"):
        (state_dir / "checkpoints/sessions/s1" / name).write_text('{"turn": 1, "before": {"a": ["odd", "", 0]}}')
    assert again(state_dir, workspace).restore(["t1"]).restored == ("train.py",)


@pytest.mark.parametrize("session_id", ["", "..", "../s1", "a/b", ".hidden"])
def test_a_session_id_is_a_plain_name(state_dir: Path, workspace: Path, session_id: str) -> None:
    with pytest.raises(ValueError, match="session id"):
        Checkpoints(state_dir, session_id, workspace)


# --- remembered hashes -----------------------------------------------------------------------------------------------


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    status = path.stat()
    cache = StatusCache(tmp_path / "status.json")
    cache.put(str(path), status, "hash of one", read_ns=status.st_ctime_ns + 10_000_000_000)
    cache.save({str(path)})
    resumed = StatusCache(tmp_path / "status.json")
    assert resumed.get(str(path), path.stat()) == "hash of one"
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resumed.get(str(path), path.stat()) is None


def test_a_file_that_is_still_young_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    status = path.stat()
    cache = StatusCache(tmp_path / "status.json")
    cache.put(str(path), status, "hash of one", read_ns=status.st_mtime_ns + 1_000_000)
    assert cache.get(str(path), status) is None


def test_nonsense_instead_of_remembered_hashes(checkpoints: Checkpoints, state_dir: Path, workspace: Path) -> None:
    command(checkpoints, "t1")
    checkpoints.end_turn()
    status = state_dir / "checkpoints/status"
    status.mkdir(exist_ok=True)
    for text in ("{", "[]", '{"a": 1}'):
        for path in (*status.iterdir(), status / "x.json"):
            path.write_text(text)
        command(again(state_dir, workspace), "t2")

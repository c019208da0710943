"""Surveys of a workspace: cheap when nothing changed, no trouble in a workspace that is gone, no credentials."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.sessions.checkpoint_contents import StatusCache
from agent.sessions.checkpoint_pruning import forget, prune
from agent.sessions.checkpoints import Checkpoints, RestoreReport

FILES = 400


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def many(workspace: Path) -> Path:
    """A workspace of many files."""
    for at in range(FILES):
        (workspace / f"{at}.py").write_text(f"file {at}")
    return workspace


def command(state_dir: Path, workspace: Path, turn_id: str, session_id: str = "s1") -> Checkpoints:
    """A turn with a shell command begins, in a process of its own."""
    checkpoints = Checkpoints(state_dir, session_id, workspace)
    checkpoints.begin_turn(turn_id)
    checkpoints.before_change(None)
    return checkpoints


def files_of(state_dir: Path) -> dict[Path, int]:
    return {path: path.stat().st_ino for path in (state_dir / "checkpoints").rglob("*") if path.is_file()}


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_turn_writes_no_more_than_what_changed_since_the_last_survey(state_dir: Path, many: Path) -> None:
    command(state_dir, many, "t1").end_turn()
    (many / "7.py").write_text("person")
    before = files_of(state_dir)
    command(state_dir, many, "t2")
    written = [path for path, inode in files_of(state_dir).items() if before.get(path) != inode]
    sizes = sorted(path.stat().st_size for path in written if "status" not in path.parts)
    assert len(sizes) == 2
    assert sizes[0] == len("person")
    assert sizes[1] < 500


def test_few_new_hashes_are_not_worth_writing_all(tmp_path: Path) -> None:
    cache = StatusCache(tmp_path / "status.json")
    status = tmp_path.stat()
    paths = [f"/{at}" for at in range(100)]
    for path in paths:
        cache.put(path, status, "hash", status.st_ctime_ns + 10_000_000_000)
    cache.save(paths)
    first = (tmp_path / "status.json").read_bytes()
    cache.put("/1", status, "other", status.st_ctime_ns + 10_000_000_000)
    cache.save(paths)
    assert (tmp_path / "status.json").read_bytes() == first
    for path in paths[:50]:
        cache.put(path, status, "other", status.st_ctime_ns + 10_000_000_000)
    cache.save(paths)
    assert (tmp_path / "status.json").read_bytes() != first


@pytest.mark.parametrize("changed", [3, FILES // 2])
def test_a_killed_turn_is_undone_whatever_changed_before_it(state_dir: Path, many: Path, changed: int) -> None:
    command(state_dir, many, "t1").end_turn()
    for at in range(changed):
        (many / f"{at}.py").write_text("person")
        (many / f"{at + FILES // 2}.py").unlink()
        (many / f"new-{at}.py").write_text("person")
    expected = {path.name: path.read_text() for path in many.iterdir()}
    command(state_dir, many, "t2")
    for path in many.iterdir():
        path.unlink()
    (many / f"{FILES - 1}.py").write_text("agent")
    resumed = Checkpoints(state_dir, "s1", many)
    resumed.adopt_unfinished()
    assert resumed.restore(["t2"]).kept == ()
    assert {path.name: path.read_text() for path in many.iterdir()} == expected


def test_two_sessions_in_one_workspace_do_not_disturb_each_other(state_dir: Path, many: Path) -> None:
    command(state_dir, many, "t1")
    for at in range(FILES // 2):
        (many / f"{at}.py").write_text("other session")
    command(state_dir, many, "t1", "s2").end_turn()
    resumed = Checkpoints(state_dir, "s1", many)
    resumed.adopt_unfinished()
    resumed.restore(["t1"])
    assert {path.name: path.read_text() for path in many.iterdir()} == {f"{at}.py": f"file {at}" for at in range(FILES)}


def test_the_listing_of_a_turn_that_goes_on_is_not_swept(state_dir: Path, many: Path) -> None:
    command(state_dir, many, "t1")
    (many / "0.py").write_text("agent")
    forget(state_dir, "s2")
    resumed = Checkpoints(state_dir, "s1", many)
    resumed.adopt_unfinished()
    assert resumed.restore(["t1"]) == RestoreReport(("0.py",), (), None)


def test_a_listing_that_was_swept_is_made_again(state_dir: Path, many: Path) -> None:
    checkpoints = command(state_dir, many, "t1")
    checkpoints.end_turn()
    prune(state_dir, keep_bytes=0)
    checkpoints.begin_turn("t2")
    checkpoints.before_change(None)
    (many / "0.py").write_text("agent")
    resumed = Checkpoints(state_dir, "s1", many)
    resumed.adopt_unfinished()
    assert resumed.restore(["t2"]) == RestoreReport(("0.py",), (), None)


def test_a_listing_that_is_damaged_makes_a_turn_unreadable_and_that_is_said(state_dir: Path, many: Path) -> None:
    command(state_dir, many, "t1")
    (many / "0.py").write_text("agent")
    for path in (state_dir / "checkpoints/blobs").glob("??/*"):
        path.write_text("!")
    resumed = Checkpoints(state_dir, "s1", many)
    resumed.adopt_unfinished()
    assert resumed.restore(["t1"]) == RestoreReport((), (), "checkpoints of this session that cannot be read: 1")


def test_a_manifest_without_a_state_after_is_passed_over_and_counted(state_dir: Path, workspace: Path) -> None:
    for turn_id in ("t1", "t2"):
        checkpoints = command(state_dir, workspace, turn_id)
        (workspace / turn_id).write_text("agent")
        checkpoints.end_turn()
    manifest = state_dir / "checkpoints/sessions/s1/000001.json"
    data = json.loads(manifest.read_text())
    data["before"][str(workspace / "other")] = ["absent", "", 0]
    manifest.write_text(json.dumps(data))
    report = Checkpoints(state_dir, "s1", workspace).restore(["t1", "t2"])
    assert report == RestoreReport(("t2",), (), "checkpoints of this session that cannot be read: 1")


# --- a workspace that is gone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("instead", ["nothing", "a file"])
def test_a_workspace_that_a_turn_removes_comes_back(
    state_dir: Path, workspace: Path, is_killed: bool, instead: str
) -> None:
    (workspace / "train.py").write_text("lr = 1")
    checkpoints = command(state_dir, workspace, "t1")
    shutil.rmtree(workspace)
    if instead == "a file":
        workspace.write_text("agent")
    if is_killed:
        checkpoints = Checkpoints(state_dir, "s1", workspace)
        checkpoints.adopt_unfinished()
    else:
        changes = checkpoints.end_turn()
        assert changes is not None
        assert changes.not_covered is not None
    report = checkpoints.restore(["t1"])
    assert report.not_covered is not None
    if instead == "nothing":
        assert report.not_covered == "the workspace is no longer where it was"
        assert (workspace / "train.py").read_text() == "lr = 1"


def test_in_a_workspace_that_was_moved_nothing_raises(state_dir: Path, workspace: Path, tmp_path: Path) -> None:
    (workspace / "train.py").write_text("lr = 1")
    checkpoints = command(state_dir, workspace, "t1")
    workspace.rename(tmp_path / "moved")
    checkpoints.before_change((workspace / "train.py",))
    checkpoints.changes()
    checkpoints.end_turn()
    checkpoints.begin_turn("t2")
    checkpoints.before_change(None)
    checkpoints.end_turn()
    checkpoints.inherit("s2")
    checkpoints.restore(["t2", "t1"])
    assert (tmp_path / "moved/train.py").read_text() == "lr = 1"


# --- credentials -----------------------------------------------------------------------------------------------------

CREDENTIALS = [
    *(".env", ".env.local", "server.pem", "id_rsa", "id_ed25519_work", ".netrc", ".pgpass", ".aws/config"),
    *(".ssh/known_hosts", ".gnupg/deep/ring", ".huggingface/token", "credentials.json", "a.p12", "a.pfx", "sub/A.KEY"),
]


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_survey_copies_no_credentials(state_dir: Path, workspace: Path, name: str) -> None:
    path = workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("secret")
    command(state_dir, workspace, "t1").end_turn()
    assert not (state_dir / "checkpoints/blobs").exists()
    checkpoints = command(state_dir, workspace, "t2")
    path.write_text("another secret")
    said = f"credentials are not copied: {name}"
    changes = checkpoints.end_turn()
    assert changes is not None
    assert (changes.paths, changes.not_covered) == ((), said)
    assert checkpoints.restore(["t2"]) == RestoreReport((), (), said)
    assert path.read_text() == "another secret"
    assert not (state_dir / "checkpoints/blobs").exists()


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_that_a_command_makes_stay(state_dir: Path, workspace: Path, name: str) -> None:
    checkpoints = command(state_dir, workspace, "t1")
    path = workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new secret")
    checkpoints.end_turn()
    report = checkpoints.restore(["t1"])
    assert (report.kept, report.not_covered) == ((), f"credentials are not copied: {name}")
    assert path.read_text() == "new secret"
    assert not (state_dir / "checkpoints/blobs").exists()


@pytest.mark.parametrize("is_surveyed", [False, True])
@pytest.mark.parametrize("text", ["old", None])
def test_what_a_file_tool_does_to_credentials_is_undone(
    state_dir: Path, workspace: Path, text: str | None, is_surveyed: bool
) -> None:
    path = workspace / ".env"
    if text is not None:
        path.write_text(text)
    checkpoints = Checkpoints(state_dir, "s1", workspace)
    checkpoints.begin_turn("t1")
    if is_surveyed:
        checkpoints.before_change(None)
    checkpoints.before_change((path,))
    path.write_text("agent")
    checkpoints.before_change(None)
    checkpoints.end_turn()
    assert checkpoints.restore(["t1"]) == RestoreReport((".env",), (), None)
    assert (path.read_text() if path.exists() else None) == text


@pytest.mark.parametrize(
    "name", [".env.example", "environment.env", "keys.py", "monkey", "pem/a.txt", "my_credentials"]
)
def test_what_only_looks_like_credentials_is_covered(state_dir: Path, workspace: Path, name: str) -> None:
    path = workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("old")
    checkpoints = command(state_dir, workspace, "t1")
    path.write_text("new")
    checkpoints.end_turn()
    assert checkpoints.restore(["t1"]) == RestoreReport((name,), (), None)

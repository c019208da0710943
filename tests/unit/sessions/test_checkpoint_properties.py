"""Whatever turns do to a tree, undoing the last ones gives back exactly the tree that was before them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.sessions.checkpoints import Checkpoints, Limits

NAMES = ["a", "b", "ü", "with space\n", os.fsdecode(b"\xff\xfe")]
FILE_MODES = [0o600, 0o644, 0o755, 0o444]
DIRECTORY_MODES = [0o700, 0o755, 0o750]

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
contents = st.binary(max_size=8)


@dataclass(frozen=True)
class Action:
    kind: str
    path: str
    other: str
    content: bytes
    mode: int


actions = st.builds(
    Action,
    st.sampled_from(["tool", "write", "write", "remove", "rename", "mode", "link", "mkdir", "copy"]),
    paths,
    paths,
    contents,
    st.integers(0, 3),
)
turns = st.lists(st.lists(actions, max_size=5), min_size=1, max_size=4)


def tree(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything about a tree that is to come back."""
    found: dict[bytes, tuple[object, ...]] = {}
    for path in (root, *root.rglob("*")):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        key = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            found[key] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[key] = ("directory", mode)
        else:
            found[key] = ("file", mode, path.read_bytes())
    return found


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_inside(path: Path, directory: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def perform(root: Path, action: Action) -> None:
    """What a shell command may do. One that makes no sense here fails, as commands do."""
    path, other = root / action.path, root / action.other
    try:
        if action.kind == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(action.content)
        elif action.kind == "remove":
            clear(path)
        elif action.kind == "rename":
            path.rename(other)
        elif action.kind == "mode":
            modes = DIRECTORY_MODES if path.is_dir() else FILE_MODES
            path.chmod(modes[action.mode % len(modes)])
        elif action.kind == "link":
            clear(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(action.other)
        elif action.kind == "mkdir":
            clear(path)
            path.mkdir(parents=True)
        elif action.kind == "copy" and not is_inside(other, path):  # nor does cp do that
            shutil.copytree(path, other, symlinks=True, dirs_exist_ok=True)
    except (OSError, shutil.Error):
        pass


def take_turn(checkpoints: Checkpoints, root: Path, turn_id: str, todo: list[Action]) -> None:
    checkpoints.begin_turn(turn_id)
    for action in todo:
        if action.kind == "tool":
            path = Path(os.path.realpath(root / action.path))
            checkpoints.before_change((path,))
            perform(root, Action("write", str(path), "", action.content, 0))
        else:
            checkpoints.before_change(None)
            perform(root, action)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(start=st.lists(actions, max_size=8), done=turns, data=st.data())
def test_undoing_the_last_turns_gives_back_the_tree_before_them(
    start: list[Action], done: list[list[Action]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(os.path.realpath(directory)) / "workspace"
        root.mkdir()
        (root / "untouched").write_text("untouched")
        untouched = (root / "untouched").stat().st_ctime_ns
        for action in start:
            perform(root, action)
        limits = Limits(named_paths=data.draw(st.integers(1, 4)))
        trees = []
        for at, todo in enumerate(done):
            trees.append(tree(root))
            checkpoints = Checkpoints(root.parent / "state", "s1", root, limits)
            take_turn(checkpoints, root, f"t{at}", todo)
            if data.draw(st.booleans()):
                checkpoints.end_turn()
            else:
                Checkpoints(root.parent / "state", "s1", root).adopt_unfinished()  # the turn was killed
        first = data.draw(st.integers(0, len(done) - 1))
        undone = data.draw(st.permutations([f"t{at}" for at in range(first, len(done))]))
        report = Checkpoints(root.parent / "state", "s1", root).restore(undone)
        assert (report.kept, report.not_covered) == ((), None)
        assert tree(root) == trees[first]
        assert (root / "untouched").stat().st_ctime_ns == untouched


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(start=st.lists(actions, max_size=8), done=turns, meddling=st.lists(actions, min_size=1, max_size=4))
def test_no_content_is_lost_that_somebody_else_wrote(
    start: list[Action], done: list[list[Action]], meddling: list[Action]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(os.path.realpath(directory)) / "workspace"
        root.mkdir()
        for action in start:
            perform(root, action)
        checkpoints = Checkpoints(root.parent / "state", "s1", root)
        for at, todo in enumerate(done):
            take_turn(checkpoints, root, f"t{at}", todo)
            checkpoints.end_turn()
        for at, action in enumerate(meddling):
            perform(root, Action(action.kind, action.path, action.other, b"person %d" % at, action.mode))
        before = tree(root)
        checkpoints.restore([f"t{at}" for at in range(len(done))])
        after = tree(root)
        for path, what in before.items():
            if what[0] == "file" and str(what[2]).startswith("b'person"):
                assert after.get(path) == what

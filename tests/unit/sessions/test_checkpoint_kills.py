"""A process that is killed at any moment, in a turn or in a restore, leaves everything so that it can be undone."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agent.sessions.checkpoints import Checkpoints, Limits

ROOT = Path(__file__).parents[3]


def test_kill_points(tmp_path: Path) -> None:
    """In a process of its own, which forks: one child for each place to die at."""
    ran = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import try_all; try_all()", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    in_turn, in_restore = map(int, ran.stdout.split())
    assert in_turn > 20
    assert in_restore > 20


def try_all() -> None:
    """Kill at each step of a turn and of a restore; print how many steps there were."""
    base = Path(sys.argv[1])
    print(_kills_in_turn(base / "turn"), _kills_in_restore(base / "restore"))


def _kills_in_turn(base: Path) -> int:
    for at in itertools.count():
        workspace, state_dir = _new_workspace(base)
        original = _files(workspace)
        finished = _killed_at(at, lambda w=workspace, s=state_dir: _take_turn(w, s))
        resumed = Checkpoints(state_dir, "s1", workspace)
        resumed.adopt_unfinished()
        resumed.restore(["t1"])
        assert _files(workspace) == original, f"killed at step {at}"
        if finished:
            return at
    raise AssertionError


def _kills_in_restore(base: Path) -> int:
    for at in itertools.count():
        workspace, state_dir = _new_workspace(base)
        original = _files(workspace)
        _take_turn(workspace, state_dir)
        finished = _killed_at(at, lambda w=workspace, s=state_dir: Checkpoints(s, "s1", w).restore(["t1"]))
        report = Checkpoints(state_dir, "s1", workspace).restore(["t1"])
        left = {path: text for path, text in _files(workspace).items() if ".ml-intern-" not in path}
        assert (left, report.kept) == (original, ()), f"killed at step {at}"
        if finished:
            return at
    raise AssertionError


def _killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that gets SIGKILL at its so-and-so-manieth system call; tells whether it got to the end."""
    child = os.fork()
    if child == 0:
        steps = itertools.count()

        def hook(event: str, _arguments: object) -> None:
            if event.startswith(("open", "os.", "fcntl.")) and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}, status
    return status == 0


def _new_workspace(base: Path) -> tuple[Path, Path]:
    shutil.rmtree(base, ignore_errors=True)
    workspace = base / "workspace"
    (workspace / "src").mkdir(parents=True)
    for name in ("a.py", "b.py", "src/c.py"):
        (workspace / name).write_text(name)
    return workspace, base / "state"


def _take_turn(workspace: Path, state_dir: Path) -> None:
    checkpoints = Checkpoints(state_dir, "s1", workspace, Limits(named_paths=1))  # with a listing of its own
    checkpoints.begin_turn("t1")
    checkpoints.before_change((workspace / "new/d.py",))
    (workspace / "new").mkdir()
    (workspace / "new/d.py").write_text("new")
    checkpoints.before_change(None)
    (workspace / "a.py").write_text("changed")
    (workspace / "b.py").rename(workspace / "src/b.py")
    (workspace / "src/c.py").unlink()
    checkpoints.end_turn()


def _files(workspace: Path) -> dict[str, str]:
    return {
        str(path.relative_to(workspace)): path.read_text() if path.is_file() else "" for path in workspace.rglob("*")
    }

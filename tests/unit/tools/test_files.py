"""Paths, and which writes the person is asked about."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from agent.protocol.tools import ApprovalContext
from agent.tools.edit_tool import edit_spec
from agent.tools.files import FileToolError, _locks, outside_workspace_rule, path_lock, resolve_path
from agent.tools.write_tool import write_spec


@pytest.fixture
def home_workspace(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is not in the temp directory, as seen by the rule. It need not exist: nothing is opened."""
    monkeypatch.setenv("TMPDIR", "/var/empty")
    monkeypatch.setenv("HOME", "/home/ada")
    return Path("/home/ada/project")


def rule(path: object, workspace: Path) -> tuple[str, str | None]:
    need = outside_workspace_rule({"path": path}, ApprovalContext(workspace))
    assert bool(need.reason) == (need.kind == "ask")
    return need.kind, need.always_rule


@pytest.mark.parametrize(
    "path",
    [
        *("a.py", "sub/dir/a.py", "/home/ada/project/a.py", "~/project/a.py", "../project/a.py", ".gitignore"),
        *(".github/workflows/ci.yml", ".env.example", "environment.yml", "/tmp/x.py", "/var/empty/x", "", None, "a\0b"),
    ],
)
def test_free(home_workspace: Path, path: object) -> None:
    assert rule(path, home_workspace) == ("free", None)


@pytest.mark.parametrize(
    ("path", "always"),
    [
        ("/etc/hosts", "write(/etc/*)"),
        ("../other/a.py", "write(/home/ada/other/*)"),
        ("sub/../../other/a.py", "write(/home/ada/other/*)"),
        ("/home/ada/project-two/a.py", "write(/home/ada/project-two/*)"),
        ("~/notes.txt", None),  # a rule for the whole home directory would be unwise
        ("/vmlinuz", None),
        ("/srv/a[1]/x", None),
    ],
)
def test_outside(home_workspace: Path, path: str, always: str | None) -> None:
    assert rule(path, home_workspace) == ("ask", always)


@pytest.mark.parametrize(
    "path",
    [
        *(".git/hooks/pre-commit", ".git/config", "sub/.git/hooks/x", ".GIT/config", ".env", "sub/.env.local"),
        *(".bashrc", ".envrc", ".vscode/tasks.json", ".ssh/authorized_keys", "~/.ssh/config", "~/.bashrc"),
        *("/tmp/repo/.git/hooks/post-checkout", ".ml-intern/config.json", "~/.aws/credentials"),
    ],
)
def test_files_that_run_or_unlock_are_asked_about_anywhere(home_workspace: Path, path: str) -> None:
    assert rule(path, home_workspace) == ("ask", None)


def test_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/var/empty")
    workspace = tmp_path / "workspace"
    (workspace / ".git").mkdir(parents=True)
    (workspace / "way-out").symlink_to("/etc")
    (workspace / "innocent").symlink_to(".git")
    (workspace / ".bashrc").symlink_to("dotfiles/rc")
    assert rule("way-out/hosts", workspace) == ("ask", "write(/etc/*)")
    assert rule("innocent/config", workspace) == ("ask", None)
    assert rule(".bashrc", workspace) == ("ask", None)
    alias = tmp_path / "alias"
    alias.symlink_to("workspace")
    assert rule("a.py", alias) == ("free", None)


def test_a_workspace_inside_a_sensitive_place_is_workable() -> None:
    assert rule("a.py", Path("/srv/.git/worktrees/x")) == ("free", None)


def test_each_tool_has_its_own_rule(home_workspace: Path) -> None:
    context = ApprovalContext(home_workspace)
    assert write_spec().approval({"path": "/etc/hosts"}, context).always_rule == "write(/etc/*)"
    assert edit_spec().approval({"path": "/etc/hosts"}, context).always_rule == "edit(/etc/*)"


def test_specs() -> None:
    for spec, required in ((write_spec(), ["path", "content"]), (edit_spec(), ["path", "old_str", "new_str"])):
        assert spec.parameters["additionalProperties"] is False
        assert spec.parameters["required"] == required
        assert spec.subject({"path": "/a/../b"}, Path("/srv")) == "/b"
        assert spec.subject({"path": "x"}, Path("/srv")) == "/srv/x"


def test_resolve_path(tmp_path: Path) -> None:
    assert resolve_path("a/../b", tmp_path) == tmp_path / "b"
    assert resolve_path("~/x", tmp_path) == Path.home() / "x"
    assert resolve_path("/x", tmp_path) == Path("/x")
    with pytest.raises(FileToolError):
        resolve_path(None, tmp_path)


def test_locks_exclude_and_are_forgotten(tmp_path: Path) -> None:
    entered = threading.Event()

    def other() -> None:
        with path_lock(tmp_path):
            entered.set()

    with path_lock(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(10)
    assert entered.is_set()
    gc.collect()
    assert tmp_path not in _locks

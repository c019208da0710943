"""Which AGENTS.md and CLAUDE.md files are read, in which order, and how much of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.context_manager.memory import (
    FILE_LIMIT_BYTES,
    MemoryFile,
    find_memory_files,
    project_memory_path,
    with_note,
)


class World(NamedTuple):
    """A home with a config directory and a git repository in it."""

    home: Path
    config: Path
    repo: Path

    def find(self, workspace: Path | None = None) -> tuple[MemoryFile, ...]:
        return find_memory_files(workspace or self.repo, self.config, self.home)

    def texts(self, workspace: Path | None = None) -> list[str]:
        return [file.text for file in self.find(workspace)]


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    home = tmp_path / "home"
    made = World(home, home / ".config" / "ml-intern", home / "code" / "repo")
    for directory in (made.config, made.repo / ".git"):
        directory.mkdir(parents=True)
    return made


def test_nothing_there(world: World) -> None:
    assert world.find() == ()


def test_nearest_first_up_to_the_git_root_then_the_users_own(world: World) -> None:
    deep = world.repo / "a" / "b"
    put(deep / "AGENTS.md", "deep")
    put(world.repo / "AGENTS.md", "root")
    put(world.config / "AGENTS.md", "user")
    put(world.repo.parent / "AGENTS.md", "above the repository")
    files = world.find(deep)
    assert [file.text for file in files] == ["deep", "root", "user"]
    assert [file.path for file in files] == [d / "AGENTS.md" for d in (deep, world.repo, world.config)]


def test_without_a_repository_only_the_workspace_counts(world: World) -> None:
    plain = world.home / "plain" / "sub"
    put(plain / "AGENTS.md", "here")
    put(plain.parent / "AGENTS.md", "above")
    assert world.texts(plain) == ["here"]


def test_worktree_with_a_git_file_is_a_root(world: World) -> None:
    tree = world.repo / "tree"
    put(tree / ".git", "gitdir: elsewhere")
    put(tree / "AGENTS.md", "tree")
    put(world.repo / "AGENTS.md", "root")
    assert world.texts(tree) == ["tree"]


def test_home_is_never_reached_on_the_way_up_even_as_a_repository(world: World) -> None:
    (world.home / ".git").mkdir()
    put(world.home / "AGENTS.md", "home")
    plain = world.home / "plain" / "sub"
    put(plain / "AGENTS.md", "here")
    put(plain.parent / "AGENTS.md", "above")
    assert world.texts(plain) == ["here"]
    assert world.texts(world.home) == ["home"]


def test_claude_md_only_where_there_is_no_agents_md(world: World) -> None:
    sub = world.repo / "sub"
    put(sub / "CLAUDE.md", "claude in sub")
    put(world.repo / "AGENTS.md", "agents in root")
    put(world.repo / "CLAUDE.md", "claude in root")
    put(world.config / "CLAUDE.md", "not ours")
    assert world.texts(sub) == ["claude in sub", "agents in root"]


def test_long_file_is_cut_with_a_note_and_no_half_character(world: World) -> None:
    put(world.repo / "AGENTS.md", "x" + "é" * FILE_LIMIT_BYTES)
    (text,) = world.texts()
    body, note = text.split("\n\n")
    assert len(body.encode()) == FILE_LIMIT_BYTES - 1
    assert "\ufffd" not in body
    assert "32 KiB" in note


def test_file_of_exactly_the_limit_is_whole(world: World) -> None:
    put(world.repo / "AGENTS.md", "x" * FILE_LIMIT_BYTES)
    assert world.texts() == ["x" * FILE_LIMIT_BYTES]


def test_invalid_utf8_nul_and_byte_order_mark(world: World) -> None:
    put(world.repo / "AGENTS.md", b"\xef\xbb\xbfcaf\xe9 \x00 end\n")
    assert world.texts() == ["caf\ufffd \ufffd end"]


def test_blank_file_is_left_out(world: World) -> None:
    put(world.repo / "AGENTS.md", " \n\n")
    assert world.find() == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_left_out_and_the_others_stay(world: World, caplog: pytest.LogCaptureFixture) -> None:
    put(world.repo / "AGENTS.md", "secret").chmod(0)
    put(world.config / "AGENTS.md", "user")
    assert world.texts() == ["user"]
    assert "left out" in caplog.text


def test_directory_pipe_and_circular_link_are_no_guidance(world: World) -> None:
    (world.repo / "AGENTS.md").mkdir()
    put(world.repo / "CLAUDE.md", "fallback")
    sub = world.repo / "sub"
    sub.mkdir()
    os.mkfifo(sub / "AGENTS.md")
    (sub / "CLAUDE.md").symlink_to("CLAUDE.md")
    assert world.texts(sub) == ["fallback"]


def test_same_file_by_two_names_comes_once(world: World) -> None:
    shared = put(world.config / "AGENTS.md", "shared")
    (world.repo / "AGENTS.md").symlink_to(shared)
    sub = world.repo / "sub"
    sub.mkdir()
    (sub / "AGENTS.md").hardlink_to(shared)
    assert [(file.path, file.text) for file in world.find(sub)] == [(sub / "AGENTS.md", "shared")]


def test_link_to_something_that_is_not_markdown_is_not_followed(world: World) -> None:
    key = put(world.home / ".ssh" / "id_ed25519", "PRIVATE KEY")
    (world.repo / "AGENTS.md").symlink_to(key)
    assert world.find() == ()


def test_workspace_reached_through_a_link(world: World) -> None:
    put(world.repo / "AGENTS.md", "root")
    link = world.home / "link"
    link.symlink_to(world.repo)
    assert world.texts(link) == ["root"]


def test_workspace_whose_path_the_system_refuses(world: World) -> None:
    put(world.config / "AGENTS.md", "user")
    assert world.texts(world.repo / ("x" * 5000)) == ["user"]


def test_workspace_that_is_gone(world: World) -> None:
    put(world.config / "AGENTS.md", "user")
    assert world.texts(world.home / "gone") == ["user"]


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_projects_file_is_the_one_that_is_read_at_its_root(world: World) -> None:
    inside = world.repo / "src"
    inside.mkdir()
    assert project_memory_path(inside, world.home) == world.repo / "AGENTS.md"
    claude = put(world.repo / "CLAUDE.md", "x")
    assert project_memory_path(inside, world.home) == claude
    agents = put(world.repo / "AGENTS.md", "x")
    assert project_memory_path(inside, world.home) == agents


def test_without_a_repository_the_projects_file_is_in_the_workspace(world: World) -> None:
    plain = world.home / "plain"
    plain.mkdir()
    assert project_memory_path(plain, world.home) == plain / "AGENTS.md"


@given(content=st.binary(max_size=200), note=st.text(min_size=1, max_size=80).filter(str.strip))
def test_a_note_is_added_and_nothing_else_changes(content: bytes, note: str) -> None:
    added = with_note(content, note)
    assert added.startswith(content)
    assert added.endswith(b"\n")
    assert b"- " + note.strip().splitlines()[0].encode("utf-8", "replace") in added[len(content) :]
    if b"\r\n" in content:
        assert b"\n" not in added[len(content) :].replace(b"\r\n", b"").removeprefix(b"\n")

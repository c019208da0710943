"""All files of a repository: in one request where GitHub manages, else with the directories that hold examples."""

from __future__ import annotations

import asyncio

from agent.light_dataclass import dataclass
from agent.tools.github.answers import Tree, TreeEntry
from agent.tools.github.client import GitHub
from agent.tools.github.names import RepoName, route
from agent.tools.github.scoring import EXAMPLE_PATTERNS

FRESH_S = 3600.0
MAX_DESCENTS = 10


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a repository by path. `note` says what of it GitHub has left out, "" if nothing."""

    by_path: dict[str, TreeEntry]
    note: str = ""


async def all_files(github: GitHub, repo: RepoName, ref: str) -> Files:
    """The files at `ref`. A tree too big for GitHub is completed below the top directories that are named like ones
    for examples. Raises GitHubError."""
    whole = await _tree(github, repo, ref, is_deep=True)
    files = await asyncio.to_thread(_below, "", whole)
    if not whole.truncated:
        return Files(files)
    top = await _tree(github, repo, ref, is_deep=False)
    ranks = {pattern: rank for rank, pattern in enumerate(EXAMPLE_PATTERNS)}
    directories = sorted(
        (each for each in top.tree if each.type == "tree" and each.path.lower() in ranks),
        key=lambda each: ranks[each.path.lower()],
    )
    entered: list[str] = []
    short = [each.path for each in directories[MAX_DESCENTS:]]
    for directory in directories[:MAX_DESCENTS]:
        below = await _tree(github, repo, directory.sha, is_deep=True)
        files |= await asyncio.to_thread(_below, f"{directory.path}/", below)
        (short if below.truncated else entered).append(directory.path)
    return Files(files, _note(entered, short))


async def _tree(github: GitHub, repo: RepoName, ref: str, *, is_deep: bool) -> Tree:
    params = {"recursive": 1} if is_deep else {}
    address = route("repos", repo.owner, repo.name, "git", "trees", ref)
    tree, _ = await github.read(Tree, address, params, fresh_s=FRESH_S)
    return tree


def _below(directory: str, tree: Tree) -> dict[str, TreeEntry]:
    return {f"{directory}{each.path}": each for each in tree.tree if each.type == "blob"}


def _note(entered: list[str], short: list[str]) -> str:
    said = "The repository is so big that GitHub lists only a part of it."
    if entered:
        said += f" Complete are {', '.join(f'{each}/' for each in entered)}."
    if short:
        said += f" Not complete: {', '.join(f'{each}/' for each in short)}."
    return f"{said} github_read_file lists any other directory."

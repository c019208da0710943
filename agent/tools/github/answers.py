"""What GitHub's REST API answers with, as far as the tools read it (docs.github.com/rest, version 2022-11-28)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    """Made ready when it is first read: that takes longer than to import all the rest of the tools."""

    model_config = ConfigDict(defer_build=True)


class Repository(_Answer):
    """`GET /repos/{owner}/{repo}`, an entry of an owner's repositories, and one of a search for repositories."""

    full_name: str
    html_url: str = ""
    default_branch: str | None = None
    description: str | None = None
    stargazers_count: int = 0
    forks_count: int = 0
    language: str | None = None
    topics: list[str] = Field(default_factory=list)
    archived: bool = False
    fork: bool = False
    created_at: str | None = None
    updated_at: str | None = None


class FoundRepositories(_Answer):
    """`GET /search/repositories`."""

    total_count: int = 0
    incomplete_results: bool = False
    items: list[Repository] = Field(default_factory=list)


class TreeEntry(_Answer):
    """A file (`blob`), directory (`tree`) or submodule (`commit`); `path` is relative to the tree asked for."""

    path: str
    type: str
    sha: str = ""
    size: int | None = None


class Tree(_Answer):
    """`GET /repos/{owner}/{repo}/git/trees/{sha or ref}`; `truncated`: GitHub has left entries out."""

    tree: list[TreeEntry] = Field(default_factory=list)
    truncated: bool = False


class Content(_Answer):
    """`GET /repos/{owner}/{repo}/contents/{path}`: a file, symlink or submodule, or an entry of a directory.

    Files of more than 1 MB come with the encoding `none` and without content. `target` is a symlink's.
    """

    type: str
    name: str = ""
    path: str = ""
    size: int = 0
    encoding: str | None = None
    content: str | None = None
    html_url: str | None = None
    download_url: str | None = None
    target: str | None = None
    submodule_git_url: str | None = None


class Hit(_Answer):
    """Where a match of a code search is in its fragment: `indices` are its first character and the one after it."""

    text: str = ""
    indices: list[int] = Field(default_factory=list)


class TextMatch(_Answer):
    """A piece of a file, or its path (`property` says which), with what has matched in it."""

    property: str | None = None
    fragment: str = ""
    matches: list[Hit] = Field(default_factory=list)


class CodeOwner(_Answer):
    """The repository of a found file."""

    full_name: str


class FoundFile(_Answer):
    """An entry of a code search."""

    path: str
    html_url: str = ""
    repository: CodeOwner
    text_matches: list[TextMatch] = Field(default_factory=list)


class FoundCode(_Answer):
    """`GET /search/code` with text matches."""

    total_count: int = 0
    incomplete_results: bool = False
    items: list[FoundFile] = Field(default_factory=list)

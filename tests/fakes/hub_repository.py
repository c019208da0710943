"""One repository of the fake Hub: commits with a whole tree each, and the refs that point at them. No HTTP here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.fakes.hub_discussions import Discussion

Tree = Mapping[str, bytes]
PREFIX = {"model": "", "dataset": "datasets/", "space": "spaces/"}
MAIN = "refs/heads/main"
MIN_OID_CHARS = 7


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of the files. `oid` has 40 hex digits."""

    oid: str
    title: str
    description: str
    author: str
    created: datetime
    tree: Tree
    parent: str | None = None


@dataclass(slots=True)
class Repository:
    """A model, dataset or Space. All its changes replace values whole, so a test may read it from its own thread."""

    repo_id: str
    repo_type: str
    created: datetime
    private: bool = True
    gated: bool | str = False
    sdk: str | None = None
    tags: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """More fields of its info, as the Hub names them: `downloads`, `likes`, `pipeline_tag`, …"""
    modified: datetime | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """Commit by full name: `refs/heads/main`, `refs/tags/v1`, `refs/pr/3`."""
    discussions: list[Discussion] = field(default_factory=list)
    """Discussions and pull requests; their numbers count from 1 together."""

    @property
    def owner(self) -> str:
        """The namespace; empty for the old ids without one."""
        return self.repo_id.rpartition("/")[0]

    @property
    def page(self) -> str:
        """The path of its page: `datasets/owner/name`."""
        return PREFIX[self.repo_type] + self.repo_id

    def full_ref(self, revision: str) -> str | None:
        """The full name of a branch, tag or ref; None if there is none."""
        names = (f"refs/heads/{revision}", f"refs/tags/{revision}", revision)
        return next((name for name in names if name in self.refs), None)

    def at(self, revision: str) -> Commit | None:
        """The commit a revision means: a branch, tag, ref or (part of) a commit's id; None if there is none."""
        if ref := self.full_ref(revision):
            return self.commits[self.refs[ref]]
        if len(revision) < MIN_OID_CHARS:
            return None
        found = [commit for oid, commit in list(self.commits.items()) if oid.startswith(revision)]
        return found[0] if len(found) == 1 else None

    def history(self, revision: str) -> list[Commit]:
        """The commits up to a revision, the newest first."""
        commits, commit = [], self.at(revision)
        while commit is not None:
            commits.append(commit)
            commit = self.commits.get(commit.parent or "")
        return commits

    def commit(self, ref: str, tree: Tree, title: str, author: str, now: datetime, description: str = "") -> Commit:
        """Put a new commit on a full ref (made if it does not exist)."""
        parent = self.refs.get(ref)
        seed = f"{self.repo_type} {self.repo_id} {ref} {parent} {len(self.commits)}"
        oid = hashlib.sha1(seed.encode()).hexdigest()
        made = Commit(oid, title, description, author, now, dict(tree), parent)
        self.commits[oid] = made
        self.refs[ref] = oid
        self.modified = now
        return made


def blob_oid(content: bytes) -> str:
    """Git's id of a file's content, which is its ETag, too."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def front_matter(content: bytes) -> dict[str, Any]:
    """The metadata at the top of a README; empty if there are none. Raises ValueError if they are no YAML mapping."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return {}
    head, closed, _ = text[4:].partition("\n---")
    if not closed:
        return {}
    try:
        found = yaml.safe_load(head)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if found is not None and not isinstance(found, dict):
        raise ValueError("the metadata are no mapping")
    return found or {}


def as_bytes(files: Mapping[str, bytes | str]) -> dict[str, bytes]:
    """Contents as bytes."""
    return {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}

"""Files of repositories on the Hub: bounded listings, the beginning of a file, commits.

The functions take a client and block: they run inside of `HubAccount.call` or `.read`. What the client raises passes
through; the account puts it into our words. Patterns are those of the client: shell wildcards of which `*` also spans
`/`, and a pattern that ends in `/` stands for all that lies below.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from agent.hub.errors import HubError
from agent.light_dataclass import dataclass

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepoType = Literal["model", "dataset", "space"]
REPO_TYPES: tuple[RepoType, ...] = ("model", "dataset", "space")
MAIN = "main"
DOWNLOAD_TIMEOUT_S = 30.0
"""Of silence. The client's own session waits for ever."""
FILES_A_COMMIT = 2_000
_WILDCARDS = frozenset("*?[")
_NO_REVISION = re.compile(r"[\s\\#?%~^:*\[\x00-\x1f\x7f]|\.\.|@\{|//|^/|/$|^\.|/\.|\.lock$|^$")
_TIMES_DECODED = 3


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository by `owner/name` and type. As text: what people call it."""

    id: str
    type: RepoType = "model"

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file with its size, or a directory (no size). `path` is the whole path in the repository."""

    path: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below a directory, sorted by path. `is_cut`: there is more, which nobody has looked at."""

    entries: tuple[Entry, ...]
    is_cut: bool = False

    @property
    def files(self) -> list[Entry]:
        """Without the directories."""
        return [entry for entry in self.entries if entry.size_bytes is not None]

    @property
    def total_bytes(self) -> int:
        """Of all files seen."""
        return sum(entry.size_bytes or 0 for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Head:
    """The first bytes of a file. `size_bytes` is the whole file's, None where the Hub does not say."""

    data: bytes
    size_bytes: int | None

    @property
    def is_whole(self) -> bool:
        """Whether the file ends where `data` does."""
        return self.size_bytes == len(self.data)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that was made. `pr_num` and `pr_url` are set where it has opened a pull request."""

    oid: str
    url: str
    pr_num: int | None = None
    pr_url: str | None = None


# --- what becomes a part of an address -------------------------------------------------------------------------------


def path_problem(path: str) -> str | None:
    """Why `path` is none of a file or directory in a repository, None if it is. One with `..` would lead to another
    repository, or anywhere on the Hub: clients resolve it before they ask."""
    if "\\" in path or any(ord(sign) < 32 or ord(sign) == 127 for sign in path):
        return "has a sign in it that no path on the Hub has"
    if path.startswith("/"):
        return "begins with `/`"
    for part in path.split("/"):
        plain = part
        for _ in range(_TIMES_DECODED):
            plain = unquote(plain)
        if not part:
            return "has an empty part (`//`)"
        if plain in (".", "..") or any(each in (".", "..") for each in re.split(r"[/\\]", plain)):
            return "leads out of the repository (`.` or `..`)"
    return None


def revision_problem(revision: str) -> str | None:
    """Why `revision` is no name of a branch or tag, no commit and no refs/pr/<number>; None if it may be one."""
    return "is no branch, tag or commit" if _NO_REVISION.search(revision) else None


def _require_plain(repo: Repo, revision: str, path: str) -> None:
    """Raises HubError for what would become another address than that of a file or directory of this repository."""
    problems = {
        f"The path {path[:100]!r}": path_problem(path) if path else None,
        f"The revision {revision[:100]!r}": revision_problem(revision),
        f"The repository {repo.id[:100]!r}": path_problem(repo.id) or (None if repo.id.count("/") < 2 else "is no id"),
    }
    for what, problem in problems.items():
        if problem is not None:
            raise HubError(f"{what} {problem}.", "bad_request")


# --- looking ---------------------------------------------------------------------------------------------------------


def list_tree(api: HfApi, repo: Repo, revision: str, path: str = "", *, limit: int) -> Listing:
    """The first `limit` files and directories below `path` ("" is the root); no more pages are asked for than that
    takes."""
    _require_plain(repo, revision, path)
    found: Iterable[Any] = api.list_repo_tree(
        repo.id, path or None, recursive=True, revision=revision, repo_type=repo.type
    )
    seen = [Entry(each.path, getattr(each, "size", None)) for each in islice(found, limit + 1)]
    return Listing(tuple(sorted(seen[:limit], key=lambda entry: entry.path)), is_cut=len(seen) > limit)


def read_head(api: HfApi, repo: Repo, revision: str, path: str, *, max_bytes: int) -> Head:
    """At most the first `max_bytes` of a file: of a large one the rest never crosses the network."""
    _require_plain(repo, revision, path)
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    url = hf_hub_url(repo.id, path, repo_type=repo.type, revision=revision, endpoint=api.endpoint)
    size_bytes = api.get_hf_file_metadata(url=url).size
    if size_bytes == 0:  # a range of nothing would be an error
        return Head(b"", 0)
    headers = build_hf_headers(token=api.token) | {"Accept-Encoding": "identity"}
    if size_bytes is None or size_bytes > max_bytes:
        headers["Range"] = f"bytes=0-{max_bytes - 1}"
    data = bytearray()
    with get_session().stream("GET", url, headers=headers, timeout=DOWNLOAD_TIMEOUT_S) as response:
        hf_raise_for_status(response)
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) >= max_bytes:  # a server may not know ranges
                break
    return Head(bytes(data[:max_bytes]), size_bytes)


def types_of(api: HfApi, repo_id: str, candidates: Iterable[RepoType]) -> list[RepoType]:
    """Those types among `candidates` of which there is a repository with this id."""
    return [each for each in candidates if api.repo_exists(repo_id, repo_type=each)]


def matching(paths: Iterable[str], patterns: Sequence[str] | None) -> list[str]:
    """Those paths that at least one pattern fits (None: all of them), without git's and the client's own files."""
    from huggingface_hub.utils import DEFAULT_IGNORE_PATTERNS, filter_repo_objects  # type: ignore[attr-defined]

    allowed = list(patterns) if patterns is not None else None
    return list(filter_repo_objects(paths, allow_patterns=allowed, ignore_patterns=DEFAULT_IGNORE_PATTERNS))


def fixed_directory(patterns: Sequence[str]) -> str:
    """The deepest directory in which everything lies that these patterns can fit; "" is the root."""
    fixed = []
    for pattern in patterns:
        parts = pattern.split("/")[:-1]
        wild = next((at for at, part in enumerate(parts) if _WILDCARDS & set(part)), len(parts))
        fixed.append("/".join(parts[:wild]))
    return posixpath.commonpath(fixed) if fixed and all(fixed) else ""


def _always() -> None:
    return None


# --- changing --------------------------------------------------------------------------------------------------------


def commit_files(
    api: HfApi,
    repo: Repo,
    revision: str,
    files: Sequence[tuple[str, bytes | Path]],
    *,
    message: str,
    create_pr: bool,
    go_on: Callable[[], None] = _always,
) -> Commit:
    """Put files of any size at their paths in the repository: exactly these. Very many of them take several commits,
    of which the last is returned. `go_on` is called before each commit, and stops it by raising."""
    from huggingface_hub import CommitOperationAdd

    made: Commit | None = None
    number, url = None, None
    for start in range(0, len(files), FILES_A_COMMIT):
        additions = [
            CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)
            for path, content in files[start : start + FILES_A_COMMIT]
        ]
        is_new_pr = create_pr and number is None
        base = revision if number is None else f"refs/pr/{number}"
        # the long part of it, so that a stop during it still leaves the repository as it is
        api.preupload_lfs_files(
            repo.id, additions, repo_type=repo.type, revision=base, create_pr=is_new_pr, free_memory=False
        )
        go_on()
        made = _commit(
            api.create_commit(
                repo_id=repo.id,
                repo_type=repo.type,
                operations=additions,
                commit_message=message,
                revision=base,
                create_pr=is_new_pr,
            )
        )
        number, url = number or made.pr_num, url or made.pr_url
    if made is None:
        raise HubError("There are no files to commit.", "bad_request")
    return replace(made, pr_num=number, pr_url=url)


def commit_deletions(
    api: HfApi,
    repo: Repo,
    revision: str,
    paths: Iterable[str],
    *,
    message: str,
    create_pr: bool,
    go_on: Callable[[], None] = _always,
) -> Commit:
    """Remove files. The client reads a path with `/` at its end as a directory; these have none. `go_on` as above."""
    from huggingface_hub import CommitOperationDelete

    go_on()

    return _commit(
        api.create_commit(
            repo_id=repo.id,
            repo_type=repo.type,
            operations=[CommitOperationDelete(path_in_repo=path, is_folder=False) for path in paths],
            commit_message=message,
            revision=revision,
            create_pr=create_pr,
        )
    )


def literally(path: str) -> str:
    """A pattern that fits this path only."""
    return "".join(f"[{sign}]" if sign in _WILDCARDS else sign for sign in path)


def _commit(made: Any) -> Commit:
    if not getattr(made, "oid", None):
        raise HubError("The Hub did not say which commit was made.", "server")
    return Commit(made.oid, made.commit_url, made.pr_num, made.pr_url)

"""Files of the fake Hub's repositories: lists of them, and their contents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.fakes.http_base import Exchange
from tests.fakes.hub_part import Refused, Route, send, send_json, stamp
from tests.fakes.hub_repository import Commit, Repository, blob_oid

if TYPE_CHECKING:
    from tests.fakes.hub_repos import Repos

_REVISION = r"(?P<revision>refs/(?:pr|heads|tags|convert)/[^/]+|[^/]+)"
_OWNED = r"(?:(?P<kind>datasets|spaces)/)?(?P<repo_id>[^/]+(?:/[^/]+)?)"


class Files:
    """Tree, paths-info and resolve."""

    def __init__(self, repos: Repos) -> None:
        self.repos = repos

    def routes(self) -> Iterable[Route]:
        """Its routes."""
        yield self.repos.route("GET", f"/tree/{_REVISION}(?:/(?P<path>.+))?", self._tree)
        yield self.repos.route("POST", f"/paths-info/{_REVISION}", self._paths_info)
        for method in ("GET", "HEAD"):
            yield Route(method, f"/{_OWNED}/resolve/{_REVISION}/(?P<path>.+)", self._resolve)

    async def _tree(self, exchange: Exchange, repo: Repository, revision: str, path: str = "") -> None:
        commit = commit_at(repo, revision)
        query = exchange.request.query
        entries = _entries(commit, query.get("expand", "").lower() == "true")
        root = f"{path.strip('/')}/" if path.strip("/") else ""
        inside = [entry for entry in entries if entry["path"].startswith(root)]
        if root and not inside:
            raise Refused(404, f'{path} does not exist on "{revision}"', "EntryNotFound")
        if query.get("recursive", "").lower() != "true":
            inside = [entry for entry in inside if "/" not in entry["path"][len(root) :]]
        await send_json(exchange, 200, inside)

    async def _paths_info(self, exchange: Exchange, repo: Repository, revision: str) -> None:
        commit = commit_at(repo, revision)
        sent = exchange.request.json or parse_qs(exchange.request.raw_body.decode())
        wanted = sent.get("paths", [])
        wanted = {path.strip("/") for path in ([wanted] if isinstance(wanted, str) else wanted)}
        await send_json(exchange, 200, [entry for entry in _entries(commit, False) if entry["path"] in wanted])

    async def _resolve(self, exchange: Exchange, repo_id: str, revision: str, path: str, kind: str = "models") -> None:
        repo = self.repos.visible(exchange, kind[:-1], repo_id)
        hub = self.repos.hub
        commit = commit_at(repo, revision)
        shown = {"X-Repo-Commit": commit.oid}
        if repo.gated and not self._let_in(exchange, repo):
            asked = "authorization" in exchange.request.headers
            text = f"Access to {repo.repo_type} {repo.repo_id} is restricted. Ask for access at {hub.url}/{repo.page}."
            raise Refused(403 if asked else 401, text, "GatedRepo")
        content = commit.tree.get(path)
        if content is None:
            refused = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            await send_json(exchange, 404, b"Entry not found", shown | refused)
            return
        headers = shown | {"ETag": f'"{blob_oid(content)}"', "Accept-Ranges": "bytes", "Content-Type": "text/plain"}
        start, end = _range(exchange.request.headers.get("range", ""), len(content))
        if (start, end) == (0, len(content)):
            await send(exchange, 200, content, headers)
        elif start >= len(content):
            await send(exchange, 416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
        else:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            await send(exchange, 206, content[start:end], headers)

    def _let_in(self, exchange: Exchange, repo: Repository) -> bool:
        mine = repo.owner in (self.repos.hub.user, *self.repos.hub.orgs)
        granted = (repo.repo_type, repo.repo_id) in self.repos.granted
        return "authorization" in exchange.request.headers and (mine or granted)


def commit_at(repo: Repository, revision: str) -> Commit:
    """The commit of a revision. Raises Refused if there is none."""
    commit = repo.at(revision)
    if commit is None:
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _entries(commit: Commit, expand: bool) -> list[dict[str, Any]]:
    """All files and folders of a commit, sorted by path."""
    last = {"lastCommit": {"id": commit.oid, "title": commit.title, "date": stamp(commit.created)}} if expand else {}
    entries: dict[str, dict[str, Any]] = {}
    for path, content in commit.tree.items():
        entries[path] = {"type": "file", "oid": blob_oid(content), "size": len(content), "path": path, **last}
        folder = path.rpartition("/")[0]
        while folder:
            oid = blob_oid(folder.encode())
            entries.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder, **last})
            folder = folder.rpartition("/")[0]
    return [entry for _, entry in sorted(entries.items())]


def _range(asked: str, size_bytes: int) -> tuple[int, int]:
    """`bytes=a-b`, `bytes=a-` or `bytes=-n` as (start, end), end excluded; everything for anything else."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    if match is None or match.groups() == ("", ""):
        return 0, size_bytes
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    return int(first), min(size_bytes, int(last) + 1) if last else size_bytes

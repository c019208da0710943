"""Commits over the wire to the fake Hub's repositories, and what the client asks before and after them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_files import commit_at
from tests.fakes.hub_part import Refused, Route, object_of, send_json, stamp
from tests.fakes.hub_repository import Repository, blob_oid, front_matter

if TYPE_CHECKING:
    from tests.fakes.hub_repos import Repos


class Commits:
    """Validate-yaml, preupload, commit and the list of commits."""

    def __init__(self, repos: Repos) -> None:
        self.repos = repos

    def routes(self) -> Iterable[Route]:
        """Its routes."""
        yield Route("POST", "/api/validate-yaml", self._validate)
        yield self.repos.route("POST", "/preupload/(?P<revision>[^/]+)", self._preupload)
        yield self.repos.route("POST", "/commit/(?P<revision>[^/]+)", self._commit)
        yield self.repos.route("GET", "/commits/(?P<revision>[^/]+)", self._list)

    async def _validate(self, exchange: Exchange) -> None:
        try:
            found = front_matter(str(object_of(exchange).get("content") or "").encode())
        except ValueError as error:
            await send_json(exchange, 400, {"errors": [{"message": str(error)}], "warnings": []})
            return
        warnings = [] if found else [{"message": "empty or missing yaml metadata in repo card"}]
        await send_json(exchange, 200, {"errors": [], "warnings": warnings})

    async def _preupload(self, exchange: Exchange, repo: Repository, revision: str) -> None:
        self._allowed(exchange, repo)
        tree = commit_at(repo, revision).tree
        answers = [
            {
                "path": (path := str(file["path"])),
                "uploadMode": "regular",  # so neither LFS nor Xet is needed
                "shouldIgnore": False,
                "oid": blob_oid(tree[path]) if path in tree else None,
            }
            for file in object_of(exchange).get("files", [])
        ]
        await send_json(exchange, 200, {"files": answers})

    async def _commit(self, exchange: Exchange, repo: Repository, revision: str) -> None:
        self._allowed(exchange, repo)
        hub = self.repos.hub
        base = commit_at(repo, revision)
        lines = [json.loads(line) for line in exchange.request.raw_body.split(b"\n") if line.strip()]
        header = lines[0]["value"]
        if (parent := header.get("parentCommit")) and not base.oid.startswith(parent):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(base.tree)
        for line in lines[1:]:
            _apply(line["key"], line["value"], tree)
        title, description = str(header["summary"]), str(header.get("description") or "")
        answer: dict[str, Any] = {}
        if self._as_pull_request(exchange):
            pull_request = hub.social.discussions.open(repo, title, description, pull_request=True, status="open")
            ref = f"refs/pr/{pull_request.num}"
            answer["pullRequestUrl"] = f"{hub.url}/{repo.page}/discussions/{pull_request.num}"
        else:
            found = repo.full_ref(revision)
            if found is None or found.startswith("refs/tags/"):
                raise Refused(400, f"A commit needs a branch, which {revision} is not")
            ref = found
        made = self.repos.committed(repo, ref, tree, title, description=description)
        answer |= {"success": True, "commitOid": made.oid, "commitUrl": f"{hub.url}/{repo.page}/commit/{made.oid}"}
        await send_json(exchange, 200, answer)

    async def _list(self, exchange: Exchange, repo: Repository, revision: str) -> None:
        commit_at(repo, revision)
        answer = [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.description,
                "authors": [{"user": commit.author}],
                "date": stamp(commit.created),
            }
            for commit in repo.history(revision)
        ]
        await send_json(exchange, 200, answer)

    def _as_pull_request(self, exchange: Exchange) -> bool:
        return exchange.request.query.get("create_pr", "").lower() in ("1", "true")

    def _allowed(self, exchange: Exchange, repo: Repository) -> None:
        """Everybody who sees a repository may open a pull request; all else needs the right to write."""
        self.repos.signed_in(exchange)
        if not self._as_pull_request(exchange):
            self.repos.writable(exchange, repo.owner, "push")


def _apply(key: str, value: dict[str, Any], tree: dict[str, bytes]) -> None:
    """One line of a commit. Raises Refused for what is not there, or not known here."""
    path = str(value.get("path", ""))
    if key == "file":
        content = str(value["content"])
        tree[path] = base64.b64decode(content) if value.get("encoding") == "base64" else content.encode()
        return
    if key == "deletedFile":
        gone = [path] if path in tree else []
    elif key == "deletedFolder":
        gone = [name for name in tree if name.startswith(f"{path.strip('/')}/")]
    else:
        raise Refused(400, f"The fake Hub has no commit operation {key}")
    if not gone:
        raise Refused(404, f'A file with this name doesn\'t exist: "{path}"', "EntryNotFound")
    for name in gone:
        del tree[name]

"""Branches and tags of the fake Hub's repositories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.fakes.http_base import Exchange
from tests.fakes.hub_files import commit_at
from tests.fakes.hub_part import Refused, Route, object_of, send_json
from tests.fakes.hub_repository import MAIN, Repository

if TYPE_CHECKING:
    from tests.fakes.hub_repos import Repos

_LISTS = {"branches": "refs/heads/", "converts": "refs/convert/", "tags": "refs/tags/"}
_PULL_REQUESTS = {"pullRequests": "refs/pr/"}


class Refs:
    """Refs, branch and tag."""

    def __init__(self, repos: Repos) -> None:
        self.repos = repos

    def routes(self) -> Iterable[Route]:
        """Its routes."""
        yield self.repos.route("GET", "/refs", self._list)
        yield self.repos.route("POST", "/branch/(?P<branch>[^/]+)", self._create_branch)
        yield self.repos.route("DELETE", "/branch/(?P<branch>[^/]+)", self._delete_branch)
        yield self.repos.route("POST", "/tag/(?P<revision>[^/]+)", self._create_tag)
        yield self.repos.route("DELETE", "/tag/(?P<tag>[^/]+)", self._delete_tag)

    async def _list(self, exchange: Exchange, repo: Repository) -> None:
        lists = _LISTS | (_PULL_REQUESTS if exchange.request.query.get("include_prs") else {})
        refs = sorted(repo.refs.items())
        answer = {
            key: [
                {"name": ref if key == "pullRequests" else ref[len(start) :], "ref": ref, "targetCommit": oid}
                for ref, oid in refs
                if ref.startswith(start)
            ]
            for key, start in lists.items()
        }
        await send_json(exchange, 200, answer)

    async def _create_branch(self, exchange: Exchange, repo: Repository, branch: str) -> None:
        self.repos.writable(exchange, repo.owner, "create a branch")
        if branch.startswith("refs/"):
            raise Refused(400, f"Invalid reference for a branch: {branch}")
        start = commit_at(repo, object_of(exchange).get("startingPoint") or "main")
        ref = f"refs/heads/{branch}"
        if ref in repo.refs:
            raise Refused(409, f"Reference already exists: {ref}")
        repo.refs[ref] = start.oid
        await send_json(exchange, 200, {})

    async def _delete_branch(self, exchange: Exchange, repo: Repository, branch: str) -> None:
        self.repos.writable(exchange, repo.owner, "delete a branch")
        ref = f"refs/heads/{branch}"
        if ref == MAIN:
            raise Refused(403, "Cannot delete the branch main")
        self._remove(repo, ref)
        await send_json(exchange, 200, {})

    async def _create_tag(self, exchange: Exchange, repo: Repository, revision: str) -> None:
        self.repos.writable(exchange, repo.owner, "create a tag")
        tag = str(object_of(exchange).get("tag") or "")
        if not tag:
            raise Refused(400, '"tag" is required')
        target = commit_at(repo, revision)
        if f"refs/tags/{tag}" in repo.refs:
            raise Refused(409, f"Tag reference exists already: {tag}")
        repo.refs[f"refs/tags/{tag}"] = target.oid
        await send_json(exchange, 200, {})

    async def _delete_tag(self, exchange: Exchange, repo: Repository, tag: str) -> None:
        self.repos.writable(exchange, repo.owner, "delete a tag")
        self._remove(repo, f"refs/tags/{tag}")
        await send_json(exchange, 200, {})

    def _remove(self, repo: Repository, ref: str) -> None:
        if ref not in repo.refs:
            raise Refused(404, f"Invalid rev id: {ref.split('/', 2)[2]}", "RevisionNotFound")
        del repo.refs[ref]

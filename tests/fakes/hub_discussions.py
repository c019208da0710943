"""Discussions and pull requests of the fake Hub."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_part import Part, Refused, Route, object_of, send_json, stamp
from tests.fakes.hub_repository import MAIN, Repository, Tree

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub


@dataclass(slots=True)
class Discussion:
    """A discussion, or a pull request whose commits are on `refs/pr/<num>`. `status`: draft, open, closed, merged."""

    num: int
    title: str
    author: str
    created: datetime
    status: str
    is_pull_request: bool
    base: str
    """The commit of main that a pull request started from."""
    events: list[dict[str, Any]] = field(default_factory=list)
    merge_commit: str | None = None

    @property
    def comments(self) -> list[str]:
        """The texts of its comments, the description first."""
        return [event["data"]["latest"]["raw"] for event in self.events if event["type"] == "comment"]


class Discussions(Part):
    """Routes under `/api/T/{id}/discussions`."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.page_size = 10
        self._events = 0
        hub.repos.on_commit.append(self._pushed)

    # --- for tests and other parts -----------------------------------------------------------------------------------

    def open(
        self,
        repo: Repository,
        title: str,
        description: str = "",
        *,
        pull_request: bool = False,
        status: str = "open",
        author: str | None = None,
    ) -> Discussion:
        """Open one; a pull request starts at main's newest commit."""
        num, author = len(repo.discussions) + 1, author or self.hub.user
        made = Discussion(num, title, author, self.hub.now(), status, pull_request, repo.refs[MAIN])
        if pull_request:
            repo.refs[f"refs/pr/{num}"] = repo.refs[MAIN]
        self._comment(made, description, author)
        repo.discussions.append(made)
        return made

    def conflicts(self, repo: Repository, discussion: Discussion) -> list[str]:
        """The files that a pull request and main have both changed since it was opened, each in another way."""
        base, main, theirs = self._trees(repo, discussion)
        paths = {*base, *main, *theirs}
        found = [p for p in paths if base.get(p) != theirs.get(p) and main.get(p) not in (base.get(p), theirs.get(p))]
        return sorted(found)

    # --- routes ------------------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        """All routes about discussions."""
        route, one = self.hub.repos.route, r"/discussions/(?P<num>\d+)"
        yield route("GET", "/discussions", self._list)
        yield route("POST", "/discussions", self._create)
        yield route("GET", one, self._details)
        yield route("POST", f"{one}/comment", self._add_comment)
        yield route("POST", f"{one}/comment/(?P<comment>[^/]+)/(?P<change>edit|hide)", self._change_comment)
        yield route("POST", f"{one}/status", self._change_status)
        yield route("POST", f"{one}/title", self._rename)
        yield route("POST", f"{one}/merge", self._merge)

    async def _list(self, exchange: Exchange, repo: Repository) -> None:
        query = exchange.request.query
        open_only = {"open": ("open", "draft"), "closed": ("closed", "merged")}.get(query.get("status", ""))
        kind = {"discussion": False, "pull_request": True}.get(query.get("type", ""))
        found = [
            each
            for each in reversed(repo.discussions)
            if (open_only is None or each.status in open_only)
            and (kind is None or each.is_pull_request is kind)
            and query.get("author", each.author) == each.author
        ]
        start = int(query.get("p") or 0) * self.page_size
        page = [self._facts(repo, each) for each in found[start : start + self.page_size]]
        await send_json(exchange, 200, {"discussions": page, "count": len(found), "start": start})

    async def _create(self, exchange: Exchange, repo: Repository) -> None:
        self._may_take_part(exchange)
        sent = object_of(exchange)
        title = str(sent.get("title") or "")
        if len(title) < 3:
            raise Refused(400, '"title" length must be at least 3 characters long')
        as_pr = sent.get("pullRequest") is True
        description, status = str(sent.get("description") or ""), "draft" if as_pr else "open"
        made = self.open(repo, title, description, pull_request=as_pr, status=status)
        url = f"{self.hub.url}/{repo.page}/discussions/{made.num}"
        await send_json(exchange, 200, {"num": made.num, "url": url, "pullRequest": as_pr})

    async def _details(self, exchange: Exchange, repo: Repository, num: str) -> None:
        found = _numbered(repo, num)
        answer = {**self._facts(repo, found), "events": found.events}
        if found.is_pull_request:
            merged = {"mergeCommitId": found.merge_commit} if found.merge_commit else {}
            answer["changes"] = {"base": MAIN, **merged}
            answer["filesWithConflicts"] = self.conflicts(repo, found) if found.status in ("draft", "open") else []
            answer["diffUrl"] = f"{self.hub.url}/{repo.page}/discussions/{num}/files.diff"
            if exchange.request.query.get("diff"):
                base, _, theirs = self._trees(repo, found)
                answer["diff"] = _diff(base, theirs)
        await send_json(exchange, 200, answer)

    async def _add_comment(self, exchange: Exchange, repo: Repository, num: str) -> None:
        self._may_take_part(exchange)
        found, text = _numbered(repo, num), str(object_of(exchange).get("comment") or "")
        if not text:
            raise Refused(400, '"comment" is not allowed to be empty')
        await send_json(exchange, 200, {"newMessage": self._comment(found, text)})

    async def _change_comment(self, exchange: Exchange, repo: Repository, num: str, comment: str, change: str) -> None:
        self._may_take_part(exchange)
        events = [event for event in _numbered(repo, num).events if event["id"] == comment]
        if not events:
            raise Refused(404, "Comment not found")
        data = events[0]["data"]
        if change == "edit":
            data["history"].append(data["latest"])
            data["latest"] = {"raw": str(object_of(exchange).get("content") or ""), "updatedAt": self._now()}
            data["edited"] = True
        else:
            data["hidden"] = True
        await send_json(exchange, 200, {"updatedComment": events[0]})

    async def _change_status(self, exchange: Exchange, repo: Repository, num: str) -> None:
        found, sent = _numbered(repo, num), object_of(exchange)
        self._may_decide(exchange, repo, found)
        status = sent.get("status")
        if status not in ("open", "closed"):
            raise Refused(400, '"status" must be one of [open, closed]')
        if found.status == "merged":
            raise Refused(400, "A merged pull request cannot change its status")
        if sent.get("comment"):
            self._comment(found, str(sent["comment"]))
        found.status = status
        await send_json(exchange, 200, {"newStatus": self._event(found, "status-change", {"status": status})})

    async def _rename(self, exchange: Exchange, repo: Repository, num: str) -> None:
        found, title = _numbered(repo, num), str(object_of(exchange).get("title") or "")
        self._may_decide(exchange, repo, found)
        event = self._event(found, "title-change", {"from": found.title, "to": title})
        found.title = title
        await send_json(exchange, 200, {"newTitle": event})

    async def _merge(self, exchange: Exchange, repo: Repository, num: str) -> None:
        found = _numbered(repo, num)
        self.hub.repos.writable(exchange, repo.owner, "merge a pull request")
        if not found.is_pull_request:
            raise Refused(400, "This discussion is not a pull request")
        if found.status != "open":
            raise Refused(400, f"This pull request is {found.status}; only open ones can be merged")
        if conflicts := self.conflicts(repo, found):
            raise Refused(409, f"This pull request has conflicts: {', '.join(conflicts)}")
        if comment := object_of(exchange).get("comment"):
            self._comment(found, str(comment))
        base, main, theirs = self._trees(repo, found)
        changed = {path for path in {*base, *theirs} if base.get(path) != theirs.get(path)}
        kept = {path: content for path, content in main.items() if path not in changed}
        tree = kept | {path: theirs[path] for path in changed if path in theirs}
        merged = self.hub.repos.committed(repo, MAIN, tree, f"{found.title} (#{num})")
        found.status, found.merge_commit = "merged", merged.oid
        self._event(found, "status-change", {"status": "merged"})
        await send_json(exchange, 200, {})

    # --- inside ------------------------------------------------------------------------------------------------------

    def _may_take_part(self, exchange: Exchange) -> None:
        self.hub.repos.writable(exchange, self.hub.user, "take part in discussions")

    def _may_decide(self, exchange: Exchange, repo: Repository, found: Discussion) -> None:
        """Its author and the repository's owners may."""
        self.hub.repos.writable(exchange, self.hub.user if found.author == self.hub.user else repo.owner)

    def _trees(self, repo: Repository, found: Discussion) -> tuple[Tree, Tree, Tree]:
        """Where a pull request started, main now, and the pull request."""
        oids = (found.base, repo.refs[MAIN], repo.refs[f"refs/pr/{found.num}"])
        base, main, theirs = (repo.commits[oid].tree for oid in oids)
        return base, main, theirs

    def _pushed(self, repo: Repository, ref: str) -> None:
        """A commit on a pull request's ref is one of its events."""
        for found in repo.discussions:
            if ref == f"refs/pr/{found.num}":
                commit = repo.commits[repo.refs[ref]]
                self._event(found, "commit", {"subject": commit.title, "oid": commit.oid}, commit.author)

    def _facts(self, repo: Repository, found: Discussion) -> dict[str, Any]:
        return {
            "num": found.num,
            "title": found.title,
            "status": found.status,
            "isPullRequest": found.is_pull_request,
            "createdAt": stamp(found.created),
            "author": {"name": found.author, "type": "user"},
            "repo": {"name": repo.repo_id, "type": repo.repo_type},
            "numComments": len(found.comments),
        }

    def _comment(self, found: Discussion, text: str, author: str | None = None) -> dict[str, Any]:
        latest = {"raw": text, "html": text, "updatedAt": self._now()}
        data = {"edited": False, "hidden": False, "latest": latest, "history": []}
        return self._event(found, "comment", data, author)

    def _event(self, found: Discussion, kind: str, data: dict[str, Any], author: str | None = None) -> dict[str, Any]:
        self._events += 1
        by = {"name": author or self.hub.user, "type": "user"}
        event = {"id": f"{self._events:024x}", "type": kind, "createdAt": self._now(), "author": by, "data": data}
        found.events.append(event)
        return event

    def _now(self) -> str:
        return stamp(self.hub.now())


def _numbered(repo: Repository, num: str) -> Discussion:
    if not 0 < int(num) <= len(repo.discussions):
        raise Refused(404, "Discussion not found")
    return repo.discussions[int(num) - 1]


def _diff(base: Tree, theirs: Tree) -> str:
    """A unified diff of all files that differ."""
    pieces: list[str] = []
    for path in sorted({*base, *theirs}):
        old, new = (tree.get(path, b"").decode("utf-8", "replace").splitlines(True) for tree in (base, theirs))
        pieces += difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(pieces)

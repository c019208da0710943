"""GitHub's REST API, version 2022-11-28, as far as the tools read it: repositories, contents, trees, searches, limits.

    with FakeGitHub() as github:
        github.add("huggingface/trl", {"examples/sft.py": "print(1)\n"}, stars=10)

A path's value is text, bytes, or one of `Link`, `Module`, `Huge`. Without a token there is no code search; a token that
is not in `tokens` is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.fakes.http_base import Exchange, HttpFake

MB = 1 << 20
DOCS = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Link:
    """A symbolic link. One to a regular file is followed by the contents API."""

    target: str


@dataclass(frozen=True)
class Module:
    """A submodule."""

    url: str


@dataclass(frozen=True)
class Huge:
    """A file of a size that the API does not hand out; `data` is given for 1 to 100 MB, raw only."""

    size_bytes: int
    data: bytes = b""


Entry = str | bytes | Link | Module | Huge


@dataclass
class FakeRepo:
    """A repository; `refs` are its branches and tags, each with files by path."""

    full_name: str
    id: int
    refs: dict[str, dict[str, Entry]]
    default_branch: str = "main"
    is_private: bool = False
    most_tree_entries: int = 100_000
    about: dict[str, Any] = field(default_factory=dict)


class FakeGitHub(HttpFake):
    """A loopback GitHub."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, FakeRepo] = {}
        self.renamed: dict[str, str] = {}
        """Former names and the present ones, in lower case."""
        self.users: set[str] = set()
        """Owners that are no organisations."""
        self.tokens: set[str] = {"ghp_" + "a" * 36}
        self.refusals: list[tuple[int, dict[str, str], str]] = []
        """Answers (status, headers, message) to be given instead, one after the other."""
        self.code: list[dict[str, Any]] = []
        """Items that any code search finds."""
        self.code_total: int | None = None
        self.is_incomplete = False
        self.drops_query_on_redirect = False

    def add(
        self, full_name: str, files: Mapping[str, Entry] | None = None, *, stars: int = 0, forks: int = 0, **about: Any
    ) -> FakeRepo:
        """A new repository with `files` on its default branch (None: it is empty)."""
        refs = {"main": dict(files)} if files is not None else {}
        repo = FakeRepo(full_name, len(self.repos) + 1, refs)
        repo.about = {"stargazers_count": stars, "forks_count": forks, **about}
        self.repos[full_name.lower()] = repo
        return repo

    @property
    def token(self) -> str:
        """One that is accepted."""
        return next(iter(self.tokens))

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.path for request in self.requests]

    # --- answering ---------------------------------------------------------------------------------------------------

    async def respond(self, exchange: Exchange) -> None:
        request = exchange.request
        authorization = request.headers.get("authorization", "")
        if self.refusals:
            status, headers, message = self.refusals.pop(0)
            await exchange.json(status, {"message": message, "documentation_url": DOCS}, headers)
            return
        if authorization and authorization.removeprefix("Bearer ") not in self.tokens:
            await self._fail(exchange, 401, "Bad credentials")
            return
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        match parts:
            case ["repos", owner, name, *rest]:
                await self._named(exchange, f"{owner}/{name}", rest)
            case ["repositories", number, *rest]:
                repo = next(each for each in self.repos.values() if each.id == int(number))
                await self._repo(exchange, repo, rest)
            case [("orgs" | "users") as kind, owner, "repos"]:
                await self._owned(exchange, kind, owner)
            case ["search", "repositories"]:
                await self._found_repos(exchange)
            case ["search", "code"]:
                await self._found_code(exchange, bool(authorization))
            case _:
                await self._fail(exchange, 404, "Not Found")

    async def _fail(self, exchange: Exchange, status: int, message: str, errors: Any = None) -> None:
        body: dict[str, Any] = {"message": message, "documentation_url": DOCS, "status": str(status)}
        await exchange.json(status, body | ({"errors": errors} if errors is not None else {}))

    async def _named(self, exchange: Exchange, full_name: str, rest: list[str]) -> None:
        if full_name.lower() in self.renamed:
            repo = self.repos[self.renamed[full_name.lower()]]
            inside = exchange.request.path.split("/", 4)[4:]
            pairs = exchange.request.query_pairs
            query = "&".join(f"{name}={value}" for name, value in pairs) if not self.drops_query_on_redirect else ""
            target = "/".join((f"{self.url}/repositories/{repo.id}", *inside)) + (f"?{query}" if query else "")
            moved = {"message": "Moved Permanently", "url": target}
            await exchange.json(301, moved, {"Location": target})
            return
        found = self.repos.get(full_name.lower())
        if found is None or (found.is_private and "authorization" not in exchange.request.headers):
            await self._fail(exchange, 404, "Not Found")
            return
        await self._repo(exchange, found, rest)

    async def _repo(self, exchange: Exchange, repo: FakeRepo, rest: list[str]) -> None:
        match rest:
            case []:
                await exchange.json(200, self._about(repo))
            case ["contents", *path]:
                await self._contents(exchange, repo, "/".join(path))
            case ["git", "trees", ref]:
                await self._tree(exchange, repo, ref)
            case _:
                await self._fail(exchange, 404, "Not Found")

    def _about(self, repo: FakeRepo) -> dict[str, Any]:
        owner, _, name = repo.full_name.partition("/")
        base = {"description": None, "language": None, "topics": [], "archived": False, "fork": False}
        return {
            "id": repo.id,
            "name": name,
            "full_name": repo.full_name,
            "owner": {"login": owner, "type": "User" if owner in self.users else "Organization"},
            "html_url": f"https://github.com/{repo.full_name}",
            "default_branch": repo.default_branch,
            **base,
            **repo.about,
        }

    # --- files -------------------------------------------------------------------------------------------------------

    async def _contents(self, exchange: Exchange, repo: FakeRepo, path: str) -> None:
        ref = exchange.request.query.get("ref", repo.default_branch)
        if not repo.refs:
            await self._fail(exchange, 404, "This repository is empty.")
            return
        if ref not in repo.refs:
            await self._fail(exchange, 404, f"No commit found for the ref {ref}")
            return
        files = repo.refs[ref]
        entry = files.get(path)
        if isinstance(entry, Link) and isinstance(files.get(entry.target), (str, bytes)):
            entry = files[entry.target]
        if entry is None:
            children = _children(files, path)
            if children:
                await exchange.json(200, [_listed(repo, ref, name, each) for name, each in sorted(children.items())])
            else:
                await self._fail(exchange, 404, "Not Found")
        elif isinstance(entry, Huge) and entry.size_bytes > 100 * MB:
            message = (
                "This API returns blobs up to 100 MB in size. The requested blob is too large to fetch via the API"
            )
            too_large = {"resource": "Blob", "field": "data", "code": "too_large"}
            await self._fail(exchange, 403, message, [too_large])
        elif "raw" in exchange.request.headers["accept"]:
            data = entry.data if isinstance(entry, Huge) else _data(entry)
            await exchange.head(
                200, {"Content-Type": "application/vnd.github.raw; charset=utf-8"}, length_bytes=len(data)
            )
            await exchange.body(data, last=True)
        else:
            await exchange.json(200, _content(repo, ref, path, entry))

    async def _tree(self, exchange: Exchange, repo: FakeRepo, ref: str) -> None:
        if not repo.refs:
            await self._fail(exchange, 409, "Git Repository is empty.")
            return
        files = repo.refs[repo.default_branch]
        directories = {_sha(path): path for path in _directories(files)}
        top = directories.get(ref, "" if ref in repo.refs else None)
        if top is None:
            await self._fail(exchange, 404, "Not Found")
            return
        below = {
            path[len(top) + 1 if top else 0 :]: e for path, e in files.items() if not top or path.startswith(f"{top}/")
        }
        if exchange.request.query.get("recursive"):
            tree = [*(_tree_row(each, None, top) for each in _directories(below))]
            tree += [_tree_row(path, entry, top) for path, entry in below.items()]
        else:
            tree = [_tree_row(name, entry, top) for name, entry in sorted(_children(below, "").items())]
        is_cut = len(tree) > repo.most_tree_entries
        await exchange.json(200, {"sha": _sha(ref), "tree": tree[: repo.most_tree_entries], "truncated": is_cut})

    # --- lists -------------------------------------------------------------------------------------------------------

    async def _owned(self, exchange: Exchange, kind: str, owner: str) -> None:
        query = exchange.request.query
        mine = [each for each in self.repos.values() if each.full_name.lower().startswith(f"{owner.lower()}/")]
        is_user = owner in self.users
        if (not mine and not is_user) or (kind == "orgs" and is_user):
            await self._fail(exchange, 404, "Not Found")
            return
        rows = [self._about(each) for each in mine]
        if sort := query.get("sort"):
            is_down = query.get("direction", "desc") == "desc"
            rows.sort(key=lambda row: row.get(f"{sort}_at") or "", reverse=is_down)
        await exchange.json(200, *self._page(exchange, rows))

    def _page(self, exchange: Exchange, rows: list[Any]) -> tuple[list[Any], dict[str, str]]:
        query = exchange.request.query
        size, number = int(query.get("per_page", "30")), int(query.get("page", "1"))
        last = -(-len(rows) // size)
        links = []
        for name, page in (("next", number + 1), ("last", last)):
            if number < last:
                links.append(f'<{self.url}{exchange.request.path}?per_page={size}&page={page}>; rel="{name}"')
        return rows[(number - 1) * size : number * size], {"Link": ", ".join(links)} if links else {}

    async def _found_repos(self, exchange: Exchange) -> None:
        query = exchange.request.query
        words = [word for word in query["q"].split() if ":" not in word]
        owners = [word.partition(":")[2].lower() for word in query["q"].split() if word.startswith(("org:", "user:"))]
        known = {name.partition("/")[0] for name in self.repos}
        if owners and owners[0] not in known:
            message = "The listed users and repositories cannot be searched either because the resources do not exist"
            await self._fail(exchange, 422, "Validation Failed", [{"message": message, "code": "invalid"}])
            return
        rows = [
            self._about(each)
            for name, each in self.repos.items()
            if (not owners or name.partition("/")[0] in owners) and all(word.lower() in name for word in words)
        ]
        field_name = f"{query.get('sort', 'stars')}".replace("stars", "stargazers_count").replace(
            "forks", "forks_count"
        )
        rows.sort(key=lambda row: row.get(field_name) or 0, reverse=query.get("order", "desc") == "desc")
        items, headers = self._page(exchange, rows)
        body = {"total_count": len(rows), "incomplete_results": self.is_incomplete, "items": items}
        await exchange.json(200, body, headers)

    async def _found_code(self, exchange: Exchange, has_token: bool) -> None:
        if not has_token:
            await self._fail(exchange, 401, "Requires authentication")
            return
        query = exchange.request.query
        if not query["q"].strip():
            errors = [{"resource": "Search", "field": "q", "code": "missing"}]
            await self._fail(exchange, 422, "Validation Failed", errors)
            return
        items, headers = self._page(exchange, self.code)
        total = len(self.code) if self.code_total is None else self.code_total
        body = {"total_count": total, "incomplete_results": self.is_incomplete, "items": items}
        await exchange.json(200, body, headers)


def found_file(repo: str, path: str, *fragments: tuple[str, str]) -> dict[str, Any]:
    """An item of a code search; each fragment with the text in it that has matched."""
    matches = [
        {
            "object_url": f"https://api.github.com/repositories/1/contents/{path}",
            "object_type": "FileContent",
            "property": "content",
            "fragment": fragment,
            "matches": [{"text": text, "indices": [fragment.index(text), fragment.index(text) + len(text)]}],
        }
        for fragment, text in fragments
    ]
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": _sha(path),
        "html_url": f"https://github.com/{repo}/blob/{'0' * 40}/{path}",
        "repository": {"id": 1, "full_name": repo, "html_url": f"https://github.com/{repo}"},
        "score": 1.0,
        "text_matches": matches,
    }


def notebook(*cells: Mapping[str, Any], language: str = "python") -> str:
    """A notebook of nbformat 4."""
    about = {"kernelspec": {"name": "k", "display_name": "K", "language": language}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": list(cells)})


# --- inside ----------------------------------------------------------------------------------------------------------


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def _data(entry: Entry) -> bytes:
    return entry.encode() if isinstance(entry, str) else entry if isinstance(entry, bytes) else b""


def _size(entry: Entry | None) -> int:
    return entry.size_bytes if isinstance(entry, Huge) else len(_data(entry)) if entry is not None else 0


def _children(files: Mapping[str, Entry], directory: str) -> dict[str, Entry | None]:
    """What lies directly in a directory, directories as None."""
    prefix = f"{directory}/" if directory else ""
    found: dict[str, Entry | None] = {}
    for path, entry in files.items():
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            found[f"{prefix}{name}"] = None if slash else entry
    return found


def _directories(files: Mapping[str, Entry]) -> list[str]:
    found: dict[str, None] = {}
    for path in files:
        parts = path.split("/")[:-1]
        found |= {"/".join(parts[: depth + 1]): None for depth in range(len(parts))}
    return list(found)


def _tree_row(path: str, entry: Entry | None, top: str) -> dict[str, Any]:
    whole = f"{top}/{path}" if top else path
    if entry is None:
        return {"path": path, "mode": "040000", "type": "tree", "sha": _sha(whole)}
    if isinstance(entry, Module):
        return {"path": path, "mode": "160000", "type": "commit", "sha": _sha(whole)}
    return {"path": path, "mode": "100644", "type": "blob", "sha": _sha(whole), "size": _size(entry)}


def _listed(repo: FakeRepo, ref: str, path: str, entry: Entry | None) -> dict[str, Any]:
    row = _content(repo, ref, path, entry)
    for name in ("content", "encoding", "target", "submodule_git_url"):
        row.pop(name, None)
    if isinstance(entry, Module):  # as GitHub does in listings
        row["type"] = "file"
    return row


def _content(repo: FakeRepo, ref: str, path: str, entry: Entry | None) -> dict[str, Any]:
    kind = "dir" if entry is None else "symlink" if isinstance(entry, Link) else "file"
    kind = "submodule" if isinstance(entry, Module) else kind
    where = "tree" if kind in ("dir", "submodule") else "blob"
    row: dict[str, Any] = {
        "type": kind,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": _sha(path),
        "size": _size(entry),
        "url": f"https://api.github.com/repos/{repo.full_name}/contents/{path}?ref={ref}",
        "html_url": f"https://github.com/{repo.full_name}/{where}/{ref}/{path}",
        "download_url": f"https://raw.githubusercontent.com/{repo.full_name}/{ref}/{path}" if where == "blob" else None,
    }
    if isinstance(entry, Link):
        return row | {"target": entry.target}
    if isinstance(entry, Module):
        return row | {"submodule_git_url": entry.url}
    if entry is None:
        return row
    if _size(entry) > MB:
        return row | {"encoding": "none", "content": ""}
    return row | {"encoding": "base64", "content": base64.encodebytes(_data(entry)).decode()}

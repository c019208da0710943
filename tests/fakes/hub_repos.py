"""The fake Hub's repositories: who has which, who may see and change them; create, delete, settings, info, search.

What is inside of a repository is answered by `hub_files`, `hub_commits` and `hub_refs`. Other parts (Spaces) listen by
`on_create`, `on_commit`, `on_delete`, and add fields to a repository's info by `info_extras`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_commits import Commits
from tests.fakes.hub_files import Files
from tests.fakes.hub_part import Handler, Part, Refused, Route, object_of, send_json, stamp
from tests.fakes.hub_refs import Refs
from tests.fakes.hub_repository import MAIN, Commit, Repository, as_bytes, blob_oid, front_matter

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

REPO_ID = r"[^/]+(?:/[^/]+)?"
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
GITATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


class Repos(Part):
    """All repositories. The methods are for tests and other parts; they need no running server."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self._all: dict[tuple[str, str], Repository] = {}
        self.granted: set[tuple[str, str]] = set()
        """(type, id) of gated repositories of others that the user was let into."""
        self.needs_plan: set[str] = set()
        """Creating one answers 402 if its type, sdk or namespace is in here."""
        self.on_create: list[Callable[[Repository, dict[str, Any]], None]] = []
        """Called with the request's payload, which is empty when a test creates the repository."""
        self.may_create: list[Callable[[str, str, dict[str, Any]], None]] = []
        """Called with type, namespace and payload of a request to create; they may raise Refused."""
        self.on_commit: list[Callable[[Repository, str], None]] = []
        """Called with the full ref that got a commit over the wire or by `commit`."""
        self.on_delete: list[Callable[[Repository], None]] = []
        self.info_extras: list[Callable[[Repository], Mapping[str, Any]]] = []

    # --- for tests and other parts -----------------------------------------------------------------------------------

    def create(
        self,
        repo_id: str,
        repo_type: str = "model",
        files: Mapping[str, bytes | str] | None = None,
        private: bool = True,
        **fields: Any,
    ) -> Repository:
        """A repository with exactly these files. `fields`: `sdk`, `gated`, `tags`, or more of its info (`likes=3`)."""
        known: dict[str, Any] = {
            name: fields.pop(name) for name in ("sdk", "gated", "tags", "created") if name in fields
        }
        return self._add(repo_id, repo_type, as_bytes(files or {}), private, known, fields, {})

    def get(self, repo_id: str, repo_type: str = "model") -> Repository | None:
        """The repository, or None."""
        return self._all.get((repo_type, repo_id))

    def all(self, repo_type: str | None = None) -> list[Repository]:
        """All repositories (of a type), in the order of their making."""
        return [repo for repo in list(self._all.values()) if repo_type in (None, repo.repo_type)]

    def files(self, repo_id: str, repo_type: str = "model", revision: str = "main") -> dict[str, bytes]:
        """The files at a revision. Raises KeyError if there is no such repository or revision."""
        commit = self._all[repo_type, repo_id].at(revision)
        if commit is None:
            raise KeyError(revision)
        return dict(commit.tree)

    def commit(
        self,
        repo_id: str,
        repo_type: str = "model",
        files: Mapping[str, bytes | str | None] | None = None,
        revision: str = "main",
        title: str = "a change",
        author: str | None = None,
    ) -> Commit:
        """A commit that a test makes: `files` are changed, those that are None deleted. KeyError: no such ref."""
        repo = self._all[repo_type, repo_id]
        ref = repo.full_ref(revision)
        if ref is None:
            raise KeyError(revision)
        changed = files or {}
        kept = {path: old for path, old in repo.commits[repo.refs[ref]].tree.items() if path not in changed}
        tree = kept | as_bytes({path: new for path, new in changed.items() if new is not None})
        return self.committed(repo, ref, tree, title, author=author)

    def committed(self, repo: Repository, ref: str, tree: Mapping[str, bytes], title: str, **more: Any) -> Commit:
        """Put a whole tree on a ref, and tell those who listen. `more`: `author`, `description`."""
        author = more.get("author") or self.hub.user
        made = repo.commit(ref, tree, title, author, self.hub.now(), more.get("description", ""))
        for listener in self.on_commit:
            listener(repo, ref)
        return made

    def delete(self, repo_id: str, repo_type: str = "model") -> None:
        """Away with it. Raises KeyError if there is none."""
        repo = self._all.pop((repo_type, repo_id))
        for listener in self.on_delete:
            listener(repo)

    def duplicate(self, from_id: str, to_id: str, repo_type: str = "model", private: bool = True) -> Repository:
        """A copy of main's files under another id. Raises KeyError (no source) or ValueError (the target exists)."""
        source = self._all[repo_type, from_id]
        if (repo_type, to_id) in self._all:
            raise ValueError(f"{to_id} exists")
        known = {"sdk": source.sdk, "tags": list(source.tags)}
        return self._add(to_id, repo_type, self.files(from_id, repo_type), private, known, dict(source.extra), {})

    def may_write(self, namespace: str) -> bool:
        """Whether the token may change what is in a namespace."""
        return namespace in (self.hub.user, *self.hub.orgs) and self.hub.social.role == "write"

    def visible(self, exchange: Exchange, repo_type: str, repo_id: str) -> Repository:
        """The repository a request is about. Raises Refused where the Hub says that there is none."""
        repo = self.get(repo_id, repo_type)
        known = "authorization" in exchange.request.headers
        mine = known and repo is not None and repo.owner in (self.hub.user, *self.hub.orgs)
        if repo is None or (repo.private and not mine):
            if known:
                raise Refused(404, "Repository not found", "RepoNotFound")
            raise Refused(401, "Invalid username or password.", "RepoNotFound")
        return repo

    def signed_in(self, exchange: Exchange) -> None:
        """Raises Refused without a token."""
        if "authorization" not in exchange.request.headers:
            raise Refused(401, "Invalid username or password.")

    def writable(self, exchange: Exchange, namespace: str, doing: str = "change this") -> None:
        """Raises Refused unless the request may change things in a namespace."""
        self.signed_in(exchange)
        if not self.may_write(namespace):
            raise Refused(403, f'You don\'t have the rights to {doing} under the namespace "{namespace}"')

    def info(self, repo: Repository, revision: str = "main", *, blobs: bool = False) -> dict[str, Any]:
        """A repository's info, as the Hub answers it. Raises Refused if there is no such revision."""
        commit = repo.at(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        card = _card(commit)
        files = sorted(commit.tree.items())
        siblings = [
            {"rfilename": path, **({"size": len(content), "blobId": blob_oid(content)} if blobs else {})}
            for path, content in files
        ]
        facts: dict[str, Any] = {
            "_id": commit.oid[:24],
            "id": repo.repo_id,
            "author": repo.owner or None,
            "sha": commit.oid,
            "lastModified": stamp(repo.modified or repo.created),
            "createdAt": stamp(repo.created),
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": _tags(repo, card),
            "siblings": siblings,
        }
        facts |= {"modelId": repo.repo_id} if repo.repo_type == "model" else {}
        facts |= {"cardData": card} if card else {}
        facts |= {name: card[name] for name in ("pipeline_tag", "library_name") if name in card}
        if repo.repo_type == "space":
            facts |= {"sdk": repo.sdk, "subdomain": repo.repo_id.replace("/", "-").replace(".", "-").lower()}
        facts |= repo.extra
        for more in self.info_extras:
            facts |= more(repo)
        return facts

    # --- routes ------------------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        """All routes about repositories."""
        yield Route("POST", "/api/repos/create", self._create)
        yield Route("DELETE", "/api/repos/delete", self._delete)
        yield Route("POST", "/api/repos/move", self._move)
        for inside in (Refs(self), Commits(self), Files(self)):
            yield from inside.routes()
        yield self.route("PUT", "/settings", self._settings)
        yield self.route("GET", "/revision/(?P<revision>[^/]+)", self._info)
        yield self.route("GET", "", self._info)
        yield Route("GET", "/api/(?P<kind>models|datasets|spaces)", self._search)

    def route(self, method: str, rest: str, handler: Handler) -> Route:
        """A route under `/api/T/{id}` whose handler gets the repository, if the request may see it."""

        async def answer(exchange: Exchange, kind: str, repo_id: str, **named: str) -> None:
            await handler(exchange, self.visible(exchange, KINDS[kind], repo_id), **named)

        return Route(method, f"/api/(?P<kind>models|datasets|spaces)/(?P<repo_id>{REPO_ID}){rest}", answer)

    async def _create(self, exchange: Exchange) -> None:
        sent = object_of(exchange)
        repo_type = sent.get("type") or "model"
        namespace = sent.get("organization") or self.hub.user
        repo_id = f"{namespace}/{sent.get('name')}"
        self.writable(exchange, namespace, f"create a {repo_type}")
        if self.needs_plan & {repo_type, str(sent.get("sdk")), namespace}:
            raise Refused(402, f"Creating this {repo_type} requires a paid plan.")
        url = f"{self.hub.url}/{'' if repo_type == 'model' else repo_type + 's/'}{repo_id}"
        if self.get(repo_id, repo_type) is not None:
            raise Refused(409, f"You already created this {repo_type} repo: {repo_id}", url=url)
        for allow in self.may_create:
            allow(repo_type, namespace, sent)
        files = {".gitattributes": GITATTRIBUTES}
        if repo_type == "space":
            files["README.md"] = f"---\ntitle: {sent.get('name')}\nsdk: {sent.get('sdk')}\n---\n".encode()
        private = sent.get("visibility") == "private" or sent.get("private") is True
        self._add(repo_id, repo_type, files, private, {"sdk": sent.get("sdk")}, {}, sent)
        await send_json(exchange, 200, {"url": url, "name": repo_id, "id": repo_id})

    def _add(
        self,
        repo_id: str,
        repo_type: str,
        files: dict[str, bytes],
        private: bool,
        known: dict[str, Any],
        extra: dict[str, Any],
        payload: dict[str, Any],
    ) -> Repository:
        now = self.hub.now()
        repo = Repository(repo_id, repo_type, known.pop("created", now), private, extra=extra, **known)
        repo.commit(MAIN, files, "initial commit", repo.owner or self.hub.user, now)
        self._all[repo_type, repo_id] = repo
        for listener in self.on_create:
            listener(repo, payload)
        return repo

    async def _delete(self, exchange: Exchange) -> None:
        sent = object_of(exchange)
        repo_type = sent.get("type") or "model"
        repo_id = f"{sent.get('organization') or self.hub.user}/{sent.get('name')}"
        repo = self.visible(exchange, repo_type, repo_id)
        self.writable(exchange, repo.owner, f"delete a {repo_type}")
        self.delete(repo_id, repo_type)
        await send_json(exchange, 200, {})

    async def _move(self, exchange: Exchange) -> None:
        sent = object_of(exchange)
        repo_type, to_id = sent.get("type") or "model", str(sent.get("toRepo"))
        repo = self.visible(exchange, repo_type, str(sent.get("fromRepo")))
        for namespace in (repo.owner, to_id.partition("/")[0]):
            self.writable(exchange, namespace, f"move a {repo_type}")
        if self.get(to_id, repo_type) is not None:
            raise Refused(409, f"There is already a {repo_type} {to_id}")
        del self._all[repo_type, repo.repo_id]
        repo.repo_id = to_id
        self._all[repo_type, to_id] = repo
        await send_json(exchange, 200, {})

    async def _settings(self, exchange: Exchange, repo: Repository) -> None:
        sent = object_of(exchange)
        self.writable(exchange, repo.owner, "change the settings")
        gated = sent.get("gated", repo.gated)
        visibility = sent.get("visibility", "private" if sent.get("private", repo.private) else "public")
        if gated not in ("auto", "manual", False) or visibility not in ("private", "public"):
            raise Refused(400, "Invalid settings")
        repo.gated, repo.private = gated, visibility == "private"
        await send_json(exchange, 200, {})

    async def _info(self, exchange: Exchange, repo: Repository, revision: str = "main") -> None:
        blobs = exchange.request.query.get("blobs", "").lower() in ("true", "1")
        await send_json(exchange, 200, self.info(repo, revision, blobs=blobs))

    async def _search(self, exchange: Exchange, kind: str) -> None:
        """Minimal: `search`, `author`, one `filter`, `sort`, `limit`; all on one page."""
        query = exchange.request.query
        signed_in = "authorization" in exchange.request.headers
        found = []
        for repo in self.all(KINDS[kind]):
            seen = not repo.private or (signed_in and repo.owner in (self.hub.user, *self.hub.orgs))
            named = query.get("search", "").lower() in repo.repo_id.lower()
            if seen and named and query.get("author", repo.owner) == repo.owner:
                found.append(self.info(repo))
        if wanted := query.get("filter"):
            found = [info for info in found if wanted in info["tags"]]
        if sort := query.get("sort"):
            found.sort(key=lambda info: info.get(sort) or 0, reverse=True)
        if not query.get("full"):
            found = [{name: value for name, value in info.items() if name != "siblings"} for info in found]
        await send_json(exchange, 200, found[: int(query.get("limit") or len(found))])


def _card(commit: Commit) -> dict[str, Any]:
    try:
        return front_matter(commit.tree.get("README.md", b""))
    except ValueError:
        return {}


def _tags(repo: Repository, card: dict[str, Any]) -> list[str]:
    own = card.get("tags") or []
    tags = [*repo.tags, *([own] if isinstance(own, str) else map(str, own))]
    tags += [f"{name}:{card[name]}" for name in ("license", "base_model") if isinstance(card.get(name), str)]
    tags += [repo.sdk] if repo.sdk else []
    return [*dict.fromkeys(tags), "region:us"]

"""Finding again what a session has put on the Hub: a private collection of it, and (if wanted) a tag in each README."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from agent.hub.account import HubAccount
from agent.hub.cards import augmented_card
from agent.hub.errors import HubError
from agent.hub.repos import MAIN, REPO_TYPES, Repo, read_head

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

Mode = Literal["off", "collect", "card"]
"""`collect`: a private collection and nothing else. `card`: the README of each repository is edited, too."""
Part = Literal["collection", "card"]

PARTS: Mapping[Mode, tuple[Part, ...]] = {"off": (), "collect": ("collection",), "card": ("collection", "card")}
"""What is done for a repository."""

MAX_TITLE_CHARS = 59
MAX_NOTE_CHARS = 100
MAX_CARD_BYTES = 1_000_000
COMMIT_MESSAGE = "Say that ml-intern had a part in this"
DESCRIPTION = "What one session of ml-intern has made."

_SANDBOX = re.compile(r"sandbox-[a-f0-9]{8}")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def collection_title(session_id: str, started: datetime) -> str:
    """`ml-intern-artifacts-2026-01-31-1a2b3c4d`, at most 59 characters (the Hub's limit)."""
    mark = session_id[:8] if _UUID.fullmatch(session_id) else re.sub(r"[^A-Za-z0-9._-]+", "-", session_id)
    return f"ml-intern-artifacts-{started:%Y-%m-%d}-{mark.lstrip('-._')}"[:MAX_TITLE_CHARS].rstrip("-._")


def item_note(session_id: str) -> str:
    """What the collection says about each of its items."""
    return f"Made or changed by ml-intern, session {session_id}"[:MAX_NOTE_CHARS]


def is_artifact(repo_id: str, repo_type: str) -> bool:
    """Whether it belongs into a collection: the machines of sandboxes are Spaces, too, and do not."""
    is_sandbox = repo_type == "space" and _SANDBOX.fullmatch(repo_id.rpartition("/")[2]) is not None
    return repo_type in REPO_TYPES and "/" in repo_id and not is_sandbox


class HubArtifacts:
    """The repositories that this run has made, by `owner/name` and type.

    `now` gives the date in the collections' titles. `timeout_s` is how long one repository may take in all: the work
    itself is done already, and does not wait for this any longer.
    """

    def __init__(
        self, account: HubAccount, mode: Mode, *, now: Callable[[], datetime], timeout_s: float = 60.0
    ) -> None:
        self.mode: Mode = mode
        self._account = account
        self._now = now
        self._timeout_s = timeout_s
        self._started: dict[str, datetime] = {}
        self._slugs: dict[str, str] = {}
        self._done: dict[tuple[str, str], set[Part]] = {}
        self._turn = asyncio.Lock()

    def started(self, session_id: str) -> datetime:
        """When the session was first heard of here: its collection has this date, in a job's hook as well."""
        return self._started.setdefault(session_id, self._now())

    def known(self, repo_id: str, repo_type: str) -> bool:
        """Whether it was made in this run."""
        return (repo_type, repo_id) in self._done

    async def made(
        self,
        repo_id: str,
        repo_type: str,
        *,
        session_id: str,
        card: bool = False,
        extra: Mapping[str, str] = {},
    ) -> None:
        """It is there now, or has a new commit on its main branch. `card`: its README.md was replaced. `extra` is for
        the card's metadata. Never raises: trouble is logged, and what failed is tried again the next time."""
        if not PARTS[self.mode] or not is_artifact(repo_id, repo_type):
            return
        done = self._done.setdefault((repo_type, repo_id), set())
        if card:
            done.discard("card")
        try:
            # one after the other: a session has one collection, and a README one writer
            async with asyncio.timeout(self._timeout_s), self._turn:
                for part in PARTS[self.mode]:
                    if part not in done and await self._tried(part, repo_id, repo_type, session_id, extra):
                        done.add(part)
        except TimeoutError:
            logger.warning("the Hub takes too long to register %s %s", repo_type, repo_id)

    async def _tried(self, part: Part, repo_id: str, repo_type: str, session_id: str, extra: Mapping[str, str]) -> bool:
        work: Awaitable[None] = (
            self._collected(repo_id, repo_type, session_id)
            if part == "collection"
            else self._carded(repo_id, repo_type, extra)
        )
        try:
            await work
        except HubError as error:
            logger.warning("no %s for %s %s: %s", part, repo_type, repo_id, error)
            return False
        except Exception:  # it must not spoil what has worked
            logger.warning("no %s for %s %s", part, repo_type, repo_id, exc_info=True)
            return False
        return True

    async def _collected(self, repo_id: str, repo_type: Any, session_id: str) -> None:
        """Put it into the session's collection. Raises HubError."""
        slug = self._slugs.get(session_id) or await self._new_collection(session_id)
        note = item_note(session_id)
        try:
            await self._account.call(
                lambda api: api.add_collection_item(slug, repo_id, repo_type, note=note, exists_ok=True),
                f"adding {repo_id} to the collection {slug}",
            )
        except HubError as error:
            if error.kind == "not_found":  # somebody may have deleted it: the next one makes another
                del self._slugs[session_id]
            raise

    async def _new_collection(self, session_id: str) -> str:
        """Its slug. One that has the title already is taken. Raises HubError."""
        title = collection_title(session_id, self.started(session_id))
        owner = (await self._account.whoami()).name  # the client would ask for it each time
        made = await self._account.call(
            lambda api: api.create_collection(
                title, namespace=owner, description=DESCRIPTION, private=True, exists_ok=True
            ),
            "making a collection",
        )
        self._slugs[session_id] = made.slug
        return made.slug

    async def _carded(self, repo_id: str, repo_type: Any, extra: Mapping[str, str]) -> None:
        """Add what is missing to its README.md. Raises HubError."""
        repo = Repo(repo_id, repo_type)
        await self._account.call(lambda api: _update_card(api, repo, extra), f"updating the README.md of {repo}")


def _update_card(api: HfApi, repo: Repo, extra: Mapping[str, str]) -> None:
    """Commit the README.md with what it lacks, unless somebody else commits something meanwhile."""
    head = api.repo_info(repo.id, repo_type=repo.type, revision=MAIN).sha
    content = _read_card(api, repo, head or MAIN)
    augmented = augmented_card(content, repo.id, repo.type, extra)
    if augmented == content:
        return
    api.upload_file(
        path_or_fileobj=augmented.encode(),
        path_in_repo="README.md",
        repo_id=repo.id,
        repo_type=repo.type,
        commit_message=COMMIT_MESSAGE,
        parent_commit=head,
    )


def _read_card(api: HfApi, repo: Repo, revision: str) -> str:
    """The README.md, "" if there is none. Raises HubError for what nobody should edit."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        found = read_head(api, repo, revision, "README.md", max_bytes=MAX_CARD_BYTES)
    except EntryNotFoundError:
        return ""
    if len(found.data) >= MAX_CARD_BYTES:
        raise HubError(f"The README.md of {repo} is too large to be edited.", "unsupported")
    try:
        return found.data.decode()
    except UnicodeDecodeError as error:
        raise HubError(f"The README.md of {repo} is not UTF-8.", "unsupported") from error

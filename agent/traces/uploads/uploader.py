"""Sending what waits in the outbox: one session after the other, a commit each, to every dataset it belongs in.

A session is read, redacted and written out anew for each upload, so what is on the Hub is always the whole of it, in
one file named by the day it was begun. What was sent is known by the number of its last record: a session that went on
meanwhile is due again. Whatever breaks off between a commit and that note makes the same content be offered again,
which the Hub's client recognises, and no second commit comes of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.repos import MAIN, Repo, commit_files
from agent.light_dataclass import dataclass
from agent.protocol.messages import utc_now
from agent.protocol.pauses import pause_s
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions.errors import JournalError, SessionError
from agent.traces.uploads.card import card
from agent.traces.uploads.entries import (
    BACKOFF,
    LONGEST_OUTAGE_WAIT,
    LONGEST_WAIT,
    Delivery,
    Entry,
    Owner,
    Trouble,
    account_mark,
)
from agent.traces.uploads.outbox import Outbox
from agent.traces.uploads.package import Package, clear_packing_place, pack, packing_place
from agent.traces.uploads.sharing import Sharing, Target, TargetName

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo

logger = logging.getLogger(__name__)

MOST_PER_RUN = 200
MOST_BYTES = 300 << 20
"""Of a journal. All of it is in memory while it is written out, several times over."""
COMMIT_LIMIT_S = 300.0
SLOWEST_BYTES_PER_S = 50_000
ASK_LIMIT_S = 60.0
PAUSE_S = 0.2
"""Between two commits: nobody is in a hurry, and the Hub counts."""
FAILURES_IN_A_ROW = 3
"""After so many answers that are not about a session, the Hub or the network is what is wrong."""
ERROR_CHARS = 300
_REFUSED = frozenset({"no_token", "auth", "forbidden", "gated", "payment"})
_CARD = "README.md"
_TROUBLED = frozenset({"network", "server"})
_SHORTEST_PAUSE = timedelta(minutes=1)


class _Unwanted(HubError):
    """The person does not want that any more; said at the last moment."""


@dataclass(slots=True)
class Uploader:
    """Sends what waits, until nothing is due. Its outside comes in as parameters.

    `sharing` says where sessions go, and is asked again before each commit. `accounts` has one for every target that it
    can name. `redactor` makes one for each session.
    """

    outbox: Outbox
    state_dir: Path
    sharing: Callable[[], Sharing]
    accounts: Mapping[TargetName, HubAccount]
    redactor: Callable[[], Redactor]
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _repos: dict[TargetName, str] = field(default_factory=dict)
    """The datasets that are known to be there."""
    _without_card: set[TargetName] = field(default_factory=set)
    _stopped: set[TargetName] = field(default_factory=set)
    """Targets that take nothing more in this run."""
    _failures: Counter[TargetName] = field(default_factory=Counter)

    async def run(self) -> int:
        """Send what is due; returns with how many sessions something was done. Raises OSError where the outbox cannot
        be written: what is not noted must not go on being sent."""
        clear_packing_place(self.state_dir)
        handled = 0
        while handled < MOST_PER_RUN:
            before = handled
            for entry in self.outbox.waiting():
                if handled >= MOST_PER_RUN:
                    break
                handled += await self._see_to(entry)
            if handled == before:
                break
        return handled

    async def _see_to(self, entry: Entry) -> bool:
        """Send one session to wherever it is due; whether something about it has changed."""
        sharing, now = self.sharing(), self.now()
        names = [target.name for target in sharing.targets]
        if not names or not self.outbox.has_work(entry, names, self._stopped | self.outbox.paused(now), now):
            return False
        try:
            size_bytes = entry.journal.stat().st_size if self.outbox.is_ours(entry) else None
        except FileNotFoundError:
            size_bytes = None
        except OSError as error:
            logger.warning("%s cannot be read: %s", entry.journal, error)
            return False
        if size_bytes is None:
            logger.info("%s is not there any more", entry.session_id)
            self.outbox.remove(entry.session_id)
            return True
        due = [each for each in sharing.targets if self._is_due(entry, each, size_bytes)]
        if due and not await self._is_mine(entry, due[0]):
            return False
        changed = [await self._see_to_target(entry, target, size_bytes) for target in due]
        is_settled = self.outbox.settle(entry.session_id, names, self.now())
        return any(changed) or is_settled

    def _is_due(self, entry: Entry, target: Target, size_bytes: int) -> bool:
        delivery, now = entry.delivery(target.name), self.now()
        is_open = target.name not in self._stopped and target.name not in self.outbox.paused(now)
        return is_open and not delivery.is_current(size_bytes) and delivery.is_due(now)

    async def _is_mine(self, entry: Entry, target: Target) -> bool:
        """Whether the session is shared by the account that we have; one that is nobody's becomes its."""
        account = self.accounts["personal"]
        mine = Owner(account.known_name or "", account_mark(account.token))
        is_same = entry.owner.is_same(mine)
        if not entry.owner.is_known:
            if mine.is_known:
                self.outbox.give_to(entry.session_id, mine)
            return True
        if is_same is None and entry.owner.user and account.token:
            try:
                is_same = (await account.whoami()).name == entry.owner.user
            except HubError as error:
                self._hub_failed(entry, target, error)
                return False
        if not is_same:
            logger.info("%s waits for %s", entry.session_id, entry.owner.user or "the account that shares it")
        return bool(is_same)

    async def _see_to_target(self, entry: Entry, target: Target, size_bytes: int) -> bool:
        """Send a session to one target; whether that has changed what is known of it."""
        name = target.name
        try:
            if size_bytes > MOST_BYTES:
                raise JournalError(f"it is too big ({size_bytes >> 20} MB; {MOST_BYTES >> 20} MB is the most)")
            with packing_place(self.state_dir) as place:
                work = partial(pack, place, self.state_dir, entry, name, self.redactor)
                package = await asyncio.to_thread(work)
                sent = await self._deliver(entry, target, package)
        except HubError as error:
            return self._hub_failed(entry, target, error)
        except (SessionError, RedactionError, OSError) as error:
            what = "it could not be redacted, so it was not sent" if isinstance(error, RedactionError) else str(error)
            self._session_failed(entry, target, what)
            return True
        except Exception as error:  # one session that breaks a format must not keep the others from going
            logger.exception("%s cannot be written out", entry.session_id)
            self._session_failed(entry, target, f"it could not be written out ({type(error).__name__})")
            return True
        if sent is None:
            return False
        self.outbox.update(entry.session_id, name, replace(sent, size_bytes=size_bytes))
        self.outbox.set_trouble(name, None)
        self._failures[name] = 0
        return True

    async def _deliver(self, entry: Entry, target: Target, package: Package) -> Delivery | None:
        """Bring a package to a target; None if it is not to go there any more. Raises HubError."""
        delivery = entry.delivery(target.name)
        if not package.files:
            return delivery.sent(package.seq, self.now())
        if package.seq <= delivery.uploaded_seq:  # what was added is not a whole record
            return delivery
        repo = await self._repo(target)
        same = (delivery.sha256, delivery.repo) == (package.sha256, repo)
        if not same and not await self._commit(entry, target, repo, package):
            return None
        url = self.accounts[target.name].url(repo, "dataset")
        return delivery.sent(package.seq, self.now(), sha256=package.sha256, repo=repo, url=url)

    # --- what is sent -------------------------------------------------------------------------------------------------

    async def _repo(self, target: Target) -> str:
        """The dataset, made if there is none. Raises HubError."""
        account = self.accounts[target.name]
        if (known := self._repos.get(target.name)) is not None:
            return known
        repo = target.repo_of((await account.whoami()).name if target.needs_user else None)

        def make(api: HfApi) -> DatasetInfo | None:
            # private whatever becomes of it: one that is there already stays as its owner wants it
            api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
            return api.dataset_info(repo) if target.name == "personal" else None

        info = await account.call(make, f"making the dataset {repo}", limit_s=ASK_LIMIT_S)
        if info is not None:
            if info.private:
                self.outbox.set_published(repo, False)  # should it become public later, that is news to the person
            elif not self.outbox.is_published(repo):
                raise HubError(
                    f"Nothing was sent, as everyone can read {repo}: /share-traces private hides it, and "
                    "/share-traces public says that this is meant.",
                    "forbidden",
                )
            if all(sibling.rfilename != _CARD for sibling in info.siblings or ()):
                self._without_card.add(target.name)
        self._repos[target.name] = repo
        return repo

    async def _commit(self, entry: Entry, target: Target, repo: str, package: Package) -> bool:
        """Put the files into the dataset; False if the person does not want that any more. Raises HubError."""
        files: list[tuple[str, bytes | Path]] = [*package.files]
        if target.name in self._without_card:
            files.append((_CARD, card(repo).encode()))
        try:
            self._still_wanted(entry, target)
            await self.accounts[target.name].call(
                lambda api: commit_files(
                    api,
                    Repo(repo, "dataset"),
                    MAIN,
                    files,
                    message=f"Add session {entry.session_id}",
                    create_pr=False,
                    go_on=lambda: self._still_wanted(entry, target),
                ),
                f"uploading to {repo}",
                limit_s=COMMIT_LIMIT_S + package.size_bytes / SLOWEST_BYTES_PER_S,
            )
        except _Unwanted as unwanted:
            logger.info("%s stays here: %s", entry.session_id, unwanted)
            return False
        self._without_card.discard(target.name)
        logger.info("%s is in %s up to record %d", entry.session_id, repo, package.seq)
        await self.sleep(PAUSE_S)
        return True

    def _still_wanted(self, entry: Entry, target: Target) -> None:
        """Asked at the last moment before something is sent. Raises _Unwanted."""
        if target not in self.sharing().targets:
            self._stopped.add(target.name)
            raise _Unwanted("it is not to be shared any more", "forbidden")
        if not self.outbox.waits(entry):
            raise _Unwanted("it was removed", "not_found")

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _hub_failed(self, entry: Entry, target: Target, error: HubError) -> bool:
        """Note what the Hub says; whether that is about the session."""
        name, now = target.name, self.now()
        text = self._said(str(error))
        if error.kind in _REFUSED:
            self.outbox.set_trouble(name, Trouble(error=text, at=now))
            self._stopped.add(name)
            logger.warning("nothing more goes to %s in this run: %s", target.repo, text)
            return False
        if error.kind == "rate_limited":
            self._pause(name, text, _asked_pause(error, now))
            return False
        is_outage = error.kind in _TROUBLED
        self._session_failed(entry, target, text, is_outage=is_outage)
        if is_outage:
            self._failures[name] += 1
            if self._failures[name] >= FAILURES_IN_A_ROW:
                self._pause(name, text, None)
        return True

    def _pause(self, name: TargetName, text: str, wait: timedelta | None) -> None:
        """Leave a target alone for so long; None: longer each time."""
        now, before = self.now(), self.outbox.troubles().get(name)
        times = before.times + 1 if before is not None and before.not_before is not None else 1
        wait = wait or min(BACKOFF[min(times, len(BACKOFF)) - 1], LONGEST_OUTAGE_WAIT)
        self.outbox.set_trouble(name, Trouble(error=text, at=now, not_before=now + wait, times=times))
        self._stopped.add(name)

    def _session_failed(self, entry: Entry, target: Target, text: str, *, is_outage: bool = False) -> None:
        said = self._said(text)
        logger.warning("%s was not uploaded to %s: %s", entry.session_id, target.repo, said)
        failed = entry.delivery(target.name).failed(said, self.now(), is_outage=is_outage)
        self.outbox.update(entry.session_id, target.name, failed)

    def _said(self, text: str) -> str:
        try:
            return self.redactor().text(text)[:ERROR_CHARS]
        except Exception:  # noqa: BLE001 - whatever it is, nothing unredacted is kept
            return "an error whose text could not be redacted"


def _asked_pause(error: HubError, now: datetime) -> timedelta:
    """How long the Hub wants to be left alone."""
    headers = getattr(getattr(error.__cause__, "response", None), "headers", {})
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    asked_s = pause_s(429, named, b"", now.timestamp()) or 0.0
    return min(max(timedelta(seconds=asked_s), _SHORTEST_PAUSE), LONGEST_WAIT)

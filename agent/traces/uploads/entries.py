"""What the outbox keeps of a session and of a dataset, and how it is written: as JSON that a person can read.

These are plain dataclasses: every start of the program comes by here, and waits for no library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from agent.light_dataclass import dataclass

T = TypeVar("T")

BACKOFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720, 1440))
"""How long a session waits after each failure; the last one again and again. All of them take more than five days."""
LONGEST_OUTAGE_WAIT = timedelta(hours=2)
"""After a failure that the network or the Hub is to blame for."""
LONGEST_WAIT = BACKOFF[-1]
"""Whatever is put off for longer than this was put off by a clock that went wrong."""
MOST_ATTEMPTS = 10


def account_mark(token: str | None) -> str:
    """Tells the accounts of tokens apart whose names nobody knows yet, and gives none away. "" without a token."""
    return hashlib.sha256(f"ml-intern uploads:{token}".encode()).hexdigest()[:16] if token else ""


@dataclass(frozen=True, slots=True)
class Owner:
    """The Hugging Face account that shares a session: its name ("" while that is not known) and the mark of a token of
    its own ("" if there was none)."""

    user: str = ""
    mark: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is anything to know it by."""
        return bool(self.user or self.mark)

    def is_same(self, other: Owner) -> bool | None:
        """Whether it is the same account; None if only the Hub can tell."""
        if self.mark and self.mark == other.mark:
            return True
        if self.user and other.user:
            return self.user == other.user
        return None

    def could_be(self, other: Owner) -> bool:
        """Whether `other` may turn out to be the same account, as far as is known here."""
        same = self.is_same(other)
        if same is not None:
            return same
        return not self.is_known or not other.is_known or bool(self.user and not other.user)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far a session has come on its way to one dataset. `uploaded_seq`: the last record that was sent, and what
    `sha256` is the hash of was made from; the journal had `size_bytes` then. `attempts` counts failures that were about
    the session, `failures` all of them."""

    uploaded_seq: int = 0
    size_bytes: int = 0
    sha256: str = ""
    repo: str = ""
    url: str = ""
    sent_at: datetime | None = None
    attempts: int = 0
    failures: int = 0
    next_try: datetime | None = None
    last_error: str = ""

    @property
    def is_given_up(self) -> bool:
        """Whether it was tried often enough."""
        return self.attempts >= MOST_ATTEMPTS

    def is_current(self, size_bytes: int) -> bool:
        """Whether all of a journal of so many bytes was sent."""
        return self.size_bytes > 0 and self.size_bytes == size_bytes

    def is_due(self, now: datetime) -> bool:
        """Whether it may be tried now."""
        return not self.is_given_up and not is_put_off(self.next_try, now)

    def sent(
        self, seq: int, now: datetime, *, size_bytes: int = 0, sha256: str = "", repo: str = "", url: str = ""
    ) -> Delivery:
        """After everything up to `seq` was sent (without `repo`: there was nothing worth sending)."""
        sent_at = now if repo else None
        return Delivery(uploaded_seq=seq, size_bytes=size_bytes, sha256=sha256, repo=repo, url=url, sent_at=sent_at)

    def failed(self, error: str, now: datetime, *, is_outage: bool = False) -> Delivery:
        """After an attempt that failed. `is_outage`: the session is not to blame."""
        wait = BACKOFF[min(self.failures, len(BACKOFF) - 1)]
        return replace(
            self,
            attempts=self.attempts + (not is_outage),
            failures=self.failures + 1,
            next_try=now + (min(wait, LONGEST_OUTAGE_WAIT) if is_outage else wait),
            last_error=error,
        )

    def afresh(self) -> Delivery:
        """With all failures forgotten."""
        return replace(self, attempts=0, failures=0, next_try=None, last_error="")


@dataclass(frozen=True, slots=True)
class Entry:
    """A session that is to be uploaded. `journal` is its file, absolute here and on disk relative to the directory of
    sessions; `targets` by name of the target."""

    session_id: str
    journal: Path
    added_at: datetime
    owner: Owner = field(default_factory=Owner)
    targets: Mapping[str, Delivery] = field(default_factory=dict)

    def delivery(self, target: str) -> Delivery:
        """How far it has come on its way to a target."""
        return self.targets.get(target) or Delivery()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a whole dataset takes nothing. `not_before` None: it is tried again at the next start. `times`: how often in
    a row that was so."""

    error: str
    at: datetime
    not_before: datetime | None = None
    times: int = 1

    def is_in_force(self, now: datetime) -> bool:
        """Whether the dataset is to be left alone."""
        return is_put_off(self.not_before, now)


def is_put_off(until: datetime | None, now: datetime) -> bool:
    """Whether it is too early."""
    return until is not None and now < until <= now + LONGEST_WAIT


# --- on disk ----------------------------------------------------------------------------------------------------------


def dump(value: Any) -> bytes:
    """Dataclasses, dicts of them and times as JSON."""
    return json.dumps(value, default=_plain, indent=1).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return os.fspath(value) if isinstance(value, Path) else asdict(value)


def load_entry(data: bytes) -> Entry:
    """What `dump` has made of an entry. Raises ValueError."""
    raw = _object(json.loads(data))
    targets, owner = _object(raw.get("targets", {})), _object(raw.get("owner", {}))
    return Entry(
        session_id=_of(raw, "session_id", str),
        journal=Path(_of(raw, "journal", str)),
        added_at=_required_time(raw, "added_at"),
        owner=Owner(_of(owner, "user", str, ""), _of(owner, "mark", str, "")),
        targets={name: _delivery(_object(each)) for name, each in targets.items()},
    )


def load_troubles(data: bytes) -> dict[str, Trouble]:
    """What `dump` has made of troubles by name of the target. Raises ValueError."""
    return {name: _trouble(_object(each)) for name, each in _object(json.loads(data)).items()}


def load_stamps(data: bytes) -> dict[str, datetime]:
    """What `dump` has made of times by name. Raises ValueError."""
    raw = _object(json.loads(data))
    return {name: _required_time(raw, name) for name in raw}


def _delivery(raw: Mapping[str, Any]) -> Delivery:
    numbers = {name: _of(raw, name, int, 0) for name in ("uploaded_seq", "size_bytes", "attempts", "failures")}
    texts = {name: _of(raw, name, str, "") for name in ("sha256", "repo", "url", "last_error")}
    times = {name: _time(raw, name) for name in ("sent_at", "next_try")}
    values: dict[str, Any] = {**numbers, **texts, **times}
    return Delivery(**values)


def _trouble(raw: Mapping[str, Any]) -> Trouble:
    times = _of(raw, "times", int, 1)
    return Trouble(_of(raw, "error", str), _required_time(raw, "at"), _time(raw, "not_before"), times)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _of(raw: Mapping[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    value = raw.get(name, default)
    if not isinstance(value, kind):
        raise ValueError(f"{name} is not a {kind.__name__}")
    return value


def _time(raw: Mapping[str, Any], name: str) -> datetime | None:
    return None if raw.get(name) is None else _required_time(raw, name)


def _required_time(raw: Mapping[str, Any], name: str) -> datetime:
    time = datetime.fromisoformat(_of(raw, name, str))
    if time.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return time

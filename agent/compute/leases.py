"""Leases: a record on disk of everything that this program makes elsewhere, written before it is made.

    creating ─> running ─> ended ─> (charged, then the file is removed)

One private file each, `<state>/leases/<id>.json`, replaced atomically. Whoever makes something writes the lease first;
so whatever happens afterwards (a crash, a lost answer, a cut cable), `ml-intern ps` can name it and `ml-intern gc` end
it. All functions block: call them in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal

from agent.compute.processes import start_of
from agent.light_dataclass import dataclass
from agent.protocol.compute import Handle, Kind
from agent.protocol.messages import utc_now
from agent.protocol.private_files import make_private_dir

logger = logging.getLogger(__name__)

LeaseState = Literal["creating", "running", "ended"]

SANDBOX_TTL = timedelta(hours=1)
"""A sandbox's lease runs out so long after its owner was last heard of."""
PROCESS_TTL = timedelta(days=30)
"""A process here without a time limit costs nothing: it may well be meant to go on after its session."""
JOB_GRACE = timedelta(minutes=30)
"""A job's lease outlives its time limit by this: queues and clean-up take their time."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that looks after a resource: its id, when it started (clock ticks since boot), and its machine."""

    pid: int
    started: int
    host: str

    @property
    def is_alive(self) -> bool:
        """Whether it still runs. A process on another machine counts as alive: nobody here can tell."""
        return self.host != socket.gethostname() or start_of(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Lease:
    """What is known of one resource. Times are aware UTC. `cost_usd` and `stage` are set when it has `ended`.

    `usd_per_hour` None: unknown; `price_source` says who named it. `handle` is None until the place has given it a
    name. `account`: whose token it is made with ("": a place without accounts, or an older lease). `is_unwanted`:
    nobody wants it to go on, it is to be ended as soon as that can be done. `charged_usd`: what of its cost has been
    charged to its session already. `paused_s`: how long it certainly was paused, which costs nothing. `has_command`:
    it runs something that ends, rather than being a machine for the asking.
    """

    id: str
    kind: Kind
    backend: str
    name: str
    session_id: str
    tool_call_id: str
    flavor: str
    namespace: str | None
    usd_per_hour: float | None
    timeout_s: float | None
    created_at: datetime
    expires_at: datetime
    owner: Owner
    state: LeaseState = "creating"
    handle: Handle | None = None
    stage: str = ""
    ended_at: datetime | None = None
    cost_usd: float | None = None
    account: str = ""
    is_unwanted: bool = False
    charged_usd: float = 0.0
    paused_s: float = 0.0
    has_command: bool = False
    price_source: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else is shown of it (image, job_type, push_to_hub); nothing secret."""

    def is_expired(self, now: datetime) -> bool:
        """Whether nobody can be relying on it any more."""
        return now >= self.expires_at


def new_lease_id() -> str:
    """Twelve hex digits; fit for a label, a file name and to be typed."""
    return secrets.token_hex(6)


def this_process() -> Owner:
    """The owner of what is made from now on."""
    return Owner(os.getpid(), start_of(os.getpid()) or 0, socket.gethostname())


def expiry(kind: Kind, now: datetime, timeout_s: float | None) -> datetime:
    """When a lease that begins, or is renewed, `now` runs out; of a job that runs, `now` is when it has started: the
    time in a queue does not count."""
    if kind == "process" and timeout_s is None:
        return now + PROCESS_TTL
    if kind == "sandbox" or timeout_s is None:
        return now + SANDBOX_TTL
    return now + timedelta(seconds=timeout_s) + JOB_GRACE


class LeaseStore:
    """All leases of this user on this machine. Methods raise OSError."""

    def __init__(self, state_dir: Path) -> None:
        self._dir = state_dir / "leases"

    def write(self, lease: Lease) -> Lease:
        """Make `lease` the truth on disk, whole and for good, before this returns. Returns it."""
        make_private_dir(self._dir)
        data = json.dumps(_to_data(lease), ensure_ascii=False, indent=1).encode()
        path = self._path(lease.id)
        fresh = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(3)}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        _sync_directory(self._dir)
        return lease

    def update(self, lease_id: str, **changes: Any) -> Lease | None:
        """Change fields of a lease; None if it is there no more (another process has seen to it)."""
        lease = self.get(lease_id)
        return None if lease is None else self.write(replace(lease, **changes))

    def drop(self, lease_id: str) -> None:
        """The resource is no more, and charged for: forget the lease and what was kept of its output."""
        self._path(lease_id).unlink(missing_ok=True)
        self.log_path(lease_id).unlink(missing_ok=True)

    def get(self, lease_id: str) -> Lease | None:
        """The lease of this id; None if there is none, or it cannot be read."""
        try:
            return _from_data(json.loads(self._path(lease_id).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the lease %s cannot be read: %s", lease_id, error)
            return None

    def all(self) -> list[Lease]:
        """Every lease that can be read, oldest first. One that cannot stays where it is, for a person to look at."""
        leases = (self.get(path.stem) for path in self._files())
        return sorted((lease for lease in leases if lease is not None), key=lambda lease: (lease.created_at, lease.id))

    def unreadable(self) -> list[Path]:
        """Files of leases that cannot be read: something may be running that they tell of."""
        return [path for path in self._files() if self.get(path.stem) is None and path.exists()]

    def log_path(self, lease_id: str) -> Path:
        """Where the output of what runs under this lease is kept."""
        return self._dir / f"{lease_id}.log"

    def remove_strays(self, older_than: datetime) -> None:
        """Remove what programs that were killed have left behind, if it was last written before `older_than`: output
        whose lease is gone, and files that were being written. What cannot be removed stays."""
        for name in self._names():
            lease_id, _, kind = name.partition(".")
            is_output = kind in ("log", "log.kept", "log.new") and not (self._dir / f"{lease_id}.json").exists()
            if not is_output and not name.endswith(".new"):
                continue
            with contextlib.suppress(OSError):
                if (self._dir / name).stat().st_mtime < older_than.timestamp():
                    (self._dir / name).unlink()

    def try_lock(self) -> IO[bytes] | None:
        """The right to clean up, held until this file is closed or its process ends; None while another one has it."""
        make_private_dir(self._dir)
        file = (self._dir / "sweep.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError as error:  # some clusters' home directories have no locks: twice the work does no harm
            logger.debug("leases are swept without a lock: %s", error)
        return file

    def _files(self) -> list[Path]:
        return [self._dir / name for name in self._names() if name.endswith(".json")]

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._dir.iterdir())
        except FileNotFoundError:
            return []

    def _path(self, lease_id: str) -> Path:
        if not lease_id.isalnum():
            raise ValueError(f"{lease_id!r} is no lease id")
        return self._dir / f"{lease_id}.json"


def _to_data(lease: Lease) -> dict[str, Any]:
    data = asdict(lease)
    for name in ("created_at", "expires_at", "ended_at"):
        data[name] = data[name].isoformat() if data[name] is not None else None
    return data


def _from_data(data: dict[str, Any]) -> Lease:
    handle, ended_at = data["handle"], data["ended_at"]
    return Lease(
        **data
        | {
            "owner": Owner(**data["owner"]),
            "handle": Handle(**handle) if handle is not None else None,
            "created_at": datetime.fromisoformat(data["created_at"]),
            "expires_at": datetime.fromisoformat(data["expires_at"]),
            "ended_at": datetime.fromisoformat(ended_at) if ended_at is not None else None,
        }
    )


def _sync_directory(path: Path) -> None:
    """Make a rename in it last. Not every system can do that for a directory."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def new_lease(
    kind: Kind,
    backend: str,
    *,
    name: str,
    session_id: str,
    tool_call_id: str,
    flavor: str,
    namespace: str | None,
    usd_per_hour: float | None,
    timeout_s: float | None,
    account: str = "",
    has_command: bool = False,
    price_source: str = "",
    notes: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Lease:
    """A lease of this process on something that is about to be made. Write it before making that."""
    now = now or utc_now()
    return Lease(
        id=new_lease_id(),
        kind=kind,
        backend=backend,
        name=name,
        session_id=session_id,
        tool_call_id=tool_call_id,
        flavor=flavor,
        namespace=namespace,
        usd_per_hour=usd_per_hour,
        timeout_s=timeout_s,
        created_at=now,
        expires_at=expiry(kind, now, timeout_s),
        owner=this_process(),
        account=account,
        has_command=has_command,
        price_source=price_source,
        notes=notes or {},
    )

"""Keeping the store of checkpoints small: the oldest turns lose their copies first."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from agent.sessions.checkpoint_states import Record
from agent.sessions.checkpoint_store import TEMPORARY, Store, is_manifest, read_record, write_record

logger = logging.getLogger(__name__)

KEEP_BYTES = 2 << 30
_DROPPED = "the copies of an older turn were dropped to save space"


def prune(state_dir: Path, keep_bytes: int = KEEP_BYTES) -> None:
    """Bring the copies down to `keep_bytes` if they are more. Blocking; does nothing while the store is in use.

    Of the turns that no longer fit, oldest first, only a note that they were there remains.
    """
    _alone(Store.below(state_dir), lambda store: _drop_oldest(store, keep_bytes))


def forget(state_dir: Path, session_id: str) -> None:
    """Remove the checkpoints of a session, and copies that no other needs (those later, if the store is in use now).

    Blocking. Raises OSError if the manifests cannot be removed, ValueError for an id that is no plain name.
    """
    store = Store.below(state_dir)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(store.manifests(session_id).directory)
    _alone(
        store, lambda store: _sweep(store, {sha256 for _, record in _newest_first(store) for sha256 in _copies(record)})
    )


def _alone(store: Store, work: Callable[[Store], None]) -> None:
    if not store.directory.is_dir():
        return
    try:
        with store.removing():
            work(store)
    except OSError as error:
        logger.info("no copies are removed from %s now: %s", store.directory, error)


def _drop_oldest(store: Store, keep_bytes: int) -> None:
    sizes = _sizes(store)
    if sum(sizes.values()) <= keep_bytes:
        return
    needed: set[str] = set()
    used_bytes, is_full = 0, False
    for path, record in _newest_first(store):
        more = _copies(record) - needed
        more_bytes = sum(sizes.get(sha256, 0) for sha256 in more)
        is_full = is_full or used_bytes + more_bytes > keep_bytes
        if not is_full:
            needed |= more
            used_bytes += more_bytes
        elif _copies(record):
            write_record(path, Record(record.turn_id, {}, {}, notes=(_DROPPED,)))
    _sweep(store, needed)


def _newest_first(store: Store) -> list[tuple[Path, Record]]:
    paths = [path for path in store.sessions_dir.glob("*/*.json") if is_manifest(path)]
    paths.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    found = [(path, read_record(path, store.blobs())) for path in paths]
    return [(path, record) for path, record in found if record is not None]


def _copies(record: Record) -> set[str]:
    states = [*record.before.values(), *(record.after or {}).values()]
    contents = {state.content for state in states if state.kind == "file"}
    return contents | {record.baseline} if record.baseline else contents


def _sizes(store: Store) -> dict[str, int]:
    return {path.parent.name + path.name: path.stat().st_size for path in store.blobs_dir.glob("??/*")}


def _sweep(store: Store, needed: set[str]) -> None:
    """Remove the copies that are not needed, and what processes that were killed have left."""
    for path in store.blobs_dir.glob("??/*"):
        if path.parent.name + path.name not in needed:
            path.unlink(missing_ok=True)
    for path in store.directory.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)

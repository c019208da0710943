"""The outbox: what waits to be uploaded."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction.live import LiveSecrets
from agent.sessions import lock
from agent.sessions.journal import Journal
from agent.traces.uploads.entries import (
    BACKOFF,
    LONGEST_OUTAGE_WAIT,
    MOST_ATTEMPTS,
    Delivery,
    Entry,
    Owner,
    Trouble,
    account_mark,
)
from agent.traces.uploads.mark import Mark
from agent.traces.uploads.outbox import Outbox
from tests.unit.sessions.keeping import keep_session

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return keep_session(tmp_path, ONE, "hi")


def send_all(outbox: Outbox, journal: Path, seq: int = 5, target: str = "personal") -> None:
    size_bytes = journal.stat().st_size
    outbox.update(ONE, target, Delivery().sent(seq, NOW, size_bytes=size_bytes, sha256="abc", repo="me/x", url="u"))


def settled(outbox: Outbox, journal: Path) -> bool:
    send_all(outbox, journal)
    return outbox.settle(ONE, ["personal"], NOW)


def test_an_entry_is_private_and_survives_its_directory_being_moved(
    outbox: Outbox, journal: Path, tmp_path: Path
) -> None:
    """Defect 16 (modes)."""
    outbox.add(ONE, journal)
    path = tmp_path / "uploads" / f"{ONE}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert str(tmp_path) not in path.read_text()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    (entry,) = Outbox(moved).waiting()
    assert entry.journal.exists()
    moved.rename(tmp_path)


def test_nothing_is_made_by_looking(outbox: Outbox, tmp_path: Path) -> None:
    assert outbox.is_empty()
    assert (outbox.waiting(), outbox.done(), outbox.told(), outbox.troubles()) == ([], [], frozenset(), {})
    outbox.remove(ONE)
    assert not (tmp_path / "uploads").exists()


def test_what_was_sent_is_put_away_and_comes_back_when_the_session_goes_on(outbox: Outbox, journal: Path) -> None:
    outbox.add(ONE, journal)
    assert settled(outbox, journal)
    assert outbox.is_empty()
    assert outbox.knows(ONE)
    outbox.add(ONE, journal)
    (entry,) = outbox.waiting()
    assert outbox.done() == []
    assert entry.delivery("personal").uploaded_seq == 5  # what is sent already is known


def test_it_is_not_put_away_while_there_is_more_to_send(outbox: Outbox, journal: Path) -> None:
    """Defect 6: a state that is about the file instead of its last record loses the last upload."""
    outbox.add(ONE, journal)
    send_all(outbox, journal)
    assert not outbox.settle(ONE, ["personal", "organization"], NOW)  # another one waits for it
    with journal.open("ab") as file:
        file.write(b"{}\n")
    assert not outbox.settle(ONE, ["personal"], NOW)  # it grew after it was read
    send_all(outbox, journal)
    running = Journal.reopen(journal, LiveSecrets({}))
    assert not outbox.settle(ONE, ["personal"], NOW)  # it is running
    running.close()
    assert outbox.settle(ONE, ["personal"], NOW)


def test_failures_are_backed_off_and_end() -> None:
    """Defect 9."""
    delivery, now, waits = Delivery(), NOW, []
    for _ in range(MOST_ATTEMPTS):
        assert delivery.is_due(now)
        delivery = delivery.failed("the Hub is away", now)
        assert delivery.next_try is not None
        assert not delivery.is_due(delivery.next_try - timedelta(seconds=1))
        waits.append(delivery.next_try - now)
        now = delivery.next_try
    assert waits[: len(BACKOFF)] == list(BACKOFF)
    assert set(waits[len(BACKOFF) :]) == {BACKOFF[-1]}
    assert delivery.is_given_up
    assert not delivery.is_due(now)
    assert delivery.last_error == "the Hub is away"
    assert delivery.afresh().is_due(now)


def test_a_session_is_not_given_up_for_what_it_is_not_to_blame_for_nor_for_its_age() -> None:
    """One failed try and a holiday used to be the end."""
    delivery = Delivery()
    for _ in range(5 * MOST_ATTEMPTS):
        delivery = delivery.failed("the Hub is away", NOW, is_outage=True)
        assert delivery.next_try is not None
        assert delivery.next_try - NOW <= LONGEST_OUTAGE_WAIT
    assert not delivery.is_given_up
    assert delivery.failed("no", NOW).is_due(NOW + timedelta(days=365))


def test_what_a_wrong_clock_put_off_is_due() -> None:
    future = Delivery().failed("no", NOW + timedelta(days=40_000))
    assert future.is_due(NOW)
    assert not Trouble("no", NOW, NOW + timedelta(days=30_000)).is_in_force(NOW)
    assert Trouble("no", NOW, NOW + timedelta(hours=20)).is_in_force(NOW)


@given(st.lists(st.sampled_from(["fail", "send", "wait"]), max_size=30))
def test_what_was_sent_is_never_forgotten_by_failures(course: list[str]) -> None:
    delivery, seq, now = Delivery(), 0, NOW
    for step in course:
        now += timedelta(hours=1)
        if step == "fail":
            delivery = delivery.failed("no", now)
        elif step == "send":
            seq += 3
            delivery = delivery.sent(seq, now, sha256=str(seq), repo="me/x")
        assert (delivery.uploaded_seq, delivery.sha256) == (seq, str(seq) if seq else "")


def test_a_removed_session_leaves_no_entry_and_none_comes_back(outbox: Outbox, journal: Path) -> None:
    for is_sent in (False, True):
        outbox.add(ONE, journal)
        assert not is_sent or settled(outbox, journal)
        outbox.remove(ONE)
        assert not outbox.knows(ONE)
        outbox.update(ONE, "personal", Delivery(uploaded_seq=3))  # an upload that was under way
        assert not outbox.knows(ONE)


def test_removing_waits_for_whoever_changes_an_entry(outbox: Outbox, journal: Path, tmp_path: Path) -> None:
    """Else what is being written comes back after it was removed."""
    outbox.add(ONE, journal)
    fd = os.open(tmp_path / "uploads" / ".lock", os.O_RDWR)
    assert lock.acquire(fd)
    removing = threading.Thread(target=outbox.remove, args=(ONE,))
    removing.start()
    removing.join(0.3)
    assert removing.is_alive()
    assert outbox.knows(ONE)
    os.close(fd)
    removing.join(30)
    assert not outbox.knows(ONE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"session_id": 3}', '{"session_id": "other"}', "\0" * 100])
def test_a_broken_entry_is_left_out_and_the_others_are_found(
    outbox: Outbox, journal: Path, tmp_path: Path, text: str
) -> None:
    outbox.add(ONE, journal)
    (tmp_path / "uploads" / "broken.json").write_text(text)
    bad = json.loads((tmp_path / "uploads" / f"{ONE}.json").read_text()) | {"session_id": "a b"}
    (tmp_path / "uploads" / "a b.json").write_text(json.dumps(bad))
    assert [entry.session_id for entry in outbox.waiting()] == [ONE]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "told", "targets", "public", ".", "x.y"])
def test_what_is_no_id_leads_nowhere(outbox: Outbox, journal: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="no session"):
        outbox.add(name, journal)
    assert [path.name for path in tmp_path.rglob("*.json")] == []


def test_only_kept_sessions_are_ours(outbox: Outbox, journal: Path, tmp_path: Path) -> None:
    def is_ours(session_id: str, path: Path) -> bool:
        return outbox.is_ours(Entry(session_id, path, NOW))

    (tmp_path / "sessions" / "link.jsonl").symlink_to("/etc/passwd")
    (tmp_path / "sessions" / "passwd.jsonl").symlink_to("/etc/passwd")
    (tmp_path / "sessions" / f"{TWO}.jsonl").symlink_to(journal)
    assert is_ours(ONE, journal)
    assert not is_ours(TWO, journal)  # that of another session
    assert not is_ours(TWO, tmp_path / "sessions" / f"{TWO}.jsonl")
    assert not is_ours("link", tmp_path / "sessions" / "link.jsonl")
    assert not is_ours("passwd", tmp_path / "sessions" / "passwd.jsonl")
    assert not is_ours("config", tmp_path / "sessions" / ".." / "config.json")


def test_only_what_can_be_done_now_is_due(outbox: Outbox, journal: Path, tmp_path: Path) -> None:
    both = ["personal", "organization"]
    outbox.add(ONE, journal, Owner("alice", "a"))
    assert outbox.has_due(NOW, both, Owner("alice", "other token"))
    assert outbox.has_due(NOW, both, Owner("", "b"))  # who that is only the Hub knows
    assert not outbox.has_due(NOW, both, Owner("bob", "b"))
    running = Journal.reopen(journal, LiveSecrets({}))
    assert not outbox.has_due(NOW, both)
    running.close()
    send_all(outbox, journal)
    outbox.update(ONE, "organization", Delivery(attempts=MOST_ATTEMPTS))
    assert not outbox.has_due(NOW, both)  # one has all of it, the other was given up
    assert outbox.has_due(NOW, ["personal"])  # to be put away
    outbox.update(ONE, "organization", Delivery())
    assert outbox.has_due(NOW, both)
    outbox.set_trouble("organization", Trouble("wait", NOW, NOW + timedelta(hours=1)))
    assert not outbox.has_due(NOW, both)


def test_what_was_told_as_a_template_belongs_to_whom_it_was_told(outbox: Outbox) -> None:
    outbox.remember_told(["{hf_user}/s"])
    outbox.resolve_told("{hf_user}/s", "alice/s")
    assert outbox.told() == {"alice/s"}
    outbox.resolve_told("{hf_user}/s", "bob/s")
    assert outbox.told() == {"alice/s"}


def test_an_account_is_known_by_its_name_or_a_mark_of_its_token(outbox: Outbox, journal: Path) -> None:
    outbox.add(ONE, journal, Owner("", "a"))
    outbox.name_owner(Owner("bob", "b"))
    outbox.name_owner(Owner("alice", "a"))
    assert outbox.waiting()[0].owner == Owner("alice", "a")
    outbox.add(ONE, journal, Owner("bob", "b"))  # it goes on under another account
    assert outbox.waiting()[0].owner == Owner("alice", "a")
    send_all(outbox, journal)
    outbox.add(ONE, journal, Owner("bob", "b"), anew=True)  # which the person says
    (entry,) = outbox.waiting()
    assert (entry.owner, entry.targets) == (Owner("bob", "b"), {})


def test_the_mark_of_a_token_does_not_give_it_away() -> None:
    assert account_mark("hf_abcdefghijklmnop") not in ("", account_mark("hf_other"))
    assert "abcdef" not in account_mark("hf_abcdefghijklmnop")
    assert account_mark(None) == ""


def test_troubles_and_told_are_remembered(outbox: Outbox, tmp_path: Path) -> None:
    outbox.remember_told(["me/x"])
    outbox.remember_told(["acme/y"])
    assert outbox.told() == {"me/x", "acme/y"}
    outbox.set_trouble("personal", Trouble(error="refused", at=NOW))
    assert outbox.troubles()["personal"].error == "refused"
    outbox.set_trouble("personal", None)
    assert outbox.troubles() == {}
    assert outbox.waiting() == []
    (tmp_path / "uploads" / "told.json").write_text(json.dumps({"me/x": "no time"}))
    assert outbox.told() == frozenset()  # who cannot know that it was told tells it again


# --- what puts a session in ------------------------------------------------------------------------------------------


class Switch:
    """Whether the person shares."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self) -> bool:
        return self.on


def test_a_new_session_is_marked_once_it_is_shared(outbox: Outbox, journal: Path) -> None:
    switch = Switch(False)
    mark = Mark(outbox, ONE, journal, switch)
    mark()
    assert not outbox.knows(ONE)
    switch.on = True
    mark()
    mark()
    assert [entry.session_id for entry in outbox.waiting()] == [ONE]


def test_a_session_from_before_sharing_is_not_published_by_going_on_with_it(outbox: Outbox, journal: Path) -> None:
    """Defect 8, the other side of it: old sessions are not suddenly published."""
    mark = Mark(outbox, ONE, journal, Switch(True), earlier=ONE)
    mark()
    assert not outbox.knows(ONE)
    Mark(outbox, "2" * 32, journal, Switch(True), earlier=ONE)()  # nor by a fork
    assert outbox.is_empty()
    mark.insist()  # the person says /share-traces on in it
    mark()
    assert outbox.knows(ONE)


def test_a_fork_of_a_shared_session_is_shared(outbox: Outbox, journal: Path) -> None:
    outbox.add(ONE, journal)
    Mark(outbox, "2" * 32, journal, Switch(True), earlier=ONE)()
    assert {entry.session_id for entry in outbox.waiting()} == {ONE, "2" * 32}


def test_a_shared_session_that_goes_on_unshared_is_taken_out(outbox: Outbox, journal: Path) -> None:
    outbox.add(ONE, journal)
    Mark(outbox, ONE, journal, Switch(False), earlier=ONE)()
    assert not outbox.knows(ONE)


def test_going_on_makes_given_up_sessions_due_again(outbox: Outbox, journal: Path) -> None:
    outbox.add(ONE, journal)
    delivery = Delivery(uploaded_seq=2)
    for _ in range(MOST_ATTEMPTS):
        delivery = delivery.failed("no", NOW)
    outbox.update(ONE, "personal", delivery)
    assert not outbox.has_due(NOW + timedelta(days=2), ["personal"])
    Mark(outbox, ONE, journal, Switch(True), earlier=ONE)()
    assert outbox.has_due(NOW, ["personal"])
    assert outbox.waiting()[0].delivery("personal").uploaded_seq == 2


def test_an_outbox_that_cannot_be_written_does_not_disturb_the_session(tmp_path: Path, journal: Path) -> None:
    (tmp_path / "uploads").write_text("a file")
    Mark(Outbox(tmp_path), ONE, journal, Switch(True))()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files that are no text")
def test_a_path_that_is_no_text_does_not_disturb_the_session(tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    Mark(Outbox(tmp_path), ONE, place / f"{ONE}.jsonl", Switch(True))()


def test_a_fork_of_what_another_account_shares_is_not_shared(outbox: Outbox, journal: Path) -> None:
    outbox.add(ONE, journal, Owner("alice", "a"))
    Mark(outbox, TWO, journal, Switch(True), earlier=ONE, owner=Owner("bob", "b"))()
    assert not outbox.knows(TWO)
    Mark(outbox, TWO, journal, Switch(True), earlier=ONE, owner=Owner("alice", "c"))()
    assert outbox.knows(TWO)


def test_what_was_sent_of_a_session_while_it_ran_is_not_the_end_of_it(outbox: Outbox, journal: Path) -> None:
    """Where there are no locks, it may have been taken for over."""
    mark = Mark(outbox, ONE, journal, Switch(True))
    mark()
    assert settled(outbox, journal)
    mark()
    assert outbox.is_empty()
    mark.close()
    assert not outbox.is_empty()

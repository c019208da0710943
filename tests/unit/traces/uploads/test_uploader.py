"""What an upload process sends, and what it makes of the Hub's answers. Real processes, the real client, a fake Hub."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cli.sessions_command import run_sessions
from agent.hub.account import HubAccount
from agent.protocol.messages import user_message, utc_now
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions.index import SessionIndex
from agent.sessions.journal import Journal
from agent.traces.uploads.entries import BACKOFF, MOST_ATTEMPTS, Delivery
from agent.traces.uploads.sharing import Sharing, Target, Tokens
from agent.traces.uploads.uploader import MOST_BYTES, Uploader
from tests.fakes.hub import FakeHub
from tests.unit.sessions.keeping import add_turn, keep_session, start
from tests.unit.traces.uploads.upload_runs import ONE, ORG_REPO, REPO, TWO, Person

COMMIT = "/commit/main$"


def goes_on(path: Path, prompt: str) -> None:
    journal = Journal.reopen(path, LiveSecrets({}))
    journal.append("resume", {"cwd": "/work", "version": "1.0"})
    add_turn(journal, prompt)
    journal.append("end", {"turns": 2})
    journal.close()


def prompts_of(content: bytes) -> list[str]:
    lines = [json.loads(line) for line in content.splitlines()]
    said = [line["message"]["content"] for line in lines if line["type"] == "user"]
    return [text for text in said if isinstance(text, str)]


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_a_session_goes_into_a_private_dataset_with_a_card_in_one_commit(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    person.uploads()
    repo = hub.repos.get(REPO, "dataset")
    assert repo is not None
    assert repo.private
    (commit,) = person.commits()
    assert commit.title == f"Add session {ONE}"
    assert {"README.md", person.place()} <= commit.tree.keys()
    assert prompts_of(commit.tree[person.place()]) == ["train it"]
    person.assert_all_sent(path)
    delivery = person.entry().targets["personal"]
    assert (delivery.repo, delivery.url) == (REPO, f"{hub.url}/datasets/{REPO}")


def test_the_persons_card_stays_as_they_wrote_it(person: Person, hub: FakeHub) -> None:
    """Defect 14."""
    person.keeps(ONE)
    person.uploads()
    hub.repos.commit(REPO, "dataset", {"README.md": "mine"})
    person.keeps(TWO)
    person.uploads()
    assert person.files()["README.md"] == b"mine"


def test_nothing_goes_into_a_dataset_that_is_public_until_the_person_says_that_this_is_meant(
    person: Person, hub: FakeHub
) -> None:
    """They were told that it is private."""
    hub.repos.create(REPO, "dataset", {"README.md": "mine"}, private=False)
    path = person.keeps()
    person.uploads()
    assert person.commits() == []
    error = person.outbox.troubles()["personal"].error
    assert "/share-traces private" in error
    assert "/share-traces public" in error
    assert person.entry().delivery("personal").attempts == 0
    person.outbox.set_published(REPO, True)
    person.uploads()
    person.assert_all_sent(path)


def test_a_dataset_that_was_made_public_stays_so_and_gets_no_second_card(person: Person, hub: FakeHub) -> None:
    hub.repos.create(REPO, "dataset", {"README.md": "mine"}, private=False)
    person.outbox.set_published(REPO, True)
    person.keeps()
    person.uploads()
    repo = hub.repos.get(REPO, "dataset")
    assert repo is not None
    assert not repo.private
    assert person.files()["README.md"] == b"mine"


def test_a_resumed_session_replaces_its_own_file_and_keeps_its_history(person: Person) -> None:
    """Defects 6, 12 and 13."""
    path = person.keeps(ONE, "first")
    person.uploads()
    goes_on(path, "second")
    person.outbox.add(ONE, path)
    person.uploads()
    person.assert_all_sent(path)
    assert prompts_of(person.files()[person.place()]) == ["first", "second"]
    assert len(person.commits()) == 2


def test_sub_agents_go_in_the_same_commit_outside_of_the_sessions(person: Person) -> None:
    person.keeps()
    agent = Journal.create(person.state_dir / "agents" / ONE / "call_1.jsonl", LiveSecrets({}))
    start(agent, id=f"{ONE}/call_1", parent=ONE, agent="research")
    add_turn(agent, "look it up", "Found it.")
    agent.close()
    person.uploads()
    (commit,) = person.commits()
    place = person.place().replace("sessions/", "agents/").replace(".jsonl", "/call_1.jsonl")
    assert "Found it." in commit.tree[place].decode()
    assert len([name for name in commit.tree if name.startswith("sessions/")]) == 1


def test_a_session_without_an_answer_is_not_sent(person: Person, hub: FakeHub) -> None:
    """Rule 12 of sessions.md §3.2."""
    journal = Journal.create(person.state_dir / "sessions" / "2026/11/21" / f"{ONE}.jsonl", LiveSecrets({}))
    start(journal)
    journal.append_message(user_message("hello?"))
    journal.close()
    person.outbox.add(ONE, journal.path)
    person.uploads()
    assert hub.requests == []
    assert person.outbox.is_empty()
    goes_on(journal.path, "and now?")
    person.outbox.add(ONE, journal.path)
    person.uploads()
    assert len(person.commits()) == 1


def test_a_running_session_is_left_alone(person: Person, hub: FakeHub) -> None:
    """Defect 9: pending sessions that are running were retried too."""
    path = person.keeps()
    running = Journal.reopen(path, LiveSecrets({}))
    person.uploads()
    assert hub.requests == []
    assert not person.outbox.is_empty()
    running.close()
    person.uploads()
    person.assert_all_sent(path)


def test_a_session_without_an_entry_stays_here(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    person.outbox.remove(ONE)
    person.uploads()
    assert hub.requests == []
    assert path.exists()


def test_a_session_that_was_removed_is_forgotten(person: Person, hub: FakeHub) -> None:
    person.keeps(ONE).unlink()
    other = person.keeps(TWO)
    person.uploads()
    assert not person.outbox.knows(ONE)
    person.assert_all_sent(other)


def test_an_entry_that_names_another_file_sends_nothing(person: Person, hub: FakeHub, tmp_path: Path) -> None:
    path = person.keeps()
    elsewhere = tmp_path / "elsewhere.jsonl"
    path.rename(elsewhere)
    entry = person.state_dir / "uploads" / f"{ONE}.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"journal": str(elsewhere)}))
    person.uploads()
    assert hub.requests == []


@pytest.mark.parametrize("step", [("GET", "/api/datasets/[^/]+/[^/]+$"), ("POST", "/preupload/")], ids=["look", "pre"])
def test_a_session_that_is_removed_while_it_is_on_its_way_is_not_published(
    person: Person, hub: FakeHub, step: tuple[str, str]
) -> None:
    person.keeps()
    hub.fail(*step, kind="hold")
    process = person.starts()
    hub.wait_stalled(timeout_s=30)
    index = SessionIndex(person.state_dir)
    index.remove(index.find(ONE))
    person.outbox.remove(ONE)
    hub.resume()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert person.commits() == []
    assert not person.outbox.knows(ONE)


def test_a_session_is_that_of_its_entry_and_an_entry_that_is_none_ends_nothing(person: Person, hub: FakeHub) -> None:
    path = person.keeps(ONE)
    unshared = person.keeps(TWO, "never shared")
    person.outbox.remove(TWO)
    for name, about in (("3" * 32, str(unshared)), ("a b", "nope.jsonl")):
        raw = {"session_id": name, "journal": about, "added_at": "2020-01-01T00:00:00+00:00"}
        (person.state_dir / "uploads" / f"{name}.json").write_text(json.dumps(raw))
    person.uploads()
    person.assert_all_sent(path)


def test_journals_of_sub_agents_that_lead_elsewhere_stay_here(person: Person, tmp_path: Path) -> None:
    person.keeps()
    other = keep_session(tmp_path / "other", TWO, "not of here")
    agents = person.state_dir / "agents" / ONE
    agents.mkdir(parents=True)
    (agents / "call_1.jsonl").symlink_to(other)
    person.uploads()
    assert len(person.commits()) == 1
    assert not any(b"not of here" in content for content in person.files().values())


def test_a_session_that_is_too_big_says_so(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    with path.open("r+b") as file:
        file.truncate(MOST_BYTES + 1)
    person.uploads()
    assert "too big" in person.entry().delivery("personal").last_error
    assert hub.requests == []


def test_nothing_of_what_was_packed_is_left_behind(person: Person, hub: FakeHub) -> None:
    packing = person.state_dir / "uploads" / "packing"
    path = person.keeps()
    hub.fail("POST", COMMIT, kind="stall")
    process = person.starts()
    hub.wait_stalled(timeout_s=30)
    assert [stat.S_IMODE(file.stat().st_mode) for file in packing.iterdir()] == [0o600]
    assert stat.S_IMODE(packing.stat().st_mode) == 0o700
    process.kill()
    process.wait(30)
    person.uploads()
    person.assert_all_sent(path)
    assert not packing.exists()


def test_a_new_title_of_an_uploaded_session_reaches_the_hub(person: Person) -> None:
    path = person.keeps()
    person.uploads()
    place = {"XDG_STATE_HOME": str(person.state_dir.parent), "HOME": str(person.home)}
    assert run_sessions(["rename", ONE, "A better name"], environ=place, cwd=person.home, out=io.StringIO()) == 0
    person.uploads()
    person.assert_all_sent(path)
    assert b"A better name" in person.files()[person.place()]
    assert run_sessions(["rm", "--yes", ONE], environ=place, cwd=person.home, out=io.StringIO()) == 0
    assert not person.outbox.knows(ONE)


def test_a_session_that_is_not_shared_is_not_put_in_by_a_new_title(person: Person) -> None:
    person.keeps()
    person.outbox.remove(ONE)
    place = {"XDG_STATE_HOME": str(person.state_dir.parent), "HOME": str(person.home)}
    run_sessions(["rename", ONE, "A better name"], environ=place, cwd=person.home, out=io.StringIO())
    assert person.outbox.is_empty()


def test_a_crashed_session_is_sent_to_its_last_record(person: Person) -> None:
    """Defect 8: a crash, and nothing was ever sent."""
    path = person.keeps()
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rfind(b"\n", 0, -1) + 1])  # no `end`
    person.uploads()
    person.assert_all_sent(path)


def test_planted_secrets_are_in_no_request(person: Person, hub: FakeHub) -> None:
    live, foreign = "correct-horse-battery-staple-42", "hf_" + "Q7w" * 12
    person.env["WANDB_API_KEY"] = live
    person.keeps(ONE, f"use {live} and {foreign}")
    person.uploads()
    assert len(person.commits()) == 1
    for content in person.files().values():
        assert live.encode() not in content
        assert foreign.encode() not in content
    for request in hub.requests:
        assert live.encode() not in request.raw_body
        assert person.hub.token.encode() not in request.raw_body


# --- the organisation's dataset --------------------------------------------------------------------------------------


def test_an_organisation_gets_rows_with_its_own_token(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    person.env["ML_INTERN_SESSION_DATASET_REPO"] = ORG_REPO
    person.uploads()
    assert hub.repos.get(ORG_REPO, "dataset") is None  # no token for it: nothing goes there
    goes_on(path, "again")
    person.outbox.add(ONE, path)
    person.tokens = Tokens(hub.token, hub.token)
    person.uploads()
    organization = hub.repos.get(ORG_REPO, "dataset")
    assert organization is not None
    assert organization.private
    row = json.loads(person.files(ORG_REPO)[person.place()])
    assert row["session_id"] == ONE
    assert isinstance(json.loads(row["messages"]), list)
    assert "README.md" not in person.files(ORG_REPO)
    assert person.outbox.is_empty()


def test_a_refusal_by_the_organisation_does_not_keep_the_persons_own_from_going(person: Person, hub: FakeHub) -> None:
    """Defect 9: ordinary tokens cannot write the organisation's dataset."""
    person.env["ML_INTERN_SESSION_DATASET_REPO"] = ORG_REPO
    person.tokens = Tokens(hub.token, "hf_not_a_token_at_all")
    for session_id in (ONE, TWO):
        person.keeps(session_id)
    person.uploads()
    assert len(person.commits()) == 2
    assert "token is not accepted" in person.outbox.troubles()["organization"].error
    assert person.entry().delivery("organization").attempts == 0
    asked = [request for request in hub.requests if "hf_not" in request.headers.get("authorization", "")]
    assert len([request for request in asked if request.method == "POST"]) == 1


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_stops_everything_and_is_tried_again_at_a_later_start(
    person: Person, hub: FakeHub, status: int
) -> None:
    paths = [person.keeps(session_id) for session_id in (ONE, TWO)]
    hub.fail("POST", COMMIT, status=status)
    person.uploads()
    assert person.commits() == []
    assert len([request for request in hub.requests if request.path.endswith("/commit/main")]) == 1
    assert person.outbox.troubles().keys() == {"personal"}
    assert person.entry().delivery("personal").attempts == 0
    person.uploads()
    person.assert_all_sent(*paths)
    assert person.outbox.troubles() == {}


def test_without_a_token_nothing_is_asked(person: Person, hub: FakeHub) -> None:
    person.keeps()
    person.tokens = Tokens()
    said = person.uploads()
    assert hub.requests == []
    assert "no Hugging Face token" in said


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "body": b"<html><title>away</title>"},
        {"status": 400},
        {"status": 413},
        {"kind": "cut"},
    ],
    ids=["500", "503", "400", "413", "cut"],
)
def test_one_bad_session_does_not_keep_the_others_and_is_tried_later(
    person: Person, hub: FakeHub, fault: dict[str, object]
) -> None:
    paths = [person.keeps(session_id) for session_id in (ONE, TWO)]
    hub.fail("POST", COMMIT, **fault)
    person.uploads()
    bad = person.entry(ONE).delivery("personal")
    is_outage = fault.get("status", 500) in (500, 503)  # which no session is given up for
    assert (bad.attempts, bad.failures, bad.uploaded_seq) == (0 if is_outage else 1, 1, 0)
    assert bad.last_error
    assert "<html" not in bad.last_error
    assert [entry.session_id for entry in person.outbox.done()] == [TWO]
    person.uploads()  # not due yet
    assert len(person.commits()) == 1
    person.makes_due()
    person.uploads()
    person.assert_all_sent(*paths)
    assert len(person.commits()) == 2


def test_a_hub_that_is_away_is_not_asked_for_every_session(person: Person, hub: FakeHub) -> None:
    """Defect 9: the retry storm."""
    for number in range(8):
        person.keeps(str(number) * 32)
    hub.fail("*", "/api/whoami-v2", status=502, times=100)
    person.uploads()
    assert sum(bool(entry.targets) for entry in person.outbox.waiting()) == 3
    waits = []
    for _ in range(2):
        trouble = person.outbox.troubles()["personal"]
        assert trouble.not_before is not None
        waits.append(trouble.not_before - trouble.at)
        asked = len(hub.requests)
        person.uploads()
        assert len(hub.requests) == asked
        person.makes_due()
        person.uploads()
    assert waits == list(BACKOFF[:2])  # longer each time


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}])
def test_a_rate_limit_is_heeded_by_all_and_costs_no_attempt(
    person: Person, hub: FakeHub, headers: dict[str, str]
) -> None:
    """Defect 14."""
    paths = [person.keeps(session_id) for session_id in (ONE, TWO)]
    hub.fail("POST", "/preupload/", status=429, headers=headers, times=100)
    person.uploads()
    trouble = person.outbox.troubles()["personal"]
    assert trouble.not_before is not None
    assert timedelta(minutes=59) < trouble.not_before - trouble.at <= timedelta(hours=1)
    asked = len(hub.requests)
    person.uploads()
    assert len(hub.requests) == asked
    assert person.entry().delivery("personal").attempts == 0
    person.outbox.set_trouble("personal", replace(trouble, not_before=utc_now()))
    hub.faults.clear()
    person.uploads()
    person.assert_all_sent(*paths)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    hub.fail("POST", COMMIT, kind="after")
    person.uploads()
    assert person.entry().delivery("personal").uploaded_seq == 0
    person.makes_due()
    person.uploads()
    person.assert_all_sent(path)
    assert len(person.commits()) == 1


def test_the_same_content_is_not_offered_again(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    person.uploads()
    asked = len([request for request in hub.requests if "/preupload/" in request.path])
    journal = Journal.reopen(path, LiveSecrets({}))
    journal.append("cap", {"cap_usd": 3.0})  # which is not in the trace
    journal.close()
    person.outbox.add(ONE, path)
    person.uploads()
    person.assert_all_sent(path)
    assert len([request for request in hub.requests if "/preupload/" in request.path]) == asked


def test_a_session_that_cannot_be_read_is_given_up_and_the_others_go(person: Person, hub: FakeHub) -> None:
    bad, good = person.keeps(ONE), person.keeps(TWO)
    bad.write_text('{"v":99,"seq":1,"ts":"2026-11-21T00:00:00.000Z","kind":"start","data":{}}\n')
    person.uploads()
    delivery = person.entry(ONE).delivery("personal")
    assert delivery.attempts == 1
    assert "update ml-intern" in delivery.last_error
    assert [entry.session_id for entry in person.outbox.done()] == [good.stem]
    person.outbox.update(ONE, "personal", Delivery(attempts=MOST_ATTEMPTS, last_error="no"))
    asked = len(hub.requests)
    person.uploads()
    assert len(hub.requests) == asked
    assert person.entry(ONE).delivery("personal").last_error == "no"


class Broken(Redactor):
    """Cannot redact anything."""

    def __init__(self, error: Exception) -> None:
        super().__init__(None)
        self.error = error

    def text(self, text: str) -> str:
        raise self.error

    def data(self, value: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [RedactionError("no"), ValueError("a bug with the-secret in it")])
async def test_what_cannot_be_redacted_is_not_sent(person: Person, hub: FakeHub, error: Exception) -> None:
    """Defect 5: redaction that fails open."""
    person.keeps()
    sharing = Sharing((Target("personal", REPO),))
    uploader = Uploader(
        outbox=person.outbox,
        state_dir=person.state_dir,
        sharing=lambda: sharing,
        accounts={"personal": HubAccount(hub.token, person.env)},
        redactor=lambda: Broken(error),
    )
    await uploader.run()
    assert hub.requests == []
    delivery = person.entry().delivery("personal")
    assert (delivery.attempts, delivery.uploaded_seq) == (1, 0)
    assert delivery.last_error
    assert "the-secret" not in delivery.last_error

"""Finding sessions again: listing, searching, naming and removing them."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.protocol.events import Event, UndoComplete
from agent.protocol.messages import Message, user_message
from agent.redaction.live import LiveSecrets
from agent.sessions.errors import AmbiguousSessionError, JournalBusyError, JournalError, SessionNotFoundError
from agent.sessions.index import SessionIndex
from agent.sessions.journal import Journal
from tests.unit.sessions.keeping import NO_SECRETS, add_turn, keep_session, llm_call, start

HERE = Path("/work")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def ids(index: SessionIndex, cwd: Path | None = None, query: str = "") -> list[str]:
    return [info.id for info in index.list(cwd, query)]


def continued(path: Path, *prompts: str) -> None:
    journal = Journal.reopen(path, NO_SECRETS)
    for prompt in prompts:
        add_turn(journal, prompt)
    journal.close()


def database(state: Path) -> Path:
    return state / "sessions" / "index.sqlite3"


# --- listing ---------------------------------------------------------------------------------------------------------


def test_nothing_is_made_where_nothing_was_kept(state: Path) -> None:
    assert SessionIndex(state).list() == []
    assert not state.exists()


def test_a_listing_tells_what_a_session_was(state: Path) -> None:
    path = keep_session(state, "aaaa1111", "  train\na model  ", "and now evaluate it")
    (info,) = SessionIndex(state).list(HERE)
    assert (info.id, info.path, info.title, info.preview) == ("aaaa1111", path, "train a model", "train a model")
    assert (info.cwd, info.model, info.turns, info.messages) == ("/work", "replay/demo", 2, 8)
    assert (info.cost_usd, info.cost_known, info.size_bytes) == (0.5, True, path.stat().st_size)
    assert not info.is_running and info.parent is None
    assert info.started <= info.last_used and info.last_used.tzinfo is not None
    assert database(state).stat().st_mode & 0o777 == 0o600


def test_the_session_used_last_comes_first_whatever_happened_to_its_file(state: Path) -> None:
    first = keep_session(state, "aaaa", "one")
    second = keep_session(state, "bbbb", "two")
    index = SessionIndex(state)
    assert ids(index) == ["bbbb", "aaaa"]
    continued(first, "three")
    os.utime(second)
    assert ids(index) == ["aaaa", "bbbb"]
    index.rename(index.find("bbbb"), "a new name is no use", NO_SECRETS)
    assert ids(index) == ["aaaa", "bbbb"]


def test_only_sessions_of_the_directory_and_below_unless_all_are_wanted(state: Path) -> None:
    for name, cwd in [("a", "/work"), ("b", "/work/deep/er"), ("c", "/workshop"), ("d", "/"), ("e", "/w\udcff")]:
        keep_session(state, name, "hello", cwd=cwd)
    index = SessionIndex(state)
    assert sorted(ids(index, HERE)) == ["a", "b"]
    assert sorted(ids(index, Path("/"))) == sorted(ids(index)) == ["a", "b", "c", "d", "e"]
    assert ids(index, Path("/w\udcff")) == ["e"]
    assert len(index.list(limit=2)) == 2


def test_sessions_in_which_nothing_was_said_are_not_listed_but_found(state: Path) -> None:
    keep_session(state, "aaaa1111")
    index = SessionIndex(state)
    assert index.list() == []
    assert index.find("aaaa1111").turns == 0


def test_what_was_taken_back_does_not_count(state: Path) -> None:
    path = keep_session(state, "aaaa", "wrong start")
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append_event(Event(UndoComplete(removed_messages=4, removed_turns=1)))
    journal.close()
    index = SessionIndex(state)
    (info,) = index.list()  # still there, to begin differently
    assert (info.preview, info.turns, info.messages) == ("wrong start", 0, 0)
    continued(path, "right start")
    (info,) = index.list()
    assert (info.title, info.turns, info.messages) == ("right start", 1, 4)


def test_unknown_prices_are_told_apart(state: Path) -> None:
    journal = Journal.reopen(keep_session(state, "aaaa", "hello"), NO_SECRETS)
    journal.append_event(Event(llm_call(None)))
    journal.close()
    (info,) = SessionIndex(state).list()
    assert (info.cost_usd, info.cost_known) == (1.75, False)


def test_a_running_session_is_said_to_be(state: Path) -> None:
    journal = Journal.reopen(keep_session(state, "aaaa", "hello"), NO_SECRETS)
    journal.append("resume", {"cwd": "/work"})
    index = SessionIndex(state)
    assert index.list()[0].is_running
    journal.close()
    assert not index.list()[0].is_running


def test_several_may_list_and_write_at_the_same_time(state: Path) -> None:
    def use(name: str) -> list[int]:
        counts = []
        for number in range(8):
            keep_session(state, f"{name}-{number}", f"prompt of {name}")
            counts.append(len(SessionIndex(state).list(query=name)))
        return counts

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(use, ["first", "second", "third", "fourth"])) == [list(range(1, 9))] * 4


# --- searching -------------------------------------------------------------------------------------------------------


def test_all_words_must_be_in_title_or_prompts(state: Path) -> None:
    path = keep_session(state, "aaaa", "Fine-tune the STRASSE model", "then push to the Hub")
    keep_session(state, "bbbb", "fine weather")
    index = SessionIndex(state)
    assert sorted(ids(index, query="FINE")) == ["aaaa", "bbbb"]
    assert ids(index, query="hub fine-tune") == ["aaaa"]
    assert ids(index, query="straße") == ["aaaa"]
    assert ids(index, query="fine hub nothing") == []
    assert ids(index, query="done") == []  # what the model says is not searched
    assert ids(index, query="100%_") == []
    continued(path, "now quantize 100%_ of it")
    assert ids(index, query="quantize hub 100%_") == ["aaaa"]
    index.rename(index.find("bbbb"), "Über den Himmel", NO_SECRETS)
    assert ids(index, query="über weather") == ["bbbb"]


# --- the database is a cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 400, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_lost_or_broken_database_is_made_anew(state: Path, content: bytes | None) -> None:
    keep_session(state, "aaaa", "hello")
    index = SessionIndex(state)
    before = index.list()
    if content is None:
        database(state).unlink()
    else:
        database(state).write_bytes(content)
    assert index.list() == before
    assert sqlite3.connect(database(state)).execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_a_database_broken_in_its_middle_is_made_anew(state: Path) -> None:
    for number in range(100):
        keep_session(state, f"{number:04}", "hello " * 500)
    index = SessionIndex(state)
    before = index.list()
    content = bytearray(database(state).read_bytes())
    content[4096 * 2 :] = b"\xa5" * len(content[4096 * 2 :])
    database(state).write_bytes(content)
    assert index.list() == before


def test_a_database_of_another_schema_is_made_anew(state: Path) -> None:
    keep_session(state, "aaaa", "hello")
    database(state).parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(database(state)) as connection:
        connection.execute("CREATE TABLE sessions (old)")
        connection.execute("PRAGMA user_version = 1")
    assert ids(SessionIndex(state)) == ["aaaa"]


def test_without_a_place_for_the_database_the_journals_themselves_are_read(state: Path) -> None:
    keep_session(state, "aaaa", "hello")
    database(state).mkdir()
    assert ids(SessionIndex(state)) == ["aaaa"]


def test_files_that_went_came_or_were_replaced(state: Path) -> None:
    first = keep_session(state, "aaaa", "a long prompt that is replaced")
    index = SessionIndex(state)
    assert ids(index) == ["aaaa"]
    second = keep_session(state, "bbbb", "hello")
    second.rename(first)
    assert [(info.id, info.title) for info in index.list()] == [("bbbb", "hello")]
    first.unlink()
    assert index.list() == []


def test_damage_and_newer_formats_do_not_spoil_a_listing(state: Path) -> None:
    good = keep_session(state, "aaaa", "hello")
    lines = good.read_bytes().splitlines(keepends=True)
    (good.parent / "bbbb.jsonl").write_bytes(b"garbage\n" + b"".join(lines[1:]) + b'{"torn')
    (good.parent / "cccc.jsonl").write_text('{"v":9,"seq":1,"ts":"","kind":"start","data":{}}\n')
    (good.parent / "dddd.jsonl").write_bytes(b"")
    (good.parent / "notes.txt").write_text("not a journal")
    assert sorted(ids(SessionIndex(state))) == ["aaaa", "bbbb"]


# --- finding one -----------------------------------------------------------------------------------------------------


def test_the_ways_to_name_a_session(state: Path) -> None:
    path = keep_session(state, "abcd1111", "first in here")
    keep_session(state, "abcd2222", "second in here")
    keep_session(state, "ffff3333", "elsewhere", cwd="/other")
    index = SessionIndex(state)
    assert index.find("abcd1111").id == "abcd1111"
    assert index.find("abcd2").id == "abcd2222"
    assert index.find("ffff").id == "ffff3333"
    assert index.find("2", HERE).id == "abcd1111"
    assert index.find("1").id == "ffff3333"
    assert index.find(str(path)).id == "abcd1111"
    assert index.find("Second in HERE ").id == "abcd2222"


def test_a_journal_that_lies_elsewhere_is_found_by_its_path(state: Path, tmp_path: Path) -> None:
    path = keep_session(state, "aaaa", "hello").rename(tmp_path / "copy.jsonl")
    index = SessionIndex(state)
    info = index.find(str(path))
    assert (info.id, info.title, info.path) == ("aaaa", "hello", path)
    with pytest.raises(JournalError, match="not among the kept sessions"):
        index.remove(info)
    assert path.exists()


@pytest.mark.parametrize("text", ["abc", "0", "3", "9" * 30, "-1", "nothing", "", "/no/such.jsonl", "²"])
def test_what_names_no_session(state: Path, text: str) -> None:
    keep_session(state, "abcd1111", "hello there")
    keep_session(state, "abcd2222", "other")
    with pytest.raises(SessionNotFoundError, match="ml-intern sessions list --all"):
        SessionIndex(state).find(text, HERE)


def test_near_matches_are_named(state: Path) -> None:
    keep_session(state, "abcd1111", "train a small classifier")
    keep_session(state, "ffff2222", "write a poem")
    for text in ("trian a smal clasifier", "classifier", "abcd1112"):
        with pytest.raises(SessionNotFoundError, match=r"did you mean abcd1111 \(train a small classifier\)\?"):
            SessionIndex(state).find(text)


def test_what_names_several_sessions(state: Path) -> None:
    for number in range(5):
        keep_session(state, f"abcd{number}", "the same title")
    index = SessionIndex(state)
    for text in ("abcd", "the same title"):
        with pytest.raises(AmbiguousSessionError, match=r"can mean abcd\d \(the same title\), .*2 more"):
            index.find(text)


# --- naming and removing ---------------------------------------------------------------------------------------------


def test_a_new_title_is_kept_without_secrets(state: Path) -> None:
    keep_session(state, "aaaa", "hello")
    index = SessionIndex(state)
    index.rename(index.find("aaaa"), "  With \n hf_abcdefghijk ", LiveSecrets({"HF_TOKEN": "hf_abcdefghijk"}))
    assert index.find("aaaa").title == "With [REDACTED:HF_TOKEN]"
    assert index.find("aaaa").preview == "hello"


def test_removing_takes_all_that_was_kept(state: Path) -> None:
    path = keep_session(state, "aaaa", "a secret plan")
    other = keep_session(state, "bbbb", "hello")
    for name in ("aaaa", "bbbb"):
        (state / "spill" / name).mkdir(parents=True)
        (state / "spill" / name / "output.txt").write_text("long")
    index = SessionIndex(state)
    index.remove(index.find("aaaa"))
    assert not path.exists() and other.exists()
    assert [item.name for item in (state / "spill").iterdir()] == ["bbbb"]
    assert ids(index) == ["bbbb"]
    assert b"secret plan" not in database(state).read_bytes()
    index.remove(index.find("bbbb"))
    assert [item.name for item in (state / "sessions").iterdir()] == ["index.sqlite3"]


def test_a_running_session_is_neither_removed_nor_renamed_from_outside(state: Path) -> None:
    path = keep_session(state, "aaaa", "hello")
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append("resume", {"cwd": "/work"})
    index = SessionIndex(state)
    with pytest.raises(JournalBusyError, match=f"open in process {os.getpid()}; end that one first"):
        index.remove(index.find("aaaa"))
    with pytest.raises(JournalBusyError, match="use /rename there"):
        index.rename(index.find("aaaa"), "new", NO_SECRETS)
    journal.close()
    assert path.exists()


@pytest.mark.parametrize("evil", ["..", "../..", "/", ".", "a/../..", ""])
def test_an_id_that_is_a_path_removes_nothing_else(state: Path, evil: str) -> None:
    journal = Journal.create(state / "sessions" / "2026" / "11" / "21" / "aaaa.jsonl", NO_SECRETS)
    start(journal, id=evil)
    journal.append_message(user_message("hello"))
    journal.close()
    (state / "spill" / "other").mkdir(parents=True)
    (state / "logs").mkdir()
    index = SessionIndex(state)
    index.remove(index.list()[0])
    assert (state / "spill" / "other").is_dir() and (state / "logs").is_dir()
    assert index.list() == []


def test_a_huge_prompt_is_searched_at_its_beginning(state: Path) -> None:
    keep_session(state, "aaaa", "needle " + "x " * 100_000 + " lost")
    index = SessionIndex(state)
    assert ids(index, query="needle") == ["aaaa"]
    assert ids(index, query="lost") == []


def test_only_the_person_gives_titles_and_words_to_find(state: Path) -> None:
    journal = Journal.reopen(keep_session(state, "aaaa"), NO_SECRETS)
    journal.append_message(user_message("guard says", "guard"))
    journal.append_message(Message(role="user", content=None, origin="person"))
    journal.append_message(user_message("summary of", "summary"))
    journal.close()
    (info,) = SessionIndex(state).list()
    assert (info.title, info.turns) == ("", 1)
    assert ids(SessionIndex(state), query="guard") == []

"""Promises about sessions and traces that no single part keeps: all formats with all awkward sessions, the list of
sessions, and the settings that are documented."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.cli.exports import FORMATS, ExportError, Source, export_text, write_export
from agent.cli.saved_sessions import find_saved
from agent.config_keys import Config
from agent.core.session import Session
from agent.protocol.events import (
    ApprovalItem,
    ApprovalRequired,
    ErrorRaised,
    Feedback,
    HfJobSubmit,
    PlanItem,
    PlanUpdate,
    ToolLog,
    ToolOutput,
    TurnComplete,
)
from agent.protocol.messages import assistant_message, tool_message, user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from agent.sessions.index import SessionIndex
from agent.sessions.journal import Journal
from agent.sessions.restore import restore
from agent.sft.building import Filters, run_sft
from agent.traces.saying import decodable
from agent.traces.uploads.sharing import OFF_SWITCHES, ORGANIZATION_TOKEN
from tests.unit.core.loop import running
from tests.unit.redaction.planted import HEX, SHAPED, UPPER, survives
from tests.unit.sessions.keeping import NO_SECRETS, call, keep_session, llm_call
from tests.unit.traces.legacy import reference_files as legacy
from tests.unit.traces.pages.rich_session import Keeper, rich_session
from tests.unit.traces.trace_sessions import SESSIONS

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")
ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")


def source_of(state: Path, redactor: Redactor | None = None) -> Source:
    """The session below `state` that is no sub-agent's."""
    (info,) = (info for info in SessionIndex(state).list() if "/" not in info.id)
    return Source(info, state, redactor or Redactor())


# --- every format takes every session ---------------------------------------------------------------------------------


@pytest.mark.parametrize("session", sorted(set(SESSIONS) - {"fork", "fork_of_a_compacted_one"}))
async def test_every_format_takes_every_session(session: str, tmp_path: Path) -> None:
    """Part F: the awkward sessions, with U+2028, lone surrogates and 5 MB outputs, in each format that we offer."""
    journal = await SESSIONS[session](tmp_path)
    state = journal.parents[4]
    (info,) = SessionIndex(state).list()
    for name in FORMATS:
        text = export_text(Source(info, state, Redactor()), name)
        assert text
        if name in ("claude-code", "hub", "legacy"):  # programs read them, with any idea of what a line is
            assert text.isascii()
            assert "\\ud800" not in text.replace("\\\\ud800", "")
        if name in ("json", "legacy"):
            assert json.loads(text)
        if name == "legacy" and session == "odd_characters":
            assert "e\\u0000f g\\ufffdh\\ufffd i\\ufffd" in text
        if name in ("claude-code", "hub"):
            assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


@pytest.mark.parametrize("session", sorted(set(SESSIONS) - {"undone_altogether", "still_running"}))
async def test_a_legacy_file_of_any_session_is_the_same_conversation_again(session: str, tmp_path: Path) -> None:
    """Sections 2 and 6: written, read and resumed elsewhere, what the model is shown is the same."""
    journal = await SESSIONS[session](tmp_path)
    state, elsewhere = journal.parents[4], tmp_path / "elsewhere"
    info = SessionIndex(state).find(str(journal))
    file = tmp_path / "session_x.json"
    file.write_text(export_text(Source(info, state, Redactor()), "legacy"), "ascii")
    again = restore(find_saved(str(file), tmp_path, elsewhere, NO_SECRETS).path)

    def told(messages: Any) -> list[tuple[Any, ...]]:
        return [
            (message.role, decodable(message.content or ""), [call.function.name for call in message.tool_calls])
            for message in messages
            if message.content or message.tool_calls  # what says nothing is left out
        ]

    assert told(again.messages) == told(restore(journal).messages)


@pytest.mark.parametrize("name", FORMATS)
def test_a_session_of_the_reference_is_exported_and_its_file_stays(name: str, tmp_path: Path) -> None:
    """Defect 13: going on with a file of the reference, or uploading it, changed it."""
    path = legacy.keep(tmp_path)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    info = find_saved(str(path), tmp_path, tmp_path / "state", NO_SECRETS)
    text = export_text(Source(info, tmp_path / "state", Redactor()), name)
    assert all(words in text for words in ("classifier", "make it", "Nothing is there yet.", "no such directory"))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


class _Broken(LiveSecrets):
    def scrub(self, text: str) -> str:
        raise RuntimeError(f"cannot read {text}")


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_gives_anything_away_when_redaction_fails(name: str, tmp_path: Path) -> None:
    """Defect 5: the raw session was written when redaction failed. Sub-agents' files are no exception."""
    keep_session(tmp_path, "aaaa1111", "the token is planted-secret-value")
    source = source_of(tmp_path, Redactor(_Broken({"A_TOKEN": "planted-secret-value"})))
    with pytest.raises(ExportError) as caught:
        export_text(source, name)
    assert "planted-secret-value" not in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_exporting_changes_nothing(name: str, tmp_path: Path) -> None:
    """Everything is a view of the journal: an export writes nothing and is the same each time."""
    rich_session(tmp_path)
    source = source_of(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    first = export_text(source, name), sub_agent_texts(source, name)
    second = export_text(source_of(tmp_path), name), sub_agent_texts(source_of(tmp_path), name)
    assert first == second
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def sub_agent_texts(source: Source, name: str) -> dict[str, str]:
    """What is written beside the export: file name to text."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_export(source, name, Path(place) / f"run{FORMATS[name].suffix}", overwrite=False)
        return {path.name: path.read_text() for path in sorted(folder.iterdir())} if folder is not None else {}


def made_up(kind: str) -> tuple[str, str]:
    """A secret of this kind, and the part of it that nobody could guess."""
    prefix, alphabet, length = SHAPED[kind]
    chance = random.Random(kind)
    mark = "4B7C" if alphabet == UPPER else "4b7c" if alphabet == HEX else "4bR7"
    body = "".join(chance.choices(alphabet.replace("-", "").replace("_", ""), k=length - 4))
    return f"{prefix}{body[:2]}{mark}{body[2:]}", f"{body[:2]}{mark}{body[2:]}"


def planted_session(state: Path, secrets: Sequence[str]) -> None:
    """Every secret everywhere in a session."""
    said = "\n".join(
        ["Words before, so that no title is cut in a secret: that is another test, below. Look:"]
        + [f"use {secret} here" for secret in secrets]
    )
    keeper = Keeper(state, "planted", cwd=f"/work/{secrets[0]}")
    keeper.journal.append("place", {"git_branch": f"fix-{secrets[1]}", "tools": None})
    keeper.journal.append("title", {"title": f"about {secrets[2]}", "by": "person"})
    keeper.ask(said)
    nested = {"env": [{"note": secret} for secret in secrets], "script": json.dumps({"body": said, "n": [said]})}
    calls = [keeper.new_call("bash", json.dumps(nested)), keeper.new_call("bash", f'{{"cut": "{secrets[3]}')]
    keeper.answer(said, *calls, reasoning_content=said)
    keeper.tell(
        PlanUpdate((PlanItem("1", said, "completed"),)),
        ApprovalRequired((ApprovalItem("bash", {"command": said}, calls[0].id, said),), 1),
        ToolLog("bash", said, calls[0].id, said),
    )
    for each in calls:
        keeper.finish(each, json.dumps({"out": said}), ok=False, display=said)
    keeper.say(user_message(said, "steering"), user_message(said, "shell"))
    keeper.compact(said)
    keeper.ask(f"https://h.example/?q={secrets[4]}&n=1")
    keeper.answer(said)
    keeper.undo(2)
    keeper.tell(ErrorRaised(said, "auth"), TurnComplete(3, said), Feedback("down", comment=said))
    keeper.journal.append("end", {"turns": 1})
    keeper.journal.close()
    agent = Journal.create(state / "agents" / "planted" / "call_1.jsonl", NO_SECRETS)
    agent.append("start", {"id": "planted/call_1", "parent": "planted", "agent": "research", "model": "replay/demo"})
    for message in (user_message(said), assistant_message(said)):
        agent.append_message(message)
    agent.close()


def test_planted_secrets_of_all_kinds_are_in_no_file(tmp_path: Path) -> None:
    """Part F: 30 kinds, in text, JSON, nested arguments and addresses, in every format, and in training data."""
    secrets = [made_up(kind) for kind in SHAPED]
    assert len(secrets) >= 30
    planted_session(tmp_path, [secret for secret, _ in secrets])
    source = source_of(tmp_path)
    texts = {name: export_text(source, name) for name in FORMATS}
    texts |= {f"{name} of a sub-agent": "".join(sub_agent_texts(source, name).values()) for name in FORMATS}
    run_sft(tmp_path, tmp_path / "rows", live=NO_SECRETS, filters=Filters(), cwd=None)
    texts["sft"] = "".join(path.read_text() for path in (tmp_path / "rows").rglob("*") if path.is_file())
    assert "use " in texts["sft"]
    for name, text in texts.items():
        assert [kind for kind, (_, body) in zip(SHAPED, secrets, strict=True) if survives(body, text, 10)] == [], name


PLANTED = "Kq81zPlanted4mNp07Wv29Tx"


def named_session(state: Path) -> None:
    """A secret in all that is not said but named: models, tools, ids of calls, versions, kinds, ends."""

    def named(what: str) -> str:
        return f"{what}-{PLANTED}"

    head = {"version": named("1.0"), "effort": named("effort"), "user": named("user"), "parent": named("parent")}
    keeper = Keeper(state, "planted", model=named("model"), cwd=named("/work"), **head)
    asked = call(named("call"), named("tool"))
    paid = replace(llm_call(), model=named("model"), kind="main", finish_reason=named("end"))
    lost = replace(llm_call(), model=named("other"), kind=named("kind"), finish_reason=named("end"))
    keeper.ask("go")
    keeper.tell(paid, lost)
    keeper.say(replace(assistant_message("so", (asked,)), id=named("message")), tool_message(asked, "done"))
    texts = (named(what) for what in ("job", "https://u", "flavor", "1h", "type", "image", "org"))
    submit = HfJobSubmit(*texts, push_to_hub=None)
    keeper.tell(ToolOutput(asked.function.name, asked.id, "done", True), submit)
    keeper.journal.append("end", {"turns": 1})
    keeper.journal.close()
    agent = Journal.create(state / "agents" / "planted" / f"{asked.id}.jsonl", NO_SECRETS)
    agent.append("start", {"id": f"planted/{asked.id}", "parent": "planted", "agent": named("agent"), "model": "m"})
    for message in (user_message("look"), assistant_message("seen")):
        agent.append_message(message)
    agent.close()


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_only_named_is_redacted_as_well(name: str, tmp_path: Path) -> None:
    """Whatever can be typed into a setting or comes from a server may hold a secret."""
    named_session(tmp_path)
    source = source_of(tmp_path, Redactor(LiveSecrets({}, {"MY_KEY": PLANTED})))
    text = "\n".join([export_text(source, name), *itertools.chain(*sub_agent_texts(source, name).items())])
    assert PLANTED not in text
    assert "[REDACTED" in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_secret_where_a_title_is_cut_is_not_shown_in_halves(name: str, tmp_path: Path) -> None:
    """Part F: planted secrets never appear, nor do parts of them."""
    secret, body = made_up("hf")
    keep_session(tmp_path, "aaaa1111", f"please log in with the following key and train: {secret} thanks")
    assert not survives(body, export_text(source_of(tmp_path), name), 6)


# --- readers that go line by line -------------------------------------------------------------------------------------


def linear(text: str) -> list[str]:
    """The roles that a reader sees which takes line after line, as `datasets` 5.2 does for training data (teich 0.3.6:
    lines of the person with `isMeta` are skipped; answers that follow each other become one)."""
    lines = map(json.loads, text.splitlines())
    return [
        line["type"]
        for line in lines
        if line["type"] == "assistant" or (line["type"] == "user" and not line.get("isMeta"))
    ]


@pytest.mark.parametrize("session", ["undone_at_the_end", "undone_and_said_anew", "rewound"])
async def test_an_answer_that_was_taken_back_is_glued_to_no_other(session: str, tmp_path: Path) -> None:
    """Defect 12: what was undone is kept, but is not to be read as part of another answer."""
    journal = await SESSIONS[session](tmp_path)
    (info,) = SessionIndex(journal.parents[4]).list()
    roles = linear(export_text(Source(info, journal.parents[4], Redactor()), "claude-code"))
    assert ("assistant", "assistant") not in pairwise(roles)


# --- the list of sessions ---------------------------------------------------------------------------------------------


def spoil(path: Path, until: int | None = None) -> None:
    """Make what a journal holds (up to a byte) unreadable, so that it looks unchanged from outside."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"\0" * (status.st_size if until is None else until))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_listing_reads_no_journal_that_has_not_changed(tmp_path: Path) -> None:
    """Defect 18, and 10,000 sessions in 0.3 s: what is known of a journal is not read again, whatever is asked."""
    paths = [keep_session(tmp_path, f"{number:04}aaaa", f"prompt {number:04}") for number in range(50)]
    index = SessionIndex(tmp_path)
    before = index.list()
    for path in paths:
        spoil(path)
    assert index.list() == before
    assert [info.id for info in index.list(query="prompt 0007")] == ["0007aaaa"]
    assert index.find("0009").preview == index.find("0009aaaa").preview == "prompt 0009"
    assert SessionIndex(tmp_path).list(limit=3) == before[:3]  # another process


def test_of_a_journal_that_has_grown_only_the_end_is_read(tmp_path: Path) -> None:
    """Defect 18: every file was parsed in full."""
    paths = [keep_session(tmp_path, f"{number:04}aaaa", f"prompt {number}") for number in range(5)]
    index = SessionIndex(tmp_path)
    turns = {info.id: info.turns for info in index.list()}
    grown = Journal.reopen(paths[0], NO_SECRETS)
    known_bytes = paths[0].stat().st_size
    grown.append_message(user_message("more"))
    grown.close()
    spoil(paths[0], known_bytes - 1)
    for path in paths[1:]:
        spoil(path)
    assert {info.id: info.turns for info in index.list()} == {**turns, "0000aaaa": turns["0000aaaa"] + 1}


# --- what a session costs while it runs -------------------------------------------------------------------------------


async def test_pieces_of_an_answer_are_kept_nowhere(tmp_path: Path) -> None:
    """Defect 3: every streamed piece was an event in memory, on disk and in the upload."""
    pieces = [f"piece-{number:04} " for number in range(450)]
    async with running(tmp_path, [{"text": pieces}]) as loop:
        await loop.turn("go")
        session: Session = loop.session
        assert session.record.journal is not None
        path = session.record.journal.path
    content = path.read_text()
    assert content.count("piece-0123") == 1
    assert content.count("\n") < 40
    (info,) = SessionIndex(path.parents[4]).list()
    for name in FORMATS:
        text = export_text(Source(info, path.parents[4], Redactor()), name)
        assert text.count("piece-0123") <= 3, name  # legacy: the message, and events that quote the whole answer


# --- settings ---------------------------------------------------------------------------------------------------------

KEYS = ("share_traces", "save_sessions", "session_dataset_repo", "personal_trace_repo_template")


def test_the_keys_of_sharing_are_settings() -> None:
    assert set(KEYS) <= set(Config.key_names())
    for key in KEYS:
        assert f"ML_INTERN_{key.upper()}=" in ENV_EXAMPLE
    for key in set(KEYS) - {"save_sessions"}:
        assert key in README


@pytest.mark.parametrize("name", [*OFF_SWITCHES, ORGANIZATION_TOKEN])
def test_variables_of_sharing_are_in_the_readme(name: str) -> None:
    """Defect 10: how to stop it has to be said where people look."""
    assert name in README


@pytest.mark.parametrize("name", [*OFF_SWITCHES, ORGANIZATION_TOKEN])
def test_variables_of_sharing_are_in_the_example(name: str) -> None:
    assert re.search(rf"(?m)^#{name}=", ENV_EXAMPLE)


def test_the_example_names_settings_that_exist() -> None:
    named = {key.lower() for key in re.findall(r"(?m)^#ML_INTERN_([A-Z_]+)=", ENV_EXAMPLE)}
    others = {"cli_config", "default_model_id", "no_upload"} | {key for key in named if key.startswith("slack_")}
    assert named - others <= set(Config.key_names())

"""/share-traces: off as shipped, on and off in the person's own file, private and public on the Hub; and what /status
and the doctor say of it."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import commands
from agent.cli.doctor.examination import examine
from agent.cli.doctor.findings import Finding
from agent.cli.doctor.place import look_around
from agent.cli.user_config import set_key, user_file
from agent.config import ConfigError
from agent.protocol.messages import utc_now
from agent.protocol.operations import OpType
from agent.redaction.redactor import Redactor
from agent.sessions.journal import Journal
from agent.traces.uploads.entries import MOST_ATTEMPTS, Delivery, Owner, Trouble
from agent.traces.uploads.outbox import Outbox
from agent.traces.uploads.preview import MOST_SESSIONS, look_through
from tests.fakes.hub import FakeHub
from tests.unit.cli.commands.recording import RecordingApp
from tests.unit.sessions.keeping import NO_SECRETS, add_turn, keep_session, start

REPO = "tester/ml-intern-sessions"
SECRET = "ghp_" + "Zq7" * 12


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


class App(RecordingApp):
    """A terminal of somebody whose Hub is the fake one."""

    def __init__(self, workspace: Path, hub: FakeHub | None, **environ: str) -> None:
        address = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url} if hub else {}
        super().__init__(workspace, address | environ)
        self.hf_token = hub.token if hub else None
        self.hf_user: str | None = None

    @property
    def file(self) -> Path:
        return user_file(self.environ, self.workspace)

    async def share(self, word: str = "") -> str:
        """What is said, complaints included, to `/share-traces word`."""
        said, complained = len(self.said), len(self.complaints)
        await self.enter(f"/share-traces {word}".strip())
        return "\n".join([*self.said[said:], *self.complaints[complained:]])


@pytest.fixture
def app(tmp_path: Path, hub: FakeHub) -> App:
    return App(tmp_path, hub)


def dataset(hub: FakeHub, *, private: bool = True, files: dict[str, str] | None = None) -> None:
    hub.repos.create(REPO, "dataset", files or {"README.md": "# mine"}, private=private)


def is_private(hub: FakeHub) -> bool:
    repo = hub.repos.get(REPO, "dataset")
    assert repo is not None
    return repo.private


def writes(hub: FakeHub) -> list[str]:
    """What was asked of the Hub that changes something."""
    return [f"{one.method} {one.path}" for one in hub.requests if one.method != "GET"]


# --- what it is now ---------------------------------------------------------------------------------------------------


async def test_as_shipped_nothing_leaves_and_it_says_how_to_change_that(app: App, hub: FakeHub) -> None:
    text = await app.share()
    assert "off" in text
    assert "/share-traces on" in text
    assert writes(hub) == []


async def test_nothing_is_asked_of_the_hub_without_a_token(tmp_path: Path) -> None:
    text = await App(tmp_path, None).share()
    assert "token" in text


async def test_a_dataset_that_is_not_there_will_be_private(app: App) -> None:
    await app.share("on")
    text = await app.share()
    assert f"{REPO}" in text
    assert "not there yet" in text
    assert "private" in text


@pytest.mark.parametrize("private", [True, False])
async def test_the_state_names_the_dataset_and_who_can_read_it(app: App, hub: FakeHub, private: bool) -> None:
    dataset(hub, private=private)
    text = await app.share()
    assert f"{hub.url}/datasets/{REPO}" in text
    assert ("everyone" in text) is not private


async def test_a_hub_that_refuses_the_token_is_told(app: App, hub: FakeHub) -> None:
    app.hf_token = "hf_wrong"
    text = await app.share()
    assert "token is not accepted" in text
    assert "hf auth login" in text
    assert "hf_wrong" not in text


async def test_other_words_are_refused(app: App, hub: FakeHub) -> None:
    assert await app.share("everyone") == "Say /share-traces alone, or with on, off, private or public."
    assert hub.requests == []


def test_the_composer_completes_the_words() -> None:
    (hint,) = (one for one in commands.command_hints() if one.name == "share-traces")
    assert tuple(hint.choices) == ("on", "off", "private", "public")


# --- on and off -------------------------------------------------------------------------------------------------------


async def test_on_says_what_goes_where_and_keeps_the_rest_of_the_file(app: App) -> None:
    app.file.parent.mkdir(parents=True, exist_ok=True)
    app.file.write_text('{\n    "theme": "dark",\n    "mode": "plan"\n}\n')
    app.file.chmod(0o640)
    text = await app.share("on")
    assert json.loads(app.file.read_text()) == {"theme": "dark", "mode": "plan", "share_traces": True}
    assert app.file.read_text().startswith('{\n    "theme"')
    assert app.file.stat().st_mode & 0o777 == 0o640
    for word in (REPO, "private", "/share-traces off"):
        assert word in text
    await app.share("off")
    assert json.loads(app.file.read_text())["share_traces"] is False


async def test_the_first_file_is_nobody_elses(app: App) -> None:
    await app.share("on")
    assert json.loads(app.file.read_text()) == {"share_traces": True}
    assert app.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("word", ["on", "off"])
async def test_a_variable_that_counts_more_is_named(tmp_path: Path, hub: FakeHub, word: str) -> None:
    app = App(tmp_path, hub, ML_INTERN_SHARE_TRACES="false" if word == "on" else "true")
    assert "ML_INTERN_SHARE_TRACES" in await app.share(word)


@pytest.mark.parametrize("name", ["DO_NOT_TRACK", "ML_INTERN_NO_UPLOAD"])
async def test_what_stops_every_upload_is_named(tmp_path: Path, hub: FakeHub, name: str) -> None:
    app = App(tmp_path, hub, **{name: "1"})
    assert name in await app.share("on")
    assert name in await app.share()


async def test_a_file_that_cannot_be_read_stays_as_it_is(app: App) -> None:
    app.file.parent.mkdir(parents=True, exist_ok=True)
    app.file.write_text('{"theme": "dark",}')
    assert "line 1" in await app.share("on")
    assert app.file.read_text() == '{"theme": "dark",}'


def test_unknown_keys_and_links_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text('{"mcpServers": {"a": {"url": "http://x"}}, "of_a_newer_version": [1]}')
    link.symlink_to(real)
    set_key(link, "share_traces", True)
    assert link.is_symlink()
    assert json.loads(real.read_text())["of_a_newer_version"] == [1]
    before = real.stat().st_mtime_ns
    set_key(link, "share_traces", True)
    assert real.stat().st_mtime_ns == before
    real.write_text("[]")
    with pytest.raises(ConfigError):
        set_key(link, "share_traces", False)


# --- private and public -----------------------------------------------------------------------------------------------


def keep(app: App, session_id: str, *prompts: str, sent: bool = False) -> Path:
    """A session that waits for its upload, or was uploaded."""
    path = keep_session(app.state_dir, session_id, *prompts)
    outbox = Outbox(app.state_dir)
    outbox.add(session_id, path)
    if sent:
        size_bytes = path.stat().st_size
        sent_all = Delivery().sent(99, utc_now(), size_bytes=size_bytes, repo=REPO, url="https://x")
        outbox.update(session_id, "personal", sent_all)
        assert outbox.settle(session_id, ["personal"], utc_now())
    return path


async def test_what_was_sent_and_what_waits_is_counted(app: App, hub: FakeHub) -> None:
    await app.share("on")
    keep(app, "aaaa1111", "train", sent=True)
    keep(app, "bbbb2222", "train")
    dataset(hub, files=uploaded("aaaa1111"))
    text = await app.share()
    assert "1 waiting; 1 session uploaded from here" in text
    assert "1 session in it" in text


def uploaded(*session_ids: str) -> dict[str, str]:
    return {"README.md": "# mine"} | {f"sessions/2026-11-21/{name}.jsonl": "{}" for name in session_ids}


async def test_public_shows_what_redaction_changes_and_asks_first(app: App, hub: FakeHub) -> None:
    keep(app, "aaaa1111", f"push it with {SECRET} please", "and now?", sent=True)
    keep(app, "bbbb2222", "train")
    dataset(hub, files=uploaded("aaaa1111", "cccc3333"))
    app.answers = ["no"]
    text = await app.share("public")
    assert "2 sessions of this machine with 3 prompts and 3 tool outputs" in text
    assert "not on this machine (any more), so nobody has looked at them: 1 session." in text
    assert "GITHUB" in text
    assert "REDACTED" in text
    assert "misses" in text
    assert SECRET not in text
    assert SECRET[4:12] not in text
    assert "Nothing was changed" in text
    assert is_private(hub)
    assert writes(hub) == []
    app.answers = ["yes"]
    text = await app.share("public")
    assert f"{hub.url}/datasets/{REPO} is public now" in text
    assert not is_private(hub)
    assert app.asked == ["Make it public? Type yes:"] * 2


@pytest.mark.parametrize("answers", [[], ["y"], ["public"]])
async def test_no_answer_and_half_an_answer_are_no(app: App, hub: FakeHub, answers: list[str]) -> None:
    dataset(hub)
    app.answers = answers
    await app.share("public")
    assert is_private(hub)


async def test_what_is_public_already_is_not_asked_about(app: App, hub: FakeHub) -> None:
    dataset(hub, private=False)
    Outbox(app.state_dir).set_published(REPO, True)
    assert "public already" in await app.share("public")
    assert (app.asked, writes(hub)) == ([], [])


async def test_what_somebody_else_made_public_needs_a_word_before_anything_goes_there(app: App, hub: FakeHub) -> None:
    outbox = Outbox(app.state_dir)
    dataset(hub, private=False)
    outbox.set_trouble("personal", Trouble("everyone can read it", utc_now()))
    app.answers = ["no", "yes"]
    assert f"Nothing was changed: {REPO} is public" in await app.share("public")
    assert not outbox.is_published(REPO)
    await app.share("public")
    assert outbox.is_published(REPO)
    assert outbox.troubles() == {}
    assert writes(hub) == []
    await app.share("private")
    assert not outbox.is_published(REPO)


async def test_published_by_word_is_remembered(app: App, hub: FakeHub) -> None:
    dataset(hub)
    app.answers = ["yes"]
    await app.share("public")
    assert Outbox(app.state_dir).is_published(REPO)


async def test_private_hides_it_without_a_question(app: App, hub: FakeHub) -> None:
    dataset(hub, private=False)
    assert "is private now" in await app.share("private")
    assert is_private(hub)
    assert "private already" in await app.share("private")
    assert app.asked == []


async def test_hiding_works_while_sharing_is_off(tmp_path: Path, hub: FakeHub) -> None:
    app = App(tmp_path, hub, DO_NOT_TRACK="1")
    dataset(hub, private=False)
    await app.share("private")
    assert is_private(hub)


@pytest.mark.parametrize("word", ["private", "public"])
async def test_no_dataset_is_made_while_sharing_is_off(app: App, hub: FakeHub, word: str) -> None:
    text = await app.share(word)
    assert "/share-traces on" in text
    assert hub.repos.all() == []


@pytest.mark.parametrize(("word", "private"), [("private", True), ("public", False)])
async def test_a_dataset_that_is_not_there_yet_is_made(app: App, hub: FakeHub, word: str, private: bool) -> None:
    await app.share("on")
    app.answers = ["yes"]
    await app.share(word)
    assert is_private(hub) is private
    if not private:  # and was private until the very last step
        made, settings = (one.json for one in hub.requests if one.method in ("POST", "PUT"))
        assert made.get("private") is True or made.get("visibility") == "private"
        assert settings.get("private") is False or settings.get("visibility") == "public"


async def test_a_session_that_cannot_be_redacted_is_counted_as_not_looked_at(app: App, hub: FakeHub) -> None:
    keep(app, "aaaa1111", "train").write_text("no journal\n")
    keep(app, "bbbb2222", "train")
    dataset(hub)
    text = await app.share("public")
    assert "1 session of this machine" in text
    assert "Could not be looked through, the log says why: 1 session." in text


async def test_a_few_kinds_are_shown_none_twice(app: App, hub: FakeHub) -> None:
    keep(app, "aaaa1111", *[f"push it with {SECRET}"] * 9, "log in with hf_" + "Qw9" * 12)
    dataset(hub)
    shown = [line for line in (await app.share("public")).split("\n") if line.startswith("  ")]
    assert sum("GITHUB" in line for line in shown) == 1
    assert sum("HF_TOKEN" in line for line in shown) == 1


async def test_what_is_too_much_to_look_through_is_said(tmp_path: Path) -> None:
    paths = [keep_session(tmp_path, f"{number:08}", "train") for number in range(MOST_SESSIONS + 2)]
    preview = look_through(paths, tmp_path, Redactor())
    assert (preview.sessions, preview.left_out) == (MOST_SESSIONS, 2)
    assert look_through(paths, tmp_path, Redactor(), lambda: True).sessions == 0


async def test_the_prompts_of_sub_agents_are_not_the_persons_but_their_results_are_shown(
    app: App, hub: FakeHub
) -> None:
    keep(app, "aaaa1111", "train")
    journal = Journal.create(app.state_dir / "agents" / "aaaa1111" / "call_1.jsonl", NO_SECRETS)
    start(journal, agent="research")
    add_turn(journal, f"look for {SECRET}")
    journal.close()
    dataset(hub)
    text = await app.share("public")
    assert "with 1 prompt and 2 tool outputs" in text
    assert "GITHUB" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("status", "told"), [(401, "token is not accepted"), (403, "does not allow"), (500, "trouble")]
)
async def test_what_the_hub_refuses_is_told(app: App, hub: FakeHub, status: int, told: str) -> None:
    dataset(hub, private=False)
    hub.fail("PUT", "/settings", status=status, times=9)
    text = await app.share("private")
    assert told in text
    assert "is private now" not in text
    assert ("may be private all the same" in text) is (status == 500)


async def test_an_answer_that_is_lost_may_have_worked_and_says_so(app: App, hub: FakeHub) -> None:
    dataset(hub, private=False)
    hub.fail("PUT", "/settings", kind="after")
    text = await app.share("private")
    assert "may be private all the same: /share-traces tells" in text
    assert is_private(hub)


async def test_stopped_before_the_last_step_nothing_becomes_public(app: App, hub: FakeHub) -> None:
    await app.share("on")
    app.answers = ["yes"]
    loop, stopped = asyncio.get_running_loop(), threading.Event()

    def stop(_repo: object, _payload: object) -> None:
        """The person presses Esc while the dataset is made."""
        loop.call_soon_threadsafe(task.cancel)
        assert stopped.wait(10)

    hub.repos.on_create.append(stop)
    task = asyncio.ensure_future(app.share("public"))
    task.add_done_callback(lambda _task: stopped.set())
    with pytest.raises(asyncio.CancelledError):
        await task
    for thread in threading.enumerate():
        if thread.name == "hub-call":
            await asyncio.to_thread(thread.join, 10)
    assert is_private(hub)
    assert not any(one.method == "PUT" for one in hub.requests)


async def test_without_a_token_or_with_a_bad_template_it_says_what_to_do(tmp_path: Path, hub: FakeHub) -> None:
    assert "hf auth login" in await App(tmp_path, None).share("private")
    bad = App(tmp_path, hub, ML_INTERN_PERSONAL_TRACE_REPO_TEMPLATE="no dataset")
    assert "personal_trace_repo_template" in await bad.share("public")
    assert hub.requests == []


async def test_the_organisations_dataset_is_never_touched(tmp_path: Path, hub: FakeHub) -> None:
    hub.repos.create("acme/sessions", "dataset", {"README.md": "# ours"}, private=True)
    app = App(
        tmp_path,
        hub,
        ML_INTERN_SESSION_DATASET_REPO="acme/sessions",
        ML_INTERN_PERSONAL_TRACE_REPO_TEMPLATE="acme/sessions",
        HF_SESSION_UPLOAD_TOKEN="hf_of_the_organisation",
    )
    assert "organisation" in await app.share("public")
    assert writes(hub) == []


# --- /status and the doctor -------------------------------------------------------------------------------------------


def broken_upload(app: App) -> None:
    keep(app, "aaaa1111", "train")
    Outbox(app.state_dir).update("aaaa1111", "personal", Delivery().failed("the Hub has trouble", utc_now()))


async def test_the_session_is_told_at_once(app: App) -> None:
    await app.share("on")
    await app.share("off")
    assert app.operations == [
        (OpType.CONFIGURE, {"share_traces": True}),
        (OpType.CONFIGURE, {"share_traces": False}),
    ]


async def test_on_tries_again_what_was_given_up(app: App) -> None:
    keep(app, "aaaa1111", "train")
    outbox = Outbox(app.state_dir)
    outbox.update("aaaa1111", "personal", Delivery(attempts=MOST_ATTEMPTS, last_error="no"))
    assert not outbox.has_due(utc_now(), ["personal"])
    await app.share("on")
    assert outbox.has_due(utc_now(), ["personal"])
    assert "given up" not in await app.share()


async def test_what_waits_for_another_account_is_said(app: App, hub: FakeHub) -> None:
    keep(app, "aaaa1111", "train")
    Outbox(app.state_dir).add("bbbb2222", keep_session(app.state_dir, "bbbb2222", "x"), Owner("bob", "mark-of-bob"))
    await app.share("on")
    assert "1 waiting, 1 waiting for bob" in await app.share()


async def test_on_counts_as_having_told_the_person(app: App) -> None:
    await app.share("on")
    assert Outbox(app.state_dir).told()


async def test_while_a_variable_stops_uploads_the_person_counts_as_not_told(tmp_path: Path, hub: FakeHub) -> None:
    app = App(tmp_path, hub, DO_NOT_TRACK="1")
    await app.share("on")
    assert (Outbox(app.state_dir).told(), app.operations) == (frozenset(), [])


async def test_status_has_a_line_on_it(app: App) -> None:
    await app.enter("/status")
    assert "\nTraces:   off: share_traces is false" in app.text
    await app.share("on")
    broken_upload(app)
    await app.enter("/status")
    line = app.said[-1].rpartition("\n")[2]
    for word in ("Traces:   on: ", "1 waiting", "the Hub has trouble"):
        assert word in line
    app.file.write_text("{")
    await app.enter("/status")
    assert "Traces:   unknown" in app.said[-1]


def traces_row(app: App) -> Finding:
    environ = {**app.environ, "HF_ROUTER_BASE_URL": "http://127.0.0.1:9/v1"}
    place = look_around(environ, app.workspace, io.StringIO(), io.StringIO())
    (found,) = (one for one in examine(place) if one.name == "traces")
    return found


async def test_the_doctor_has_a_row_on_it(app: App, hub: FakeHub) -> None:
    app.environ["HF_TOKEN"] = hub.token
    off = await asyncio.to_thread(traces_row, app)
    assert (off.status, off.detail.startswith("off: ")) == ("ok", True)
    await app.share("on")
    keep(app, "bbbb2222", "train")
    on = await asyncio.to_thread(traces_row, app)
    assert (on.status, on.detail) == ("ok", f"on: {REPO}, 1 waiting")
    broken_upload(app)
    trouble = await asyncio.to_thread(traces_row, app)
    assert (trouble.status, trouble.cause) == ("warning", "the Hub has trouble")
    assert "/share-traces off" in trouble.remedy

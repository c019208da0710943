"""The repository tools do no more than what was approved: no other address, no other file, nothing after a stop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.hub.account import Threshold
from agent.hub.errors import HubError
from agent.hub.repos import Repo, list_tree, read_head
from agent.protocol.tools import ApprovalContext, Preflight, ToolSession, ToolSpec
from agent.redaction.live import LiveSecrets
from agent.tools.files import FileToolError
from agent.tools.hf_repo_files_tool import hf_repo_files_spec
from agent.tools.hf_repo_git_tool import hf_repo_git_spec
from agent.tools.hub_uploads import UploadReader
from tests.fakes.hub import FakeHub
from tests.unit.tools.conftest import FakeSession
from tests.unit.tools.hub_calls import REPO, account_of, done, refused

HF_KEY = "hf_" + "A" * 34


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def files(hub: FakeHub) -> ToolSpec:
    return hf_repo_files_spec(account_of(hub))


def put(session: FakeSession, name: str, text: str = "x") -> Path:
    path = session.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


async def ahead(session: FakeSession, spec: ToolSpec, operation: str, **more: Any) -> Preflight:
    assert spec.preflight is not None
    return await spec.preflight({"operation": operation, "repo_id": REPO, **more}, session)


# --- addresses -------------------------------------------------------------------------------------------------------

LEADING_OUT = (
    "../../../../acme/secret/resolve/main/config.json",
    "../../../../api/whoami-v2",
    "a/../../b",
    "./../b",
    "a/./b",
    "a//b",
    "//a",
    "%2e%2e/%2e%2e/api",
    "a%2f..%2f..%2fb",
    "..\\\\..",
    "a\n/b",
)


@pytest.mark.parametrize("path", LEADING_OUT)
async def test_no_path_leads_to_another_address(session: FakeSession, hub: FakeHub, files: ToolSpec, path: str) -> None:
    hub.repos.create(REPO, files={"a": "1"})
    hub.repos.create("acme/secret", files={"config.json": "TOP SECRET"})
    for operation, more in (
        ("read", {"path": path}),
        ("list", {"path": path}),
        ("delete", {"path": path}),
        ("delete", {"patterns": [f"{path}/*"]}),
        ("upload", {"path": path, "content": "x"}),
    ):
        assert "TOP SECRET" not in await refused(session, files, operation, **more)
    assert hub.requests == []


@pytest.mark.parametrize("revision", ["..", "../../x", "a b", "main#", "main?x", "%2e%2e", "/main", "a//b", "x.lock"])
async def test_no_revision_leads_to_another_address(
    session: FakeSession, hub: FakeHub, files: ToolSpec, revision: str
) -> None:
    git = hf_repo_git_spec(account_of(hub))
    for operation in ("list", "read", "delete", "upload"):
        await refused(session, files, operation, path="a", revision=revision, **_content(operation))
    for operation, name in (("create_branch", "branch"), ("delete_branch", "branch"), ("delete_tag", "tag")):
        await refused(session, git, operation, **{name: revision})
    assert hub.requests == []


def _content(operation: str) -> dict[str, str]:
    return {"content": "x"} if operation == "upload" else {}


async def test_names_with_odd_signs_are_read_as_they_are(session: FakeSession, hub: FakeHub, files: ToolSpec) -> None:
    hub.repos.create(REPO, files={"50%.txt": "fifty", "a#b?.txt": "signs", "d d/x": "blank"})
    assert "fifty" in (await done(session, files, "read", path="50%.txt")).output
    assert "signs" in (await done(session, files, "read", path="a#b?.txt")).output
    assert "blank" in (await done(session, files, "read", path="/d d/x")).output
    assert "d d/x" in (await done(session, files, "list", path="d d/")).output


async def test_the_door_to_the_hub_looks_once_more(hub: FakeHub) -> None:
    account = account_of(hub)
    looks: list[Callable[[Any], Any]] = [
        lambda api: read_head(api, Repo(REPO), "main", "../x", max_bytes=9),
        lambda api: read_head(api, Repo(REPO), "..", "x", max_bytes=9),
        lambda api: list_tree(api, Repo(REPO), "main", "a/../..", limit=9),
        lambda api: list_tree(api, Repo("a/../b"), "main", limit=9),
    ]
    for look in looks:
        with pytest.raises(HubError) as caught:
            await account.read(look)
        assert caught.value.kind == "bad_request"
    assert hub.requests == []


# --- what was approved is what is done -------------------------------------------------------------------------------


async def test_a_folder_that_has_changed_since_it_was_looked_at(
    session: FakeSession, hub: FakeHub, files: ToolSpec
) -> None:
    hub.repos.create(REPO)
    for name in ("same", "gone", "other"):
        put(session, f"out/{name}")
    assert (await ahead(session, files, "upload", local_path="out")).problem is None
    put(session, "out/new")
    put(session, "out/other", "longer")
    (session.workspace / "out" / "gone").unlink()
    said = await refused(session, files, "upload", local_path="out")
    assert "changed: other; new: new; gone: gone" in said
    assert hub.repos.files(REPO) == {}
    await ahead(session, files, "upload", local_path="out")
    await done(session, files, "upload", local_path="out")
    assert hub.repos.files(REPO).keys() == {"same", "other", "new"}


async def test_a_file_that_has_changed_since_it_was_looked_at(
    session: FakeSession, hub: FakeHub, files: ToolSpec
) -> None:
    hub.repos.create(REPO)
    put(session, "a.txt", "1")
    await ahead(session, files, "upload", local_path="a.txt")
    put(session, "a.txt", "22")
    assert "changed: a.txt" in await refused(session, files, "upload", local_path="a.txt")
    assert hub.repos.files(REPO) == {}


async def test_what_was_searched_is_what_is_uploaded(session: FakeSession) -> None:
    put(session, "out/a", "first")
    big = put(session, "out/big.bin", "x" * (2 << 20))
    source = UploadReader({}).find_here({"local_path": "out"}, session)
    put(session, "out/.env", "SECRET=1")
    put(session, "out/new", "SECRET=1")
    put(session, "out/a", "later")
    source.require_unchanged()
    assert source.targets == [("a", b"first"), ("big.bin", big)]
    put(session, "out/big.bin", "y" * (2 << 20))
    with pytest.raises(FileToolError, match="was changed while it was uploaded"):
        source.require_unchanged()


async def test_deleting_tells_what_it_fits_and_deletes_nothing_else(
    session: FakeSession, hub: FakeHub, files: ToolSpec
) -> None:
    hub.repos.create(REPO, files={"a.bin": "1", "b.bin": "1", "c.md": "1"})
    some = await ahead(session, files, "delete", patterns=["*.bin"])
    assert dict(some.facts)["deletes"] == "2 files of 3 there: a.bin, b.bin"
    assert some.hints == ()
    for patterns in (["**"], ["?*"], ["*.bin", "*.md"]):
        assert (await ahead(session, files, "delete", patterns=patterns)).hints == (
            "deletes every file of the repository",
        )
    hub.repos.commit(REPO, "model", {"d.bin": "1"})
    assert "new: d.bin" in await refused(session, files, "delete", patterns=["*.bin"])
    assert hub.repos.files(REPO).keys() == {"a.bin", "b.bin", "c.md", "d.bin"}
    await done(session, files, "delete", path="a.bin")


async def test_looking_at_a_deletion_that_the_hub_does_not_answer(
    session: FakeSession, hub: FakeHub, files: ToolSpec
) -> None:
    hub.fail("GET", "/tree/", status=500, times=99)
    found = await ahead(session, files, "delete", patterns=["*"])
    assert found.problem is not None and "trouble" in found.problem


# --- stopped ---------------------------------------------------------------------------------------------------------


async def _seen(hub: FakeHub, part: str) -> None:
    async with asyncio.timeout(20):
        while not any(part in each.path for each in hub.requests):
            await asyncio.sleep(0.005)


async def _stopped(session: FakeSession, hub: FakeHub, call: Awaitable[Any], part: str) -> str:
    task = asyncio.ensure_future(call)
    await _seen(hub, part)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return session.partials["call-1"]


async def test_an_upload_that_is_stopped_before_its_commit_commits_nothing(
    session: FakeSession, hub: FakeHub, files: ToolSpec
) -> None:
    hub.repos.create(REPO)
    hub.fail("POST", "/preupload/", kind="stall")
    call = session.call(files, operation="upload", repo_id=REPO, path="a", content="1")
    assert "nothing has changed on the Hub" in await _stopped(session, hub, call, "/preupload/")
    assert not any("/commit/" in each.path for each in hub.requests)


@pytest.mark.parametrize("operation", ["upload", "delete", "merge_pr"])
async def test_what_is_on_its_way_when_it_is_stopped(
    session: FakeSession, hub: FakeHub, files: ToolSpec, operation: str
) -> None:
    hub.repos.create(REPO, files={"b": "1"})
    part = "/merge" if operation == "merge_pr" else "/commit/"
    hub.fail("POST", part, kind="stall")
    spec = hf_repo_git_spec(account_of(hub)) if operation == "merge_pr" else files
    more = {"upload": {"path": "a", "content": "1"}, "delete": {"path": "b"}, "merge_pr": {"pr_num": 1}}[operation]
    call = session.call(spec, operation=operation, repo_id=REPO, **more)
    assert "may still be done" in await _stopped(session, hub, call, part)


async def test_what_has_not_begun_when_it_is_stopped_never_begins(hub: FakeHub) -> None:
    account, threshold = account_of(hub), Threshold()
    has_begun, may_go_on, outcome = threading.Event(), threading.Event(), queue.Queue[str]()

    def work(_api: object) -> None:
        has_begun.set()
        may_go_on.wait(20)
        try:
            threshold.cross()
        except HubError:
            outcome.put("held back")
        else:
            outcome.put("changed")

    call = asyncio.create_task(account.call(work, threshold=threshold))
    await asyncio.to_thread(has_begun.wait, 20)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    may_go_on.set()
    assert await asyncio.to_thread(outcome.get, True, 20) == "held back"
    assert not threshold.is_crossed


# --- what must not leave ---------------------------------------------------------------------------------------------


async def test_the_programs_own_files_stay_here(
    session: FakeSession, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos.create(REPO)
    account = account_of(hub)
    account.environ = {**account.environ, "XDG_STATE_HOME": str(session.workspace / "state")}
    files = hf_repo_files_spec(account)
    put(session, "state/ml-intern/sessions/1/journal.jsonl", "{}")
    put(session, "state/ml-intern/leases/1.json", "{}")
    put(session, "state/mine.txt")
    for local in ("state/ml-intern", "state/ml-intern/leases/1.json", "state/ml-intern/sessions/1/journal.jsonl"):
        assert "this program's own" in await refused(session, files, "upload", local_path=local)
    (session.workspace / "link").symlink_to(session.workspace / "state" / "ml-intern" / "leases" / "1.json")
    assert "this program's own" in await refused(session, files, "upload", local_path="link")
    await done(session, files, "upload", local_path="state")
    assert hub.repos.files(REPO).keys() == {"mine.txt"}


async def test_files_with_the_names_of_keys_stay_here(session: FakeSession, hub: FakeHub, files: ToolSpec) -> None:
    hub.repos.create(REPO)
    for name in ("token", "sub/Token", "credentials_prod.json", "tokenizer.json", "tokens.txt", "credentials.py"):
        put(session, f"out/{name}")
    await done(session, files, "upload", local_path="out")
    assert hub.repos.files(REPO).keys() == {"tokenizer.json", "tokens.txt", "credentials.py"}
    assert "usually holds secrets" in await refused(session, files, "upload", local_path="out/token")


@pytest.mark.parametrize(
    "text",
    [f"token: {HF_KEY}", "aws: AKIAIOSFODNN7EXAMPLE", "-----BEGIN RSA PRIVATE KEY-----", "git+https://u:pw12@h/x"],
)
async def test_what_looks_like_somebodys_key_is_pointed_out(session: FakeSession, files: ToolSpec, text: str) -> None:
    put(session, "out/t.yaml", text)
    put(session, "out/b.txt", "git+ssh://git@github.com/x at 0123456789abcdef0123456789abcdef01234567")
    found = await ahead(session, files, "upload", local_path="out")
    assert found.hints == ("has what looks like a key or password: t.yaml",)
    assert (await ahead(session, files, "upload", path="x", content=text)).hints != ()
    assert (await ahead(session, files, "upload", local_path="out/b.txt")).hints == ()


# --- tools in a sandbox ----------------------------------------------------------------------------------------------


async def test_in_a_sandbox_nothing_of_this_machine_is_read(session: FakeSession, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    there: dict[str, list[tuple[str, bytes]]] = {
        "/app/out": [("a.txt", b"there"), ("sub/.env", b"K=1")],
        "/app/a.txt": [("a.txt", b"there")],
        "/app/odd": [("../x", b"")],
    }

    async def fetch(path: str, _session: ToolSession) -> list[tuple[str, bytes]]:
        if path not in there:
            raise FileNotFoundError(f"no {path} in the sandbox")
        return there[path]

    files = hf_repo_files_spec(account_of(hub), None, fetch)
    here = put(session, "a.txt", "here")
    session.secrets = LiveSecrets({"HF_TOKEN": hub.token})
    assert "no a.txt in the sandbox" in await refused(session, files, "upload", local_path="a.txt")
    assert "in the sandbox" in await refused(session, files, "upload", local_path=str(here))
    assert files.check is not None and files.check(
        {"operation": "upload", "repo_id": REPO, "local_path": "/app/out"}, session
    ) is None  # fmt: skip
    need = files.approval({"operation": "upload", "local_path": "/app/out"}, ApprovalContext(session.workspace))
    assert not any("outside" in hint for hint in need.hints)
    found = await ahead(session, files, "upload", local_path="/app/out")
    assert dict(found.facts) == {
        "from": "/app/out",
        "size": "1 file, 5 B",
        "left out": "sub/.env (usually holds secrets)",
    }
    await done(session, files, "upload", local_path="/app/out", path="d")
    await done(session, files, "upload", local_path="/app/a.txt")
    assert hub.repos.files(REPO) == {"d/a.txt": b"there", "a.txt": b"there"}
    assert "leads out" in await refused(session, files, "upload", local_path="/app/odd")
    assert "usually holds" in await refused(session, files, "upload", local_path="/root/.ssh")
    await ahead(session, files, "upload", local_path="/app/a.txt")
    there["/app/a.txt"] = [("a.txt", b"later")]
    assert "changed: a.txt" in await refused(session, files, "upload", local_path="/app/a.txt")
    there["/app/a.txt"] = [("a.txt", hub.token.encode())]
    assert "holds a secret" in await refused(session, files, "upload", local_path="/app/a.txt", path="y")


# --- permission rules ------------------------------------------------------------------------------------------------


async def test_a_bare_name_is_completed_for_permission_rules(session: FakeSession, hub: FakeHub) -> None:
    account = account_of(hub)
    git = hf_repo_git_spec(account)
    arguments = {"operation": "create_repo", "repo_id": "new"}
    assert git.subject(arguments, session.workspace) == "create_repo model/*/new"
    assert git.preflight is not None
    found = await git.preflight(arguments, session)  # the rules were asked about nobody's repository
    assert found.problem is not None and 'repo_id="tester/new"' in found.problem
    assert git.subject(arguments, session.workspace) == "create_repo model/tester/new"
    assert (await git.preflight(arguments, session)).problem is None


# --- what the Hub says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "reason. The Hub does not take it like this"),
        (408, "try again"),
        (413, "fewer or smaller files"),
        (422, "does not take one of the values"),
        (429, "too many requests (reason). Try again in 37 s."),
    ],
)
async def test_refusals_have_a_next_step(
    session: FakeSession, hub: FakeHub, files: ToolSpec, status: int, said: str
) -> None:
    hub.repos.create(REPO)
    hub.fail("POST", "/commit/", status=status, body={"error": "reason"}, headers={"Retry-After": "37"})
    assert said in await refused(session, files, "upload", path="a", content="x")


async def test_pages_and_what_terminals_obey_are_not_repeated(
    session: FakeSession, hub: FakeHub, files: ToolSpec
) -> None:
    hub.repos.create(REPO)
    hub.fail("POST", "/commit/", status=502, body=b"<html><body>a page</body></html>")
    assert "page" not in await refused(session, files, "upload", path="a", content="x")
    hub.fail("POST", "/commit/", status=400, body={"error": "bad \x1b[31mred"})
    assert "\x1b" not in await refused(session, files, "upload", path="a", content="x")

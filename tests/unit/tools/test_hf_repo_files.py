"""`hf_repo_files`: listing, reading, uploading and deleting, with the real client against a loopback Hub."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.tools import ApprovalContext, ToolSpec
from agent.redaction.live import LiveSecrets
from agent.tools.hf_repo_files_tool import MAX_READ_CHARS, hf_repo_files_spec
from agent.tools.hub_files import SHOWN_ENTRIES
from agent.tools.hub_words import size_text
from tests.fakes.hub import FakeHub
from tests.unit.tools.conftest import FakeSession
from tests.unit.tools.hub_calls import REPO, Kept, account_of, done, refused


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub
        hub.check()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def files(hub: FakeHub, kept: Kept) -> ToolSpec:
    return hf_repo_files_spec(account_of(hub), lambda: kept)


def put(session: FakeSession, name: str, content: str | bytes = "x") -> Path:
    path = session.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- calls -----------------------------------------------------------------------------------------------------------


async def test_usage_and_unknown_operations(session: FakeSession, files: ToolSpec) -> None:
    usage = await session.call(files)
    assert usage.ok
    assert "- read: repo_id, path" in usage.output
    said = await refused(session, files, "rename")
    assert "list, read, upload, delete" in said


def test_looks_and_approval(files: ToolSpec, tmp_path: Path) -> None:
    context = ApprovalContext(tmp_path / "workspace")
    for operation, looks in (("list", True), ("read", True), ("upload", False), ("delete", False)):
        arguments = {"operation": operation, "repo_id": REPO}
        assert files.only_looks(arguments, tmp_path) is looks
        assert files.approval(arguments, context).kind == ("free" if looks else "ask")
        assert files.subject(arguments, tmp_path) == f"{operation} model/{REPO}"


def test_approval_points_out_files_from_elsewhere(files: ToolSpec, tmp_path: Path) -> None:
    context = ApprovalContext(tmp_path / "workspace")
    outside = files.approval({"operation": "upload", "repo_id": REPO, "local_path": "../other/a"}, context)
    assert any(str(tmp_path / "other" / "a") in hint for hint in outside.hints)
    inside = files.approval({"operation": "upload", "repo_id": REPO, "local_path": "a"}, context)
    assert not any("outside" in hint for hint in inside.hints)


@pytest.mark.parametrize("gone", ["repository", "revision"])
async def test_what_is_not_there(session: FakeSession, files: ToolSpec, hub: FakeHub, gone: str) -> None:
    if gone == "revision":
        hub.repos.create(REPO)
    for operation, more in (("list", {}), ("read", {"path": "a"}), ("delete", {"path": "a"})):
        said = await refused(session, files, operation, revision="v9", **more)
        assert REPO in said
        assert ("list_refs" in said) is (gone == "revision")


async def test_gated_repositories(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create("strangers/x", private=False, gated="manual", files={"a": "1"})
    said = await refused(session, files, "read", repo_id="strangers/x", path="a")
    assert "granted" in said
    assert f"{hub.url}/strangers/x" in said


async def test_nothing_of_the_hub_runs_on_the_event_loop(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files={"a": "1"})
    blocking: list[str] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: object) -> None:
        if threading.current_thread() is threading.main_thread():
            blocking.append(str(address))
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = watched  # type: ignore[assignment,method-assign]
    try:
        await done(session, files, "list")
        await done(session, files, "read", path="a")
        await done(session, files, "upload", path="b", content="2")
        await done(session, files, "delete", path="b")
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
    assert blocking == []


# --- list ------------------------------------------------------------------------------------------------------------


async def test_listing(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, "dataset", files={"README.md": "x" * 1024, "data/b.txt": "22", "data/a.txt": "1"})
    result = await done(session, files, "list", repo_type="dataset")
    assert result.output.split("\n") == [
        f"dataset {REPO} at main: 3 files, 1.0 KB",
        "README.md (1.0 KB)",
        "data/",
        "data/a.txt (1 B)",
        "data/b.txt (2 B)",
    ]
    below = await done(session, files, "list", repo_type="dataset", path="data/")
    assert "2 files, 3 B" in below.output
    assert "README" not in below.output
    assert "without `path`" in await refused(session, files, "list", repo_type="dataset", path="nowhere")


async def test_listing_of_another_revision(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO, files={"a": "1"})
    hub.social.discussions.open(repo, "More", pull_request=True)
    hub.repos.commit(REPO, files={"b": "1"}, revision="refs/pr/1")
    assert "b (1 B)" in (await done(session, files, "list", revision="refs/pr/1")).output
    assert "b (1 B)" not in (await done(session, files, "list")).output


async def test_big_listings_are_summed_up(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files={f"part{n % 3}/x{n:04}": "1" for n in range(900)} | {"zz": "1"})
    said = (await done(session, files, "list")).output
    assert "901 files" in said
    assert "part0/ 300 files, 300 B" in said
    assert len(said.split("\n")) < SHOWN_ENTRIES + 10


async def test_a_huge_repository_is_not_listed_whole(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    tree = f"/api/models/{REPO}/tree/main"
    for page in range(3):
        entries = [{"type": "file", "oid": "0" * 40, "size": 1, "path": f"f{page}-{n}"} for n in range(6000)]
        following = {"Link": f'<{hub.url}{tree}?cursor={page}>; rel="next"'}
        hub.fail("GET", tree, status=200, body=json.dumps(entries).encode(), headers=following)
    said = (await done(session, files, "list")).output
    assert "10,000 files, 9.8 KB at least" in said
    assert len(hub.requests) == 2


# --- read ------------------------------------------------------------------------------------------------------------


async def test_reading(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files={"a dir/ä#.md": "# Title\nüber\n", "empty": ""})
    result = await done(session, files, "read", path="a dir/ä#.md")
    assert result.output.endswith("]\n# Title\nüber\n")
    assert result.display is not None and "Title" not in result.display
    assert "is empty" in (await done(session, files, "read", path="empty")).output


async def test_long_text_is_cut_and_only_its_head_is_fetched(
    session: FakeSession, files: ToolSpec, hub: FakeHub
) -> None:
    text = "ä1234567\n" * 200_000
    hub.repos.create(REPO, files={"long.txt": text})
    said = (await done(session, files, "read", path="long.txt", max_chars=9000)).output
    assert text[:9000] in said and text[:9001] not in said
    assert "truncated" in said and "9,000" in said and size_text(len(text.encode())) in said
    assert hub.requests[-1].headers["range"] == "bytes=0-35999"
    assert f"first {MAX_READ_CHARS:,} characters" in (await done(session, files, "read", path="long.txt")).output
    whole = (await done(session, files, "read", path="long.txt", max_chars=2_000_000)).output
    assert text in whole and "truncated" not in whole


async def test_no_more_than_twenty_megabytes_are_read(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files={"log": "y" * 20_500_000})
    said = (await done(session, files, "read", path="log", max_chars=30_000_000)).output
    assert "first 20,000,000 characters of 19.6 MB" in said
    assert "hf download" in said[-300:]


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\x89PNG\r\n\x1a\n" + b"1" * 50, "a PNG image"), (b"caf\xe9 au lait", "not UTF-8"), (b"a\0b", "no known kind")],
)
async def test_binary_files(session: FakeSession, files: ToolSpec, hub: FakeHub, content: bytes, kind: str) -> None:
    hub.repos.create(REPO, files={"f": content})
    said = (await done(session, files, "read", path="f")).output
    assert "binary file" in said and kind in said and size_text(len(content)) in said


async def test_a_character_cut_in_two_is_no_binary_file(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files={"f": "x" + "ä" * 10_000})  # the limit of bytes falls into a character
    assert "xää" in (await done(session, files, "read", path="f", max_chars=10)).output


async def test_a_missing_file_names_similar_ones(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files={"conf/config.json": "{}", "model.bin": "1"})
    said = await refused(session, files, "read", path="config.jsn")
    assert "no file config.jsn" in said and "conf/config.json" in said
    assert "directory" in await refused(session, files, "read", path="conf")


# --- upload ----------------------------------------------------------------------------------------------------------


async def test_uploading_text(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    result = await done(session, files, "upload", path="notes/a.md", content="grüße")
    assert hub.repos.files(REPO)["notes/a.md"] == "grüße".encode()
    oid = repo.refs["refs/heads/main"]
    assert repo.commits[oid].title == "Upload notes/a.md"
    assert result.display == f"Uploaded notes/a.md (7 B) to model {REPO} (commit {oid[:7]})"
    await done(session, files, "upload", path="empty", content="", commit_message="nothing")
    assert hub.repos.files(REPO)["empty"] == b""
    assert repo.commits[repo.refs["refs/heads/main"]].title == "nothing"


async def test_uploading_bytes(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    await done(session, files, "upload", path="a", content=b"\x00\x01")
    assert hub.repos.files(REPO)["a"] == b"\x00\x01"


async def test_what_to_upload_must_be_clear(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    for more in ({}, {"path": "a"}, {"path": "a", "content": "1", "local_path": "a"}):
        assert "one of the two" in await refused(session, files, "upload", **more)
    assert "needs `path`" in await refused(session, files, "upload", content="1")
    assert "leads out" in await refused(session, files, "upload", path="a/../../b", content="1")
    assert "lone surrogate" in await refused(session, files, "upload", path="a", content="\ud83d")
    assert hub.requests == []


async def test_a_pull_request(session: FakeSession, files: ToolSpec, hub: FakeHub, kept: Kept) -> None:
    repo = hub.repos.create(REPO)
    await kept.made(REPO, "model", session_id="s")
    result = await done(session, files, "upload", path="a", content="1", create_pr="true")
    assert "pull request #1" in result.output and f"{hub.url}/{REPO}/discussions/1" in result.output
    assert 'revision="refs/pr/1"' in result.output
    await done(session, files, "upload", path="b", content="2", revision="refs/pr/1")
    assert hub.repos.files(REPO, revision="refs/pr/1").keys() == {"a", "b"}
    assert hub.repos.files(REPO) == {}
    assert len(repo.discussions) == 1
    assert len(kept.told) == 1  # main has not changed
    said = await refused(session, files, "upload", path="c", content="3", revision="refs/pr/1", create_pr=True)
    assert "already" in said
    assert "main" in await refused(session, files, "upload", path="c", content="3", revision="dev", create_pr=True)


async def test_a_repository_of_this_session_is_told_of_its_card(
    session: FakeSession, files: ToolSpec, hub: FakeHub, kept: Kept
) -> None:
    hub.repos.create(REPO, "dataset")
    await done(session, files, "upload", repo_type="dataset", path="README.md", content="# Hello")
    assert kept.told == []  # it was made by somebody else
    await kept.made(REPO, "dataset", session_id="s")
    await done(session, files, "upload", repo_type="dataset", path="README.md", content="# Hello!")
    await done(session, files, "upload", repo_type="dataset", path="a/README.md", content="# Hello!")
    assert [each[3] for each in kept.told[1:]] == [True, False]


async def test_a_card_with_broken_metadata(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    said = await refused(session, files, "upload", path="README.md", content="---\na: [\n---\n")
    assert "README" in said
    assert hub.repos.files(REPO) == {}


async def test_uploading_a_file(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    put(session, "out/model.bin", b"\x00\xff" * 1000)
    result = await done(session, files, "upload", local_path="out/model.bin")
    assert str(session.workspace / "out" / "model.bin") in result.output
    await done(session, files, "upload", local_path="out/model.bin", path="weights/")
    await done(session, files, "upload", local_path="out/model.bin", path="w.bin")
    assert hub.repos.files(REPO).keys() == {"model.bin", "weights/model.bin", "w.bin"}
    assert hub.repos.files(REPO)["w.bin"] == b"\x00\xff" * 1000


async def test_uploading_a_directory(session: FakeSession, files: ToolSpec, hub: FakeHub, kept: Kept) -> None:
    repo = hub.repos.create(REPO)
    await kept.made(REPO, "model", session_id="s")
    for name in ("README.md", "a[1].txt", "sub/b.bin", ".git/config", "sub/.git/HEAD"):
        put(session, f"out/{name}")
    result = await done(session, files, "upload", local_path="out")
    assert hub.repos.files(REPO).keys() == {"README.md", "a[1].txt", "sub/b.bin"}
    assert result.display is not None and result.display.startswith("Uploaded 3 files, 3 B")
    assert kept.told[-1][3] is True
    await done(session, files, "upload", local_path="out", path="copy/", patterns=["*.bin"], revision="main")
    assert hub.repos.files(REPO).keys() == {"README.md", "a[1].txt", "sub/b.bin", "copy/sub/b.bin"}
    assert repo.commits[repo.refs["refs/heads/main"]].title == "Upload copy"
    assert "that fit" in await refused(session, files, "upload", local_path="out", patterns=["*.zip"])


async def test_a_directory_as_a_pull_request(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    put(session, "out/a")
    result = await done(session, files, "upload", local_path="out", create_pr=True)
    assert "pull request #1" in result.output
    assert hub.repos.files(REPO) == {}
    assert hub.repos.files(REPO, revision="refs/pr/1").keys() == {"a"}


async def test_secrets_stay_here(session: FakeSession, files: ToolSpec, hub: FakeHub, tmp_path: Path) -> None:
    hub.repos.create(REPO)
    put(session, ".env", "A=1")
    key = tmp_path / "home" / ".ssh" / "id_rsa"
    key.parent.mkdir(parents=True)
    key.write_text("key")
    (session.workspace / "harmless.txt").symlink_to(key)
    for local in (".env", str(key), "harmless.txt", "~/.ssh"):
        assert "usually holds secrets" in await refused(session, files, "upload", local_path=local, path="x")
        assert files.check is not None
        assert files.check({"operation": "upload", "repo_id": REPO, "local_path": local}, session)
    assert "too high up" in await refused(session, files, "upload", local_path="~")
    put(session, "app/main.py")
    put(session, "app/.env", "B=2")
    (session.workspace / "app" / "link.txt").symlink_to(key)
    result = await done(session, files, "upload", local_path="app")
    assert hub.repos.files(REPO).keys() == {"main.py"}
    assert "Left out" in result.output and ".env, link.txt" in result.output


async def test_known_secrets_are_not_uploaded(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    session.secrets = LiveSecrets({"HF_TOKEN": "hf_very_secret_value"})
    put(session, "out/run.sh", "export X=hf_very_secret_value")
    for more in (
        {"path": "a", "content": "token: hf_very_secret_value"},
        {"local_path": "out/run.sh"},
        {"local_path": "out"},
    ):
        said = await refused(session, files, "upload", **more)
        assert "holds a secret" in said and "hf_very_secret_value" not in said
    assert hub.repos.files(REPO) == {}


async def test_files_that_cannot_be_uploaded(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    os.mkfifo(session.workspace / "pipe")
    (session.workspace / "nothing").mkdir()
    assert "named pipe" in await refused(session, files, "upload", local_path="pipe")
    assert "No such file" in await refused(session, files, "upload", local_path="missing.txt")
    assert "no files to upload" in await refused(session, files, "upload", local_path="nothing")
    assert hub.requests == []


async def test_the_person_sees_what_an_upload_would_take(session: FakeSession, files: ToolSpec) -> None:
    put(session, "app/main.py", "12")
    put(session, "app/.env")
    assert files.preflight is not None
    found = await files.preflight({"operation": "upload", "repo_id": REPO, "local_path": "app"}, session)
    assert dict(found.facts)["size"] == "1 file, 2 B"
    assert dict(found.facts)["from"] == str(session.workspace / "app")
    assert ".env" in dict(found.facts)["left out"]
    assert (await files.preflight({"operation": "upload", "content": "x"}, session)).facts == ()


async def test_an_upload_that_is_not_allowed(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create("strangers/x", private=False)
    said = await refused(session, files, "upload", repo_id="strangers/x", path="a", content="1")
    assert "strangers/x" in said and "does not allow" in said


async def test_an_upload_is_tried_once(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    hub.fail("POST", "/commit/", kind="after")
    assert "look before you try again" in await refused(session, files, "upload", path="a", content="1")
    assert len([each for each in hub.requests if "/commit/" in each.path]) == 1


async def test_uploading_what_is_there_already(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO, files={"a": "1"})
    put(session, "out/a", "1")
    await done(session, files, "upload", path="a", content="1")
    await done(session, files, "upload", local_path="out")
    assert len(repo.commits) == 1


# --- delete ----------------------------------------------------------------------------------------------------------

STOCK = {"a.bin": "1", "logs/1.txt": "1", "logs/2.txt": "1", "x[1].md": "1", "x1.md": "1", "keep.md": "1"}


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ({"patterns": ["*.bin", "logs/*"]}, {"a.bin", "logs/1.txt", "logs/2.txt"}),
        ({"patterns": "logs/*.txt"}, {"logs/1.txt", "logs/2.txt"}),
        ({"patterns": ["logs/"]}, {"logs/1.txt", "logs/2.txt"}),
        ({"path": "x[1].md"}, {"x[1].md"}),
        ({"path": "logs/1.txt"}, {"logs/1.txt"}),
    ],
)
async def test_deleting(
    session: FakeSession, files: ToolSpec, hub: FakeHub, what: dict[str, object], gone: set[str]
) -> None:
    hub.repos.create(REPO, files=STOCK)
    result = await done(session, files, "delete", **what)
    assert STOCK.keys() - hub.repos.files(REPO).keys() == gone
    assert f"Deleted {len(gone)} file" in result.output
    assert all(name in result.output for name in gone)


async def test_deleting_in_a_pull_request(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files=STOCK)
    await done(session, files, "delete", path="a.bin", create_pr=True)
    assert "a.bin" in hub.repos.files(REPO)
    await done(session, files, "delete", path="keep.md", revision="refs/pr/1")
    assert hub.repos.files(REPO, revision="refs/pr/1").keys() == STOCK.keys() - {"a.bin", "keep.md"}


async def test_nothing_to_delete(session: FakeSession, files: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, files=STOCK)
    for what in ({"patterns": []}, {}, {"patterns": [" "]}, {"patterns": ["*"], "path": "a.bin"}):
        assert "`patterns`" in await refused(session, files, "delete", **what)
    said = await refused(session, files, "delete", patterns=["a.bim"])
    assert "a.bim fits no file" in said and "a.bin" in said
    assert "pattern logs/* fits" in await refused(session, files, "delete", path="logs")
    assert "fits no file" in await refused(session, files, "delete", patterns=["nowhere/*"])
    assert hub.repos.files(REPO).keys() == STOCK.keys()


def test_sizes() -> None:
    assert [size_text(each) for each in (0, 1023, 1024, 1536, 5 << 30, 3 << 50)] == [
        *("0 B", "1023 B", "1.0 KB", "1.5 KB", "5.0 GB"),
        "3,072.0 TB",
    ]

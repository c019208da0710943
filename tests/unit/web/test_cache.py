"""Kept answers: fresh ones, those asked for again, and a file that may break without anybody noticing (defect 9)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.web.cache import AnswerCache, Kept
from agent.web.client import WebClient
from agent.web.reach import Reach, origin_of
from tests.fakes.web_site import WebSite, redirect, reply
from tests.unit.web.conftest import NewClient
from tests.unit.web.kit import FakeTime, to


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "ml-intern" / "web.sqlite"


@pytest.fixture
def cache(path: Path) -> Iterator[AnswerCache]:
    cache = AnswerCache(path)
    yield cache
    cache.close()


@pytest.fixture
def keeping(new_client: NewClient, cache: AnswerCache, time: FakeTime) -> WebClient:
    """A client with a cache; `time` is also its calendar."""
    return new_client(cache, now=time)


def kept(body: bytes = b"body", stored_at: float = 1.0) -> Kept:
    return Kept(stored_at, "https://a.example/", {"etag": '"1"'}, body)


# --- what the client makes of it -------------------------------------------------------------------------------------


async def test_a_fresh_answer_is_not_asked_for_again(site: WebSite, keeping: WebClient, time: FakeTime) -> None:
    request = to(site.on("/a", reply(b"1", {"Content-Type": "text/x"}), reply(b"2")), fresh_s=60)
    first = await keeping.ask(request)
    time.now_s += 59
    second = await keeping.ask(request)
    assert (first.is_kept, second.is_kept, second.body, second.content_type) == (False, True, b"1", "text/x")
    assert (second.status, second.url, len(site.requests)) == (200, first.url, 1)


async def test_an_old_answer_is_asked_for_again(site: WebSite, keeping: WebClient, time: FakeTime) -> None:
    request = to(site.on("/a", reply(b"1"), reply(b"2")), fresh_s=60)
    await keeping.ask(request)
    time.now_s += 61
    assert (await keeping.ask(request)).body == b"2"


async def test_an_answer_from_the_future_is_not_fresh(site: WebSite, keeping: WebClient, time: FakeTime) -> None:
    request = to(site.on("/a", reply(b"1"), reply(b"2")), fresh_s=60)
    await keeping.ask(request)
    time.now_s -= 10
    assert (await keeping.ask(request)).body == b"2"


@pytest.mark.parametrize(
    ("given", "asked", "value"),
    [("ETag", "if-none-match", 'W/"x"'), ("Last-Modified", "if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT")],
)
async def test_an_old_answer_that_still_holds_is_fresh_again(
    site: WebSite, keeping: WebClient, time: FakeTime, given: str, asked: str, value: str
) -> None:
    request = to(site.on("/a", reply(b"1", {given: value}), reply(status=304)), fresh_s=60)
    await keeping.ask(request)
    time.now_s += 100
    again = await keeping.ask(request)
    time.now_s += 50
    third = await keeping.ask(request)
    assert (again.body, again.is_kept, again.status, third.body) == (b"1", True, 200, b"1")
    assert [r.headers.get(asked) for r in site.requests] == [None, value]


@pytest.mark.parametrize("status", [404, 500, 203])
async def test_only_whole_good_answers_are_kept(site: WebSite, keeping: WebClient, status: int) -> None:
    request = to(site.on("/a", reply(status=status), reply(b"good")), fresh_s=60, tries=1)
    await keeping.ask(request)
    assert (await keeping.ask(request)).body == b"good"


async def test_a_cut_answer_is_not_kept(site: WebSite, keeping: WebClient) -> None:
    request = to(site.on("/a", reply(b"12345")), fresh_s=60, max_bytes=3)
    await keeping.ask(request)
    assert not (await keeping.ask(request)).is_kept


async def test_accounts_and_questions_have_answers_of_their_own(site: WebSite, keeping: WebClient) -> None:
    url = site.on("/a", *(reply(str(number).encode()) for number in range(6)))
    requests = [
        to(url, fresh_s=60),
        to(url, fresh_s=60, private_headers={"authorization": "Bearer a"}),
        to(url, fresh_s=60, private_headers={"authorization": "Bearer b"}),
        to(url, fresh_s=60, params={"q": 1}),
        to(url, fresh_s=60, headers={"accept": "text/plain"}),
        to(url, fresh_s=60, method="POST", json={"q": 1}),
    ]
    for _ in range(2):
        assert [(await keeping.ask(request)).body for request in requests] == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_a_kept_answer_is_no_way_to_where_a_request_may_not_go(site: WebSite, keeping: WebClient) -> None:
    with WebSite() as other:
        url = site.on("/a", redirect(other.on("/b", reply(b"from elsewhere"))), reply(b"from here"))
        wide = Reach(origins=(origin_of(site.url), origin_of(other.url)))
        await keeping.ask(to(url, reach=wide, fresh_s=60))
        assert (await keeping.ask(to(url, fresh_s=60))).body == b"from here"


async def test_no_secret_is_in_the_file(site: WebSite, keeping: WebClient, path: Path) -> None:
    request = to(site.on("/a", reply(b"x")), fresh_s=60, private_headers={"authorization": "Bearer hf_topsecret"})
    await keeping.ask(request)
    await keeping.close()
    assert all(b"topsecret" not in file.read_bytes() for file in path.parent.iterdir())


# --- the file --------------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_first_use(path: Path) -> None:
    AnswerCache(path)
    assert not path.parent.exists()


def test_what_is_stored_is_found_by_another_one(path: Path, cache: AnswerCache) -> None:
    cache.store("a", kept())
    again = AnswerCache(path)
    assert (again.find("a"), again.find("b")) == (kept(), None)
    again.close()


def test_the_file_is_private_whatever_the_umask(path: Path, cache: AnswerCache) -> None:
    before = os.umask(0)
    try:
        cache.store("a", kept())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path, cache: AnswerCache) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o644)
    cache.store("a", kept())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("broken", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_broken_file_is_replaced(path: Path, cache: AnswerCache, broken: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(broken)
    assert cache.find("a") is None
    cache.store("a", kept())
    assert cache.find("a") == kept()


def test_a_file_that_breaks_later_is_replaced(path: Path) -> None:
    first = AnswerCache(path)
    for number in range(50):
        first.store(str(number), kept(os.urandom(2000)))
    first.close()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    second = AnswerCache(path)
    for number in range(50):
        second.find(str(number))
    second.store("new", kept())
    assert second.find("new") == kept()
    second.close()


@pytest.mark.parametrize(
    "row", [(1.0, "u", "no json", b"x"), (1.0, "u", "{}", b"not packed"), ("x", "u", "{}", "text")]
)
def test_a_row_that_is_none_is_not_found(path: Path, cache: AnswerCache, row: tuple[object, ...]) -> None:
    cache.store("a", kept())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE kept_answers SET stored_at = ?, url = ?, headers = ?, body = ?", row)
    db.close()
    assert cache.find("a") is None


def test_a_place_that_cannot_be_written_is_a_cache_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = AnswerCache(tmp_path / "file" / "web.sqlite")
    cache.store("a", kept())
    cache.refresh("a", 2.0)
    assert cache.find("a") is None
    cache.close()


async def test_a_request_does_not_fail_for_the_caches_sake(
    site: WebSite, new_client: NewClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    client = new_client(AnswerCache(tmp_path / "file" / "web.sqlite"))
    assert (await client.ask(to(site.on("/a", reply(b"ok")), fresh_s=60))).body == b"ok"


def test_the_oldest_make_room(path: Path) -> None:
    cache = AnswerCache(path, max_bytes=10_000)
    for number in range(20):
        cache.store(str(number), kept(os.urandom(1000), stored_at=float(number)))
    found = [number for number in range(20) if cache.find(str(number)) is not None]
    assert found == list(range(20 - len(found), 20))
    assert 7 <= len(found) <= 9
    cache.store("too large", kept(os.urandom(20_000)))
    assert cache.find("too large") is None
    cache.close()


def test_a_closed_cache_has_nothing_and_keeps_nothing(path: Path, cache: AnswerCache) -> None:
    cache.store("a", kept())
    cache.close()
    cache.close()
    cache.store("b", kept())
    assert cache.find("a") is None
    assert not path.with_name("web.sqlite-wal").exists()


def test_two_processes_share_one_file(path: Path, cache: AnswerCache, env: dict[str, str]) -> None:
    program = (
        "import sys; from pathlib import Path; from agent.web.cache import AnswerCache, Kept\n"
        "cache = AnswerCache(Path(sys.argv[1]))\n"
        "for n in range(100): cache.store(f'{sys.argv[2]}{n}', Kept(1.0, 'u', {}, b'x' * 1000))\n"
    )
    root = Path(__file__).parents[3]
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name], env=env, cwd=root) for name in ("a", "b")
    ]
    for number in range(100):
        cache.store(f"c{number}", kept())
    assert [process.wait(60) for process in running] == [0, 0]
    assert all(cache.find(f"{name}{number}") for name in "abc" for number in range(100))


async def test_threads_share_one_connection(cache: AnswerCache) -> None:
    await asyncio.gather(*(asyncio.to_thread(cache.store, str(n), kept()) for n in range(50)))
    found = await asyncio.gather(*(asyncio.to_thread(cache.find, str(n)) for n in range(50)))
    assert found == [kept()] * 50

"""`github_list_repos`: all of an owner's repositories in the order asked for."""

from __future__ import annotations

import re

import pytest

from agent.tools.github_list_repos import github_list_repos_spec
from tests.unit.tools.github_kit import Desk, desk, github

__all__ = ["desk", "github"]

SPEC = github_list_repos_spec


def _names(text: str) -> list[str]:
    return re.findall(r"^\*\*(?:[^/]+)/([^*]+)\*\*", text, re.MULTILINE)


async def test_a_repository_in_full(desk: Desk) -> None:
    desk.github.add(
        "hf/trl",
        {},
        stars=12_345,
        forks=1,
        description="Train " + "x" * 200,
        language="Python",
        topics=["a", "b", "c", "d", "e", "f"],
        archived=True,
        created_at="2020-03-27T10:54:52Z",
        updated_at="2026-01-02T00:00:00Z",
    )
    desk.github.add("hf/plain", {})
    result = await desk.raw(SPEC, owner="hf")
    assert result.output.split("\n") == [
        "2 repositories of hf, by stars, most first",
        "**hf/trl** (12,345 stars, 1 fork, Python, created 2020-03-27, updated 2026-01-02, archived)",
        f"  Train {'x' * 94}...",
        "  https://github.com/hf/trl",
        "  topics: a, b, c, d, e",
        "  {'repo': 'hf/trl'}",
        "**hf/plain** (0 stars, 0 forks, N/A, created N/A, updated N/A)",
        "  https://github.com/hf/plain",
        "  {'repo': 'hf/plain'}",
    ]
    assert result.source == "GitHub: hf"
    request = desk.github.requests[0]
    assert (request.path, request.query) == ("/orgs/hf/repos", {"per_page": "100", "page": "1"})


async def test_defect_22_the_most_stars_may_be_on_the_last_page(desk: Desk) -> None:
    for number in range(250):
        desk.github.add(f"hf/r{number}", {}, stars=number, forks=300 - number)
    result = await desk.raw(SPEC, owner="hf")
    assert _names(result.output) == [f"r{number}" for number in range(249, 219, -1)], "30 by default"
    assert "There are more: offset=30." in result.advice
    assert _names((await desk.raw(SPEC, owner="hf", offset=30, limit=2)).output) == ["r219", "r218"]
    assert _names((await desk.raw(SPEC, owner="hf", sort="forks", limit=2)).output) == ["r0", "r1"]
    assert _names((await desk.raw(SPEC, owner="hf", order="asc", limit=2)).output) == ["r0", "r1"]
    assert len(desk.github.requests) == 3, "pages are kept"


async def test_who_has_too_many_is_looked_up_with_the_search(desk: Desk) -> None:
    for number in range(1_020):
        desk.github.add(f"hf/r{number}", {}, stars=number)
    result = await desk.raw(SPEC, owner="hf", limit=2)
    assert _names(result.output) == ["r1019", "r1018"]
    assert "hf has 1,020 of them. There are more: offset=2." in result.advice
    assert desk.github.paths() == ["/orgs/hf/repos", "/search/repositories"]
    assert desk.github.requests[1].query["q"] == "org:hf fork:true"


async def test_not_all_looked_at_is_said(desk: Desk) -> None:
    for number in range(1_020):
        desk.github.add(f"hf/r{number}", {}, stars=number)
    desk.github.is_incomplete = True
    assert "some may be missing" in (await desk.raw(SPEC, owner="hf")).advice
    desk.github.route("GET", "/search/repositories", {"message": "Search is down"}, status=410)
    desk.clock.now_s += 10_000
    result = await desk.raw(SPEC, owner="hf", limit=1)
    assert result.ok
    assert _names(result.output) == ["r99"]
    assert "Not all repositories were looked at, only 100 of them" in result.output
    assert "Search is down" in result.output
    assert "Search is down" not in result.advice  # GitHub's words are no word of ours


@pytest.mark.parametrize(
    ("sort", "order", "names"),
    [
        ("created", "desc", ["c", "b", "a"]),
        ("created", "asc", ["a", "b", "c"]),
        ("updated", "desc", ["a", "c", "b"]),
        ("updated", "asc", ["b", "c", "a"]),
    ],
)
async def test_times_are_sorted_by_github(desk: Desk, sort: str, order: str, names: list[str]) -> None:
    for name, created, updated in (("a", "2020", "2026"), ("b", "2021", "2024"), ("c", "2022", "2025")):
        desk.github.add(f"hf/{name}", {}, created_at=f"{created}-01-01", updated_at=f"{updated}-01-01")
    result = await desk.raw(SPEC, owner="hf", sort=sort, order=order)
    assert _names(result.output) == names
    assert desk.github.requests[0].query == {"per_page": "100", "page": "1", "sort": sort, "direction": order}


async def test_sorted_by_time_only_the_pages_needed_are_fetched(desk: Desk) -> None:
    for number in range(350):
        desk.github.add(f"hf/r{number}", {}, created_at=f"{number:04}")
    result = await desk.raw(SPEC, owner="hf", sort="created", limit=1)
    assert _names(result.output) == ["r349"]
    assert "offset=1." in result.advice
    assert len(desk.github.requests) == 1
    assert _names((await desk.raw(SPEC, owner="hf", sort="created", limit=1, offset=150)).output) == ["r199"]
    assert len(desk.github.requests) == 2


async def test_the_other_type_of_owner_is_tried(desk: Desk) -> None:
    desk.github.users.add("someone")
    desk.github.add("someone/r", {})
    result = await desk.call(SPEC, owner="someone")
    assert result.ok
    assert "someone (a user, not an organisation)" in result.output
    assert desk.github.paths() == ["/orgs/someone/repos", "/users/someone/repos"]
    assert "not an organisation" not in (await desk.call(SPEC, owner="someone", owner_type="user")).output


async def test_nobody_of_that_name(desk: Desk) -> None:
    result = await desk.call(SPEC, owner="nobody", owner_type="USER")
    assert not result.ok
    assert "no user or organisation nobody" in result.output
    assert desk.github.paths() == ["/users/nobody/repos", "/orgs/nobody/repos"]


async def test_nothing_to_show_is_no_failure(desk: Desk) -> None:
    desk.github.users.add("empty")
    result = await desk.call(SPEC, owner="empty", owner_type="user")
    assert result.ok
    assert "empty has no repositories" in result.output
    desk.github.add("hf/r", {})
    assert "smaller offset" in (await desk.call(SPEC, owner="hf", offset=5)).output


async def test_long_entries_are_paged_not_cut(desk: Desk) -> None:
    for number in range(100):
        desk.github.add(f"hf/{'n' * 90}{number:03}", {}, description="d" * 100, topics=["t" * 50] * 5)
    seen: list[str] = []
    offset = 0
    for _ in range(20):
        result = await desk.raw(SPEC, owner="hf", limit=100, offset=offset)
        assert len(result.output) < 20_000
        seen += _names(result.output)
        if "offset=" not in result.advice:
            break
        offset = int(result.advice.partition("offset=")[2].split(".")[0])
    assert len(seen) == len(set(seen)) == 100


@pytest.mark.parametrize("given", [{"owner": "a/b"}, {"owner": ""}, {"owner": "../x"}, {"owner": "a", "sort": "size"}])
async def test_wrong_arguments_ask_nothing(desk: Desk, given: dict[str, str]) -> None:
    assert not (await desk.call(SPEC, **given)).ok
    assert desk.github.requests == []

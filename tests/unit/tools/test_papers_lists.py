"""`hf_papers` on the Hub: trending, search, details, and what is linked to a paper; and what all operations share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.tools.papers.entries import Entry, listed
from tests.fakes.papers_site import daily_paper
from tests.unit.tools.conftest import FakeSession
from tests.unit.tools.papers_kit import Papers, papers_at

ID = "2310.06825"
TOKEN = "hf_secret"


@pytest.fixture
async def papers(session: FakeSession, tmp_path: Path) -> AsyncIterator[Papers]:
    async with papers_at(session, tmp_path, TOKEN) as made:
        yield made


def fill(papers: Papers, count: int, **more: object) -> None:
    papers.sites.hub.papers = {f"2401.{i:05d}": daily_paper(i, **more) for i in range(1, count + 1)}


# --- what all operations share ---------------------------------------------------------------------------------------


async def test_the_spec_has_eleven_operations_and_only_looks(papers: Papers) -> None:
    assert len(papers.spec.parameters["properties"]["operation"]["enum"]) == 11
    assert papers.spec.in_research
    assert papers.spec.only_looks({}, Path())


@pytest.mark.parametrize(
    ("operation", "missing"),
    [
        ("search", "query"),
        ("snippet_search", "query"),
        *((name, "arxiv_id") for name in ("paper_details", "read_paper", "citation_graph", "find_datasets")),
        *((name, "arxiv_id") for name in ("find_models", "find_collections", "find_all_resources", "recommend")),
    ],
)
async def test_a_missing_argument_is_named(papers: Papers, operation: str, missing: str) -> None:
    for arguments in ({}, {missing: ""}, {missing: None}):
        result = await papers.call(operation, **arguments)
        assert not result.ok
        assert f"`{missing}`" in result.output
        assert "required" in result.output
    assert papers.sites.requests == []


async def test_an_operation_that_is_none(papers: Papers) -> None:
    unknown = await papers.call("cite")
    assert "Unknown operation 'cite'" in unknown.output
    assert "citation_graph" in unknown.output
    missing = await papers.session.call(papers.spec)
    assert not missing.ok
    assert "`operation` is required" in missing.output


async def test_defect_3_numbers_as_text_and_null_are_what_they_mean(papers: Papers) -> None:
    fill(papers, 9)
    result = await papers.shown(operation="trending", limit="5", query=None, date=None)
    assert result.ok
    assert "Showing 5 papers" in result.output
    wrong = await papers.call("trending", limit="many")
    assert not wrong.ok
    assert "`limit` must be a whole number" in wrong.output


async def test_what_an_operation_does_not_take_is_said(papers: Papers) -> None:
    fill(papers, 60)
    result = await papers.call("trending", min_citations=5, limit=90)
    assert "Not applied, for trending does not have it: min_citations." in result.advice
    assert "at most 50" in result.advice
    assert "Showing 50 papers" in result.output


async def test_the_token_goes_to_the_hub_alone(papers: Papers) -> None:
    papers.sites.scholar.edges = {f"ARXIV:{ID}/citations": {"data": []}, f"ARXIV:{ID}/references": {"data": []}}
    fill(papers, 1)
    await papers.call("trending")
    await papers.call("citation_graph", arxiv_id=ID)
    await papers.call("read_paper", arxiv_id=ID)
    assert {request.headers.get("authorization") for request in papers.sites.hub.requests} == {f"Bearer {TOKEN}"}
    others = [r for site in (papers.sites.scholar, papers.sites.arxiv, papers.sites.ar5iv) for r in site.requests]
    assert others
    assert not any("authorization" in request.headers for request in others)


async def test_a_token_that_has_expired_does_not_stand_in_the_way(papers: Papers) -> None:
    papers.sites.hub.refused_token = TOKEN
    fill(papers, 1)
    assert "Paper 1" in (await papers.call("trending")).output


async def test_a_service_that_fails_is_named_with_its_own_words(papers: Papers) -> None:
    papers.sites.hub.failing["/api/papers/search"] = (400, {"error": "q is too odd"})
    result = await papers.call("search", query="x")
    assert not result.ok
    assert 'Hugging Face answered with HTTP 400 (Bad Request); it says: "q is too odd".' in result.output


@pytest.mark.parametrize("answer", [None, [], {}, [1, None, {"paper": 3}], {"data": [None]}, "text"])
async def test_an_answer_of_another_shape_is_no_crash(papers: Papers, answer: object) -> None:
    for path in ("/api/daily_papers", "/api/papers/search", f"/api/papers/{ID}", "/api/models"):
        papers.sites.hub.route("GET", path, answer)
    for operation in ("trending", "paper_details", "find_models", "find_all_resources", "read_paper"):
        assert (await papers.call(operation, arxiv_id=ID)).output
    assert (await papers.call("search", query="x")).output


async def test_an_answer_that_is_no_json_is_a_failure(papers: Papers) -> None:
    papers.sites.hub.route("GET", "/api/papers/search", b"<html>")
    result = await papers.call("search", query="x")
    assert not result.ok
    assert "Hugging Face" in result.output


def test_details_of_a_long_list_give_way_and_that_is_said() -> None:
    entries = [Entry([f"head {i}"], ["d" * 100]) for i in range(10)]
    text = listed(entries, "summaries", 500)
    assert all(f"head {i}" in text for i in range(10))
    assert text.count("d" * 100) == 4
    assert "[summaries left out from entry 5" in text


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_trending_shows_what_one_needs_to_choose(papers: Papers) -> None:
    more = {"ai_keywords": ["a", "b", "c", "d", "e", "f"], "githubRepo": "https://github.com/x/y", "githubStars": 1234}
    fill(papers, 2, **more)
    result = await papers.call("trending", limit=1)
    assert result.output.startswith("# Trending papers\nShowing 1 paper\n\n## 1. Paper 1\n**arxiv_id:** 2401.00001")
    assert "**upvotes:** 1 | **published:** 2024-01-02" in result.output
    assert f"{papers.sites.hub.url}/papers/2401.00001" in result.output
    assert "Keywords: a, b, c, d, e\n" in result.output
    assert "GitHub: https://github.com/x/y (1,234 stars)" in result.output
    assert "Summary: What paper 1 is about." in result.output
    assert "offset=1" in result.advice
    assert papers.sites.hub.requests[0].query == {"limit": "1", "sort": "trending"}


async def test_defect_19_a_filtered_list_asks_for_no_more_than_the_service_gives(papers: Papers) -> None:
    fill(papers, 100)
    papers.sites.hub.papers["2401.00050"]["title"] = "About Needles"
    result = await papers.call("trending", query="needles ABOUT", limit=50)
    assert result.ok
    assert "Showing 1 paper filtered by 'needles ABOUT', of the 100 looked at" in result.output
    assert papers.sites.hub.requests[0].query["limit"] == "100"
    few = await papers.call("trending", query="nothing like it", limit=2)
    assert few.ok
    assert "No papers found filtered by 'nothing like it', of the 30 looked at." in few.output
    assert "search" in few.advice


async def test_the_list_of_a_day_is_ranked_by_upvotes(papers: Papers) -> None:
    fill(papers, 12)
    result = await papers.call("trending", date="2024-01-02", limit=2)
    assert "## 1. Paper 12" in result.output
    assert papers.sites.hub.requests[0].query == {"limit": "100", "date": "2024-01-02"}
    for wrong in ("2024-13-01", "yesterday", "2024-01"):
        refused = await papers.call("trending", date=wrong)
        assert not refused.ok
        assert "`date` must be a date as YYYY-MM-DD" in refused.output


async def test_search_without_filters_is_the_hubs_and_pages(papers: Papers) -> None:
    fill(papers, 30)
    result = await papers.call("search", query="mixture of experts", sort_by="relevance", offset=10, limit=5)
    assert result.output.startswith("# Papers matching 'mixture of experts'\nShowing 5 papers\n\n## 11. Paper 11")
    assert "offset=15" in result.advice
    assert papers.sites.hub.requests[0].query == {"q": "mixture of experts", "limit": "15"}
    assert papers.sites.scholar.requests == []
    long = await papers.call("search", query="x" * 251)
    assert not long.ok
    assert "250" in long.output


async def test_nothing_found_is_no_failure_and_the_same_question_has_the_same_answer(papers: Papers) -> None:
    first = await papers.call("search", query="x")
    assert first.ok
    assert "No papers found" in first.output
    assert await papers.call("search", query="x") == first
    assert len(papers.sites.requests) == 1


async def test_a_list_of_fifty_stays_short(papers: Papers) -> None:
    fill(papers, 50, summary="long " * 500, ai_summary="", title="t" * 400)
    result = await papers.call("search", query="x", limit=50)
    assert "## 50. " in result.output
    assert "summaries left out from entry" in result.output
    assert len(result.output) < 27_000


async def test_details(papers: Papers) -> None:
    papers.sites.hub.papers[ID] = daily_paper(1, ai_summary="In short.", summary="word " * 300, numTotalModels=3)
    result = await papers.call("paper_details", arxiv_id=f"{ID}v2")
    assert "**Authors:** Author 0," in result.output
    assert "Author 9 (+2 more)" in result.output
    assert "## AI Summary\nIn short." in result.output
    assert "Linked on the Hub: 3 models" in result.output
    assert len(result.output.split("## Abstract\n")[1]) <= 500
    assert f"https://arxiv.org/abs/{ID}" in result.output
    assert "read_paper" in result.advice
    assert "find_all_resources" in result.advice
    missing = await papers.call("paper_details", arxiv_id="2401.99999")
    assert not missing.ok
    assert "Check the id" in missing.output


# --- linked ----------------------------------------------------------------------------------------------------------


def link(papers: Papers) -> None:
    hub = papers.sites.hub
    tags = ["arxiv:2310.06825", "region:us", "task:qa", "size:1K"]
    hub.linked["/api/datasets"] = [
        {"id": f"org/set{i}", "downloads": 1234, "likes": i, "description": "Rows.", "tags": tags} for i in range(3)
    ]
    hub.linked["/api/models"] = [
        {
            "id": "org/model",
            "downloads": 5,
            "likes": 6,
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
        }
    ]
    hub.linked["/api/collections"] = [
        {"slug": "org/c-1", "title": "Mine", "owner": {"name": "org"}, "upvotes": 4, "items": [{}, {}]}
    ]


async def test_linked_datasets_models_and_collections(papers: Papers) -> None:
    link(papers)
    datasets = await papers.call("find_datasets", arxiv_id=ID, sort="trending", limit=2)
    assert datasets.output.startswith(f"# Datasets linked to paper {ID}, sorted by trending\nShowing 2")
    assert (
        f"**1. [org/set0]({papers.sites.hub.url}/datasets/org/set0)**\nDownloads: 1,234 | Likes: 0" in datasets.output
    )
    assert "Tags: task:qa, size:1K\n" in datasets.output
    assert 'hf_inspect_dataset(dataset="org/set0")' in datasets.advice
    assert "offset=2" in datasets.advice
    sent = papers.sites.hub.requests[0].query
    assert sent == {"filter": f"arxiv:{ID}", "sort": "trendingScore", "direction": "-1", "limit": "2"}
    models = await papers.call("find_models", arxiv_id=ID)
    assert "Task: text-generation | Library: transformers" in models.output
    collections = await papers.call("find_collections", arxiv_id=ID)
    assert "By: org | Upvotes: 4 | Items: 2" in collections.output
    assert papers.sites.hub.requests[-1].query["paper"] == ID


async def test_no_linked_models_is_no_failure(papers: Papers) -> None:
    result = await papers.call("find_models", arxiv_id=ID)
    assert result.ok
    assert "No models found" in result.output


async def test_all_resources_at_once(papers: Papers) -> None:
    link(papers)
    result = await papers.call("find_all_resources", arxiv_id=ID, limit=3)
    assert result.output.startswith(f"# Resources linked to paper {ID}\n\n## Datasets (3 or more)")
    assert "## Models (1)" in result.output
    assert "## Collections (1)" in result.output
    assert all(request.query["limit"] == "3" for request in papers.sites.hub.requests)


async def test_defect_19_one_of_three_failing_does_not_lose_the_others(papers: Papers) -> None:
    link(papers)
    papers.sites.hub.failing["/api/models"] = (429, {"error": "slow down"})
    result = await papers.call("find_all_resources", arxiv_id=ID)
    assert result.ok
    assert "org/set0" in result.output
    assert "## Models\nCould not be found out: Hugging Face answered with HTTP 429 (Too Many Requests)" in result.output
    papers.sites.hub.failing |= dict.fromkeys(("/api/datasets", "/api/collections"), (500, {"error": "broken"}))
    failed = await papers.call("find_all_resources", arxiv_id="2310.00001")
    assert not failed.ok
    assert "broken" in failed.output

"""`github_search_code`: the query as GitHub gets it, results with their lines, and what stands in the way."""

from __future__ import annotations

import pytest

from agent.tools.arguments import ArgumentError
from agent.tools.github.queries import code_query
from agent.tools.github_search_code import github_search_code_spec
from tests.fakes.github import found_file
from tests.unit.tools.github_kit import Desk, desk, github

__all__ = ["desk", "github"]

SPEC = github_search_code_spec
FRAGMENT = (
    "import os\n\n\nfrom trl import GRPOConfig\n\nargs = GRPOConfig(\n    beta=0.1,\n    lr=1,\n)\nafter = 1\nlast = 2"
)


# --- the query -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "given", "query"),
    [
        ("GRPOConfig", {}, "GRPOConfig"),
        ("GRPOConfig", {"repo": "hf/trl"}, "GRPOConfig repo:hf/trl"),
        ("a repo:x/y language:c", {}, "a repo:x/y language:c"),
        ("a repo:x/y", {"repo": "hf/trl"}, "a repo:hf/trl"),
        ("a org:x user:y", {"repo": "hf/trl"}, "a repo:hf/trl"),
        ("a REPO:x/y", {"user": "hf"}, "a user:hf"),
        ("a -repo:x/y", {"user": "hf"}, "a -repo:x/y user:hf"),
        ("a language:c path:src", {"language": "python"}, "a path:src language:python"),
        ('a language:"jupyter notebook"', {"language": "python"}, "a language:python"),
        ('"repo:x/y literally"', {"repo": "hf/trl"}, '"repo:x/y literally" repo:hf/trl'),
        ("std::vector", {}, "std::vector"),
        ("a", {"language": "jupyter notebook"}, 'a language:"jupyter notebook"'),
        ("a", {"filename": "x repo:evil/y"}, 'a filename:"x repo:evil/y"'),
        ("a", {"path": "", "extension": "py"}, "a extension:py"),
    ],
)
def test_parameters_count_more_than_the_querys_own_words(words: str, given: dict[str, str], query: str) -> None:
    assert code_query(words, given).text == query


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("", {}),
        ("repo:a/b language:python", {}),
        ("repo:a/b", {"repo": "c/d"}),
        ('a "open', {"repo": "c/d"}),
        ("a", {"path": 'x" repo:evil/y "'}),
    ],
)
def test_what_cannot_be_searched_for_is_refused(words: str, given: dict[str, str]) -> None:
    with pytest.raises(ArgumentError):
        code_query(words, given)


async def test_all_parameters_become_qualifiers(desk: Desk) -> None:
    desk.sign_in()
    await desk.call(
        SPEC,
        query=" GRPOConfig\n beta ",
        repo="https://github.com/hf/trl",
        language="python",
        path="/examples/",
        filename="a.py",
        extension=".py",
        max_results=7,
        page=2,
    )
    request = desk.github.requests[0]
    assert request.path == "/search/code"
    assert request.query == {
        "q": "GRPOConfig beta repo:hf/trl language:python path:examples filename:a.py extension:py",
        "per_page": "7",
        "page": "2",
    }
    assert request.headers["accept"] == "application/vnd.github.text-match+json"


@pytest.mark.parametrize(
    ("given", "qualifier"),
    [
        ({"owner": "hf"}, "user:hf"),
        ({"owner": "hf", "repo": "trl"}, "repo:hf/trl"),
        ({"owner": "HF", "repo": "hf/trl"}, "repo:hf/trl"),
    ],
)
async def test_repository_and_owner(desk: Desk, given: dict[str, str], qualifier: str) -> None:
    desk.sign_in()
    await desk.call(SPEC, query="x", **given)
    assert desk.github.requests[0].query["q"] == f"x {qualifier}"


async def test_wrong_arguments_ask_nothing(desk: Desk) -> None:
    desk.sign_in()
    for given in ({"repo": "trl"}, {"repo": "a/b", "owner": "c"}, {"owner": "a b"}, {"page": 101}, {"path": "a\nb"}):
        assert not (await desk.call(SPEC, query="x", **given)).ok
    assert desk.github.requests == []


# --- results ---------------------------------------------------------------------------------------------------------


async def test_a_result_with_the_lines_around_it(desk: Desk) -> None:
    desk.sign_in()
    desk.github.code = [found_file("hf/trl", "examples/grpo.py", (FRAGMENT, "GRPOConfig("))]
    result = await desk.raw(SPEC, query="GRPOConfig")
    assert result.output.split("\n") == [
        "Code on GitHub for 'GRPOConfig': 1 file",
        "**hf/trl** examples/grpo.py",
        "  {'repo': 'hf/trl', 'path': 'examples/grpo.py'}",
        "  | ",
        "  | from trl import GRPOConfig",
        "  | ",
        "  | args = GRPOConfig(",
        "  |     beta=0.1,",
        "  |     lr=1,",
        "  | )",
    ]
    assert result.source == "GitHub code search: GRPOConfig"
    assert result.advice == "Read a file with github_read_file."


async def test_the_rest_is_on_further_pages(desk: Desk) -> None:
    desk.sign_in()
    desk.github.code = [found_file("o/r", f"{number}.py", ("x", "x")) for number in range(25)]
    first = await desk.raw(SPEC, query="x")
    assert "25 files, here 1 to 10" in first.output
    assert "page=2" in first.advice
    last = await desk.raw(SPEC, query="x", page=3)
    assert "25 files, here 21 to 25" in last.output
    assert "page=" not in last.advice
    assert (await desk.call(SPEC, query="x", page=4)).ok


async def test_fifty_results_fit_with_a_line_each(desk: Desk) -> None:
    desk.sign_in()
    long = "\n".join(f"{number} needle {'y' * 500}" for number in range(9))
    desk.github.code = [
        found_file(f"owner{number}/repository", f"deep/{'d' * 60}/{number}.py", (long, "4 needle"), (long, "1 needle"))
        for number in range(60)
    ]
    result = await desk.raw(SPEC, query="needle", max_results=500)
    assert result.output.count("{'repo': ") == 50
    assert result.output.count("| 4 needle") == 50
    assert len(result.output) < 25_000
    assert "page=2" in result.advice


async def test_nothing_found_is_no_failure(desk: Desk) -> None:
    desk.sign_in()
    result = await desk.raw(SPEC, query="x repo:a/b", repo="c/d")
    assert result.ok
    assert result.output == "No code on GitHub found for 'x repo:c/d'."
    assert "Not used: repo:a/b of the query" in result.advice


async def test_an_incomplete_search_is_said(desk: Desk) -> None:
    desk.sign_in()
    desk.github.is_incomplete = True
    desk.github.code = [found_file("o/r", "a.py")]
    assert "the results are not complete" in (await desk.raw(SPEC, query="x")).advice


async def test_the_same_question_has_the_same_answer(desk: Desk) -> None:
    desk.sign_in()
    desk.github.code = [found_file("o/r", "a.py", ("x", "x"))]
    assert await desk.call(SPEC, query="x") == await desk.call(SPEC, query="x")


# --- what stands in the way ------------------------------------------------------------------------------------------


async def test_without_a_token_the_way_is_told_and_nothing_asked(desk: Desk) -> None:
    result = await desk.call(SPEC, query="x")
    assert not result.ok
    assert "GITHUB_TOKEN" in result.output
    assert "github_find_examples" in result.output
    assert desk.github.requests == []


async def test_a_query_that_github_refuses_is_shown_with_its_text(desk: Desk) -> None:
    desk.sign_in()
    errors = [{"message": "The search contains only logical operators without terms", "code": "invalid"}]
    desk.github.route("GET", "/search/code", {"message": "Validation Failed", "errors": errors}, status=422)
    result = await desk.call(SPEC, query="x OR NOT")
    assert not result.ok
    assert "The search 'x OR NOT' failed." in result.output
    assert "HTTP 422: Validation Failed: The search contains only logical operators" in result.output


async def test_a_limit_of_the_search_is_one_a_minute(desk: Desk) -> None:
    desk.sign_in()
    headers = {
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(desk.clock.now_s) + 500),
        "x-ratelimit-resource": "code_search",
    }
    desk.github.refusals = [(403, headers, "API rate limit exceeded")]
    assert "(10 requests a minute)" in (await desk.call(SPEC, query="x")).output

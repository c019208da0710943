"""`github_find_examples`: which files are examples, in which order; big and missing repositories."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

from agent.tools.github.scoring import EXAMPLE_PATTERNS, examples_of, scored
from agent.tools.github_find_examples import github_find_examples_spec
from tests.unit.tools.github_kit import Desk, desk, github

__all__ = ["desk", "github"]

SPEC = github_find_examples_spec
FILES = {
    "examples/scripts/sft.py": "x" * 2_048,
    "examples/README.md": "",
    "docs/source/guide/grpo_trainer.md": "",
    "scripts/run_grpo.py": "",
    "notebooks/sft.ipynb": "",
    "trl/trainer/very_long_internal_module_name_configuration.py": "",
    "examples/logo.png": "",
    "setup.py": "",
}


# --- which, and in which order ---------------------------------------------------------------------------------------


def test_examples_come_in_the_order_of_their_directories() -> None:
    paths = [
        "src/library/internal/modeling_something_else.py",
        "docs/examples/b.py",
        "notebooks/c.ipynb",
        "scripts/d.py",
        "examples/deep/er/e.py",
        "examples/e.py",
        "cookbook/examples/f.py",
        "examples/demo/g.py",
    ]
    assert examples_of(paths) == [
        "examples/e.py",
        "examples/deep/er/e.py",
        "examples/demo/g.py",  # the deepest directory that has such a name counts
        "scripts/d.py",
        "cookbook/examples/f.py",
        "docs/examples/b.py",
        "notebooks/c.ipynb",
    ]


@pytest.mark.parametrize("pattern", EXAMPLE_PATTERNS)
def test_every_pattern_finds_its_directory_in_any_case(pattern: str) -> None:
    assert examples_of([f"packages/something/{pattern.title()}/a_file_with_a_long_name.py"])


_WORDS = [*EXAMPLE_PATTERNS, *"how use to cases guid exmples sampl src a b_c getting test.py core demos.md x".split()]


@example(["guid/exmples/exmples/exmples/exmples"])  # long, but not its words, each taken once
@given(st.lists(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=5).map("/".join), max_size=20))
def test_what_is_spared_the_comparison_would_not_have_passed_it(paths: list[str]) -> None:
    def is_example(path: str) -> bool:
        scores = [fuzz.token_set_ratio(each, path, processor=default_process) for each in EXAMPLE_PATTERNS]
        return max(scores) >= 60

    assert set(examples_of(paths)) == set(filter(is_example, paths))


def test_the_keyword_orders_by_fit() -> None:
    paths = ["examples/other.py", "examples/sft_trainer.py", "examples/trainer.py", "examples/SFT/Trainer.py"]
    found = scored(paths, "SFT trainer", 60)
    assert [each.path for each in found[:2]] == ["examples/sft_trainer.py", "examples/SFT/Trainer.py"]
    assert found[0].score == 100
    assert "examples/other.py" not in [each.path for each in found]
    assert len(scored(paths, "SFT trainer", 100)) == 2


async def test_the_examples_of_a_repository(desk: Desk) -> None:
    desk.github.add("huggingface/trl", FILES)
    result = await desk.raw(SPEC, repo="trl")
    sha = hashlib.sha1(b"examples/scripts/sft.py").hexdigest()
    assert result.output.split("\n")[:4] == [
        "**Found 5 example files in huggingface/trl:**",
        f"**examples/scripts/sft.py** (2.0 KB, {sha[:7]})",
        "  https://github.com/huggingface/trl/blob/main/examples/scripts/sft.py",
        "  {'repo': 'huggingface/trl', 'path': 'examples/scripts/sft.py'}",
    ]
    assert "internal" not in result.output
    assert "logo.png" not in result.output
    assert "Left out: 1 picture or other binary." in result.advice
    assert result.source == "https://github.com/huggingface/trl"
    assert desk.github.paths() == ["/repos/huggingface/trl", "/repos/huggingface/trl/git/trees/main"]


async def test_a_keyword_and_the_defaults(desk: Desk) -> None:
    desk.github.add("huggingface/trl", FILES)
    result = await desk.raw(SPEC, repo="huggingface/trl", keyword="grpo")
    lines = result.output.split("\n")
    assert "matching 'grpo':**" in lines[0]
    assert [line.split("**")[1] for line in lines[1:] if line.startswith("**")][:2] == [
        "scripts/run_grpo.py",
        "docs/source/guide/grpo_trainer.md",
    ]
    assert "score 100)" in lines[1]
    properties = SPEC(desk.web, desk.environ).parameters["properties"]
    assert "Default 50" in properties["max_results"]["description"]
    assert "Default 60" in properties["min_score"]["description"]


async def test_all_examples_can_be_paged_through(desk: Desk) -> None:
    desk.github.add("o/r", {f"examples/{'long_name_' * 8}{number:03}.py": "" for number in range(120)})
    seen: list[str] = []
    offset = 0
    for _ in range(20):
        result = await desk.raw(SPEC, repo="o/r", offset=offset)
        assert len(result.output) < 20_000
        seen += [line.split("**")[1] for line in result.output.split("\n")[1:] if line.startswith("**")]
        if "offset=" not in result.advice:
            break
        offset = int(result.advice.partition("offset=")[2].split(".")[0])
    assert len(seen) == 120
    assert seen == sorted(seen)
    assert "smaller offset" in (await desk.call(SPEC, repo="o/r", offset=500)).output
    assert "showing 1 to 2)" in (await desk.call(SPEC, repo="o/r", max_results=2)).output


async def test_nothing_found_is_no_failure(desk: Desk) -> None:
    desk.github.add("o/r", {"src/core_internal_implementation_of_the_library.c": ""})
    desk.github.add("o/empty")
    nothing = await desk.call(SPEC, repo="o/r")
    assert nothing.ok
    assert "No example files in o/r." in nothing.output
    empty = await desk.call(SPEC, repo="o/empty")
    assert empty.ok
    assert "o/empty is empty" in empty.output
    desk.github.add("o/q", {"examples/a.py": ""})
    assert "lower min_score" in (await desk.call(SPEC, repo="o/q", keyword="zzzzzzzz")).output


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [{"repo": "r", "org": "o"}, {"repo": "o/r"}, {"repo": "https://github.com/o/r"}, {"repo": "o/r", "org": "O"}],
)
async def test_ways_to_name_a_repository(desk: Desk, named: dict[str, str]) -> None:
    desk.github.add("o/r", {"examples/a.py": ""})
    assert "1 example file in o/r" in (await desk.call(SPEC, **named)).output


async def test_contradictions_and_empty_words_are_refused(desk: Desk) -> None:
    for named in ({"repo": "a/b", "org": "c"}, {"repo": "r", "org": "a/b"}, {"repo": "r", "keyword": "+-*"}):
        assert not (await desk.call(SPEC, **named)).ok
    assert desk.github.requests == []


async def test_a_renamed_repository_is_found_and_said(desk: Desk) -> None:
    desk.github.add("new/name", {"examples/a.py": ""})
    desk.github.renamed["old/name"] = "new/name"
    result = await desk.raw(SPEC, repo="old/name")
    assert "{'repo': 'new/name', 'path': 'examples/a.py'}" in result.output
    assert "old/name is new/name now." in result.advice


async def test_a_default_branch_with_a_slash(desk: Desk) -> None:
    repo = desk.github.add("o/r")
    repo.default_branch, repo.refs = "dev/main", {"dev/main": {"examples/a.py": ""}}
    assert "/blob/dev/main/examples/a.py" in (await desk.call(SPEC, repo="o/r")).output


# --- what is not there -----------------------------------------------------------------------------------------------


async def test_similar_repositories_of_the_owner_are_named(desk: Desk) -> None:
    desk.github.add("o/trl-fork", {}, stars=3, description="A fork\n of it")
    desk.github.add("o/trl-big", {}, stars=30)
    result = await desk.call(SPEC, repo="o/trl")
    assert not result.ok
    assert "There is no repository o/trl" in result.output
    assert result.output.index("o/trl-big (30 stars)") < result.output.index("o/trl-fork (3 stars) A fork of it")
    query = desk.github.requests[1].query
    assert query == {"q": "org:o trl", "sort": "stars", "order": "desc", "per_page": "10"}


async def test_similar_repositories_of_others_are_named(desk: Desk) -> None:
    desk.github.add("unslothai/unsloth", {}, stars=9)
    result = await desk.call(SPEC, repo="unsloth")
    assert not result.ok
    assert "huggingface has none of a similar name. Of others:" in result.output
    assert "unslothai/unsloth" in result.output


async def test_a_search_that_fails_is_not_taken_for_nothing_found(desk: Desk) -> None:
    desk.github.refusals = [(404, {}, "Not Found"), (403, {"x-ratelimit-remaining": "0"}, "API rate limit exceeded")]
    result = await desk.call(SPEC, repo="o/r")
    assert not result.ok
    assert "Similar names could not be looked for: GitHub's rate limit" in result.output


# --- big repositories ------------------------------------------------------------------------------------------------


async def test_defect_23_a_truncated_tree_is_said_and_completed_below_the_examples(desk: Desk) -> None:
    files = {f"aaa/{number}.c": "" for number in range(30)} | {"scripts/s.py": "", "Examples/deep/e.py": "", "z": ""}
    desk.github.add("o/r", files).most_tree_entries = 10
    result = await desk.raw(SPEC, repo="o/r")
    assert "{'repo': 'o/r', 'path': 'Examples/deep/e.py'}" in result.output
    assert "{'repo': 'o/r', 'path': 'scripts/s.py'}" in result.output
    assert "lists only a part of it. Complete are scripts/, Examples/." in result.advice


async def test_directories_that_stay_incomplete_are_named(desk: Desk) -> None:
    files = {f"aaa/{number}.c": "" for number in range(30)} | {f"demos/{number}.py": "" for number in range(30)}
    desk.github.add("o/r", files).most_tree_entries = 10
    result = await desk.raw(SPEC, repo="o/r")
    assert "Not complete: demos/." in result.advice


async def test_defect_23_a_tree_is_kept_for_an_hour(desk: Desk) -> None:
    desk.github.add("o/r", {"examples/a.py": "", "examples/b.py": ""})
    first = await desk.call(SPEC, repo="o/r")
    desk.clock.now_s += 3_500
    assert await desk.call(SPEC, repo="o/r") == first
    await desk.call(SPEC, repo="o/r", keyword="b")
    assert len(desk.github.requests) == 2
    desk.clock.now_s += 200
    await desk.call(SPEC, repo="o/r")
    assert len(desk.github.requests) == 4


async def test_defect_23_scoring_many_paths_leaves_the_loop_free(desk: Desk) -> None:
    """Reading and scoring of 20,000 paths happen in a thread (defect 17, too)."""
    desk.github.add("o/r", {f"examples/part_{number % 7}/train_model_{number}.py": "" for number in range(20_000)})
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    result = await desk.raw(SPEC, repo="o/r", keyword="train model 777")
    ticking.cancel()
    assert result.output.split("\n")[1].startswith("**examples/part_0/train_model_777.py** (0 B")
    assert ticks > 100

"""Finding example files in a repository, for `github_find_examples`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError, int_argument
from agent.tools.github.answers import FoundRepositories, Repository
from agent.tools.github.client import GitHub, GitHubError, github_look
from agent.tools.github.names import RepoName, blob_url, copyable, names_owner, plain_text, read_owner, read_repo, route
from agent.tools.github.paging import page
from agent.tools.github.scoring import Scored, examples_of, is_code_or_text, scored
from agent.tools.github.trees import FRESH_S, Files, all_files
from agent.tools.github_find_examples import DEFAULT_ORG, DEFAULT_RESULTS, DEFAULT_SCORE, MAX_RESULTS
from agent.tools.hub_words import size_text
from agent.tools.looking import Look, echo
from agent.web.client import WebClient

_SIMILAR = 10
_DESCRIPTION_CHARS = 100


def look(web: WebClient, environ: Mapping[str, str]) -> Look:
    """The tool's work."""
    return github_look("github_find_examples", web, environ, _handle)


async def _handle(github: GitHub, arguments: Mapping[str, Any]) -> ToolResult:
    keyword = plain_text(arguments, "keyword")
    if keyword and not any(sign.isalnum() for sign in keyword):
        raise ArgumentError(f"`keyword` {keyword[:40]!r} has no letter and no digit to look for.")
    return await find_examples(
        github,
        _repo(arguments),
        keyword,
        min(MAX_RESULTS, int_argument(arguments, "max_results", DEFAULT_RESULTS, minimum=1)),
        int_argument(arguments, "min_score", DEFAULT_SCORE, minimum=0),
        int_argument(arguments, "offset", 0, minimum=0),
    )


def _repo(arguments: Mapping[str, Any]) -> RepoName:
    """`repo`, which may be a bare name of `org`. Raises ArgumentError if they contradict each other."""
    org = read_owner(arguments, "org", DEFAULT_ORG)
    repo = read_repo(arguments, org)
    given = plain_text(arguments, "org")
    if given and names_owner(plain_text(arguments, "repo")) and repo.owner.lower() != org.lower():
        raise ArgumentError(f"`repo` is of {repo.owner}, but `org` is {org}: give one of them.")
    return repo


async def find_examples(
    github: GitHub,
    repo: RepoName,
    keyword: str = "",
    max_results: int = DEFAULT_RESULTS,
    min_score: int = DEFAULT_SCORE,
    offset: int = 0,
) -> ToolResult:
    """The example files of a repository, those that fit `keyword` if there is one. Raises GitHubError."""
    try:
        about, _ = await github.read(Repository, route("repos", repo.owner, repo.name), fresh_s=FRESH_S)
    except GitHubError as error:
        if error.status == 404:
            return await _similar(github, repo, error)
        raise
    owner, _, name = about.full_name.partition("/")  # not `repo`, which may be a former name
    ref = about.default_branch or "HEAD"
    try:
        files = await all_files(github, RepoName(owner, name), ref)
    except GitHubError as error:
        if error.status == 409:
            return ToolResult(f"{about.full_name} is empty: it has no files yet.")
        raise
    result = await _result(about, ref, files, keyword, max_results, min_score, offset)
    if about.full_name.lower() == str(repo).lower():
        return result
    return replace(result, advice=f"{repo} is {about.full_name} now. {result.advice}")


async def _result(
    about: Repository, ref: str, files: Files, keyword: str, max_results: int, min_score: int, offset: int
) -> ToolResult:
    found, left_out = await asyncio.to_thread(_matching, list(files.by_path), keyword, min_score)
    matching = f" matching {echo(keyword)}" if keyword else ""
    if not found:
        next_step = "a lower min_score or another keyword, or none" if keyword else "github_read_file with path=''"
        text = f"No example files in {about.full_name}{matching}."
        return ToolResult(text, advice=f"Try {next_step}. {files.note}".strip())
    shown, following = page(found, offset, max_results, lambda each: _entry(about, ref, files, each, bool(keyword)))
    if not shown:
        return ToolResult(
            f"{about.full_name} has {counted(len(found), 'example file')}{matching}: use a smaller offset."
        )
    head = f"**Found {counted(len(found), 'example file')} in {about.full_name}{matching}:**"
    if len(shown) < len(found):
        head += f" (showing {offset + 1:,} to {offset + len(shown):,})"
    advice = ["Read the best ones with github_read_file."]
    if following is not None:
        advice.append(f"The next ones: offset={following}.")
    if left_out:
        advice.append(f"Left out: {counted(left_out, 'picture or other binary', 'pictures and other binaries')}.")
    advice.append(files.note)
    source = about.html_url or f"GitHub: {about.full_name}"
    return ToolResult("\n".join((head, *shown)), source=source, advice=" ".join(filter(None, advice)))


def _matching(paths: list[str], keyword: str, min_score: int) -> tuple[list[Scored], int]:
    """The examples that fit, in order, and how many files that lie among examples can be none."""
    examples = examples_of(paths)
    readable = [path for path in examples if is_code_or_text(path)]
    left_out = len(examples) - len(readable)
    if not keyword:
        return [Scored(path, 0.0) for path in readable], left_out
    return scored(readable, keyword, min_score), left_out


def _entry(about: Repository, ref: str, files: Files, found: Scored, has_score: bool) -> str:
    entry = files.by_path[found.path]
    facts = [size_text(entry.size or 0), entry.sha[:7], *([f"score {found.score:.0f}"] if has_score else [])]
    url = blob_url(about.html_url, ref, found.path)
    return f"**{found.path}** ({', '.join(facts)})\n  {url}\n  {copyable(about.full_name, found.path)}"


# --- a repository that is not there ----------------------------------------------------------------------------------


async def _similar(github: GitHub, repo: RepoName, error: GitHubError) -> ToolResult:
    """That it is not there, and what its owner, or else anybody, has of similar names."""
    said = f"There is no repository {repo}: {error}"
    whose = f"Similar repositories of {repo.owner}:"
    try:
        found = await _search(github, f"org:{repo.owner} {repo.name}")
        if not found:
            whose = f"{repo.owner} has none of a similar name. Of others:"
            found = await _search(github, f"{repo.name} in:name")
    except GitHubError as failure:
        return ToolResult(f"{said} Similar names could not be looked for: {failure}", ok=False)
    if not found:
        return ToolResult(f"{said} Nothing of a similar name was found; github_list_repos lists an owner's.", ok=False)
    rows = [_similar_entry(each) for each in found]
    text = "\n".join((said, whose, *rows))
    return ToolResult(text, ok=False, source="GitHub", advice="Call again with the right one.")


def _similar_entry(repo: Repository) -> str:
    description = " ".join((repo.description or "").split())[:_DESCRIPTION_CHARS]
    return f"- {repo.full_name} ({counted(repo.stargazers_count, 'star')}) {description}".rstrip()


async def _search(github: GitHub, query: str) -> list[Repository]:
    """The repositories with the most stars that a query finds. Raises GitHubError."""
    params: dict[str, str | int] = {"q": query, "sort": "stars", "order": "desc", "per_page": _SIMILAR}
    try:
        found, _ = await github.read(FoundRepositories, route("search", "repositories"), params, fresh_s=FRESH_S)
    except GitHubError as error:
        if error.status == 422:  # that is how GitHub says that there is no such owner
            return []
        raise
    return found.items[:_SIMILAR]

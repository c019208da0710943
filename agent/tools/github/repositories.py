"""The repositories of an owner, for `github_list_repos`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.arguments import int_argument
from agent.tools.github.answers import FoundRepositories, Repository
from agent.tools.github.client import GitHub, GitHubError, github_look
from agent.tools.github.names import copyable, read_owner, route
from agent.tools.github.paging import page
from agent.tools.github_list_repos import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, OWNER_TYPES, SORTS
from agent.tools.hub_words import choice_argument
from agent.tools.looking import Look
from agent.web.client import WebClient

_PER_PAGE = 100
MAX_PAGES = 10
"""Of an owner's repositories: who has more is looked up with GitHub's search, which sorts by itself."""
_MOST_FOUND = 1_000
"""GitHub tells no more results of a search than this."""
_FRESH_S = 900.0
_TOPICS = 5
_DESCRIPTION_CHARS = 100
_LAST_PAGE = re.compile(r'<([^<>]+)>;[^,]*\brel="last"')


def look(web: WebClient, environ: Mapping[str, str]) -> Look:
    """The tool's work."""
    return github_look("github_list_repos", web, environ, _handle)


async def _handle(github: GitHub, arguments: Mapping[str, Any]) -> ToolResult:
    return await list_repos(
        github,
        read_owner(arguments, "owner"),
        choice_argument(arguments, "owner_type", tuple(OWNER_TYPES), "org"),
        choice_argument(arguments, "sort", SORTS, "stars"),
        choice_argument(arguments, "order", ("desc", "asc"), "desc"),
        min(MAX_LIMIT, int_argument(arguments, "limit", DEFAULT_LIMIT, minimum=1)),
        min(MAX_OFFSET, int_argument(arguments, "offset", 0, minimum=0)),
    )


async def list_repos(
    github: GitHub,
    owner: str,
    owner_type: str = "org",
    sort: str = "stars",
    order: str = "desc",
    limit: int = DEFAULT_LIMIT,
    offset: int = 0,
) -> ToolResult:
    """An owner's repositories from `offset` on, in the order asked for. Raises GitHubError."""
    question = _Question(owner, owner_type, sort, order, offset + limit)
    try:
        found = await _first_of_type(github, question)
    except GitHubError as error:
        if error.status == 404:
            text = f"GitHub has no user or organisation {owner} ({error}). Check the name."
            return ToolResult(text, ok=False)
        raise
    if not found.repos:
        return ToolResult(f"{owner} has no repositories on GitHub that are visible here.")
    if offset >= len(found.repos):
        return ToolResult(f"{owner} has no repositories after the first {len(found.repos):,}: use a smaller offset.")
    shown, following = page(found.repos, offset, limit, _entry)
    direction = {"desc": "most" if sort in _COUNTS else "latest", "asc": "fewest" if sort in _COUNTS else "earliest"}
    head = f"{counted(len(shown), 'repository', 'repositories')} of {found.who}, by {sort}, {direction[order]} first"
    if offset:
        head += f", after the first {offset:,}"
    advice = [found.note]
    if following is not None or found.has_more:
        advice.append(f"There are more: offset={offset + len(shown)}.")
    output = "\n".join(filter(None, (head, found.trouble, *shown)))
    return ToolResult(output, source=f"GitHub: {owner}", advice=" ".join(filter(None, advice)))


# --- asking ----------------------------------------------------------------------------------------------------------

_COUNTS: Mapping[str, Callable[[Repository], int]] = {
    "stars": lambda repo: repo.stargazers_count,
    "forks": lambda repo: repo.forks_count,
}
"""What an owner's listing is not sorted by on GitHub's side."""


@dataclass(frozen=True, slots=True)
class _Question:
    owner: str
    owner_type: str
    sort: str
    order: str
    wanted: int
    """So many, from the first one on."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Repositories from the first one on, in order. `who` says whose they are, `note` how many there are, `trouble`
    what was not looked at, and GitHub's word for why."""

    repos: list[Repository]
    who: str
    has_more: bool = False
    note: str = ""
    trouble: str = ""


async def _first_of_type(github: GitHub, question: _Question) -> _Found:
    """What the owner has, as the type that was named or else as the other one."""
    named = question.owner_type
    other = "user" if named == "org" else "org"
    try:
        return await _all_or_first(github, question, named, question.owner)
    except GitHubError as error:
        if error.status != 404:
            raise
    what = "a user, not an organisation" if other == "user" else "an organisation, not a user"
    return await _all_or_first(github, question, other, f"{question.owner} ({what})")


async def _all_or_first(github: GitHub, question: _Question, owner_type: str, who: str) -> _Found:
    """As many pages as the order needs: all of them for one that GitHub does not sort by."""
    count = _COUNTS.get(question.sort)
    params: dict[str, str | int] = {"per_page": _PER_PAGE}
    if count is None:
        params |= {"sort": question.sort, "direction": question.order}
    repos: list[Repository] = []
    address = route(OWNER_TYPES[owner_type], question.owner, "repos")
    is_whole = False
    for number in range(1, MAX_PAGES + 1):
        batch, answer = await github.read(list[Repository], address, {**params, "page": number}, fresh_s=_FRESH_S)
        repos += batch
        is_whole = len(batch) < _PER_PAGE
        if is_whole or (count is None and len(repos) >= question.wanted):
            break
        if count is not None and _last_page(answer.headers.get("link", "")) > MAX_PAGES:
            break
    if count is None:
        return _Found(repos, who, has_more=not is_whole)
    if not is_whole:
        return await _searched(github, question, owner_type, repos, who)
    return _Found(_in_order(repos, question), who)


def _last_page(link: str) -> int:
    """The number of the last page, as the header tells it; 0 if it does not."""
    match = _LAST_PAGE.search(link)
    last = parse_qs(urlsplit(match[1]).query).get("page", ["0"])[0] if match else "0"
    return int(last) if last.isdecimal() else 0


async def _searched(github: GitHub, question: _Question, owner_type: str, seen: list[Repository], who: str) -> _Found:
    """An owner with too many repositories to fetch: GitHub's search knows the first 1,000 of any order."""
    params: dict[str, str | int] = {
        "q": f"{owner_type}:{question.owner} fork:true",
        "sort": question.sort,
        "order": question.order,
        "per_page": _PER_PAGE,
    }
    repos: list[Repository] = []
    total, is_incomplete = 0, False
    try:
        while len(repos) < question.wanted:
            number = len(repos) // _PER_PAGE + 1
            found, _ = await github.read(
                FoundRepositories, route("search", "repositories"), {**params, "page": number}, fresh_s=_FRESH_S
            )
            repos += found.items
            total, is_incomplete = found.total_count, is_incomplete or found.incomplete_results
            if len(found.items) < _PER_PAGE:
                break
    except GitHubError as error:
        trouble = (
            f"Not all repositories were looked at, only {len(seen):,} of them; others may have more {question.sort}. "
            f"The search over all failed: {error}"
        )
        return _Found(_in_order(seen, question), who, trouble=trouble)
    note = f"{question.owner} has {total:,} of them."
    if is_incomplete:
        note += " GitHub ran out of time looking through them: some may be missing."
    return _Found(repos, who, has_more=len(repos) < min(total, _MOST_FOUND), note=note)


def _in_order(repos: list[Repository], question: _Question) -> list[Repository]:
    """By the number asked for; equals by name."""
    count = _COUNTS[question.sort]
    sign = -1 if question.order == "desc" else 1
    return sorted(repos, key=lambda repo: (sign * count(repo), repo.full_name.lower()))


# --- saying ----------------------------------------------------------------------------------------------------------


def _entry(repo: Repository) -> str:
    facts = [
        counted(repo.stargazers_count, "star"),
        counted(repo.forks_count, "fork"),
        repo.language or "N/A",
        f"created {(repo.created_at or 'N/A')[:10]}",
        f"updated {(repo.updated_at or 'N/A')[:10]}",
        *(["archived"] if repo.archived else []),
        *(["a fork"] if repo.fork else []),
    ]
    description = " ".join((repo.description or "").split())
    if len(description) > _DESCRIPTION_CHARS:
        description = f"{description[:_DESCRIPTION_CHARS]}..."
    topics = f"topics: {', '.join(repo.topics[:_TOPICS])}" if repo.topics else ""
    lines = (f"**{repo.full_name}** ({', '.join(facts)})", description, repo.html_url, topics)
    return "\n  ".join(filter(None, (*lines, copyable(repo.full_name))))

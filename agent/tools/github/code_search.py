"""Code on GitHub that has something in it, for `github_search_code`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError, int_argument, text_argument
from agent.tools.github.answers import FoundCode, FoundFile, TextMatch
from agent.tools.github.client import TEXT_MATCH, GitHub, GitHubError, github_look
from agent.tools.github.names import copyable, names_owner, plain_text, read_owner, read_repo, route
from agent.tools.github.paging import PAGE_CHARS
from agent.tools.github.queries import Query, code_query
from agent.tools.github_search_code import DEFAULT_RESULTS, MAX_RESULTS
from agent.tools.looking import Look, clipped, echo
from agent.web.client import WebClient

MOST_FOUND = 1_000
"""GitHub tells no more results of a search than this."""
_FRAGMENTS = 2
_LINES_AROUND = 3
_LINE_CHARS = 160
_HEAD_CHARS = 200


def look(web: WebClient, environ: Mapping[str, str]) -> Look:
    """The tool's work."""
    return github_look("github_search_code", web, environ, _handle)


async def _handle(github: GitHub, arguments: Mapping[str, Any]) -> ToolResult:
    query = code_query(" ".join(text_argument(arguments, "query").split()), _qualifiers(arguments))
    max_results = min(MAX_RESULTS, int_argument(arguments, "max_results", DEFAULT_RESULTS, minimum=1))
    number = int_argument(arguments, "page", 1, minimum=1)
    if (number - 1) * max_results >= MOST_FOUND:
        raise ArgumentError(f"GitHub tells the first {MOST_FOUND:,} results of a search only; make `query` narrower.")
    return await search_code(github, query, max_results, number)


def _qualifiers(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The parameters by GitHub's name for them. Raises ArgumentError."""
    owner = read_owner(arguments, "owner") if plain_text(arguments, "owner") else ""
    repo = ""
    if given := plain_text(arguments, "repo"):
        named = read_repo(arguments, owner)
        if owner and names_owner(given) and named.owner.lower() != owner.lower():
            raise ArgumentError(f"`repo` is of {named.owner}, but `owner` is {owner}: give one of them.")
        repo = str(named)
    return {
        "repo": repo,
        "user": "" if repo else owner,
        "language": plain_text(arguments, "language"),
        "path": plain_text(arguments, "path").strip("/"),
        "filename": plain_text(arguments, "filename"),
        "extension": plain_text(arguments, "extension").lstrip("."),
    }


async def search_code(github: GitHub, query: Query, max_results: int = DEFAULT_RESULTS, number: int = 1) -> ToolResult:
    """The files that GitHub finds for `query`, on page `number` of pages with `max_results`. Raises GitHubError."""
    if not github.has_token:
        raise GitHubError(
            "GitHub searches code only for those with a token, and there is none. The person can set GITHUB_TOKEN (any "
            "token will do, it needs no permissions). Without one: github_find_examples finds files by their paths, "
            "github_read_file lists directories and reads files."
        )
    params: dict[str, str | int] = {"q": query.text, "per_page": max_results, "page": number}
    try:
        found, _ = await github.read(FoundCode, route("search", "code"), params, accept=TEXT_MATCH)
    except GitHubError as error:
        raise GitHubError(f"The search {echo(query.text)} failed. {error}", error.status, error.said) from error
    notes = [_displaced(query), _incomplete(found)]
    if not found.items:
        notes.append("GitHub finds whole words in default branches only: try fewer or other words, or fewer filters.")
        what = "No more code" if number > 1 else "No code"
        return ToolResult(f"{what} on GitHub found for {echo(query.text)}.", advice=_joined(notes))
    head = f"Code on GitHub for {echo(query.text)}: {counted(found.total_count, 'file')}"
    if found.total_count > len(found.items):
        first = (number - 1) * max_results + 1
        head += f", here {first:,} to {first + len(found.items) - 1:,}"
    room = PAGE_CHARS // len(found.items)
    if number * max_results < min(found.total_count, MOST_FOUND):
        notes.append(f"The next ones: page={number + 1}.")
    notes.append("Read a file with github_read_file.")
    text = "\n".join((head, *(_entry(each, room) for each in found.items)))
    return ToolResult(text, source=f"GitHub code search: {clipped(query.text)}", advice=_joined(notes))


# --- saying ----------------------------------------------------------------------------------------------------------


def _entry(file: FoundFile, room_chars: int) -> str:
    """A file with the lines around what was found in it, as far as there is room."""
    repo = file.repository.full_name
    lines = [f"**{repo}** {file.path}", f"  {copyable(repo, file.path)}"]
    room = room_chars - _chars(lines)
    pieces = [match for match in file.text_matches if match.property in (None, "content") and match.fragment]
    for number, match in enumerate(pieces[:_FRAGMENTS]):
        choices = [_around(match, lines_around) for lines_around in range(_LINES_AROUND, -1, -1)]
        fitting = next((rows for rows in choices if _chars(rows) <= room), choices[-1] if number == 0 else [])
        lines += fitting
        room -= _chars(fitting)
    return "\n".join(lines)


def _around(match: TextMatch, lines_around: int) -> list[str]:
    """The fragment's lines about its first match."""
    lines = match.fragment.split("\n")
    begin = match.matches[0].indices[:1] if match.matches else []
    at = match.fragment[: max(0, begin[0])].count("\n") if begin else 0
    shown = lines[max(0, at - lines_around) : at + lines_around + 1]
    return [f"  | {line[:_LINE_CHARS]}{' ...' if len(line) > _LINE_CHARS else ''}" for line in shown]


def _chars(rows: list[str]) -> int:
    return sum(len(row) + 1 for row in rows)


def _displaced(query: Query) -> str:
    if not query.displaced:
        return ""
    return f"Not used: {' '.join(query.displaced)[:_HEAD_CHARS]} of the query; the parameters count."


def _incomplete(found: FoundCode) -> str:
    return "GitHub ran out of time: the results are not complete." if found.incomplete_results else ""


def _joined(notes: list[str]) -> str:
    return " ".join(filter(None, notes))

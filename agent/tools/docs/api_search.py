"""The work of `find_hf_api`: endpoints that fit a question or a tag, with the command that asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.protocol.untrusted import harmless
from agent.tools.docs.api_index import OPENAPI_PATH, ApiIndex, ApiUnavailable, HubApi
from agent.tools.docs.curl import curl_command
from agent.tools.docs.openapi import Endpoint, Parameter
from agent.tools.docs.words import relevance_text
from agent.tools.looking import echo

MAX_HITS = 20
_MAX_DETAIL_CHARS, _MAX_LINES_CHARS = 14_000, 4_500
_DESCRIPTION_CHARS, _PARAMETER_CHARS, _RESPONSE_CHARS = 300, 150, 100
_MAX_PARAMETERS, _MAX_RESPONSES = 12, 3
_NEAR_ENOUGH, _NEARLY_SAME = 60, 90
"""How alike two tags are, of 100."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Endpoints with their scores (0: not searched), and what to say about how they were chosen."""

    hits: Sequence[tuple[Endpoint, float]]
    note: str = ""


async def find(hub: HubApi, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    """One call of `find_hf_api`."""
    query, tag = (arguments.get("query") or "").strip(), (arguments.get("tag") or "").strip()
    if not query and not tag:
        return ToolResult("Give `query` (words of what you want to do) or `tag` (a group of endpoints).", ok=False)

    async def on_wait(text: str) -> None:
        await session.emit(ToolLog("find_hf_api", text))

    try:
        index, stale = await hub.index(on_wait)
    except ApiUnavailable as error:
        message = f"The description of the Hub's API cannot be read: {harmless(str(error))} Try again later, or look "
        return ToolResult(f"{message}for the call in the docs of huggingface_hub with explore_hf_docs.", ok=False)
    result: ToolResult = await hub.in_thread(_answered, index, hub.base, query, tag, stale)
    return result


def _answered(index: ApiIndex, base: str, query: str, tag: str, stale: str) -> ToolResult:
    source = base + OPENAPI_PATH
    exact, near = _tags_like(index.api.tags, tag) if tag else ("", [])
    if tag and not exact:
        listed = ", ".join(near or index.api.tags)
        return ToolResult(
            f"There is no tag {echo(tag)}. {'Near to it' if near else 'The tags'}: {listed}"[:6_000],
            source=source,
            advice="Ask again with one of these tags, or with `query` alone.",
        )
    choice = _chosen(index, query, exact)
    if not choice.hits:
        advice = "Try other words: what is acted on (repo, dataset, Space, collection, webhook) and what is done to it."
        return ToolResult(f"No endpoint has any word of {echo(query)}. {stale}".strip(), advice=advice)
    notes = [note for note in (choice.note, _tag_note(tag, exact), stale) if note]
    said = (
        "The commands send $HF_TOKEN, which most reading endpoints do not need. Words in capitals are to be filled in."
    )
    return ToolResult(
        _shown(choice.hits, base + index.api.base_path, exact), source=source, advice=" ".join([*notes, said])
    )


# --- choosing --------------------------------------------------------------------------------------------------------


def _tags_like(tags: Sequence[str], wanted: str) -> tuple[str, list[str]]:
    """The tag that is meant ("" if that is not clear), and those whose names are near, nearest first."""
    from rapidfuzz import fuzz, process

    for tag in tags:
        if tag.lower() == wanted.lower():
            return tag, []
    found = process.extract(
        wanted, list(tags), scorer=fuzz.WRatio, processor=str.lower, limit=10, score_cutoff=_NEAR_ENOUGH
    )
    same = [tag for tag in tags if fuzz.ratio(tag.lower(), wanted.lower()) >= _NEARLY_SAME]
    return (same[0] if len(same) == 1 else ""), [tag for tag, _score, _index in found]


def _tag_note(tag: str, exact: str) -> str:
    return (
        ""
        if tag.lower() == exact.lower()
        else "There is no tag of exactly that name; the one that is nearly it was used."
    )


def _chosen(index: ApiIndex, query: str, tag: str) -> _Choice:
    tagged = [(endpoint, 0.0) for endpoint in index.api.endpoints if tag in endpoint.tags] if tag else []
    if not query:
        return _Choice(tagged)
    found = index.search(query)
    if not tag:
        return _Choice(found)
    within = [(endpoint, score) for endpoint, score in found if tag in endpoint.tags]
    if within:
        return _Choice(within)
    return _Choice(tagged, "No endpoint with this tag has any word of the query: all of the tag are listed.")


# --- showing ---------------------------------------------------------------------------------------------------------


def _shown(hits: Sequence[tuple[Endpoint, float]], base: str, tag: str) -> str:
    head = counted(len(hits), "endpoint") + (f" with the tag {tag}" if tag else "")
    parts, chars = [head], 0
    for number, (endpoint, score) in enumerate(hits[:MAX_HITS], 1):
        detail = _detail(number, endpoint, score, base)
        chars += len(detail)
        if parts[1:] and chars > _MAX_DETAIL_CHARS:
            break
        parts.append(detail[:_MAX_DETAIL_CHARS])
    rest = hits[len(parts) - 1 :]
    if rest:
        parts.append(_briefly(rest))
    return "\n\n".join(parts)


def _briefly(hits: Sequence[tuple[Endpoint, float]]) -> str:
    lines, chars = ["## Others, in short"], 0
    for number, (endpoint, _score) in enumerate(hits):
        line = f"- {endpoint.method} {endpoint.path[:200]}: {(endpoint.summary or endpoint.operation)[:120]}"
        chars += len(line)
        if chars > _MAX_LINES_CHARS:
            lines.append(f"- and {len(hits) - number} more: ask with more words, or with a tag")
            break
        lines.append(line)
    return "\n".join(lines)


def _detail(number: int, endpoint: Endpoint, score: float, base: str) -> str:
    lines = [f"## {number}. {endpoint.method} {endpoint.path}"]
    if relevance := relevance_text(score):
        lines.append(relevance)
    if endpoint.summary:
        lines.append(f"Summary: {_cut(endpoint.summary, _DESCRIPTION_CHARS)}")
    if endpoint.description and endpoint.description != endpoint.summary:
        lines.append(f"Description: {_cut(endpoint.description, _DESCRIPTION_CHARS)}")
    if endpoint.tags:
        lines.append(f"Tags: {', '.join(endpoint.tags)}")
    for place in ("path", "query", "header"):
        lines += _parameters(place, [each for each in endpoint.parameters if each.place == place])
    lines += ["Usage:", "```bash", curl_command(endpoint, base), "```"]
    if endpoint.responses:
        said = (f"{code} {_cut(words, _RESPONSE_CHARS)}".strip() for code, words in endpoint.responses[:_MAX_RESPONSES])
        lines.append(f"Returns: {'; '.join(said)}")
    return "\n".join(lines)


def _parameters(place: str, parameters: Sequence[Parameter]) -> list[str]:
    if not parameters:
        return []
    lines = [f"{place.capitalize()} parameters:"]
    for each in sorted(parameters, key=lambda parameter: not parameter.required)[:_MAX_PARAMETERS]:
        must = ", required" if each.required else ""
        words = f": {_cut(each.description, _PARAMETER_CHARS)}" if each.description else ""
        lines.append(f"- `{each.name}` ({_cut(each.kind, _PARAMETER_CHARS)}{must}){words}")
    if len(parameters) > _MAX_PARAMETERS:
        names = ", ".join(each.name for each in parameters if f"- `{each.name}` (" not in "\n".join(lines))
        lines.append(f"- and {_cut(names, 2 * _PARAMETER_CHARS)}")
    return lines


def _cut(text: str, max_chars: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= max_chars else f"{one_line[: max_chars - 1]}…"

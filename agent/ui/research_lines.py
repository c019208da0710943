"""Calls of the tools that look things up, in a few words: what a line about them says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.ui.sanitize import clip

_WORD_COLUMNS = 80
_SCHEMES = ("https://", "http://")
_PLAIN_OPERATIONS = {"paper_details": "details", "read_paper": "read", "citation_graph": "citations"}

_FILTERS = {
    "date_from": "from",
    "date_to": "until",
    "categories": "in",
    "min_citations": "cited at least",
    "sort_by": "by",
}
"""Of `hf_papers`: the name of a filter, and how a line says it."""


def docs_call(arguments: Mapping[str, Any]) -> str:
    """`trl: sft trainer`."""
    return _about(_word(arguments, "endpoint"), _word(arguments, "query"))


def address_call(arguments: Mapping[str, Any]) -> str:
    """`huggingface.co/docs/trl/sft_trainer`, with where in it."""
    url = _word(arguments, "url")
    for scheme in _SCHEMES:
        url = url.removeprefix(scheme)
    offset = arguments.get("offset")
    return f"{url} from {offset:,}" if isinstance(offset, int) and offset > 0 else url


def query_call(arguments: Mapping[str, Any]) -> str:
    """`who trained it`, with the domains or the tag that it is limited to."""
    domains = arguments.get("allowed_domains")
    limits = [str(each) for each in domains] if isinstance(domains, list) else []
    limits += [word for name in ("tag", "repo", "owner") if (word := _word(arguments, name))]
    return " in ".join(filter(None, [_word(arguments, "query"), clip(", ".join(limits), _WORD_COLUMNS)]))


def papers_call(arguments: Mapping[str, Any]) -> str:
    """`search direct preference`, `read 2305.18290, 4 Experiments`."""
    operation = _word(arguments, "operation")
    names = ("arxiv_id", "query", "positive_ids", "section", "direction", "date")
    words = [word for name in names if (word := _word(arguments, name))]
    words += [f"{words_of} {word}" for name, words_of in _FILTERS.items() if (word := _word(arguments, name))]
    return f"{_PLAIN_OPERATIONS.get(operation, operation)} {', '.join(words)}".strip()


def dataset_call(arguments: Mapping[str, Any]) -> str:
    """`stanfordnlp/imdb, plain_text/train`."""
    part = "/".join(word for name in ("config", "split") if (word := _word(arguments, name)))
    return ", ".join(filter(None, [_word(arguments, "dataset"), part]))


def examples_call(arguments: Mapping[str, Any]) -> str:
    """`huggingface/trl: grpo`."""
    org, repo = _word(arguments, "org"), _word(arguments, "repo")
    return _about(f"{org}/{repo}" if org and "/" not in repo else repo, _word(arguments, "keyword"))


def repos_call(arguments: Mapping[str, Any]) -> str:
    """`huggingface`."""
    return _word(arguments, "owner")


def file_call(arguments: Mapping[str, Any]) -> str:
    """`huggingface/trl: examples/sft.py at v0.25.0, lines 1 to 80`."""
    ref, path = _word(arguments, "ref"), _word(arguments, "path")
    named = f"{path} at {ref}" if ref and ref != "HEAD" else path
    first, last = _word(arguments, "line_start"), _word(arguments, "line_end")
    lines = f", lines {first or 1} to {last or 'the end'}" if first or last else ""
    return _about(_word(arguments, "repo"), named) + lines


def research_call(arguments: Mapping[str, Any]) -> str:
    """The task, in one line."""
    return " ".join(_word(arguments, "task").split())


def notify_call(arguments: Mapping[str, Any]) -> str:
    """`slack.default: Training has ended`."""
    places = arguments.get("destinations")
    where = clip(", ".join(map(str, places)), _WORD_COLUMNS) if isinstance(places, list) else ""
    return _about(where, _word(arguments, "title") or _word(arguments, "message"))


RESEARCH_CALLS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "explore_hf_docs": docs_call,
    "fetch_hf_docs": address_call,
    "find_hf_api": query_call,
    "hf_papers": papers_call,
    "hf_inspect_dataset": dataset_call,
    "github_find_examples": examples_call,
    "github_list_repos": repos_call,
    "github_read_file": file_call,
    "github_search_code": query_call,
    "web_search": query_call,
    "fetch_url": address_call,
    "research": research_call,
    "notify": notify_call,
}
"""By tool name."""


def _about(what: str, which: str) -> str:
    return ": ".join(filter(None, [what, which]))


def _word(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return clip(str(value), _WORD_COLUMNS) if is_plain else ""

"""A code search as GitHub writes it: words and qualifiers such as `repo:owner/name` in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.light_dataclass import dataclass
from agent.tools.arguments import ArgumentError

_TERM = re.compile(r'(?:[^\s"]|"[^"]*")+')
_QUALIFIER = re.compile(
    r"-?(?P<name>repo|org|user|language|path|filename|extension|in|size|fork|is|sort):", re.IGNORECASE
)
_PLACES = ("repo", "org", "user")
_DISPLACED: Mapping[str, tuple[str, ...]] = {
    "repo": _PLACES,
    "user": _PLACES,
    "language": ("language",),
    "path": ("path",),
    "filename": ("filename",),
    "extension": ("extension",),
}
"""Qualifiers of the query's own that a parameter takes the place of. GitHub looks in all of several repositories and
owners: one left over would widen the search. Exclusions (`-repo:`) stay, they only narrow it."""


@dataclass(frozen=True, slots=True)
class Query:
    """`text` for GitHub's `q`; `displaced` are the query's own qualifiers that parameters took the place of."""

    text: str
    displaced: tuple[str, ...]


def code_query(words: str, qualifiers: Mapping[str, str]) -> Query:
    """`words` (which may have qualifiers of their own) with `qualifiers`, which count more.

    A value is one term whatever is in it. Raises ArgumentError if nothing is left to search for, or for a value that
    cannot be written.
    """
    given = {name: value for name, value in qualifiers.items() if value}
    gone = {name for parameter in given for name in _DISPLACED[parameter]}
    if words.count('"') % 2:  # it would swallow the parameters behind it
        raise ArgumentError("`query` has a quotation mark that is not closed.")
    terms = _TERM.findall(words)
    displaced = tuple(term for term in terms if _name_of(term) in gone and not term.startswith("-"))
    kept = [term for term in terms if term not in displaced]
    if not any(_name_of(term) is None for term in kept):
        raise ArgumentError("`query` needs a word to search for: GitHub finds no code by qualifiers alone.")
    return Query(" ".join((*kept, *(f"{name}:{_value(name, value)}" for name, value in given.items()))), displaced)


def _name_of(term: str) -> str | None:
    """The qualifier that a term of a query is, None for a word."""
    match = _QUALIFIER.match(term)
    return match["name"].lower() if match else None


def _value(name: str, value: str) -> str:
    if '"' in value:
        raise ArgumentError(f'`{name}` cannot have a quotation mark (") in it.')
    return f'"{value}"' if any(sign.isspace() for sign in value) else value

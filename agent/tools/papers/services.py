"""The services that know papers: the Hub's API, Semantic Scholar's, and the pages that hold the texts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from agent.light_dataclass import dataclass
from agent.tools.papers.fields import record, rows, text
from agent.web.client import OnWait, WebAnswer, WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.failures import failure_text, odd_success_text
from agent.web.places import HUB, SEMANTIC_SCHOLAR, Place

LIST_FRESH_S = 600.0
GRAPH_FRESH_S = 3_600.0
PAGE_FRESH_S = 30 * 86_400.0
_HUB_TIMEOUT_S = 15.0
_PAGE_TIMEOUT_S = 30.0
_SCHOLAR_TIMEOUT_S = 12.0
_LIST_BYTES = 8 << 20
"""A thousand entries take some 3 MB; parsing holds up everything else."""
_SCHOLAR_TRIES = 6
"""Without a key every other request may be refused at first: 0.5, 1, 2, 4, 8 s between, within the 30 s in all."""
_SEARCH_SPACING_S, _OTHER_SPACING_S = 1.0, 0.1
"""What Semantic Scholar allows with a key: one request a second to its searches, ten to the rest."""
MAX_ROWS = 1_000
"""Of one answer: no list that is asked for has more."""

Params = Mapping[str, str | int]


class PaperServiceError(Exception):
    """A service has not answered what it was asked. The message names it and says cause and next step.

    `is_missing`: it answered that it has no such thing.
    """

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


@dataclass(frozen=True, slots=True)
class PaperServices:
    """Asks the services. Addresses and keys are read from `environ` at each call; `token` goes to the Hub alone."""

    web: WebClient
    environ: Mapping[str, str]
    token: str | None = field(default=None, repr=False)

    async def hub(self, path: str, params: Params, on_wait: OnWait) -> Any:
        """JSON from the Hub's API. Raises PaperServiceError."""
        answer = await self.hub_answer(path, params, on_wait)
        if not answer.ok:
            raise _refused(HUB, answer, _HUB_ADVICE)
        return await _as_json(HUB, answer)

    async def hub_answer(
        self, path: str, params: Params, on_wait: OnWait, *, fresh_s: float = LIST_FRESH_S
    ) -> WebAnswer:
        """The Hub's answer, whatever its status. Raises PaperServiceError if none came."""
        request = WebRequest(
            f"{HUB.base(self.environ)}{path}",
            HUB.reach(self.environ),
            params=params,
            private_headers={"authorization": f"Bearer {self.token}"} if self.token else {},
            service=HUB.name,
            pace=HUB.pace,
            timeout_s=_HUB_TIMEOUT_S,
            fresh_s=fresh_s,
            max_bytes=_LIST_BYTES,
        )
        answer = await self._ask(request, on_wait)
        if answer.status == 401 and self.token:  # papers are public: a token that has expired is no reason to fail
            answer = await self._ask(replace(request, private_headers={}), on_wait)
        return answer

    async def scholar(
        self,
        path: str,
        params: Params,
        on_wait: OnWait,
        *,
        body: Mapping[str, Any] | None = None,
        is_search: bool = False,
    ) -> Any:
        """JSON from Semantic Scholar; a POST if there is a `body`. Raises PaperServiceError."""
        key = self.environ.get("S2_API_KEY", "").strip()
        pace = SEMANTIC_SCHOLAR.pace
        if key:
            pace = replace(pace, spacing_s=_SEARCH_SPACING_S if is_search else _OTHER_SPACING_S)
        request = WebRequest(
            f"{SEMANTIC_SCHOLAR.base(self.environ)}{path}",
            SEMANTIC_SCHOLAR.reach(self.environ),
            method="GET" if body is None else "POST",
            params=params,
            json=body,
            private_headers={"x-api-key": key} if key else {},
            service=SEMANTIC_SCHOLAR.name,
            pace=pace,
            timeout_s=_SCHOLAR_TIMEOUT_S,
            limit_s=30.0,
            tries=_SCHOLAR_TRIES,
            fresh_s=GRAPH_FRESH_S,
            max_bytes=_LIST_BYTES,
        )
        answer = await self._ask(request, on_wait)
        if not answer.ok:
            raise _refused(SEMANTIC_SCHOLAR, answer, _SCHOLAR_ADVICE_WITH_KEY if key else _SCHOLAR_ADVICE)
        return await _as_json(SEMANTIC_SCHOLAR, answer)

    async def page(self, place: Place, path: str, on_wait: OnWait, *, may_redirect_to: Place) -> WebAnswer:
        """A paper's page, whatever its status; kept for 30 days. Raises PaperServiceError if no answer came."""
        own, other = place.reach(self.environ, "arxiv.org"), may_redirect_to.reach(self.environ)
        request = WebRequest(
            f"{place.base(self.environ)}{path}",
            replace(own, origins=(*own.origins, *other.origins)),
            service=place.name,
            pace=place.pace,
            timeout_s=_PAGE_TIMEOUT_S,
            tries=3,
            fresh_s=PAGE_FRESH_S,
        )
        return await self._ask(request, on_wait)

    async def _ask(self, request: WebRequest, on_wait: OnWait) -> WebAnswer:
        try:
            return await self.web.ask(request, on_wait)
        except WebError as error:
            message = str(error)
            is_scholar = request.service == SEMANTIC_SCHOLAR.name
            if is_scholar and error.problem == "timeout" and not request.private_headers:
                message += f" {_KEY_ADVICE}"
            raise PaperServiceError(message) from error


_KEY_ADVICE = "Without a key it often refuses; the person can set S2_API_KEY (free from Semantic Scholar)."
_LATER = "Try again in a minute."
_HUB_ADVICE = {429: _LATER}
_SCHOLAR_ADVICE = {
    404: "The paper may not be indexed there, or the id may be wrong.",
    429: f"{_LATER} {_KEY_ADVICE}",
    403: _KEY_ADVICE,
}
_SCHOLAR_ADVICE_WITH_KEY = {**_SCHOLAR_ADVICE, 429: _LATER, 403: "The key in S2_API_KEY may not be valid."}


def _refused(place: Place, answer: WebAnswer, advice: Mapping[int, str]) -> PaperServiceError:
    """What an answer with an error status says."""
    return PaperServiceError(failure_text(answer, place.name, advice), is_missing=answer.status == 404)


def rows_in(place: Place, answer: Any, name: str = "", *, at_most: int = MAX_ROWS) -> list[dict[str, Any]]:
    """The objects of the list that `answer` is, or has as `name`.

    Raises PaperServiceError where there is none: that is not the same as nothing found.
    """
    found = record(answer).get(name) if name else answer
    if isinstance(found, list):
        return rows(found[:at_most])
    if name and found is None and record(answer).get("total") == 0:  # Semantic Scholar leaves out what would be empty
        return []
    raise PaperServiceError(odd_success_text(answer, place.name))


def paper_in(place: Place, answer: Any) -> dict[str, Any]:
    """The paper that `answer` tells of. Raises PaperServiceError if it is none."""
    paper = record(answer)
    if not text(paper, "id", "title", "summary"):
        raise PaperServiceError(odd_success_text(answer, place.name))
    return paper


async def _as_json(place: Place, answer: WebAnswer) -> Any:
    if answer.is_cut:
        raise PaperServiceError(f"{place.name} answered with more than this tool reads. Ask for less.")
    try:
        return await asyncio.to_thread(answer.json)
    except WebError as error:
        raise PaperServiceError(f"{place.name} answered with something that is no JSON. {_LATER}") from error

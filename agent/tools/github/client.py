"""Asking GitHub's REST API: with the person's token where there is one, and within its limits without."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit, urlunsplit

from pydantic import TypeAdapter, ValidationError

from agent.light_dataclass import dataclass
from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.looking import Look
from agent.web.client import MAX_BYTES, OnWait, WebAnswer, WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.failures import service_words
from agent.web.places import GITHUB

T = TypeVar("T")

JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw"
TEXT_MATCH = "application/vnd.github.text-match+json"
TOKEN_VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN")
NO_TOKEN_NOTE = "(There is no GITHUB_TOKEN: GitHub allows 60 requests an hour, and no code search.)"
_VERSION = "2022-11-28"
_TIMEOUT_S, _LIMIT_S = 30.0, 75.0
"""Its secondary limits usually ask for a pause of 60 s: that much is waited for."""
_PARSED_HERE_BYTES = 100_000
_MORE = " With GITHUB_TOKEN set, GitHub allows 5,000 requests an hour instead of 60."


class GitHubError(Exception):
    """GitHub did not give what was asked for; the message tells why and what to do. `status` is None if no answer came,
    `said` is GitHub's own text."""

    def __init__(self, message: str, status: int | None = None, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True)
class GitHub:
    """GitHub for one call of a tool."""

    web: WebClient
    environ: Mapping[str, str] = field(repr=False)
    on_wait: OnWait | None = None

    @property
    def has_token(self) -> bool:
        """Whether requests are made in the person's name."""
        return bool(_token(self.environ))

    async def get(
        self,
        route: str,
        params: Mapping[str, str | int] | None = None,
        *,
        accept: str = JSON,
        fresh_s: float = 300.0,
        max_bytes: int = MAX_BYTES,
    ) -> WebAnswer:
        """The answer to `GET route` (quoted, with a slash in front), from the last `fresh_s` seconds.

        Renamed repositories are followed. Raises GitHubError for any status but success.
        """
        request = WebRequest(
            f"{GITHUB.base(self.environ)}{route}",
            GITHUB.reach(self.environ),
            params=params or {},
            headers={"accept": accept, "x-github-api-version": _VERSION},
            private_headers=_authorization(self.environ),
            service=GITHUB.name,
            pace=GITHUB.pace,
            lane=route if route.startswith("/search/") else "",  # each of its searches has limits of its own
            timeout_s=_TIMEOUT_S,
            limit_s=_LIMIT_S,
            fresh_s=fresh_s,
            max_bytes=max_bytes,
        )
        try:
            answer = await self.web.ask(request, self.on_wait)
            if _has_lost_params(request, answer):
                plain_url = urlunsplit(urlsplit(answer.url)._replace(query=""))
                answer = await self.web.ask(replace(request, url=plain_url), self.on_wait)
        except WebError as error:
            is_paused = error.problem == "timeout" and not self.has_token
            raise GitHubError(f"{error}{_MORE if is_paused else ''}") from error
        if not answer.ok:
            raise _failure(answer, self.has_token)
        return answer

    async def read(
        self, kind: type[T], route: str, params: Mapping[str, str | int] | None = None, **more: Any
    ) -> tuple[T, WebAnswer]:
        """The answer to `GET route` as a `kind` (a model or a type made of models), and as it came."""
        answer = await self.get(route, params, **more)
        return await parsed(kind, answer), answer


async def parsed(kind: type[T], answer: WebAnswer) -> T:
    """The answer's JSON as a `kind`. Raises GitHubError if it is something else."""
    try:
        if len(answer.body) > _PARSED_HERE_BYTES:
            return await asyncio.to_thread(TypeAdapter(kind).validate_json, answer.body)
        return TypeAdapter(kind).validate_json(answer.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its beginning"
        raise GitHubError(
            f"GitHub's answer has another form than expected (at {where[:100]}: {first['msg'][:100]}). If "
            f"{GITHUB.variable} is set, check that it is the address of GitHub's REST API.",
            answer.status,
        ) from error


def github_look(
    tool: str,
    web: WebClient,
    environ: Mapping[str, str],
    work: Callable[[GitHub, Mapping[str, Any]], Awaitable[ToolResult]],
) -> Look:
    """What a tool does at a call: `work` with GitHub and the arguments, its errors as results."""

    async def look(arguments: dict[str, Any], session: ToolSession) -> ToolResult:
        async def say(text: str) -> None:
            await session.emit(ToolLog(tool, text))

        github = GitHub(web, environ, say)
        try:
            result = await work(github, arguments)
        except (ArgumentError, GitHubError) as error:
            return ToolResult(str(error), ok=False)
        if github.has_token or not result.ok:
            return result
        return replace(result, advice=f"{result.advice}\n{NO_TOKEN_NOTE}".strip())

    return look


# --- inside ----------------------------------------------------------------------------------------------------------


def _token(environ: Mapping[str, str]) -> str:
    return next((token for name in TOKEN_VARIABLES if (token := environ.get(name, "").strip())), "")


def _authorization(environ: Mapping[str, str]) -> dict[str, str]:
    token = _token(environ)
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        name = next(name for name in TOKEN_VARIABLES if environ.get(name, "").strip())
        raise GitHubError(f"{name} is no token: it has a blank or another sign in it that no token has. Set it anew.")
    return {"authorization": f"Bearer {token}"}


def _has_lost_params(request: WebRequest, answer: WebAnswer) -> bool:
    """Whether a redirect (a renamed repository) led to an address without the question's parameters."""
    asked, came = urlsplit(request.url), urlsplit(answer.url)
    return asked.path != came.path and not set(request.params) <= set(parse_qs(came.query, keep_blank_values=True))


def _failure(answer: WebAnswer, has_token: bool) -> GitHubError:
    said = service_words(answer)
    quoted = f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"
    if _is_limit(answer, said):
        text = _limit_text(answer, has_token)
    elif answer.status == 404:
        text = "GitHub does not find that" + ("." if has_token else ", or it is private (there is no GITHUB_TOKEN).")
    elif answer.status >= 500:
        text = "GitHub itself fails; try again later."
    else:
        text = _REASONS.get(answer.status, "GitHub refuses the request.")
    return GitHubError(f"{text} ({quoted})", answer.status, said)


_REASONS = {
    401: "GitHub refuses the token in GITHUB_TOKEN (or GH_TOKEN). The person has to renew it, or to unset it: public "
    "repositories can be read without one.",
    403: "GitHub does not permit that. If the repository is private, GITHUB_TOKEN must be allowed to read it.",
    409: "The repository is empty, or not ready.",
    422: "GitHub cannot use these arguments; change them as it says.",
    451: "GitHub does not show this for legal reasons.",
}


def _is_limit(answer: WebAnswer, said: str) -> bool:
    if answer.status == 429:
        return True
    is_used_up = answer.headers.get("x-ratelimit-remaining") == "0" or answer.retry_after_s is not None
    return answer.status == 403 and (is_used_up or "rate limit" in said.lower())


def _limit_text(answer: WebAnswer, has_token: bool) -> str:
    """That a limit is reached, when it ends, and what raises it. The time is absolute: the same for the whole pause."""
    headers = answer.headers
    resource = headers.get("x-ratelimit-resource", "core")
    per = "a minute" if "search" in resource else "an hour"
    limit = headers.get("x-ratelimit-limit", "")
    amount = f" ({limit} requests {per})" if limit.isdecimal() else ""
    reset = headers.get("x-ratelimit-reset", "")
    is_used_up = headers.get("x-ratelimit-remaining", "0") == "0" and "retry-after" not in headers
    if is_used_up and reset.isdecimal() and reset.isascii() and len(reset) < 12:
        end = f"The limit ends at {datetime.fromtimestamp(int(reset), UTC):%Y-%m-%d %H:%M:%S} UTC."
    elif answer.retry_after_s is not None:
        end = f"It asks to wait {answer.retry_after_s:.0f} s before the next request."
    else:
        end = "Wait a minute before the next request."
    return f"GitHub's rate limit is reached{amount}. {end}{'' if has_token else _MORE}"

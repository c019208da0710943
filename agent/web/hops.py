"""One try of a request, through all its redirects: each address is checked before it is asked."""

from __future__ import annotations

import math
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.protocol.pauses import pause_s
from agent.protocol.untrusted import harmless
from agent.web.bodies import ACCEPTED_ENCODINGS, read_capped
from agent.web.errors import WebError
from agent.web.exchange import WebAnswer, WebRequest
from agent.web.pace import Clock, Lanes
from agent.web.reach import origin_of, shown_url
from agent.web.transport import Connections

if TYPE_CHECKING:
    from agent.lean_httpx import httpx

MAX_REDIRECTS = 8
MAX_ERROR_BYTES = 1 << 20
"""Of what comes with an error status: it is for a line in a message."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


async def follow(
    request: WebRequest,
    more_headers: Mapping[str, str],
    *,
    connections: Connections,
    lanes: Lanes,
    now: Clock,
    until: float = math.inf,
) -> WebAnswer:
    """The answer at the end of the redirects. `until`, on the lanes' clock: nothing is waited for beyond it.

    Raises WebError. What was sent with a POST is sent again after 307 and 308 only, and private headers go to the
    origin of `request.url`, until the first redirect to somewhere else.
    """
    await connections.prepare()
    hop, private_headers = _first_hop(request, more_headers)
    home, is_home = origin_of(str(hop.url)), True
    for _ in range(MAX_REDIRECTS + 1):
        url = _checked(hop.url, request)
        is_home = is_home and origin_of(url) == home
        if is_home:
            hop.headers.update(private_headers)
        transport = await connections.to(url, is_public=not request.reach.is_trusted(url))
        async with lanes.turn(lane_of(url, request), request.pace, until):
            answer, location = await _send(transport, hop, request, now)
        if not location:
            return answer
        hop = _next_hop(hop, answer.status, location, request, more_headers)
    raise WebError(f"{request.service} sends in circles: more than {MAX_REDIRECTS} redirects.", "too_many_redirects")


def lane_of(url: str, request: WebRequest) -> str:
    """The lane in which a hop of `request` to `url` waits."""
    origin = origin_of(url)
    return origin + request.lane if origin == origin_of(request.url) else origin


def _first_hop(request: WebRequest, more_headers: Mapping[str, str]) -> tuple[httpx.Request, Mapping[str, str]]:
    """The request, and the private headers for its origin. A login in the address (of the person's own server) becomes
    one of them, so that no address with a password is in an answer or a message."""
    from agent.lean_httpx import httpx

    for name, value in {**request.headers, **more_headers, **request.private_headers}.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise WebError(
                f"{request.service} cannot be asked: the value for its {name} header has a character that no header "
                "can have, such as a line break. If it is a token or key, set it again.",
                "refused",
            )
    try:
        url = httpx.URL(request.url)
        url = url.copy_merge_params(dict(request.params)) if request.params else url
        login = f"{url.username}:{url.password}".encode() if url.userinfo else b""
        hop = _hop(request, more_headers, request.method, url.copy_with(username=None, password=None))
    except (httpx.InvalidURL, UnicodeError, ValueError, TypeError) as error:
        raise WebError(f"{shown_url(request.url)} is not a usable address.", "refused") from error
    basic = {"authorization": f"Basic {b64encode(login).decode()}"} if login else {}
    return hop, {**basic, **request.private_headers}


def _hop(request: WebRequest, more_headers: Mapping[str, str], method: str, url: httpx.URL) -> httpx.Request:
    from agent.lean_httpx import httpx

    return httpx.Request(
        method,
        url.copy_with(fragment=None),
        json=request.json if method == request.method else None,
        headers={
            "accept-encoding": ACCEPTED_ENCODINGS,
            "user-agent": _user_agent(),
            **request.headers,
            **more_headers,
        },
        extensions={"timeout": httpx.Timeout(request.timeout_s).as_dict()},
    )


def _checked(url: httpx.URL, request: WebRequest) -> str:
    """`url` as text. Raises WebError where it may not be visited, or is read differently by who checks and who asks."""
    text = str(url)
    request.reach.check(text)
    port = url.port or (443 if url.scheme == "https" else 80)
    asked = f"{url.scheme}://{url.raw_host.decode('ascii').rstrip('.')}:{port}"
    if asked != origin_of(text):
        raise WebError(f"{shown_url(text)} is not a usable address.", "refused")
    return text


def _next_hop(
    hop: httpx.Request, status: int, location: str, request: WebRequest, more_headers: Mapping[str, str]
) -> httpx.Request:
    """Raises WebError for a redirect to what is no address, or to one with a password that the server has chosen."""
    from agent.lean_httpx import httpx

    is_get_now = (status == 303 and hop.method != "HEAD") or (status in (301, 302) and hop.method == "POST")
    try:
        url = hop.url.join(location)
        is_usable = bool(origin_of(str(url))) and not url.userinfo
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        message = f"{request.service} redirects to an address that is none ({shown_url(location)})."
        raise WebError(message, "garbled") from error
    if not is_usable:
        raise WebError(
            f"{request.service} redirects to {shown_url(str(url))}, which is not visited: it is no plain web address.",
            "refused",
        )
    return _hop(request, more_headers, "GET" if is_get_now else hop.method, url)


async def _send(
    transport: httpx.AsyncHTTPTransport, hop: httpx.Request, request: WebRequest, now: Clock
) -> tuple[WebAnswer, str]:
    """The answer to one request, and where it redirects to ("": nowhere)."""
    from agent.lean_httpx import httpx

    try:
        response = await transport.handle_async_request(hop)
        try:
            status, url = response.status_code, str(hop.url)
            if status in _REDIRECTS and (location := response.headers.get("location")):
                return WebAnswer(status, url, {}, b""), str(location)
            limit = request.max_bytes if status < 400 else min(request.max_bytes, MAX_ERROR_BYTES)
            body, is_cut = await read_capped(response.aiter_raw(), response.headers.get("content-encoding", ""), limit)
        finally:
            await response.aclose()
    except httpx.LocalProtocolError:
        # Its text quotes the header that it does not like, which may be the private one.
        raise WebError(f"{request.service} cannot be asked: the request is malformed.", "refused") from None
    except httpx.TimeoutException as error:
        raise WebError(f"{request.service} did not answer in time.", "timeout") from error
    except httpx.HTTPError as error:
        message = f"{request.service} cannot be reached ({_cause(error)})."
        raise WebError(message, "unreachable", is_lasting=_is_lasting(error)) from error
    headers = {name.lower(): value for name, value in response.headers.items()}
    return WebAnswer(status, url, headers, body, is_cut, retry_after_s=pause_s(status, headers, body, now())), ""


def _is_lasting(error: BaseException | None) -> bool:
    """A name that does not exist and a certificate that is not trusted will be the same in a second."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            return True
        error = error.__cause__ or error.__context__
    return False


def _cause(error: BaseException) -> str:
    """The error's own words; they may quote what the server sent."""
    return " ".join(harmless(str(error)[:400]).split())[:200] or type(error).__name__


def _user_agent() -> str:
    from agent import __version__

    return f"ml-intern/{__version__}"

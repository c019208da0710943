"""A sandbox in a Space, over the HTTP of its server (`server.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.compute.sandbox.words import (
    DEFAULT_TIMEOUT_S,
    MAX_FILE_BYTES,
    MAX_TIMEOUT_S,
    FileConflict,
    FileStat,
    Health,
    OnOutput,
    RunResult,
)
from agent.protocol.compute import ComputeError, FailureKind

if TYPE_CHECKING:
    from agent.lean_httpx import httpx

TRIES = 3
PAUSE_S = 3.0
CONNECT_S = 30.0
REPLY_S = 60.0
SILENCE_S = 45.0
"""The server says something every 10 s while a command runs; a connection silent for so long is dead."""
BEYOND_S = 90.0
"""So much longer than a command's own time limit its end is waited for."""
KILL_S = 5.0

_TYPES = ("application/json", "application/x-ndjson", "application/octet-stream")
_KINDS: Mapping[int, FailureKind] = {
    400: "bad_request",
    401: "auth",
    403: "forbidden",
    404: "not_found",
    413: "bad_request",
    422: "bad_request",
    429: "rate_limited",
}


class _NotYet(Exception):
    """No answer of the server's own: a connection that failed, or a page that is shown while the Space wakes."""


class SpaceSandbox:
    """`Sandbox` in a Space. `hf_token` opens a private Space's door, `api_token` the server's. `command_env` is what
    each command gets in its environment; nothing else there sees it."""

    def __init__(
        self,
        space_id: str,
        base_url: str,
        *,
        hf_token: str | None,
        api_token: str,
        command_env: Mapping[str, str] | None = None,
        page: str | None = None,
        hardware: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.id, self.url, self.hardware = space_id, page, hardware
        self._base_url = base_url.rstrip("/")
        self._headers = {"X-Sandbox-Authorization": f"Bearer {api_token}"}
        if hf_token:
            self._headers["Authorization"] = f"Bearer {hf_token}"
        self._command_env = dict(command_env or {})
        self._sleep = sleep
        self._client: httpx.AsyncClient | None = None

    # --- commands ---

    async def run(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        on_output: OnOutput | None = None,
        call_id: str | None = None,
    ) -> RunResult:
        """See `Sandbox.run`. A connection that breaks is made again and the command followed on, never run twice."""
        call_id = call_id or uuid.uuid4().hex
        timeout_s = min(timeout_s, MAX_TIMEOUT_S)
        request = self._order(call_id, command, timeout_s) | {"work_dir": work_dir}
        try:
            async with asyncio.timeout(timeout_s + BEYOND_S):
                return await self._follow(request, on_output)
        except TimeoutError:
            await self._end(call_id)
            text = f"The sandbox has not told of the command's end within {timeout_s + BEYOND_S:.0f} s; it was stopped."
            raise ComputeError(text, "network") from None
        except asyncio.CancelledError:
            await self._end(call_id)
            raise

    async def _follow(self, request: dict[str, Any], on_output: OnOutput | None) -> RunResult:
        from agent.lean_httpx import httpx

        offset, is_started, failures = 0, False, 0
        while True:
            is_heard, trouble = False, "the connection ended"
            try:
                # once it is known to run, it is only listened to: a sandbox that was restarted does not run it again
                body = request | {"attach": is_started, "offset": offset}
                timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
                async with self._http().stream("POST", "/api/run", json=body, timeout=timeout) as response:
                    await self._require_answer(response)
                    async for line in response.aiter_lines():
                        event = json.loads(line)
                        is_heard = is_started = True
                        if event["event"] == "output":
                            offset = event["offset"]
                            if on_output is not None:
                                on_output(event["text"])
                        elif event["event"] == "exit":
                            return _result(event)
            except (httpx.TransportError, ValueError, _NotYet) as error:
                trouble = str(error) or type(error).__name__
            failures = 1 if is_heard else failures + 1
            if failures >= TRIES:
                raise self._unreachable(trouble)
            await self._sleep(PAUSE_S * failures)

    async def start(self, call_id: str, command: str, *, directory: str, timeout_s: float | None = None) -> None:
        """See `Sandbox.start`."""
        await self._json("POST", "/api/start", self._order(call_id, command, timeout_s) | {"directory": directory})

    def _order(self, call_id: str, command: str, timeout_s: float | None) -> dict[str, Any]:
        return {"call_id": call_id, "command": command, "timeout": timeout_s, "env": self._command_env}

    async def kill(self, call_id: str) -> bool:
        """See `Sandbox.kill`."""
        return bool((await self._json("POST", "/api/kill", {"call_id": call_id}))["count"])

    async def kill_all(self) -> int:
        """See `Sandbox.kill_all`."""
        return int((await self._json("POST", "/api/kill", {}))["count"])

    async def _end(self, call_id: str) -> None:
        """Stop a command whose caller has gone. If this does not arrive, the server ends it for want of listeners."""
        killing = asyncio.ensure_future(self.kill(call_id))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({killing}, timeout=KILL_S)
        if not killing.done():
            killing.cancel()
        elif not killing.cancelled():
            killing.exception()  # looked at, so that nobody complains

    # --- files ---

    async def stat(self, path: str, *, digest: bool = False) -> FileStat:
        """See `Sandbox.stat`."""
        return FileStat(**await self._json("POST", "/api/stat", {"path": path, "digest": digest}))

    async def read(self, path: str, *, offset: int = 0, limit_bytes: int | None = None) -> bytes:
        """See `Sandbox.read`."""
        params: dict[str, str | int] = {"path": path, "offset": offset}
        if limit_bytes is not None:
            params["limit"] = limit_bytes
        return (await self._request("GET", "/api/file", params=params)).content

    async def write(self, path: str, data: bytes, *, expect: str | None = None) -> FileStat:
        """See `Sandbox.write`. Tried again after a broken connection: the server takes the same content as done."""
        if len(data) > MAX_FILE_BYTES:
            raise ComputeError(f"{len(data):,} bytes are more than can be written at once.", "bad_request")
        params = {"path": path} | ({"expect": expect} if expect is not None else {})
        headers = {"Content-Type": "application/octet-stream"}
        response = await self._request("PUT", "/api/file", params=params, content=data, headers=headers)
        return FileStat(**_object(response))

    async def exists(self, path: str) -> bool:
        """See `Sandbox.exists`."""
        return bool((await self._json("POST", "/api/exists", {"path": path}))["output"] == "true")

    async def health(self) -> Health:
        """Whether its server answers, asked once."""
        try:
            said = _object(await self._attempt("GET", "/api/health"))
        except (ComputeError, _NotYet):
            return Health(False)
        return Health(said.get("status") == "ok", str(said.get("build") or ""))

    async def close(self) -> None:
        """Let go of the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # --- HTTP ---

    async def _json(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return _object(await self._request(method, path, json=body))

    async def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The server's answer. Asked again while the Space wakes; everything here may arrive twice."""
        trouble = ""
        for attempt in range(TRIES):
            if attempt:
                await self._sleep(PAUSE_S * attempt)
            try:
                return await self._attempt(method, path, **content)
            except _NotYet as error:
                trouble = str(error)
        raise self._unreachable(trouble)

    async def _attempt(self, method: str, path: str, **content: Any) -> httpx.Response:
        from agent.lean_httpx import httpx

        try:
            response = await self._http().request(method, path, **content)
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            text = (
                f"The sandbox {self.id} did not answer within {REPLY_S:.0f} s. Try again, or look whether it is busy."
            )
            raise ComputeError(text, "network") from error
        except httpx.TransportError as error:
            raise _NotYet(str(error) or type(error).__name__) from error
        await self._require_answer(response)
        return response

    async def _require_answer(self, response: httpx.Response) -> None:
        if not response.headers.get("content-type", "").startswith(_TYPES):
            raise _NotYet(f"a page instead of an answer, status {response.status_code}")
        if response.status_code >= 300:
            await response.aread()
            raise self._refusal(response)

    def _refusal(self, response: httpx.Response) -> ComputeError:
        said = _object(response)
        detail = said.get("detail") or said.get("error") or response.status_code
        text = detail if isinstance(detail, str) else json.dumps(detail)
        if response.status_code == 409:
            return FileConflict(text)
        if response.status_code == 401:
            text = f"The sandbox {self.id} does not take this key ({text})."
        return ComputeError(text, _KINDS.get(response.status_code, "server"))

    def _unreachable(self, trouble: str) -> ComputeError:
        text = f"The sandbox {self.id} cannot be reached ({trouble}). It may be asleep, starting, or gone"
        return ComputeError(f"{text}; its page is {self.url}." if self.url else f"{text}.", "network")

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            from agent.lean_httpx import httpx

            timeout = httpx.Timeout(REPLY_S, connect=CONNECT_S)
            # a redirect could take the keys to somebody else; the server sends none
            self._client = httpx.AsyncClient(
                base_url=self._base_url, headers=self._headers, timeout=timeout, follow_redirects=False
            )
        return self._client


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _result(event: Mapping[str, Any]) -> RunResult:
    return RunResult(**{name: value for name, value in event.items() if name != "event"})

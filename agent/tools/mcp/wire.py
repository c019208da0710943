"""Where other people's servers are more careless than the client library allows: their messages are mended first.

(Besides what `messages.py` mends: the library fails a call that has been carried out because its answer is not of the
form that the tool has declared, so it is not told of that form.)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

from fastmcp.client.transports.base import ClientTransport, TransportOptions
from mcp import ClientSession

from agent.tools.mcp.messages import mend


class Lenient(ClientTransport):
    """Another transport, its incoming messages mended."""

    def __init__(self, inner: ClientTransport) -> None:
        self.inner = inner
        self.legacy_only = inner.legacy_only

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncIterator[ClientSession]:
        """The session of the other transport."""
        options = TransportOptions(session_class=_LenientSession)
        async with self.inner.connect_session(transport_options=options, **session_kwargs) as session:
            yield session

    async def close(self) -> None:
        """Close the other transport."""
        await self.inner.close()  # type: ignore[no-untyped-call]

    def get_session_id(self) -> str | None:
        """What the other transport says."""
        return self.inner.get_session_id()


class _LenientSession(ClientSession):
    def __init__(self, read_stream: Any = None, write_stream: Any = None, **more: Any) -> None:
        super().__init__(None if read_stream is None else _Mended(read_stream), write_stream, **more)


class _Mended:
    """A stream of incoming messages that are as the protocol wants them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def receive(self) -> Any:
        return _mended(await self._inner.receive())

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._inner.__aexit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return _mended(await self._inner.__anext__())


def _mended(item: Any) -> Any:
    result = getattr(getattr(item, "message", None), "result", None)
    if isinstance(result, dict):
        mend(result)
    return item

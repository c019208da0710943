"""The library of documentation as a run holds it: what it is made of is imported when a book is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.tools.docs.books import Books
    from agent.web.client import WebClient


class DocsLibrary:
    """One for a run; `close` it at the end."""

    def __init__(
        self,
        web: WebClient,
        environ: Mapping[str, str],
        token: str | None = None,
        cache_dir: Path | None = None,
        **seams: Any,
    ) -> None:
        """As `Books` takes them. Nothing is imported, opened, read or asked yet."""
        self._arguments = (web, environ, token, cache_dir)
        self._seams = seams
        self._books: Books | None = None

    @property
    def books(self) -> Books:
        """What it holds; the same all through the run."""
        if self._books is None:
            from agent.tools.docs.books import Books

            self._books = Books(*self._arguments, **self._seams)
        return self._books

    async def close(self) -> None:
        """Let go of the file, if there is one."""
        if self._books is not None:
            await self._books.close()

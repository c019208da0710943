"""Reading an answer's body up to a limit: what a server sends is never unpacked beyond it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from agent.web.errors import WebError

ACCEPTED_ENCODINGS = "gzip, deflate"
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_PIECE_BYTES = 256 << 10
"""So much is unpacked in one go: between two pieces the event loop has its turn."""


async def read_capped(chunks: AsyncIterator[bytes], encoding: str, max_bytes: int) -> tuple[bytes, bool]:
    """The unpacked body, and whether it was cut at `max_bytes`.

    Unpacking stops at the limit too: a small packed body can stand for gigabytes. Raises WebError: `garbled` for a
    body that cannot be unpacked, `unreachable` for a packed one that ends in the middle.
    """
    unpacker = _unpacker(encoding)
    body = bytearray()
    try:
        async for chunk in chunks:
            if unpacker is None:
                body += chunk[: max_bytes + 1 - len(body)]
            else:
                for piece in unpacker.pieces(chunk):
                    body += piece[: max_bytes + 1 - len(body)]
                    await asyncio.sleep(0)
                    if len(body) > max_bytes:
                        break
            if len(body) > max_bytes:
                del body[max_bytes:]
                return bytes(body), True
    except zlib.error as error:
        raise WebError(f"The server's answer cannot be unpacked ({error}).", "garbled") from error
    if unpacker is not None and not unpacker.is_complete:
        raise WebError("The server's answer ended in the middle.", "unreachable")
    return bytes(body), False


def _unpacker(encoding: str) -> _Unpacker | None:
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in _WINDOW_BITS:
        raise WebError(
            f"The server packed its answer in a way that was not asked for ({', '.join(names)[:40]!a}).", "garbled"
        )
    return _Unpacker(_WINDOW_BITS[names[0]])


class _Unpacker:
    """gzip (with all its members) or deflate, which some servers send without the envelope that the RFC asks for."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._inflate = zlib.decompressobj(window_bits)
        self._seen: bytes | None = b"" if window_bits == _ZLIB else None
        """What has come while it is not clear yet whether there is an envelope."""
        self._has_begun = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing at the end. An empty body is complete."""
        return self._inflate.eof or not self._has_begun

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` unpacks to, in pieces of limited size. Raises zlib.error."""
        while chunk:
            if self._inflate.eof:
                if self._window_bits != _GZIP or not chunk.startswith(b"\x1f\x8b"[: len(chunk)]):
                    return  # padding after the end, which browsers ignore too
                self._inflate = zlib.decompressobj(self._window_bits)
            self._has_begun = True
            piece = self._unpack(chunk)
            chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
            yield piece  # an empty one too: a body of a million empty members lets the event loop in as well
        # All input is taken, but output may still be waiting inside.
        while not self._inflate.eof and (piece := self._inflate.decompress(b"", _PIECE_BYTES)):
            yield piece

    def _unpack(self, chunk: bytes) -> bytes:
        if self._seen is None:
            return self._inflate.decompress(chunk, _PIECE_BYTES)
        seen = self._seen + chunk
        try:
            piece = self._inflate.decompress(chunk, _PIECE_BYTES)
        except zlib.error:
            self._seen, self._inflate = None, zlib.decompressobj(_RAW)
            return self._inflate.decompress(seen, _PIECE_BYTES)
        self._seen = seen if len(seen) < 2 else None
        return piece

"""A scripted model server of the cheapest kind: what is measured against it should be the client's time, not its own.

The path of the base URL says what it answers, and requests are counted by path, so that no body has to be read:

    /tools-300/<any word>/v1            the first 300 requests get a call of `bash` each, the next one a short text
    /tools-300-run.script/<any word>/v1 the same for a program whose tool is called `run` and takes a `script`
    /whole-300/<any word>/v1            not streamed, as one object
    /text/<any word>/v1                 always a short text

It speaks chat completions. Any other POST (the APIs that some programs speak instead) gets an error of status
400, and the rest a 404. It prints its port, and then a line for each POST that has come whole: the path, the time
(`time.monotonic`, the same in all processes of a machine) and the size of its body in bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any

LAST_WORDS = "That is all."
_SCRIPT = re.compile(r"/(?:(tools|whole)-(\d+)(?:-(\w+)\.(\w+))?|text)/")
_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "bench"}
_USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
_REFUSAL = b'{"type": "error", "error": {"type": "invalid_request_error", "message": "not spoken here"}}'


class Connection(asyncio.Protocol):
    """One client connection: requests one after the other, each with a `Content-Length`."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there as a whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].decode("latin-1")
            found = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
            size = int(found[1]) if found else 0
            if len(self._data) < end + 4 + size:
                return
            del self._data[: end + 4 + size]
            method, path = head.split(" ", 2)[:2]
            self._transport.write(self._answer(method, path, size))

    def _answer(self, method: str, path: str, size: int) -> bytes:
        script = _SCRIPT.match(path)
        if method != "POST" or script is None:
            return response(b"404 Not Found", b"text/plain", b"")
        print(path, asyncio.get_running_loop().time(), size, flush=True)
        if not path.endswith("/chat/completions"):
            return response(b"400 Bad Request", b"application/json", _REFUSAL)
        self._counts[path] += 1
        number = self._counts[path]
        is_call = number <= int(script[2] or 0)
        answer = tool_call(number, script[3] or "bash", script[4] or "command") if is_call else text()
        if script[1] == "whole":
            return response(b"200 OK", b"application/json", whole(answer))
        return response(b"200 OK", b"text/event-stream", events(answer))


def response(status: bytes, kind: bytes, body: bytes) -> bytes:
    """An HTTP response; the connection stays open."""
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


def tool_call(number: int, name: str, argument: str) -> tuple[dict[str, Any], str]:
    """A call of the shell tool, as the delta of a chunk and its finish reason."""
    function = {"name": name, "arguments": json.dumps({argument: f"echo {number}"})}
    return {
        "tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]
    }, "tool_calls"


def text() -> tuple[dict[str, Any], str]:
    """The end of a turn."""
    return {"content": LAST_WORDS}, "stop"


def events(answer: tuple[dict[str, Any], str]) -> bytes:
    """One answer as server-sent events."""
    delta, finish_reason = answer
    chunks = [
        _HEAD | {"choices": [{"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": None}]},
        _HEAD | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]},
        _HEAD | {"choices": [], "usage": _USAGE},
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


def whole(answer: tuple[dict[str, Any], str]) -> bytes:
    """One answer as an object."""
    delta, finish_reason = answer
    message = {"role": "assistant", "content": None} | delta
    return json.dumps(
        _HEAD
        | {
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": _USAGE,
        }
    ).encode()


async def main() -> None:
    """Serve until killed."""
    counts: Counter[str] = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""What servers send, made small and regular before the library looks at it.

The library refuses a whole list of tools for one tool without a schema, and takes seconds of the event loop for an
answer of very many small parts.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_types import JSONRPCMessage

MAX_MESSAGE_BYTES = 16 << 20
"""What is longer than this is not read to its end: one answer, unpacked."""
MAX_PARTS = 1_000
"""Of an answer's content, and of a list of tools."""
LARGE_BYTES = 100_000

_MAX_NAME_CHARS = 256
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half a character, as a rule beside its other half. Alone, the library refuses the whole message for it."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def too_large(limit_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """What is said of a message that is longer than it may be."""
    return f"a message of more than {limit_bytes >> 20} MB, which is not read"


def parsed(data: bytes) -> JSONRPCMessage:
    """The message in `data`. Raises ValueError if it is none. Blocking where it is large."""
    from mcp_types import jsonrpc_message_adapter

    if len(data) <= LARGE_BYTES:
        with contextlib.suppress(ValueError):  # nor does the library take half a character
            return jsonrpc_message_adapter.validate_json(data, by_name=False)
    return jsonrpc_message_adapter.validate_python(_reduced(data), by_name=False)


def reduced(data: bytes) -> bytes:
    """The message in `data` with less to validate, where it is large, and without half characters; `data` itself if it
    is no message. Blocking."""
    if len(data) <= LARGE_BYTES and _is_whole(data):
        return data
    try:
        return json.dumps(_reduced(data)).encode()
    except ValueError:
        return data


def _reduced(data: bytes) -> Any:
    """A message, read five times as fast as the library would; neither lets other threads run meanwhile."""
    try:
        message = json.loads(data.decode("utf-8-sig", "replace"))
        if not _is_whole(data):
            message = json.loads(_SURROGATE.sub("\ufffd", json.dumps(message, ensure_ascii=False)))
    except RecursionError:
        raise ValueError("too many levels") from None
    result = message.get("result") if isinstance(message, dict) else None
    if isinstance(result, dict):
        _flatten(result)
        mend(result)
    return message


def _is_whole(data: bytes) -> bool:
    """Whether there is certainly no half character in `data`."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return _ESCAPED_SURROGATE.search(data) is None


def _flatten(result: dict[str, Any]) -> None:
    """Make one text of structure that may have millions of parts; it is not used where there is text."""
    content = result.get("content")
    if not isinstance(content, list) or result.get("structuredContent") is None:
        return
    structure = result.pop("structuredContent")
    if not any(isinstance(block, dict) and block.get("type") in ("text", "resource") for block in content):
        content.insert(0, _text(json.dumps(structure, ensure_ascii=False)))


def mend(result: dict[str, Any]) -> None:
    """Bring what a server answers into the form that the protocol wants, within our limits."""
    tools, content = result.get("tools"), result.get("content")
    if isinstance(tools, list):
        mended = [_mended_tool(tool) for tool in tools[:MAX_PARTS] if isinstance(tool, dict)]
        result["tools"] = [tool for tool in mended if _is_named(tool.get("name"))]
    if isinstance(content, list) and len(content) > MAX_PARTS:
        kept = content[: MAX_PARTS - 1]
        said = f"[The answer has {len(content) - len(kept)} parts more, which are left out: {len(kept)} are the most.]"
        result["content"] = [*kept, _text(said)]


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _is_named(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _MAX_NAME_CHARS


def _mended_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """The parts of a tool that we use; those that are not as they should be are left out."""
    schema = tool.get("inputSchema", tool.get("input_schema"))
    hints = tool.get("annotations")
    flags = {key: value for key, value in hints.items() if isinstance(value, bool)} if isinstance(hints, dict) else {}
    kept = {"name": tool.get("name"), "annotations": flags}
    kept |= {key: tool[key] for key in ("title", "description") if isinstance(tool.get(key), str)}
    return kept | {"inputSchema": {**(schema if isinstance(schema, dict) else {}), "type": "object"}}

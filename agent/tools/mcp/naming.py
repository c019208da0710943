"""What a server's tool is called here, and which tools of servers are not taken."""

from __future__ import annotations

import hashlib
import re

PREFIX = "mcp__"
MAX_NAME_CHARS = 64
"""The longest name that all providers accept; they also accept nothing but `[A-Za-z0-9_-]`."""

NOT_TAKEN = frozenset({"hf_jobs", "hf_doc_search", "hf_doc_fetch", "hf_whoami"})
"""Tools of servers that would be a way around our own, with their approvals and their budget; by their bare names."""

_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_HASH_CHARS = 8


def is_taken(tool: str) -> bool:
    """Whether a server's tool of this (bare) name is registered at all."""
    return tool.strip().casefold() not in NOT_TAKEN


def is_named_after(registered: str, server: str) -> bool:
    """Whether a tool of this registered name may be one of `server`."""
    return registered.startswith((PREFIX + _OTHER.sub("_", server))[: MAX_NAME_CHARS - _HASH_CHARS - 1])


def registered_name(server: str, tool: str) -> str:
    """`mcp__server__tool`, in characters that providers accept.

    A name depends on nothing but its own parts, so that it is the same in every session. Where something is replaced
    or cut, or where the parts could be told apart in two ways, a hash of both makes it unmistakable again.
    """
    name = PREFIX + _OTHER.sub("_", f"{server}__{tool}")
    is_plain = name == f"{PREFIX}{server}__{tool}" and len(name) <= MAX_NAME_CHARS
    is_unmistakable = server and tool and "__" not in server and not server.endswith("_") and not tool.startswith("_")
    if is_plain and is_unmistakable:
        return name
    digest = hashlib.sha256(f"{server}\0{tool}".encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return f"{name[: MAX_NAME_CHARS - _HASH_CHARS - 1]}_{digest}"

"""Prompt caching: what to add to a request so that the provider reads its beginning from a cache (spec llm.md §5).

Pure: nothing handed in is changed, and what needs no addition is handed back itself. Only routes that understand the
marks get them; litellm (1.106) leaves marks in requests to OpenAI-style servers of one's own, which may refuse them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent.llm.params import base_url
from agent.llm.providers import HF_ROUTER

HF_ROUTER_SESSION_ID_HEADER = "X-HF-Session-id"
MAX_SESSION_ID_CHARS = 256

CacheTtl = Literal["5m", "1h"]
Messages = Sequence[Mapping[str, Any]]

_MARKED_MODELS = re.compile(r"anthropic/|openrouter/anthropic/|bedrock/.*(?:claude|anthropic\.)", re.IGNORECASE)


def with_prompt_cache_params(
    params: dict[str, Any], *, session_id: str | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """`params` (resolved kwargs of a route) with the router's session header and the caching words of its providers.

    Calls of one session carry the same id, so that the router sends them to the server that has their cache.
    """
    name, tag = _router_model(params, environ)
    if not name:
        return params
    session_id = (session_id or "")[:MAX_SESSION_ID_CHARS]
    additions: dict[str, Any] = {}
    if session_id:
        additions["extra_headers"] = {**params.get("extra_headers", {}), HF_ROUTER_SESSION_ID_HEADER: session_id}
    if words := _fal_words(name, session_id) if tag.startswith("fal") else {}:
        additions["extra_body"] = {**params.get("extra_body", {}), **words}
    return {**params, **additions} if additions else params


def _fal_words(name: str, session_id: str) -> dict[str, Any]:
    """What FAL reads in the body. Elsewhere in the request litellm leaves out what it does not know of the model."""
    if name.startswith("anthropic/"):
        return {"cache_control": {"type": "ephemeral"}}
    if name.startswith("openai/gpt-5.5"):
        return {"prompt_cache_retention": "24h"} | ({"prompt_cache_key": session_id} if session_id else {})
    return {}


def with_prompt_caching(
    messages: Messages,
    tools: Messages,
    llm_params: Mapping[str, Any] | str,
    *,
    ttl: CacheTtl = "5m",
    environ: Mapping[str, str] = os.environ,
) -> tuple[Messages, Messages]:
    """`messages` and `tools` with cache marks, where the model of `llm_params` (kwargs, or litellm's name) takes them.

    Anthropic's own API, Claude on Bedrock and on OpenRouter get four: last tool, system prompt, last message, and the
    last message of the previous request, where its cache ends. Claude at FAL behind the HF router takes one message.
    """
    params = {"model": llm_params} if isinstance(llm_params, str) else llm_params
    if _MARKED_MODELS.match(str(params.get("model", ""))):
        places = {_system(messages), _markable(messages, len(messages) - 1), _end_of_previous_request(messages)}
    else:
        name, tag = _router_model(params, environ)
        if not (tag.startswith("fal") and name.startswith("anthropic/")):
            return messages, tools
        places = {_markable(messages, len(messages) - 2, roles=("system", "user"))}
    mark = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    return _marked_messages(messages, places - {None}, mark), _marked_tools(tools, mark)


def _router_model(params: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, str]:
    """Name and tag of a model at the HF router; two empty texts for any other."""
    if not params.get("api_base") or params["api_base"] != base_url(HF_ROUTER, environ):
        return "", ""
    name, _, tag = str(params.get("model", "")).removeprefix("openai/").partition(":")
    return name, tag


def _system(messages: Messages) -> int | None:
    """The end of the system prompt."""
    return next((at for at, message in enumerate(messages) if message.get("role") == "system" and _text(message)), None)


def _end_of_previous_request(messages: Messages) -> int | None:
    """The message that was the last when the model gave its latest answer."""
    answers = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    return _markable(messages, answers[-1] - 1) if answers else None


def _markable(
    messages: Messages, start: int, roles: tuple[str, ...] = ("system", "user", "tool", "assistant")
) -> int | None:
    """The nearest message from `start` backwards that has a text to mark: providers refuse marks on empty ones."""
    places = range(start, -1, -1)
    return next((at for at in places if messages[at].get("role") in roles and _text(messages[at])), None)


def _text(message: Mapping[str, Any]) -> str:
    """The text that would carry the mark: the whole content, or its last text block."""
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    blocks = _text_blocks(content)
    return str(content[blocks[0]].get("text") or "").strip() if blocks and content else ""


def _text_blocks(content: Any) -> list[int]:
    """Places of the text blocks in a content list, last first."""
    if not isinstance(content, list):
        return []
    blocks = [at for at, block in enumerate(content) if isinstance(block, Mapping) and block.get("type") == "text"]
    return blocks[::-1]


def _marked_messages(messages: Messages, places: set[int | None], mark: dict[str, str]) -> Messages:
    if not places:
        return messages
    return [_marked(message, mark) if at in places else message for at, message in enumerate(messages)]


def _marked(message: Mapping[str, Any], mark: dict[str, str]) -> dict[str, Any]:
    """A tool's result keeps its form, marked or not: the cache of the next request must find it unchanged."""
    content = message["content"]
    if isinstance(content, str) and message["role"] == "tool":
        return {**message, "cache_control": dict(mark)}
    if isinstance(content, str):
        return {**message, "content": [{"type": "text", "text": content, "cache_control": dict(mark)}]}
    last = _text_blocks(content)[0]
    blocks = [{**block, "cache_control": dict(mark)} if at == last else block for at, block in enumerate(content)]
    return {**message, "content": blocks}


def _marked_tools(tools: Messages, mark: dict[str, str]) -> Messages:
    return [*tools[:-1], {**tools[-1], "cache_control": dict(mark)}] if tools else tools

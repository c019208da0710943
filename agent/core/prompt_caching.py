"""Prompt caching, under its public path; it is done in `agent.llm.prompt_caching`."""

from __future__ import annotations

from agent.llm.prompt_caching import (
    HF_ROUTER_SESSION_ID_HEADER,
    with_prompt_cache_params,
    with_prompt_caching,
)

__all__ = ["HF_ROUTER_SESSION_ID_HEADER", "with_prompt_cache_params", "with_prompt_caching"]

"""Who carries a request to a model: the backends, and the one place that chooses among them.

litellm_backend     every provider that litellm serves
openai_compatible   servers that speak OpenAI's chat completions: local ones, the HF router, addresses of one's own
replay              scripts of answers
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from enum import StrEnum
from typing import Any, Literal, Protocol

from agent.llm.params import has_own_address
from agent.llm.provider_row import RouteKind
from agent.llm.routes import Route
from agent.llm.stream import Delta

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 330.0
WHOLE_TIMEOUT_S = 630.0
"""The watchdogs of `agent.llm.calls` bite before these."""

BackendSetting = Literal["auto", "litellm"]
"""The setting `llm_backend`; `litellm` forces it wherever there is a server to ask."""


class Backend(Protocol):
    """A way to a model."""

    def stream(
        self, params: Mapping[str, Any], request: Mapping[str, Any], on_sent: Callable[[], None]
    ) -> AsyncGenerator[Delta, None]:
        """Make one request and yield its deltas; without `stream` in the request mostly a single one.

        `params` are the resolved kwargs of the route (model, api_base, api_key, effort, extra_body, extra_headers);
        `request` holds messages, tools, tool_choice, stream, max_tokens (None: the most the model gives) and
        drop_params (whether litellm leaves out what it thinks the model does not take). `on_sent` is called once the
        request has left, or at the latest when its answer begins. Raises what `agent.llm.classification.classify`
        knows. Closing the generator ends the request.
        """
        ...


class BackendName(StrEnum):
    """The backends there are."""

    LITELLM = "litellm"
    OPENAI_COMPATIBLE = "openai_compatible"
    REPLAY = "replay"


_OTHER_API = re.compile(
    r"responses/|codex-|gpt-(?:5\.[4-9]|[6-9]|\d\d)(?![\d.])|(?:gpt-5|o\d).*-(?:codex|pro|deep-research)"
)
"""Models of OpenAI that exist, or think and use tools at once, only in its Responses API, which litellm speaks."""


def backend_name(route: Route, environ: Mapping[str, str], setting: BackendSetting = "auto") -> BackendName:
    """Who serves `route`."""
    kind = route.provider.kind
    if kind is RouteKind.REPLAY:
        return BackendName.REPLAY
    if setting == "litellm":
        return BackendName.LITELLM
    is_plain = kind in (RouteKind.LOCAL, RouteKind.ROUTER)
    if is_plain or (has_own_address(route.provider, environ) and not _OTHER_API.match(route.name)):
        return BackendName.OPENAI_COMPATIBLE
    return BackendName.LITELLM

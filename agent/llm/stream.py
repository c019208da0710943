"""From deltas to a reply: the one place where a streamed answer is put together.

Every backend yields `Delta`s, whatever its provider sends; `Assembler` collects them. It copes with what servers really
do (spec llm.md §6): usage on any chunk, all tool deltas at index 0, missing indexes or ids, duplicate ids, arguments as
an object instead of text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.messages import FunctionCall, ToolCall, new_id, valid_text

_INF = float("inf")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `prompt_tokens` includes cached and cache-written ones; `cost_usd` is the provider's word."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """A fragment of a tool call. `index` and `id` may each be missing, not both for a new call."""

    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """What one chunk added."""

    text: str = ""
    reasoning: str = ""
    thinking_blocks: tuple[dict[str, Any], ...] = ()
    tool_calls: tuple[ToolDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class LLMResult:
    """One whole model reply. `usage` is None when the server reported none."""

    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    thinking_blocks: tuple[dict[str, Any], ...] = ()
    reasoning_content: str | None = None
    latency_ms: int = 0
    cost_usd: float | None = None
    effort_used: str | None = None
    """The level that was asked for in the end: lower than wanted, or None, where the provider took no other."""
    dropped_thinking: bool = False
    """Whether earlier thinking had to be left out of the request for the provider to accept it."""


@dataclass(slots=True)
class _OpenCall:
    id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _OpenThinking:
    block: dict[str, Any]
    pieces: list[str] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        """Only signed or redacted blocks may be replayed; a cut one would be refused."""
        return self.block.get("type") == "redacted_thinking" or bool(self.block.get("signature"))

    def whole(self) -> dict[str, Any]:
        if self.block.get("type") == "redacted_thinking":
            return {name: value for name, value in self.block.items() if name in ("type", "data")}
        return self.block | {"thinking": "".join(self.pieces)}


class Assembler:
    """Collects deltas into an `LLMResult`. Linear in the size of the answer; readable at any moment (`text`)."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._thinking: list[_OpenThinking] = []
        self._calls: list[_OpenCall] = []
        self._by_index: dict[int, _OpenCall] = {}
        self._by_id: dict[str, _OpenCall] = {}
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    @property
    def text(self) -> str:
        """The answer text so far."""
        return "".join(self._text)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come yet: neither text nor thinking nor calls."""
        return not (self._text or self._reasoning or self._thinking or self._calls)

    @property
    def everything(self) -> str:
        """All that the model has produced so far: text, thinking, calls. It is paid for, finished or not."""
        thinking = ("".join(thinking.pieces) for thinking in self._thinking)
        calls = (call.name + "".join(call.arguments) for call in self._calls)
        return "".join([*self._text, *self._reasoning, *thinking, *calls])

    def reset(self) -> None:
        """Forget everything, for another attempt."""
        self.__init__()  # type: ignore[misc]

    def add(self, delta: Delta) -> None:
        """Take in one delta."""
        if delta.text:
            self._text.append(delta.text)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        for block in delta.thinking_blocks:
            self._add_thinking(block)
        for fragment in delta.tool_calls:
            self._add_call(fragment)
        self._finish_reason = delta.finish_reason or self._finish_reason
        self._usage = delta.usage or self._usage

    def _add_call(self, delta: ToolDelta) -> None:
        call = self._find_call(delta)
        if delta.name and not call.name:
            call.name = delta.name
        if delta.arguments:
            call.arguments.append(delta.arguments)

    def _find_call(self, delta: ToolDelta) -> _OpenCall:
        """The call this fragment belongs to; a known index with a *different* id starts a new call."""
        call = self._by_index.get(delta.index) if delta.index is not None else None
        if call is None and delta.index is None:
            call = self._by_id.get(delta.id) if delta.id else (self._calls[-1] if self._calls else None)
        if call is not None and delta.id and call.id and call.id != delta.id:
            call = self._by_id.get(delta.id)
        if call is None:
            call = _OpenCall()
            self._calls.append(call)
        if delta.id and call.id is None:
            call.id = delta.id
            self._by_id[delta.id] = call
        if delta.index is not None:
            self._by_index[delta.index] = call
        return call

    def _add_thinking(self, block: Mapping[str, Any]) -> None:
        """Signed thinking comes in pieces (text, then the signature alone); redacted blocks come whole."""
        last = self._thinking[-1] if self._thinking else None
        if last is None or last.is_closed or block.get("type") == "redacted_thinking":
            last = _OpenThinking(dict(block))
            self._thinking.append(last)
        last.pieces.append(block.get("thinking") or "")
        last.block["signature"] = block.get("signature") or last.block.get("signature")

    def result(self) -> LLMResult:
        """The reply as it stands. Calls without a name are dropped; ids are made unique, missing ones generated."""
        calls: list[ToolCall] = []
        taken: set[str] = set()
        for call in self._calls:
            if not call.name:
                continue
            call_id = call.id if call.id and call.id not in taken else f"call_{new_id()[:24]}"
            taken.add(call_id)
            function = FunctionCall(valid_text(call.name), valid_text("".join(call.arguments)))
            calls.append(ToolCall(call_id, function))
        return LLMResult(
            content=valid_text(self.text),
            tool_calls=tuple(calls),
            finish_reason=self._finish_reason,
            usage=self._usage,
            thinking_blocks=tuple(thinking.whole() for thinking in self._thinking if thinking.is_closed),
            reasoning_content=valid_text("".join(self._reasoning)) or None,
        )


def extract_usage(usage: Any) -> Usage | None:
    """Token counts from a provider's usage (object or mapping), whichever names it uses; None when there are none.

    Cache reads: `cache_read_input_tokens` (Anthropic) or `prompt_tokens_details.cached_tokens` (OpenAI); writes:
    `cache_creation_input_tokens` or `prompt_tokens_details.cache_write_tokens`. Junk values count as 0.
    """
    if usage is None:
        return None
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    total = _count(usage, "total_tokens") or prompt + completion
    if not total:
        return None
    prompt_details, completion_details = _get(usage, "prompt_tokens_details"), _get(usage, "completion_tokens_details")
    cost = _get(usage, "cost")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        cache_read_tokens=_count(usage, "cache_read_input_tokens") or _count(prompt_details, "cached_tokens"),
        cache_creation_tokens=_count(usage, "cache_creation_input_tokens")
        or _count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens"),
        cost_usd=float(cost)
        if isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost < _INF
        else None,
    )


def _get(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return source.get(name)
    return getattr(source, name, None)


def _count(source: Any, name: str) -> int:
    value = _get(source, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _INF:
        return 0
    return int(value)

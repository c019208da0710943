"""What a fake model server answers: one `Reply` per model call, told in words that fit every provider.

    server.script(call("bash", {"command": "ls"}), text("There is ", "one file."))
    server.script(rate_limited(retry_after_s=2), text("hi"))
    server.script(text("a", "b", "c").but(fault=Cut(after_pieces=2), usage=None))

A *piece* is one streamed delta: a part of the reasoning, a part of the text, the opening of a tool call, or a fragment
of its arguments (and, Anthropic only, a redacted thought). Faults count pieces, so `Cut(2)` means the same on every
server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

DEFAULT_USAGE: Mapping[str, Any] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}

FRAGMENT_CHARS = 24
"""Length of the argument fragments of a call whose fragments are not given."""


@dataclass(frozen=True, slots=True)
class Call:
    """A scripted tool call.

    `arguments` is a dict, or raw text sent exactly as given: malformed JSON, `[]`, `null`, the empty text. `fragments`,
    if given, are the streamed pieces of that text in place of the default cut. `id` None means one is made up.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    fragments: tuple[str, ...] | None = None

    @property
    def raw_arguments(self) -> str:
        """The argument text as it is sent."""
        if self.fragments is not None:
            return "".join(self.fragments)
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)

    @property
    def argument_pieces(self) -> tuple[str, ...]:
        """The argument text as it is streamed; empty text is one empty piece."""
        if self.fragments is not None:
            return self.fragments
        raw = self.raw_arguments
        return tuple(raw[at : at + FRAGMENT_CHARS] for at in range(0, len(raw), FRAGMENT_CHARS)) or ("",)


# --- faults ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error answer instead of a model answer.

    `code` and `message` go into the provider's own error shape; `anthropic_message` is used where that provider words
    it differently. `body`, if given, replaces the whole JSON body (bytes are sent as they are: an HTML page, nothing).
    """

    status: int
    code: str
    message: str
    anthropic_message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends in the middle of the body, after so many pieces. A non-stream body is cut in half."""

    after_pieces: int = 0


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """The body ends properly, but too early: after so many pieces, without finish reason, usage or `[DONE]`."""

    after_pieces: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more comes after so many pieces (None: not even headers), but the connection stays open.

    It lasts until the client leaves, the server is closed, or `server.resume()`; then the answer goes on. A non-stream
    body stalls in its middle.
    """

    after_pieces: int | None = 0


@dataclass(frozen=True, slots=True)
class HalfHead:
    """The connection ends in the middle of the response headers."""


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error event in the middle of a good stream, after so many pieces, as an overloaded provider sends it.

    An answer that is not streamed is the error alone.
    """

    after_pieces: int = 0
    error: HttpError = HttpError(529, "overloaded", "Overloaded")


Fault = HttpError | Cut | EarlyEnd | Stall | HalfHead | StreamError


# --- the reply -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model, its oddities and its fault.

    `usage` is in OpenAI's words (each server translates); None sends no usage at all. Like the real services, the
    OpenAI fake streams usage only to a client that asked with `stream_options.include_usage`.
    `finish_reason` is OpenAI's word; None means `tool_calls` or `stop`, whichever fits. `delay_s` passes before every
    piece. `signature` and `redacted_thinking` only mean something to Anthropic, the `tool_*` oddities, `usage_place`
    and `whole_calls` only to OpenAI (`tool_ids` to both).
    """

    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    usage: Mapping[str, Any] | None = field(default_factory=lambda: dict(DEFAULT_USAGE))
    finish_reason: str | None = None
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    signature: str = "c2lnbmF0dXJl"
    redacted_thinking: str | None = None
    tool_index: Literal["normal", "zero", "missing"] = "normal"
    tool_ids: Literal["normal", "missing", "duplicate"] = "normal"
    whole_calls: bool = False
    """A call comes in one delta, name and arguments together, as several local servers send it."""
    usage_place: Literal["own_chunk", "last_choice"] = "own_chunk"
    fault: Fault | None = None

    def but(self, **changes: Any) -> Reply:
        """A copy with other values for some fields."""
        return replace(self, **changes)

    @property
    def reason(self) -> str:
        """The finish reason to send."""
        return self.finish_reason or ("tool_calls" if self.calls else "stop")

    def call_ids(self, reply_number: int) -> list[str | None]:
        """The id of each call as it is sent; made-up ids are unique within a server through `reply_number`."""
        if self.tool_ids == "missing":
            return [None] * len(self.calls)
        if self.tool_ids == "duplicate":
            return ["call_duplicate"] * len(self.calls)
        return [call.id or f"call_{reply_number}_{place}" for place, call in enumerate(self.calls)]


# --- short forms -----------------------------------------------------------------------------------------------------


def text(*pieces: str, **fields: Any) -> Reply:
    """An answer in words."""
    return Reply(text=pieces, **fields)


def call(name: str, arguments: Mapping[str, Any] | str | None = None, *, id: str | None = None, **fields: Any) -> Reply:
    """An answer that calls one tool."""
    return calls(Call(name, {} if arguments is None else arguments, id), **fields)


def calls(*several: Call, **fields: Any) -> Reply:
    """An answer that calls several tools; `text=("...",)` makes it say something first."""
    return Reply(calls=several, **fields)


def thinking(thought: str, reply: Reply) -> Reply:
    """`reply` with a thought before it."""
    return reply.but(reasoning=(*reply.reasoning, thought))


def error(status: int, code: str, message: str, **fields: Any) -> Reply:
    """Any HTTP error; `fields` are those of `HttpError`."""
    return Reply(fault=HttpError(status, code, message, **fields))


def rate_limited(retry_after_s: float | None = 1) -> Reply:
    """429, with Retry-After unless that is None."""
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    message = "Rate limit reached for requests per minute. Please slow down."
    return error(429, "rate_limit_exceeded", message, headers=headers)


def insufficient_quota() -> Reply:
    """429 that no waiting helps: the account is out of money."""
    return error(
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
        anthropic_message="Your credit balance is too low to access the API. Please go to Plans & Billing.",
    )


def payment_required() -> Reply:
    """402, whose text does not say "402"."""
    return error(402, "payment_required", "You have exceeded your monthly included credits. Subscribe to get more.")


def server_error(status: int = 500) -> Reply:
    """500, or another 5xx."""
    return error(status, "server_error", "The server had an error while processing your request.")


def overloaded() -> Reply:
    """529, Anthropic's word for too much traffic."""
    return error(529, "overloaded", "Overloaded")


def auth_error() -> Reply:
    """401: the key is wrong."""
    return error(401, "invalid_api_key", "Incorrect API key provided.", anthropic_message="invalid x-api-key")


def forbidden(message: str = "You do not have access to this model.") -> Reply:
    """403."""
    return error(403, "permission_denied", message)


def model_not_found(model: str = "nope") -> Reply:
    """404: there is no such model."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error(404, "model_not_found", message, anthropic_message=f"model: {model}")


def context_overflow(limit_tokens: int = 8192, used_tokens: int = 9001) -> Reply:
    """400: the request is longer than the model's context."""
    return error(
        400,
        "context_length_exceeded",
        f"This model's maximum context length is {limit_tokens} tokens. However, your messages resulted in "
        f"{used_tokens} tokens. Please reduce the length of the messages.",
        anthropic_message=f"prompt is too long: {used_tokens} tokens > {limit_tokens} maximum",
    )


def effort_error(level: str = "xhigh") -> Reply:
    """400: the model does not take this reasoning effort."""
    return error(
        400,
        "unsupported_value",
        f"Unsupported value: 'reasoning_effort' does not support '{level}' with this model. "
        "Supported values are: 'low', 'medium', and 'high'.",
        anthropic_message=f"output_config.effort: Input should be 'low', 'medium' or 'high', got '{level}'",
    )


def invalid_signature() -> Reply:
    """400: a replayed thinking block is not the one that was sent."""
    return error(400, "invalid_request", "messages.1.content.0: Invalid `signature` in `thinking` block")


def cut_after(pieces: int, reply: Reply | None = None) -> Reply:
    """An answer (of its own, or `reply`) whose connection breaks after so many pieces."""
    return (reply or _words(pieces + 1)).but(fault=Cut(pieces))


def ends_early_after(pieces: int, reply: Reply | None = None) -> Reply:
    """A stream that closes cleanly after `pieces` pieces, as a proxy does that lost the server behind it."""
    return (reply or _words(pieces + 2)).but(fault=EarlyEnd(pieces))


def stall_after(pieces: int, reply: Reply | None = None) -> Reply:
    """An answer (of its own, or `reply`) that stops coming after so many pieces."""
    return (reply or _words(pieces + 1)).but(fault=Stall(pieces))


def stall_before_headers() -> Reply:
    """A server that takes the request and says nothing."""
    return text("late").but(fault=Stall(None))


def half_head() -> Reply:
    """A connection that breaks inside the response headers."""
    return text("never").but(fault=HalfHead())


def stream_error_after(pieces: int, reply: Reply | None = None) -> Reply:
    """A good start, then an error event inside the stream."""
    return (reply or _words(pieces + 1)).but(fault=StreamError(pieces))


def _words(count: int) -> Reply:
    return text(*(f"word{number} " for number in range(count)))

"""The history of a session: what the model is shown, its invariants, and how much room it takes.

Invariants, kept by every method: the system prompt comes first; every tool call has exactly one result, in call order,
right behind its assistant message by the time the model is asked again (`repair`); text is valid UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from agent.context_manager.aids import Aids, CompactionFailedError, CompactionReport, Room
from agent.context_manager.prompts import render
from agent.context_manager.tokens import estimate_message, estimate_tools
from agent.protocol.messages import Message, ToolCall, place_of_result, tool_message, valid_text
from agent.protocol.wire import WireObject

COMPACT_AT = 0.9
"""Share of the model's window above which history is shortened before the next call."""

LAST_STEPS_SHARE, PERSON_SHARE = 0.75, 0.85
"""Of the room that the system prompt and the tools leave below the threshold: as long as compaction gets history into
the one, the last steps stay whole, and into the other, what the person wrote."""

LEAST_CORRECTION, LARGEST_CORRECTION = 0.3, 4.0
"""A provider that counts less or more than this times our estimate counts something else than the request."""


class ContextManager:
    """The message list of one session with its token count."""

    def __init__(self, system_prompt: str, model_max_tokens: int, tool_specs: Sequence[Mapping[str, Any]] = ()) -> None:
        """`model_max_tokens` is the model's whole window; `tool_specs` (wire form) count towards its use."""
        self.model_max_tokens = model_max_tokens
        self._tools_tokens = estimate_tools(tool_specs)
        self.items: list[Message] = [Message(role="system", content=system_prompt, origin="system")]
        self._estimate = estimate_message(self.items[0])
        self._correction = 1.0
        self._futile_below = 0
        self._wire = _WireForms()

    # --- reading -----------------------------------------------------------------------------------------------------

    def set_tools(self, specs: Sequence[Mapping[str, Any]]) -> None:
        """The model has these tools from now on, in the form that is sent."""
        self._tools_tokens = estimate_tools(specs)

    @property
    def usage_tokens(self) -> int:
        """Tokens the next request will take: our running estimate, in the proportion the provider last counted it."""
        return int((self._estimate + self._tools_tokens) * self._correction)

    @property
    def compaction_threshold(self) -> int:
        """Tokens above which history is shortened."""
        return int(COMPACT_AT * self.model_max_tokens)

    @property
    def needs_compaction(self) -> bool:
        """Whether the next request would be too close to the window."""
        return self.usage_tokens > max(self.compaction_threshold, self._futile_below)

    def wire_messages(self, *, replay_thinking: bool) -> list[WireObject]:
        """History in the form a provider takes.

        What the person typed, ran and added side by side goes out as one message: the chat templates of some local
        models (Gemma, Mistral) refuse two in a row.
        """
        wire: list[WireObject] = []
        forms = self._wire.of(self.items, replay_thinking=replay_thinking)
        for is_user, run in groupby(forms, key=lambda form: form["role"] == "user"):
            messages = list(run)
            if is_user and len(messages) > 1:
                text = "\n\n".join(str(message["content"]) for message in messages)
                messages = [WireObject(messages[0], content=text)]
            wire += messages
        return wire

    # --- adding ------------------------------------------------------------------------------------------------------

    def add_message(self, message: Message) -> Message:
        """Append `message`, made valid UTF-8; returns what was stored."""
        message = _well_formed(message)
        self.items.append(message)
        self._estimate += estimate_message(message)
        return message

    def add_result(self, message: Message) -> Message:
        """Put a tool result in its place: behind its assistant message, in call order."""
        message = _well_formed(message)
        place = place_of_result(self.items, message.tool_call_id)
        self.items.insert(place, message)
        self._estimate += estimate_message(message)
        return message

    def repair(self) -> list[Message]:
        """Give every call without a result a stub saying that it never ran; drop results without a call.

        Returns the stubs. Looks at the whole history: once per turn, not per step.
        """
        repaired: list[Message] = []
        stubs: list[Message] = []
        index = 0
        while index < len(self.items):
            message = self.items[index]
            index += 1
            if message.role == "tool":  # a result outside the block of its call
                continue
            repaired.append(message)
            found: dict[str | None, Message] = {}
            while message.tool_calls and index < len(self.items) and self.items[index].role == "tool":
                found.setdefault(self.items[index].tool_call_id, self.items[index])
                index += 1
            for call in message.tool_calls:
                if call.id not in found:
                    stubs.append(_never_ran(call))
                repaired.append(found[call.id] if call.id in found else stubs[-1])
        if stubs or len(repaired) != len(self.items):
            self._replace(repaired)
        return stubs

    def truncate_before(self, message_id: str) -> int:
        """Take back the message `message_id` and everything after it; returns the number removed, 0 if it is unknown.

        The system prompt stays.
        """
        for index in range(len(self.items) - 1, 0, -1):
            if self.items[index].id == message_id:
                removed = len(self.items) - index
                self._replace(self.items[:index])
                return removed
        return 0

    def restore(self, items: Iterable[Message]) -> None:
        """Take up an earlier conversation: `items`, without a system prompt, in place of all but our own."""
        self._replace([self.items[0], *map(_well_formed, items)])

    def drop_thinking(self) -> None:
        """Take signed thinking out of history: the provider does not accept it (any more)."""
        self._replace(
            [
                replace(message, thinking_blocks=(), reasoning_content=None)
                if message.thinking_blocks or message.reasoning_content
                else message
                for message in self.items
            ]
        )

    def _replace(self, items: list[Message]) -> None:
        """Put `items` in place of history."""
        self.items = items
        self._estimate = sum(map(estimate_message, items))

    # --- shortening --------------------------------------------------------------------------------------------------

    async def compact(self, aids: Aids, *, target_tokens: int | None = None, forced: bool = False) -> CompactionReport:
        """Shorten history to `target_tokens`, or to where half of the free room is free again.

        Where compaction cannot get that far, it leaves the last steps whole up to three quarters of the free room, and
        what the person wrote up to 85 % of it; `forced` (a provider has refused the whole) makes `target_tokens` the
        limit for both. Raises `CompactionFailedError` when the system prompt and the tools alone exceed the window.
        Cancelled, it leaves history as it was.
        """
        before = self.usage_tokens
        fixed = estimate_message(self.items[0]) + self._tools_tokens
        if fixed > self.model_max_tokens:
            raise CompactionFailedError(
                f"The system prompt and the tools take about {fixed:,} tokens, and the model's window has only "
                f"{self.model_max_tokens:,}. Choose a model with a larger window."
            )
        from agent.context_manager.compaction import shorten  # loads with the first compaction

        shortened = await shorten(self.items, self._room(fixed, target_tokens, forced=forced), aids)
        if shortened.items is not self.items:
            self._replace(shortened.items)
        # what cannot be shortened further is not tried again before history has grown
        self._futile_below = int(1.05 * self.usage_tokens) if self.usage_tokens > self.compaction_threshold else 0
        return CompactionReport(before, self.usage_tokens, shortened.summarised, shortened.problem)

    def _room(self, fixed_tokens: int, target_tokens: int | None, *, forced: bool) -> Room:
        """Limits for history alone, by our own estimate."""
        threshold = int(self.compaction_threshold / self._correction)
        free = max(0, threshold - fixed_tokens)
        target = fixed_tokens + free // 2 if target_tokens is None else int(target_tokens / self._correction)
        soft, hard = (int(fixed_tokens + share * free) for share in (LAST_STEPS_SHARE, PERSON_SHARE))
        return Room(
            target_tokens=target - self._tools_tokens,
            soft_tokens=(target if forced else max(target, soft)) - self._tools_tokens,
            hard_tokens=(target if forced else max(target, hard)) - self._tools_tokens,
            window_tokens=int(self.model_max_tokens / self._correction),
        )

    # --- counting ----------------------------------------------------------------------------------------------------

    def learn_limit(self, limit_tokens: int | None) -> None:
        """A provider refused the request as too long: its window is `limit_tokens`, or less than what was sent.

        With a number the provider also tells that we counted too little, if we did.
        """
        if limit_tokens:
            self._correct(max(limit_tokens, self.usage_tokens))
        self.model_max_tokens = min(self.model_max_tokens, limit_tokens or self.usage_tokens)

    def record_usage(self, prompt_tokens: int | None) -> None:
        """Believe the provider, within reason: the request just answered took `prompt_tokens`.

        Call it before adding the answer. What was answered did fit the window, whatever the provider says it counted.
        """
        if prompt_tokens:
            self._correct(min(prompt_tokens, self.model_max_tokens))

    def forget_usage(self) -> None:
        """Another model counts otherwise: go by our own estimate until it reports."""
        self._correction = 1.0

    def _correct(self, tokens: int) -> None:
        ratio = tokens / max(1, self._estimate + self._tools_tokens)
        self._correction = min(max(ratio, LEAST_CORRECTION), LARGEST_CORRECTION)


class _WireForms:
    """The messages of a history in the form a provider takes, each made once."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Message, WireObject]] = {}
        self._with_thinking = False

    def of(self, items: Sequence[Message], *, replay_thinking: bool) -> list[WireObject]:
        """The forms of `items`; those of messages that are no longer among them are forgotten."""
        known = self._made if replay_thinking == self._with_thinking else {}
        self._with_thinking = replay_thinking
        made = [known.get(id(m)) or (m, m.to_wire(replay_thinking=replay_thinking)) for m in items]
        self._made = {id(message): (message, form) for message, form in made}
        return [form for _, form in made]


def _never_ran(call: ToolCall) -> Message:
    return tool_message(call, render("guards/not_executed"), "repair")


def _well_formed(message: Message) -> Message:
    """`message` with valid text only."""
    content = message.content
    if content is None or (valid := valid_text(content)) == content:
        return message
    return replace(message, content=valid)

"""The history of a session: what the model is shown, its invariants, and how much room it takes.

Invariants, kept by every method: the system prompt comes first; every tool call has exactly one result, in call order,
right behind its assistant message by the time the model is asked again (`repair`); text is valid UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.context_manager import compaction
from agent.context_manager.prompts import render
from agent.context_manager.tokens import estimate_message, estimate_tools
from agent.protocol.messages import Message, ToolCall, tool_message, valid_text

COMPACT_AT = 0.9
"""Share of the model's window above which history is shortened before the next call."""


class ContextManager:
    """The message list of one session with its token count."""

    def __init__(self, system_prompt: str, model_max_tokens: int, tool_specs: Sequence[Mapping[str, Any]] = ()) -> None:
        """`model_max_tokens` is the model's whole window; `tool_specs` (wire form) count towards its use."""
        self.model_max_tokens = model_max_tokens
        self._tools_tokens = estimate_tools(tool_specs)
        self.items: list[Message] = [Message(role="system", content=system_prompt, origin="system")]
        self._estimate = estimate_message(self.items[0])
        self._correction = 0
        self._futile_below = 0

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def usage_tokens(self) -> int:
        """Tokens the next request will take: our running estimate plus what the provider last counted beyond it."""
        return max(0, self._estimate + self._tools_tokens + self._correction)

    @property
    def compaction_threshold(self) -> int:
        """Tokens above which history is shortened."""
        return int(COMPACT_AT * self.model_max_tokens)

    @property
    def needs_compaction(self) -> bool:
        """Whether the next request would be too close to the window."""
        return self.usage_tokens > max(self.compaction_threshold, self._futile_below)

    def wire_messages(self, *, replay_thinking: bool) -> list[dict[str, Any]]:
        """History in the form a provider takes."""
        return [message.to_wire(replay_thinking=replay_thinking) for message in self.items]

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
        place = self._place_of(message.tool_call_id)
        self.items.insert(place, message)
        self._estimate += estimate_message(message)
        return message

    def _place_of(self, call_id: str | None) -> int:
        """Index for the result of `call_id`: the block of results ends the history or is followed by later messages."""
        for start in range(len(self.items) - 1, -1, -1):
            order = [call.id for call in self.items[start].tool_calls]
            if call_id in order:
                break
        else:
            return len(self.items)
        rank, place = order.index(call_id), start + 1
        while place < len(self.items) and self.items[place].role == "tool":
            earlier = self.items[place].tool_call_id
            if earlier in order and order.index(earlier) > rank:
                break
            place += 1
        return place

    def record_usage(self, prompt_tokens: int | None) -> None:
        """Believe the provider: the request just answered took `prompt_tokens`. Call it before adding the answer."""
        if prompt_tokens:
            self._correction = prompt_tokens - self._estimate - self._tools_tokens

    # --- mending -----------------------------------------------------------------------------------------------------

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

    def undo_last_turn(self) -> int:
        """Take back everything from the person's last message on; returns the number of messages removed."""
        for index in range(len(self.items) - 1, 0, -1):
            if self.items[index].role == "user" and not self.items[index].is_synthetic:
                removed = len(self.items) - index
                self._replace(self.items[:index])
                return removed
        return 0

    def compact(self, target_tokens: int | None = None, *, forced: bool = False) -> tuple[int, int]:
        """Shorten history to `target_tokens` (default: half the threshold); returns usage before and after.

        Never fails: what cannot be shortened stays. `forced` (a provider has refused the whole) may also cut what the
        person wrote.
        """
        before = self.usage_tokens
        target = self.compaction_threshold // 2 if target_tokens is None else target_tokens
        room = target - self._tools_tokens - max(0, self._correction)
        shorter = compaction.shorten(self.items, room, cut_person=forced)
        if shorter is not None:
            self._replace(shorter)
        # what cannot be shortened further is not tried again before history has grown
        self._futile_below = int(1.05 * self.usage_tokens) if self.usage_tokens > self.compaction_threshold else 0
        return before, self.usage_tokens

    def learn_limit(self, limit_tokens: int | None) -> None:
        """A provider refused the request as too long: its window is `limit_tokens`, or less than what was sent."""
        self.model_max_tokens = min(self.model_max_tokens, limit_tokens or self.usage_tokens)

    def forget_usage(self) -> None:
        """Another model counts otherwise: go by our own estimate until it reports."""
        self._correction = 0

    def drop_thinking(self) -> None:
        """Take signed thinking out of history: the provider does not accept it (any more)."""
        self._replace([replace(message, thinking_blocks=(), reasoning_content=None) for message in self.items])

    def _replace(self, items: list[Message]) -> None:
        """Put `items` in place of history; the provider's correction shrinks with it."""
        self.items = items
        before, self._estimate = self._estimate, sum(estimate_message(message) for message in items)
        self._correction = int(self._correction * self._estimate / max(1, before))


def _never_ran(call: ToolCall) -> Message:
    return tool_message(call, render("guards/not_executed"), "repair")


def _well_formed(message: Message) -> Message:
    """`message` with valid text only."""
    content = message.content
    if content is None or (valid := valid_text(content)) == content:
        return message
    return replace(message, content=valid)

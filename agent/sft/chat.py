"""The conversation of a session in OpenAI chat form, as it was said: fit to train on.

- All that was said counts, also what compaction has cut from the model's view since; what was taken back (undo, rewind)
  does not.
- Notes of the program to the model (guards, news of jobs, the person's own commands) stay, as user messages: what the
  model says next answers them. Summaries made by compaction go: what they sum up is there.
- Every call has exactly one result, which follows the message with the call, in the order of the calls. Calls without a
  result (the program was killed) go, and so do results without a call.
- Roles take turns: user messages in a row are one, and so are answers in a row; some chat templates refuse all else.
- Call ids are counted, in nine characters: the providers' own say nothing, and Mistral's templates want it so.
- Every message has all of `KEYS`; what it has not is null, which `trl.trainer.utils.remove_none_values` takes out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.messages import ToolCall
from agent.redaction.redactor import Redactor
from agent.traces.saying import redacted_arguments, thoughts
from agent.traces.timeline import Said, Timeline

KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")

Chat = list[dict[str, Any]]


def kept(timeline: Timeline) -> Iterator[Said]:
    """What was said and not taken back, in order."""
    for entry in timeline.entries:
        if isinstance(entry, Said) and entry.id not in timeline.taken_back and entry.message.origin != "summary":
            yield entry


def chat_of(timeline: Timeline, redactor: Redactor) -> Chat:
    """The conversation, redacted, the system prompt first if it is known; empty if the model never answered.

    Raises `RedactionError`.
    """
    said = list(kept(timeline))
    results = {each.message.tool_call_id or "": each for each in said if each.message.role == "tool"}
    builder = _Builder(redactor, results)
    if timeline.system_prompt:
        builder.put("system", timeline.system_prompt)
    for each in said:
        if each.message.role == "user":
            builder.user(each)
        elif each.message.role == "assistant":
            builder.assistant(each)
    return builder.chat if builder.has_answer else []


@dataclass(slots=True)
class _Builder:
    redactor: Redactor
    results: dict[str, Said]
    chat: Chat = field(default_factory=list)
    calls: int = 0
    has_prompt: bool = False
    has_answer: bool = False

    def put(self, role: str, text: str, **more: Any) -> None:
        message: dict[str, Any] = dict.fromkeys(KEYS)
        self.chat.append(message | {"role": role, "content": self.redactor.text(text), "reasoning_content": ""} | more)

    def user(self, said: Said) -> None:
        text = said.message.content or ""
        if not text:
            return
        self.has_prompt = True
        if self._last("user"):
            self.chat[-1]["content"] += f"\n\n{self.redactor.text(text)}"
        else:
            self.put("user", text)

    def assistant(self, said: Said) -> None:
        message = said.message
        found = [(call, self.results.pop(call.id, None)) for call in message.tool_calls]
        calls = [(call, result.message.content or "") for call, result in found if result is not None]
        if not self.has_prompt or not (calls or message.content):
            return
        self.has_answer = True
        thought = "\n\n".join(self.redactor.text(text) for text, _ in thoughts(message) if text)
        if self._last("assistant"):
            last = self.chat[-1]
            last["content"] = "\n\n".join(filter(None, (last["content"], self.redactor.text(message.content or ""))))
            last["reasoning_content"] = "\n\n".join(filter(None, (last["reasoning_content"], thought)))
        else:
            self.put("assistant", message.content or "", reasoning_content=thought)
        if calls:
            self._add_calls(calls)

    def _add_calls(self, calls: list[tuple[ToolCall, str]]) -> None:
        wires: list[dict[str, Any]] = []
        self.chat[-1]["tool_calls"] = wires
        for call, result in calls:
            self.calls += 1
            call_id, name = f"call{self.calls:05d}", self.redactor.text(call.function.name)
            wires.append(
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": self._arguments(call)}}
            )
            self.put("tool", result, tool_call_id=call_id, name=name)

    def _arguments(self, call: ToolCall) -> str:
        # not as ASCII: the model is to learn text, and half a surrogate pair must not hide behind an escape
        return json.dumps(redacted_arguments(call.function, self.redactor), ensure_ascii=False)

    def _last(self, role: str) -> bool:
        return bool(self.chat) and self.chat[-1]["role"] == role

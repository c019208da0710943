"""The replay provider: a script of model answers, usable wherever a model is (`--model replay/demo`).

A script is JSON lines, one object per model call; blank lines and lines starting with `#` are skipped:

    {"text": "one piece" or ["piece", …], "thinking": "…", "tool_calls": [{"name": …, "arguments": {…} or "raw text",
     "id": …}], "usage": {"prompt_tokens": …, "completion_tokens": …}, "finish_reason": …, "delay_s": 0.0,
     "capture": {"name": "regex with one group"}, "otherwise": "text", "error": {"status": 500, "message": …,
     "after_chunks": 0, "headers": {…}}}

`capture` is searched in the tool results since the last answer; `{{name}}` in later text stands for what was found,
or for `(not found)`: a demonstration reports what really happened. Where something was not found, `otherwise` is
answered instead, if given, and ends the script.

An answer with `when`, a regular expression, is not part of the sequence: it is given, as often as need be, to every
request whose last message it is found in.

A line of its own, no answer, may set what holds for the whole script:

    {"restart": true, "goes_on": true, "window": 32000,
     "price": {"input_usd_per_million": 3, "output_usd_per_million": 15}}

`restart` lets a finished script begin again with the next user message; `goes_on` takes up the script where a resumed
conversation stands, one answer for each that the conversation has; `price` makes its tokens cost something (they
are free otherwise; `usage.cost` of an answer, in USD, comes first); `window` is the context window in tokens.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.llm.failures import ProviderError
from agent.llm.prices import FREE, per_million
from agent.llm.stream import Delta, ToolDelta, extract_usage

BUNDLED = Path(__file__).parent / "replays"
NOT_FOUND = "(not found)"


def script_path(name: str) -> Path:
    """The file for `replay/<name>`: a bundled script by its bare name, else a path.

    Raises `ProviderError` (404) naming what is bundled when there is no such file.
    """
    bundled = BUNDLED / f"{name}.jsonl"
    path = bundled if "/" not in name and bundled.is_file() else Path(name).expanduser()
    if not path.is_file():
        known = ", ".join(sorted(f"replay/{p.stem}" for p in BUNDLED.glob("*.jsonl")))
        raise ProviderError(
            f"There is no replay script {name!r}: it is neither a file nor one of the bundled scripts ({known}).",
            404,
            is_complete=True,
        )
    return path


class ReplayBackend:
    """Plays scripts; each keeps its place from call to call."""

    def __init__(self) -> None:
        self._scripts: dict[str, ReplayScript] = {}

    def script(self, name: str) -> ReplayScript:
        """The script of `replay/<name>`. Raises `ProviderError` if there is none, or it cannot be read."""
        if name not in self._scripts:
            self._scripts[name] = ReplayScript(script_path(name))
        return self._scripts[name]

    async def stream(
        self, params: Mapping[str, Any], request: Mapping[str, Any], on_sent: Callable[[], None]
    ) -> AsyncGenerator[Delta, None]:
        """See `agent.llm.backends.Backend`; of the request only the messages count."""
        on_sent()
        async for delta in self.script(params["model"]).stream(request["messages"]):
            yield delta


class ReplayScript:
    """One script with its place in it. Each model call, retries included, takes the next answer."""

    def __init__(self, path: Path, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Reads the whole file. Raises `ProviderError` (400) naming the file and the line that is no model answer."""
        self.path = path
        self._sleep = sleep
        self._position = 0
        self._captured: dict[str, str] = {}
        self._restarts = False
        self._goes_on = False
        self._asides: list[tuple[re.Pattern[str], dict[str, Any]]] = []
        self.price = FREE
        """What tokens of this script cost."""
        self.window_tokens: int | None = None
        """The context window that the script claims to have."""
        self._answers: list[dict[str, Any]] = []
        for number, line in enumerate(_read(path).splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            answer = _parse_line(path, number, line)
            if answer.keys() & _SETTINGS:
                self._set(answer)
            elif when := answer.get("when"):
                self._asides.append((re.compile(when), answer))
            else:
                self._answers.append(answer)

    def _set(self, line: Mapping[str, Any]) -> None:
        self._restarts = bool(line.get("restart", self._restarts))
        self._goes_on = bool(line.get("goes_on", self._goes_on))
        self.window_tokens = line.get("window", self.window_tokens)
        if price := line.get("price"):
            rates = (float(price.get(name) or 0) for name in _PRICE_FIELDS)
            self.price = per_million(*rates)

    async def stream(self, messages: Sequence[Mapping[str, Any]]) -> AsyncIterator[Delta]:
        """Play the next answer. Raises `ProviderError` for scripted faults and when the script is used up."""
        answer = self._next(messages)
        all_found = self._capture(answer.get("capture") or {}, messages)
        if not all_found and "otherwise" in answer:
            answer = {"text": answer["otherwise"]}
            self._position = len(self._answers)
        if delay_s := answer.get("delay_s"):
            await self._sleep(float(delay_s))
        error = answer.get("error")
        deltas = self._deltas(answer)
        for delta in deltas[: int(error.get("after_chunks") or 0)] if error else deltas:
            yield delta
        if error:
            raise ProviderError(
                error.get("message") or "scripted error", error.get("status"), error.get("headers") or {}
            )

    def _next(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        last = str(messages[-1].get("content") or "") if messages else ""
        aside = next((answer for pattern, answer in self._asides if pattern.search(last)), None)
        if aside is not None:
            return aside
        if self._goes_on:
            self._goes_on = False
            self._position = sum(message.get("role") == "assistant" for message in messages)
        at_new_turn = bool(messages) and messages[-1].get("role") == "user"
        if self._position >= len(self._answers) and self._restarts and at_new_turn:
            self._position = 0
        if self._position >= len(self._answers):
            raise ProviderError(
                f"The replay script {self.path.name} has no more answers (all {len(self._answers)} are used).",
                400,
                is_complete=True,
            )
        self._position += 1
        return self._answers[self._position - 1]

    def _capture(self, patterns: Mapping[str, str], messages: Sequence[Mapping[str, Any]]) -> bool:
        """Look for `patterns` in the results since the last answer; whether all were found."""
        if not patterns:
            return True
        results: list[str] = []
        for message in reversed(messages):
            if message.get("role") == "assistant":
                break
            if message.get("role") == "tool":
                results.append(str(message.get("content") or ""))
        text = "\n".join(reversed(results))
        for name, pattern in patterns.items():
            match = re.search(pattern, text)
            self._captured[name] = match.group(1) if match else NOT_FOUND
        return all(self._captured[name] != NOT_FOUND for name in patterns)

    def _fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda m: self._captured.get(m.group(1), NOT_FOUND), text)

    def _deltas(self, answer: Mapping[str, Any]) -> list[Delta]:
        text = answer.get("text") or []
        deltas = [Delta(reasoning=answer["thinking"])] if answer.get("thinking") else []
        deltas += [Delta(text=self._fill(piece)) for piece in ([text] if isinstance(text, str) else text)]
        calls = answer.get("tool_calls") or []
        for index, call in enumerate(calls):
            arguments = call.get("arguments") or {}
            raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
            deltas.append(Delta(tool_calls=(ToolDelta(index, call.get("id"), call.get("name"), raw),)))
        finish = answer.get("finish_reason") or ("tool_calls" if calls else "stop")
        return [*deltas, Delta(finish_reason=finish, usage=extract_usage(answer.get("usage")))]


# --- reading a script ------------------------------------------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderError(f"{path}: cannot be read: {error}.", 400, is_complete=True) from error


def _parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    problem = "must be a JSON object"
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        answer, problem = None, f"not JSON: {error}"
    if isinstance(answer, dict):
        problem = _wrong_field(answer, _FIELDS, "") or ""
    if not isinstance(answer, dict) or problem:
        raise ProviderError(f"{path}: line {number}: {problem}.", 400, is_complete=True)
    return answer


Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (TypeError, re.error):
        return False
    return True


def _is_patterns(value: Any) -> bool:
    try:
        return isinstance(value, dict) and all(re.compile(pattern).groups >= 1 for pattern in value.values())
    except (TypeError, re.error):
        return False


_FIELDS: dict[str, tuple[Check, str]] = {
    "text": (lambda value: _is_text(value) or _is_list_of(value, str), "a string or a list of strings"),
    "thinking": (_is_text, "a string"),
    "tool_calls": (lambda value: _is_list_of(value, dict), "a list of objects"),
    "usage": (_is_object, "an object"),
    "finish_reason": (_is_text, "a string"),
    "delay_s": (_is_amount, "a number of seconds"),
    "capture": (_is_patterns, "an object of regular expressions with a group"),
    "otherwise": (_is_text, "a string"),
    "error": (_is_object, "an object"),
    "when": (_is_pattern, "a regular expression"),
    "restart": (lambda value: isinstance(value, bool), "true or false"),
    "goes_on": (lambda value: isinstance(value, bool), "true or false"),
    "price": (_is_object, "an object"),
    "window": (lambda value: _is_count(value) and value > 0, "a number of tokens"),
}
_SETTINGS = {"restart", "goes_on", "price", "window"}
_PRICE_FIELDS: dict[str, tuple[Check, str]] = {
    "input_usd_per_million": (_is_amount, "a number of USD"),
    "output_usd_per_million": (_is_amount, "a number of USD"),
}
_CALL_FIELDS: dict[str, tuple[Check, str]] = {
    "name": (_is_text, "a string"),
    "arguments": (lambda value: _is_text(value) or _is_object(value), "an object or a string"),
    "id": (_is_text, "a string"),
}
_ERROR_FIELDS: dict[str, tuple[Check, str]] = {
    "status": (_is_count, "a number"),
    "message": (_is_text, "a string"),
    "after_chunks": (_is_count, "a number"),
    "headers": (
        lambda value: isinstance(value, dict) and all(_is_text(one) for one in value.values()),
        "an object of strings",
    ),
}


def _wrong_field(value: Mapping[str, Any], fields: Mapping[str, tuple[Check, str]], place: str) -> str | None:
    """Which field of `value` is of the wrong type; null counts as left out."""
    for name, (fits, expected) in fields.items():
        if value.get(name) is not None and not fits(value[name]):
            return f"{place}{name} must be {expected}"
    if fields is not _FIELDS:
        return None
    problems = [_wrong_field(call, _CALL_FIELDS, "tool_calls: ") for call in value.get("tool_calls") or ()]
    problems += ["tool_calls: each needs a name" for call in value.get("tool_calls") or () if not call.get("name")]
    problems.append(_wrong_field(value.get("error") or {}, _ERROR_FIELDS, "error: "))
    problems.append(_wrong_field(value.get("price") or {}, _PRICE_FIELDS, "price: "))
    return next((problem for problem in problems if problem), None)

"""Sessions whose traces are hard to get right: most as the real loop leaves them, the rest written record by record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.core.agent_loop import Resumption
from agent.protocol.events import (
    Compacted,
    Event,
    Interrupted,
    LLMCall,
    Processing,
    ResumeComplete,
    Steered,
    ToolCallStarted,
    ToolOutput,
    TurnComplete,
)
from agent.protocol.messages import Message, ToolCall, assistant_message, tool_message, user_message
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, ToolResult, ToolSpec
from agent.sessions.journal import Journal, journal_path
from tests.unit.core.loop import Loop, running
from tests.unit.core.loop import call as asked
from tests.unit.core.loop import calls as answer
from tests.unit.sessions.keeping import NO_SECRETS, STARTED, start
from tests.unit.sessions.keeping import call as tool_call

Maker = Callable[[Path], Awaitable[Path]]

PRICE = {"price": {"input_usd_per_million": 3.0, "output_usd_per_million": 15.0}}
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 200}
SUMMARY = {"when": "^An agent for machine-learning", "text": "a summary", "usage": {"prompt_tokens": 70}}
BIG = {"command": f"echo {'x' * 3_000}"}

SESSIONS: dict[str, Maker] = {}
"""A maker for each kind of session; it returns the journal."""


def session(maker: Maker) -> Maker:
    SESSIONS[maker.__name__] = maker
    return maker


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "usage": USAGE, **more}


def path_of(loop: Loop) -> Path:
    assert loop.session.record.journal is not None
    return loop.session.record.journal.path


def tool(name: str, handler: Any, **more: Any) -> ToolSpec:
    return ToolSpec(name, name, {"type": "object", "properties": {}}, handler, **more)


# --- by the real loop ------------------------------------------------------------------------------------------------


@session
async def plain(tmp_path: Path) -> Path:
    steps = [answer(asked("bash", {"command": "echo hi"}), text="Looking.", usage=USAGE), said("Done.")]
    async with running(tmp_path, [PRICE, *steps]) as loop:
        await loop.turn("train a model")
        return path_of(loop)


@session
async def parallel_tools_that_end_in_another_order(tmp_path: Path) -> Path:
    ended: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("one", "two", "three")}
    after = {"one": "two", "two": "three", "three": None}

    def runs(name: str) -> ToolSpec:
        async def handler(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
            if (earlier := after[name]) is not None:
                await ended[earlier].wait()
            ended[name].set()
            return ToolResult(name)

        return tool(name, handler)

    steps = [answer(asked("one"), asked("two"), asked("three"), usage=USAGE), said("Done.")]
    async with running(tmp_path, [PRICE, *steps], tools=[runs(name) for name in ended]) as loop:
        await loop.turn("all three")
        return path_of(loop)


@session
async def failed_and_denied_tools(tmp_path: Path) -> Path:
    async def handler(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        raise RuntimeError("broken")

    needs_word = tool("risky", handler, approval=lambda _a, _c: ApprovalNeed("ask", "it changes things", None))
    steps = [answer(asked("broken"), asked("nosuch"), asked("risky"), usage=USAGE), said("A pity.")]
    async with running(tmp_path, [PRICE, *steps], tools=[tool("broken", handler), needs_word], yolo_mode=False) as loop:
        (item,) = (await loop.turn("try")).payload.tools
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[{"tool_call_id": item.tool_call_id, "approved": False}])
        await loop.until(TurnComplete)
        return path_of(loop)


@session
async def interrupted_in_a_tool(tmp_path: Path) -> Path:
    async def forever(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await asyncio.Event().wait()
        return ToolResult("never")

    steps = [answer(asked("forever"), asked("forever"), usage=USAGE), said("Going on.")]
    async with running(tmp_path, [PRICE, *steps], tools=[tool("forever", forever)]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.cancel()
        await loop.until(Interrupted)
        await loop.turn("go on")
        return path_of(loop)


@session
async def interrupted_before_the_answer(tmp_path: Path) -> Path:
    async with running(tmp_path, [PRICE, said("one"), said("too late", delay_s=60)]) as loop:
        await loop.turn("first")
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(Processing)
        loop.session.cancel()
        await loop.until(Interrupted)
        return path_of(loop)


async def _two_turns(loop: Loop) -> None:
    await loop.turn("first")
    await loop.turn("second")


@session
async def undone_at_the_end(tmp_path: Path) -> Path:
    async with running(tmp_path, [PRICE, said("one"), said("two")]) as loop:
        await _two_turns(loop)
        await loop.operate(OpType.UNDO)
        return path_of(loop)


@session
async def undone_altogether(tmp_path: Path) -> Path:
    async with running(tmp_path, [PRICE, said("one"), said("two")]) as loop:
        await _two_turns(loop)
        await loop.operate(OpType.UNDO, turns=2)
        return path_of(loop)


@session
async def undone_and_said_anew(tmp_path: Path) -> Path:
    async with running(tmp_path, [PRICE, said("one"), said("two"), said("three")]) as loop:
        await _two_turns(loop)
        await loop.operate(OpType.UNDO)
        await loop.turn("second, but better")
        return path_of(loop)


async def _compacted(loop: Loop) -> None:
    await loop.submit(OpType.COMPACT)
    await loop.until(Compacted)


@session
async def compacted_twice(tmp_path: Path) -> Path:
    step = answer(asked("bash", BIG), usage=USAGE)
    answers = [PRICE, SUMMARY, *[step] * 3, said("one"), *[step] * 3, said("two"), *[step] * 3, said("three")]
    async with running(tmp_path, [*answers, said("four")]) as loop:
        await _two_turns(loop)
        await _compacted(loop)
        await loop.turn("third")
        await _compacted(loop)
        await loop.turn("fourth")
        return path_of(loop)


@session
async def compacted_and_undone(tmp_path: Path) -> Path:
    step = answer(asked("bash", BIG), usage=USAGE)
    async with running(tmp_path, [PRICE, SUMMARY, *[step] * 3, said("one"), *[step] * 3, said("two")]) as loop:
        await _two_turns(loop)
        await _compacted(loop)
        await loop.operate(OpType.UNDO)
        return path_of(loop)


@session
async def resumed(tmp_path: Path) -> Path:
    path = await plain(tmp_path)
    async with running(tmp_path, [PRICE, said("More.")], resumption=Resumption(path)) as loop:
        await loop.until(ResumeComplete)
        await loop.turn("and now?")
    return path


@session
async def fork(tmp_path: Path) -> Path:
    path = await failed_and_denied_tools(tmp_path)
    async with running(tmp_path, [PRICE, said("More.")], resumption=Resumption(path, fork=True)) as loop:
        await loop.until(ResumeComplete)
        await loop.turn("and now?")
        return path_of(loop)


@session
async def fork_of_a_compacted_one(tmp_path: Path) -> Path:
    path = await compacted_twice(tmp_path)
    async with running(tmp_path, [PRICE, said("More.")], resumption=Resumption(path, fork=True)) as loop:
        await loop.until(ResumeComplete)
        await loop.turn("and now?")
        return path_of(loop)


@session
async def steered(tmp_path: Path) -> Path:
    gate = asyncio.Event()

    async def waits(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await gate.wait()
        return ToolResult("through")

    steps = [answer(asked("gate"), usage=USAGE), said("ok")]
    async with running(tmp_path, [PRICE, *steps], tools=[tool("gate", waits)]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.steer("use the small model")
        gate.set()
        await loop.until(Steered)
        await loop.until_turn_ends()
        return path_of(loop)


@session
async def guarded(tmp_path: Path) -> Path:
    async with running(tmp_path, [PRICE, said(""), said("Sorry.", finish_reason="length"), said("Done.")]) as loop:
        await loop.turn("go")
        return path_of(loop)


@session
async def arguments_that_are_no_object(tmp_path: Path) -> Path:
    raws = ("[1, 2]", "null", '{"a": ', '"text"')
    steps = [answer(*[asked("bash", raw) for raw in raws], usage=USAGE), said("I see.")]
    async with running(tmp_path, [PRICE, *steps]) as loop:
        await loop.turn("go")
        return path_of(loop)


# --- record by record ------------------------------------------------------------------------------------------------


class Kept:
    """A journal that is written by hand, with the history that the real one would have."""

    def __init__(self, path: Path, **head: Any) -> None:
        self.journal = Journal.create(path, NO_SECRETS)
        self.history: list[Message] = []
        start(self.journal, version="0.2.0", **head)

    def add(self, message: Message) -> Message:
        self.journal.append_message(message)
        self.history.append(message)
        return message

    def ask(self, text: str, **more: Any) -> Message:
        message = self.add(user_message(text, **more))
        self.journal.append_event(Event(Processing()))
        return message

    def answer(self, text: str | None, *calls: ToolCall, cost_usd: float | None = 0.01, **more: Any) -> Message:
        self.journal.append_event(Event(spent("main", cost_usd, "tool_calls" if calls else "stop")))
        return self.add(assistant_message(text, calls, **more))

    def result(self, call: ToolCall, text: str, success: bool = True) -> None:
        self.add(tool_message(call, text))
        self.journal.append_event(Event(ToolOutput(call.function.name, call.id, text, success)))

    def end_turn(self, payload: Any = None) -> None:
        self.journal.append_event(Event(payload or TurnComplete(len(self.history), None)))

    def become(self, after: list[Message], reason: str) -> None:
        self.journal.append_context(self.history, after, reason)
        self.history = list(after)


def spent(kind: str, cost_usd: float | None, finish_reason: str) -> LLMCall:
    return LLMCall(
        model="anthropic/claude-x",
        kind=kind,
        latency_ms=7,
        finish_reason=finish_reason,
        cost_usd=cost_usd,
        cost_known=cost_usd is not None,
        prompt_tokens=100,
        completion_tokens=20,
        total_tokens=120,
        cache_read_tokens=30,
        cache_creation_tokens=10,
        charged_usd=cost_usd or 0.5,
    )


@contextmanager
def kept(tmp_path: Path, session_id: str = "0" * 31 + "1", **head: Any) -> Iterator[Kept]:
    keeping = Kept(journal_path(tmp_path / "state", session_id, STARTED), **head)
    try:
        yield keeping
    finally:
        keeping.journal.close()


@session
async def rewound(tmp_path: Path) -> Path:
    with kept(tmp_path) as keeping:
        for text in ("one", "two", "three"):
            keeping.ask(text)
            keeping.answer(text.upper())
            keeping.end_turn()
        keeping.become(keeping.history[:2], "rewind")
        keeping.ask("four")
        keeping.answer("FOUR")
        keeping.become(keeping.history[:2], "rewind")
    return keeping.journal.path


@session
async def interrupted_in_the_answer(tmp_path: Path) -> Path:
    with kept(tmp_path) as keeping:
        keeping.ask("go")
        keeping.journal.append_event(Event(spent("main", None, "interrupted")))
        keeping.add(assistant_message("Half of"))
        keeping.end_turn(Interrupted())
        keeping.journal.append_event(Event(Interrupted()))  # of something else: no turn was open
    return keeping.journal.path


@session
async def odd_characters(tmp_path: Path) -> Path:
    text = "a\u2028b\u2029c\u0085d \U0001f600 e\x00f g\ud83dh\udc00 i\ud800\x0b\x0c\x1c\r\n\\ud800 ü"
    call = tool_call("call-1", arguments='{"command": "echo \\ud800 \\u2028 \U0001f600"}')
    with kept(tmp_path, cwd="/work/\u2028\udcff") as keeping:
        keeping.ask(text)
        keeping.answer(text, call, reasoning_content=text)
        keeping.result(call, text)
        keeping.answer("\ud800")
        keeping.end_turn()
    return keeping.journal.path


@session
async def five_megabytes(tmp_path: Path) -> Path:
    call = tool_call("call-1")
    with kept(tmp_path) as keeping:
        keeping.ask("print a lot")
        keeping.answer(None, call)
        keeping.result(call, "0123456789\u2028abcdé\n" * 320_000)
        keeping.answer("That was a lot.")
        keeping.end_turn()
    return keeping.journal.path


@session
async def empty_words_thoughts_and_lost_calls(tmp_path: Path) -> Path:
    blocks = (
        {"type": "thinking", "thinking": "I think", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
    )
    with kept(tmp_path) as keeping:
        keeping.ask("go")
        keeping.journal.append_event(Event(spent("main", None, "lost")))
        keeping.answer("")
        keeping.journal.append_event(Event(spent("research", 0.4, "stop")))
        keeping.ask("steer", origin="steering")
        keeping.answer("", thinking_blocks=blocks)
        keeping.add(user_message("$ ls", "shell"))
        keeping.answer("no price", cost_usd=None, reasoning_content="plain thoughts")
        keeping.end_turn()
    return keeping.journal.path


@session
async def gap_and_torn_lines(tmp_path: Path) -> Path:
    call = tool_call("call-1")
    with kept(tmp_path) as keeping:
        keeping.ask("go")
        keeping.answer("one", call)
        keeping.journal.append("gap", {"records": 3})
        keeping.answer("two")
        keeping.end_turn()
        lost = user_message("lost in a gap")
        keeping.journal.append_context([*keeping.history, lost], keeping.history, "undo")
        keeping.ask("and?")
        keeping.answer("three")
    path = keeping.journal.path
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert(3, b'{"v":1,"seq":4,"ts":"2026-\n')
    path.write_bytes(b"".join(lines) + b'{"v":1,"seq":99,"ts":"2026-11-21T09:30:00.0')
    return path


@session
async def still_running(tmp_path: Path) -> Path:
    first, second = tool_call("call-1"), tool_call("call-2")
    keeping = Kept(journal_path(tmp_path / "state", "0" * 31 + "2", STARTED))
    keeping.ask("go")
    keeping.answer("Both.", first, second)
    keeping.journal.append_running([first, second])
    keeping.add(tool_message(second, "the second is done"))
    keeping.journal.sync()  # and goes on
    return keeping.journal.path

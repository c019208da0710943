"""Claude Code traces of any course that a session can take, with any text in it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol.events import Interrupted
from agent.protocol.messages import Message, user_message
from agent.sessions.restore import restore
from tests.unit.sessions.keeping import call as tool_call
from tests.unit.traces.claude_lines import chained, check_chain, exported, texts
from tests.unit.traces.trace_sessions import Kept, kept

STEPS = st.lists(
    st.one_of(
        st.sampled_from(["say", "answer", "call", "cut", "summarise", "interrupt", "note"]),
        st.integers(1, 3),  # so many turns are taken back
    ),
    max_size=25,
)


def play(keeping: Kept, steps: list[str | int]) -> None:
    """Carry out `steps` as the loop would, with an export in between."""
    before: list[tuple[Message, ...]] = []
    seen: dict[str, tuple[str | None, str]] = {}
    for number, step in enumerate(steps):
        match step:
            case "say":
                before.append(tuple(keeping.history))
                keeping.ask(f"prompt {number}")
            case "answer":
                keeping.answer(f"answer {number}")
            case "call":
                call = tool_call(f"call-{number}")
                keeping.answer(None, call)
                keeping.result(call, "ok", success=bool(number % 2))
            case "note":
                keeping.add(user_message(f"note {number}", "guard"))
            case "interrupt":
                keeping.end_turn(Interrupted())
            case "cut":
                keeping.become(keeping.history[len(keeping.history) // 2 :], "compaction")
            case "summarise":
                summary = user_message(f"summary {number}", "summary")
                keeping.become([summary, *keeping.history[-2:]], "compaction")
            case int(turns) if before:
                earlier = before[-turns:]
                del before[-turns:]
                keeping.become(list(earlier[0]), "undo")
        if keeping.journal.path.exists():
            found = chained(exported(keeping.journal.path))
            now = {line["uuid"]: (line["parentUuid"], line["timestamp"]) for line in found}
            assert seen.items() <= now.items()  # what was exported once never changes
            seen = now


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_course_of_a_session_is_one_unbroken_chain(steps: list[str | int]) -> None:
    with tempfile.TemporaryDirectory() as name, kept(Path(name)) as keeping:
        play(keeping, steps)
        path = keeping.journal.path
        check_chain(exported(path), restore(path).transcript)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_comes_through(text: str) -> None:
    """Rule 1, with half surrogate pairs made U+FFFD."""
    readable = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    call = tool_call("call-1", arguments=json.dumps({text: text}))
    with tempfile.TemporaryDirectory() as name, kept(Path(name)) as keeping:
        keeping.ask(text)
        keeping.answer(text, call)
        keeping.result(call, text)
        found = texts(keeping.journal.path)
    assert all(line.isascii() and len(line.splitlines()) == 1 for line in found)
    prompt, answer, result = chained([json.loads(line) for line in found])
    assert prompt["message"]["content"] == readable
    assert answer["message"]["content"][-1]["input"] == {readable: readable}
    assert result["message"]["content"][0]["content"] == readable

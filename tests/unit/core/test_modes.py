"""The four modes: what runs, asks and is denied in each; plan mode and how it ends; what the model is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.core.agent_loop import Resumption
from agent.core.services import services_nowhere
from agent.core.tools import create_builtin_tools
from agent.protocol.events import ApprovalRequired, ErrorRaised, SettingsChanged, ToolOutput, TurnComplete
from agent.protocol.modes import MODES, Mode
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, CostEstimate, ToolResult, ToolSpec, always_looks
from tests.unit.core.loop import Loop, call, calls, running

SECOND = {"text": "Done."}
NOTE = "[ml-intern guard: mode]"


async def _nothing(_arguments: dict[str, Any], _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("ran")


def tool(name: str, **more: Any) -> ToolSpec:
    return ToolSpec(name, "Does something.", {"type": "object", "properties": {}}, _nothing, **more)


TOOLS = [
    *create_builtin_tools(services_nowhere()),
    tool("costly", approval=lambda _a, _c: ApprovalNeed("free", billable=True)),
    tool("priced", estimate_cost=lambda _a: CostEstimate(0.01)),
    tool("vague", changes=lambda _a, _w: None),
    tool("question", approval=lambda _a, _c: ApprovalNeed("human", "is for a person"), only_looks=always_looks),
    tool("silent"),
    tool("remote", approval=lambda _a, _c: ApprovalNeed("ask", "changes something far away")),
]


def write(path: str) -> dict[str, Any]:
    return call("write", {"path": path, "content": "x"})


def bash(command: str) -> dict[str, Any]:
    return call("bash", {"command": command})


def conversation(tmp_path: Path, answers: list[dict[str, Any]], **settings: Any) -> Any:
    return running(tmp_path, answers, tools=TOOLS, headless=False, **settings)


async def what_happens(loop: Loop) -> str:
    end = await loop.turn()
    if isinstance(end.payload, ApprovalRequired):
        return "asks"
    return "denied" if loop.of(ToolOutput)[0].output.startswith("Not run:") else "runs"


async def answer(loop: Loop, *, approved: bool, **more: Any) -> Any:
    """The person's word on all that waits; the end of the turn, or the next question."""
    waiting = loop.of(ApprovalRequired)[-1].tools
    approvals = [{"tool_call_id": item.tool_call_id, "approved": approved, **more} for item in waiting]
    await loop.submit(OpType.EXEC_APPROVAL, approvals=approvals)
    return (await loop.until_turn_ends()).payload


def notes(loop: Loop) -> list[str]:
    said = (m["content"] for m in loop.wire() if m["role"] == "user")
    return [NOTE + note for text in said for note in text.split(NOTE)[1:]]


# --- the table -------------------------------------------------------------------------------------------------------

DENY, ASK, ALLOW = {"deny": ["bash"]}, {"ask": ["bash"]}, {"allow": ["bash", "write", "remote"]}
ANYWHERE = "/proc/nothing/x.txt"

TABLE: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, str, str, str]]] = [
    ("deny rule", bash("ls"), DENY, ("denied", "denied", "denied", "denied")),
    ("catastrophe", bash("rm -rf ~"), ALLOW, ("asks", "asks", "denied", "asks")),
    ("for a person", call("question"), {}, ("asks", "asks", "asks", "asks")),
    ("free, and says nothing", call("silent"), {}, ("runs", "runs", "denied", "runs")),
    ("ask rule, looking", bash("ls"), ASK, ("asks", "asks", "asks", "asks")),
    ("ask rule, changing", bash("touch x"), ASK, ("asks", "asks", "denied", "asks")),
    ("allow rule, command", bash("touch x"), ALLOW, ("runs", "runs", "denied", "runs")),
    ("allow rule, edit", write("x.txt"), ALLOW, ("runs", "runs", "denied", "runs")),
    ("allow rule, tool", call("remote"), ALLOW, ("runs", "runs", "denied", "runs")),
    ("a look by command", bash("ls"), {}, ("runs", "runs", "runs", "runs")),
    ("a look at a file", call("read", {"path": "x.txt"}), {}, ("runs", "runs", "runs", "runs")),
    ("the list of steps", call("plan_tool", {"todos": []}), {}, ("runs", "runs", "runs", "runs")),
    ("free, but paid", call("costly"), {}, ("runs", "runs", "denied", "runs")),
    ("free, with a price", call("priced"), {}, ("runs", "runs", "denied", "runs")),
    ("edit inside", write("deep/x.txt"), {}, ("asks", "runs", "denied", "runs")),
    ("edit of a start file", write(".envrc"), {}, ("asks", "asks", "denied", "runs")),
    ("edit of a hook", write(".git/hooks/x"), {}, ("asks", "asks", "denied", "runs")),
    ("edit of credentials", write(".env"), {}, ("asks", "asks", "denied", "runs")),
    ("edit outside", write(ANYWHERE), {}, ("asks", "asks", "denied", "runs")),
    ("no telling what is changed", call("vague"), {}, ("asks", "asks", "denied", "runs")),
    ("a look at credentials", call("read", {"path": ".env"}), {}, ("asks", "asks", "denied", "runs")),
    ("command", bash("touch x"), {}, ("asks", "asks", "denied", "runs")),
    ("edit by command", bash("echo x > x.txt"), {}, ("asks", "asks", "denied", "runs")),
    ("tool that asks", call("remote"), {}, ("asks", "asks", "denied", "runs")),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("made", "rules", "outcomes"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
async def test_the_table(
    tmp_path: Path, mode: Mode, made: dict[str, Any], rules: dict[str, Any], outcomes: tuple[str, ...]
) -> None:
    async with conversation(tmp_path, [calls(made), SECOND], mode=mode, permissions=rules, max_cost_usd=5.0) as loop:
        assert await what_happens(loop) == outcomes[MODES.index(mode)]


async def test_what_is_allowed_in_the_session_does_not_open_plan_mode(tmp_path: Path) -> None:
    answers = [calls(bash("touch a")), SECOND, calls(bash("touch b")), SECOND]
    async with conversation(tmp_path, answers, mode="ask") as loop:
        await loop.turn()
        await answer(loop, approved=True, always_rule="bash(touch *)")
        await loop.operate(OpType.CONFIGURE, mode="plan")
        await loop.turn()
        assert "plan mode is on" in loop.of(ToolOutput)[-1].output
        assert [path.name for path in loop.session.workspace.iterdir()] == ["a"]


async def test_auto_edit_writes_and_edits_inside_and_shows_what(tmp_path: Path) -> None:
    change = call("edit", {"path": "a.txt", "old_str": "x", "new_str": "y"})
    answers = [calls(write("a.txt")), calls(change), calls(write("../elsewhere/.bashrc")), SECOND]
    async with conversation(tmp_path, answers, mode="auto-edit") as loop:
        (item,) = (await loop.turn()).payload.tools
        assert item.arguments["path"] == "../elsewhere/.bashrc"
        assert (loop.session.workspace / "a.txt").read_text() == "y"
        assert all(output.success and output.display for output in loop.of(ToolOutput))


async def test_an_edit_that_asks_names_the_file_and_is_always_allowed_for_it_alone(tmp_path: Path) -> None:
    answers = [calls(write("src/a.txt")), calls(write("src/a.txt")), calls(write("src/b.txt")), SECOND]
    async with conversation(tmp_path, answers, mode="ask") as loop:
        (item,) = (await loop.turn()).payload.tools
        assert (item.reason, item.always_rule) == ("changes src/a.txt", "write(./src/a.txt)")
        assert "+x" in item.preview
        again = await answer(loop, approved=True, always_rule=item.always_rule)
        assert [waiting.arguments["path"] for waiting in again.tools] == ["src/b.txt"]


async def test_a_file_whose_name_is_a_pattern_is_never_allowed_for_always(tmp_path: Path) -> None:
    async with conversation(tmp_path, [calls(write("*.txt"))], mode="ask") as loop:
        assert (await loop.turn()).payload.tools[0].always_rule is None


# --- plan mode -------------------------------------------------------------------------------------------------------

PLAN = "1. Look.\n2. Train.\nCost: $2."
PROPOSAL = calls(call("propose_plan", {"plan": PLAN}))


async def test_an_accepted_plan_ends_plan_mode_and_is_carried_out(tmp_path: Path) -> None:
    answers = [calls(bash("ls"), bash("touch early")), PROPOSAL, calls(bash("touch made")), SECOND]
    async with conversation(tmp_path, answers, mode="plan") as loop:
        (item,) = (await loop.turn()).payload.tools
        assert sorted(output.success for output in loop.of(ToolOutput)) == [False, True]
        assert (item.tool, item.preview, item.editable, item.needs_human) == ("propose_plan", PLAN, "plan", True)
        assert item.reason.endswith("(then: ask)")
        (waiting,) = (await answer(loop, approved=True)).tools
        assert waiting.tool == "bash"
        assert loop.of(SettingsChanged) == [SettingsChanged(loop.session.model_name, False, "high", ("mode",), "ask")]
        result, note = loop.wire()[-3:-1]
        assert (result["role"], PLAN in result["content"], "accepted" in result["content"]) == ("tool", True, True)
        assert note["content"] == notes(loop)[-1]
        assert loop.of(ToolOutput)[-1].display == "accepted"
        assert isinstance(await answer(loop, approved=True), TurnComplete)
        assert [path.name for path in loop.session.workspace.iterdir()] == ["made"]


async def test_a_plan_the_person_has_changed_is_what_the_model_reads(tmp_path: Path) -> None:
    async with conversation(tmp_path, [PROPOSAL, SECOND], mode="plan") as loop:
        await loop.turn()
        assert isinstance(await answer(loop, approved=True, edited_script="1. Only look."), TurnComplete)
        (result,) = [m["content"] for m in loop.wire() if m["role"] == "tool"]
        assert result.startswith("[The person changed this call")
        assert "1. Only look." in result
        assert "Train" not in result


async def test_a_rejected_plan_leaves_plan_mode_on_and_the_feedback_to_the_model(tmp_path: Path) -> None:
    answers = [PROPOSAL, calls(bash("touch made")), SECOND]
    async with conversation(tmp_path, answers, mode="plan") as loop:
        await loop.turn()
        assert isinstance(await answer(loop, approved=False, feedback="Cheaper, please"), TurnComplete)
        results = [m["content"] for m in loop.wire() if m["role"] == "tool"]
        assert "Cheaper, please" in results[0]
        assert loop.of(ToolOutput)[0].display == "rejected: Cheaper, please"
        assert "plan mode is on" in results[1]
        assert (loop.session.mode, loop.of(SettingsChanged)) == ("plan", [])


@pytest.mark.parametrize("before", ["ask", "auto-edit", "yolo"])
async def test_an_accepted_plan_leads_back_to_the_mode_before(tmp_path: Path, before: Mode) -> None:
    async with conversation(tmp_path, [PROPOSAL, SECOND], mode=before) as loop:
        for _ in range(2):  # to be told twice is not to have been in plan mode before
            await loop.operate(OpType.CONFIGURE, mode="plan")
        (item,) = (await loop.turn()).payload.tools
        assert f"(then: {before})" in item.reason
        await answer(loop, approved=True)
        assert loop.session.mode == before


async def test_outside_plan_mode_a_plan_needs_no_approval(tmp_path: Path) -> None:
    async with conversation(tmp_path, [PROPOSAL, SECOND], mode="ask") as loop:
        assert await what_happens(loop) == "runs"
        assert "no approval of a plan is needed" in loop.of(ToolOutput)[0].output
        assert loop.session.mode == "ask"


async def test_a_plan_accepted_after_plan_mode_was_switched_off_is_no_change(tmp_path: Path) -> None:
    async with conversation(tmp_path, [PROPOSAL, SECOND], mode="plan") as loop:
        await loop.turn()
        await loop.operate(OpType.CONFIGURE, mode="auto-edit")
        await answer(loop, approved=True)
        assert loop.session.mode == "auto-edit"


async def test_the_tool_is_there_for_persons_only_and_whatever_the_mode(tmp_path: Path) -> None:
    async with conversation(tmp_path, [], mode="ask") as loop:
        before = loop.session.router.get_tool_specs_for_llm()
        assert "propose_plan" in loop.session.router.names
        await loop.operate(OpType.CONFIGURE, mode="plan")
        assert loop.session.router.get_tool_specs_for_llm() == before
    async with running(tmp_path) as loop:
        assert "propose_plan" not in loop.session.router.names


async def test_a_tool_that_fails_to_tell_what_it_needs_is_denied_in_plan_mode(tmp_path: Path) -> None:
    def fails(_arguments: Any, _context: Any) -> ApprovalNeed:
        raise RuntimeError("a bug")

    tools = [replace(tool("broken"), approval=fails)]
    async with running(tmp_path, [calls(call("broken")), SECOND], tools=tools, headless=False, mode="plan") as loop:
        assert await what_happens(loop) == "denied"


# --- switching -------------------------------------------------------------------------------------------------------


async def test_the_mode_is_switched_in_mid_session(tmp_path: Path) -> None:
    answers = [calls(write("a.txt")), SECOND, calls(write("b.txt")), SECOND]
    async with conversation(tmp_path, answers, mode="plan") as loop:
        await loop.turn()
        done = (await loop.operate(OpType.CONFIGURE, mode="auto-edit")).payload
        assert done == SettingsChanged(loop.session.model_name, False, "high", ("mode",), "auto-edit")
        await loop.turn()
        assert [path.name for path in loop.session.workspace.iterdir()] == ["b.txt"]


async def test_what_waits_goes_on_waiting_whatever_the_mode_becomes(tmp_path: Path) -> None:
    async with conversation(tmp_path, [calls(bash("touch a")), SECOND], mode="ask") as loop:
        await loop.turn()
        await loop.operate(OpType.CONFIGURE, mode="plan")
        await answer(loop, approved=True)
        assert (loop.session.workspace / "a").exists()


@pytest.mark.parametrize(
    ("before", "on", "after"),
    [("ask", True, "yolo"), ("plan", True, "yolo"), ("yolo", False, "ask"), ("plan", False, "plan")],
)
async def test_the_older_word_switches_yolo(tmp_path: Path, before: Mode, on: bool, after: Mode) -> None:
    async with conversation(tmp_path, [], mode=before) as loop:
        done = (await loop.operate(OpType.CONFIGURE, yolo_mode=on)).payload
        assert (done.mode, done.yolo_mode, loop.session.mode) == (after, after == "yolo", after)


@pytest.mark.parametrize("wrong", ["Plan", "", None, 3, ["plan"]])
async def test_a_mode_that_does_not_exist_changes_nothing(tmp_path: Path, wrong: Any) -> None:
    async with conversation(tmp_path, [], mode="ask") as loop:
        loop.outside_ends = 1
        refused = (await loop.operate(OpType.CONFIGURE, mode=wrong, reasoning_effort="low")).payload
        assert isinstance(refused, ErrorRaised)
        assert refused.kind == "usage"
        assert all(mode in refused.error for mode in MODES)
        assert (loop.session.mode, loop.session.reasoning_effort) == ("ask", "high")


# --- what the model is told ------------------------------------------------------------------------------------------


async def test_nothing_is_said_of_a_mode_that_never_changes(tmp_path: Path) -> None:
    for mode in ("ask", "auto-edit", "yolo"):
        async with conversation(tmp_path, [SECOND], mode=mode) as loop:
            await loop.turn()
            assert notes(loop) == []


async def test_a_change_is_told_once_beside_the_next_request(tmp_path: Path) -> None:
    async with conversation(tmp_path, [SECOND] * 6, mode="plan") as loop:
        system = loop.wire()[0]
        await loop.turn("one")
        await loop.turn("two")
        first, *others = [m["content"] for m in loop.wire()[1:]]
        assert first.startswith(f"one\n\n{NOTE}")
        assert others == ["Done.", "two", "Done."]
        assert "propose_plan" in notes(loop)[0]
        for mode in ("ask", "yolo", "auto-edit"):  # the model has no part in what lies between
            await loop.operate(OpType.CONFIGURE, mode=mode)
        await loop.turn("three")
        await loop.turn("four")
        assert ["auto-edit" in note for note in notes(loop)] == [False, True]
        assert loop.wire()[0] == system


async def test_a_change_and_back_is_no_news(tmp_path: Path) -> None:
    async with conversation(tmp_path, [SECOND], mode="ask") as loop:
        await loop.operate(OpType.CONFIGURE, mode="plan")
        await loop.operate(OpType.CONFIGURE, mode="ask")
        await loop.turn()
        assert notes(loop) == []


async def test_a_note_that_was_taken_back_is_told_again(tmp_path: Path) -> None:
    async with conversation(tmp_path, [SECOND] * 2, mode="plan") as loop:
        await loop.turn("one")
        await loop.operate(OpType.UNDO)
        assert notes(loop) == []
        await loop.turn("one again")
        assert len(notes(loop)) == 1


async def test_a_new_conversation_keeps_the_mode_and_is_told_of_plan_mode(tmp_path: Path) -> None:
    async with conversation(tmp_path, [SECOND] * 2, mode="ask") as loop:
        await loop.operate(OpType.CONFIGURE, mode="auto-edit")
        await loop.operate(OpType.NEW, clear_screen=False)
        await loop.turn()
        assert (loop.session.mode, notes(loop)) == ("auto-edit", [])
        await loop.operate(OpType.CONFIGURE, mode="plan")
        await loop.operate(OpType.NEW, clear_screen=False)
        await loop.turn()
        assert len(notes(loop)) == 1


async def test_a_resumed_session_is_in_the_mode_of_this_run_and_the_model_knows(tmp_path: Path) -> None:
    async with conversation(tmp_path, [SECOND], mode="plan") as loop:
        await loop.turn()
        saved = loop.session.record.saved_path
    assert saved is not None
    async with conversation(tmp_path, [SECOND], mode="ask", resumption=Resumption(saved)) as loop:
        assert loop.session.mode == "ask"
        await loop.turn()
        assert ["mode is now ask" in note for note in notes(loop)] == [False, True]

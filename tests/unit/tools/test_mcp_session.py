"""MCP servers in a session: when they are connected, waited for and told of, and what the model is offered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.tools import ToolRouter
from agent.protocol.events import ApprovalRequired, ErrorRaised, Interrupted, ToolLog, ToolOutput, TurnComplete
from agent.protocol.operations import OpType
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from tests.fakes.mcp_server import StdioServer, stdio_server, text, tool
from tests.unit.core.loop import Loop, call, calls, running
from tests.unit.tools.conftest import FakeSession, is_alive, wait_until
from tests.unit.tools.mcp_runs import servers_of


def offered(loop: Loop) -> list[str]:
    return [name for name in loop.session.router.names if name.startswith("mcp__")]


def told(loop: Loop) -> str:
    return "\n".join(payload.log for payload in loop.of(ToolLog))


def required(server: StdioServer) -> dict[str, Any]:
    """Its entry in `mcpServers`: nothing begins without it."""
    return {**server.config, "required": True}


async def own(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
    return ToolResult("mine")


async def test_a_turn_with_two_servers(tmp_path: Path) -> None:
    one = stdio_server(tmp_path, name="one", tools=[tool("add"), tool("hf_jobs")], answers={"add": text("from one")})
    two = stdio_server(tmp_path, name="two", tools=[tool("add"), tool("bash")], answers={"add": text("from two")})
    answers = [calls(call("mcp__two__add"), call("mcp__one__add"), call("mcp__one__hf_jobs")), {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"two": two.config, "one": one.config}) as loop:
        assert offered(loop) == []  # ready does not wait
        end = await loop.turn()
        assert isinstance(end.payload, TurnComplete)
        assert offered(loop) == ["mcp__one__add", "mcp__two__add", "mcp__two__bash"]
        outputs = {payload.tool: payload.output for payload in loop.of(ToolOutput)}
        assert "from two" in outputs["mcp__two__add"]
        assert "from one" in outputs["mcp__one__add"]
        assert "There is no tool named 'mcp__one__hf_jobs'" in outputs["mcp__one__hf_jobs"]  # defect 28
        assert loop.session.router.find("bash") is not loop.session.router.find("mcp__two__bash")
    assert not any(is_alive(server.heard("start")[0]["pids"][0]) for server in (one, two))


async def test_an_unknown_tool_is_called_so(tmp_path: Path) -> None:
    """Defect 30: a name the model made up was answered with 'MCP client not initialized'."""
    fake = stdio_server(tmp_path, tools=[tool("read_file")])
    answers = [calls(call("mcp__files__readfile")), {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"files": fake.config}) as loop:
        await loop.turn()
        assert "Did you mean mcp__files__read_file" in loop.of(ToolOutput)[0].output


async def test_a_tool_of_a_server_that_is_not_there_is_explained(tmp_path: Path) -> None:
    answers = [calls(call("mcp__gone__read_file")), {"text": "Done."}]
    async with running(tmp_path, answers) as loop:
        await loop.turn()
        said = loop.of(ToolOutput)[0].output
    assert "Its MCP server is not configured or not connected now; /mcp shows the person why." in said


async def test_what_may_change_something_asks(tmp_path: Path) -> None:
    """Defect 28: tools of servers ran without asking."""
    tools = [tool("write"), tool("look", annotations={"readOnlyHint": True})]
    fake = stdio_server(tmp_path, tools=tools)
    answers = [calls(call("mcp__s__look")), calls(call("mcp__s__write")), {"text": "Done."}]
    settings: dict[str, Any] = {"mcpServers": {"s": fake.config}, "yolo_mode": False, "headless": False}
    async with running(tmp_path, answers, **settings) as loop:
        question = await loop.turn()
        assert isinstance(question.payload, ApprovalRequired)
        (item,) = question.payload.tools
        assert item.tool == "mcp__s__write"
        assert [message["params"]["name"] for message in fake.heard("tools/call")] == ["look"]
        listed = len(fake.heard("tools/list"))
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[{"tool_call_id": item.tool_call_id, "approved": True}])
        assert isinstance((await loop.until_turn_ends()).payload, TurnComplete)
        assert [message["params"]["name"] for message in fake.heard("tools/call")] == ["look", "write"]
        assert len(fake.heard("tools/list")) == listed


async def test_a_rule_names_a_tool_as_it_is_registered(tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, tools=[tool("write"), tool("drop")])
    answers = [calls(call("mcp__s__write"), call("mcp__s__drop")), {"text": "Done."}]
    rules = {"allow": ["mcp__s__write"], "deny": ["mcp__s__drop"]}
    settings: dict[str, Any] = {"mcpServers": {"s": fake.config}, "yolo_mode": False, "headless": False}
    async with running(tmp_path, answers, **settings, permissions=rules) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        assert [message["params"]["name"] for message in fake.heard("tools/call")] == ["write"]


async def test_a_server_that_does_not_come_up_is_told_of_and_the_turn_goes_on(tmp_path: Path) -> None:
    broken = stdio_server(tmp_path, name="broken", start="die", stderr="no licence")
    fake = stdio_server(tmp_path, tools=[tool("add")])
    answers = [calls(call("mcp__b__x"), call("mcp__s__add")), {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"b": broken.config, "s": fake.config}) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        assert offered(loop) == ["mcp__s__add"]
        assert "MCP server b is not available: " in told(loop)
        assert "no licence" in told(loop)


async def test_the_first_call_of_the_model_waits_for_no_server(tmp_path: Path) -> None:
    """With one that never answers, the model has its word at once: it is told that there are tools to wait for."""
    fake = stdio_server(tmp_path, start="silent")
    async with running(tmp_path, [{"text": "Done."}], mcpServers={"s": fake.config}) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        assert offered(loop) == ["mcp__s__wait_for_tools"]
        assert "Waiting" not in told(loop)
        assert "wait_for_tools" in json.dumps(loop.session.router.get_tool_specs_for_llm())


@pytest.mark.parametrize("headless", [True, False])
async def test_the_model_waits_for_tools_that_it_needs(tmp_path: Path, headless: bool) -> None:
    fake = stdio_server(tmp_path, tools=[tool("add", annotations={"readOnlyHint": True})], answers={"add": text("3")})
    answers = [calls(call("mcp__s__wait_for_tools")), calls(call("mcp__s__add")), {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"s": fake.config}, headless=headless) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        waited, added = [payload.output for payload in loop.of(ToolOutput)]
        assert waited == "The MCP server s is there: 1 tool, from the next step on."
        assert "3" in added
        assert offered(loop) == ["mcp__s__add"]


async def test_a_run_ends_that_cannot_do_without_a_server(tmp_path: Path) -> None:
    broken = stdio_server(tmp_path, start="die", stderr="no licence")
    async with running(tmp_path, [{"text": "Done."}], mcpServers={"b": required(broken)}) as loop:
        end = (await loop.turn()).payload
    assert isinstance(end, ErrorRaised)
    assert end.error.startswith("MCP server b is required and not available: ")
    assert "no licence" in end.error
    assert end.error.endswith("Mend it, or take `required` out of its settings.")


async def test_a_conversation_goes_on_without_a_required_server(tmp_path: Path) -> None:
    broken = stdio_server(tmp_path, start="die")
    settings: dict[str, Any] = {"mcpServers": {"b": required(broken)}, "headless": False}
    async with running(tmp_path, [{"text": "Done."}], **settings) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        assert "MCP server b is not available: " in told(loop)


async def test_a_required_server_is_there_for_the_first_call(tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, tools=[tool("add")])
    async with running(tmp_path, [{"text": "Done."}], mcpServers={"s": required(fake)}) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        assert offered(loop) == ["mcp__s__add"]


async def test_stopping_while_waiting_for_a_server(tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, start="silent")
    async with running(tmp_path, [{"text": "Done."}], mcpServers={"s": required(fake)}) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        while "Waiting for MCP server s." not in told(loop):
            await loop.next()
        loop.session.cancel()
        assert isinstance((await loop.until_turn_ends()).payload, Interrupted)
    assert not any(is_alive(pid) for pid in fake.heard("start")[0]["pids"])


async def test_stopping_a_call_keeps_the_server(tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, tools=[tool("hang"), tool("add")], answers={"hang": "hang"})
    answers = [calls(call("mcp__s__hang")), calls(call("mcp__s__add")), {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"s": fake.config}) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await asyncio.to_thread(wait_until, lambda: bool(fake.heard("tools/call")))
        loop.session.cancel()
        assert isinstance((await loop.until_turn_ends()).payload, Interrupted)
        assert isinstance((await loop.turn("again")).payload, TurnComplete)
        await asyncio.to_thread(wait_until, lambda: bool(fake.heard("notifications/cancelled")))
    assert len(fake.heard("start")) == 1


async def test_the_list_changes_between_turns_only(tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, tools=[tool("changed")], answers={"changed": "changed"})
    answers = [calls(call("mcp__s__changed")), {"text": "Done."}, {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"s": fake.config}) as loop:
        await loop.turn()
        assert offered(loop) == ["mcp__s__changed"]
        await loop.turn("again")
        assert offered(loop) == ["mcp__s__changed", "mcp__s__newcomer"]
        assert "MCP server s has other tools now: 2." in told(loop)


async def test_secrets_of_servers_are_nowhere(tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, tools=[tool("say")], env={"SERVICE_TOKEN": "secret-key-123"})
    fake.replan(answers={"say": text("my token is secret-key-123")})
    answers = [calls(call("mcp__s__say")), {"text": "Done."}]
    async with running(tmp_path, answers, mcpServers={"s": fake.config}) as loop:
        await loop.turn()
        assert "secret-key-123" not in repr(loop.events)
        assert "secret-key-123" not in json.dumps(loop.wire())
        assert "[REDACTED:MCP s]" in loop.of(ToolOutput)[0].output
    journals = [path.read_text() for path in (tmp_path / "state").rglob("*.jsonl")]
    assert journals
    assert not any("secret-key-123" in text for text in journals)


# --- without a loop --------------------------------------------------------------------------------------------------


async def test_a_late_server_is_there_in_the_next_turn(tmp_path: Path, session: FakeSession) -> None:
    fake = stdio_server(tmp_path, start="silent", tools=[tool("add")])
    servers = servers_of(session, tmp_path, {"x": fake.config})
    async with ToolRouter([ToolSpec("bash", "", {"type": "object"}, own)], servers) as router:
        router.start_servers(session)  # type: ignore[arg-type]
        assert await router.begin_turn(session) is True  # type: ignore[arg-type]
        assert router.names == ("bash", "mcp__x__wait_for_tools")
        assert await router.begin_turn(session) is False  # type: ignore[arg-type]
        await asyncio.to_thread(wait_until, lambda: bool(fake.heard("start")))
        servers.hush()
        fake.replan(start="ok")
        status = await servers.reconnect("x")
        assert status is not None
        assert (status.state, status.tools, status.problem) == ("connected", 1, "")
        assert await router.begin_turn(session) is True  # type: ignore[arg-type]
        assert router.names == ("bash", "mcp__x__add")
        said = [event.log for event in session.emitted if isinstance(event, ToolLog)]
        assert said == ["MCP server x is there now: 1 tool."]
        assert await router.begin_turn(session) is False  # type: ignore[arg-type]
        assert await servers.reconnect("nobody") is None


async def test_a_run_of_one_turn_begins_with_servers_when_the_model_is_asked(
    tmp_path: Path, session: FakeSession
) -> None:
    """And takes up what has come before it asks again: there is no next turn."""
    fake = stdio_server(tmp_path, tools=[tool("add")])
    servers = servers_of(session, tmp_path, {"x": fake.config}, is_single_turn=True)
    async with ToolRouter([], servers) as router:
        router.start_servers(session)  # type: ignore[arg-type]
        assert await router.begin_turn(session) is True  # type: ignore[arg-type]
        assert fake.heard("start") == []
        router.warm()
        await servers.wait_for(session, ["x"])  # type: ignore[arg-type]
        assert router.has_news
        assert await router.take_up_news(session) is True  # type: ignore[arg-type]
        assert router.names == ("mcp__x__add",)
        assert not router.has_news


async def test_who_does_not_list_its_tools_is_told_of_and_not_waited_for_again(
    tmp_path: Path, session: FakeSession
) -> None:
    fake = stdio_server(tmp_path, tools=[tool("busy")], answers={"busy": "busy"})
    servers = servers_of(session, tmp_path, {"x": required(fake)})

    async def turn() -> tuple[list[str], list[str]]:
        session.emitted.clear()
        specs = await servers.settled(session)  # type: ignore[arg-type]
        return [spec.name for spec in specs], [event.log for event in session.emitted if isinstance(event, ToolLog)]

    servers.start(session)  # type: ignore[arg-type]
    (busy,) = await servers.settled(session)  # type: ignore[arg-type]
    await busy.handler({}, session, "c1")  # type: ignore[arg-type]
    names, said = await turn()
    assert names == ["mcp__x__busy"]
    assert len(said) == 1
    assert "MCP server x has said that its tools have changed, but does not list them now" in said[0]
    assert await turn() == (["mcp__x__busy"], [])  # asked beside it
    (asking,) = [task for task in asyncio.all_tasks() if task.get_name() == "mcp x: its tools"]
    await asyncio.wait_for(asking, 10)
    assert await turn() == (["mcp__x__busy", "mcp__x__newcomer"], ["MCP server x has other tools now: 2."])
    await servers.close()


async def test_statuses_tell_how_each_stands(tmp_path: Path, session: FakeSession) -> None:
    good, broken = stdio_server(tmp_path, tools=[tool("add")]), stdio_server(tmp_path, name="b", start="die")
    servers = servers_of(session, tmp_path, {"good": required(good), "broken": required(broken)})
    assert [status.state for status in servers.statuses()] == ["connecting", "connecting"]
    servers.start(session)  # type: ignore[arg-type]
    await servers.settled(session)  # type: ignore[arg-type]
    by_name = {status.name: status for status in servers.statuses()}
    assert (by_name["good"].state, by_name["good"].tools, by_name["good"].version) == ("connected", 1, "fake 1")
    assert by_name["broken"].state == "failed"
    assert "exit code 3" in by_name["broken"].problem
    await servers.close()


@pytest.mark.parametrize("lingers", [False, True])
async def test_all_servers_are_left_at_once(tmp_path: Path, session: FakeSession, lingers: bool) -> None:
    fakes = {f"s{i}": stdio_server(tmp_path, name=f"s{i}", lingers=lingers, tools=[tool("a")]) for i in range(3)}
    servers = servers_of(session, tmp_path, {name: required(fake) for name, fake in fakes.items()})
    servers.start(session)  # type: ignore[arg-type]
    assert len(await servers.settled(session)) == 3  # type: ignore[arg-type]
    async with asyncio.timeout(3):
        await servers.close()
    pids = [pid for fake in fakes.values() for pid in fake.heard("start")[0]["pids"]]
    await asyncio.to_thread(wait_until, _all_gone(pids))
    assert session.emitted == []


def _all_gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: not any(is_alive(pid) for pid in pids)


async def test_a_built_in_tool_is_never_replaced(tmp_path: Path, session: FakeSession) -> None:
    """Defect 28: with one server, its `bash` took the place of ours."""
    fake: StdioServer = stdio_server(tmp_path, tools=[tool("a")])
    servers = servers_of(session, tmp_path, {"s": fake.config})
    mine = ToolSpec("mcp__s__a", "Mine.", {"type": "object"}, own)
    async with ToolRouter([mine], servers) as router:
        router.start_servers(session)  # type: ignore[arg-type]
        for _ in range(2):
            await router.begin_turn(session)  # type: ignore[arg-type]
            assert router.find("mcp__s__a") is mine

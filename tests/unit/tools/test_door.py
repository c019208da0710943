"""What a tool is made of is imported with its first call, and never on the event loop."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.door import Door
from agent.tools.looking import Look, looking_tool
from tests.unit.tools.conftest import FakeSession

TOGETHER = 8


async def test_first_calls_at_once_make_one_thing_off_the_loop(session: FakeSession) -> None:
    made: list[threading.Thread] = []
    all_asked, loop = threading.Event(), asyncio.get_running_loop()

    def door() -> Look:
        made.append(threading.current_thread())
        loop.call_soon_threadsafe(all_asked.set)  # the loop is at that when all calls have begun
        assert all_asked.wait(20)

        async def look(arguments: dict[str, object], _session: ToolSession) -> ToolResult:
            return ToolResult(f"looked at {arguments['what']}")

        return look

    spec = looking_tool("look", "Looks.", {"type": "object"}, door)
    assert made == []
    results = await asyncio.gather(*(session.call(spec, what=n) for n in range(TOGETHER)))
    assert [result.output for result in results] == [f"looked at {n}" for n in range(TOGETHER)]
    await session.call(spec, what="more")
    assert len(made) == 1
    assert made[0] is not threading.main_thread()


async def test_a_door_that_does_not_open_is_tried_again() -> None:
    tries: list[int] = []

    def make() -> str:
        tries.append(len(tries))
        if len(tries) < 3:
            raise ImportError("not now")
        return "made"

    door = Door(make)
    await door.ready()  # tells the log alone
    with pytest.raises(ImportError, match="not now"):
        await door.opened()
    assert (await door.opened(), door()) == ("made", "made")
    assert tries == [0, 1, 2]


async def test_a_call_that_is_stopped_leaves_the_door_to_the_next() -> None:
    began, go_on = threading.Event(), threading.Event()
    made: list[str] = []

    def make() -> str:
        began.set()
        go_on.wait(20)
        made.append("made")
        return "made"

    door = Door(make)
    stopped = asyncio.create_task(door.opened())
    await asyncio.to_thread(began.wait, 20)
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    go_on.set()
    assert await door.opened() == "made"
    assert made == ["made"]


def test_doors_that_share_a_service_open_one_after_the_other() -> None:
    inside: list[str] = []
    most: list[int] = []
    all_ask = threading.Event()

    def make() -> str:
        inside.append("here")
        all_ask.wait(20)
        most.append(len(inside))
        inside.pop()
        return "made"

    threads = [threading.Thread(target=Door(make)) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    all_ask.set()
    for thread in threads:
        thread.join(20)
    assert most == [1] * TOGETHER


ASKING = """
import asyncio, json, sys, threading
from pathlib import Path
from types import SimpleNamespace
from agent.config import Config
from agent.core.services import Services
from agent.core.schema_check import load_validator
from agent.core.tools import ToolRouter, create_builtin_tools
from agent.hub.account import HubAccount
from agent.protocol.tools import ApprovalContext
from tests.unit.tools.conftest import FakeSession

OURS = ("agent.tools", "agent.web", "agent.hub", "agent.compute", "agent.redaction")
PACKAGES = ("pydantic", "httpx", "sqlite3", "huggingface_hub", "tree_sitter")
# Wrong in a way that the tool itself finds, before it asks anybody; where there is none, nobody answers.
CALLS = json.loads(sys.argv[2])


class Witness:
    seen = []

    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread() and name.startswith(OURS + PACKAGES):
            self.seen.append(name)


class Session(FakeSession):
    compute = SimpleNamespace(running=(), find=lambda _id: None)  # nothing is under way


async def main():
    session = Session(Path(sys.argv[1]), Path(sys.argv[1]) / "spill")
    load_validator()
    said = {}
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    account, at_once = HubAccount(None, nobody), lambda _s: asyncio.sleep(0)
    services = Services(Config(), account, nobody, Path(sys.argv[1]), sleep=at_once)
    async with ToolRouter(create_builtin_tools(services)) as router:
        sys.meta_path.insert(0, Witness())
        for name, arguments in CALLS.items():
            assert router.problem_with(name, arguments) is None, router.problem_with(name, arguments)
            spec = router.find(name)
            await spec.ready()
            spec.approval(arguments, ApprovalContext(session.workspace))
            spec.subject(arguments, session.workspace)
            spec.only_looks(arguments, session.workspace)
            spec.changes(arguments, session.workspace)
            spec.is_poll(arguments)
            spec.estimate_cost(arguments)
            said[name] = (await router.call_tool(name, arguments, session, "c1")).output
    await services.close()
    print(json.dumps([said, Witness.seen]))


asyncio.run(main())
"""
CALLS = {
    "explore_hf_docs": {"endpoint": "trl"},
    "fetch_hf_docs": {"url": "https://example.com/elsewhere"},
    "find_hf_api": {},
    "hf_papers": {"operation": "read_paper"},
    "hf_inspect_dataset": {"dataset": "a b c"},
    "github_find_examples": {"repo": "a b"},
    "github_list_repos": {"owner": "a b"},
    "github_read_file": {"repo": "a b", "path": "x"},
    "github_search_code": {"query": "x", "repo": "a b"},
    "web_search": {"query": "  "},
    "fetch_url": {"url": "nowhere"},
    "write": {"path": ".", "content": ""},
    "edit": {"path": "nowhere", "old_str": "a", "new_str": "b"},
    "bash": {"command": "echo hello", "work_dir": "nowhere"},
    "hf_repo_files": {"operation": "list"},
    "hf_repo_git": {"operation": "list_refs"},
    "hf_jobs": {"operation": "wait", "job_id": "nosuch"},
}


def test_no_first_call_imports_on_the_event_loop(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASKING, str(tmp_path), json.dumps(CALLS)], capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stderr
    said, on_the_loop = json.loads(told.stdout)
    assert set(said) == set(CALLS)
    assert not [text for text in said.values() if "unexpectedly" in text]
    assert on_the_loop == []

"""What the journal says of the place where the model works: the branch that is checked out, and its tools."""

from __future__ import annotations

from pathlib import Path

from agent.sessions.reader import read_records
from agent.sessions.tool_lists import load
from tests.unit.core.loop import running


async def test_branch_and_tools_are_written_when_they_are_news(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "One."}, {"text": "Two."}, {"text": "Three."}]) as loop:
        head = loop.session.workspace / ".git" / "HEAD"
        head.parent.mkdir()
        head.write_text("ref: refs/heads/main\n")
        await loop.turn()
        await loop.turn()
        head.write_text("ref: refs/heads/try\n")
        await loop.turn()
        session = loop.session
        path, state_dir = session.record.saved_path, session.surroundings.state_dir
        specs = session.router.get_tool_specs_for_llm()
    assert path is not None
    places = [record.data for record in read_records(path) if record.kind == "place"]
    assert [place["git_branch"] for place in places] == ["main", "try"]
    assert {place["tools"] for place in places} == {places[0]["tools"]}
    assert load(state_dir, places[0]["tools"]) == specs


async def test_a_disk_that_keeps_no_list_of_tools_does_not_stop_the_turn(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "One."}]) as loop:
        state_dir = loop.session.surroundings.state_dir
        state_dir.mkdir(exist_ok=True)
        (state_dir / "tools").write_text("no directory")
        await loop.turn()
        path = loop.session.record.saved_path
    assert path is not None
    assert [record.data for record in read_records(path) if record.kind == "place"] == [{"git_branch": None}]

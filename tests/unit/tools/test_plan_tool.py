"""The plan: validated, sent to the person, echoed to the model."""

from __future__ import annotations

from typing import Any

import pytest

from agent.protocol.events import PlanItem, PlanUpdate
from agent.redaction.live import LiveSecrets
from agent.tools.plan_tool import plan_spec
from tests.unit.tools.conftest import FakeSession

PLAN = plan_spec()


def todo(id_: object, status: object = "pending", content: object = "do it") -> dict[str, Any]:
    return {"id": id_, "content": content, "status": status}


async def test_a_plan(session: FakeSession) -> None:
    todos = [todo("1", "completed", "read"), todo("2", "in_progress", "write"), todo("3", "pending", "run")]
    result = await session.call(PLAN, todos=todos)
    assert result.ok
    assert result.output == "Plan updated:\n[x] 1. read\n[~] 2. write\n[ ] 3. run\n1/3 done"
    items = (PlanItem("1", "read", "completed"), PlanItem("2", "write", "in_progress"), PlanItem("3", "run", "pending"))
    assert session.emitted == [PlanUpdate(items)]


async def test_an_empty_plan(session: FakeSession) -> None:
    result = await session.call(PLAN, todos=[])
    assert (result.ok, result.output) == (True, "Plan is empty.")
    assert session.emitted == [PlanUpdate(())]


async def test_two_steps_in_progress_are_told(session: FakeSession) -> None:
    result = await session.call(PLAN, todos=[todo("a", "in_progress"), todo("b", "in_progress")])
    assert result.ok
    assert "one at a time" in result.output
    assert "a, b" in result.output


@pytest.mark.parametrize(
    ("todos", "said"),
    [
        (None, "array"),
        ("do it", "array"),
        (["do it"], "item 1 must be an object"),
        ([todo("1"), None], "item 2 must be an object"),
        ([{"id": "1", "status": "pending"}], "`content`"),
        ([{"content": "x", "status": "pending"}], "`id`"),
        ([{"id": "1", "content": "x"}], "`status`"),
        ([todo("1", content="  ")], "`content`"),
        ([todo("1", content=["x"])], "`content`"),
        ([todo("1", "done")], "'done'"),
        ([todo("1"), todo("1")], "more than once"),
        ([todo(1), todo("1")], "more than once"),
    ],
)
async def test_a_bad_plan_changes_nothing(session: FakeSession, todos: object, said: str) -> None:
    result = await session.call(PLAN, todos=todos)
    assert not result.ok
    assert said in result.output
    assert "unchanged" in result.output
    assert session.emitted == []


async def test_numbers_as_ids(session: FakeSession) -> None:
    assert "[ ] 7. do it" in (await session.call(PLAN, todos=[todo(7)])).output


def test_spec() -> None:
    assert PLAN.name == "plan_tool"
    assert PLAN.parameters["required"] == ["todos"]
    item = PLAN.parameters["properties"]["todos"]["items"]
    assert set(item["properties"]) == {"id", "content", "status"} == set(item["required"])


async def test_a_secret_of_this_program_is_in_no_step(session: FakeSession) -> None:
    session.secrets = LiveSecrets({"MY_API_KEY": "qT7vLp2ZxW9sRk4m"})
    result = await session.call(PLAN, todos=[todo("1", content="use qT7vLp2ZxW9sRk4m")])
    assert session.emitted == [PlanUpdate((PlanItem("1", "use [REDACTED:MY_API_KEY]", "pending"),))]
    assert "qT7v" not in result.output

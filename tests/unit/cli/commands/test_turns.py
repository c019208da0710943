"""/undo, /rewind, /resume and /plan: what is asked, and what is made of how an operation ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.protocol.events import SettingsChanged, UndoComplete
from agent.protocol.operations import OpType
from tests.unit.cli.commands.recording import RecordingApp
from tests.unit.sessions.keeping import keep_session


@pytest.fixture
def app(tmp_path: Path) -> RecordingApp:
    app = RecordingApp(tmp_path)
    app.status.conversation.prompts = ["train a model", "evaluate it"]
    return app


async def test_rewind_lists_the_turns_and_asks(app: RecordingApp) -> None:
    app.answers = ["1"]
    app.ends[OpType.UNDO] = UndoComplete(4, 2, "train a model")
    await app.type("/rewind chat")
    assert app.said == ["1  train a model", "2  evaluate it"]
    assert app.asked == ["Rewind to before which turn? (Enter: none)"]
    assert app.operations == [(OpType.UNDO, {"turns": 2, "what": "chat"})]
    assert app.drafts == ["train a model"]


async def test_a_rewind_that_fails_leaves_the_composer_alone(app: RecordingApp) -> None:
    await app.type("/rewind 2")
    assert app.operations == [(OpType.UNDO, {"turns": 1, "what": "both"})]
    assert app.drafts == []


async def test_rewind_can_be_left_as_it_is(app: RecordingApp) -> None:
    await app.type("/rewind")
    assert app.said[-1] == "Nothing is rewound."
    await app.type("/rewind 3")
    assert app.complaints == ["There is no turn 3; the turns are 1 to 2."]
    assert app.operations == []


async def test_resume_lists_the_sessions_and_asks(app: RecordingApp) -> None:
    path = keep_session(app.state_dir, "aaaa1111", "train a model", cwd=str(app.workspace))
    await app.type("/resume")
    assert app.asked == ["Resume which one? (Enter: none)"]
    assert app.said[0].startswith("1  aaaa1111  ")
    assert app.said[-1] == "Nothing is resumed."
    app.answers = ["1"]
    await app.type("/resume")
    assert app.operations == [(OpType.RESUME, {"path": str(path), "fork": False})]


async def test_a_session_that_is_not_there_is_told_in_a_sentence(app: RecordingApp) -> None:
    await app.type("/resume nosuch")
    (complaint,) = app.complaints
    assert complaint.startswith("There is no session 'nosuch'")
    assert complaint.endswith(").")


async def test_plan_submits_its_task_once_the_mode_is_in_force(app: RecordingApp) -> None:
    await app.type("/plan train a BERT")
    assert (app.submitted, app.operations) == ([], [(OpType.CONFIGURE, {"mode": "plan"})])
    app.ends[OpType.CONFIGURE] = SettingsChanged("replay/demo", yolo_mode=False, changed=("mode",), mode="plan")
    await app.type("/plan train a BERT")
    assert app.submitted == ["train a BERT"]

"""/compact, /undo, /resume, rewinding by Esc Esc, and model errors, at a real terminal: what the model hears next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.conversation import Talk, ask, assert_calm, lines_of, rest, said, take_turn, with_server
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI


def write(content: str) -> reply.Reply:
    return reply.call("write", {"path": "a.txt", "content": content})


def heard(request: dict[str, Any]) -> str:
    """All that the person and the model have said, in one."""
    return "\n".join([*said(request), *said(request, "assistant")])


def test_a_conversation_is_compacted_taken_back_and_resumed(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    server = openai_server
    terminal = with_server(talk, server, args=("--yolo",))
    take_turn(terminal, server, "apples", reply.text("Apples noted. " + "They are round. " * 200, "\n\nFirst end."))
    take_turn(terminal, server, "make one", write("one\n"), reply.text("Made one."))
    (work / "mine.txt").write_text("mine\n")
    take_turn(terminal, server, "make two", write("two\n"), reply.text("Made two."))

    ask(terminal, "/undo")
    terminal.wait_for(r"taken back")
    rest(terminal)
    assert (work / "a.txt").read_text() == "one\n"
    assert (work / "mine.txt").exists()
    take_turn(terminal, server, "pears", reply.text("Pears noted."))
    assert "make one" in heard(server.chat_requests[-1])
    assert "make two" not in heard(server.chat_requests[-1])

    server.script(reply.text("Summary: fruit was spoken of."))
    ask(terminal, "/compact keep the fruit")
    terminal.wait_for(r"(?im)^ *compacted|shortened")
    rest(terminal)
    assert "keep the fruit" in str(server.chat_requests[-1]["messages"])
    take_turn(terminal, server, "go on", reply.text("Gone on."))
    assert "Summary: fruit was spoken of." in str(server.chat_requests[-1]["messages"])
    assert "They are round. They are round." not in str(server.chat_requests[-1]["messages"])
    assert not lines_of(terminal, "Summary: fruit")  # for the model, not for the person

    terminal.key("esc").key("esc")
    terminal.wait_for("Rewind to before which turn")
    ask(terminal, "4")
    terminal.wait_for(r"(?m)^> go on$", count=2)  # in the composer again
    terminal.key("esc").key("ctrl-u")
    rest(terminal)
    assert_calm(terminal)
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0

    again = with_server(talk, server, args=("--yolo",))
    ask(again, "/resume")
    again.wait_for("Resume which one")
    ask(again, "1")
    again.wait_for("Resumed “")
    rest(again)
    take_turn(again, server, "and plums", reply.text("Plums noted."))
    assert "Summary: fruit was spoken of." in str(server.chat_requests[-1]["messages"])
    assert "go on" not in said(server.chat_requests[-1])
    assert_calm(again)


def test_esc_esc_asks_where_to_go_back_to_and_can_be_left(talk: Talk, work: Path) -> None:
    script = [{"when": "(?s)^say (?!b)", "text": "Said."}, {"when": "^say bb$", "text": "Said bb."}]
    terminal = talk({"text": "unused"}, *script)
    for number, text in enumerate(("say a", "say c"), 1):
        ask(terminal, text)
        terminal.wait_for("Said.", count=number)
        rest(terminal)
    terminal.send("typed").key("esc").key("esc")  # with text in the composer it does nothing
    terminal.key("ctrl-u")
    rest(terminal)
    assert not lines_of(terminal, "Rewind")
    terminal.key("esc").key("esc")
    terminal.wait_for(r"(?m)^1  say a\n2  say c\n")
    terminal.wait_for("Rewind to before which turn")
    terminal.key("esc")
    terminal.wait_for("Nothing is rewound")
    rest(terminal)
    terminal.key("esc").key("esc")
    terminal.wait_for(r"(?m)^Rewind to before which turn\? \(Enter: none\)")
    ask(terminal, "2")
    terminal.wait_for(r"(?m)^> say c$", count=2)  # in the composer again
    terminal.key("backspace").send("bb").key("enter")
    terminal.wait_for("Said bb.")
    rest(terminal)
    ask(terminal, "/rewind")
    terminal.wait_for(r"(?m)^1  say a\n2  say bb\n\n?Rewind")
    terminal.key("esc")
    rest(terminal)
    assert_calm(terminal)


def test_errors_of_the_model_end_the_turn_and_not_the_conversation(talk: Talk, openai_server: FakeOpenAI) -> None:
    terminal = with_server(talk, openai_server, reply.text("First."))
    ask(terminal, "hi")
    terminal.wait_for("First.")
    rest(terminal)
    errors = (reply.auth_error(), reply.model_not_found("m"), reply.insufficient_quota())
    for number, error in enumerate(errors, 1):
        openai_server.script(error)
        ask(terminal, f"go {number}")
        terminal.wait_for(r"(?m)^Error: \S+", count=number)
        rest(terminal)
    take_turn(terminal, openai_server, "and now", reply.text("Second."))
    openai_server.script(
        reply.cut_after(2, reply.text("Half an ", "answer ", "is lost.")), reply.text("A whole answer.")
    )
    ask(terminal, "again")
    terminal.wait_for("A whole answer.")
    rest(terminal)
    assert not lines_of(terminal, "Traceback")
    assert_calm(terminal)

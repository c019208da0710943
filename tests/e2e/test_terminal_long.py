"""Much text at a real terminal: long answers and pastes, many chunks, and windows resized meanwhile."""

from __future__ import annotations

from functools import partial

from tests.e2e.conversation import (
    Talk,
    ask,
    assert_calm,
    assert_once_in_order,
    lines_of,
    rest,
    said,
    take_turn,
    with_server,
)
from tests.e2e.terminal import Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

PASTED_LINES = 10_000


def answer(name: str, count: int) -> list[str]:
    """Numbered lines: paragraphs, a list, and code with blank lines in it."""
    lines = [f"{name}{number:04}" for number in range(count)]
    third = count // 3
    paragraphs = [f"{line}\n\n" for line in lines[:third]]
    items = [f"- {line}\n" for line in lines[third : 2 * third]]
    code = ["\n```python\n", *(f"{line}\n\n" for line in lines[2 * third :]), "```\n"]
    return [*paragraphs, *items, *code]


def expected(name: str, count: int) -> list[str]:
    return [f"{name}{number:04}" for number in range(count)]


def is_on_screen(terminal: Terminal, text: str) -> bool:
    """Whether the window shows it; cheaper than `wait_for`, which looks at the whole scrollback."""
    return any(text in line for line in terminal.screen())


def test_a_window_is_resized_while_an_answer_streams(talk: Talk, openai_server: FakeOpenAI) -> None:
    count = 60
    terminal = with_server(talk, openai_server, columns=80, rows=24)
    sizes = {"narrower": (50, 24), "wider": (120, 24), "lower": (120, 14), "higher": (120, 40), "both": (45, 18)}
    for number, (name, (columns, rows)) in enumerate(sizes.items(), 1):
        pieces = [
            *answer(name, count),
            "A last paragraph, ",
            "long enough to ",
            "be wrapped ",
            "in any window: ",
            "x " * 60,
        ]
        openai_server.script(reply.text(*pieces).but(delay_s=0.01))
        ask(terminal, f"go {name}")
        terminal.wait_for(f"{name}0025")
        terminal.resize(columns, rows)
        terminal.send("typed meanwhile").key("ctrl-u")
        terminal.wait_for("A last paragraph", count=number)
        rest(terminal)
        assert_once_in_order(terminal, expected(name, count), rf"{name}\d{{4}}")
        assert_calm(terminal)
        assert not lines_of(terminal, "Working")
        assert not lines_of(terminal, "typed meanwhile")


def test_a_window_is_resized_again_and_again_at_a_question_and_at_rest(talk: Talk) -> None:
    call = {"tool_calls": [{"name": "bash", "arguments": {"command": "touch made"}}]}
    terminal = talk(call, {"text": "Finished."}, columns=80, rows=24)
    for columns, rows in ((50, 20), (40, 12), (100, 30), (200, 50), (80, 24)):
        terminal.resize(columns, rows)
        rest(terminal)
        assert_calm(terminal)
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es")
    for columns, rows in ((40, 12), (100, 30), (60, 24)):
        terminal.resize(columns, rows)
        terminal.wait_until(lambda: [line.rstrip() for line in terminal.screen()].count(">") == 1)
    ask(terminal, "y")
    terminal.wait_for("Finished.")
    rest(terminal)
    assert_calm(terminal)
    assert len(lines_of(terminal, "^Approval: bash")) == 1


def test_ten_thousand_lines_are_pasted(talk: Talk, openai_server: FakeOpenAI) -> None:
    openai_server.models = ({"id": "m", "object": "model", "max_model_len": 500_000},)
    terminal = with_server(talk, openai_server)
    take_turn(terminal, openai_server, "hi", reply.text("Hello."))  # by then it is known how much the model takes
    openai_server.script(reply.text("I read it."))
    pasted = "\n".join(f"{number:05} ünïcode \t[b]x[/b]" for number in range(PASTED_LINES))
    before = len(terminal.raw_output())
    terminal.send("Look at ")
    terminal.paste(pasted)
    terminal.wait_for(r"(?m)^> Look at \[Pasted #1: 10,000 lines\]")
    terminal.send(" please")
    assert len(terminal.raw_output()) - before < 5_000
    terminal.key("enter")
    terminal.wait_for("I read it.")
    rest(terminal)
    request = openai_server.chat_requests[-1]
    assert said(request)[-1].endswith(f"Look at {pasted} please")
    assert len(terminal.scrollback()) < 60
    assert len(lines_of(terminal, "^> Look at")) == 1
    assert len(lines_of(terminal, r"… [\d,]+ more lines")) == 1
    assert_calm(terminal)
    terminal.key("up")
    terminal.wait_until(lambda: any("[Pasted" in line or "09999" in line for line in terminal.screen()))


def test_two_hundred_kilobytes_are_answered(talk: Talk) -> None:
    count = 4_500
    text = "".join(line.replace("\n", " and some more words here, to fill it up\n", 1) for line in answer("n", count))
    assert len(text) > 200_000
    terminal = talk({"text": [text[at : at + 40] for at in range(0, len(text), 40)]})
    ask(terminal, "tell me everything")
    terminal.wait_until(partial(is_on_screen, terminal, "n4499"), 60)
    rest(terminal, 60)
    assert_once_in_order(terminal, expected("n", count), r"n\d{4}")
    assert_calm(terminal)


def test_what_twenty_thousand_chunks_cost_grows_with_their_number(talk: Talk, openai_server: FakeOpenAI) -> None:
    terminal = with_server(talk, openai_server, reply.text("Hello."))
    ask(terminal, "hi")
    terminal.wait_for("Hello.")
    rest(terminal)
    written = {}
    for name, count in (("A", 5_000), ("B", 20_000)):
        words = [f"{name}{number:05}" for number in range(count)]
        before = len(terminal.raw_output())
        openai_server.script(
            reply.text(*(f"{word}{'.' + chr(10) * 2 if n % 50 == 49 else ' '}" for n, word in enumerate(words)))
        )
        ask(terminal, f"go {name}")
        terminal.wait_until(partial(is_on_screen, terminal, words[-1]), 60)
        rest(terminal, 60)
        written[name] = len(terminal.raw_output()) - before
        assert_once_in_order(terminal, words, rf"{name}\d{{5}}")
    assert written["B"] / written["A"] < 6
    assert_calm(terminal)

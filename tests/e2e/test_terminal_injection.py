"""Nothing that a model, a tool or a file says moves the cursor, colours the text or vanishes as markup."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.conversation import Talk, ask, asked, assert_calm, bash, rest, sequences, with_server
from tests.e2e.terminal import Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

ATTACKS = (
    "\x1b[2J",
    "\x1b[7;7H",
    "\x1b[38;5;201m",
    "\x1b]0;pwned\x07",
    "\x9b3J",
    "\x1b[?1049h",
    "\x1bc",
    "\u202e",
    "\x08",
)
"""Clearing, moving, a colour, a title, the one-byte form, another screen, a reset, text turned round, a step back."""
MARKUP = "[bold]lit[/bold] [/usr/lib/x] :smile: [link=http://x]y[/link]"
EVIL = f"{''.join(ATTACKS)}{MARKUP}"
BAD_KINDS = {b"H", b"f", b"\x1b]", b"\x1bc"}
BAD_BYTES = ("38;5;201", "pwned", "[2J", "[3J", "1049")


def assert_harmless(terminal: Terminal, before: int) -> None:
    """None of the attacks is in what the program wrote after its first `before` bytes."""
    written = terminal.raw_output()[before:]
    assert not sequences(written) & BAD_KINDS, sequences(written)
    text = written.decode()
    for attack in ATTACKS:
        assert attack not in text, repr(text[max(0, text.index(attack) - 200) :][:400])


def shown(terminal: Terminal, text: str, *, count: int = 1) -> None:
    """Wait until `text` is on the terminal, however it is wrapped."""
    folded = re.sub(r"\s", "", text)
    terminal.wait_until(lambda: re.sub(r"\s", "", "".join(terminal.scrollback())).count(folded) >= count)


def test_what_models_and_tools_say_is_shown_as_it_stands(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    (work / "data").write_text(f"TOOL{EVIL}\n")
    refusal = reply.error(400, "invalid_request_error", f"ERROR{EVIL}")
    terminal = with_server(talk, openai_server)
    before = len(terminal.raw_output())

    openai_server.script(reply.text(f"TEXT{EVIL}\n\n", f"```\nCODE{EVIL}\n```\n", f"# HEAD{EVIL}\n\nthe end"))
    ask(terminal, "text")
    for word in ("TEXT", "CODE", "HEAD"):
        terminal.wait_for(rf"{word}\S*\[bold\]lit\[/bold\] \[/usr/lib/x\]")
    terminal.wait_for("the end")
    rest(terminal)

    openai_server.script(bash("cat data; echo; echo ARGUMENT'" + EVIL.replace("\x08", "") + "'"), reply.text("a tool."))
    ask(terminal, "tool")
    terminal.wait_for(r"TOOL\S*\[bold\]lit\[/bold\]|\[y\]es")
    if "[y]es" in terminal.screen_text():
        assert r"\x1b[2J" in asked(terminal)  # spelled out for whoever decides
        ask(terminal, "y")
    terminal.wait_for(r"a tool\.")
    terminal.wait_for(r"TOOL\[bold\]lit\[/bold\] \[/usr/lib/x\] :smile:")
    rest(terminal)

    openai_server.script(bash(f"touch made # ASKED{EVIL}"), reply.text("no tool."))
    ask(terminal, "question")
    asked(terminal)
    shown(terminal, rf"ASKED\x1b[2J\x1b[7;7H\x1b[38;5;201m\x1b]0;pwned\x07\x9b3J\x1b[?1049h\x1bc\u202e\x08{MARKUP}")
    ask(terminal, "n")
    terminal.wait_for(r"no tool\.")
    rest(terminal)

    openai_server.script(reply.call(f"nosuch{EVIL}", {"a": EVIL}), reply.text("no such tool."))
    ask(terminal, "unknown tool")
    terminal.wait_for(r"no such tool\.")
    rest(terminal)

    openai_server.script(refusal, reply.text("Going on."))
    ask(terminal, "error")
    terminal.wait_for("Error: ")
    shown(terminal, MARKUP, count=5)
    rest(terminal)
    ask(terminal, "and now?")
    terminal.wait_for("Going on.")
    rest(terminal)
    assert_harmless(terminal, before)
    assert_calm(terminal)


def test_names_of_files_branches_and_sessions_are_shown_as_they_stand(talk: Talk, work: Path) -> None:
    for name in ("evil\x1b[2J\x1b[38;5;201mx.txt", "evil[red]x [bold].txt"):
        (work / name).write_text("")
    (work / ".git").mkdir()
    (work / ".git" / "HEAD").write_text("ref: refs/heads/[red]b\x1b[2J\x1b]0;pwned\x07[/x]\n")
    terminal = talk({"text": "ok"})
    before = len(terminal.raw_output())
    terminal.wait_for(r"\[red\]b\[/x\]")
    terminal.send("@evi")
    terminal.wait_for(r"(?m)^  evil\[red\]x \[bold\]\.txt$")
    terminal.key("esc").key("ctrl-u")
    terminal.paste(f"/rename Title{EVIL}").key("enter")
    terminal.wait_for(r"now called “Title\[bold\]lit\[/bold\] \[/usr/lib/x\]")
    terminal.wait_for(r"Title\[bold\]lit", count=3)  # in the echo, in the answer, in the status line
    terminal.paste(f"hi {EVIL}").key("enter")
    terminal.wait_for(r"(?m)^ok$")
    rest(terminal)
    assert_harmless(terminal, before)
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    again = talk({"text": "ok"})
    before = len(again.raw_output())
    ask(again, "/resume")
    again.wait_for(r"1  \w{8} .*Title\[bold\]lit\[/bold\]")
    ask(again, "1")
    again.wait_for(r"Resumed “Title\[bold\]lit\[/bold\]")
    assert_harmless(again, before)

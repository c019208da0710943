"""The harness itself, tried on a small prompt_toolkit program and on one-line commands instead of `ml-intern`."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import NetworkLog
from tests.e2e.harness import Finished, Terminal, run_headless, start_headless
from tests.e2e.processes import occurrences, wait_until
from tests.e2e.screen import Screen

PROMPT_LOOP = """
import os, subprocess, sys
from prompt_toolkit import PromptSession

session = PromptSession()
print("ready")
while True:
    try:
        line = session.prompt("> ")
    except KeyboardInterrupt:
        print("[ctrl-c]")
        continue
    except EOFError:
        break
    word, _, rest = line.partition(" ")
    if word == "count":
        print(*(f"line {number}" for number in range(int(rest))), sep="\\n")
    elif word == "child":
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print("started")
    elif word == "cpr":
        print(session.app.renderer.cpr_support)
    elif word == "size":
        print(os.get_terminal_size())
    elif word == "exit":
        sys.exit(int(rest))
    elif word == "die":
        os.kill(os.getpid(), 15)
    else:
        print(f"you said {line!r}")
"""

PYTHON = (sys.executable, "-c")


def run(code: str, env: dict[str, str], **options: object) -> Finished:
    """Run a piece of Python in place of the command."""
    return run_headless([code], env=env, command=PYTHON, **options)  # type: ignore[arg-type]


@pytest.fixture
def terminal(env: dict[str, str]) -> Iterator[Terminal]:
    """The prompt loop in a terminal of 60 x 12, at its first prompt."""
    with Terminal([PROMPT_LOOP], env, columns=60, rows=12, command=PYTHON) as started:
        started.wait_for("> ")
        yield started


def numbered(lines: Sequence[str]) -> list[int]:
    return [int(line.removeprefix("line ")) for line in lines if re.fullmatch(r"line \d+", line)]


# --- headless --------------------------------------------------------------------------------------------------------


def test_output_and_exit_code(env: dict[str, str]) -> None:
    done = run("import sys; print('out é'); print('err', file=sys.stderr); sys.exit(3)", env)
    assert (done.exit_code, done.stdout, done.stderr, done.children) == (3, "out é\n", "err\n", ())
    assert 0 < done.duration_s < 60


def test_json_and_events_are_parsed(env: dict[str, str]) -> None:
    assert run("""print('{"a": 1}')""", env).json() == {"a": 1}
    assert run("""print('{"a": 1}'); print('{"a": 2}')""", env).events() == [{"a": 1}, {"a": 2}]


def test_invalid_utf8_is_shown(env: dict[str, str]) -> None:
    assert run(r"import os; os.write(1, b'a\xffb')", env).stdout == "a\\xffb"


def test_directory_and_environment_are_the_ones_given(env: dict[str, str], tmp_path: Path) -> None:
    env["COLOUR"] = "blue"
    done = run("import os; print(os.getcwd(), os.environ['COLOUR'], os.environ['HOME'])", env, cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path), "blue", str(tmp_path / "home")]


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
def test_stdin_bytes_are_piped_and_end(env: dict[str, str], size: int) -> None:
    done = run("import sys; print(len(sys.stdin.buffer.read()))", env, stdin=b"x" * size)
    assert done.stdout == f"{size}\n"


def test_stdin_may_be_ignored(env: dict[str, str]) -> None:
    assert run("pass", env, stdin=b"x" * 1_000_000).exit_code == 0


def test_no_stdin_is_empty(env: dict[str, str]) -> None:
    assert run("import sys; print(repr(sys.stdin.read()))", env).stdout == "''\n"


def test_open_stdin_stays_open(env: dict[str, str]) -> None:
    code = "import sys; print('before', flush=True); print(sys.stdin.readline())"
    with start_headless([code], env=env, stdin="open", command=PYTHON) as running:
        running.wait_for_stdout("before")
        running.write_stdin(b"at last\n")
        assert running.wait().stdout == "before\nat last\n\n"


def test_a_command_that_does_not_end_is_killed_and_its_output_shown(env: dict[str, str]) -> None:
    code = "import sys, time; print('so far', flush=True); time.sleep(1000)"
    with start_headless([code], env=env, command=PYTHON) as running:
        running.wait_for_stdout("so far")
        with pytest.raises(AssertionError, match=r"not finished(.|\n)*so far"):
            running.wait(timeout_s=0.1)


def test_output_is_read_while_it_runs_and_signals_arrive(env: dict[str, str]) -> None:
    code = "import signal, sys; print('up', file=sys.stderr, flush=True); signal.pause()"
    with start_headless([code], env=env, command=PYTHON) as running:
        assert running.wait_for_stderr(re.compile("u.")) == "up\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait().exit_code == -signal.SIGTERM


def test_waiting_for_a_file(env: dict[str, str], tmp_path: Path) -> None:
    code = "import pathlib, signal; pathlib.Path('up').touch(); signal.pause()"
    with start_headless([code], env=env, cwd=tmp_path, command=PYTHON) as running:
        running.wait_until((tmp_path / "up").exists)
        with pytest.raises(AssertionError, match="a condition"):
            running.wait_until((tmp_path / "down").exists, timeout_s=0)


def test_waiting_for_text_that_never_comes_fails_when_the_pipe_ends(env: dict[str, str]) -> None:
    with (
        start_headless(["print('other')"], env=env, command=PYTHON) as running,
        pytest.raises(AssertionError, match=r"something(.|\n)*other"),
    ):
        running.wait_for_stdout("something")


CHILDREN = """
import subprocess, sys
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen(["sleep", "1001"], **quiet)
subprocess.Popen(["sleep", "1002"], start_new_session=True, **quiet)
subprocess.Popen(["sleep", "1003"], env={"PATH": "/usr/bin:/bin"}, **quiet)
print("started", flush=True)
"""


def test_children_left_behind_are_found_and_killed(env: dict[str, str]) -> None:
    with start_headless([CHILDREN], env=env, command=PYTHON) as running:
        done = running.wait()
        assert {child.command for child in done.children} == {"sleep 1001", "sleep 1002", "sleep 1003"}
        with pytest.raises(AssertionError, match="left behind"):
            running.assert_no_children(timeout_s=0)
        running.close()
        running.assert_no_children()


def test_a_child_that_holds_the_pipe_is_not_waited_for(env: dict[str, str]) -> None:
    done = run("import subprocess; subprocess.Popen(['sleep', '1000']); print('done')", env)
    assert (done.stdout, [child.command for child in done.children]) == ("done\n", ["sleep 1000"])


def test_signals_to_the_group_reach_the_children(env: dict[str, str]) -> None:
    code = "import subprocess; print('up', flush=True); subprocess.run(['sleep', '1000'])"
    with start_headless([code], env=env, command=PYTHON) as running:
        assert wait_until(lambda: [child.command for child in running.children()] == ["sleep 1000"], 10)
        running.signal_group(signal.SIGKILL)
        assert running.wait().exit_code == -signal.SIGKILL
        running.assert_no_children()


def test_the_command_has_no_network(env: dict[str, str], network_log: NetworkLog) -> None:
    done = run("import socket; socket.create_connection(('192.0.2.1', 80))", env)
    assert "Network is unreachable" in done.stderr
    assert "192.0.2.1" in network_log.lines()[0]


# --- terminal --------------------------------------------------------------------------------------------------------


def test_a_conversation(terminal: Terminal) -> None:
    terminal.send("hello").key("enter")
    assert "you said 'hello'" in terminal.wait_for(r"you said '\w+'")
    terminal.key("up").wait_for("> hello", count=2)
    terminal.key("ctrl-c").wait_for("[ctrl-c]")
    terminal.wait_for("> ", count=3)
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    assert terminal.scrollback()[0] == "ready"


def test_cursor_position_requests_are_answered(terminal: Terminal) -> None:
    assert b"\x1b[6n" in terminal.raw_output()
    terminal.send("cpr").key("enter").wait_for("CPR_Support.SUPPORTED")


def test_scrollback_has_every_line_once_and_in_order(terminal: Terminal) -> None:
    terminal.send("count 500").key("enter").wait_for("line 499")
    assert numbered(terminal.scrollback()) == list(range(500))
    assert len(terminal.screen()) == 12
    assert numbered(terminal.screen())[-1] == 499


def test_resizing_tells_the_program_and_keeps_the_lines(terminal: Terminal) -> None:
    terminal.send("count 30").key("enter").wait_for("line 29")
    terminal.resize(80, 6).send("size").key("enter").wait_for("columns=80, lines=6")
    assert numbered(terminal.scrollback()) == list(range(30))
    assert len(terminal.screen()) == 6
    terminal.resize(100, 40).send("size").key("enter").wait_for("columns=100, lines=40")
    assert numbered(terminal.scrollback()) == list(range(30))


def test_paste_and_wide_text(terminal: Terminal) -> None:
    terminal.paste("日本 é").key("enter").wait_for("you said '日本 é'")


def test_exit_code_and_death_by_signal(env: dict[str, str], terminal: Terminal) -> None:
    terminal.send("exit 7").key("enter")
    assert terminal.exit_code() == 7
    with Terminal([PROMPT_LOOP], env, command=PYTHON) as other:
        other.wait_for("> ")
        other.send("die").key("enter")
        assert other.exit_code() == -signal.SIGTERM


def test_what_is_not_shown_fails(terminal: Terminal) -> None:
    with pytest.raises(AssertionError, match=r"waited 0.05 s(.|\n)*ready"):
        terminal.wait_for("never", timeout_s=0.05)
    terminal.key("ctrl-d")
    with pytest.raises(AssertionError, match="ended without"):
        terminal.wait_for("never")


def test_a_terminal_finds_and_kills_children(terminal: Terminal) -> None:
    terminal.send("child").key("enter").wait_for("started")
    assert wait_until(lambda: [child.command for child in terminal.children()] == ["sleep 1000"], 10)
    terminal.close()
    terminal.assert_no_children()


@pytest.mark.parametrize(
    ("pattern", "count"), [("[y]es", 1), (r"\[y\]es", 1), ("no|yes?", 2), ("(", 1), ("[", 1), ("*", 0)]
)
def test_a_pattern_is_a_text_or_an_expression(pattern: str, count: int) -> None:
    assert occurrences(pattern, "([y]es) or no, ye") == count


# --- the screen alone ------------------------------------------------------------------------------------------------


def shown(*pieces: str, columns: int = 20, rows: int = 4) -> Screen:
    """A screen that was fed with text."""
    import pyte

    screen = Screen(columns, rows, lambda _answer: None)
    stream = pyte.Stream(screen)
    for piece in pieces:
        stream.feed(piece)
    return screen


def test_zero_width_characters_do_not_swallow_text() -> None:
    assert shown("a\u200db ❤\ufe0f c\u0301d").visible()[0] == "ab ❤ ćd"


def test_alternate_screen_leaves_the_main_one_as_it_was() -> None:
    screen = shown("main\r\n", "\x1b[?1049h\x1b[2J\x1b[H", *(f"pager {n}\r\n" for n in range(9)), "\x1b[?1049l", "more")
    assert screen.everything() == ["main", "more", "", ""]


def test_scrolling_a_region_below_the_top_makes_no_history() -> None:
    screen = shown("top\x1b[2;4r\x1b[4;1H", "a\nb\nc\nd")
    assert len(screen.everything()) == 4
    assert screen.visible()[0] == "top"


def test_lines_cut_off_by_a_lower_window_go_to_the_scrollback() -> None:
    screen = shown("1\r\n2\r\n3\r\n4")
    screen.resize(2, 20)
    assert screen.visible() == ["3", "4"]
    assert screen.everything() == ["1", "2", "3", "4"]
    screen.resize(4, 3)
    assert screen.everything() == ["1", "2", "3", "4", "", ""]

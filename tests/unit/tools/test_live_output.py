"""What is shown of a command that still runs."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol.events import ToolProgress
from agent.protocol.tools import never_asks
from agent.redaction.live import LiveSecrets
from agent.tools.bash_tool import bash_spec
from agent.tools.live_output import SHOWN_CHARS, SHOWN_LINES, WINDOW_BYTES, last_lines
from agent.tools.output import terminal_text
from tests.unit.tools.conftest import FakeSession

BASH = bash_spec(never_asks)
SECRET = "hf_" + "x7" * 20


def unchanged(text: str) -> str:
    return text


def shown(path: Path, output: str, secrets: LiveSecrets | None = None) -> str:
    path.write_bytes(output.encode("utf-8", "surrogateescape"))
    return last_lines(path, secrets.scrub if secrets else unchanged)


# --- a look at the file ----------------------------------------------------------------------------------------------


def test_the_last_lines_are_shown(tmp_path: Path) -> None:
    output = "".join(f"line {number}\n" for number in range(100))
    assert shown(tmp_path / "out", output).split("\n") == [f"line {number}" for number in range(80, 100)]


def test_a_progress_bar_is_shown_in_its_last_state(tmp_path: Path) -> None:
    output = "start\n" + "".join(f"\r\x1b[32m{percent:3d}%\x1b[0m" for percent in range(43))
    assert shown(tmp_path / "out", output) == "start\n 42%"


def test_of_a_long_line_the_end_is_shown(tmp_path: Path) -> None:
    text = shown(tmp_path / "out", "a" * (3 * WINDOW_BYTES) + "end")
    assert len(text) == SHOWN_CHARS
    assert text.endswith("aend")


def test_a_file_that_is_gone_shows_nothing(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "gone", unchanged) == ""


@pytest.mark.parametrize("before", range(WINDOW_BYTES - len(SECRET) - 3, WINDOW_BYTES + 2, 5))
@pytest.mark.parametrize("filler", ["\x1b[0m", "\r", "z"])
def test_no_part_of_a_secret_is_shown_where_the_reading_begins(before: int, filler: str, tmp_path: Path) -> None:
    secrets = LiveSecrets({"HF_TOKEN": SECRET})
    rest = filler * (before // len(filler)) + "." * (before % len(filler))
    text = shown(tmp_path / "out", "y" * 1000 + SECRET + rest, secrets)
    assert "x7" not in text


def test_a_secret_in_colours_is_not_shown(tmp_path: Path) -> None:
    secrets = LiveSecrets({"HF_TOKEN": SECRET})
    assert SECRET not in shown(tmp_path / "out", f"token={SECRET[:9]}\x1b[1m{SECRET[9:]}\n", secrets)


PIECES = st.sampled_from(
    ["a", "loss 0.1", "\n", "\r", "\r\n", "\x1b[31m", "\x1b[0m", "\x1b[K", "é", "漢字", "🤗", "\t", " ", SECRET, "\0"]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=80), repeat=st.sampled_from([1, 1, 1, 1, 400]))
def test_it_is_the_end_of_what_a_terminal_shows(pieces: list[str], repeat: int, tmp_path: Path) -> None:
    secrets = LiveSecrets({"HF_TOKEN": SECRET})
    output = "".join(pieces) * repeat
    text = shown(tmp_path / "out", output, secrets)
    assert SECRET not in text
    assert len(text) <= SHOWN_CHARS
    assert text.count("\n") < SHOWN_LINES
    whole = secrets.scrub(terminal_text(secrets.scrub(output))).rstrip("\n")
    # of a line that is drawn over again and again, only the last states are read
    _, _, whole_lines = text.partition("\n")
    assert whole.endswith(text if len(output.encode()) <= WINDOW_BYTES else whole_lines)


# --- while a command runs --------------------------------------------------------------------------------------------


async def progress(session: FakeSession, text: str) -> ToolProgress:
    """Wait until this is shown."""
    async with asyncio.timeout(20):
        while True:
            for payload in session.emitted:
                if isinstance(payload, ToolProgress) and payload.text == text:
                    return payload
            await asyncio.sleep(0.01)


def reading(fifo: Path, script: str) -> str:
    """`script`, which at each WAIT goes on only when something comes through `fifo`."""
    # Open for writing too: else a read could meet the end of the line that the one before it was given.
    return f"exec 3<> {shlex.quote(str(fifo))}; {script.replace('WAIT', 'read _ <&3')}"


async def go_on(fifo: Path) -> None:
    await asyncio.to_thread(fifo.write_text, "\n")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def test_output_is_shown_while_the_command_runs(session: FakeSession, fifo: Path) -> None:
    command = reading(fifo, "echo one; WAIT; printf '\\r10%%'; printf '\\r90%%'; WAIT; echo; echo done")
    task = asyncio.create_task(session.call(BASH, command=command))
    assert await progress(session, "one") == ToolProgress("bash", "call-1", "one")
    await go_on(fifo)
    await progress(session, "one\n90%")
    await go_on(fifo)
    assert (await task).output == "one\n90%\ndone"
    texts = [payload.text for payload in session.emitted if isinstance(payload, ToolProgress)]
    assert len(texts) == len(set(texts))


async def test_a_quick_command_shows_nothing(session: FakeSession) -> None:
    await session.call(BASH, command="echo quick")
    assert session.emitted == []


async def test_nothing_comes_after_the_end_of_a_stopped_command(session: FakeSession) -> None:
    script = "import itertools\nfor i in itertools.count(): print(i, flush=True)"
    task = asyncio.create_task(
        session.call(
            BASH, command=f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} | head -c 3000000; sleep 60"
        )
    )
    async with asyncio.timeout(20):
        while not session.emitted:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    count = len(session.emitted)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [other for other in others if "live output" in other.get_name()]
    assert len(session.emitted) == count


async def test_secrets_are_not_shown(session: FakeSession, fifo: Path) -> None:
    session.secrets = LiveSecrets({"HF_TOKEN": SECRET})
    task = asyncio.create_task(session.call(BASH, command=reading(fifo, f"echo {SECRET}; WAIT")))
    await progress(session, "[REDACTED:HF_TOKEN]")
    await go_on(fifo)
    await task

"""What the connection to a session begins, besides the session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.connection import Connection
from agent.config import Config
from agent.llm.params import UnknownModelError
from tests.unit.core.loop import surroundings

OPENED = """
import asyncio, os, sys, threading
from pathlib import Path
from agent.cli.connection import Connection
from agent.config import Config
from tests.unit.core.loop import surroundings

async def main(model, place):
    where = surroundings(Path(place), environ={"ANTHROPIC_API_KEY": "k", "VLLM_BASE_URL": "http://127.0.0.1:9"})
    opening = Connection(Config(model_name=model, save_sessions=False), where, stream=True, on_event=lambda event: None)
    async with opening:
        names = [one.name for one in threading.enumerate()]
        print("litellm" in sys.modules or "litellm-import" in names, flush=True)
        os._exit(0)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("model", "is_loaded"), [("anthropic/claude-opus-4-8", True), ("vllm/m", False)])
def test_litellm_is_loaded_beside_it_where_it_will_serve_the_model(model: str, is_loaded: bool, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OPENED, model, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == f"{is_loaded}\n", done.stderr


async def test_a_model_that_routes_nowhere_opens_nothing(tmp_path: Path) -> None:
    config = Config(model_name="nowhere/x/y z")
    with pytest.raises(UnknownModelError):
        async with Connection(config, surroundings(tmp_path), stream=True, on_event=lambda _: None):
            pass

"""Model servers that keep a turn waiting, each in its own place."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.core.surroundings import Surroundings
from tests.durability.cancel_person import ANSWER, SUMMARY_PROMPT
from tests.fakes.http_base import Exchange
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import Reply, text
from tests.unit.core.loop import surroundings

MODEL = "org/model"
SYN_SENT = "02"


async def no_wait(_delay_s: float) -> None:
    """A retry that waits no time."""
    await asyncio.sleep(0)


def over(server: FakeOpenAI, tmp_path: Path) -> Surroundings:
    """A person in front of a session whose HF router is `server`."""
    place = surroundings(tmp_path, headless=False, environ={"HF_ROUTER_BASE_URL": server.base_url})
    return replace(place, hf_token="hf_token", sleep=no_wait)


def answer(request: dict[str, Any]) -> Reply:
    """What a server says that has nothing scripted: a summary to the summariser, the answer to everybody else."""
    is_summariser = SUMMARY_PROMPT in str(request["messages"][-1]["content"])[:100]
    return text("Looked at much; all is well.") if is_summariser else text(ANSWER)


class SlowCatalog(FakeOpenAI):
    """A router whose list of models comes only when the test says `resume()`."""

    async def respond(self, exchange: Exchange) -> None:
        """Stall over the list; the rest is as ever."""
        if exchange.request.method == "GET":
            await exchange.stall()
        await super().respond(exchange)


class NobodyAccepts:
    """A port whose queue of connections is full: whoever wants one waits, as behind a firewall that drops packets."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]

    def waiting(self) -> int:
        """How many connections are being made right now (Linux)."""
        remote = f":{self.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[2].endswith(remote) and row[3] == SYN_SENT for row in rows)


@contextlib.contextmanager
def nobody_accepts() -> Iterator[NobodyAccepts]:
    """Such a port, with one connection waiting already."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = NobodyAccepts(listener)
        while port.waiting() == 0:
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port.port))
        yield port

"""A model server of which the test knows in what order things happened, and which can leave all but the model mute.

with WatchedServer(mute=True) as server:
    ...                          # a run asks it for a model's answer, and for its catalog
    server.over_before_the_model_was_asked    # what the run has waited for
    server.resume()              # now the catalog is answered
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.e2e.harness import Finished
from tests.fakes.http_base import Exchange
from tests.fakes.openai_server import FakeOpenAI


class WatchedServer(FakeOpenAI):
    """With `mute` it answers nothing but model calls until `resume()`."""

    def __init__(self, *, mute: bool = False) -> None:
        super().__init__()
        self.is_mute = mute
        self.log: list[tuple[str, str]] = []
        """What happened to requests, and their paths, in order: `asked`; then `answered`, or `left` by the client."""

    @property
    def over_before_the_model_was_asked(self) -> list[str]:
        """The paths of requests that were answered, or given up, before the first model call. ValueError without one"""
        before = self.log[: self.log.index(("asked", self.chat_path))]
        return [path for what, path in before if what != "asked"]

    def has(self, what: str, path: str) -> bool:
        """Whether that happened."""
        return (what, path) in self.log

    async def respond(self, exchange: Exchange) -> None:
        """Answer as the base does, and keep the log."""
        path = exchange.request.path
        self.log.append(("asked", path))
        try:
            if self.is_mute and path != self.chat_path:
                await exchange.stall()
            await super().respond(exchange)
        except asyncio.CancelledError:
            self.log.append(("answered" if exchange.ended else "left", path))
            raise
        self.log.append(("answered", path))


def priced(model: str, input_usd: float, output_usd: float) -> dict[str, Any]:
    """An entry of the HF router's catalog, with one provider, `novita`. Prices are in USD per million tokens."""
    provider = {
        "provider": "novita",
        "status": "live",
        "context_length": 200_000,
        "pricing": {"input": input_usd, "output": output_usd},
        "supports_tools": True,
    }
    return {"id": model, "providers": [provider]}


def with_settings(tmp_path: Path, **settings: Any) -> tuple[str, str]:
    """The arguments for a run with these settings."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    return "--config", str(path)


def events_of(done: Finished, kind: str) -> list[dict[str, Any]]:
    """The data of the events of one kind, of a run with `--output-format stream-json`."""
    return [event["data"] for event in done.events() if event["event_type"] == kind]


def tool_names(request: dict[str, Any]) -> list[str]:
    """The tools that a model call offers."""
    return [tool["function"]["name"] for tool in request["tools"]]

"""`hf_inspect_dataset`: what a dataset on the Hub holds, and which training methods its columns fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.datasets.limits import DEFAULT_SAMPLE_ROWS, MAX_SAMPLE_ROWS
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.web.client import WebClient

NAME = "hf_inspect_dataset"

DESCRIPTION = """\
What a dataset on the Hugging Face Hub holds, in one call. Use it before any training or evaluation that reads a \
dataset, and before recommending one: names and columns from memory are often wrong.

It checks that the dataset exists and can be read, lists configs and splits with their rows, the type of every column \
(nested ones too), statistics (nulls, lengths, ranges, class balance), sample rows, the shape of conversations (roles, \
keys, tool calls, order), and says which methods the columns fit: SFT, DPO, KTO, GRPO, reward model, with what to \
rename or convert where they nearly do.

Without `config` and `split` it takes the training split of the default config; name them to look at others. Missing, \
gated, private and not-ready datasets are told apart. After it: write the training script for the columns seen here; \
hf_repo_files reads the dataset's README."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["dataset"],
    "properties": {
        "dataset": {"type": "string", "description": "org/name, or the address of the dataset's page."},
        "config": {"type": "string", "description": "Config (subset). By default `default`, or the first one."},
        "split": {"type": "string", "description": "Split of that config. By default train, or the first one."},
        "sample_rows": {
            "type": "integer",
            "description": f"How many rows to show, 0 to {MAX_SAMPLE_ROWS}. Default {DEFAULT_SAMPLE_ROWS}.",
        },
    },
}


def hf_inspect_dataset_spec(
    web: Callable[[], WebClient], environ: Mapping[str, str], token: str | None = None
) -> ToolSpec:
    """The `hf_inspect_dataset` tool. `web` is asked for at the first call. `token` is the person's for the Hub; public
    datasets need none."""

    def door() -> Look:
        from agent.tools.datasets.asking import Asker
        from agent.tools.datasets.inspecting import inspect

        client = web()

        async def look(arguments: dict[str, Any], session: ToolSession) -> ToolResult:
            asker = Asker(client, environ, token, on_wait=lambda text: session.emit(ToolLog(NAME, text)))
            return await inspect(asker, arguments)

        return look

    return looking_tool(NAME, DESCRIPTION, PARAMETERS, door)

"""What kind of work a session was: told from the tools it used and the code it ran or wrote.

The code is looked at, not the talk: that somebody mentions fine-tuning makes no training run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

COMPUTE = frozenset({"hf_jobs", "sandbox_create", "sandbox_exec", "sandbox", "bash"})
DATA_TOOLS = frozenset({"hf_inspect_dataset", "dataset_tools"})
LOOKING = frozenset(
    "read research plan_tool plan notify propose_plan web_search fetch_url "
    "explore_hf_docs fetch_hf_docs find_hf_api hf_doc_search hf_doc_fetch hf_whoami "
    "hf_papers paper_search hub_repo_search hub_repo_details model_search dataset_search space_search "
    "github_find_examples github_list_repos github_read_file github_search_code".split()
)
"""Tools that change nothing; the reference's and those of the Hub's MCP server as well."""

LOOKING_OPERATIONS: Mapping[str, frozenset[str]] = {
    "hf_repo_files": frozenset({"list", "read"}),
    "hf_repo_git": frozenset({"list_refs", "list_prs", "get_pr"}),
}

MOST_CODE_CHARS = 200_000
"""What comes later in a text is data rather than code."""

_CODE_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "hf_jobs": ("script", "command"),
    "bash": ("command",),
    "sandbox_exec": ("command",),
    "write": ("content",),
    "edit": ("new_str", "new_string", "new_text", "edits"),
}
"""Where the code is that a tool is to run or to write."""

_TRAINING = re.compile(
    r"(?<![a-z])(?:sft|grpo|dpo|kto|orpo|ppo|rloo|reward|seq2seq)(?:config|trainer)"
    r"|trainer\s?\(|trainer import|\btrainingarguments\b|\b(?:grpo|dpo)\b|\.train\(|\bfine-?tun(?:e|ing)"
    r"|\.backward\(\)|\boptimizer\.step\(|\.fit\(|\baccelerate launch\b|\btorchrun\b"
    r"|(?:\b(?:python[\d.]{0,5}|run)\s[^\n;|&]{0,200}?(?<![a-z])|^(?:\S{0,200}[/_-])?)(?:pre|fine)?train\w{0,60}\.py\b"
    r"|\btrl (?:sft|dpo|grpo|kto)\b|\baxolotl\b|\bautotrain\b",
    re.IGNORECASE,
)
_INFERENCE = re.compile(
    r"\bpipeline\(|\.generate\(|\binferenceclient\b|\bvllm\b|\bsglang\b|\bllama[-_.]?cpp\b"
    r"|\btext-generation-inference\b|\btransformers serve\b|\bchat[._]completions?\b"
    r"|\.predict\(|\bsentencetransformer\(",
    re.IGNORECASE,
)
_DATA = re.compile(
    r"\bload_dataset\(|\bdataset(?:dict)?\.from_|\.to_parquet\(|\bread_(?:csv|parquet|json)\(|\.filter\(lambda|\bpyarrow\b"
    r"|\bpl\.scan_|\bdatatrove\b",
    re.IGNORECASE,
)


def bare(tool: str) -> str:
    """The name of a tool without the MCP server that offers it."""
    return tool.rpartition("__")[2] if tool.startswith("mcp__") else tool


def task(calls: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    """training, inference, data_prep or research_only, the first that fits; None where none does.

    `calls` are the tools that were called, with their arguments.
    """
    calls = [(bare(name), arguments) for name, arguments in calls]
    tools = {name for name, _ in calls}
    code = [text[:MOST_CODE_CHARS] for name, arguments in calls for text in _code(name, arguments)]
    kinds = ((_TRAINING, "training"), (_INFERENCE, "inference"), (_DATA, "data_prep"))
    for pattern, kind in kinds:
        if any(pattern.search(text) for text in code):
            return kind
    if tools & DATA_TOOLS and not tools & COMPUTE:
        return "data_prep"
    return "research_only" if calls and all(_only_looks(*call) for call in calls) else None


def _code(tool: str, arguments: Mapping[str, Any]) -> Iterable[str]:
    for name in _CODE_ARGUMENTS.get(tool, ()):
        value = arguments.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):  # a command as a list of words, or several edits
            yield " ".join(map(str, value))


def _only_looks(tool: str, arguments: Mapping[str, Any]) -> bool:
    return tool in LOOKING or str(arguments.get("operation")) in LOOKING_OPERATIONS.get(tool, ())

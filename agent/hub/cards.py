"""What a repository's README says about where it comes from: a tag, and a section.

It also runs inside of jobs (`artifact_hook`), as text: standard library and PyYAML only, nothing of this program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

TAG = "ml-intern"
MARKER = "<!-- ml-intern-provenance -->"
"""Where it is, nothing is added to the text any more."""

# the block as huggingface_hub sees it (repocard.REGEX_YAML_BLOCK), and an empty one, too
_FRONT_MATTER = re.compile(r"\A(\ufeff?\s*---\r?\n)(.*?)(^---(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
_USAGE_HEADING = re.compile(
    r"^#{2,6}[ \t]+(?:usage|how to use|(?:using|use) this (?:model|dataset))[ \t]*#*[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_LLM_USAGE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{id}")
model = AutoModelForCausalLM.from_pretrained("{id}")"""
_FILES_USAGE = """\
from huggingface_hub import snapshot_download

directory = snapshot_download("{id}")"""
_DATASET_USAGE = """\
from datasets import load_dataset

dataset = load_dataset("{id}")"""


def augmented_card(content: str, repo_id: str, repo_type: str = "model", extra: Mapping[str, Any] | None = None) -> str:
    """The README with the tag and, for models and datasets, a section on its making and one on its use.

    `extra` are metadata for keys that the README does not have. What is there stays: text is only added, comments and
    order of the metadata are kept where the YAML allows it. A README whose metadata nobody can read comes back as it
    is. Doing it again changes nothing.
    """
    newline = "\r\n" if "\r\n" in content else "\n"
    match = _FRONT_MATTER.match(content)
    if match:
        (opening, text, closing), body = match.groups(), content[match.end() :]
    else:
        body = content.removeprefix("\ufeff")
        opening, text, closing = f"{content[: len(content) - len(body)]}---{newline}", "", f"---{newline}"
    metadata = _loaded(text)
    if metadata is None:
        return content
    wanted = _wanted(metadata, extra or {})
    if repo_type != "space":  # a Space shows its app
        body = _described(body, repo_id, repo_type, wanted, newline)
        closing = closing if closing.endswith("\n") else closing + newline
    return opening + _edited(text, metadata, wanted, newline) + closing + body


# --- metadata --------------------------------------------------------------------------------------------------------


def _loaded(text: str) -> dict[Any, Any] | None:
    """Metadata as they are read by everybody; None if they are no YAML mapping."""
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RecursionError):
        return None  # PyYAML lets errors of its conversions through: `2024-99-99` is a ValueError
    return {} if found is None else found if isinstance(found, dict) else None


def _wanted(metadata: Mapping[Any, Any], extra: Mapping[str, Any]) -> dict[Any, Any]:
    wanted = {**metadata, **{key: value for key, value in extra.items() if key not in metadata}}
    tags = wanted.get("tags")
    if isinstance(tags, str) and tags not in ("", TAG):
        wanted["tags"] = [tags, TAG]
    elif tags is None or tags == "":
        wanted["tags"] = [TAG]
    elif isinstance(tags, list) and TAG not in tags:
        wanted["tags"] = [*tags, TAG]
    return wanted


def _edited(text: str, metadata: Mapping[Any, Any], wanted: dict[Any, Any], newline: str) -> str:
    """The YAML text with as little changed as possible; written anew where that does not say what is wanted."""
    if wanted == metadata:
        return text
    edited = text
    if "tags" in metadata and metadata["tags"] != wanted["tags"]:
        edited = _retagged(text, wanted["tags"], newline)
    if new := {key: value for key, value in wanted.items() if key not in metadata}:
        edited += newline if edited and not edited.endswith("\n") else ""
        edited += _dumped(new, newline)
    return edited if _loaded(edited) == wanted else _dumped(wanted, newline)


def _retagged(text: str, tags: list[Any], newline: str) -> str:
    """The text with the value of `tags` changed in its place; whether that went well is for the caller to check."""
    import yaml

    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    # of several keys with this name the last one counts
    node = next((value for key, value in reversed(root.value) if key.value == "tags"), None)
    if node is None:  # it comes in by a merge key
        return text
    start, end = node.start_mark.index, node.end_mark.index
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        value = json.dumps(tags, ensure_ascii=False, default=str)
        return f"{text[:start]}{'' if start < end else ' '}{value}{text[end:]}"
    end = node.value[-1].end_mark.index
    if node.flow_style:
        return f"{text[:end]}, {TAG}{text[end:]}"
    item = f"{' ' * node.start_mark.column}- {TAG}"
    line_end = text.find("\n", end) + 1
    return f"{text[:line_end]}{item}{newline}{text[line_end:]}" if line_end else f"{text}{newline}{item}{newline}"


def _dumped(metadata: Mapping[Any, Any], newline: str) -> str:
    import yaml

    dumped = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000)
    return str(dumped).replace("\n", newline)


# --- text ------------------------------------------------------------------------------------------------------------


def _described(body: str, repo_id: str, repo_type: str, metadata: Mapping[Any, Any], newline: str) -> str:
    """The text with what it lacks."""
    if not body.strip():
        body = f"# {repo_id}{newline}"
    if MARKER in body:
        return body
    sections = (
        f"{MARKER}\n## Generated by ML Intern\n\nThis {repo_type} was made with the help of an agent, ml-intern.\n"
    )
    if not _USAGE_HEADING.search(body):
        sections += f"\n## Usage\n\n```python\n{_usage(repo_type, metadata).format(id=repo_id)}\n```\n"
    gap = newline if body.endswith("\n") else newline * 2
    return body + gap + sections.replace("\n", newline)


def _usage(repo_type: str, metadata: Mapping[Any, Any]) -> str:
    """Code that loads it. What is known of a model may say that it is no language model of transformers."""
    if repo_type == "dataset":
        return _DATASET_USAGE
    is_llm = metadata.get("pipeline_tag") in (None, "text-generation")
    return _LLM_USAGE if is_llm and metadata.get("library_name") in (None, "transformers") else _FILES_USAGE

"""What the person's answer to a question means, and what becomes of a call that they edit before they answer."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields, replace
from enum import Enum
from typing import Any, Literal

from agent.light_dataclass import dataclass
from agent.protocol.events import ApprovalItem
from agent.protocol.operations import ApprovalAnswer
from agent.ui.approval.bodies import body_of

_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})
_ALWAYS = frozenset({"a", "always"})
_EDIT = frozenset({"e", "edit"})
_UNCLEAR = frozenset({"", "ok", "okay", "k", "sure", "yep", "yeah", "?"})
"""Neither a clear yes nor a reason to refuse: asked again."""
_MEANT_AS_YES = frozenset(
    {"yes please", "yes do it", "yes go ahead", "ok go", "ok do it", "ok go ahead", "go", "go ahead", "go on", "do it"}
    | {"please do", "sure thing", "sure go ahead", "looks good", "lgtm", "fine", "approve", "approved", "y please"}
)
"""Would be taken for a refusal, which nobody means by them: asked again as well."""
_MAX_COMPARED = 4_000_000
"""Lines before times lines after: beyond it, comparing would take longer than reading."""
_SUFFIXES = {"bash": ".sh", "hf_jobs": ".py", "propose_plan": ".md"}
"""What a tool's text is written in, for the colours of an editor."""


class Action(Enum):
    """What the person may want before they answer."""

    EDIT = "edit"


EDIT: Literal[Action.EDIT] = Action.EDIT


@dataclass(frozen=True, slots=True)
class EditedItem(ApprovalItem):
    """A call as the person changed it. `original` is what the agent asked for, `changes` the difference as a diff."""

    original: ApprovalItem | None = None
    changes: str = ""


def prompt_hint(item: ApprovalItem) -> str:
    """The keys that answer, in one line."""
    always = " / [a]lways" if item.always_rule else ""
    edit = " / [e]dit" if item.editable else " / [e] see all" if editor_text(item) is not None else ""
    return f"[y]es / [n]o{always}{edit} / or type why not"


def parse_answer(text: str, item: ApprovalItem) -> ApprovalAnswer | Literal[Action.EDIT] | None:
    """What the person's line means for `item`; None if it must be asked again.

    Yes, no, always (where a rule is offered) and edit (where `editor_text` has something) in any case; every other text
    refuses, and is passed on as it is.
    """
    word = text.strip().lower()
    call_id = item.tool_call_id
    if word in _YES:
        return ApprovalAnswer(call_id, approved=True)
    if word in _NO:
        return ApprovalAnswer(call_id, approved=False)
    if word in _ALWAYS:
        return ApprovalAnswer(call_id, approved=True, always_rule=item.always_rule) if item.always_rule else None
    if word in _EDIT:
        return EDIT if editor_text(item) is not None else None
    is_unclear = word in _UNCLEAR or " ".join(re.findall(r"\w+", word)) in _MEANT_AS_YES
    return None if is_unclear else ApprovalAnswer(call_id, approved=False, feedback=text)


def editor_text(item: ApprovalItem) -> str | None:
    """What `e` opens in the editor: the argument that may be changed, or all of what was too long to be shown."""
    if item.editable is not None:
        return _argument(item)
    return body_of(item).whole or None


def editor_suffix(item: ApprovalItem) -> str:
    """The ending of a file with that text."""
    path = item.arguments.get("path")
    if item.editable and isinstance(path, str) and "." in (name := path.rsplit("/", 1)[-1]):
        ending = name.rsplit(".", 1)[1]
        return f".{ending}" if ending.isascii() and ending.isalnum() else ".txt"
    return _SUFFIXES.get(item.tool, ".txt") if item.editable else ".diff" if item.preview else ".txt"


def with_edited(item: ApprovalItem, text: str, hints: tuple[str, ...] = ()) -> ApprovalItem:
    """The call with `text` in place of its editable argument, to be shown and asked about again.

    Text that was only looked at, or is as it was, gives the call as the agent asked for it. What was said of that one
    (preview, rule, hints) is not true of the new one and goes; `hints` are those of the new one, if the caller knows.
    """
    original = (item.original or item) if isinstance(item, EditedItem) else item
    before = _argument(original)
    if original.editable is None or before is None or text == before:
        return original
    arguments = {**original.arguments, original.editable: text}
    kept: dict[str, Any] = {field.name: getattr(original, field.name) for field in fields(ApprovalItem)}
    kept |= {"arguments": arguments, "preview": None, "always_rule": None, "hints": hints}
    return EditedItem(**kept, original=original, changes=_difference(before, text))


def answer_for(original: ApprovalItem, edited: ApprovalItem, parsed: ApprovalAnswer) -> ApprovalAnswer:
    """The answer to `original`, given what was said (`parsed`) when `edited` was shown: a yes carries the new text."""
    text = _argument(edited)
    if not parsed.approved or text is None or text == _argument(original):
        return parsed
    return replace(parsed, edited_script=text)


def _argument(item: ApprovalItem) -> str | None:
    value = item.arguments.get(item.editable) if item.editable else None
    return value if isinstance(value, str) else None


def _difference(before: str, after: str) -> str:
    old, new = before.splitlines(), after.splitlines()
    if len(old) * len(new) > _MAX_COMPARED:
        return f"{len(old):,} lines became {len(new):,}; too many to compare"
    diff = "\n".join(difflib.unified_diff(old, new, "as the agent wrote it", "as you changed it", lineterm=""))
    return diff or "only line ends changed"

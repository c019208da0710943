"""What each column is good for, judged by its type and by the rows at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from agent.light_dataclass import dataclass
from agent.tools.datasets.asking import Json
from agent.tools.datasets.samples import Row
from agent.tools.datasets.shapes import Shape, read_shape

Form = Literal[
    "text", "chat", "from_value", "odd_chat", "chat_as_text", "chat_of_lists", "bool", "label", "int", "other"
]
"""`chat`: a list of {role, content}. `from_value`: of {from, value}. `odd_chat`: of one of both with another name.
`chat_as_text`: a list of messages written as JSON. `chat_of_lists`: a struct of lists of roles and contents."""

CHAT_FORMS: frozenset[Form] = frozenset(("chat", "from_value", "odd_chat", "chat_as_text"))
_ROLES = frozenset(("role", "from", "speaker", "author"))
_CONTENTS = frozenset(("content", "value", "text", "message"))
_FORMS_BY_KIND: dict[str, Form] = {"text": "text", "bool": "bool", "label": "label", "int": "int"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `form` is what it holds, as far as type and rows tell."""

    name: str
    shape: Shape
    form: Form


def read_columns(features: Json, rows: Sequence[Row]) -> tuple[Column, ...]:
    """All columns of a config, in order."""
    shapes = {name: read_shape(feature) for name, feature in features.items()}
    return tuple(Column(name, shape, _form(name, shape, rows)) for name, shape in shapes.items())


def messages_in(cell: Any) -> list[Json] | None:
    """The messages of a conversation, as a list or as JSON text; None if `cell` is none."""
    if isinstance(cell, str) and cell.lstrip()[:1] == "[":
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return None
    if not isinstance(cell, list) or not cell or not all(isinstance(each, dict) for each in cell):
        return None
    return cell if all(_form_of_keys(frozenset(each)) != "other" for each in cell) else None


def _form(name: str, shape: Shape, rows: Sequence[Row]) -> Form:
    if shape.kind == "list" and (form := _form_of_keys(shape.item_fields)) != "other":
        return form
    if shape.kind == "struct" and _form_of_keys(frozenset(field for field, _ in shape.fields)) != "other":
        is_lists = all(inner.kind == "list" for _, inner in shape.fields)
        return "chat_of_lists" if is_lists else "other"
    if shape.kind in ("text", "list", "json", "other"):
        form = _form_of_cells([cell for row in rows if (cell := row.whole(name)) not in (None, "", [])])
        if form != "other":
            return form
    return _FORMS_BY_KIND.get(shape.kind, "other")


def _form_of_cells(cells: Sequence[Any]) -> Form:
    """What all of these are; `other` if they are nothing of the kind, or differ."""
    found = [messages_in(cell) for cell in cells]
    if not found or None in found:
        return "other"
    if any(isinstance(cell, str) for cell in cells):
        return "chat_as_text"
    forms = {_form_of_keys(frozenset(each)) for messages in found for each in messages or ()}
    return forms.pop() if len(forms) == 1 else "odd_chat"


def _form_of_keys(keys: frozenset[str]) -> Form:
    if {"role", "content"} <= keys:
        return "chat"
    if {"from", "value"} <= keys:
        return "from_value"
    # an assistant's message may have tool calls instead of content
    is_chat = "role" in keys and bool(keys & {"tool_calls", "function_call"})
    return "chat" if is_chat else "odd_chat" if keys & _ROLES and keys & _CONTENTS else "other"

"""What a column holds, read from the viewer's description of features to any depth.

A feature is `{"dtype", "_type": "Value"}`, `{"names", "_type": "ClassLabel"}`, `{"feature", "_type": "List"}`, a list
with one feature in it, a plain object of features (a struct), or one of a few more with their name in `_type`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from agent.light_dataclass import dataclass
from agent.tools.datasets.asking import on_one_line

Kind = Literal["text", "bool", "int", "float", "label", "list", "struct", "media", "json", "other"]

_MAX_DEPTH = 10
_SHOWN_LABELS = 10
_SHOWN_FIELDS = 30
_MEDIA = frozenset(("Image", "Audio", "Video", "Pdf", "Nifti"))


@dataclass(frozen=True, slots=True)
class Shape:
    """A type: `text` is how it is shown, `item` what a list has in it, `fields` those of a struct."""

    kind: Kind
    text: str
    item: Shape | None = None
    fields: tuple[tuple[str, Shape], ...] = ()

    @property
    def item_fields(self) -> frozenset[str]:
        """Names of the fields of each item, for a list of structs."""
        return frozenset(name for name, _ in self.item.fields) if self.item is not None else frozenset()


UNKNOWN = Shape("other", "unknown")


def read_shape(feature: Any, depth: int = 0) -> Shape:
    """The shape of a feature as the viewer describes it. Never raises: what is not known is shown by its name."""
    if depth > _MAX_DEPTH:
        return Shape("other", "…")
    if isinstance(feature, list):
        return _list_of(read_shape(feature[0], depth + 1)) if feature else Shape("list", "list")
    if not isinstance(feature, dict):
        return UNKNOWN
    name = feature.get("_type")
    if isinstance(name, str):
        return _READERS.get(name, _other)(feature, depth)
    if isinstance(feature.get("dtype"), str):
        return _value(feature, depth)
    return _struct(feature, depth)


def _value(feature: dict[str, Any], _depth: int) -> Shape:
    dtype = on_one_line(str(feature.get("dtype") or "unknown"), 60)
    if dtype in ("string", "large_string", "string_view"):
        return Shape("text", dtype)
    if dtype == "bool":
        return Shape("bool", dtype)
    if dtype.startswith(("int", "uint")):
        return Shape("int", dtype)
    return Shape("float" if dtype.startswith(("float", "double", "decimal")) else "other", dtype)


def _class_label(feature: dict[str, Any], _depth: int) -> Shape:
    names = feature.get("names")
    names = names if isinstance(names, list) else []
    shown = [f"{on_one_line(str(name), 40)}={index}" for index, name in enumerate(names[:_SHOWN_LABELS])]
    more = [f"… {len(names):,} classes"] if len(names) > _SHOWN_LABELS else []
    return Shape("label", f"ClassLabel({', '.join([*shown, *more])})")


def _list(feature: dict[str, Any], depth: int) -> Shape:
    inner, length = feature.get("feature"), feature.get("length")
    if feature["_type"] == "Sequence" and isinstance(inner, dict) and _is_struct(inner):
        # that is how `datasets` has always stored it: a struct of lists, not a list of structs
        return _struct({name: [each] for name, each in inner.items()}, depth)
    name = "large_list" if feature["_type"] == "LargeList" else "list"
    return _list_of(read_shape(inner, depth + 1), name, length if isinstance(length, int) and length >= 0 else None)


def _is_struct(feature: dict[str, Any]) -> bool:
    return not isinstance(feature.get("_type"), str) and not isinstance(feature.get("dtype"), str)


def _list_of(item: Shape, name: str = "list", length: int | None = None) -> Shape:
    return Shape("list", f"{name}<{item.text}{'' if length is None else f', {length}'}>", item)


def _struct(feature: dict[str, Any], depth: int) -> Shape:
    fields = tuple((name, read_shape(each, depth + 1)) for name, each in feature.items())
    shown = [f"{on_one_line(name, 60)}: {shape.text}" for name, shape in fields[:_SHOWN_FIELDS]]
    more = [f"… {len(fields):,} fields"] if len(fields) > _SHOWN_FIELDS else []
    return Shape("struct", f"{{{', '.join([*shown, *more])}}}", None, fields)


def _array(feature: dict[str, Any], _depth: int) -> Shape:
    sizes = feature.get("shape")
    size = "x".join("?" if each is None else str(each)[:12] for each in sizes[:5]) if isinstance(sizes, list) else "?"
    return Shape("other", f"{feature['_type']}<{on_one_line(str(feature.get('dtype')), 40)}, {size}>")


def _translation(feature: dict[str, Any], _depth: int) -> Shape:
    languages = feature.get("languages")
    names = ", ".join(on_one_line(str(each), 20) for each in languages[:20]) if isinstance(languages, list) else ""
    return Shape("other", f"{feature['_type']}<{names}>" if names else feature["_type"])


def _json(_feature: dict[str, Any], _depth: int) -> Shape:
    return Shape("json", "Json")


def _other(feature: dict[str, Any], _depth: int) -> Shape:
    name = on_one_line(str(feature["_type"]), 60)
    rate = feature.get("sampling_rate")
    text = f"{name}({rate} Hz)" if isinstance(rate, int) else name
    return Shape("media" if name in _MEDIA else "other", text)


_READERS: dict[str, Callable[[dict[str, Any], int], Shape]] = {
    "Value": _value,
    "ClassLabel": _class_label,
    "List": _list,
    "Sequence": _list,
    "LargeList": _list,
    "Array2D": _array,
    "Array3D": _array,
    "Array4D": _array,
    "Array5D": _array,
    "Translation": _translation,
    "TranslationVariableLanguages": _translation,
    "Json": _json,
}

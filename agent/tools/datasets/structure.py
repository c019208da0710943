"""Configs and splits: which there are, how large, and which one is looked at."""

from __future__ import annotations

import difflib
from dataclasses import field
from typing import Any

from agent.light_dataclass import dataclass
from agent.tools.datasets.asking import Json, Part, Trouble, on_one_line
from agent.tools.datasets.names import Wanted
from agent.tools.looking import echo

_LISTED_NAMES = 60


@dataclass(frozen=True, slots=True)
class Split:
    """One split of one config. None: not known. `num_bytes` is its size as Parquet files."""

    config: str
    name: str
    num_rows: int | None = None
    num_columns: int | None = None
    num_bytes: int | None = None
    is_estimate: bool = False
    """The conversion is partial: `num_rows` is the viewer's estimate of all rows."""


@dataclass(frozen=True, slots=True)
class Structure:
    """All splits in the service's order, and the names of those that are not converted (yet), with the cause."""

    splits: tuple[Split, ...] = ()
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    trouble: Trouble | None = None
    """Why the list of splits is missing."""
    size_trouble: Trouble | None = None
    is_partial: bool = False

    @property
    def configs(self) -> tuple[str, ...]:
        """Each once, in order."""
        return tuple(dict.fromkeys(split.config for split in self.splits))

    def of(self, config: str) -> tuple[Split, ...]:
        """The splits of one config."""
        return tuple(split for split in self.splits if split.config == config)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is looked at. `problem`: why nothing can be, with the names there are (foreign text)."""

    split: Split = field(default_factory=lambda: Split("default", "train"))
    is_guess: bool = False
    problem: str = ""


def read_structure(splits: Part, size: Part) -> Structure:
    """What `/splits` and `/size` say together; the second alone if the first has failed."""
    sizes = {} if isinstance(size, Trouble) else _sizes(size)
    listed = [] if isinstance(splits, Trouble) else [_names(each) for each in _dicts(splits.get("splits"))]
    named = [each for each in listed if all(each)] or list(sizes)
    told = [part for part in (splits, size) if not isinstance(part, Trouble)]
    return Structure(
        tuple(sizes.get(each) or Split(*each) for each in dict.fromkeys(named)),
        pending=_unconverted(told, "pending"),
        failed=_unconverted(told, "failed"),
        trouble=splits if isinstance(splits, Trouble) else None,
        size_trouble=size if isinstance(size, Trouble) else None,
        is_partial=not isinstance(size, Trouble) and size.get("partial") is True,
    )


def choose(structure: Structure, wanted: Wanted) -> Choice:
    """The split to look at: what was asked for, else `train` of the first config; it is always one of that config."""
    if not structure.splits:
        return Choice(Split(wanted.config or "default", wanted.split or "train"), is_guess=True)
    configs = structure.configs
    if wanted.config and wanted.config not in configs:
        return Choice(
            problem=f"There is no config {echo(wanted.config)}. {_there_are('configs', wanted.config, configs)}"
        )
    config = wanted.config or _first_config(structure, wanted.split)
    inside = structure.of(config)
    if wanted.split:
        for split in inside:
            if split.name == wanted.split:
                return Choice(split)
        names = tuple(split.name for split in inside)
        where = f"Config {echo(config)} has no split {echo(wanted.split)}."
        others = [each for each in configs if any(split.name == wanted.split for split in structure.of(each))]
        also = f" {_there_are('Configs with it', '', tuple(others))}" if others else ""
        return Choice(problem=f"{where} {_there_are('splits', wanted.split, names)}{also}")
    return Choice(min(inside, key=_is_no_training_split))


def _first_config(structure: Structure, split: str) -> str:
    """`default` or the first; if a split was asked for, of those that have it."""
    having = [each.config for each in structure.splits if each.name == split] if split else []
    configs = having or list(structure.configs)
    return "default" if "default" in configs else configs[0]


def _is_no_training_split(split: Split) -> int:
    """0 for `train`, 1 for what begins so, 2 for the rest; `min` then keeps the service's order."""
    return 0 if split.name == "train" else 1 if split.name.startswith("train") else 2


def _there_are(what: str, given: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(given, names, n=5, cutoff=0.5) if given else []
    shown = list(dict.fromkeys([*near, *names]))[:_LISTED_NAMES]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    label = what if what[0].isupper() else f"The {what} are"
    return f"{label}: {', '.join(on_one_line(each, 80) for each in shown)}{more}."


def _sizes(size: Json) -> dict[tuple[str, str], Split]:
    told = size.get("size")
    splits = {}
    for each in _dicts(told.get("splits") if isinstance(told, dict) else None):
        names, estimate = _names(each), _number(each.get("estimated_num_rows"))
        splits[names] = Split(
            *names,
            num_rows=_number(each.get("num_rows")) if estimate is None else estimate,
            num_columns=_number(each.get("num_columns")),
            num_bytes=_number(each.get("num_bytes_parquet_files")) or _number(each.get("num_bytes_memory")),
            is_estimate=estimate is not None,
        )
    return {names: split for names, split in splits.items() if all(names)}


def _unconverted(parts: list[Json], which: str) -> tuple[str, ...]:
    """`config/split` of what is pending or failed, with the cause where it is told."""
    found: dict[str, str] = {}
    for each in (each for part in parts for each in _dicts(part.get(which))):
        name = "/".join(part for part in _names(each) if part) or "the whole dataset"
        error = each.get("error")
        told = error.get("error") if isinstance(error, dict) else error
        found[name] = found.get(name) or (on_one_line(str(told), 200) if told else "")
    return tuple(f"{name} ({cause})" if cause else name for name, cause in found.items())


def _names(each: Json) -> tuple[str, str]:
    config, split = each.get("config"), each.get("split")
    return (config if isinstance(config, str) else "", split if isinstance(split, str) else "")


def _dicts(value: Any) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

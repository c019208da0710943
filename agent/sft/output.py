"""Rows as files: `DIR/<day>/<session id>.jsonl`, one row each, or all of them in `DIR/train.jsonl`.

`DIR/README.md` tells `datasets.load_dataset(DIR)` the columns: from the first file alone it would conclude that there
are no tool calls at all, where that session has none, and fail at the next one. It is only written where none is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir, write_private
from agent.sessions.errors import SessionError
from agent.sft.rows import Row
from agent.traces.saying import compact_json

SINGLE = "train.jsonl"

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")

CARD = """\
---
pretty_name: ml-intern sessions for training
tags:
- ml-intern
- agent-traces
configs:
- config_name: default
  data_files:
  - split: train
    path: "**/*.jsonl"
dataset_info:
  features:
  - name: session_id
    dtype: string
  - name: model
    dtype: string
  - name: timestamp
    dtype: string
  - name: tags
    list: string
  - name: messages
    list:
    - name: role
      dtype: string
    - name: content
      dtype: string
    - name: reasoning_content
      dtype: string
    - name: tool_calls
      list:
      - name: id
        dtype: string
      - name: type
        dtype: string
      - name: function
        struct:
        - name: name
          dtype: string
        - name: arguments
          dtype: string
    - name: tool_call_id
      dtype: string
    - name: name
      dtype: string
  - name: tools
    dtype: string
---

# Sessions of ml-intern, to train on

One row per session: `session_id`, `model` (which answered), `timestamp` (UTC, when it began), `tags`, `messages`
(OpenAI chat form), `tools` (JSON text: what the model could call, `[]` where that is not known).

```python
from datasets import load_dataset
from trl.trainer.utils import remove_none_values

rows = load_dataset("DIR", split="train").with_transform(remove_none_values)  # the directory of this file
```

The arguments of tool calls are JSON text, as OpenAI has them. Chat templates that want objects there (Llama's, say)
need `json.loads` on them first.

Secrets were searched for and replaced, and no search finds everything: read the rows before you give them to others.
"""


class SftError(SessionError):
    """Rows cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Written:
    """`changed` and `unchanged` count rows; a single file is always written anew. `others` are the `.jsonl` files that
    are there besides."""

    changed: int
    unchanged: int
    others: int


def write_rows(out: Path, rows: Iterable[Row], *, single_file: bool = False) -> Written:
    """Write `rows` into the directory `out`, readable by this user alone, each file whole or not at all. Blocks.

    Where there are no rows, nothing is made. Raises `SftError`.
    """
    try:
        paths, changed, unchanged = (_single if single_file else _by_day)(out, rows)
        if changed and not (out / "README.md").exists():
            _write(out / "README.md", CARD.encode())
        there = {*out.glob("*.jsonl"), *out.glob("*/*.jsonl")}
    except OSError as error:
        raise SftError(f"{out} cannot be written ({error.strerror or error}); give another directory") from error
    return Written(changed, unchanged, len(there - paths))


def _line(row: Row) -> bytes:
    return compact_json(row).encode("ascii") + b"\n"


def _by_day(out: Path, rows: Iterable[Row]) -> tuple[set[Path], int, int]:
    paths: set[Path] = set()
    changed = 0
    for row in rows:
        path = out / row["timestamp"][:10] / f"{_name(row['session_id'])}.jsonl"
        paths.add(path)
        line = _line(row)
        if not path.is_file() or path.read_bytes() != line:
            _write(path, line)
            changed += 1
    return paths, changed, len(paths) - changed


def _single(out: Path, rows: Iterable[Row]) -> tuple[set[Path], int, int]:
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return set(), 0, 0
    path, count = out / SINGLE, 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        for count, row in enumerate(chain([first], rows), 1):  # noqa: B007 - what it was last is told
            yield _line(row)

    _write(path, lines())
    return {path}, count, 0


def _write(path: Path, data: bytes | Iterable[bytes]) -> None:
    if not path.parent.exists():
        make_private_dir(path.parent)
    write_private(path, data, overwrite=True, durable=False)


def _name(session_id: str) -> str:
    """A file name for a session: its id, which comes out of a file, where that is safe to use."""
    return (
        session_id
        if _FILE_NAME.fullmatch(session_id)
        else hashlib.sha256(session_id.encode("utf-8", "replace")).hexdigest()
    )

"""What code announces of itself: that it trains, and that what it makes outlives the job. Guesses by its words."""

from __future__ import annotations

import re

from agent.light_dataclass import dataclass
from agent.redaction.shapes import holds_key

# Each repetition is bounded, so that no text takes more than a look at each of its signs.
_TRAINS = re.compile(r"Trainer\b|\.(train|fit)\(|\.backward\(|\b(accelerate|torchrun|trl|deepspeed|axolotl)\b")
_SAVES = re.compile(
    r"push_to_hub(?!\s{0,20}=\s{0,20}False)(?!\W{0,3}false)|hub_model_id|upload_(folder|file|large_folder)"
    r"|create_commit\b|\bhf upload\b|huggingface-cli upload"
)
_WRITES = re.compile(r"save_pretrained|save_model|torch\.save|\.to_(parquet|csv|json)\(|save_to_disk|save_file\(")
_NAME, _PLACE = r"[\w.{}-]{1,100}/[\w.{}-]{1,100}", r"[\w./{}-]{1,200}"
_TARGETS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"hub_model_id[\"']?[\s=:]{{1,20}}f?[\"']?({_NAME})",
        rf"push_to_hub\(\s{{0,40}}(?:repo_id\s{{0,20}}=\s{{0,20}})?f?[\"']({_PLACE})[\"']",
        r"\b(?:hf|huggingface-cli) upload\s{1,20}([\w.-]{1,100}/[\w.-]{1,100})",
        rf"repo_id\s{{0,20}}=\s{{0,20}}f?[\"']({_PLACE})[\"']",
    )
)
_READ_CHARS = 200_000
"""Of longer code the rest is not read."""


@dataclass(frozen=True, slots=True)
class Announced:
    """`saves_to` is the repository, None where it is not seen; `writes`: it saves files on the job's own disk."""

    trains: bool
    saves: bool
    saves_to: str | None
    writes: bool
    holds_key: bool

    @property
    def is_lost(self) -> bool:
        """Whether it makes something that is gone when the job ends."""
        return (self.trains or self.writes) and not self.saves


def announced(code: str) -> Announced:
    """What `code`, a script or a command line, says it will do."""
    code = code[:_READ_CHARS]
    saves = bool(_SAVES.search(code))
    found = (match for pattern in _TARGETS if (match := pattern.search(code)) is not None)
    target = next(found, None)
    return Announced(
        trains=bool(_TRAINS.search(code)),
        saves=saves,
        saves_to=target.group(1) if saves and target is not None else None,
        writes=bool(_WRITES.search(code)),
        holds_key=holds_key(code),
    )

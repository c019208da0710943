"""What one line of a training log says: figures, and whether it tells of trouble. Pure, and quick on plain text.

Known forms: the dict lines of the transformers Trainer (`{'loss': 1.2, 'epoch': 0.3}`, since v5 with quoted figures),
JSON lines, and `key=value` or `key: value` with a key that names a figure of training. Counters (step, epoch, learning
rate) count only beside such a figure, and progress bars only for what was put behind them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Final, Literal

from agent.light_dataclass import dataclass

AlertKind = Literal["traceback", "oom", "alert"]
"""`traceback`: the beginning of one; `oom`: an accelerator's memory was not enough; `alert`: trackio, level ERROR."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a line says; `metrics` by the name that the line gives them, at most `MAX_METRICS`."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    alert: AlertKind | None = None


NOTHING: Final = Facts()
MAX_METRICS: Final = 20
_LOOKED_AT_CHARS: Final = 2_000

_FIGURES: Final = frozenset(
    "loss perplexity ppl accuracy accuracies acc f1 bleu rouge rouge1 rouge2 rougel rougelsum reward rewards mse mae "
    "rmse auc wer cer iou miou map psnr ssim fid kl norm ndcg mrr pass@1".split()
)
"""A key is a figure when one of its words is among these: eval_loss, train/loss, rewards.mean, grad_norm."""

_COUNTERS: Final = frozenset("epoch epochs step steps iter iteration lr learning_rate global_step".split())

_SETTINGS: Final = frozenset("type fn func function scale weight weights coef coeff factor max clip layer num".split())
"""With one of these words in it a key names a setting, not a figure: loss_type, max_grad_norm, kl_coef."""

_HINTS: Final = (
    "loss",
    "acc",
    "reward",
    "perplexity",
    "ppl",
    "norm",
    "f1",
    "bleu",
    "rouge",
    "mse",
    "mae",
    "auc",
    "wer",
    "iou",
    "kl",
    "psnr",
    "fid",
    "ndcg",
    "mrr",
    "cer",
    "map",
    "ssim",
    "pass@",
)
# names are single words: they are shown to a model, and a sentence could tell it anything
_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|NaN|NAN|inf|Inf|Infinity)"
_DICT_PAIR: Final = re.compile(rf"""['"]([A-Za-z0-9_/.@\-]{{1,60}})['"]\s?:\s?['"]?({_NUMBER})['"]?(?=\s*[,}}])""")
_PLAIN_PAIR: Final = re.compile(
    rf"(?<![\w/.@\-])([A-Za-z_][A-Za-z0-9_/.@\-]{{0,59}}) ?[:=] {{0,3}}({_NUMBER})(?![\w%])"
)
_WORDS: Final = re.compile(r"[/_.\- ]+")
_OOM: Final = re.compile(
    r"(?:CUDA|HIP|MPS backend|XPU) out of memory|OutOfMemoryError|RESOURCE_EXHAUSTED: Out of memory|CUBLAS_STATUS_ALLOC"
)
_TRACKIO_ERROR: Final = re.compile(
    r"\[TRACKIO\s+ERROR\]|trackio[^\n]{0,40}\balert\b[^\n]{0,40}\berror\b", re.IGNORECASE
)


def facts_in(text: str) -> Facts:
    """The figures and the trouble that `text`, one line without its end, tells of."""
    text = text[:_LOOKED_AT_CHARS]
    alert = _alert_in(text)
    metrics = _metrics_in(text) if "=" in text or ":" in text else {}
    return Facts(metrics, alert) if metrics or alert else NOTHING


def is_broken(value: float) -> bool:
    """Whether a figure is no number any more, as of a run that has diverged."""
    return not math.isfinite(value)


def is_loss(name: str) -> bool:
    """Whether a figure is one that should fall."""
    words = _WORDS.split(name.lower())
    return "loss" in words or "perplexity" in words or "ppl" in words


def _alert_in(text: str) -> AlertKind | None:
    if "Traceback (most recent call last)" in text:
        return "traceback"
    if ("emory" in text or "ALLOC" in text) and _OOM.search(text):
        return "oom"
    if ("rror" in text or "RROR" in text) and _TRACKIO_ERROR.search(text):
        return "alert"
    return None


def _metrics_in(text: str) -> dict[str, float]:
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            break
    else:
        return {}
    stripped = text.strip()
    pairs = _DICT_PAIR if stripped[:1] == "{" and stripped[-1:] == "}" else _PLAIN_PAIR
    found = [(name, float(value)) for name, value in pairs.findall(stripped)]
    if pairs is _PLAIN_PAIR:
        found = [(name, value) for name, value in found if _is_figure(name) or _is_counter(name)]
    if not any(_is_figure(name) for name, _value in found):
        return {}
    return dict(found[:MAX_METRICS])


def _is_figure(name: str) -> bool:
    words = set(_WORDS.split(name.lower()))
    return not words.isdisjoint(_FIGURES) and words.isdisjoint(_SETTINGS)


def _is_counter(name: str) -> bool:
    return name.lower().rsplit("/", 1)[-1] in _COUNTERS

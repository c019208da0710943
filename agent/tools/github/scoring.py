"""Which files of a repository are examples, and which of them fit a keyword. Pure; big trees belong in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from agent.light_dataclass import dataclass

EXAMPLE_PATTERNS = (
    *("scripts", "examples", "example", "notebooks", "notebook", "tutorials", "tutorial", "quickstart"),
    *("walkthroughs", "walkthrough", "cookbook", "cookbooks", "recipes", "recipe", "demos", "demo", "samples"),
    *("sample", "guides", "guide", "getting-started", "getting_started", "playground", "howto", "how-to"),
    *("use-cases", "usecases", "use_cases", "sandbox", "showcase"),
)
"""Names of directories that hold examples, the likeliest first."""
LEAST_PATTERN_SCORE = 60
_LENGTH_FACTOR = 2 * 100 / LEAST_PATTERN_SCORE - 1
"""A path without a word of a pattern can reach the score only up to this many times the pattern's length: what counts
then is 2 * matching / (both lengths together). It spares most paths of a big repository the comparison."""
_FIRST = ("examples", "example")
_NO_RANK = 999
_NO_CODE = frozenset(
    ".png .jpg .jpeg .gif .svg .webp .ico .bmp .tif .tiff .mp3 .mp4 .wav .flac .ogg .webm .mov .avi .pdf .zip .gz .tgz "
    ".bz2 .xz .7z .tar .whl .jar .so .dll .dylib .exe .o .a .class .pyc .bin .pt .pth .ckpt .onnx .safetensors .gguf "
    ".npy .npz .pkl .parquet .arrow .h5 .ttf .otf .woff .woff2 .lock".split()
)


@dataclass(frozen=True, slots=True)
class Scored:
    """A path and how well it fits the keyword, 0 to 100."""

    path: str
    score: float


def is_code_or_text(path: str) -> bool:
    """Whether a file of this name can be an example: no picture, archive, model or lock file."""
    return PurePosixPath(path).suffix.lower() not in _NO_CODE


def pattern_rank(path: str) -> int:
    """The place in `EXAMPLE_PATTERNS` of the deepest directory that is one, 999 if there is none."""
    for directory in reversed(path.lower().split("/")[:-1]):
        if directory in EXAMPLE_PATTERNS:
            return EXAMPLE_PATTERNS.index(directory)
    return _NO_RANK


def examples_of(paths: Iterable[str]) -> list[str]:
    """Those of `paths` that look like examples, the likeliest first."""
    from rapidfuzz import fuzz
    from rapidfuzz.utils import default_process

    patterns = tuple(dict.fromkeys(default_process(pattern) for pattern in EXAMPLE_PATTERNS))
    words = {word for pattern in patterns for word in pattern.split()}
    longest_chars = max(map(len, patterns)) * _LENGTH_FACTOR

    def is_example(path: str) -> bool:
        plain = default_process(path)
        own = set(plain.split())  # what is compared: each word once
        shared = words & own
        if not shared.isdisjoint(patterns):
            return True  # a whole pattern is in it: 100
        if not shared and len(" ".join(own)) > longest_chars:
            return False
        return any(fuzz.token_set_ratio(each, plain, score_cutoff=LEAST_PATTERN_SCORE) for each in patterns)

    return sorted(filter(is_example, paths), key=_likelihood)


def scored(paths: Sequence[str], keyword: str, min_score: int) -> list[Scored]:
    """Those of `paths` that fit `keyword` well enough, the best first; equals keep their order."""
    from rapidfuzz import fuzz
    from rapidfuzz.utils import default_process

    wanted = default_process(keyword)
    found = []
    for path in paths:
        plain = default_process(path)
        score = max(
            fuzz.partial_ratio(wanted, plain, score_cutoff=min_score),
            fuzz.token_set_ratio(wanted, plain, score_cutoff=min_score),
        )
        if score >= min_score:
            found.append(Scored(path, score))
    return sorted(found, key=lambda each: -each.score)


def _likelihood(path: str) -> tuple[bool, int, int, str]:
    top = path.lower().split("/")[0]
    return (top not in _FIRST, pattern_rank(path), path.count("/"), path)

"""arXiv ids: read from all the forms that people write them in, and nothing else let through."""

from __future__ import annotations

import re

from agent.light_dataclass import dataclass
from agent.tools.arguments import ArgumentError

# https://info.arxiv.org/help/arxiv_identifier.html: 2310.06825, 0704.0001; hep-th/9901001, math.GT/0309136 before.
_ID = r"(?P<id>[0-9]{4}\.[0-9]{4,5}|[a-z][a-z-]{1,19}(?:\.[a-z]{2})?/[0-9]{7})(?P<version>v[1-9][0-9]{0,2})?"
_PAGES = (
    r"(?:https?://)?(?:"
    r"(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html|format)/"
    r"|ar5iv(?:\.labs\.arxiv)?\.org/(?:abs|html)/"
    r"|(?:www\.)?(?:huggingface\.co|hf\.co)/papers/"
    r"|(?:www\.)?alphaxiv\.org/(?:abs|overview)/"
    r"|(?:dx\.)?doi\.org/10\.48550/arxiv\."
    r")"
)
_FLAGS = re.IGNORECASE | re.ASCII
_BARE = re.compile(_ID, _FLAGS)
_WRITTEN = re.compile(rf"(?:arxiv:\s*|10\.48550/arxiv\.)?{_ID}", _FLAGS)
_ADDRESS = re.compile(rf"{_PAGES}{_ID}(?:\.pdf|\.md)?/?(?:[?#].*)?", _FLAGS)


@dataclass(frozen=True, slots=True)
class ArxivId:
    """`bare` is the paper, `version` (`v2`, or empty for the newest) one text of it."""

    bare: str
    version: str = ""

    def __str__(self) -> str:
        return self.bare + self.version


def read_arxiv_id(text: str, name: str = "arxiv_id") -> ArxivId:
    """The id that `text` (an id, `arXiv:…`, the address of a paper's page) names. Raises ArgumentError."""
    written = " ".join(text.split())
    match = _WRITTEN.fullmatch(written) or _ADDRESS.fullmatch(written)
    if match is None:
        raise ArgumentError(
            f"`{name}` must be an arXiv id such as 2310.06825, 2310.06825v2 or hep-th/9901001, or the address of the "
            f"paper on arXiv or Hugging Face, not {written[:80]!r}. If you only know the title, use search."
        )
    archive, slash, number = match["id"].rpartition("/")
    return ArxivId(_lower_archive(archive) + slash + number, (match["version"] or "").lower())


def is_arxiv_id(text: str) -> bool:
    """Whether `text` is an id without anything around it: what a service gave as one may go into an address."""
    return _BARE.fullmatch(text) is not None


def _lower_archive(archive: str) -> str:
    """`math.GT` however it was written."""
    group, dot, subject = archive.partition(".")
    return group.lower() + dot + subject.upper()

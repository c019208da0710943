"""What there is to read in the picture of a research: papers, a dataset, a repository, all on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.fakes.datasets_server import CHAT, DatasetsServer
from tests.fakes.github import FakeGitHub
from tests.fakes.papers_site import paper_sites

DPO, DATASET, REPO, EXAMPLE = "2305.18290", "ada/preferences", "huggingface/trl", "examples/scripts/dpo.py"
IN_PAPER, IN_EXAMPLE = "We sweep over beta", "DPOTrainer"
_PAGE = f"""<html><body><article class="ltx_document"><h1 class="ltx_title ltx_title_document">Preferences</h1>
<div class="ltx_abstract"><p class="ltx_p">No reward model is needed.</p></div>
<section id="S6" class="ltx_section">
<h2 class="ltx_title ltx_title_section"><span class="ltx_tag">6 </span>Experiments</h2>
<p class="ltx_p">{IN_PAPER}, from 0.05 to 5.</p></section></article></body></html>"""
_FOUND = [
    {
        "paperId": f"{number}" * 40,
        "externalIds": {"ArXiv": name},
        "title": title,
        "year": 2024 - number,
        "citationCount": cited,
        "authors": [{"name": "A. Author"}],
        "tldr": {"text": "It works."},
    }
    for number, (name, title, cited) in enumerate(
        ((DPO, "Direct Preference Optimization", 4200), ("2402.01306", "Prospect theoretic optimization", 640))
    )
]


def _said(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": answer}]


@contextmanager
def library() -> Iterator[Mapping[str, str]]:
    """The variables that lead there."""
    with paper_sites() as papers, DatasetsServer() as viewer, FakeGitHub() as github:
        papers.scholar.found = list(_FOUND)
        papers.arxiv.pages[DPO] = _PAGE
        viewer.add(
            DATASET,
            features={"chosen": CHAT, "rejected": CHAT},
            rows=[{"chosen": _said("It is."), "rejected": _said("No.")}],
            splits=[("default", "train", 61_135), ("default", "test", 1_000)],
        )
        script = f"from trl import DPOConfig, {IN_EXAMPLE}\n\nconfig = DPOConfig(beta=0.1, learning_rate=5e-7)\n"
        github.add(REPO, {EXAMPLE: script, "examples/scripts/kto.py": "import trl\n"}, stars=15_000)
        yield {**papers.environ, **viewer.environ, "GITHUB_API_BASE_URL": github.url}

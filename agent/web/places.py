"""Where the services are that the tools read: an address each, which the environment may replace.

A loopback server can so stand in for every one of them (tests), and a mirror or a company's own instance too.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.light_dataclass import dataclass
from agent.web.pace import DEFAULT_PACE, Pace
from agent.web.reach import Reach, origin_of


@dataclass(frozen=True, slots=True)
class Place:
    """A service: its name for messages, its address, the variable that may replace it, and how gently it is asked."""

    name: str
    variable: str
    default: str
    pace: Pace = DEFAULT_PACE

    def base(self, environ: Mapping[str, str]) -> str:
        """Its address now, without a slash at the end."""
        return (environ.get(self.variable, "").strip() or self.default).rstrip("/")

    def reach(self, environ: Mapping[str, str], *hosts: str) -> Reach:
        """Where a request to it may go: its own origin, and `hosts` that it is known to redirect to."""
        return Reach(hosts=hosts, origins=(origin_of(self.base(environ)),))


HUB = Place("Hugging Face", "HF_ENDPOINT", "https://huggingface.co")
DATASETS_SERVER = Place("the dataset viewer", "DATASETS_SERVER_BASE_URL", "https://datasets-server.huggingface.co")
GRADIO = Place("the Gradio documentation", "GRADIO_BASE_URL", "https://www.gradio.app")
SEMANTIC_SCHOLAR = Place(
    "Semantic Scholar", "SEMANTIC_SCHOLAR_BASE_URL", "https://api.semanticscholar.org", Pace(parallel=1, spacing_s=1.0)
)
ARXIV = Place("arXiv", "ARXIV_BASE_URL", "https://arxiv.org", Pace(parallel=1, spacing_s=3.0))
AR5IV = Place("ar5iv", "AR5IV_BASE_URL", "https://ar5iv.labs.arxiv.org", Pace(parallel=1, spacing_s=3.0))
GITHUB = Place("GitHub", "GITHUB_API_BASE_URL", "https://api.github.com", Pace(parallel=4))
DUCKDUCKGO = Place(
    "DuckDuckGo", "CLAWD_WEB_SEARCH_BASE_URL", "https://html.duckduckgo.com/html", Pace(parallel=1, spacing_s=1.0)
)
BRAVE = Place("Brave Search", "BRAVE_BASE_URL", "https://api.search.brave.com", Pace(parallel=1, spacing_s=1.0))
EXA = Place("Exa", "EXA_BASE_URL", "https://api.exa.ai")
SEARXNG = Place("SearXNG", "SEARXNG_BASE_URL", "")

PLACES = (HUB, DATASETS_SERVER, GRADIO, SEMANTIC_SCHOLAR, ARXIV, AR5IV, GITHUB, DUCKDUCKGO, BRAVE, EXA, SEARXNG)

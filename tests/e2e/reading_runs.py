"""What the agent reads from, all of it on this machine: the Hub, papers, GitHub, a search engine and a web site.

with outside() as world:
    done = run_headless([...], env=world.env(env))
    assert world.leaks() == []

The person has a token or key for every service that takes one (`OWNERS`); `leaks` tells who else was sent one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.datasets_server import DatasetsServer
from tests.fakes.docs_site import DocsSite
from tests.fakes.github import FakeGitHub
from tests.fakes.http_base import Exchange, HttpFake, Request
from tests.fakes.papers_site import HubPapers, PaperPages, ScholarApi, daily_paper, scholar_paper
from tests.fakes.reply import Call
from tests.fakes.search_engines import Result, SearchFake
from tests.fakes.web_site import WebSite, reply

PAPER_ID = "2310.06825"
SENTENCE = "This is a sentence of the page that is long enough for everybody who extracts main text from pages. "
HTML = {"Content-Type": "text/html; charset=utf-8"}
HF_TOKEN = "hf_" + "r" * 34
GITHUB_TOKEN = "ghp_" + "a" * 36
S2_KEY = "s2-key"
"""The only one that the fake takes."""
OWNERS = {HF_TOKEN: ("hub", "viewer"), GITHUB_TOKEN: ("github",), S2_KEY: ("scholar",)}
"""Which services may see which secret."""

_PAPER = """<html><body><article class="ltx_document"><h1 class="ltx_title ltx_title_document">Small Models</h1>
<div class="ltx_abstract"><h6 class="ltx_title">Abstract</h6><p class="ltx_p">We make models small.</p></div>
<section id="S1" class="ltx_section"><h2 class="ltx_title ltx_title_section"><span class="ltx_tag">1 </span>Method</h2>
<div class="ltx_para"><p class="ltx_p">The learning rate is 3e-4.</p></div></section></article></body></html>"""
_API = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://huggingface.co"}],
    "tags": [{"name": "webhooks"}],
    "paths": {"/api/webhooks": {"get": {"summary": "List webhooks", "tags": ["webhooks"], "responses": {"200": {}}}}},
}


class ReadingHub(HttpFake):
    """The Hub as the reading tools know it: documentation, papers and pages of datasets on one address."""

    def __init__(self, viewer: DatasetsServer) -> None:
        super().__init__()
        self.docs, self.papers, self._viewer = DocsSite(), HubPapers(), viewer

    async def respond(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path.startswith("/api/datasets/"):
            await self._viewer.respond(exchange)
        elif path.startswith(("/docs/", "/learn/", "/.well-known/")):
            await self.docs.respond(exchange)
        elif path.startswith(("/api/papers", "/papers/", "/api/daily_papers")):
            await self.papers.respond(exchange)
        else:
            await super().respond(exchange)


@dataclass
class Outside:
    """All services, and who may see which secret."""

    viewer: DatasetsServer = field(default_factory=DatasetsServer)
    scholar: ScholarApi = field(default_factory=ScholarApi)
    arxiv: PaperPages = field(default_factory=PaperPages)
    ar5iv: PaperPages = field(default_factory=PaperPages)
    github: FakeGitHub = field(default_factory=FakeGitHub)
    engines: SearchFake = field(default_factory=SearchFake)
    web: WebSite = field(default_factory=WebSite)
    hub: ReadingHub = field(init=False)

    def __post_init__(self) -> None:
        self.hub = ReadingHub(self.viewer)

    @property
    def services(self) -> dict[str, HttpFake]:
        """By name."""
        names = ("hub", "viewer", "scholar", "arxiv", "ar5iv", "github", "engines", "web")
        return {name: getattr(self, name) for name in names}

    def fill(self) -> None:
        """One thing at each of them."""
        self.hub.docs.book(
            "/docs/trl", {"SFT Trainer": ("sft_trainer", "# SFT Trainer\n\n## Packing\n\nSet packing.\n")}
        )
        self.hub.docs.texts["/.well-known/openapi.json"] = json.dumps(_API)
        self.hub.papers.papers = {"2401.00001": daily_paper(1)}
        self.scholar.found = [scholar_paper(7)]
        self.arxiv.pages[PAPER_ID] = _PAPER
        self.viewer.add("org/rows", rows=({"text": "a first row"},))
        self.github.add("huggingface/trl", {"examples/sft.py": "print('trained')\n", "README.md": "x\n"}, stars=9)
        self.engines.results = [Result("Tensor parallelism", "https://example.org/tp", "How it is done")]
        self.web.on("/page", page(f"<h1>A page</h1><p>{SENTENCE * 4}</p>"))

    def env(self, env: Mapping[str, str], **more: str) -> dict[str, str]:
        """`env` of a person who reads here, with a token or key for each service that takes one."""
        own = {
            "HF_ENDPOINT": self.hub.url,
            "OPENID_PROVIDER_URL": self.hub.url,
            "DATASETS_SERVER_BASE_URL": self.viewer.url,
            "SEMANTIC_SCHOLAR_BASE_URL": self.scholar.url,
            "ARXIV_BASE_URL": self.arxiv.url,
            "AR5IV_BASE_URL": self.ar5iv.url,
            "GITHUB_API_BASE_URL": self.github.url,
            **self.engines.environ("duckduckgo"),
            "HF_TOKEN": HF_TOKEN,
            "GITHUB_TOKEN": GITHUB_TOKEN,
            "S2_API_KEY": S2_KEY,
        }
        return {name: value for name, value in env.items() if name != "HF_HUB_OFFLINE"} | own | more

    def leaks(self) -> list[str]:
        """Every secret that was sent to a service that it is not for."""
        return [
            f"{secret} at {name}: {request.path}"
            for name, service in self.services.items()
            for request in service.requests
            for secret, owners in OWNERS.items()
            if name not in owners and secret in _sent(request)
        ]

    def knows_who(self, name: str) -> bool:
        """Whether a service was sent the secret that is for it."""
        secrets = [secret for secret, owners in OWNERS.items() if name in owners]
        return any(secret in _sent(request) for request in self.services[name].requests for secret in secrets)


@contextmanager
def outside() -> Iterator[Outside]:
    """Start them all; whatever went wrong inside one of them fails the test at the end."""
    with ExitStack() as stack:
        world = Outside()
        for service in world.services.values():
            stack.enter_context(service)
        world.fill()
        yield world
        for service in world.services.values():
            service.check()


def _sent(request: Request) -> str:
    return f"{request.path} {request.query_pairs} {request.headers} {request.raw_body!r}"


def page(body: str) -> Any:
    """An answer: an HTML page with this body."""
    return reply(f"<html><head><title>Title</title></head><body><article>{body}</article></body></html>".encode(), HTML)


def configure(env: Mapping[str, str], **settings: Any) -> Path:
    """The person's own configuration file."""
    file = Path(env["XDG_CONFIG_HOME"]) / "ml-intern" / "cli_agent_config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings))
    return file


def reading_calls(world: Outside) -> dict[str, Call]:
    """A call of every reading tool, by the id that it has."""
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "explore": ("explore_hf_docs", {"endpoint": "trl", "query": "packing"}),
        "docs": ("fetch_hf_docs", {"url": "https://huggingface.co/docs/trl/sft_trainer"}),
        "api": ("find_hf_api", {"query": "list webhooks"}),
        "papers": ("hf_papers", {"operation": "search", "query": "small models"}),
        "scholar": ("hf_papers", {"operation": "search", "query": "small models", "min_citations": 1}),
        "paper": ("hf_papers", {"operation": "read_paper", "arxiv_id": PAPER_ID, "section": "1"}),
        "dataset": ("hf_inspect_dataset", {"dataset": "org/rows"}),
        "examples": ("github_find_examples", {"repo": "huggingface/trl", "keyword": "sft"}),
        "file": ("github_read_file", {"repo": "huggingface/trl", "path": "examples/sft.py"}),
        "web": ("web_search", {"query": "tensor parallelism"}),
        "page": ("fetch_url", {"url": f"{world.web.url}/page"}),
    }
    return {name: Call(tool, arguments, id=f"call_{name}") for name, (tool, arguments) in wanted.items()}


def told(request: Mapping[str, Any]) -> dict[str, str]:
    """What a model call tells of the tools: the results by the ids of their calls, without `call_`."""
    results = [message for message in request["messages"] if message["role"] == "tool"]
    return {each["tool_call_id"].removeprefix("call_"): str(each["content"]) for each in results}


@dataclass(frozen=True)
class Wrapped:
    """A result in its parts: the text of others between the lines that mark it, and our own words around it."""

    source: str
    data: str
    own: str


_ENVELOPE = re.compile(r'<external_data source="([^"\n<>]*)">\n(.*)\n</external_data>', re.DOTALL)


def unwrapped(result: str) -> Wrapped:
    """The parts of a result that has exactly one envelope."""
    assert len(re.findall(r"<external_data ", result)) == len(re.findall(r"</external_data>", result)) == 1, result
    found = _ENVELOPE.search(result)
    assert found is not None, result
    return Wrapped(found[1], found[2], result[: found.start()] + result[found.end() :])

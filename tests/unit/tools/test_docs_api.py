"""`find_hf_api`: the Hub's endpoints found by words and by tag, each with a command that works."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agent.tools.docs.api_index import FRESH_S, HubApi
from agent.tools.docs.api_search import find
from agent.tools.docs_tools import find_hf_api_spec
from agent.web.client import WebClient
from tests.fakes.docs_site import DocsSite
from tests.unit.tools.conftest import FakeSession

PATH = "/.well-known/openapi.json"


def endpoint(summary: str, *tags: str, **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": list(tags), "responses": {"200": {"description": "Done"}}, **more}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://huggingface.co"}],
    "tags": [{"name": "auth"}, {"name": "webhooks"}, {"name": "repos"}, {"name": "repo-search"}],
    "paths": {
        "/api/whoami-v2": {"get": endpoint("Who is asking", "auth")},
        "/api/webhooks": {
            "get": endpoint("List webhooks", "webhooks"),
            "post": endpoint(
                "Create one",
                "webhooks",
                operationId="createWebhook",
                requestBody={"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Hook"}}}},
            ),
        },
        "/api/models/{namespace}/{repo}/tree/{rev}/{path}": {
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in ("namespace", "repo", "path")
            ]
            + [{"name": "rev", "in": "path", "required": True, "schema": {"type": "string"}, "example": "refs/pr/1"}],
            "get": endpoint(
                "List a folder",
                "repos",
                parameters=[
                    {"name": "expand", "in": "query", "required": True, "schema": {"type": "boolean", "default": True}},
                    {"name": "cursor", "in": "query", "description": "Where to go on", "schema": {"type": "string"}},
                ],
            ),
        },
    },
    "components": {
        "schemas": {"Hook": {"type": "object", "properties": {"url": {"type": "string", "example": "https://it's.me"}}}}
    },
}


@pytest.fixture
def site() -> Iterator[DocsSite]:
    with DocsSite() as site:
        site.texts[PATH] = json.dumps(DOCUMENT)
        yield site
        site.check()


@pytest.fixture
async def web() -> AsyncIterator[WebClient]:
    async def no_pause(_delay_s: float) -> None:
        pass

    web = WebClient(sleep=no_pause)
    yield web
    await web.close()


def test_the_spec_is_the_same_whatever_the_hub_says(web: WebClient) -> None:
    """Defect 13: nothing is asked when the tool is made, and its schema names no tags."""
    spec = find_hf_api_spec(lambda: web, {})
    assert spec.parameters == find_hf_api_spec(lambda: web, {"HF_ENDPOINT": "http://127.0.0.1:1"}).parameters
    assert "enum" not in spec.parameters["properties"]["tag"]


async def test_words_of_a_path(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    """Defect 12: whoami was not found, because paths were not searched."""
    result = await session.call(find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url}), query="whoami")
    assert "1 endpoint\n" in result.output
    assert "## 1. GET /api/whoami-v2" in result.output
    assert f"curl '{site.url}/api/whoami-v2' \\\n  -H \"Authorization: Bearer $HF_TOKEN\"" in result.output
    assert "Returns: 200 Done" in result.output
    assert result.source == site.url + PATH


async def test_one_of_both_is_needed(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    result = await session.call(find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url}), query=" ")
    assert not result.ok
    assert "`query`" in result.output and "`tag`" in result.output
    assert site.requests == []


async def test_tags(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    """Defect 12: a tag is that tag, not every tag that contains it."""
    spec = find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url})
    exact = await session.call(spec, tag="Webhooks")
    assert "2 endpoints with the tag webhooks" in exact.output
    near = await session.call(spec, tag="webhook")
    assert "2 endpoints with the tag webhooks" in near.output
    assert "nearly it" in near.advice
    unknown = await session.call(spec, tag="repository")
    assert unknown.ok
    assert "Near to it: repo" in unknown.output
    strange = await session.call(spec, tag="zzzz")
    assert strange.ok
    assert "The tags: auth, repo-search, repos, webhooks" in strange.output
    within = await session.call(spec, tag="webhooks", query="create")
    assert "1 endpoint with" in within.output
    outside = await session.call(spec, tag="webhooks", query="folder")
    assert "2 endpoints with" in outside.output
    assert "all of the tag are listed" in outside.advice


async def test_nothing_found_is_no_failure(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    result = await session.call(find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url}), query="zebra")
    assert result.ok
    assert "No endpoint has any word of 'zebra'" in result.output


async def test_many_hits_are_shown_in_short(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    """Defect 11: a tag of 400 endpoints was printed whole."""
    paths = {f"/api/thing-{n}": {"get": endpoint(f"Thing {n} " + "words " * 50, "things")} for n in range(400)}
    site.texts[PATH] = json.dumps({**DOCUMENT, "paths": paths})
    result = await session.call(find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url}), tag="things")
    assert "400 endpoints" in result.output
    assert "## Others, in short" in result.output
    assert "more: ask with more words" in result.output
    assert len(result.output) < 20_000


async def test_it_is_read_once_and_again_after_a_day(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    time_s = 5.0
    hub = HubApi(web, {"HF_ENDPOINT": site.url}, now=lambda: time_s)
    first = await asyncio.gather(*(find(hub, {"query": "webhooks"}, session) for _ in range(4)))
    assert len(site.requests) == 1
    assert len({result.output for result in first}) == 1
    time_s += FRESH_S + 1
    site.failing[PATH] = 500
    stale = await find(hub, {"query": "webhooks"}, session)
    assert stale.ok
    assert "earlier reading" in stale.advice
    site.failing.clear()
    assert "earlier" not in (await find(hub, {"query": "webhooks"}, session)).advice


@pytest.mark.parametrize("text", ["<html>", "[]", '{"paths": {}}', "[" * 100_000])
async def test_what_is_no_description(web: WebClient, site: DocsSite, session: FakeSession, text: str) -> None:
    """Defect 13: a failure is told, and the tool is there at the next call."""
    spec = find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url})
    site.texts[PATH] = text
    failed = await session.call(spec, query="whoami")
    assert not failed.ok
    assert PATH in failed.output
    site.texts[PATH] = json.dumps(DOCUMENT)
    assert (await session.call(spec, query="whoami")).ok


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_commands_work(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    """Defect 12: what a shell makes of them is what the API describes."""
    spec = find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url})

    async def run(query: str) -> Any:
        shown = (await session.call(spec, query=query)).output
        command = shown.partition("```bash\n")[2].partition("\n```")[0].replace("curl", "curl -s --noproxy '*'", 1)
        environ = {**os.environ, "HF_TOKEN": "hf_from_the_shell"}
        await asyncio.to_thread(
            subprocess.run, ["sh", "-c", command], env=environ, check=True, stdout=subprocess.DEVNULL
        )
        return site.requests[-1]

    posted = await run("createWebhook")
    assert (posted.method, posted.path, posted.json) == ("POST", "/api/webhooks", {"url": "https://it's.me"})
    assert posted.headers["authorization"] == "Bearer hf_from_the_shell"
    listed = await run("list folder")
    assert (listed.path, listed.query) == ("/api/models/NAMESPACE/REPO/tree/refs%2Fpr%2F1/PATH", {"expand": "true"})


async def test_a_score_that_says_nothing_is_left_out(web: WebClient, site: DocsSite, session: FakeSession) -> None:
    site.texts[PATH] = json.dumps({**DOCUMENT, "paths": {"/api/whoami-v2": {"get": endpoint("Who is asking", "auth")}}})
    result = await session.call(find_hf_api_spec(lambda: web, {"HF_ENDPOINT": site.url}), query="whoami")
    assert "1. GET /api/whoami-v2" in result.output
    assert "Relevance" not in result.output

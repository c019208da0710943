"""`hf_inspect_dataset` where a dataset cannot be read: each reason is told apart, and the token stays with its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.protocol.tools import ToolResult
from agent.tools.dataset_tools import hf_inspect_dataset_spec
from agent.web.client import WebClient
from tests.fakes.datasets_server import GOOD_TOKEN, NOT_READY, DatasetsServer, Fault
from tests.unit.tools.conftest import FakeSession


@pytest.fixture
def server() -> Iterator[DatasetsServer]:
    with DatasetsServer() as server:
        yield server
        server.check()


@pytest.fixture
async def web() -> AsyncIterator[WebClient]:
    async def sleep(_delay_s: float) -> None:
        await asyncio.sleep(0)

    client = WebClient(sleep=sleep, clock=lambda: 0.0)
    yield client
    await client.close()


async def _look(web: WebClient, server: DatasetsServer, token: str | None = None, **more: str) -> ToolResult:
    spec = hf_inspect_dataset_spec(lambda: web, server.environ, token)
    result = await FakeSession(Path(), Path()).call(spec, dataset="org/data", **more)
    assert token is None or token not in repr(result)
    return result


async def test_a_missing_dataset_fails_with_the_servers_words(server: DatasetsServer, web: WebClient) -> None:
    """Defect 4: a missing dataset was a success with empty tables."""
    nobody = await _look(web, server)
    somebody = await _look(web, server, GOOD_TOKEN)

    assert not nobody.ok
    assert "no public dataset org/data" in nobody.output
    assert "RepoNotFound" in nobody.output
    assert "HF_TOKEN" in nobody.advice
    assert not somebody.ok
    assert "There is no dataset org/data, or it is private" in somebody.output
    assert "HTTP 404 RepoNotFound, Repository not found" in somebody.output
    assert "HF_TOKEN" not in somebody.advice


@pytest.mark.parametrize(("gated", "how"), [("auto", "at once"), ("manual", "decide about each request")])
async def test_a_gated_dataset_says_where_to_ask(server: DatasetsServer, web: WebClient, gated: str, how: str) -> None:
    server.add("org/data", gated=gated, readers=frozenset([GOOD_TOKEN]))

    nobody, other = await _look(web, server), await _look(web, server, "hf_somebody_else")
    reader = await _look(web, server, GOOD_TOKEN)

    for refused, code in ((nobody, "401 ExternalUnauthenticatedError"), (other, "404 ExternalAuthenticatedError")):
        assert not refused.ok
        assert "is gated, and there is no access" in refused.output
        assert code in refused.output
        assert f"{server.url}/datasets/org/data" in refused.advice
        assert how in refused.advice
    assert "hf auth login" in nobody.advice
    assert "hf auth login" not in other.advice
    assert reader.ok
    assert f"gated ({gated}), access granted" in reader.output


@pytest.mark.parametrize(
    ("status", "code"), [(501, "NotSupportedPrivateRepositoryError"), (404, "ExternalAuthenticatedError")]
)
async def test_a_private_dataset_is_told_from_a_missing_one_to_its_reader(
    server: DatasetsServer, web: WebClient, status: int, code: str
) -> None:
    fault = Fault(status, code, "Private datasets are for PRO users.")
    server.add("org/data", private=True, readers=frozenset([GOOD_TOKEN]), broken={"splits": fault, "size": fault})

    nobody, reader = await _look(web, server), await _look(web, server, GOOD_TOKEN)

    assert "does not exist, or it is private" in nobody.output
    assert not reader.ok
    assert "org/data is private, and the dataset viewer does not serve it" in reader.output
    assert "for PRO users" in reader.output
    assert "PRO account" in reader.advice


async def test_a_private_dataset_that_the_viewer_serves_is_read(server: DatasetsServer, web: WebClient) -> None:
    server.add("org/data", private=True, readers=frozenset([GOOD_TOKEN]))

    result = await _look(web, server, GOOD_TOKEN)

    assert result.ok
    assert "Hub: private" in result.output
    assert "a job needs a token" in result.advice


@pytest.mark.parametrize(
    ("fault", "said", "step"),
    [
        (NOT_READY, "is not ready with org/data", "try again in a minute"),
        (Fault(501, "DatasetInBlockListError", "blocked"), "block list", "hf_repo_files"),
        (Fault(404, "NotSupportedDisabledViewerError", "off"), "viewer of org/data is disabled", "hf_repo_files"),
        (Fault(501, "DatasetWithScriptNotSupportedError", "script"), "does not support org/data", "hf_repo_files"),
        (Fault(500, "ConfigNamesError", "broken", "bad yaml"), "could not prepare org/data", "broken or of a kind"),
        (Fault(404, "ResponseNotFound", "Not found."), "knows nothing of it", "try again later"),
        (Fault(429, "", "slow down"), "could not be asked", "Try again later"),
        (Fault(502, "", ""), "could not be asked", "Try again later"),
    ],
)
async def test_each_refusal_of_the_viewer_is_told_apart(
    server: DatasetsServer, web: WebClient, fault: Fault, said: str, step: str
) -> None:
    endpoints = ("is-valid", "splits", "size", "info", "first-rows", "rows", "statistics", "parquet")
    server.add("org/data", broken=dict.fromkeys(endpoints, fault))

    result = await _look(web, server)

    assert not result.ok
    assert said in result.output
    assert step in result.advice
    for own in (str(fault.status), fault.code, fault.error, fault.cause):
        assert own in result.output
    assert result.source == "dataset org/data on the Hub"


async def test_not_ready_is_retried_before_it_is_said(server: DatasetsServer, web: WebClient) -> None:
    server.add("org/data", broken={"splits": NOT_READY, "size": NOT_READY, "info": NOT_READY, "first-rows": NOT_READY})

    result = await _look(web, server)

    assert len(server.asked("splits")) == 6
    assert "ResponseNotReady" in result.output


@pytest.mark.parametrize("code", ["StreamingRowsError", "ConfigNamesError", "TooBigContentError"])
async def test_what_is_wrong_with_the_dataset_itself_is_not_asked_again(
    server: DatasetsServer, web: WebClient, code: str
) -> None:
    server.add("org/data", broken={"statistics": Fault(500, code, "cannot be read")})

    result = await _look(web, server)

    assert len(server.asked("statistics")) == 1
    assert f"{code}, cannot be read" in result.output


async def test_without_any_split_the_failed_conversions_are_shown(server: DatasetsServer, web: WebClient) -> None:
    failed = [{"dataset": "org/data", "config": "default", "split": "train", "error": {"error": "bad csv"}}]
    server.add("org/data", splits=(), failed=failed)

    result = await _look(web, server)

    assert not result.ok
    assert "could not prepare" in result.output
    assert "default/train (bad csv)" in result.output


async def test_pending_without_any_split_is_not_ready(server: DatasetsServer, web: WebClient) -> None:
    server.add("org/data", splits=(), pending=[{"dataset": "org/data", "config": "default", "split": "train"}])

    result = await _look(web, server)

    assert not result.ok
    assert "not ready" in result.output
    assert "Pending: default/train" in result.output


async def test_a_disabled_dataset_is_named_so(server: DatasetsServer, web: WebClient) -> None:
    fault = Fault(404, "ResponseNotFound", "gone")
    server.add("org/data", disabled=True, broken={"splits": fault, "size": fault})

    assert "is disabled on the Hub" in (await _look(web, server)).output


async def test_with_the_hub_away_a_refusal_is_not_more_certain_than_it_is(
    server: DatasetsServer, web: WebClient
) -> None:
    server.hub_fault = Fault(503, "", "maintenance")

    result = await _look(web, server)

    assert not result.ok
    assert "does not exist, or is gated or private" in result.output
    assert "maintenance" in result.output
    assert "ExternalUnauthenticatedError" in result.output


async def test_a_token_that_is_not_accepted_is_named(server: DatasetsServer, web: WebClient) -> None:
    server.add("org/data")
    server.bad_tokens = frozenset(["hf_expired_token"])

    result = await _look(web, server, "hf_expired_token")

    assert not result.ok
    assert "token is not accepted" in result.output
    assert "hf auth login" in result.advice


async def test_a_slow_list_of_splits_does_not_lose_a_named_config(server: DatasetsServer, web: WebClient) -> None:
    away = Fault(504, "", "timeout")
    server.add("org/data", splits=[("en", "train", 5)], broken={"splits": away, "size": away})

    result = await _look(web, server, config="en", split="train")

    assert result.ok
    assert "en / train is a guess" in result.output
    assert '| 0 | text | "first" |' in result.output


async def test_the_token_goes_to_the_hub_and_its_viewer_alone(server: DatasetsServer, web: WebClient) -> None:
    server.add("org/data")

    await _look(web, server, GOOD_TOKEN)

    assert {request.headers.get("authorization") for request in server.requests} == {f"Bearer {GOOD_TOKEN}"}
    assert not any(GOOD_TOKEN in f"{request.path}{request.query}" for request in server.requests)


async def test_a_redirect_to_elsewhere_is_not_followed(server: DatasetsServer, web: WebClient) -> None:
    with DatasetsServer() as elsewhere:
        server.add("org/data", renamed_to=f"{elsewhere.url}/api/datasets/org/data")

        result = await _look(web, server, GOOD_TOKEN)

        assert not result.ok
        assert "may not be visited" in result.output
        assert not elsewhere.requests

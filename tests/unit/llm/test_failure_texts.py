"""What the texts of failed calls say where: remedies for every kind of run, who is to blame, which variable to set."""

from __future__ import annotations

import socket

import httpx
import pytest

from agent.llm.failures import FailureKind, ProviderError
from tests.unit.llm.test_failures import CLAUDE, OLLAMA, OPENAI, chained, failure_of

K = FailureKind


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "bad"),
        (401, "bad"),
        (404, "x"),
        (413, "long"),
        (429, "slow"),
        (503, "busy"),
        (402, "pay"),
        (None, "odd"),
        (400, "effort must be one of low"),
        (400, "Invalid `signature` in `thinking` block"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, OLLAMA, "openai/something-odd"])
def test_no_text_offers_only_what_a_run_without_a_chat_cannot_type(
    status: int | None, message: str, model: str
) -> None:
    text = failure_of(ProviderError(message, status), model).user_text
    if any(command in text for command in ("/model", "/compact", "/new", "/effort")):
        assert any(other in text for other in ("--model", "new run", "reasoning_effort")), text


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (529, "Overloaded", "is overloaded"),
        (503, "busy", "is overloaded"),
        (500, "boom", "is failing"),
        (502, "<html><body>x</body></html>", "is failing"),
    ],
)
def test_a_server_that_answered_is_not_blamed_on_the_network(status: int, message: str, said: str) -> None:
    failure = failure_of(ProviderError(message, status), CLAUDE)
    assert failure.kind is K.TRANSIENT
    assert said in failure.user_text
    assert "network" not in failure.user_text


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "reset"),
        httpx.ReadTimeout("slow"),
        ProviderError("connection reset: the stream ended before the answer did", 502),
    ],
)
def test_a_lost_connection_is_blamed_on_the_network(error: Exception) -> None:
    text = failure_of(error, OPENAI, environ={"OPENAI_BASE_URL": "https://proxy.example/v1"}).user_text
    assert "check the network and OPENAI_BASE_URL" in text


@pytest.mark.parametrize("status", [401, 403])
def test_a_local_server_that_wants_a_key(status: int) -> None:
    text = failure_of(ProviderError("Unauthorized", status), "vllm/m").user_text
    assert "wants a key" in text
    assert "Set VLLM_API_KEY" in text
    assert "in use" not in text
    with_key = failure_of(ProviderError("Unauthorized", status), "vllm/m", environ={"LOCAL_LLM_API_KEY": "abc"})
    assert "key in use (LOCAL_LLM_API_KEY)" in with_key.user_text


def test_a_complete_text_is_left_alone() -> None:
    failure = failure_of(ProviderError("There is no such script.", 404, is_complete=True), "replay/demo")
    assert (failure.kind, failure.user_text) == (K.MODEL, "There is no such script.")


def lost(text: str) -> Exception:
    """What a request ends in whose host has no address."""
    return chained(httpx.ConnectError(text), socket.gaierror(-2, "Name or service not known"), "cause")


@pytest.mark.parametrize("url", ["garbage", "http://[bad", "htp://x/v1", "http://x:abc", "http://"])
@pytest.mark.parametrize(("model", "name"), [(OLLAMA, "OLLAMA_BASE_URL"), ("vllm/m", "LOCAL_LLM_BASE_URL")])
def test_a_local_address_that_is_none(url: str, model: str, name: str) -> None:
    failure = failure_of(lost("Cannot connect to host garbage:80 [no]"), model, environ={name: url})
    assert failure.kind is K.BAD_REQUEST
    assert f"Set {name} to an address such as http://" in failure.user_text


def test_the_proxy_is_named_where_the_exception_tells() -> None:
    error = lost("Cannot connect to host garbage:80 ssl:<ssl.SSLContext object> [Name or service not known]")
    proxies = {"HTTPS_PROXY": "garbage", "https_proxy": "http://garbage", "ALL_PROXY": "http://u:p@garbage:80"}
    for name, value in proxies.items():
        failure = failure_of(error, OPENAI, environ={name: value})
        assert failure.kind is K.BAD_REQUEST, (name, failure)
        assert f"Correct {name}" in failure.user_text
        assert "u:p" not in failure.user_text


def test_a_proxy_that_did_not_fail_is_not_blamed() -> None:
    error = lost("Cannot connect to host api.openai.com:443 [Name or service not known]")
    failure = failure_of(error, OPENAI, environ={"HTTPS_PROXY": "http://good.example:3128"})
    assert failure.kind is K.TRANSIENT
    assert "PROXY" not in failure.user_text


def test_an_answer_of_a_good_address_is_not_blamed_on_it() -> None:
    failure = failure_of(ProviderError("no", 500), OLLAMA, environ={"OLLAMA_BASE_URL": "http://box:1/v1"})
    assert failure.kind is K.TRANSIENT

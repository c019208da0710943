"""Our own backend over real connections: connections kept, redirects, certificates, proxies, imports."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from agent import __version__
from agent.llm.client import LLMClient
from agent.llm.failures import FailureKind
from tests.conftest import PROXY_VARIABLES, NetworkLog
from tests.fakes import reply
from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.llm.asking import HI, ask, failure_of

K = FailureKind

ANSWER = b'data: {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


# --- connections -----------------------------------------------------------------------------------------------------


@dataclass
class KeptAlive:
    """A server that answers as many requests on one connection as a client likes."""

    connections: int = 0
    hosts: list[str] = field(default_factory=list)
    context: ssl.SSLContext | None = None
    port: int = 0
    answers_each: ClassVar[int | None] = None
    """How many requests on one connection are answered; None: all."""

    async def __aenter__(self) -> KeptAlive:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        answered = 0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
                if answered == self.answers_each:
                    writer.close()
                    return
                answered += 1
                self.hosts.append(head.decode())
                body = ANSWER
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                writer.write(b"%x\r\n%s\r\n" % (len(body), body))
                await writer.drain()
                writer.write(b"0\r\n\r\n")  # the end comes by itself, behind the last event
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()


async def test_one_connection_for_all_calls_until_the_client_is_closed() -> None:
    async with KeptAlive() as server:
        client = LLMClient(None, {"VLLM_BASE_URL": f"http://127.0.0.1:{server.port}"})
        for _ in range(3):
            assert (await ask(client)).content == "hello"
        assert server.connections == 1
        await client.aclose()
        assert (await ask(client)).content == "hello"
        assert server.connections == 2
        await client.aclose()


class DropsSecond(KeptAlive):
    """Closes a connection without a word when a second request has come on it."""

    answers_each = 1


async def test_a_connection_that_the_server_has_let_go_of_is_replaced_at_once() -> None:
    async with DropsSecond() as server:
        client = LLMClient(None, {"VLLM_BASE_URL": f"http://127.0.0.1:{server.port}"})
        assert [(await ask(client)).content for _ in range(3)] == ["hello"] * 3
        assert server.connections == 3
        await client.aclose()


async def test_calls_side_by_side_share_a_client() -> None:
    async with KeptAlive() as server:
        client = LLMClient(None, {"VLLM_BASE_URL": f"http://127.0.0.1:{server.port}"})
        answers = await asyncio.gather(*(ask(client) for _ in range(4)))
        assert [answer.content for answer in answers] == ["hello"] * 4
        await ask(client)
        assert server.connections <= 4
        await client.aclose()


def test_a_client_outlives_an_event_loop() -> None:
    with FakeOpenAI() as server:
        server.script(reply.text("one"), reply.text("two"))
        client = LLMClient(None, {"VLLM_BASE_URL": server.url})
        assert [asyncio.run(ask(client)).content for _ in range(2)] == ["one", "two"]


async def test_who_asks_is_told_and_text_that_is_no_unicode_does_no_harm(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("ok"))
    client = LLMClient(None, {"VLLM_BASE_URL": openai_server.url})
    async for _ in client.acompletion(model="vllm/m", messages=[{"role": "user", "content": "a\ud83d b"}]):
        pass
    (request,) = openai_server.requests
    assert request.headers["user-agent"] == f"ml-intern/{__version__}"
    assert request.json["messages"][0]["content"] == "a? b"


class Redirecting(HttpFake):
    """Sends everybody somewhere else."""

    def __init__(self, status: int, target: str) -> None:
        super().__init__()
        self.answer = (status, target)

    async def respond(self, exchange: Exchange) -> None:
        status, target = self.answer
        await exchange.json(status, {}, {"Location": target})


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_is_followed_and_the_key_stays(openai_server: FakeOpenAI, status: int) -> None:
    openai_server.script(reply.text("there"))
    with Redirecting(status, f"{openai_server.base_url}/chat/completions") as first:
        client = LLMClient(None, {"VLLM_BASE_URL": first.url, "VLLM_API_KEY": "sk-mine"})
        assert (await ask(client)).content == "there"
        assert first.requests[0].headers["authorization"] == "Bearer sk-mine"
    (request,) = openai_server.requests
    assert "authorization" not in request.headers
    assert request.json["messages"] == HI


async def test_who_is_billed_is_not_told_to_another_server(openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("there"))
    with Redirecting(307, f"{openai_server.base_url}/chat/completions") as first:
        environ = {"HF_ROUTER_BASE_URL": f"{first.url}/v1", "INFERENCE_TOKEN": "hf_mine", "HF_BILL_TO": "our-team"}
        assert (await ask(LLMClient(None, environ), "org/model")).content == "there"
        assert first.requests[0].headers["x-hf-bill-to"] == "our-team"
    assert "x-hf-bill-to" not in openai_server.requests[0].headers


@pytest.mark.parametrize(("status", "target"), [(302, "http://else.example/v1/x"), (307, "/v1/chat/completions")])
async def test_redirects_that_lead_nowhere_are_an_error(status: int, target: str) -> None:
    with Redirecting(status, target) as server:
        failure = await failure_of(LLMClient(None, {"VLLM_BASE_URL": server.url}))
        assert (failure.kind, "it redirects to" in failure.user_text) == (K.BAD_REQUEST, True)
        assert len(server.requests) <= 6


# --- certificates and proxies ----------------------------------------------------------------------------------------


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[KeptAlive, Path]]:
    """A server with a certificate of its own making, and the file to trust it by."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, so there is no certificate to test with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with KeptAlive(context=context) as server:
        yield server, certificate


@pytest.mark.parametrize("is_redirected", [False, True])
async def test_a_certificate_is_checked_also_behind_a_redirect(
    secure: tuple[KeptAlive, Path], is_redirected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secure
    url = f"https://127.0.0.1:{server.port}"
    with Redirecting(307, f"{url}/v1/chat/completions") as plain:
        environ = {"VLLM_BASE_URL": plain.url if is_redirected else url, "VLLM_API_KEY": "sk-mine"}
        failure = await failure_of(LLMClient(None, environ))
        assert failure.kind is K.BAD_REQUEST
        assert "SSL_CERT_FILE" in failure.user_text
        assert server.hosts == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        client = LLMClient(None, environ)
        assert (await ask(client)).content == "hello"
        assert ("bearer sk-mine" in server.hosts[0]) == (not is_redirected)
        await client.aclose()


async def test_certificates_are_not_loaded_where_none_is_checked(
    openai_server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    openai_server.script(reply.text("ok"))
    assert (await ask(LLMClient(None, {"VLLM_BASE_URL": openai_server.url}))).content == "ok"
    failure = await failure_of(LLMClient(None, {"VLLM_BASE_URL": "https://127.0.0.1:9"}))
    assert failure.user_text.startswith("The certificates that SSL_CERT_FILE")


async def test_the_proxy_of_the_environment_is_used_but_for_this_machine(
    openai_server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    openai_server.script(reply.text("through the proxy"), reply.text("straight"))
    monkeypatch.setenv("HTTP_PROXY", openai_server.url)
    environ = {"VLLM_BASE_URL": "http://model.example"}
    assert (await ask(LLMClient(None, environ))).content == "through the proxy"
    assert openai_server.requests[0].headers["host"] == "model.example"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await ask(LLMClient(None, {"VLLM_BASE_URL": openai_server.url}))).content == "straight"  # this machine


async def test_a_proxy_that_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1:1")
    failure = await failure_of(LLMClient("hf_x", os.environ), "org/model")
    assert failure.kind is K.BAD_REQUEST
    assert "Correct HTTPS_PROXY" in failure.user_text


# --- what it takes ---------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, os, sys
from agent.llm.client import LLMClient
from agent.llm.classification import classify
from agent.llm.params import resolve_route

async def main(model):
    client = LLMClient("hf_x")
    try:
        async for delta in client.acompletion(model=model, messages=[{"role": "user", "content": "hi"}]):
            print(end=delta.text)
        await client.price_of(model)
    except Exception as error:
        failure = classify(error, route=resolve_route(model))
        print(end=f"{failure.kind} {failure.user_text}")
    print()
    print(*sorted({name.split(".")[0] for name in sys.modules}))

asyncio.run(main(sys.argv[1]))
"""
HEAVY = {"litellm", "openai", "pydantic", "jsonschema", "rich", "click", "pygments", "aiohttp"}


def run(env: dict[str, str], model: str) -> tuple[str, set[str]]:
    root = Path(__file__).parents[3]
    places = os.pathsep.join([env["PYTHONPATH"], str(root)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, model],
        env=env | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said, modules = done.stdout.strip().splitlines()
    return said, set(modules.split())


@pytest.mark.parametrize("model", ["vllm/m", "org/model", "openai/gpt-4.1"])
def test_a_call_imports_nothing_heavy(openai_server: FakeOpenAI, env: dict[str, str], model: str) -> None:
    openai_server.script(reply.call("bash", {"command": "ls"}, text=("Let me ", "look.")))
    places = dict.fromkeys(("OPENAI_BASE_URL", "VLLM_BASE_URL", "HF_ROUTER_BASE_URL"), openai_server.base_url)
    said, modules = run(env | places | {"OPENAI_API_KEY": "sk-x"}, model)
    assert said == "Let me look."
    assert "httpx" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize(
    ("model", "name"),
    [("vllm/m", "VLLM_BASE_URL"), ("openai/m", "OPENAI_BASE_URL"), ("org/model", "HF_ROUTER_BASE_URL")],
)
def test_a_name_that_nobody_knows(env: dict[str, str], model: str, name: str, network_log: NetworkLog) -> None:
    bare = {key: value for key, value in env.items() if key not in PROXY_VARIABLES}
    said, _ = run(bare | {name: "http://no-such-host.example/v1", "OPENAI_API_KEY": "sk-x"}, model)
    assert network_log.lines()
    if model == "vllm/m":
        assert said.startswith("bad_request No server can be found at http://no-such-host.example/v1")
    else:
        assert said.startswith("transient No proper answer from")
        assert name in said


class Saying(HttpFake):
    """Answers with these bytes, called this."""

    def __init__(self, media_type: str, body: bytes) -> None:
        super().__init__()
        self.answer = (media_type, body)

    async def respond(self, exchange: Exchange) -> None:
        media_type, body = self.answer
        await exchange.json(200, body, {"Content-Type": media_type})


SAID = b'data: {"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("media_type", ["application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("end", [b"\n\n", b"\n", b""])
async def test_events_are_read_whatever_they_are_called_and_however_they_end(media_type: str, end: bytes) -> None:
    with Saying(media_type, SAID + end) as server:
        assert (await ask(LLMClient(None, {"VLLM_BASE_URL": server.url}))).content == "hello"

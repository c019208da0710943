"""The loopback server: recording, routes, faults that are exact, and clients that leave."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.http_base import Exchange, HttpFake


class Faulty(HttpFake):
    """Answers by path."""

    async def respond(self, exchange: Exchange) -> None:
        match exchange.request.path:
            case "/echo":
                await exchange.json(200, {"got": exchange.request.json}, {"X-Extra": "1"})
            case "/cut":
                await exchange.head(200, {"Content-Type": "text/plain"})
                await exchange.body(b"first")
                await exchange.cut()
            case "/short":
                await exchange.head(200, length_bytes=10)
                await exchange.body(b"12345")
                await exchange.cut()
            case "/half-head":
                await exchange.raw(b"HTTP/1.1 200 O")
                await exchange.cut()
            case "/stall":
                await exchange.head(200)
                await exchange.body(b"begin")
                await exchange.stall()
                await exchange.body(b" end", last=True)
            case "/bug":
                raise ValueError("a bug in the fake")
            case _:
                await super().respond(exchange)


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


def test_requests_are_recorded(server: Faulty) -> None:
    answer = httpx.post(f"{server.url}/echo?a=1&b=", json={"x": "é"}, headers={"X-Key": "k"})
    assert answer.json() == {"got": {"x": "é"}}
    assert answer.headers["x-extra"] == "1"
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/echo", {"a": "1", "b": ""})
    assert (request.headers["x-key"], request.json) == ("k", {"x": "é"})
    assert request.raw_body == '{"x":"é"}'.encode()


def test_a_body_that_is_no_json_is_recorded_as_bytes(server: Faulty) -> None:
    httpx.post(f"{server.url}/echo", content=b"\xff{")
    assert (server.requests[0].json, server.requests[0].raw_body) == (None, b"\xff{")


def test_a_large_body_arrives_whole(server: Faulty) -> None:
    httpx.post(f"{server.url}/echo", json={"x": "y" * 5_000_000}, timeout=30)
    assert len(server.requests[0].json["x"]) == 5_000_000


def test_routes_and_unknown_paths(server: Faulty) -> None:
    server.route("GET", "/props", {"n_ctx": 4096})
    server.route("GET", "/html", b"<html>", status=502)
    assert httpx.get(f"{server.url}/props").json() == {"n_ctx": 4096}
    assert httpx.get(f"{server.url}/html").content == b"<html>"
    unknown = httpx.get(f"{server.url}/nope")
    assert unknown.status_code == 404
    assert "GET /nope" in unknown.text


def test_many_clients_at_once(server: Faulty) -> None:
    def ask(number: int) -> None:
        httpx.post(f"{server.url}/echo", json=number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    assert {request.json for request in server.wait_for_requests(20)} == set(range(20))
    for thread in threads:
        thread.join()


def test_a_cut_body_gives_what_was_sent_and_then_an_error(server: Faulty) -> None:
    got: list[bytes] = []
    with pytest.raises(httpx.RemoteProtocolError), httpx.stream("GET", f"{server.url}/cut") as answer:
        got.extend(answer.iter_bytes())
    assert got == [b"first"]


@pytest.mark.parametrize("path", ["/short", "/half-head"])
def test_other_cuts_are_protocol_errors(server: Faulty, path: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{server.url}{path}")


async def test_a_client_that_leaves_a_stall_is_noticed(server: Faulty) -> None:
    async with httpx.AsyncClient() as client:
        async with client.stream("GET", f"{server.url}/stall") as answer:
            assert await anext(answer.aiter_bytes()) == b"begin"
            await asyncio.to_thread(server.wait_stalled)
        await asyncio.to_thread(server.wait_client_gone)


def test_a_stall_can_go_on(server: Faulty) -> None:
    with httpx.stream("GET", f"{server.url}/stall") as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"begin"
        server.resume()
        assert next(pieces) == b" end"
    with pytest.raises(AssertionError, match="1 clients gone"):
        server.wait_client_gone(timeout_s=0.05)


def test_closing_the_server_ends_a_stall(server: Faulty) -> None:
    with httpx.stream("GET", f"{server.url}/stall") as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        server.close()
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    server.close()


def test_a_bug_in_the_fake_is_told_to_both_sides(server: Faulty) -> None:
    assert httpx.get(f"{server.url}/bug").status_code == 500
    with pytest.raises(ValueError, match="a bug in the fake"):
        server.check()


def test_clients_that_speak_no_http_or_leave_early_do_no_harm(server: Faulty) -> None:
    port = httpx.URL(server.url).port or 0
    for data in (
        b"",
        b"GET / HT",
        b"\x16\x03\x01nonsense\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
    ):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(data)
    assert httpx.post(f"{server.url}/echo", json=1).json() == {"got": 1}
    assert len(server.requests) == 1
    server.check()


def test_waiting_in_vain_says_what_there_is(server: Faulty) -> None:
    httpx.post(f"{server.url}/echo", json=1)
    with pytest.raises(AssertionError, match=r"2 requests.*requests=1"):
        server.wait_for_requests(2, timeout_s=0.05)

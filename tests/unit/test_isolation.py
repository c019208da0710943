"""The isolation that tests/conftest.py promises: nothing of the developer's comes in, nothing gets out."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import NetworkLog
from tests.fakes.openai_server import FakeOpenAI
from tests.guard.sitecustomize import CLOSED_PROXY_HOST, NetworkRefused, is_local

OUTSIDE = "192.0.2.1"  # a documentation address: nobody is there


def test_home_and_directories_are_fresh(tmp_path: Path) -> None:
    assert Path.home() == tmp_path / "home"
    assert Path.cwd() == tmp_path / "work"
    assert list(Path.cwd().iterdir()) == []
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        assert tmp_path in Path(os.environ[name]).parents


@pytest.mark.parametrize("attempt", [1, 2])
def test_what_one_test_leaves_the_next_does_not_find(attempt: int) -> None:
    marker = Path.home() / "marker"
    assert not marker.exists()
    assert "OPENAI_API_KEY" not in os.environ
    marker.write_text(str(attempt))
    os.environ["OPENAI_API_KEY"] = "left behind"


def test_the_environment_has_only_what_is_allowed() -> None:
    allowed = {
        "PATH",
        "TMPDIR",
        "VIRTUAL_ENV",
        "LANG",
        "TERM",
        "NO_PROXY",
        "no_proxy",
        "HOME",
        "TEST_NETWORK_LOG",
        "HF_HUB_DISABLE_TELEMETRY",
    }
    allowed.add("TIKTOKEN_CACHE_DIR")  # litellm says at its import where its own files are
    rest = {name for name in set(os.environ) - allowed if not name.startswith(("XDG_", "PYTEST_", "COV"))}
    assert rest == set()
    assert os.environ["NO_PROXY"] == "127.0.0.1,localhost"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost", "", "0.0.0.0", b"localhost", None])
def test_local_hosts(host: str | None) -> None:
    assert is_local(host)


@pytest.mark.parametrize("host", [OUTSIDE, "10.0.0.1", "2001:db8::1", "example.test", "localhost.example.test"])
def test_other_hosts(host: str) -> None:
    assert not is_local(host)


def test_connections_to_the_outside_are_refused(network_log: NetworkLog) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(NetworkRefused, match=OUTSIDE):
            tcp.connect((OUTSIDE, 80))
        with pytest.raises(NetworkRefused):
            tcp.connect_ex((OUTSIDE, 80))
        with pytest.raises(NetworkRefused):
            udp.sendto(b"x", (OUTSIDE, 53))
    with pytest.raises(NetworkRefused, match=r"example\.test"):
        socket.getaddrinfo("example.test", 443)
    assert len(network_log.lines()) == 4


async def test_async_connections_to_the_outside_are_refused(network_log: NetworkLog) -> None:
    with pytest.raises(NetworkRefused):
        await asyncio.open_connection(OUTSIDE, 80)
    async with httpx.AsyncClient() as client:
        with pytest.raises(NetworkRefused):
            await client.get("http://example.test/")
    assert len(network_log.lines()) == 2


def test_loopback_and_unix_sockets_work(openai_server: FakeOpenAI) -> None:
    assert httpx.get(f"{openai_server.base_url}/models").status_code == 200
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"


SWALLOWS = f"""
import contextlib, socket

def test_swallows():
    with contextlib.suppress(AssertionError):
        socket.create_connection(("{OUTSIDE}", 80))
"""


def test_a_swallowed_refusal_still_fails_the_test(env: dict[str, str]) -> None:
    case = Path("test_swallows.py")
    case.write_text(SWALLOWS)
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(case)], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed, 1 error" in done.stdout
    assert f"the network was tried: [\"connect to ('{OUTSIDE}', 80)" in done.stdout


PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])))
    print("connected")
except OSError as error:
    print(error)
"""


def probe(env: dict[str, str], host: str, port: int) -> str:
    """What a Python subprocess gets when it connects."""
    command = [sys.executable, "-c", PROBE, host, str(port)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_subprocesses_reach_loopback_only(
    env: dict[str, str], network_log: NetworkLog, openai_server: FakeOpenAI
) -> None:
    assert probe(env, "127.0.0.1", httpx.URL(openai_server.url).port or 0) == "connected"
    assert network_log.lines() == []
    assert "Network is unreachable" in probe(env, OUTSIDE, 80)
    assert "not known" in probe(env, "example.test", 80)
    assert "Network is unreachable" in probe(env, CLOSED_PROXY_HOST, 9)
    assert len(network_log.lines()) == 3


def test_a_subprocess_http_client_is_caught_at_the_closed_proxy(env: dict[str, str], network_log: NetworkLog) -> None:
    code = "import httpx\ntry: httpx.get('https://example.test')\nexcept httpx.ConnectError as e: print('refused')"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "refused\n"
    assert "closed proxy" in network_log.lines()[0]


def test_subprocesses_see_nothing_of_pytest(env: dict[str, str]) -> None:
    assert not any(name.startswith("PYTEST_") for name in env)


@pytest.mark.parametrize("attempt", [1, 2])
def test_hub_paths_follow_the_home_of_each_test(tmp_path: Path, attempt: int) -> None:
    from huggingface_hub import constants

    for name in ("HF_HOME", "HF_TOKEN_PATH", "HF_STORED_TOKENS_PATH", "HF_HUB_CACHE", "HF_ASSETS_CACHE"):
        assert tmp_path in Path(getattr(constants, name)).parents

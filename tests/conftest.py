"""Isolation for every test, and the fixtures that all tests share.

Each test gets a fresh home, XDG directories and working directory, an environment with nothing of the developer's in
it, and no network: sockets reach this machine only (see tests/guard/sitecustomize.py). A refused connection fails the
test even when the code under test swallows the error; a test that is about refusal asks for `network_log` and reads it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI
from tests.guard import sitecustomize as guard

_KEPT_VARIABLES = {"PATH", "TMPDIR", "VIRTUAL_ENV", "TIKTOKEN_CACHE_DIR"}
_KEPT_PREFIXES = ("PYTEST_", "COVERAGE_", "COV_")
_FIXED_VARIABLES = {
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # its first call of a process would ask the real Hub otherwise
}

GUARD_DIR = Path(guard.__file__).parent
CLOSED_PROXY = f"http://{guard.CLOSED_PROXY_HOST}:9"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def _clean(environment: dict[str, str]) -> dict[str, str]:
    kept = {
        name: value for name, value in environment.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    return kept | _FIXED_VARIABLES


def pytest_configure(config: pytest.Config) -> None:
    """Guard the process, and clean its environment before any test module can import something that reads it."""
    config.addinivalue_line("markers", "xdist_group(name): run these tests in one worker (known without xdist, too)")
    guard.install(strict=True)
    clean = _clean(dict(os.environ))
    os.environ.clear()
    os.environ.update(clean)


class NetworkLog:
    """The refused connections of one test and of its subprocesses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_by_test = False

    def lines(self) -> list[str]:
        """One line per refused connection or look-up."""
        return self.path.read_text("utf-8").splitlines() if self.path.exists() else []


@pytest.fixture
def network_log_file(tmp_path: Path) -> NetworkLog:
    """Internal: the log behind `network_log`."""
    return NetworkLog(tmp_path / "network.log")


@pytest.fixture
def network_log(network_log_file: NetworkLog) -> NetworkLog:
    """The log of refused connections, for tests that expect some: asking for it waives the automatic failure."""
    network_log_file.read_by_test = True
    return network_log_file


@pytest.fixture(autouse=True)
def isolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_log_file: NetworkLog) -> Iterator[None]:
    """A fresh home, working directory and environment under `tmp_path`, and a failure for any way out of them."""
    home, work = tmp_path / "home", tmp_path / "work"
    places = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_STATE_HOME": home / ".local" / "state",
        "XDG_DATA_HOME": home / ".local" / "share",
        "XDG_CACHE_HOME": home / ".cache",
    }
    for place in (*places.values(), work):
        place.mkdir(parents=True, exist_ok=True)
    for name in set(os.environ) - set(clean := _clean(dict(os.environ))):
        monkeypatch.delenv(name)
    for name, value in (clean | {name: str(place) for name, place in places.items()}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(guard.LOG_VARIABLE, str(network_log_file.path))
    monkeypatch.chdir(work)
    _move_hub_paths(home / ".cache" / "huggingface", monkeypatch)
    yield
    if not network_log_file.read_by_test:
        assert not network_log_file.lines(), f"the network was tried: {network_log_file.lines()}"


def _move_hub_paths(hub_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub fixes its paths at import; a later test would find the token of the test that imported it."""
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is None:
        return
    moved = {
        "HF_HOME": "",
        "HF_TOKEN_PATH": "token",
        "HF_STORED_TOKENS_PATH": "stored_tokens",
        "HF_HUB_CACHE": "hub",
        "HUGGINGFACE_HUB_CACHE": "hub",
        "HF_ASSETS_CACHE": "assets",
    }
    for name, part in moved.items():
        monkeypatch.setattr(constants, name, str(hub_home / part), raising=False)


@pytest.fixture
def env(isolation: None) -> dict[str, str]:
    """The environment for a subprocess: this test's isolated one, with the same limits as far as possible.

    Python children load the network guard; all others find only a closed proxy. HF_HUB_OFFLINE keeps huggingface_hub
    quiet: a test with a fake Hub deletes it and sets HF_ENDPOINT.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return inherited | {
        **dict.fromkeys(PROXY_VARIABLES, CLOSED_PROXY),
        "PYTHONPATH": str(GUARD_DIR),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture
def openai_server() -> Iterator[FakeOpenAI]:
    """A running OpenAI-style server; an exception inside it fails the test."""
    with FakeOpenAI() as server:
        yield server
        server.check()


@pytest.fixture
def anthropic_server() -> Iterator[FakeAnthropic]:
    """A running Anthropic-style server; an exception inside it fails the test."""
    with FakeAnthropic() as server:
        yield server
        server.check()

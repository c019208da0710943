"""The page in a real browser: it asks for nothing, says nothing on the console, and shows all turns."""

from __future__ import annotations

import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser as Parser

from agent.redaction.redactor import Redactor
from agent.traces.pages import html as page
from tests.unit.traces.pages.rich_session import long_session, rich_session
from tests.unit.traces.pages.test_html import HOSTILE, hostile_session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
    pytest.mark.xdist_group("chromium"),
    pytest.mark.timeout(180),
]
EVIL = "evil.example"


class Proxy(socketserver.ThreadingTCPServer):
    """Refuses every request, and remembers for which host it was."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.wanted: list[str] = []


class _Refusal(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline(8_000).decode("latin-1").strip()
        assert isinstance(self.server, Proxy)
        self.server.wanted.append(line)
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def opened(path: Path, proxy: Proxy, tmp_path: Path) -> tuple[Parser, list[str], list[str]]:
    """The page as the browser has read it, the lines of its console, and the requests that it made."""
    assert CHROMIUM is not None
    proxy.wanted.clear()
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom",
         "--enable-logging=stderr", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-extensions", "--disable-default-apps", f"--user-data-dir={tmp_path / 'profile'}",
         f"--proxy-server=http://127.0.0.1:{proxy.server_address[1]}", "--proxy-bypass-list=<-loopback>",
         path.as_uri()],
        capture_output=True, text=True, errors="replace", timeout=150, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Parser(done.stdout), console, [line for line in proxy.wanted if EVIL in line or "huggingface" in line]


def test_the_test_can_fail(proxy: Proxy, tmp_path: Path) -> None:
    """A page that does load something, and writes to the console, is found out."""
    path = tmp_path / "bad.html"
    path.write_text(f"<img src=http://{EVIL}/x.png><script>console.error('heard')</script>")
    _, console, wanted = opened(path, proxy, tmp_path)
    assert any("heard" in line for line in console) and any(EVIL in line for line in wanted)


def test_a_rich_session_asks_for_nothing(proxy: Proxy, tmp_path: Path) -> None:
    timeline, sub_agents = rich_session(tmp_path)
    path = tmp_path / "page.html"
    path.write_text(page.render(timeline, sub_agents, Redactor()), encoding="utf-8")
    tree, console, wanted = opened(path, proxy, tmp_path)
    assert (console, wanted) == ([], [])
    assert [node.attributes["id"] for node in tree.css(".turn")] == [f"turn-{number}" for number in range(1, 6)]


def test_hostile_content_is_inert(proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(hostile_session(tmp_path, "\n".join(HOSTILE)), encoding="utf-8")
    tree, console, wanted = opened(path, proxy, tmp_path)
    assert (console, wanted) == ([], [])
    assert not tree.css("script, img, iframe, base, object, form") and len(tree.css("style")) == 1
    assert len(tree.css("main section.turn")) == 1 and len(tree.css("body > footer")) == 1


def test_a_long_session_opens(proxy: Proxy, tmp_path: Path) -> None:
    timeline = long_session(tmp_path, [f"prompt {number}" for number in range(2_000)], "line\n" * 20)
    path = tmp_path / "page.html"
    path.write_text(page.render(timeline, [], Redactor()), encoding="utf-8")
    tree, console, wanted = opened(path, proxy, tmp_path)
    assert (console, wanted) == ([], [])
    assert len(tree.css("section.turn")) == 2_000

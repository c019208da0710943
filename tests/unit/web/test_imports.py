"""What is slow to import never holds up the event loop."""

from __future__ import annotations

import subprocess
import sys

from tests.fakes.web_site import WebSite, reply

ASKING = """
import asyncio, sys, threading
from agent.web.client import WebClient, WebRequest
from agent.web.reach import Reach

SLOW, seen = {"httpx", "httpcore", "anyio", "h11", "certifi", "idna"}, []


class Witness:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread() and name.partition(".")[0] in SLOW:
            seen.append(name)


async def main():
    client = WebClient()
    sys.meta_path.insert(0, Witness())
    answer = await client.ask(WebRequest(sys.argv[1], Reach(origins=(sys.argv[2],))))
    await client.close()
    print(answer.body.decode(), seen)


asyncio.run(main())
"""


def test_the_first_question_imports_in_a_thread() -> None:
    with WebSite() as site:
        url = site.on("/a", reply(b"here"))
        told = subprocess.run([sys.executable, "-c", ASKING, url, site.url], capture_output=True, text=True, timeout=60)
    assert (told.stdout, told.stderr) == ("here []\n", "")

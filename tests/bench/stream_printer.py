"""Prints a streamed answer plain, twice: what `bench_stream` compares the program with.

`httpx` is the least that one can do: read lines, parse each event, write its text. `llm` calls the model as the program
does. Between the answers it waits for a line on standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any


def with_httpx(messages: list[dict[str, Any]]) -> None:
    """Ask with httpx alone, and write each event's text."""
    import httpx

    url = f"{os.environ['VLLM_BASE_URL']}/v1/chat/completions"
    with httpx.stream("POST", url, json={"model": "m", "stream": True, "messages": messages}, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith('data: {"'):
                choices = json.loads(line.removeprefix("data: "))["choices"]
                write(choices[0]["delta"].get("content") or "" if choices else "")


def with_llm(messages: list[dict[str, Any]]) -> None:
    """Ask through `agent.llm`, and write each piece that it gives."""
    from agent.llm.calls import CallHooks, CallRequest, complete
    from agent.llm.client import LLMClient

    async def show(text: str) -> None:
        write(text)

    asyncio.run(complete(LLMClient(), CallRequest("vllm/m", messages), CallHooks(show, show)))


def write(text: str) -> None:
    """Have it on the terminal now."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """`stream_printer.py httpx|llm QUESTION`."""
    printer, question = sys.argv[1:]
    ask = with_httpx if printer == "httpx" else with_llm
    for _ in range(2):
        ask([{"role": "user", "content": question}])
        sys.stdin.readline()


if __name__ == "__main__":
    main()

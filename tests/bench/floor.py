"""The floor: the least that an agent in Python can be. `python tests/bench/floor.py BASE_URL PROMPT`.

asyncio, httpx, one tool, a history in a list. No configuration, no journal, no events, no screen, no limits: what
ml-intern adds to this is what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "Run a command.",
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string"}},
                "required": ["command"],
            },
        },
    }
]


async def ask(client: httpx.AsyncClient, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """One streamed model call; the assistant's message."""
    text: list[str] = []
    calls: list[dict[str, Any]] = []
    body = {"model": "bench", "messages": messages, "tools": TOOLS, "stream": True}
    async with client.stream("POST", "chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            for choice in json.loads(line[6:])["choices"]:
                text.append(choice["delta"].get("content") or "")
                calls += choice["delta"].get("tool_calls") or []
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
    return message | {"tool_calls": calls} if calls else message


async def run(command: str) -> str:
    """The output of a shell command."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


async def main(base_url: str, prompt: str) -> None:
    """Ask, run what is called, until nothing is."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    async with httpx.AsyncClient(base_url=base_url, headers={"Authorization": "Bearer none"}) as client:
        while True:
            message = await ask(client, messages)
            messages.append(message)
            for call in message.get("tool_calls", ()):
                output = await run(json.loads(call["function"]["arguments"])["command"])
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
            if "tool_calls" not in message:
                print(message["content"])
                return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

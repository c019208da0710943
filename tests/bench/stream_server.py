"""A model server that answers with as many one-token chunks as it is asked for: `bench_stream` runs it as a process.

It prints its port, and then a line for each request that has come ("request") and each answer that has left ("sent"),
with the time (`time.monotonic`, the same in all processes of a machine).
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LAST_WORD = "thatisall"
WORDS = (
    "the model loss rate batch of to data is a train on and step layer with for token in eval set learning curve then "
    "weights we one gradient checkpoint score it as small over not"
).split()
CODE = "```python\nfor step, batch in enumerate(loader):\n    loss = model(**batch).loss\n    loss.backward()\n```\n\n"


def question(count: int, pace_s: float, form: str) -> str:
    """A prompt that this server answers with `count` chunks, one every `pace_s` seconds (0: all at once).

    `form` is "markdown" (paragraphs, lists, code) or "paragraph" (one, without line ends).
    """
    return f"say {count} chunks, {pace_s} apart, as {form}"


def tokens(count: int, form: str) -> list[str]:
    """An answer in `count` pieces of a word each, always the same; it ends with `LAST_WORD`."""
    dice = random.Random(0)
    pieces: list[str] = []
    while len(pieces) < count - 1:
        words = [f" {dice.choice(WORDS)}" for _ in range(dice.randint(5, 80))]
        kind = dice.random()
        if form == "paragraph":
            pieces += words
        elif kind < 0.15:
            pieces += re.findall(r"\s*\S+|\s+", CODE)
        elif kind < 0.4:
            pieces += [piece for word in words[:8] for piece in ("\n-", word, dice.choice(words))] + ["\n\n"]
        else:
            pieces += [words[0].strip().title(), *words[1:], ".", "\n\n"]
    last = f"\n\n{LAST_WORD}" if form == "markdown" else f" {LAST_WORD}"
    return [*pieces[: count - 1], last] if not _in_code(pieces[: count - 1]) else [*pieces[: count - 2], "\n```", last]


def _in_code(pieces: list[str]) -> bool:
    return "".join(pieces).count("```") % 2 == 1


def events(model: str, count: int, form: str) -> list[bytes]:
    """The answer as server-sent events, each in an HTTP chunk of its own, as servers send them."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _http_chunk(f"data: {json.dumps(head | {'choices': [choice]})}\n\n")

    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": count + 10}
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": token}) for token in tokens(count, form)),
        chunk({}, "stop"),
        _http_chunk(f"data: {json.dumps(head | {'choices': [], 'usage': usage})}\n\n"),
        _http_chunk("data: [DONE]\n\n"),
        b"0\r\n\r\n",
    ]


def _http_chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


class Handler(BaseHTTPRequestHandler):
    """Answers every POST with the answer that the last message asks for, and every GET with nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """No other endpoint is there."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """Send the answer."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = re.findall(r"say (\d+) chunks, ([\d.]+) apart, as (\w+)", json.dumps(request["messages"]))
        count, pace_s, form = asked[-1]
        answer = events(request["model"], int(count), form)
        print("request", time.monotonic(), flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._send(answer, float(pace_s))
        print("sent", time.monotonic(), flush=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard output is for the times."""

    def _send(self, answer: list[bytes], pace_s: float) -> None:
        if not pace_s:
            self.wfile.write(b"".join(answer))
            return
        started_s = time.monotonic()
        for number, data in enumerate(answer):
            time.sleep(max(0.0, started_s + number * pace_s - time.monotonic()))
            self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Says nothing of clients that leave: the programs under measurement are killed when they are done."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Report our own errors only."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    """Serve until killed."""
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
